"""A number in quotes is a text to YAML, and a share with a blank is none: the message says what to write instead."""

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
