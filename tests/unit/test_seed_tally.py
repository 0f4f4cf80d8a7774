"""What came of many seeds: counted, the rarest first."""

from __future__ import annotations

import subprocess
import sys

from reconciler.operations.simulation.verdict.record import Sometimes
from reconciler.operations.simulation.verdict.seed_tally import SeedTally, TallyRow


def test_each_seed_counts_with_what_happened_in_it() -> None:
    tally = SeedTally()
    tally.add(10, {Sometimes.CLAIMED: 2, Sometimes.WIPED: 0}, is_broken=False)
    tally.add(11, {Sometimes.CLAIMED: 1, Sometimes.WIPED: 3}, is_broken=True)
    assert (tally.seeds, tally.broken) == (2, [11])
    assert tally.rows() == [TallyRow(Sometimes.WIPED, 3, 1, 2), TallyRow(Sometimes.CLAIMED, 3, 2, 1)]
    assert Sometimes.CLAIMED not in tally.never()
    assert Sometimes.RESTORED in tally.never()


COPIES = """
from reconciler import runtime
held = [1]
print(runtime.in_a_copy(lambda: held.append(2) or str(held).encode()), held)
try:
    runtime.in_a_copy(lambda: b"%d" % (1 // 0))
except RuntimeError as error:
    print(error)
"""


def test_a_copy_of_the_process_answers_or_fails_and_changes_nothing_here() -> None:
    """In a process of one thread, as it is meant for."""
    said = subprocess.run([sys.executable, "-c", COPIES], check=True, capture_output=True, text=True)
    assert said.stdout.splitlines() == ["b'[1, 2]' [1]", "the copy of the process ended with status 1"]
    assert "ZeroDivisionError" in said.stderr
