"""The NetBox driver beside people and other processes, in a real NetBox (tests.drivers.netbox_fixture)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from drivers.base import About, Allocation, Busy, Conflict, DriverError, IpamNetwork, Prefix
from drivers.ipam.netbox.netbox import NetboxIpam
from drivers.ipam.netbox.netbox_wire import NetboxConnection
from tests.drivers.netbox_fixture import FLEET, Person, real

PERSON = "GROUNDSTATE_NETBOX_PERSON_TOKEN"
ROOT = Path(__file__).parents[2]
LAN = IpamNetwork((Prefix("10.9.0.0/24", ("10.9.0.1", "10.9.0.100-10.9.0.119")),))

WORKER = """
import os, sys
from drivers.ipam.netbox.netbox import NetboxIpam
url, prefix, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
ipam = NetboxIpam(url, lambda: os.environ["GROUNDSTATE_NETBOX_TOKEN"], fleet="test-fleet")
for at in range(number):
    print(ipam.acquire("lan", f"{prefix}{at}"), flush=True)
"""


@pytest.fixture
def person() -> Iterator[Person]:
    """Somebody with a token of their own; NetBox's IPAM is empty."""
    url, token = real()
    one = Person(url, os.environ.get(PERSON, token))
    one.empty()
    yield one
    one.close()


@pytest.fixture
def netbox(person: Person) -> Iterator[NetboxIpam]:
    """The driver, with the network `lan`."""
    url, token = real()
    ipam = NetboxIpam(url, lambda: token, fleet=FLEET)
    ipam.put_network("lan", LAN)
    yield ipam
    ipam.close()


def worker(prefix: str, number: int) -> subprocess.Popen[str]:
    url, _ = real()
    command = [sys.executable, "-c", WORKER, url, prefix, str(number)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def the_prefix(person: Person) -> int:
    return int(person.get("ipam/prefixes/", prefix="10.9.0.0/24")[0]["id"])


def the_address(person: Person, owner: str) -> dict[str, Any]:
    return person.get("ipam/ip-addresses/", cf_groundstate_owner=f"{FLEET}:{owner}")[0]


def test_processes_and_a_person_share_a_prefix_and_no_address_is_given_twice(
    netbox: NetboxIpam, person: Person
) -> None:
    workers = [worker("one-", 20), worker("two-", 20)]
    place = the_prefix(person)
    by_hand = [person.post(f"ipam/prefixes/{place}/available-ips/", {"description": "by hand"}) for _ in range(20)]
    ours = [line for one in workers for line in one.communicate(timeout=300)[0].split()]
    assert [one.returncode for one in workers] == [0, 0]
    theirs = [str(one["address"]).partition("/")[0] for one in by_hand]
    assert len({*ours, *theirs}) == 60
    assert "10.9.0.1" not in ours
    after = {one["id"]: one for one in person.get("ipam/ip-addresses/", description="by hand")}
    assert all(after[one["id"]]["last_updated"] == one["last_updated"] for one in by_hand)
    assert sorted(one.address for one in netbox.list()) == sorted(ours)
    assert netbox.check() == []


def test_threads_of_one_driver_are_served_in_batches(netbox: NetboxIpam, monkeypatch: pytest.MonkeyPatch) -> None:
    posts: list[int] = []
    post = NetboxConnection.post

    def counted(self: NetboxConnection, path: str, body: Any) -> Any:
        posts.append(len(body))
        return post(self, path, body)

    monkeypatch.setattr(NetboxConnection, "post", counted)
    with ThreadPoolExecutor(64) as pool:
        got = list(pool.map(lambda at: netbox.acquire("lan", f"o{at}"), range(128)))
    assert len(set(got)) == 128
    assert not {f"10.9.0.{number}" for number in range(100, 120)} & set(got)
    assert sum(posts) == 128
    assert len(posts) <= 32


def test_one_who_cannot_be_served_does_not_fail_the_others_of_its_batch(netbox: NetboxIpam) -> None:
    # NetBox takes no dns_name with a blank in it, and says so of the whole list.
    def acquire(at: int) -> str | DriverError:
        try:
            return netbox.acquire("lan", f"o{at}", about=About(dns_name="not a name" if at == 7 else f"h{at}"))
        except DriverError as error:
            return error

    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(acquire, range(16)))
    assert [at for at, one in enumerate(got) if isinstance(one, DriverError)] == [7]
    assert "dns_name" in str(got[7])
    assert len(netbox.list()) == 15


def test_the_last_addresses_go_to_some_and_the_others_are_exhausted(netbox: NetboxIpam) -> None:
    netbox.put_network("small", IpamNetwork((Prefix("10.8.0.0/29"),)))

    def acquire(at: int) -> str | None:
        try:
            return netbox.acquire("small", f"o{at}")
        except DriverError:
            return None

    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(acquire, range(16)))
    assert sorted(one for one in got if one) == [f"10.8.0.{number}" for number in range(1, 7)]


def test_one_owner_asked_for_by_many_gets_one_address(netbox: NetboxIpam) -> None:
    url, token = real()
    drivers = [NetboxIpam(url, lambda: token, fleet=FLEET) for _ in range(4)]
    with ThreadPoolExecutor(16) as pool:
        got = set(pool.map(lambda at: drivers[at % 4].acquire("lan", "a"), range(32)))
    for one in drivers:
        one.close()
    assert len(got) == 1
    assert len(netbox.list()) == 1


def test_two_drivers_that_want_one_address_do_not_both_get_it(netbox: NetboxIpam) -> None:
    url, token = real()
    other = NetboxIpam(url, lambda: token, fleet=FLEET)

    def acquire(ipam: NetboxIpam, owner: str) -> str | DriverError:
        try:
            return ipam.acquire("lan", owner, address="10.9.0.50")
        except DriverError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(acquire, (netbox, other), "ab"))
    other.close()
    assert [one for one in got if one == "10.9.0.50"] == ["10.9.0.50"]
    assert any(isinstance(one, Conflict) and "is held by" in str(one) for one in got)


def test_networks_that_overlap_put_at_once_never_both_stay(netbox: NetboxIpam, person: Person) -> None:
    url, token = real()
    other = NetboxIpam(url, lambda: token, fleet=FLEET)
    start = threading.Barrier(2)

    def put(ipam: NetboxIpam, name: str, cidr: str) -> bool:
        start.wait(30)
        try:
            ipam.put_network(name, IpamNetwork((Prefix(cidr),)))
        except (Conflict, Busy):
            return False
        return True

    for at in range(5):
        names, cidrs = (f"x{at}", f"y{at}"), (f"10.{at + 20}.0.0/16", f"10.{at + 20}.4.0/24")
        with ThreadPoolExecutor(2) as pool:
            got = list(pool.map(put, (netbox, other), names, cidrs))
        kept = [name for name in names if netbox.network(name) is not None]
        assert kept == [name for name, done in zip(names, got, strict=True) if done]
        assert len(kept) <= 1
    other.close()
    assert netbox.check() == []


def test_after_kill_9_in_the_middle_the_same_owners_have_the_same_addresses(netbox: NetboxIpam) -> None:
    one = worker("o", 30)
    assert one.stdout is not None
    before = [one.stdout.readline().strip() for _ in range(5)]
    one.send_signal(signal.SIGKILL)
    one.communicate(timeout=60)
    again = worker("o", 30)
    after = again.communicate(timeout=300)[0].split()
    assert after[:5] == before
    assert len(set(after)) == 30
    assert len(netbox.list()) == 30
    assert netbox.check() == []


class TestPeople:
    def test_an_address_made_by_hand_is_held_by_netbox(self, netbox: NetboxIpam, person: Person) -> None:
        made = person.post("ipam/ip-addresses/", {"address": "10.9.0.2/24", "description": "by hand"})
        assert netbox.acquire("lan", "a") == "10.9.0.3"
        with pytest.raises(Conflict, match=rf"held by NetBox \(.*/ip-addresses/{made['id']}/"):
            netbox.acquire("lan", "b", address="10.9.0.2")
        assert [one.owner for one in netbox.list()] == ["a"]

    @pytest.mark.parametrize(
        ("change", "seen"),
        [
            (
                {"dns_name": "other.example.org"},
                Allocation("a", "lan", "10.9.0.2", About(dns_name="other.example.org")),
            ),
            ({"tags": []}, None),
            ({"custom_fields": {"groundstate_owner": None}}, None),
        ],
    )
    def test_their_edits_of_ours_are_seen(
        self, netbox: NetboxIpam, person: Person, change: dict[str, Any], seen: Allocation | None
    ) -> None:
        netbox.acquire("lan", "a", about=About(dns_name="web.example.org"))
        person.patch(f"ipam/ip-addresses/{the_address(person, 'a')['id']}/", change)
        assert netbox.holding("a") == seen
        assert netbox.list() == ([seen] if seen else [])

    def test_one_of_ours_that_they_delete_is_gone(self, netbox: NetboxIpam, person: Person) -> None:
        netbox.acquire("lan", "a")
        person.delete(f"ipam/ip-addresses/{the_address(person, 'a')['id']}/")
        assert netbox.holding("a") is None
        assert netbox.acquire("lan", "a") == "10.9.0.2"

    def test_one_that_they_took_the_tag_off_is_not_touched_and_named(self, netbox: NetboxIpam, person: Person) -> None:
        netbox.acquire("lan", "a")
        place = f"ipam/ip-addresses/{the_address(person, 'a')['id']}/"
        person.patch(place, {"tags": []})
        netbox.release("a")
        with pytest.raises(Conflict, match="add the tag again"):
            netbox.acquire("lan", "a")
        assert len(person.get("ipam/ip-addresses/")) == 1
        assert any("not the tag" in problem for problem in netbox.check())

    def test_a_range_of_ours_that_they_delete_is_seen_and_made_again(self, netbox: NetboxIpam, person: Person) -> None:
        gone = next(one for one in person.get("ipam/ip-ranges/") if one["start_address"].startswith("10.9.0.100"))
        person.delete(f"ipam/ip-ranges/{gone['id']}/")
        assert netbox.network("lan") == IpamNetwork((Prefix("10.9.0.0/24", ("10.9.0.1",)),))
        assert any("reserved" in problem for problem in netbox.check())
        netbox.put_network("lan", LAN)
        assert netbox.network("lan") == LAN
        assert netbox.check() == []

    def test_a_prefix_of_ours_that_they_delete_is_gone(self, netbox: NetboxIpam, person: Person) -> None:
        person.delete(f"ipam/prefixes/{the_prefix(person)}/")
        assert netbox.network("lan") is None

    def test_a_prefix_that_they_made_is_in_the_way_and_stays(self, netbox: NetboxIpam, person: Person) -> None:
        made = person.post("ipam/prefixes/", {"prefix": "10.7.0.0/24"})
        with pytest.raises(Conflict, match=r"10\.7\.0\.0/24"):
            netbox.put_network("dmz", IpamNetwork((Prefix("10.7.0.0/24"),)))
        assert [one["id"] for one in person.get("ipam/prefixes/", prefix="10.7.0.0/24")] == [made["id"]]

    def test_a_prefix_that_they_made_in_a_container_is_not_chosen(self, netbox: NetboxIpam, person: Person) -> None:
        netbox.put_network("super", IpamNetwork((Prefix("10.6.0.0/24"),), container=True))
        person.post("ipam/prefixes/", {"prefix": "10.6.0.0/26"})
        got = netbox.put_network("a", IpamNetwork(parent="super"), {4: 26})
        assert got.prefixes == (Prefix("10.6.0.64/26"),)
        with pytest.raises(Conflict, match="groundstate does not manage"):
            netbox.put_network("b", IpamNetwork((Prefix("10.6.0.0/28"),), parent="super"))

    def test_their_addresses_count_as_used(self, netbox: NetboxIpam, person: Person) -> None:
        netbox.acquire("lan", "a")
        person.post("ipam/ip-addresses/", {"address": "10.9.0.77/24"})
        [usage] = netbox.usage("lan")
        assert (usage.size, usage.used) == (254 - 21, 2)


def test_two_fleets_share_a_netbox_and_see_nothing_of_each_other(netbox: NetboxIpam, person: Person) -> None:
    url, token = real()
    other = NetboxIpam(url, lambda: token, fleet="test-other")
    other.put_network("lan", IpamNetwork((Prefix("10.5.0.0/24"),)))
    assert [netbox.acquire("lan", "a"), other.acquire("lan", "a")] == ["10.9.0.2", "10.5.0.1"]
    assert [one.address for one in netbox.list()] == ["10.9.0.2"]
    assert [one.address for one in other.list()] == ["10.5.0.1"]
    with pytest.raises(Conflict, match=r"10\.9\.0\.0/24"):
        other.put_network("dmz", IpamNetwork((Prefix("10.9.0.0/24"),)))
    assert netbox.check() == other.check() == []
    other.close()
