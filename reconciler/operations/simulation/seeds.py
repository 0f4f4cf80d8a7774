"""Seeds, one after the other: each run is judged, and what happened in it is counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from reconciler.model.event import Event
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


def simulate_seeds(
    seeds: Iterable[int],
    *,
    machines: int,
    seconds: float,
    only: Sequence[Incident] = (),
    faults: Sequence[PlannedFault] = (),
) -> Iterator[SeedResult]:
    """Simulate each of these seeds. `seconds`: of the part in which things go wrong. `only`, `faults`: the incidents in
    place of those that a seed picks."""
    for seed in seeds:
        run = simulate(seed, machines=machines, seconds=seconds, only=only, faults=faults)
        found = tuple(violations(run))
        yield SeedResult(seed, run.seconds, run.trace, run.incidents, len(run.writes), found, run.sometimes, run.events)


def never_happened(results: Iterable[SeedResult]) -> list[Sometimes]:
    """What happened in none of these runs."""
    happened = {one for result in results for one, times in result.sometimes.items() if times}
    return [one for one in Sometimes if one not in happened]
