"""NetBox by the driver does what the embedded IPAM does, call by call: a walk by chance over both.

Left out is what NetBox lacks: networks without a prefix, and children that are a whole prefix.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.base import About, DriverError, Ipam, IpamNetwork, Prefix
from drivers.ipam.embedded.embedded import EmbeddedIpam
from drivers.ipam.netbox.netbox import NetboxIpam
from reconciler.store import Store
from tests.drivers.netbox_fixture import FLEET, Person, real

STEPS = 60
SUPER = [("10.0.0.0/26",), ("10.0.0.0/26", "2001:db8::/60"), ("10.0.0.0/25",)]
MID = [("10.0.0.0/28",), ("10.0.0.32/28",), ("10.0.0.32/28", "10.0.0.48/29")]
PLAIN = ["10.0.0.0/29", "10.0.0.4/30", "10.0.0.32/30", "10.0.0.48/28", "192.168.0.0/30", "2001:db8::/125"]
ABOUTS = [About(), About(ephemeral=True, tags=("x",)), About(dns_name="a.example.org", project="shop")]
Call = Callable[[Ipam], object]


@pytest.fixture
def both(empty_sqlite_url: str, tmp_path: Path) -> Iterator[tuple[Ipam, Ipam]]:
    """The two, empty."""
    url, token = real()
    person = Person(url, token)
    person.empty()
    person.close()
    store = Store.open(empty_sqlite_url)
    netbox = NetboxIpam(url, lambda: token, fleet=FLEET)
    yield EmbeddedIpam(store.engine), netbox
    netbox.close()
    store.close()


def outcome(ipam: Ipam, call: Call) -> object:
    """What came of it; of an error its kind."""
    try:
        return call(ipam)
    except DriverError as error:
        return error.reason


def network(chance: random.Random) -> Call:
    name = chance.choice(["super", "mid", "a", "a", "b", "b", "c"])
    namespace = chance.choice(["", "", "", "red"])
    if name == "super":
        wanted = IpamNetwork(prefixes(chance, chance.choice(SUPER)), container=True, namespace=namespace)
        return lambda ipam: ipam.put_network(name, wanted)
    if name == "mid":
        wanted = IpamNetwork(prefixes(chance, chance.choice(MID)), parent="super", container=True)
        return lambda ipam: ipam.put_network(name, wanted)
    parent = chance.choice([None, "super", "mid"])
    if parent and chance.random() < 0.6:
        child, lengths = IpamNetwork(parent=parent, project=chance.choice(["", "shop"])), {4: chance.choice([30, 31])}
        return lambda ipam: ipam.put_network(name, child, lengths)
    plain = IpamNetwork(
        prefixes(chance, chance.sample(PLAIN, chance.choice([1, 1, 2]))),
        parent=parent,
        namespace="" if parent else namespace,
        shared=chance.random() < 0.3,
    )
    return lambda ipam: ipam.put_network(name, plain)


def prefixes(chance: random.Random, cidrs: tuple[str, ...] | list[str]) -> tuple[Prefix, ...]:
    def reserved(cidr: str) -> tuple[str, ...]:
        return (f"{cidr.partition('/')[0]}",) if chance.random() < 0.3 else ()

    return tuple(Prefix(cidr, reserved(cidr)) for cidr in cidrs)


def step(chance: random.Random) -> Call:
    """A call by chance."""
    owner, name = f"o{chance.randrange(6)}", chance.choice(["a", "b", "c", "super"])
    about = chance.choice(ABOUTS)
    kind = chance.choice(["network"] * 4 + ["drop"] + ["acquire"] * 5 + ["given"] * 2 + ["release"] * 2 + ["describe"])
    if kind == "network":
        return network(chance)
    if kind == "drop":
        dropped = chance.choice([name, "mid"])
        return lambda ipam: ipam.drop_network(dropped)
    if kind == "acquire":
        family = chance.choice([None, None, 4, 6])
        return lambda ipam: ipam.acquire(name, owner, family=family, about=about)
    if kind == "given":
        address = f"10.0.0.{chance.randrange(64)}"
        return lambda ipam: ipam.acquire(name, owner, address=address, about=about)
    if kind == "release":
        return lambda ipam: ipam.release(owner)
    return lambda ipam: ipam.describe(owner, about)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.timeout(900)
def test_netbox_does_what_the_embedded_one_does(both: tuple[Ipam, Ipam], seed: int) -> None:
    embedded, netbox = both
    chance = random.Random(seed)
    for at in range(STEPS):
        call = step(chance)
        assert (at, outcome(netbox, call)) == (at, outcome(embedded, call))
        assert (at, netbox.networks()) == (at, embedded.networks())
        assert (at, netbox.list()) == (at, embedded.list())
    assert netbox.check() == []
    assert netbox.usage() == embedded.usage()
