"""Windows in local time, and what a change of a guard loosens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kinds.guard.check import check_guard
from reconciler.kinds.guard.guard_fact_rules import GuardFactRules, GuardFacts, remembered_spec
from reconciler.kinds.guard.loosening import loosens
from reconciler.kinds.guard.spec import GuardSpec, Windows
from reconciler.kinds.guard.windows import local_moment, window_state
from tests.unit.guard_worlds import guard
from tests.unit.planning_worlds import NOW, desired

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def windows(**spec: Any) -> Windows:
    return msgspec.convert({"timeZone": "Europe/Berlin", **spec}, Windows)


def is_open(one: Windows, local: str, fold: int = 0) -> bool:
    at = datetime.fromisoformat(local).replace(tzinfo=BERLIN, fold=fold)
    return window_state(one, at.astimezone(UTC)).open


NIGHT = windows(allow=[{"days": ["Mon", "Tue"], "from": "22:00", "to": "04:00"}], lastStart="30m")


@pytest.mark.parametrize(
    ("local", "found"),
    [
        ("2026-03-02T21:59", False),
        ("2026-03-02T22:00", True),
        ("2026-03-03T03:29", True),
        ("2026-03-03T03:30", False),
        ("2026-03-04T01:00", True),
        ("2026-03-04T23:00", False),
        ("2026-03-02T03:00", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(local: str, found: bool) -> None:
    assert is_open(NIGHT, local) is found


def test_two_windows_that_meet_are_one_for_the_last_start() -> None:
    two = windows(allow=[{"from": "22:00", "to": "24:00"}, {"from": "00:00", "to": "04:00"}], lastStart="1h")
    assert is_open(two, "2026-03-02T23:45")
    assert not is_open(two, "2026-03-02T03:15")


def test_deny_beats_allow_and_says_why() -> None:
    one = windows(
        allow=[{"from": "00:00"}], deny=[{"from": "2026-03-02T08:00", "to": "2026-03-02T10:00", "reason": "x"}]
    )
    at = datetime(2026, 3, 2, 8, 30, tzinfo=BERLIN).astimezone(UTC)
    assert (window_state(one, at).open, window_state(one, at).reason) == (False, "x")
    assert window_state(one, at).until == datetime(2026, 3, 2, 9, tzinfo=UTC)


class TestClockChanges:
    """Europe/Berlin: 02:00 to 03:00 is missing on 2026-03-29, and there twice on 2026-10-25."""

    @pytest.mark.parametrize(
        ("local", "second", "found"),
        [
            ("2026-03-29T02:30", False, "2026-03-29T01:00"),
            ("2026-10-25T02:30", False, "2026-10-25T00:30"),
            ("2026-10-25T02:30", True, "2026-10-25T01:30"),
            ("2026-07-01T02:30", True, "2026-07-01T00:30"),
        ],
    )
    def test_moments(self, local: str, second: bool, found: str) -> None:
        at = local_moment(datetime.fromisoformat(local), BERLIN, second=second)
        assert at == datetime.fromisoformat(found).replace(tzinfo=UTC)

    def test_a_beginning_in_the_missing_hour_is_the_moment_after_it(self) -> None:
        one = windows(allow=[{"from": "02:30", "to": "05:00"}])
        assert not is_open(one, "2026-03-29T01:59")
        assert is_open(one, "2026-03-29T03:00")

    def test_a_doubled_hour_counts_twice(self) -> None:
        one = windows(allow=[{"from": "01:00", "to": "02:30"}])
        assert is_open(one, "2026-10-25T02:15", fold=0)
        assert is_open(one, "2026-10-25T02:15", fold=1)
        assert not is_open(one, "2026-10-25T02:45", fold=1)

    def test_an_end_at_the_beginning_of_a_doubled_hour_is_before_it(self) -> None:
        one = windows(allow=[{"from": "01:00", "to": "02:00"}])
        assert not is_open(one, "2026-10-25T02:15", fold=0)


@pytest.mark.parametrize(
    ("spec", "at", "until"),
    [
        ({"deny": [{"from": "2028-01-01T00:00", "to": "2028-02-01T00:00"}]}, MONDAY, "2027-12-31T23:00"),
        ({"allow": [{"from": "2028-01-01T00:00", "to": "2028-02-01T00:00"}]}, MONDAY, "2027-12-31T23:00"),
        ({"deny": [{"from": "2020-01-01T00:00"}]}, MONDAY, None),
    ],
)
def test_the_next_change_is_found_however_far_it_is(spec: dict[str, Any], at: datetime, until: str | None) -> None:
    assert window_state(windows(**spec), at).until == (datetime.fromisoformat(f"{until}Z") if until else None)


# -- properties --------------------------------------------------------------------------------------------------------

times = st.sampled_from(["00:00", "01:30", "02:00", "02:30", "03:00", "12:00", "22:00"])
days = st.lists(st.sampled_from(["Mon", "Tue", "Wed", "Sun"]), max_size=3, unique=True)
entries = st.one_of(
    st.builds(lambda d, a, b: {"days": d, "from": a, "to": b}, days, times, times),
    st.builds(
        lambda d, n: {"from": f"2026-03-{d:02d}T02:30", "to": f"2026-04-{n:02d}T03:00"},
        st.integers(1, 31),
        st.integers(1, 30),
    ),
)
all_windows = st.builds(
    lambda allow, deny, last: {
        "timeZone": "Europe/Berlin",
        "allow": allow,
        "deny": deny,
        **({"lastStart": last} if last else {}),
    },
    st.lists(entries, max_size=2),
    st.lists(entries, max_size=2),
    st.sampled_from([None, "30m", "3h"]),
)
budgets = st.builds(
    lambda most, per, within, pacing, gone: {
        "maxDisrupted": most, "within": within, "countUnavailable": gone,
        **({"per": per} if per else {}), **({"pacing": pacing} if pacing else {}),
    },
    st.sampled_from([0, 1, 3, "10%", "50%"]),
    st.sampled_from([None, "rack", "partition"]),
    st.sampled_from(["10m", "1h"]),
    st.sampled_from([None, "5m", "1h"]),
    st.booleans(),
)  # fmt: skip
specs = st.builds(
    lambda level, names, actions, window, budget, protection: msgspec.convert(
        {
            "level": level, "match": {"names": names}, "actions": actions,
            **({"windows": window} if window else {}),
            **({"budget": budget} if budget else {}),
            **({"protection": protection} if protection else {}),
        },
        GuardSpec,
    ),
    st.sampled_from(["Advisory", "Mandatory", "Absolute"]),
    st.lists(st.sampled_from(["a*", "b*"]), max_size=2, unique=True),
    st.lists(st.sampled_from(["disruptive", "destructive", "set-boot"]), min_size=1, max_size=3, unique=True),
    st.none() | all_windows,
    st.none() | budgets,
    st.sampled_from([None, "Delete", "Release", "All"]),
)  # fmt: skip
moments = st.integers(0, 60 * 24 * 400).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@given(all_windows, moments)
def test_a_window_stays_as_it_is_until_it_says_it_changes(spec: dict[str, Any], at: datetime) -> None:
    one = msgspec.convert(spec, Windows)
    found = window_state(one, at)
    if found.until is not None:
        assert found.until > at
        assert window_state(one, found.until).open is not found.open
        assert window_state(one, found.until - timedelta(seconds=1)).open is found.open


@given(specs)
def test_nothing_loosens_itself(spec: GuardSpec) -> None:
    assert loosens(spec, spec) == ()


@given(specs, specs, specs)
def test_what_loosens_nothing_twice_loosens_nothing_at_once(a: GuardSpec, b: GuardSpec, c: GuardSpec) -> None:
    if not loosens(a, b) and not loosens(b, c):
        assert loosens(a, c) == ()


@given(specs, st.sampled_from(["windows", "budget", "protection"]))
def test_to_leave_a_block_out_loosens_it(spec: GuardSpec, block: str) -> None:
    without = msgspec.structs.replace(spec, **{block: None})
    assert (block in loosens(spec, without)) is (getattr(spec, block) is not None)
    assert loosens(without, spec) == ()


@given(all_windows, all_windows, moments)
def test_where_nothing_is_loosened_a_window_is_open_only_where_the_old_one_was(
    old: dict[str, Any], new: dict[str, Any], at: datetime
) -> None:
    before, after = (msgspec.convert({"windows": one}, GuardSpec) for one in (old, new))
    if not loosens(before, after) and before.windows and after.windows and window_state(after.windows, at).open:
        assert window_state(before.windows, at).open


@given(st.lists(st.tuples(specs, st.integers(0, 90)), min_size=1, max_size=5))
def test_every_spec_that_was_loosened_within_the_hour_is_in_force(history: list[tuple[GuardSpec, int]]) -> None:
    """Whatever the way: a commit cannot be cut into smaller ones to get around a guard."""
    rules, facts, now = GuardFactRules(), GuardFacts(), NOW
    declared: list[tuple[GuardSpec, datetime]] = []
    for spec, minutes in history:
        now += timedelta(minutes=minutes)
        document = msgspec.structs.replace(guard("g"), spec=spec)
        facts = rules.declared(facts, document, desired(document), now)  # type: ignore[assignment]
        declared.append((spec, now))
    in_force = [remembered_spec(one.spec) for one in facts.former if now < one.until]
    for (old, _), (new, at) in pairwise(declared):
        if loosens(old, new) and now - at < timedelta(hours=1):
            assert old in in_force


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({}, "empty-guard"),
        ({"windows": {}}, "empty-windows"),
        ({"windows": {"timeZone": "Europe/Berln", "deny": [{"from": "01:00"}]}}, "unknown-time-zone"),
        ({"windows": {"deny": [{}]}}, "malformed-window"),
        ({"windows": {"deny": [{"from": "2026-12-20T00:00", "to": "04:00"}]}}, "malformed-window"),
        ({"windows": {"deny": [{"from": "2026-12-20T00:00", "to": "2026-12-19T00:00"}]}}, "malformed-window"),
        ({"windows": {"deny": [{"from": "2026-02-31T00:00"}]}}, "malformed-window"),
        ({"windows": {"deny": [{"from": "24:00"}]}}, "malformed-window"),
        ({"windows": {"deny": [{"from": "9999-12-31T23:59"}]}}, "out-of-range"),
        ({"windows": {"allow": [{"to": "0001-01-01T00:00"}]}}, "out-of-range"),
        ({"windows": {"deny": [{"from": "01:00"}], "lastStart": "2d"}}, "out-of-range"),
        ({"windows": {"allow": [{"from": "22:00", "to": "23:00"}], "lastStart": "1h"}}, "malformed-window"),
        ({"windows": {"allow": [{"from": "22:00", "to": "02:00"}], "deny": [{"to": "24:00"}]}}, "malformed-window"),
        ({"budget": {}}, "malformed-budget"),
        ({"budget": {"maxDisrupted": 1, "minAvailable": 1}}, "malformed-budget"),
        ({"budget": {"maxDisrupted": "101%"}}, "malformed-budget"),
        ({"budget": {"minAvailable": 0}}, "malformed-budget"),
        ({"budget": {"maxDisrupted": -1}}, "malformed-budget"),
        ({"budget": {"maxDisrupted": 1, "within": "8d"}}, "out-of-range"),
        ({"budget": {"maxDisrupted": 1, "pacing": "25h"}}, "out-of-range"),
        ({"protection": "All", "match": {"selector": "role = = db"}}, "malformed-selector"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_hint(spec: dict[str, Any], code: str) -> None:
    (finding,) = check_guard(guard("g", **spec))
    assert finding.code == code
    assert finding.hint


@pytest.mark.parametrize(
    "windows",
    [
        {"allow": [{"from": "22:00", "to": "23:00"}], "lastStart": "59m"},
        {"allow": [{"from": "22:00", "to": "02:00"}], "deny": [{"from": "00:00", "to": "24:00", "days": ["Mon"]}]},
        {"allow": [{"from": "22:00", "to": "02:00"}], "deny": [{"from": "2026-01-01T00:00"}]},
        {"allow": [{"from": "2026-12-20T00:00", "to": "2026-12-21T00:00"}], "deny": [{"to": "24:00"}]},
        {"deny": [{"to": "24:00"}]},
    ],
)
def test_windows_that_open_at_some_time_and_a_freeze_on_purpose_are_accepted(windows: dict[str, Any]) -> None:
    assert check_guard(guard("g", windows=windows)) == []
