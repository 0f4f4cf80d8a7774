"""How fast the ledger goes to a stream of NATS, and that a long absence of the receiver needs no more memory.

    python bench/sinks.py [--events N]

A real nats-server, which has each message on disk before it acknowledges it (`sync_interval: always`), and the lane of
the daemon over an SQLite store with a burst of events. Exit 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from drivers.base import Credential, SinkEndpoint  # noqa: E402  the path is set above
from drivers.sink.nats import open_nats  # noqa: E402
from reconciler.daemon.sinks.lane import Lane, LaneSettings  # noqa: E402
from reconciler.kinds.sink.spec import EventSinkSpec, NatsSpec  # noqa: E402
from reconciler.model.event import Event, EventReason, EventType  # noqa: E402
from reconciler.model.resource import ResourceKey  # noqa: E402
from reconciler.store import Store  # noqa: E402
from tests.drivers.event_receivers import PASSWORD, nats_server  # noqa: E402

LEAST_RATE = 1000.0
"""Events a second."""
MOST_GROWTH = 30.0
"""MiB, from the first tenth of the burst to its end."""
BURST = 100_000
MIB = 1024 * 1024


def fill(store: Store, events: int) -> None:
    """Events of many machines, each of its own."""
    for begin in range(0, events, 2000):
        numbers = range(begin, min(events, begin + 2000))
        store.append(
            Event(datetime.now(UTC), EventType.NORMAL, EventReason.BOUND, f"event {number} of a burst", machine(number))
            for number in numbers
        )


def machine(number: int) -> ResourceKey:
    """One of a thousand."""
    return ResourceKey("Machine", f"r{number % 1000}")


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=BURST)
    events: int = parser.parse_args().events
    process, seen = psutil.Process(), list[float]()
    with tempfile.TemporaryDirectory() as name, nats_server(Path(name) / "nats") as server:
        store = Store.open(f"sqlite:///{name}/state.db")
        fill(store, events)
        store.sinks.begin("bus", 0)
        login = Credential("gs", PASSWORD)
        sink = open_nats(SinkEndpoint(server.url, stream="GROUNDSTATE", credential=lambda _: login))
        spec = EventSinkSpec(nats=NatsSpec(url=server.url, stream="GROUNDSTATE"))
        failed: list[str] = []
        settings = LaneSettings(
            store,
            lambda _name, _spec: sink,
            lambda event: event,
            lambda event: failed.append(event.message),
            lambda *_: None,
            lambda: datetime.now(UTC),
            lambda: 0.0,
        )
        lane, begun = Lane("bus", spec, settings), time.monotonic()
        while not lane.step() and not failed:
            seen.append(process.memory_info().rss / MIB)
        took = time.monotonic() - begun
        sink.close()
        store.close()
    rate, growth = events / took, seen[-1] - seen[len(seen) // 10]
    print(f"{events:,} events to NATS in {took:.1f} s: {rate:,.0f}/s (at least {LEAST_RATE:,.0f})")
    print(f"memory {seen[-1]:.0f} MiB, {growth:+.1f} MiB since the first tenth (at most {MOST_GROWTH:+.0f})")
    for message in failed:
        print(f"failed: {message}")
    return 1 if failed or rate < LEAST_RATE or growth > MOST_GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
