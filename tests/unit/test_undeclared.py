"""Machines that the boot service met: what is kept of them, and which of the found BMCs is theirs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Inventory, Nic, SystemState
from reconciler.onboarding.discovery import Declared, FoundSystem
from reconciler.onboarding.undeclared import (
    MAX_UNDECLARED,
    UNDECLARED_KEPT,
    UndeclaredMachine,
    forge_text,
    match_undeclared,
    read_undeclared,
    remembered,
    undeclared,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
A, B = "5a1f0000-0000-4000-8000-00000000000a", "5a1f0000-0000-4000-8000-00000000000b"
A_TURNED = "00001f5a-0000-0040-8000-00000000000a"
MAC, OTHER, SHARED = "52:54:00:00:00:01", "52:54:00:00:00:02", "52:54:00:00:00:ff"


def met(uuid: str = "", *macs: str, at: datetime = NOW, **fields: Any) -> UndeclaredMachine:
    return UndeclaredMachine(at, uuid, macs, **fields)


def system(n: int, uuid: str | None = None, *macs: str, **state: Any) -> FoundSystem:
    nics = Inventory(nics=tuple(Nic(f"eth{at}", mac) for at, mac in enumerate(macs))) if macs else None
    return FoundSystem(f"https://10.0.0.{n}", "p", SystemState(uuid=uuid, **state), nics)


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_of_what_the_agent_collected_the_words_for_people_are_kept() -> None:
    neighbour = {"eth0": {"chassis": {"leaf1": {"id": {"value": "x"}}}, "port": {"id": {"value": "Eth7"}}}}
    collected = {
        "dmi": {"serial": "S1", "product": "R650"},
        "lsblk": {"blockdevices": [{"name": "sda", "type": "disk", "size": 10**12}]},
        "lldp": {"lldp": {"interface": [neighbour]}},
    }
    kept = read_undeclared(A.upper(), [MAC.upper(), "rubbish"], collected, NOW)
    assert (kept.uuid, kept.macs, kept.serial, kept.product) == (A, (MAC,), "S1", "R650")
    assert (kept.parts, kept.neighbours) == ("1 disks", ("leaf1 Eth7",))
    assert str(kept) == f"UUID {A}, MAC addresses {MAC}; R650; serial S1; 1 disks; on leaf1 Eth7"


def test_of_a_machine_that_names_no_product_the_maker_of_its_network_cards_is_said() -> None:
    cards = ("3c:ec:ef:00:00:01", "3c:ec:ef:00:00:02", MAC)
    said = "network cards of Super Micro Computer, Inc."
    assert said in str(met(A, *cards))
    assert said not in str(met(A, *cards, product="X12"))
    assert "network cards" not in str(met(A, MAC))


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("PowerEdge R650 (2U)", "PowerEdge R650 (2U)"),
        ("x\nFixes #12", "xFixes 12"),
        ("@ops [skip ci] `rm`", "ops skip ci rm"),
        ("\x1b[31mred", "31mred"),
        ("a" * 500, "a" * 80),
    ],
)
def test_what_a_forge_or_a_terminal_would_act_on_is_taken_out(said: str, kept: str) -> None:
    assert forge_text(said) == kept


@given(
    st.dictionaries(
        st.sampled_from(["dmi", "serial", "lldp", "lshw", "lsblk"]),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=9),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["serial", "uuid", "lldp", "interface"]), inner, max_size=3)
            ),
            max_leaves=9,
        ),
    )
)
def test_whatever_is_collected_is_one_line_without_marks(collected: dict[str, object]) -> None:
    said = str(read_undeclared(None, [], collected, NOW))
    assert not set("\n\r#@`[]") & set(said)


@pytest.mark.parametrize(
    ("known", "left"),
    [
        ([met(A, MAC)], 1),
        ([met(A_TURNED)], 1),
        ([met("", MAC)], 1),
        ([met(B, MAC)], 2),
        ([met(B)], 2),
        ([met(B, at=NOW - UNDECLARED_KEPT - timedelta(seconds=1))], 1),
        ([met(f"{n:032x}") for n in range(MAX_UNDECLARED)], MAX_UNDECLARED),
    ],
)
def test_each_is_kept_once_and_not_for_ever_and_not_too_many(known: list[UndeclaredMachine], left: int) -> None:
    kept = remembered(known, met(A, MAC))
    assert (len(kept), kept[-1]) == (left, met(A, MAC))


# -- whose it is -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "uuids", "macs", "is_new"),
    [
        (met(A, MAC), {}, {}, True),
        (met(A), {A: "m"}, {}, False),
        (met(A), {A_TURNED: "m"}, {}, False),
        (met("", MAC), {}, {MAC: "m"}, False),
        (met(A, MAC), {}, {MAC: "m"}, False),
        (met(A, SHARED), {B: "m"}, {SHARED: "m"}, True),
        (met("", MAC), {B: "m"}, {MAC: "m"}, False),
    ],
)
def test_a_machine_is_declared_by_its_uuid_or_by_a_mac_of_a_machine_that_is_no_other(
    one: UndeclaredMachine, uuids: dict[str, str], macs: dict[str, str], is_new: bool
) -> None:
    assert undeclared([one], Declared({}, macs, uuids, frozenset())) == ([one] if is_new else [])


@pytest.mark.parametrize(
    ("found", "one", "is_joined", "is_lone"),
    [
        ([system(1, A)], met(A, MAC), True, False),
        ([system(1, A.upper())], met(A_TURNED, MAC), True, False),
        ([system(1, B)], met(A, MAC), False, True),
        ([system(1, B, MAC)], met(A, MAC), False, True),
        ([system(1, A, MAC)], met(A, MAC, OTHER), True, False),
        ([system(1, A, MAC)], met(A, OTHER), False, True),
        ([system(1, A, MAC)], met(A), True, False),
        ([system(1, None, MAC)], met(A, MAC), True, False),
        ([system(1, A, MAC)], met("", MAC), True, False),
        ([system(1, A), system(2, A)], met(A, MAC), False, False),
        ([system(1, None, SHARED), system(2, None, SHARED)], met("", SHARED), False, False),
        ([], met(A), False, True),
    ],
)
def test_a_bmc_is_joined_with_the_machine_where_it_is_clear_that_it_is_its(
    found: list[FoundSystem], one: UndeclaredMachine, is_joined: bool, is_lone: bool
) -> None:
    joined, lone = match_undeclared(found, [one])
    assert (joined != found, lone == [one]) == (is_joined, is_lone)
    assert [identity.address for identity in joined] == [identity.address for identity in found]


def test_two_machines_that_both_fit_one_bmc_are_not_joined_and_not_called_alone() -> None:
    found = [system(1, A)]
    assert match_undeclared(found, [met(A, MAC), met(A, OTHER)]) == (found, [])


def test_what_is_joined_has_the_macs_of_both_and_the_bmc_s_word_before_the_agent_s() -> None:
    told = met(A, MAC, OTHER, serial="from the agent", parts="2 disks", neighbours=("leaf1 Eth7",))
    (first, second), _ = match_undeclared(
        [system(1, A, MAC, serial="from the BMC"), system(2, B)], [told, met(B, serial="B1")]
    )
    assert (first.state.serial, second.state.serial) == ("from the BMC", "B1")
    assert first.inventory is not None
    assert [nic.mac for nic in first.inventory.nics or ()] == [MAC, OTHER]
    (note,) = first.notes
    assert note.startswith("found by the boot service: 2 disks, on leaf1 Eth7; ")
    assert note.endswith(f"; MAC addresses that only the machine itself reports: {OTHER}")
