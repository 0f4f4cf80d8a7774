"""The guards that are always there, with the limits of the settings. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial

from reconciler.kinds import FLEET, KINDS
from reconciler.kinds.guard.built_in import BUILT_IN_GUARDS
from reconciler.kinds.guard.matching import group_value, group_words
from reconciler.kinds.kind_shards import shard_of
from reconciler.kinds.kind_words import counted, endpoints, nouns
from reconciler.model.actions.action_base import Disruption
from reconciler.model.counting import count
from reconciler.model.plans.hold_name import HoldName
from reconciler.model.plans.plan import Change, Hold, HoldKind, override_hint
from reconciler.model.resource import ResourceKey
from reconciler.planning.guards.budgets import Budget, Group, GroupState, group_state
from reconciler.planning.guards.declared_budgets import groups_of, members_of, new_members, new_of_kind
from reconciler.planning.guards.fleet_survey import KindSurvey
from reconciler.planning.guards.guard import Guard, GuardWorld, Holds
from reconciler.planning.guards.guard_limits import FEW, GuardLimits
from reconciler.planning.guards.guards_in_force import rack_guard
from reconciler.planning.guards.possible_renames import unseen_newcomers


def standard_guards(limits: GuardLimits) -> tuple[Guard, ...]:
    """The guards that are always there."""
    return tuple(partial(guard, limits) for guard in (_empty, _removed, _unreachable, _released, _given_back))


def _empty(limits: GuardLimits, changes: Iterable[Change], world: GuardWorld) -> Holds:
    fleet = world.survey
    nothing = not fleet.resources and fleet.remembered
    gone = {kind: one.declared_before for kind, one in fleet.kinds.items() if not one.declared and one.declared_before}
    if limits.allow_empty or not (nothing or gone):
        return {}
    if nothing:
        reason = (
            f"the desired state is empty, but {count(fleet.remembered, 'resource was', 'resources were')} "
            f"declared before"
        )
    else:
        were = "was" if sum(gone.values()) == 1 else "were"
        reason = f"the desired state declares no {nouns(gone)}, but {counted(gone)} {were} declared before"
    return _hold_all(changes, HoldName.EMPTY_DESIRED_STATE, reason, "--allow-empty")


def _removed(limits: GuardLimits, changes: Iterable[Change], world: GuardWorld) -> Holds:
    kinds = world.survey.kinds
    over = {
        kind: one
        for kind, one in kinds.items()
        if one.declared and one.lost > limits.max_removed.of(one.declared_before)
    }
    if not over:
        return {}
    shares = " and ".join(f"{_share(one.lost, one.declared_before)} {nouns({kind})}" for kind, one in over.items())
    reason = f"{shares} were removed from git at once; the limit is {limits.max_removed}"
    return _hold_all(changes, HoldName.MASS_REMOVAL, reason, f"--max-removed {max(one.lost for one in over.values())}")


def _unreachable(limits: GuardLimits, changes: Iterable[Change], world: GuardWorld) -> Holds:
    hurting = [change for change in changes if change.disruption is not Disruption.NONE]
    holds: dict[ResourceKey, tuple[Hold, ...]] = {}
    for kind, one in world.survey.kinds.items():
        if one.unreachable > limits.max_unreachable.of(one.observed):
            what = f"{_share(one.unreachable, one.observed)} {endpoints(kind)}"
            reason = f"{what} cannot be read; the limit is {limits.max_unreachable}"
            judged = [change for change in hurting if change.key.kind == kind or change.key.kind not in FLEET]
            holds |= _hold_all(judged, HoldName.UNREACHABLE_FLEET, reason, f"--max-unreachable {one.unreachable}")
    return holds


def _released(limits: GuardLimits, changes: Iterable[Change], world: GuardWorld) -> Holds:
    fleet = world.survey
    allowed = int(limits.max_released.of(fleet.held))
    if limits.max_released.percent:
        allowed = max(FEW, allowed)
    if fleet.releasing <= allowed:
        return {}
    reason = (
        f"{_share(fleet.releasing, fleet.held)} addresses, numbers and networks would be released, because "
        f"no document declares them any more; the limit is {allowed} ({limits.max_released})"
    )
    giving = (change for change in changes if change.source is None and change.disruption is Disruption.DESTRUCTIVE)
    return _hold_all(giving, HoldName.MASS_RELEASE, reason, f"--max-released {fleet.releasing}")


def _given_back(limits: GuardLimits, changes: Iterable[Change], world: GuardWorld) -> Holds:
    fleet = world.survey
    allowed = int(limits.max_released.of(fleet.claimed))
    if limits.max_released.percent:
        allowed = max(1, allowed)
    if fleet.returning <= allowed:
        return {}
    reason = (
        f"{_share(fleet.returning, fleet.claimed)} claimed machines would be released and wiped (machines that "
        f"are being wiped now are included); the limit is {allowed} ({limits.max_released})"
    )
    giving = (change for change in changes if any(action.releases for action in change.actions))
    return _hold_all(giving, HoldName.MASS_UNCLAIM, reason, f"--max-released {fleet.returning}")


def built_in_budgets(world: GuardWorld) -> tuple[Budget, Budget]:
    """How many machines may be down at once: of each rack, and of the whole fleet."""
    return _rack_budget(world), _fleet_budget(world)


def _rack_budget(world: GuardWorld) -> Budget:
    """How much of each rack may be down at once; what has no rack is in none."""
    guard, limits = rack_guard(world.desired), world.standing.limits

    def group(name: str, world: GuardWorld) -> Group:
        members, new = members_of(guard, name, world), new_members(guard, name, world)
        kinds = {key.kind for key in members}
        return Group(group_words(name, nouns(kinds)), kinds, len(members), new=len(new))

    # Each plan makes these anew, and hardly one asks: to make a `functools.cache` costs ten times as much as a dict.
    known: dict[str, GroupState] = {}

    def fleet(kind: str) -> GroupState:
        return known.get(kind) or known.setdefault(kind, group_state(_fleet_budget(world), whole_of(kind), world))

    def hint(change: Change, down: int, starting: int) -> str:
        whole = fleet(change.key.kind)
        more = f"--max-disrupted {whole.counted + starting} " if starting > whole.room else ""
        return _hint(HoldName.DISRUPTION_BUDGET, change.key, f"{more}--max-disrupted-per-rack {down}")

    return Budget(
        HoldName.DISRUPTION_BUDGET,
        limits.max_disrupted_per_rack,
        limits.window,
        groups_of=lambda key, world: tuple(name for name in groups_of(guard, key, world) if group_value(name)),
        group=group,
        hint=hint,
    )


def _fleet_budget(world: GuardWorld) -> Budget:
    """How much of the whole fleet may be down at once, for each kind separately."""
    limits = world.standing.limits

    known: dict[str, GroupState] = {}

    def hint(change: Change, down: int, starting: int) -> str:
        racks = _rack_budget(world)
        names = racks.groups_of(change.key, world)
        states = [known.get(name) or known.setdefault(name, group_state(racks, name, world)) for name in names]
        most = max((min(one.group.size, one.counted + starting) for one in states if starting > one.room), default=0)
        more = f" --max-disrupted-per-rack {most}" if most > min((one.allowed for one in states), default=0) else ""
        return _hint(HoldName.DISRUPTION_BUDGET, change.key, f"--max-disrupted {down}{more}")

    return Budget(
        HoldName.DISRUPTION_BUDGET,
        limits.max_disrupted,
        limits.window,
        groups_of=lambda key, _: (whole_of(key.kind),) if key.kind in FLEET else (),
        group=_whole_kind,
        hint=hint,
    )


def whole_of(kind: str) -> str:
    """The name of the group that is all of a kind, as it stands in metrics: `machines`."""
    return KINDS[kind].plural


def whole_groups(world: GuardWorld) -> list[str]:
    """The groups of the fleet's budget: one for each kind of which something is declared, and one at least."""
    return [whole_of(kind) for kind in FLEET if world.survey.kinds[kind].declared] or [whole_of(FLEET[0])]


def _whole_kind(name: str, world: GuardWorld) -> Group:
    kind = next(one for one in FLEET if whole_of(one) == name)
    return Group(name, (kind,), world.survey.kinds[kind].declared, new=new_of_kind(kind, world))


def hold_until_observed(limits: GuardLimits) -> Guard:
    """For a program that looks while it works: nothing is taken down while those that were not observed yet could, by
    being unreachable, forbid it. After a start into an outage the first to answer are those that are well."""

    def unseen(changes: Iterable[Change], world: GuardWorld) -> Holds:
        hurting = [change for change in changes if change.disruption is not Disruption.NONE]
        holds: dict[ResourceKey, tuple[Hold, ...]] = {}
        for kind, one in world.survey.kinds.items():
            attended = one.declared - one.unattended
            missing = attended - one.observed
            if missing and one.unreachable + missing > limits.max_unreachable.of(attended):
                judged = (change for change in hurting if change.key.kind == kind or change.key.kind not in FLEET)
                holds |= {change.key: (_first_look(kind, one),) for change in judged}
        is_complete = all(one.declared <= one.observed + one.unattended for one in world.survey.kinds.values())
        new = () if is_complete else unseen_newcomers(world)
        return {change.key: (_newcomer_hold(new[0]),) for change in hurting} | holds if new else holds

    return unseen


def _first_look(kind: str, one: KindSurvey) -> Hold:
    reason = (
        f"since its start the daemon has observed only {_share(one.observed, one.declared)} {nouns({kind})}; "
        "too many of the others may be unreachable"
    )
    hint = f"continues automatically when the daemon has observed the other {nouns({kind})}"
    return Hold(HoldKind.BLOCKED, HoldName.FIRST_LOOK, reason, hint)


def _newcomer_hold(key: ResourceKey) -> Hold:
    reason = f"{key} was added and has not been observed yet, and may be this resource under another name"
    return Hold(
        HoldKind.BLOCKED, HoldName.FIRST_LOOK, reason, f"continues automatically when the daemon has observed {key}"
    )


def hold_without_boot_service(last: str = "", served: Collection[str] = ()) -> Guard:
    """For a fleet without a boot service: no machine is started from the network when nothing would answer it.

    `last`: where one was, and when it was last heard of. `served`: partitions that have a boot service of their own.
    """
    was = f" (the last boot service was seen at {last})" if last else ""
    reason = f"network boot needs a boot service, and none is running{was}"
    hint = "start the daemon with a boot service: `groundstate run --boot-address ADDR`"
    if served:
        reason = f"network boot needs a boot service, and only {', '.join(served)} have one now"
        hint = "start a daemon with a boot service for the partition: `groundstate run --boot-address ADDR`"

    def unserved(changes: Iterable[Change], world: GuardWorld) -> Holds:
        ordering = [change for change in changes if any(action.needs_boot_service for action in change.actions)]
        shards = {change.key: shard_of(world.desired.resources.get(change.key)) for change in ordering}
        return {
            key: (Hold(HoldKind.GUARD, HoldName.BOOT_SERVICE, reason, hint),)
            for key, shard in shards.items()
            if shard is None or shard.partition not in served
        }

    return unserved


def limit_words(guard: str, limits: GuardLimits) -> str:
    """`the limit is 10% (--max-removed)`, for each limit; empty where it has none."""
    return ", ".join(_limit_words(setting, getattr(limits, setting)) for setting in BUILT_IN_GUARDS[guard].limits)


def _limit_words(setting: str, value: object) -> str:
    option = f"--{setting.replace('_', '-')}"
    if isinstance(value, bool):
        return f"{option} is {'set' if value else 'not set'}"
    return f"the limit is {value} ({option})"


def _hold_all(changes: Iterable[Change], guard: str, reason: str, flag: str) -> dict[ResourceKey, tuple[Hold, ...]]:
    return {change.key: (Hold(HoldKind.GUARD, guard, reason, _hint(guard, change.key, flag)),) for change in changes}


def _hint(guard: str, key: ResourceKey, flag: str) -> str:
    return f"{override_hint(guard, key)}; or, without a daemon, `groundstate apply {flag}`"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}"
