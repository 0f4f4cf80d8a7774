"""Which machines each claim gets: all claims in one pass, so that no machine is chosen twice. Pure and without chance.

Claims go in order of name, the slots of each from the lowest. Machines that wait to be bound by name come before them.
A claim gets all that it lacks or nothing, unless it takes part of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

import msgspec

from reconciler.kinds.catalogue.image import Refusal, choose_image, expired
from reconciler.kinds.catalogue.size import size_of
from reconciler.kinds.claim.spec import MachineClaimSpec, all_holders, lacking
from reconciler.kinds.common.defect import defect
from reconciler.kinds.common.machine_facts import as_machine_facts, project_of_facts
from reconciler.model.facts import Facts, grouped
from reconciler.model.observation import ObservedState
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Hold, HoldKind, typed
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.placement import quotas, reservations
from reconciler.placement.available import Available, Groups, MachineGroup
from reconciler.placement.filters import FilterReason, PlacementFleet, SizeLookup, Wanted, why_not
from reconciler.placement.machine_tally import Machine, MachineTally
from reconciler.placement.placement_result import (
    Candidate,
    Chosen,
    Placement,
    Placements,
    _Claim,
    holds_before_observation,
    more_machines_words,
    shortage_hold,
)
from reconciler.placement.reservations import Shelf, SizePlace
from reconciler.placement.scoring import Labels, Load, Neighbours, PlacedMachine, best, rank_reason, spread_labels

_TAKEN = FilterReason("claimed", "another claim, which is placed first, gets the machine")
"""Of an unclaimed machine."""


def place_all(
    desired: DesiredState,
    observed: ObservedState,
    facts: Facts,
    now: datetime,
    *,
    size_of: SizeLookup = size_of,
    only: Collection[str] | None = None,
    explain: Collection[str] = (),
    tally: MachineTally | None = None,
) -> Placements:
    """What claims have and would get now.

    `only`: those that are asked for; the others are placed as far as these depend on them, and not reported. `explain`:
    claims whose candidates are wanted. `tally`: one of these very states.
    """
    odd: dict[str, Placement] = {}
    fleet, last = PlacementFleet(desired, observed, facts, size_of), max(only, default="") if only is not None else None
    claims = [one for one in desired.of_kind("MachineClaim") if last is None or one.key.name <= last]
    while True:
        tally = tally or MachineTally(fleet)
        judge, found = _Pass(tally, now), dict(odd)
        for claim in claims:
            name = claim.key.name
            if name in odd:
                continue
            asked = only is None or name in only
            try:
                placement = judge.claim(claim, explain=name in explain, with_holds=asked)
            except Exception as error:  # noqa: BLE001  it gets nothing, and the others are placed without it
                odd[name] = _unplaced(claim, error)
                break
            if asked:
                found[name] = placement
        else:
            return found if only is None else {name: one for name, one in found.items() if name in only}


def expired_image_count(desired: DesiredState, now: datetime) -> int:
    """A number that differs when the same claims may be placed otherwise for the time alone: images expire."""
    return sum(expired(image.spec, now) for image in desired.of_kind("Image"))


def _unplaced(claim: _Claim, error: Exception) -> Placement:
    reason = f"the claim cannot be placed because of {defect(error)}"
    hold = Hold(
        HoldKind.GUARD,
        HoldName.UNJUDGED,
        reason,
        f"report the bug with the output of `groundstate describe {typed(claim.key)}`",
    )
    return Placement(claim.key.name, (), (), holds=(hold,))


class _Trial(msgspec.Struct):
    """One claim's attempt; nothing of it is kept unless it comes to something."""

    chosen: list[Chosen]
    places: dict[SizePlace, Shelf]
    full: quotas.Account | None = None
    kept_from: SizePlace | None = None


class _Pass:
    """The one pass: a machine that an earlier claim gets is not free for later claims."""

    def __init__(self, tally: MachineTally, now: datetime) -> None:
        fleet = tally.fleet
        self._tally, self._fleet, self._now = tally, fleet, now
        self._holders = all_holders(fleet.facts.resources)
        self._available = Available(tally)
        self._taken: set[str] = set()
        self._shelves: dict[SizePlace, Shelf] = {}
        self._barred = quotas.over_quota(fleet.desired, fleet.observed, fleet.facts).keys()
        self._accounts = quotas.machine_accounts(fleet.desired, fleet.observed, fleet.facts)
        self._counted: Neighbours | None = None

    def claim(self, claim: _Claim, *, explain: bool, with_holds: bool) -> Placement:
        """Place one claim. `with_holds`: with the holds, if there are any."""
        spec, held = claim.spec, self._holders.get(claim.key.name, ())
        lacks = lacking(spec.count, held)
        found = Placement(claim.key.name, held, lacks)
        if not lacks and not explain:
            return found
        image = choose_image(spec.image, self._fleet.desired, self._now)
        wanted = Wanted(spec, None if isinstance(image, Refusal) else image)
        if explain:
            candidates = tuple(self._candidate(machine, wanted) for machine in self._considered(claim))
            found = msgspec.structs.replace(found, candidates=candidates)
        stop = holds_before_observation(claim, held, lacks, image)
        if stop or not lacks:
            return msgspec.structs.replace(found, holds=stop)
        occupied = {one.slot for one in held}
        open_ = tuple(slot for slot in lacks if slot not in occupied)
        trial = self._try(spec, open_, self._available.matching(wanted))
        if len(trial.chosen) == len(lacks) or (spec.partial and trial.chosen):
            self._keep(spec, trial)
            return msgspec.structs.replace(found, chosen=tuple(trial.chosen))
        self._give_up(spec, trial)
        if not with_holds:
            return found
        return msgspec.structs.replace(found, holds=(self._worded(claim, len(open_), trial, wanted),))

    @property
    def _neighbours(self) -> Neighbours:
        """Counted when a first claim can get something: most passes give nothing."""
        if self._counted is None:
            self._counted = Neighbours(self._placed_machines())
        return self._counted

    def _considered(self, claim: _Claim) -> Iterator[Machine]:
        """The machines that are judged for a claim, in the order in which they would be preferred."""
        machines = self._fleet.desired.derived("machines by partition", _by_partition)
        if claim.spec.machines:
            keys = (ResourceKey("Machine", name) for name in claim.spec.machines)
            considered = [self._fleet.desired.resources[key] for key in keys if key in self._fleet.desired.resources]
        else:
            considered = [machine for name in claim.spec.partitions for machine in machines.get(name, ())]
        own = {one.machine for one in self._holders.get(claim.key.name, ()) if not one.releasing}
        for machine in considered:
            if machine.key.name not in own:
                yield machine

    def _candidate(self, machine: Machine, wanted: Wanted) -> Candidate:
        name, spec = machine.key.name, machine.spec
        reasons = why_not(machine, wanted, self._fleet)
        if name in self._taken:
            reasons = (*reasons, _TAKEN)
        return Candidate(name, spec.partition, spec.rack, self._fleet.size(machine), reasons)

    def _firsts(self, claim: _Claim, wanted: Wanted) -> Counter[str | None]:
        """How many of the machines that are judged for the claim each first reason keeps away."""
        resources = self._fleet.desired.resources

        def declared(names: Iterable[str]) -> list[Machine]:
            return [resources[key] for name in names if (key := ResourceKey("Machine", name)) in resources]

        own = {one.machine for one in self._holders.get(claim.key.name, ()) if not one.releasing}
        if claim.spec.machines:
            considered = declared(name for name in claim.spec.machines if name not in own)
            counted = Counter(self._tally.first_code(one, wanted) for one in considered)
            taken = [one for one in considered if one.key.name in self._taken]
        else:
            counted = self._tally.why_not(wanted, but=declared(own))
            taken = [one for one in declared(self._taken - own) if one.spec.partition in claim.spec.partitions]
        gone = sum(self._tally.first_code(one, wanted) is None for one in taken)
        counted[None] -= gone
        counted[_TAKEN.code] += gone
        return counted

    def _try(self, spec: MachineClaimSpec, lacks: tuple[int, ...], groups: Groups) -> _Trial:
        trial = _Trial([], {})
        loads: dict[SizePlace, Load] = {}
        for slot in lacks:
            account = next((one for one in self._accounts.get(spec.project, ()) if one.full), None)
            if account is not None:
                trial.full = account
                break
            chosen = self._next(spec, slot, groups, trial, loads)
            if chosen is None:
                break
            trial.chosen.append(chosen)
            for one in self._accounts.get(spec.project, ()):
                one.users.append(ResourceKey("Machine", chosen.machine))
        return trial

    def _next(
        self,
        spec: MachineClaimSpec,
        slot: int,
        groups: Groups,
        trial: _Trial,
        loads: dict[SizePlace, Load],
    ) -> Chosen | None:
        """The first partition in which one can be had; there the best rack; there the first name."""
        for partition in spec.partitions:
            there = [group for group in groups if group.place[1] == partition and groups[group]]
            kinds = {(group.place, group.tainted): group for group in there}
            open_ = {kind for kind, group in kinds.items() if self._allows(spec, group, trial)}
            allowed = [group for group in there if (group.place, group.tainted) in open_]
            if not allowed:
                continue
            for group in allowed:
                if group.place not in loads:
                    loads[group.place] = self._neighbours.load(spec, group.place[0] or None, partition)
            choice = best(spec, {group: (group.rack, loads[group.place]) for group in allowed})
            group = min(choice, key=lambda one: (groups[one][0], one.place))
            why = rank_reason(spec, group.rack, loads[group.place], len({one.rack for one in allowed}))
            self._shelve(spec, group, trial)
            loads[group.place].plus(group.rack)
            return Chosen(slot, groups[group].pop(0), partition, group.rack or None, why)
        return None

    # -- what is kept back ---------------------------------------------------------------------------------------------

    def _shelf(self, place: SizePlace, trial: _Trial) -> Shelf | None:
        """The current stock of the place; None if nothing is reserved."""
        if place in trial.places:
            return trial.places[place]
        fleet = self._fleet
        if place not in fleet.desired.derived("reservations by place", reservations.by_place):
            return None
        if place not in self._shelves:
            self._shelves[place] = reservations.shelf(place, fleet.desired, fleet.observed, fleet.facts, self._barred)
        return self._shelves[place]

    def _allows(self, spec: MachineClaimSpec, group: MachineGroup, trial: _Trial) -> bool:
        shelf = self._shelf(group.place, trial)
        if shelf is None:
            return True
        stock = _stock(shelf, tainted=group.tainted)
        if stock.allows(spec.project):
            return True
        trial.kept_from = trial.kept_from or group.place
        return False

    def _shelve(self, spec: MachineClaimSpec, group: MachineGroup, trial: _Trial) -> None:
        shelf = self._shelf(group.place, trial)
        if shelf is not None:
            stock = _stock(shelf, tainted=group.tainted).less_one(spec.project)
            trial.places[group.place] = msgspec.structs.replace(shelf, stock=stock)

    # -- how it ends ---------------------------------------------------------------------------------------------------

    def _give_up(self, spec: MachineClaimSpec, trial: _Trial) -> None:
        """Nothing of the trial is kept."""
        for account in self._accounts.get(spec.project, ()):
            del account.users[len(account.users) - len(trial.chosen) :]

    def _worded(self, claim: _Claim, lacks: int, trial: _Trial, wanted: Wanted) -> Hold:
        """The first rule that stopped it, in numbers as they are without the trial."""
        project = claim.spec.project
        if trial.full is not None:
            hold = quotas.quota_hold(trial.full)
        elif trial.kept_from is not None:
            there = self._fleet.desired.derived("reservations by place", reservations.by_place)[trial.kept_from]
            stock = self._shelves[trial.kept_from].stock
            hold = msgspec.structs.replace(
                reservations.reservation_hold(trial.kept_from, project, stock, there), path=None
            )
        else:
            return shortage_hold(claim, lacks, self._firsts(claim, wanted))
        return msgspec.structs.replace(hold, reason=f"{hold.reason}; {more_machines_words(lacks)} requested")

    def _keep(self, spec: MachineClaimSpec, trial: _Trial) -> None:
        self._shelves |= trial.places
        self._available.take(one.machine for one in trial.chosen)
        for one in trial.chosen:
            self._taken.add(one.machine)
            machine = self._fleet.desired.resources[ResourceKey("Machine", one.machine)]
            self._neighbours.add(self._neighbour(machine, spec.project, spread_labels(spec)))

    def _placed_machines(self) -> Iterator[PlacedMachine]:
        """The machines that projects have already, but for those being released."""
        desired = self._fleet.desired
        by_project = grouped(self._fleet.facts.resources, project_of_facts)
        for project, key, one in ((project, *item) for project, found in by_project.items() for item in found.items()):
            machine, lifecycle = desired.resources.get(key), as_machine_facts(one).lifecycle
            if machine is None or lifecycle.releasing_at is not None:
                continue
            claim = desired.resources.get(ResourceKey("MachineClaim", lifecycle.claim or ""))
            yield self._neighbour(machine, project, spread_labels(claim.spec) if claim is not None else frozenset())

    def _neighbour(self, machine: Machine, project: str, labels: Labels) -> PlacedMachine:
        spec = machine.spec
        return PlacedMachine(project, self._fleet.size(machine), spec.partition, spec.rack or "", labels)


def _stock(shelf: Shelf, *, tainted: bool) -> reservations.Stock:
    """As reservations judge a machine: one that is tainted was not in the stock, and comes on top of it."""
    stock = shelf.stock
    return msgspec.structs.replace(stock, free=stock.free + 1) if tainted else stock


def _by_partition(desired: DesiredState) -> dict[str, list[Machine]]:
    found: dict[str, list[Machine]] = {}
    for machine in desired.of_kind("Machine"):
        found.setdefault(machine.spec.partition, []).append(machine)
    return found
