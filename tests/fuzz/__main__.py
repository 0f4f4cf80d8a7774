"""The long run: all targets in turn, for as long as is said, with other inputs each time.

    python -m tests.fuzz [--minutes 20] [--seed N] [TARGET]...

Prints how many inputs each target was given, and of what failed the smallest input that still fails; ends with 1 then.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
import traceback
from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.targets import TARGETS, Target

ROUND = 300
LONGEST = 2000


def one_round(name: str, target: Target, number: int, cases: Counter[str]) -> str | None:
    """A few hundred inputs; the smallest that fails, and how, or None."""
    smallest: list[object] = []

    @seed(number)
    @settings(
        max_examples=ROUND,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(target.inputs)
    def run(given_: object) -> None:
        cases[name] += 1
        smallest[:] = [given_]
        target.run(given_)

    try:
        run()
    except Exception as error:  # noqa: BLE001  whatever it is, it is what was looked for
        # hypothesis adds the input to the error, which is said already, and may be long.
        frames = "".join(traceback.format_tb(error.__traceback__)[-4:])
        return (
            f"{name} (seed {number}): {smallest[0]!r}"[:LONGEST]
            + f"\n{frames}{type(error).__name__}: {error}"[:LONGEST]
        )
    return None


def main() -> int:
    """Run, report, and say with the exit code whether all held."""
    options = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--minutes", type=float, default=20.0)
    options.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    options.add_argument("targets", nargs="*", metavar="TARGET", help=f"of: {', '.join(TARGETS)}")
    asked = options.parse_args()
    if strange := [name for name in asked.targets if name not in TARGETS]:
        options.error(f"there is no target {', '.join(strange)}; there are {', '.join(TARGETS)}")
    left = {name: TARGETS[name] for name in asked.targets or TARGETS}
    until, number, cases, failed = time.monotonic() + asked.minutes * 60, asked.seed, Counter[str](), dict[str, str]()
    while left and time.monotonic() < until:
        for name, target in list(left.items()):
            number += 1
            if (found := one_round(name, target, number, cases)) is not None:
                failed[name] = found
                del left[name]
                print(f"FAILED {found}", file=sys.stderr, flush=True)
    for name, count in cases.items():
        print(f"{name:<20} {count:>10,} {'FAILED' if name in failed else 'held'}")
    print(f"{'all':<20} {cases.total():>10,} first seed {asked.seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
