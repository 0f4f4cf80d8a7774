"""Many seeds: each run is judged, and what happened in it is counted."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import IO, Self, cast

import msgspec

from reconciler import runtime
from reconciler.model.event import Event
from reconciler.operations.operation_error import OperationError
from reconciler.operations.simulation.scenarios.incidents import Incident
from reconciler.operations.simulation.scenarios.planned_faults import PlannedFault
from reconciler.operations.simulation.simulate import simulate
from reconciler.operations.simulation.verdict.oracles import Violation, violations
from reconciler.operations.simulation.verdict.record import Sometimes


class SeedResult(msgspec.Struct, frozen=True):
    """What came of a seed. `seconds`: of virtual time. `trace`: equal for two runs in which the same happened at the
    same times. `writes`: how many left for BMCs."""

    seed: int
    seconds: float
    trace: str
    incidents: tuple[Incident, ...]
    writes: int
    violations: tuple[Violation, ...]
    sometimes: Mapping[Sometimes, int]
    events: tuple[Event, ...]


class SeedRequest(msgspec.Struct, frozen=True):
    """What is to be simulated. `seconds`: of the part in which things go wrong. `only`, `faults`: the incidents, in
    place of those that the seed picks."""

    seed: int
    machines: int
    seconds: float
    only: tuple[Incident, ...] = ()
    faults: tuple[PlannedFault, ...] = ()


_REQUESTS, _RESULTS = msgspec.json.Decoder(SeedRequest), msgspec.json.Decoder(SeedResult)
_PROCESS = (
    "import sys; sys.path[:] = sys.argv[1:]; from reconciler.operations.simulation.seeds import answer_requests; "
    "answer_requests()"
)
_WARM_UP = SeedRequest(0, 4, 1.0)
_GARBAGE = (50_000, 20, 20)
"""Objects, and rounds, after which Python searches for garbage. A run makes little; by the usual 700 objects the search
takes a fifth of its time."""


def simulate_seed(request: SeedRequest) -> SeedResult:
    """Simulate one seed, and judge it."""
    # The simulated threads run one at a time. On one processor they take turns in less time.
    with runtime.on_one_processor():
        run = simulate(
            request.seed,
            machines=request.machines,
            seconds=request.seconds,
            only=request.only,
            faults=request.faults,
        )
    found = tuple(violations(run))
    return SeedResult(
        request.seed, run.seconds, run.trace, run.incidents, len(run.writes), found, run.sometimes, run.all_events
    )


def simulate_seeds(requests: Sequence[SeedRequest], jobs: int = 1) -> Iterator[SeedResult]:
    """Simulate each of these, in their order. `jobs`: how many at the same time, each in a process of its own, as a
    simulation replaces the clock of its process. Raises OperationError if such a process fails."""
    if len(requests) == 1:
        yield simulate_seed(requests[0])
        return
    with ExitStack() as held:
        free = [held.enter_context(_SeedProcess()) for _ in range(min(jobs, len(requests)))]

        def answered(request: SeedRequest) -> SeedResult:
            process = free.pop()
            result = process.ask(request)
            free.append(process)
            return result

        processes = tuple(free)
        pool = held.enter_context(runtime.pool(len(processes), "seed"))
        waiting: deque[runtime.Future[SeedResult]] = deque()
        try:
            for request in requests:
                waiting.append(pool.submit(answered, request))
                # A few ahead only, as a result has the whole ledger of its run.
                if len(waiting) == 2 * len(processes):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.end()
            raise


class _SeedProcess:
    """A process that simulates one seed after the other, each in a copy of itself. So each begins with all modules
    loaded, and leaves nothing behind."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", _PROCESS, *sys.path]
        # In a group of its own: Ctrl-C is for the process that asks, which then ends the group.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self._requests, self._results = cast("IO[bytes]", self._process.stdin), cast("IO[bytes]", self._process.stdout)

    def ask(self, request: SeedRequest) -> SeedResult:
        """The result of a seed. Raises OperationError if there is none; stderr has the reason."""
        with suppress(BrokenPipeError):
            self._requests.write(msgspec.json.encode(request) + b"\n")
            self._requests.flush()
        if not (line := self._results.readline()):
            raise OperationError(f"the simulation of seed {request.seed} failed; its process ended without a result")
        return _RESULTS.decode(line)

    def end(self) -> None:
        """End it at once, with its copy."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # Closes its stdin, at which it ends, and waits for that.
            pass


def answer_requests() -> None:
    """Read requests from stdin, one a line, and write the results to stdout, one a line, until stdin ends."""
    simulate_seed(_WARM_UP)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    for line in sys.stdin.buffer:
        request = _REQUESTS.decode(line)
        sys.stdout.buffer.write(runtime.in_a_copy(partial(_answer, request)) + b"\n")
        sys.stdout.buffer.flush()


def _answer(request: SeedRequest) -> bytes:
    return msgspec.json.encode(simulate_seed(request))
