"""`groundstate ipam`, and networks from git to the IPAM and back."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.e2e.desk import Desk, address, document, network

POOL = document("Pool", "vrfs", ranges=["100-103"])
SUPER = document(
    "Network", "tenants", type="Super", prefixes=[{"cidr": "10.64.0.0/22"}], childPrefixLength={"IPv4": 24}
)
OWNERS = [document("Tenant", "acme"), document("Project", "shop", tenant="acme")]


def child(name: str, **spec: object) -> dict[str, object]:
    return document("Network", name, parent="tenants", project="shop", deletionPolicy="Release", **spec)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A parent with two children, one with a VRF and an address."""
    desk = Desk(tmp_path_factory.mktemp("original") / "desk")
    shop = child("shop", vrf={"pool": "vrfs"})
    desk.commit(lab=[POOL, SUPER, *OWNERS, shop, child("ads"), address("front", network="shop", dnsName="www.example")])
    done = desk.run("apply", "--yes")
    assert done.code == 0, done
    return desk


@pytest.fixture
def full(original: Desk, tmp_path: Path) -> Desk:
    return original.copy(tmp_path / "desk")


def test_children_vrf_and_address_come_in_one_commit_and_the_plan_is_empty_then(full: Desk) -> None:
    assert full.run("plan").code == 0
    shown = full.run("ipam", "tree").out
    assert "└─ 10.64." in shown
    assert "vrfs  100-103" in shown
    [held] = full.run("ipam", "get", "-o", "json").json["addresses"]
    assert held["owner"] == "IPAddress/front"
    assert held["about"] == {"ephemeral": True, "dns_name": "www.example", "project": "shop"}
    assert [e.message for e in full.told("ActionConfirmed", "front")] == [
        f"acquire (shop) took effect: {held['address']}"
    ]


def test_a_network_that_leaves_git_gives_back_its_prefix_and_its_number(full: Desk) -> None:
    full.commit(lab=[POOL, SUPER, *OWNERS, child("ads")])
    done = full.run("apply", "--yes")
    assert done.code == 0, done
    assert full.run("plan").code == 0
    found = full.run("ipam", "get", "-o", "json").json
    assert found == {"addresses": [], "numbers": []}
    assert {one["network"] for one in full.run("ipam", "usage", "-o", "json").json["networks"]} == {"ads", "tenants"}


def test_a_full_parent_is_told_in_the_plan_with_what_is_free(full: Desk) -> None:
    more = [child(f"more-{n}") for n in range(3)]
    full.commit(lab=[POOL, SUPER, *OWNERS, child("shop"), child("ads"), *more])
    planned = full.run("plan")
    assert planned.code == 3, planned
    assert "Network/tenants has no free /24 for this network; free before this plan: 1 x /23" in planned.out


def test_what_has_leaked_is_shown_and_collected(full: Desk) -> None:
    """A store that was lost, while the documents had gone: nobody remembers what is held."""
    copy = full.folder / "ipam.yaml"
    assert full.run("ipam", "export", "--out", str(copy)).code == 0
    full.commit(lab=[POOL, SUPER, *OWNERS, child("shop", vrf={"pool": "vrfs"}), child("ads")])
    full.store.unlink()
    assert "--new-store" in full.run("ipam", "import", str(copy)).err
    assert full.run("ipam", "import", str(copy), "--new-store").code == 0
    planned = full.run("plan")
    assert planned.code == 2, planned
    assert "leaked" in planned.out
    assert full.run("apply", "--yes").code == 0
    assert full.run("ipam", "get", "-o", "json").json["addresses"] == []
    assert full.run("plan").code == 0


class TestCopies:
    def test_a_copy_put_into_an_empty_store_is_the_same_again(self, full: Desk, tmp_path: Path) -> None:
        copy = full.run("ipam", "export").out
        other = str(tmp_path / "other.db")
        done = full.run("ipam", "import", "-", "--store", other, "--new-store", stdin=copy)
        assert done.code == 0, done
        assert full.run("ipam", "export", "--store", other).out == copy
        assert full.run("ipam", "check", "--store", other).code == 0

    def test_it_can_be_done_twice(self, full: Desk) -> None:
        copy = full.run("ipam", "export").out
        assert full.run("ipam", "import", "-", stdin=copy).code == 0
        assert full.run("ipam", "export").out == copy

    def test_one_that_is_refused_in_part_changes_nothing(self, full: Desk) -> None:
        before = full.run("ipam", "export").out
        [held] = full.run("ipam", "get", "-o", "json").json["addresses"]
        stolen = before.replace("IPAddress/front", "IPAddress/thief")
        done = full.run("ipam", "import", "-", stdin=stolen)
        assert done.code == 1
        assert f"{held['address']} in network shop is held by IPAddress/front" in done.err
        assert full.run("ipam", "export").out == before

    @pytest.mark.parametrize(
        "text", ["", "a: [", "format: other/1\n", "format: groundstate-ipam/1\nnetwrks: {}\n", "[" * 99]
    )
    def test_what_is_no_copy_is_refused_in_words(self, desk: Desk, text: str) -> None:
        done = desk.run("ipam", "import", "-", stdin=text)
        assert done.code == 1
        assert "not a file written by" in done.err

    def test_a_dry_run_changes_nothing(self, full: Desk, tmp_path: Path) -> None:
        copy = full.run("ipam", "export").out
        other = tmp_path / "other.db"
        done = full.run("ipam", "import", "-", "--dry-run", "--store", str(other), stdin=copy)
        assert done.code == 0, done
        assert "would be imported" in done.out
        assert not other.exists()


def test_a_name_that_is_not_there_is_said(desk: Desk) -> None:
    desk.commit(lab=[network()])
    assert desk.run("apply", "--yes").code == 0
    assert "the IPAM has no network 'nte'" in desk.run("ipam", "tree", "nte").err
    assert "10.0.0.9 is not allocated" in desk.run("ipam", "get", "10.0.0.9").err


@pytest.mark.parametrize("word", ["IPAddress/front", "ip/front", "network/shop", "shop"])
def test_what_is_held_is_found_by_every_name_that_other_commands_know(full: Desk, word: str) -> None:
    [held] = full.run("ipam", "get", word, "-o", "json").json["addresses"]
    assert held["owner"] == "IPAddress/front"


def test_the_numbers_of_a_pool_are_found_by_its_kind_and_name(full: Desk) -> None:
    [held] = full.run("ipam", "get", "pool/vrfs", "-o", "json").json["numbers"]
    assert held["owner"] == "Network/shop"


def test_one_missing_name_among_others_is_not_passed_over(full: Desk) -> None:
    held = full.run("ipam", "get")
    asked = full.run("ipam", "get", held.out.split("\n")[1].split()[0], "nope")
    assert (held.code, asked.code) == (0, 1)
    assert "error: nope is not allocated;" in asked.err


def test_check_says_that_all_is_sound(full: Desk) -> None:
    done = full.run("ipam", "check")
    assert (done.code, done.out) == (0, "No errors: 3 networks, 1 address.\n")


def test_what_is_free_can_be_written_anew_and_that_is_in_the_ledger(full: Desk) -> None:
    with sqlite3.connect(full.store) as database:
        database.execute("DELETE FROM ipam_free")
    broken = full.run("ipam", "check")
    assert broken.code == 1
    assert "ipam check --rebuild" in broken.out
    assert full.run("ipam", "check", "--rebuild").code == 0
    assert len(full.told("IpamRebuilt")) == 1
    assert full.run("plan").code == 0
