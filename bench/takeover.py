"""How long a fleet is without a daemon that works, when the one that worked is killed or stopped.

    python bench/takeover.py [--rounds N] [--machines N]

Two real daemons on a real PostgreSQL, with machines on the in-memory driver. From the signal until the other one has
the revision in force, which is before its first write. With the default lease, with a short one, and after SIGTERM.
Exit 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.databases import postgresql_server  # noqa: E402  the path is set above
from tests.e2e.desk import Desk, Running  # noqa: E402

PATIENCE = 60.0
_FOLLOWS = '"RevisionApplied"'


class Case(msgspec.Struct, frozen=True):
    """One way to lose a daemon. `lease` and `limit` in seconds."""

    name: str
    ends_by: signal.Signals
    lease: float
    limit: float


CASES = (
    Case("kill -9, default lease", signal.SIGKILL, 15.0, 20.0),
    Case("kill -9, short lease", signal.SIGKILL, 5.0, 7.0),
    Case("SIGTERM", signal.SIGTERM, 15.0, 2.0),
)


@contextmanager
def daemon(desk: Desk, lease: float) -> Iterator[Running]:
    """One of the two."""
    with desk.running("run", "--listen", "127.0.0.1:0", "--lease", str(lease)) as running:
        yield running


def awaits(running: Running, words: str) -> float:
    """When it had logged this."""
    until = time.monotonic() + PATIENCE
    while words not in running.err:
        if running.process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"no {words}:\n{running.err}")
        time.sleep(0.01)
    return time.monotonic()


def seconds(desk: Desk, case: Case) -> float:
    """From the signal until the other one works."""
    with daemon(desk, case.lease) as first:
        awaits(first, _FOLLOWS)
        with daemon(desk, case.lease) as second:
            awaits(second, '"StandingBy"')
            # Anywhere between two renewals.
            time.sleep(case.lease / 4)
            begun = time.monotonic()
            first.send(case.ends_by)
            lasted = awaits(second, _FOLLOWS) - begun
            second.end(signal.SIGTERM)
        return lasted


def documents(machines: int) -> list[dict[str, Any]]:
    """A partition with machines on the in-memory driver, with nothing to do."""
    partition = {"apiVersion": "groundstate/v1", "kind": "Partition", "metadata": {"name": "lab"}, "spec": {}}
    return [
        partition,
        *(
            {
                "apiVersion": "groundstate/v1",
                "kind": "Machine",
                "metadata": {"name": f"m{number}"},
                "spec": {"partition": "lab", "bmc": {"driver": "fake", "address": f"m{number}"}},
            }
            for number in range(machines)
        ),
    ]


def main() -> int:
    """Measure, print, and say with the exit code whether the limits held."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--machines", type=int, default=1000)
    asked = options.parse_args()
    is_met = True
    with tempfile.TemporaryDirectory(prefix="groundstate-takeover-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # The server runs as another user.
        with postgresql_server(folder / "server") as store:
            desk = Desk(folder / "desk")
            desk.environment["GROUNDSTATE_STORE"] = store
            desk.commit(lab=documents(asked.machines))
            for case in CASES:
                times = sorted(seconds(desk, case) for _ in range(asked.rounds))
                met = times[-1] <= case.limit
                is_met = is_met and met
                shown = ", ".join(f"{one:.1f}" for one in times)
                verdict = "ok" if met else "MISSED"
                print(f"{case.name} ({case.lease:.0f} s): {shown} s; limit {case.limit:.0f} s: {verdict}", flush=True)
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
