"""NetBox as the IPAM: a network's prefixes are NetBox's, and so are the addresses, beside those that people make.

What the fleet keeps there and how it is known is in `netbox_records.py`. Networks change in `netbox_networks.py`,
addresses are given in `netbox_acquire.py`, in the batches of `netbox_batch.py`. The requests are in `netbox_wire.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from drivers.base import (
    NO_ABOUT,
    About,
    Allocation,
    Busy,
    Conflict,
    IpamNetwork,
    IpamSettings,
    Rejected,
    Unreachable,
    Unsupported,
    Usage,
    excerpt,
)
from drivers.ipam.addresses import parse_address, text_of
from drivers.ipam.hints import HOW_TO_RELEASE_ADDRESS
from drivers.ipam.netbox.netbox_acquire import Acquiring, AddressRequest
from drivers.ipam.netbox.netbox_batch import Batches
from drivers.ipam.netbox.netbox_check import check_netbox
from drivers.ipam.netbox.netbox_failures import NONSENSE
from drivers.ipam.netbox.netbox_networks import Networks
from drivers.ipam.netbox.netbox_records import ADDRESSES, DATA, NETWORK, OWNER, Records
from drivers.ipam.netbox.netbox_rows import AddressRow, allocation_of, extra_data, network_of
from drivers.ipam.netbox.netbox_usage import netbox_usage
from drivers.ipam.netbox.netbox_wire import (
    NETBOX_REQUEST_SECONDS,
    NetboxConnection,
    NetboxRefused,
    Record,
    is_readable_on_the_way,
)
from drivers.ipam.statements import plain_name
from drivers.secret.token_reference import token_source

if TYPE_CHECKING:
    from sqlalchemy import Engine


P = ParamSpec("P")
T = TypeVar("T")


def _in_words(
    call: Callable[Concatenate[NetboxIpam, P], T],
) -> Callable[Concatenate[NetboxIpam, P], T]:
    """A call that raises DriverErrors alone, whatever NetBox's answers are made of."""

    @functools.wraps(call)
    def made(self: NetboxIpam, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(self, *args, **kwargs)
        except NONSENSE as error:
            why = f"{type(error).__name__}: {excerpt(str(error), 200)}"
            raise Unreachable(
                f"{self.url}: the server's answer is not from NetBox ({why}); check --ipam-url", maybe_sent=True
            ) from error

    return cast("Callable[Concatenate[NetboxIpam, P], T]", made)


class NetboxIpam:
    """See drivers.base.Ipam. Safe for several threads, whose acquires are sent together, and several processes.

    `token` is called for each request. `fleet`: the tag and the owners' prefix by which its objects are known, so that
    several fleets can share a NetBox. Nothing is asked of NetBox before the first call.

    Beside what Ipam says: a network has a prefix or is not kept. No child is the whole of its parent's prefix. A
    dns_name is kept in lower case. And of what changes at once in two processes, one may raise Busy."""

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        *,
        ca_file: str | None = None,
        fleet: str = "groundstate",
        seconds: float = NETBOX_REQUEST_SECONDS,
    ) -> None:
        self._wire = NetboxConnection(url, token, ca_file, seconds)
        self.url = self._wire.url
        self._records = Records(self._wire, fleet)
        self._networks = Networks(self._records)
        self._batches: Batches[AddressRequest, int] = Batches(Acquiring(self._records).send)

    @_in_words
    def set_up(self) -> None:
        """Make the tag and the custom fields. Done automatically before the first write; see Records.set_up."""
        self._records.set_up()

    def close(self) -> None:
        """Close the connections. Later calls open new ones."""
        self._wire.close()

    @_in_words
    def put_network(self, network: str, wanted: IpamNetwork, lengths: Mapping[int, int] = {}) -> IpamNetwork:
        """See Ipam."""
        return self._networks.put(network, wanted, lengths)

    @_in_words
    def drop_network(self, network: str) -> None:
        """See Ipam."""
        self._networks.drop(plain_name("a network", network))

    @_in_words
    def network(self, network: str) -> IpamNetwork | None:
        """See Ipam."""
        plain_name("a network", network)
        found = self._records.prefixes(None, **{f"cf_{NETWORK}": network})
        rows = [row for row in found if row.network == network]
        return network_of(rows) if rows else None

    @_in_words
    def networks(self) -> dict[str, IpamNetwork]:
        """See Ipam."""
        view = self._networks.view()
        return {name: network_of(view.of(name)) for name in dict.fromkeys(row.network for row in view.rows)}

    @_in_words
    def usage(self, network: str | None = None) -> list[Usage]:
        """See Ipam."""
        return netbox_usage(self._records, self._networks.view(), network)

    @_in_words
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
        if family not in (None, 4, 6):
            raise Rejected(f"{family!r} is not an address family; write 4 or 6")
        ask = AddressRequest(network, owner, None if address is None else parse_address(address), family, about)
        return text_of(self._batches.do(Acquiring.key(ask), ask))

    @_in_words
    def describe(self, owner: str, about: About) -> None:
        """See Ipam. Raises Busy if another process changes the network at the same time."""
        row = self._held(owner)
        if row is None:
            raise Conflict(f"{owner} holds no address, so nothing was changed; acquire an address first")
        if row.about == about:
            return
        tenant = self._records.tenants([about.project])[about.project]
        body: Record = {
            "dns_name": about.dns_name,
            "tenant": tenant,
            "custom_fields": {DATA: extra_data(about) or None},
        }
        self._patch(row, owner, body)

    @_in_words
    def transfer(self, owner: str, to: str) -> None:
        """See Ipam. Raises Busy if another process changes the network at the same time."""
        row = self._held(owner)
        if row is None or owner == to:
            return
        if self._held(to) is not None:
            raise Conflict(
                f"{to} already holds an address, so it cannot take over the address of {owner}; release one of "
                f"the two addresses first ({HOW_TO_RELEASE_ADDRESS})"
            )
        self._patch(row, owner, {"custom_fields": {OWNER: self._records.own(to)}})

    @_in_words
    def release(self, owner: str) -> None:
        """See Ipam. Raises Busy if another process changes the network at the same time."""
        row = self._held(owner)
        if row is None:
            return
        path = f"{ADDRESSES}{row.id}/"
        try:
            self._wire.delete(path, etag=self._still_ours(path, owner))
        except NetboxRefused as refused:
            if refused.status == HTTPStatus.PRECONDITION_FAILED:
                raise _changed_meanwhile(row) from None
            if refused.status != HTTPStatus.NOT_FOUND:
                raise

    @_in_words
    def holding(self, owner: str) -> Allocation | None:
        """See Ipam."""
        row = self._held(owner)
        return None if row is None else allocation_of(row)

    @_in_words
    def check(self) -> list[str]:
        """See Ipam."""
        return check_netbox(self._records, self._networks.view())

    def rebuild(self) -> None:
        """See Ipam. NetBox works out what is free each time."""
        raise Unsupported(
            "NetBox computes the free space itself, so nothing is to be rebuilt; leave out --rebuild. Correct in "
            "NetBox what `groundstate ipam check` names"
        )

    @_in_words
    def list(self, *, network: str | None = None) -> list[Allocation]:
        """See Ipam."""
        filters = {} if network is None else {f"cf_{NETWORK}": network}
        rows = self._records.addresses(**filters)
        return [allocation_of(row) for row in rows if network in (None, row.network)]

    def _held(self, owner: str) -> AddressRow | None:
        """The allocation of the owner, if it has the tag; an object without the tag does not belong to groundstate."""
        row = self._records.held_by([plain_name("an owner", owner)]).get(owner)
        return row if row is not None and row.tagged else None

    def _patch(self, row: AddressRow, owner: str, body: dict[str, Any]) -> None:
        """Change an address that is still its owner's. Raises Busy when another user changed it meanwhile."""
        path = f"{ADDRESSES}{row.id}/"
        etag = self._still_ours(path, owner)
        try:
            self._wire.patch(path, body, etag)
        except NetboxRefused as refused:
            if refused.status != HTTPStatus.PRECONDITION_FAILED:
                raise
            raise _changed_meanwhile(row) from None

    def _still_ours(self, path: str, owner: str) -> str | None:
        """The object's ETag, asked for last of all; None where NetBox has none. Raises Busy when it is not ours now."""
        found = self._wire.one(path)
        if found is not None:
            record, etag = found
            if self._records.owner_of(record) == owner and self._records.is_tagged(record):
                return etag
            raise Busy(
                f"{self._wire.url}: nothing was changed: another user changed the address of {owner} in "
                f"NetBox at the same time; groundstate tries again"
            )
        return None


def _changed_meanwhile(row: AddressRow) -> Busy:
    return Busy(
        f"{row.url}: nothing was changed: another user changed the object in NetBox at the same time; groundstate "
        "tries again"
    )


def open_ipam(_engine: Engine, settings: IpamSettings) -> NetboxIpam:
    """The IPAM that the settings say. Raises Rejected for settings that cannot be; asks nothing of NetBox."""
    if not settings.url:
        raise Rejected("--ipam netbox needs --ipam-url, such as https://netbox.example.org")
    if not settings.token:
        raise Rejected("--ipam netbox needs --ipam-token, a reference: env:NAME or file:PATH")
    if is_readable_on_the_way(settings.url) and not settings.insecure:
        raise Rejected(
            "--ipam-url: over plain http others can read the token on the network. Use https, or a tunnel "
            "that ends on this host, or set --ipam-insecure (ipam-insecure = true in the settings)"
        )
    token = token_source(settings.token)
    return NetboxIpam(settings.url, token, ca_file=settings.ca_file or None, fleet=settings.fleet)
