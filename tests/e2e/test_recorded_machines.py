"""Every recorded machine is planned, powered, booted, lit and read through the command line, as the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trees.abilities import PAGE, Ability, abilities, page
from tests.trees.replay import MISSING, TREES, recorded_systems

pytestmark = pytest.mark.skipif(not TREES.is_dir(), reason=MISSING)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Ability]:
    return abilities(tmp_path_factory.mktemp("trees"))


def test_every_system_of_every_tree_is_tried(found: list[Ability]) -> None:
    assert [one.system for one in found] == recorded_systems()
    assert len({one.system.name for one in found}) == len(found)


def test_every_machine_can_be_switched_off_and_on(found: list[Ability]) -> None:
    assert [one.system.name for one in found if one.tried["off"] or one.tried["on"]] == []


def test_a_machine_whose_tree_has_a_boot_override_that_stays_takes_one(found: list[Ability]) -> None:
    for one in found:
        boot = one.system.document.get("Boot") or {}
        lasting = "Continuous" in boot.get("BootSourceOverrideEnabled@Redfish.AllowableValues", ("Continuous",))
        offered = "BootSourceOverrideTarget" in boot and lasting
        assert (not one.tried["boot"] and not one.tried["boot_off"]) is offered, one


def test_the_page_says_it(found: list[Ability]) -> None:
    assert PAGE.read_text("utf-8") == page(found), "it is out of date; run ./dev trees"


def test_the_password_and_the_trees_stay_out_of_the_page(tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    assert "127.0.0.1" not in text
    assert str(TREES) not in text
