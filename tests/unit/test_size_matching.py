"""Which sizes fit a machine, and sizes that would fit the same one."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.base import Disk, Gpu, Inventory, Processor
from reconciler.kinds.catalogue.size import (
    Constraint,
    ConstraintType,
    SizeSpec,
    check_size,
    quantity_number,
    shown_amount,
)
from reconciler.kinds.catalogue.size_matching import SizeVerdict, explain_size
from reconciler.kinds.catalogue.size_overlap import example
from tests.unit.planning_worlds import resource

GIB = 2**30
T = TypeVar("T")


def cores(low: int, high: int, identifier: str | None = None) -> Constraint:
    return Constraint(type=ConstraintType.CORES, min=low, max=high, identifier=identifier)


def memory(low: int | str, high: int | str) -> Constraint:
    return Constraint(type=ConstraintType.MEMORY, min=low, max=high)


def storage(low: int | str, high: int | str, identifier: str | None = None) -> Constraint:
    return Constraint(type=ConstraintType.STORAGE, min=low, max=high, identifier=identifier)


def gpu(low: int, high: int, identifier: str = "*") -> Constraint:
    return Constraint(type=ConstraintType.GPU, min=low, max=high, identifier=identifier)


def machine(**more: Any) -> Inventory:
    base = {"processors": (Processor("Intel Xeon", 16), Processor("Intel Xeon", 16)), "memory": 128 * GIB}
    return Inventory(**{**base, **more})


def verdict(inventory: Inventory, *constraints: Constraint) -> SizeVerdict:
    return explain_size("s", constraints, inventory).verdict


BASE = (cores(32, 64), memory("128Gi", "256Gi"))
NVME = (Disk("/dev/nvme0n1", 500 * GIB), Disk("/dev/nvme1n1", 500 * GIB))


@pytest.mark.parametrize(("held", "fits"), [((32, 32), True), ((1, 31), False), ((33, 64), False), ((32, 40), True)])
def test_the_sum_over_processors_lies_in_the_range_with_both_ends(held: tuple[int, int], fits: bool) -> None:
    found = verdict(machine(), cores(*held), memory(0, "1Ti"))
    assert found is (SizeVerdict.FITS if fits else SizeVerdict.DIFFERS)


def test_disks_are_summed_over_what_the_pattern_names() -> None:
    found = explain_size("s", (*BASE, storage("900Gi", "1000Gi", "/dev/nvme*")), machine(disks=NVME))
    assert (found.verdict, found.checks[2].found) == (SizeVerdict.FITS, 1000 * GIB)


def test_a_part_that_no_constraint_counts_does_not_fit() -> None:
    disks = (*NVME, Disk("/dev/sda", GIB))
    found = explain_size("s", (*BASE, storage(0, "9Ti", "/dev/nvme*")), machine(disks=disks, gpus=(Gpu("H100"),)))
    assert found.verdict is SizeVerdict.DIFFERS
    assert found.uncovered == ("disk /dev/sda", "GPU H100")


def test_a_machine_without_disks_needs_no_constraint_on_them() -> None:
    assert verdict(machine(), *BASE) is SizeVerdict.FITS


def test_gpus_are_counted_by_model() -> None:
    gpus = (Gpu("NVIDIA H100"), Gpu("NVIDIA H100"), Gpu("AMD MI300X"))
    assert verdict(machine(gpus=gpus), *BASE, gpu(2, 2, "NVIDIA*"), gpu(1, 1, "AMD*")) is SizeVerdict.FITS
    assert verdict(machine(gpus=gpus), *BASE, gpu(3, 3, "NVIDIA*"), gpu(0, 1, "AMD*")) is SizeVerdict.DIFFERS


@pytest.mark.parametrize("missing", ["processors", "memory", "disks", "gpus"])
def test_what_is_missing_never_fits_in_silence(missing: str) -> None:
    found = explain_size("s", (*BASE, storage(0, "9Ti"), gpu(0, 8)), machine(missing=(missing,)))
    assert (found.verdict, found.unknown) == (SizeVerdict.UNKNOWN, (missing,))


def test_a_constraint_that_fails_decides_whatever_else_is_missing() -> None:
    assert verdict(machine(missing=("gpus",)), cores(1, 2), memory(0, "1Ti")) is SizeVerdict.DIFFERS


@pytest.mark.parametrize(
    "told", [{"processors": ()}, {"memory": 0}, {"processors": (Processor("Intel Xeon"),)}], ids=["none", "0", "cores"]
)
def test_a_machine_without_processors_or_memory_is_one_of_which_nothing_is_said(told: dict[str, Any]) -> None:
    assert verdict(machine(**told), cores(0, 99), memory(0, "1Ti")) is SizeVerdict.UNKNOWN


# -- one document ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constraints", "codes"),
    [
        (BASE, []),
        ((cores(2, 1), memory(1, 2)), ["max-below-min"]),
        ((cores(1, 2), memory("2Gi", "1Gi")), ["max-below-min"]),
        ((*BASE, storage(0, 1, "sd[a")), ["malformed-pattern"]),
        ((*BASE, gpu(0, 1, "")), ["gpu-without-identifier"]),
        (
            (cores(1, 2), Constraint(type=ConstraintType.MEMORY, min=1, max=2, identifier="*")),
            ["memory-with-identifier"],
        ),
        ((*BASE, cores(1, 2)), ["second-constraint"]),
        ((*BASE, memory(1, 2)), ["second-constraint"]),
        ((*BASE, storage(0, 1), storage(0, 1), gpu(0, 1), gpu(0, 1)), []),
        ((cores(1, 2),), ["never-matches"]),
        ((memory(1, 2),), ["never-matches"]),
        ((cores(0, 0), memory(1, 2)), ["never-matches"]),
        ((Constraint(type=ConstraintType.CORES, min=1, max="1Ki"), memory(1, 2)), ["bytes-for-a-count"]),
    ],
)
def test_a_size_is_refused_with_the_rule_that_it_breaks(constraints: tuple[Constraint, ...], codes: list[str]) -> None:
    assert [place.code for place in check_size(resource("Size", "s", SizeSpec(constraints=constraints)))] == codes


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ({"debian": ">= 12.0", "ubuntu": "~> 24.4", "flatcar": "*"}, []),
        ({"*": ">= 12"}, ["any-os spec.images.*"]),
        ({"debian": "latest"}, ["malformed-versions spec.images.debian"]),
    ],
)
def test_constraints_on_images_are_placed(images: dict[str, str], said: list[str]) -> None:
    found = check_size(resource("Size", "s", SizeSpec(constraints=BASE, images=images)))
    assert [f"{place.code} {place.path}" for place in found] == said


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0"), (1023, "1023 bytes"), (1024, "1Ki"), (96 * GIB, "96Gi"), (2**40, "1Ti"), (1536 * GIB, "1536Gi")],
)
def test_bytes_are_shown_as_a_document_says_them(amount: int, text: str) -> None:
    assert shown_amount(amount, ConstraintType.STORAGE) == text
    assert text[-1] != "i" or quantity_number(text) == amount


# -- two sizes ---------------------------------------------------------------------------------------------------------


def test_patterns_that_look_different_overlap_by_a_disk_that_both_name() -> None:
    found = example((*BASE, storage(1, "1Ti", "/dev/nvme*")), (*BASE, storage(1, "1Ti", "/dev/*n1")))
    assert str(found) == "32 cores, 128Gi of memory, disk '/dev/nvmen1' of 1 bytes"


def test_two_patterns_of_one_size_are_met_together() -> None:
    apart = (*BASE, storage(10, 10, "/dev/sd*"), storage(10, 10, "/dev/nvme*"))
    assert example(apart, (*BASE, storage(20, 20))) is not None
    assert example(apart, (*BASE, storage(21, 99))) is None


def test_a_part_that_the_other_size_does_not_count_is_in_no_example() -> None:
    assert example((*BASE, gpu(1, 8)), BASE) is None
    assert example((*BASE, gpu(0, 8)), BASE) is not None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((cores(1, 8), memory(1, 9)), (cores(9, 16), memory(1, 9))),
        ((cores(1, 8), memory(1, 9)), (cores(1, 8), memory(10, 19))),
        ((cores(1, 8, "Intel*"), memory(1, 9)), (cores(1, 8, "AMD*"), memory(1, 9))),
        ((*BASE, storage(0, 5)), (*BASE, storage(6, 9))),
    ],
)
def test_sizes_that_no_machine_meets_both_of_do_not_overlap(first: Any, second: Any) -> None:
    assert example(first, second) is None


def test_one_size_can_contradict_itself() -> None:
    assert example((*BASE, storage(10, 10), storage(11, 11))) is None
    assert example((*BASE, storage(10, 10, "/dev/nvme*"), storage(0, 5))) is None


def test_whole_numbers_are_needed_where_halves_would_do() -> None:
    odd = (storage(1, 1, "[ab]"), storage(1, 1, "[bc]"), storage(1, 1, "[ac]"))
    assert example((*BASE, *odd)) is None
    assert example((*BASE, *(storage(2**40, 2**40, one.identifier) for one in odd))) is not None


patterns = st.sampled_from([None, "*", "a*", "*b", "?b", "a?", "[ab]*", "c"])
spans = st.tuples(st.integers(0, 5), st.integers(0, 3)).map(lambda pair: (pair[0], pair[0] + pair[1]))
sizes = st.builds(
    lambda c, m, disks, gpus: (c, m, *disks, *gpus),
    st.builds(lambda span, one: cores(span[0], span[1] + 1, one), spans, patterns),
    st.builds(lambda span: memory(span[0], span[1] + 1), spans),
    st.lists(st.builds(lambda span, one: storage(span[0], span[1], one), spans, patterns), max_size=3),
    st.lists(st.builds(lambda span, one: gpu(span[0], span[1], one or "*"), spans, patterns), max_size=2),
)
NAMES = ["ab", "b", "a", "c", "bb", "axb", ""]
names = st.sampled_from(NAMES)
inventories = st.builds(
    Inventory,
    processors=st.lists(st.builds(Processor, names, st.integers(1, 4)), min_size=1, max_size=2).map(tuple),
    memory=st.integers(1, 8),
    disks=st.lists(st.builds(Disk, names, st.integers(1, 5)), max_size=3).map(tuple),
    gpus=st.lists(st.builds(Gpu, names), max_size=4).map(tuple),
)


def machine_of(chance: Random) -> Inventory:
    """One of those above, by lot: hypothesis takes a hundred times as long to make it."""

    def parts(make: Callable[[str], T], least: int, most: int) -> tuple[T, ...]:
        return tuple(make(chance.choice(NAMES)) for _ in range(chance.randint(least, most)))

    return Inventory(
        parts(lambda name: Processor(name, chance.randint(1, 4)), 1, 2),
        chance.randint(1, 8),
        parts(lambda name: Disk(name, chance.randint(1, 5)), 0, 3),
        parts(Gpu, 0, 4),
    )


@settings(max_examples=300)
@given(sizes, sizes)
def test_an_example_is_of_both_sizes_by_the_matcher(first: Any, second: Any) -> None:
    found = example(first, second)
    if found is not None:
        assert [verdict(found.inventory(), *one) for one in (first, second)] == [SizeVerdict.FITS] * 2


@settings(max_examples=300)
@given(sizes, sizes, st.integers(0, 2**32))
def test_where_no_example_is_found_no_machine_is_of_both(first: Any, second: Any, lot: int) -> None:
    if example(first, second) is None:
        chance = Random(lot)
        for one in (machine_of(chance) for _ in range(40)):
            assert SizeVerdict.DIFFERS in (verdict(one, *first), verdict(one, *second))


@settings(max_examples=200)
@given(inventories)
def test_two_sizes_made_to_fit_one_machine_are_seen_to_overlap(one: Inventory) -> None:
    total = sum(processor.cores for processor in one.processors)
    exact = (cores(total, total), memory(one.memory, one.memory))
    disks, gpus = sum(disk.size for disk in one.disks), len(one.gpus)
    wide = (*exact, storage(0, disks), gpu(0, gpus))
    by_name = [storage(disk.size, disks, disk.name or "*") for disk in one.disks]
    narrow = (*exact, *by_name, gpu(gpus, gpus))
    assert verdict(one, *wide) is verdict(one, *narrow) is SizeVerdict.FITS
    assert example(wide, narrow) is not None
