"""The IPAM that comes with groundstate: its own tables in the store's database, on SQLite or PostgreSQL.

An allocation is a row (owner, address). What is free is a row an interval (`acquire.py`), and in a container a row a
block (`blocks.py`). `network_changes.py` and `prefix_changes.py` change networks. `verify.py` verifies what must hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import msgspec
from sqlalchemy import Engine

from drivers.base import (
    NO_ABOUT,
    About,
    Allocation,
    Conflict,
    Exhausted,
    IpamNetwork,
    IpamSettings,
    Prefix,
    Rejected,
    Usage,
)
from drivers.ipam.addresses import family_of_number, parse_address, size, text_of
from drivers.ipam.embedded.acquire import acquire, release
from drivers.ipam.embedded.usage import embedded_usage
from drivers.ipam.embedded.verify import rebuild, verify_tables
from drivers.ipam.hints import CREATE_NETWORK, ENLARGE_NETWORK, HOW_TO_RELEASE_ADDRESS, ONE_ADDRESS
from drivers.ipam.network_changes import check_wanted, drop, put_network
from drivers.ipam.rows import find_network, holders_within, networks
from drivers.ipam.statements import IpamDatabase, plain_name

_ABOUT = msgspec.json.Decoder(About)
"""Made while one thread loads the module: msgspec 0.22 crashes where several make the first one of a type."""

_ALLOCATIONS = """
    SELECT a.owner, p.network, a.address, a.about FROM ipam_allocation a JOIN ipam_prefix p ON p.id = a.prefix
"""


class EmbeddedIpam:
    """See drivers.base.Ipam. `engine` is of a database that has the tables. Safe for several threads and processes.

    Names that begin with # are refused: in the tables, these are the pools'.
    """

    def __init__(self, engine: Engine) -> None:
        self._database = IpamDatabase(engine)

    def put_network(self, network: str, wanted: IpamNetwork, lengths: Mapping[int, int] = {}) -> IpamNetwork:
        """See Ipam. A chosen prefix has nothing reserved beside its ends."""
        blocks = check_wanted(network, wanted, lengths)
        chosen = self._choose(network, wanted, lengths)
        if chosen is not None:
            return chosen
        with self._database.changing(network) as run:
            return put_network(run, network, wanted, blocks, lengths)

    def drop_network(self, network: str) -> None:
        """See Ipam."""
        with self._database.changing(plain_name("a network", network)) as run:
            drop(run, network)

    def network(self, network: str) -> IpamNetwork | None:
        """See Ipam."""
        with self._database.statements() as run:
            return networks(run, plain_name("a network", network)).get(network)

    def networks(self) -> dict[str, IpamNetwork]:
        """See Ipam."""
        with self._database.statements() as run:
            return networks(run)

    def usage(self, network: str | None = None) -> list[Usage]:
        """See Ipam."""
        with self._database.snapshot() as run:
            return embedded_usage(run, None if network is None else plain_name("a network", network))

    def acquire(
        self,
        network: str,
        owner: str,
        *,
        address: str | None = None,
        family: int | None = None,
        about: About = NO_ABOUT,
    ) -> str:
        """See Ipam. Raises Rejected, too, for what is no address or family."""
        plain_name("a network", network)
        plain_name("an owner", owner)
        wanted = None if address is None else parse_address(address)
        if family not in (None, 4, 6):
            raise Rejected(f"{family!r} is not an address family; write 4 or 6")
        outcome, where, number = acquire(
            self._database, network, owner, wanted=wanted, family=family, about=_text(about)
        )
        if number is None:
            raise self._why_not(network, wanted, family, known_at_all=outcome != "unknown")
        if where != network or wanted not in (None, number) or family not in (None, family_of_number(number)):
            raise Conflict(f"{owner} already holds {text_of(number)} in network {where}; {ONE_ADDRESS}")
        return text_of(number)

    def describe(self, owner: str, about: About) -> None:
        """See Ipam."""
        plain_name("an owner", owner)
        with self._database.transaction() as run:
            statement = "UPDATE ipam_allocation SET about = ? WHERE owner = ? RETURNING owner"
            if not run(statement, _text(about), owner).fetchall():
                raise Conflict(f"{owner} holds no address, so nothing was changed; acquire an address first")

    def transfer(self, owner: str, to: str) -> None:
        """See Ipam."""
        plain_name("an owner", owner)
        plain_name("an owner", to)
        if owner == to:
            return
        with self._database.transaction() as run:
            there = [one for (one,) in run("SELECT owner FROM ipam_allocation WHERE owner IN (?, ?)", owner, to)]
            if len(there) > 1:
                raise Conflict(
                    f"{to} already holds an address, so it cannot take over the address of {owner}; release one "
                    f"of the two addresses first ({HOW_TO_RELEASE_ADDRESS})"
                )
            run("UPDATE ipam_allocation SET owner = ? WHERE owner = ?", to, owner)

    def release(self, owner: str) -> None:
        """See Ipam."""
        release(self._database, plain_name("an owner", owner))

    def holding(self, owner: str) -> Allocation | None:
        """See Ipam."""
        with self._database.statements() as run:
            row = run(f"{_ALLOCATIONS} WHERE a.owner = ?", plain_name("an owner", owner)).fetchone()
        if not row:
            return None
        owner, network, address, about = row
        return _allocation(owner, network, address, _about(about))

    def check(self) -> list[str]:
        """See Ipam. The pools are in the same tables, and are checked too."""
        with self._database.snapshot() as run:
            return verify_tables(run)

    def rebuild(self) -> None:
        """See Ipam: what is free, in networks and pools. Nothing else is acquired, released or changed meanwhile."""
        with self._database.changing() as run:
            rebuild(run)

    def list(self, *, network: str | None = None) -> list[Allocation]:
        """See Ipam."""
        with self._database.statements() as run:
            if network is None:
                found = run(f"{_ALLOCATIONS} WHERE p.family <> 0")
            else:
                found = run(f"{_ALLOCATIONS} WHERE p.network = ?", plain_name("a network", network))
            said = cache(_about)  # Most say the same.
            return sorted(_allocation(owner, at, address, said(about)) for owner, at, address, about in found)

    def _choose(self, network: str, wanted: IpamNetwork, lengths: Mapping[int, int]) -> IpamNetwork | None:
        """On PostgreSQL, a new child with one chosen prefix, in one round trip; None when it is not as simple."""
        if self._database.sqlite or wanted.prefixes or wanted.namespace or len(lengths) != 1:
            return None
        ((family, length),) = lengths.items()
        with self._database.statements() as run:
            done, namespace, low = run(
                "SELECT done, in_namespace, given FROM ipam_choose(?, ?, ?, ?, ?, ?, ?)",
                network,
                wanted.parent,
                family,
                length,
                int(wanted.container),
                int(wanted.shared),
                wanted.project,
            ).fetchone()
        if not done:
            return None
        chosen = (Prefix(f"{text_of(int.from_bytes(low))}/{length}"),)
        return msgspec.structs.replace(wanted, namespace=namespace, prefixes=chosen)

    def _why_not(self, network: str, wanted: int | None, family: int | None, *, known_at_all: bool) -> Exception:
        """The refusal, in words. Read afterwards: meanwhile it may have changed, which the next attempt shows."""
        with self._database.statements() as run:
            found = find_network(run, network) if known_at_all else None
            held = [] if wanted is None else holders_within(run, network, [(wanted, wanted)])
        if found is None:
            return Rejected(f"network {network} is not in the IPAM; {CREATE_NETWORK}")
        if found.network.container:
            return Rejected(
                f"network {network} is a container for child networks and has no addresses; name one of its child "
                "networks instead"
            )
        blocks = [row.block for row in found.rows if family in (None, row.block.family)]
        prefixes = ", ".join(block.cidr for block in blocks) or "none"
        if wanted is None:
            kind = f"IPv{family} address" if family else "address"
            total = sum(size(block.usable) for block in blocks)
            return Exhausted(
                f"network {network} has no free {kind}: all {total} of its prefixes ({prefixes}) are held; "
                f"{ENLARGE_NETWORK}"
            )
        if held:
            return Conflict(f"{text_of(wanted)} in network {network} is held by {held[0][0]}; request another address")
        if any(block.lo <= wanted <= block.hi for block in blocks):
            return Conflict(f"{text_of(wanted)} in network {network} is reserved; request another address")
        return Conflict(
            f"{text_of(wanted)} is outside of network {network} (prefixes: {prefixes}); request another address"
        )


def _text(about: About) -> str | None:
    return None if about == NO_ABOUT else msgspec.json.encode(about).decode()


def _about(text: str | None) -> About:
    return NO_ABOUT if text is None else _ABOUT.decode(text)


def _allocation(owner: str, network: str, address: bytes, about: About) -> Allocation:
    return Allocation(owner, network, text_of(int.from_bytes(address)), about)


def open_ipam(engine: Engine, _settings: IpamSettings) -> EmbeddedIpam:
    """The IPAM in the store's database; needs no settings."""
    return EmbeddedIpam(engine)
