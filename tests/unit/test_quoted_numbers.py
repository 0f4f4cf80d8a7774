"""A value of the wrong form: the message says what to write instead. A number in quotes is a text to YAML, and a share
with a blank is none."""

from __future__ import annotations

import pytest

from reconciler.desired.load import load_state
from tests.unit.desired_worlds import PARTITION, MemorySnapshot

SPECS = {
    "Guard": "budget: {{maxDisrupted: {}}}",
    "Machine": "partition: p1, bmc: {{address: a, timeoutSeconds: {}}}",
    "MachineClaim": "project: p, partitions: [p1], size: s, image: debian-12, count: {}",
}


def hints(kind: str, spec: str) -> list[str]:
    text = f"apiVersion: groundstate/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{{spec}}}\n"
    found = load_state(MemorySnapshot({"p.yaml": PARTITION, "x.yaml": text})).diagnostics
    return [one.hint for one in found if one.code in ("malformed-value", "wrong-type")]


@pytest.mark.parametrize("kind", sorted(SPECS))
def test_a_whole_number_in_quotes(kind: str) -> None:
    assert hints(kind, SPECS[kind].format('"12"')) == ["write 12 without quotes"]


@pytest.mark.parametrize("field", ["maxDisrupted", "minAvailable"])
@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ('"1"', "write 1 without quotes"),
        ("10 %", "write 10%"),
        ('" 25% "', "write 25%"),
        ("2.0", "write 2, without a point"),
        ("1", None),
        ('"10%"', None),
    ],
)
def test_a_number_or_a_share(field: str, written: str, hint: str | None) -> None:
    assert hints("Guard", f"budget: {{{field}: {written}}}") == ([] if hint is None else [hint])


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("suspend: true", "write a mapping, such as `{reason: ...}`"),
        ("lifecycle: Managed", "write a mapping, such as `{mode: ...}`"),
        ("shutdown: Force", "write a mapping, such as `{timeoutSeconds: ..., escalate: ...}`"),
    ],
)
def test_a_single_value_in_the_place_of_a_mapping(written: str, hint: str) -> None:
    assert hints("Machine", f"partition: p1, bmc: {{address: a}}, {written}") == [hint]
