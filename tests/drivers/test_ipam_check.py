# ruff: noqa: S608  the statements are ours
"""`check` of the embedded IPAM finds each way in which its tables can be wrong, and says how to get out of it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from drivers.base import IntegerRange, IpamNetwork, Prefix
from drivers.ipam.addresses import parse_address
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.embedded.embedded_pools import EmbeddedPools
from reconciler.store import Store


@pytest.fixture
def engine(store: Store) -> Engine:
    """A store with a container, two children, a plain network and a pool; a few of each are held."""
    ipam, pools = EmbeddedIpam(store.engine), EmbeddedPools(store.engine)
    ipam.put_network(
        "super", IpamNetwork((Prefix("10.0.0.0/24", ("10.0.0.240/28",)),), container=True, namespace="red")
    )
    ipam.put_network("a", IpamNetwork((Prefix("10.0.0.0/28"),), parent="super"))
    ipam.put_network("b", IpamNetwork((Prefix("10.0.0.64/26"),), parent="super"))
    ipam.put_network("lan", IpamNetwork((Prefix("192.168.0.0/29", ("192.168.0.1",)), Prefix("2001:db8::/64"))))
    for owner in ("IPAddress/one", "IPAddress/two"):
        ipam.acquire("lan", owner)
    pools.put_pool("vrf", [IntegerRange(1, 5), IntegerRange(8, 9)])
    pools.acquire_number("vrf", "Network/lan")
    assert ipam.check() == []
    return store.engine


def corrupt(engine: Engine, *statements: str) -> None:
    """Change the tables by hand, past their own rules where there are some. {10.0.0.1} is the address's 16 bytes."""
    postgresql = engine.dialect.name == "postgresql"
    pooled = engine.raw_connection()
    raw: Any = pooled.driver_connection
    raw.execute("SET session_replication_role = replica" if postgresql else "PRAGMA foreign_keys = OFF")
    for statement in statements:
        raw.execute(_with_bytes(statement, postgresql=postgresql))
    raw.commit()
    pooled.invalidate()


def _with_bytes(statement: str, *, postgresql: bool) -> str:
    parts = statement.replace("}", "{").split("{")
    for at in range(1, len(parts), 2):
        number = int(parts[at]) if parts[at].isdigit() else parse_address(parts[at])
        parts[at] = f"'\\x{number.to_bytes(16).hex()}'::bytea" if postgresql else f"x'{number.to_bytes(16).hex()}'"
    return "".join(parts)


def prefix(network: str, at: int = 0) -> str:
    return f"(SELECT id FROM ipam_prefix WHERE network = '{network}' AND position = {at})"


WRONG = {
    "a lost address": (
        f"UPDATE ipam_free SET lo = {{192.168.0.5}} WHERE prefix = {prefix('lan')}",
        "1 of prefix 192.168.0.0/29 of network lan are neither free nor held: 192.168.0.4; rebuild",
    ),
    "an address that is free and held": (
        f"UPDATE ipam_free SET lo = {{192.168.0.3}} WHERE prefix = {prefix('lan')}",
        "192.168.0.3 of prefix 192.168.0.0/29 of network lan is held by IPAddress/two and free; rebuild",
    ),
    "a reserved address that is free": (
        f"INSERT INTO ipam_free (prefix, lo, hi) VALUES ({prefix('lan')}, {{192.168.0.1}}, {{192.168.0.1}})",
        (
            "192.168.0.1 is stored as free, but is outside of prefix 192.168.0.0/29 of network lan, or is reserved "
            "there; rebuild"
        ),
    ),
    "free intervals that touch": (
        f"INSERT INTO ipam_free (prefix, lo, hi) VALUES ({prefix('lan', 1)}, {{2001:db8::8}}, {{2001:db8::9}})",
        "free intervals of prefix 2001:db8::/64 of network lan touch or overlap at 2001:db8::8; rebuild",
    ),
    "a reserved address that is held": (
        f"INSERT INTO ipam_allocation (owner, prefix, address) VALUES ('o', {prefix('lan')}, {{192.168.0.1}})",
        (
            "192.168.0.1 is held by o, but is outside of prefix 192.168.0.0/29 of network lan, or is reserved "
            "there; release the address"
        ),
    ),
    "an address outside": (
        f"INSERT INTO ipam_allocation (owner, prefix, address) VALUES ('o', {prefix('lan')}, {{192.168.1.1}})",
        (
            "192.168.1.1 is held by o, but is outside of prefix 192.168.0.0/29 of network lan, or is reserved "
            "there; release the address"
        ),
    ),
    "an address in a container": (
        f"INSERT INTO ipam_allocation (owner, prefix, address) VALUES ('o', {prefix('super')}, {{10.0.0.32}})",
        (
            "10.0.0.32 is held by o in prefix 10.0.0.0/24 of network super, which is a container and must hold no "
            "addresses; release the address"
        ),
    ),
    "something said that cannot be read": (
        "UPDATE ipam_allocation SET about = 'nothing' WHERE owner = 'IPAddress/one'",
        "the description of the address of IPAddress/one cannot be read",
    ),
    "free intervals in a container": (
        f"INSERT INTO ipam_free (prefix, lo, hi) VALUES ({prefix('super')}, {{10.0.0.32}}, {{10.0.0.33}})",
        "prefix 10.0.0.0/24 of network super is a container, but has free intervals as if it had addresses; rebuild",
    ),
    "free blocks in a plain network": (
        f"INSERT INTO ipam_block (prefix, length, lo) VALUES ({prefix('lan')}, 30, {{192.168.0.4}})",
        "prefix 192.168.0.0/29 of network lan is not a container, but has free blocks as if it were one; rebuild",
    ),
    "a lost block": (
        f"DELETE FROM ipam_block WHERE prefix = {prefix('super')} AND length = 27",
        "of prefix 10.0.0.0/24 of network super are neither free nor held: 10.0.0.32/27",
    ),
    "a block in a child": (
        f"INSERT INTO ipam_block (prefix, length, lo) VALUES ({prefix('super')}, 28, {{10.0.0.0}})",
        "10.0.0.0 of prefix 10.0.0.0/24 of network super is in a and free; rebuild",
    ),
    "a reserved block that is free": (
        f"INSERT INTO ipam_block (prefix, length, lo) VALUES ({prefix('super')}, 29, {{10.0.0.240}})",
        (
            "10.0.0.240/29 is stored as free, but is outside of prefix 10.0.0.0/24 of network super, or is reserved "
            "there; rebuild"
        ),
    ),
    "a block of no alignment": (
        "UPDATE ipam_block SET lo = {10.0.0.24} WHERE lo = {10.0.0.16} AND length = 28",
        "the free block 10.0.0.24/28 of prefix 10.0.0.0/24 of network super does not begin where",
    ),
    "two buddies free": (
        f"""UPDATE ipam_block SET length = 28 WHERE prefix = {prefix("super")} AND length = 27;
        INSERT INTO ipam_block (prefix, length, lo) VALUES ({prefix("super")}, 28, {{10.0.0.48}})""",
        (
            "10.0.0.32/28 of prefix 10.0.0.0/24 of network super and the block beside this block are free as two "
            "blocks, not one; rebuild"
        ),
    ),
    "children that overlap": (
        "UPDATE ipam_prefix SET lo = {10.0.0.8}, hi = {10.0.0.15}, cidr = '10.0.0.8/29' WHERE network = 'b'",
        "prefix 10.0.0.0/28 of network a overlaps prefix 10.0.0.8/29 of network b in the same namespace",
    ),
    "a child outside": (
        "UPDATE ipam_prefix SET lo = {10.0.1.0}, hi = {10.0.1.63}, cidr = '10.0.1.0/26' WHERE network = 'b'",
        "prefix 10.0.1.0/26 of network b is not completely inside a prefix of its parent super",
    ),
    "a child in reserved space": (
        "UPDATE ipam_prefix SET lo = {10.0.0.240}, hi = {10.0.0.247}, cidr = '10.0.0.240/29' WHERE network = 'b'",
        "prefix 10.0.0.240/29 of network b is not completely inside a prefix of its parent super, or is reserved there",
    ),
    "a prefix of another scope": (
        "UPDATE ipam_prefix SET scope = ':' WHERE network = 'b'",
        "prefix 10.0.0.64/26 of network b is in scope ':', not '/super'; rebuild",
    ),
    "a prefix of two minds": (
        "UPDATE ipam_prefix SET cidr = '10.0.0.64/27' WHERE network = 'b'",
        "prefix 10.0.0.64/26 of network b is stored as 10.0.0.64/27",
    ),
    "a prefix that cannot be read": (
        "UPDATE ipam_prefix SET declared = 'nothing' WHERE network = 'b'",
        "a prefix of network b cannot be read",
    ),
    "a child of no container": (
        "UPDATE ipam_network SET container = 0 WHERE name = 'super'",
        "network a is a child of super, which is not a container",
    ),
    "a child of nobody": (
        "UPDATE ipam_network SET parent = 'gone' WHERE name = 'a'",
        "network a is a child of gone, which does not exist",
    ),
    "a child in another namespace": (
        "UPDATE ipam_network SET namespace = 'blue' WHERE name = 'a'",
        "network a is in namespace 'blue', and its parent super in 'red'; a running daemon applies the document again",
    ),
    "networks within each other": (
        "UPDATE ipam_network SET parent = 'a', container = 1 WHERE name = 'super'",
        "network super is below itself in the tree, through its parent a",
    ),
    "a prefix of no network": (
        "DELETE FROM ipam_network WHERE name = 'b'",
        "prefix 10.0.0.64/26 of network b belongs to a network that does not exist",
    ),
    "allocations without prefix": (
        "UPDATE ipam_allocation SET prefix = 999 WHERE owner = 'IPAddress/one'",
        "1 allocations refer to prefix row 999, which does not exist",
    ),
    "a lost number": (
        f"DELETE FROM ipam_free WHERE prefix = {prefix('#vrf')} AND lo = {{8}}",
        "2 of pool vrf are neither free nor held: 8-9; rebuild",
    ),
    "a number free and held": (
        f"UPDATE ipam_free SET lo = {{1}} WHERE prefix = {prefix('#vrf')} AND lo = {{2}}",
        "1 of pool vrf is held by Network/lan and free; rebuild",
    ),
    "a number outside": (
        f"INSERT INTO ipam_allocation (owner, prefix, address) VALUES ('#o', {prefix('#vrf')}, {{7}})",
        "7 is held by o, but is outside of pool vrf, or is reserved there; release the address",
    ),
    "a pool without numbers": (
        "DELETE FROM ipam_prefix WHERE family = 0",
        "pool vrf has no row of numbers; a running daemon applies the document again",
    ),
    "a pool in a namespace of networks": (
        "UPDATE ipam_prefix SET scope = ':' WHERE family = 0",
        "pool vrf is stored in more than one row",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_fault_is_found_and_told(engine: Engine, name: str) -> None:
    statements, told = WRONG[name]
    corrupt(engine, *statements.split(";"))
    found = EmbeddedIpam(engine).check()
    assert any(told in sentence for sentence in found), found
    assert all("; " in sentence for sentence in found), "the way out is missing"


@pytest.mark.parametrize("name", [name for name, (_, told) in WRONG.items() if told.endswith(("; have", "written"))])
def test_rebuilding_cures_what_follows_from_the_rest(engine: Engine, name: str) -> None:
    statements, _ = WRONG[name]
    corrupt(engine, *statements.split(";"))
    ipam = EmbeddedIpam(engine)
    held, networks = ipam.list(), ipam.networks()
    ipam.rebuild()
    assert ipam.check() == []
    assert (ipam.list(), ipam.networks()) == (held, networks)


def test_rebuilding_a_sound_one_changes_nothing(engine: Engine) -> None:
    def rows() -> list[list[tuple[object, ...]]]:
        with engine.connect() as connection:
            tables = ("ipam_network", "ipam_prefix", "ipam_free", "ipam_block", "ipam_allocation")
            return [
                sorted(map(tuple, connection.execute(text(f"SELECT * FROM {table}"))), key=repr) for table in tables
            ]

    before = rows()
    EmbeddedIpam(engine).rebuild()
    assert rows() == before
