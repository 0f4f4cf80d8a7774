"""Many seeds: each run is judged, and what happened in it is counted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping

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
    "import sys; sys.path[:] = sys.argv[1:]; from reconciler.operations.simulation.seeds import answer_request; "
    "answer_request()"
)


def simulate_seed(request: SeedRequest) -> SeedResult:
    """Simulate one seed, and judge it."""
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


def simulate_seeds(requests: Iterable[SeedRequest], jobs: int = 1) -> Iterator[SeedResult]:
    """Simulate each of these, in their order. `jobs`: how many at the same time, each in a process of its own, as a
    simulation replaces the clock of its process. Raises OperationError if such a process fails."""
    if jobs == 1:
        yield from map(simulate_seed, requests)
        return
    with runtime.pool(jobs, "seed") as pool:
        try:
            for answer in [pool.submit(_in_process, request) for request in requests]:
                yield answer.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def answer_request() -> None:
    """Read a request from stdin, and write the result to stdout."""
    request = _REQUESTS.decode(sys.stdin.buffer.read())
    sys.stdout.buffer.write(msgspec.json.encode(simulate_seed(request)))


def _in_process(request: SeedRequest) -> SeedResult:
    command = [sys.executable, "-c", _PROCESS, *sys.path]
    done = subprocess.run(command, input=msgspec.json.encode(request), capture_output=True, check=False)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise OperationError(f"the simulation of seed {request.seed} failed: {last}")
    return _RESULTS.decode(done.stdout)


def never_happened(results: Iterable[SeedResult]) -> list[Sometimes]:
    """What happened in none of these runs."""
    happened = {one for result in results for one, times in result.sometimes.items() if times}
    return [one for one in Sometimes if one not in happened]
