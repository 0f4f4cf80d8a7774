"""What is done about a claim: machines are released here; which ones it gets is for the plan as a whole to say. Pure.

A claim is judged by which machines are remembered to be its own. New ones are chosen by `placement/place.py`, which
sees all claims at once, and added to the change there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reconciler.kinds.claim.renames import held_for_rename
from reconciler.kinds.claim.spec import ClaimedMachine, MachineClaimSpec, lacking, machines_of_claim, surplus, too_many
from reconciler.kinds.common.field_types.managed_field import Field
from reconciler.kinds.common.kind import KindView, Steps
from reconciler.kinds.common.renamed_facts import NAME, former
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Forget
from reconciler.model.actions.record_actions import Claim, Rename, Unclaim
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import Resource, ResourceKey

COUNT, MACHINES, WITHOUT, PROJECT = Claim.path, "spec.machines", "spec.without", "spec.project"


class ClaimRules:
    """The reconciled half of MachineClaim."""

    def fields(self, resource: Resource[MachineClaimSpec], view: KindView) -> tuple[Field, ...]:
        """How many machines it has, not counting those being released. Whether it names them, where it names any. Which
        of those it is not to have are not its own, or being released. For which project it got them."""
        spec, held = resource.spec, machines_of_claim(resource.key.name, view)
        live = [one for one in held if not one.releasing]
        settled = not lacking(spec.count, held) and not too_many(spec, held)
        still = {one.machine for one in live} & set(spec.without)
        gone = [one for one in spec.without if one not in still]
        without = (Field(WITHOUT, list(spec.without), gone, not still),)
        strange = any(one.machine not in spec.machines for one in live)
        has = [one.machine for one in live] if strange else list(spec.machines)
        named_ = (Field(MACHINES, list(spec.machines), has, not strange),)
        others = sorted({one.project or "" for one in live} - {spec.project})
        whose = others[0] if others else spec.project
        was = former(view.facts)
        return (
            *((Field(NAME, resource.key.name, was[-1], False),) if was else ()),
            Field(COUNT, spec.count, len(live) if held else None, settled),
            *(named_ if spec.machines else ()),
            *(without if spec.without else ()),
            Field(PROJECT, spec.project, whose if live else None, not others),
        )

    def steps(self, resource: Resource[MachineClaimSpec], view: KindView, fields: tuple[Field, ...]) -> Steps:
        """Release what it is not to have, and what is too much without that: the highest slots."""
        spec, held = resource.spec, machines_of_claim(resource.key.name, view)
        project = next(field for field in fields if field.path == PROJECT)
        if not project.equal:
            reason = (
                f"the claim's machines belong to project {project.observed}, and must be wiped before another "
                f"project gets them"
            )
            hint = f"keep spec.project: {project.observed}; declare another claim for {spec.project}"
            return Steps(holds=(Hold(HoldKind.GUARD, "bound", reason, hint),))
        if (hold := held_for_rename(view)) is not None:
            return Steps(holds=(hold,))
        named_anew = _rename(view, held) if former(view.facts) else ()
        over = surplus(spec, held)
        many = set(too_many(spec, held))
        why = {f"spec.count is now {spec.count}" if one in many else _why_not(spec, one.machine) for one in over}
        return Steps((*named_anew, *((_unclaim(view, over, ", ".join(sorted(why))),) if over else ())))

    def removal(self, view: KindView) -> Steps:
        """All of its machines are released; it is forgotten when each is free again."""
        held = machines_of_claim(view.key.name, view)
        live = tuple(one for one in held if not one.releasing)
        forget = Forget(key=view.key, reason="no longer declared, and has no machines left")
        if live:
            hold = held_for_rename(view)
            return Steps((_unclaim(view, live, "no longer declared"), forget), () if hold is None else (hold,))
        if held:
            reason = f"the release has not ended; not wiped yet: {named_machines(held)}"
            return Steps(
                (forget,),
                (
                    Hold(
                        HoldKind.BLOCKED,
                        "release",
                        reason,
                        "continues automatically when the machines are wiped and free",
                    ),
                ),
            )
        return Steps() if view.stray else Steps((forget,))

    def confirmed(self, action: Action, value: Any) -> bool:
        """Written down is done."""
        return True

    def patience(self, action: Action, resource: Resource[MachineClaimSpec] | None) -> float:
        """Nothing is sent."""
        return 1.0


def machines_given_up(action: Action) -> tuple[ResourceKey, ...]:
    """The machines that the action releases, to be stopped and wiped."""
    return tuple(ResourceKey("Machine", name) for name in action.machines) if isinstance(action, Unclaim) else ()


def named_machines(held: Iterable[ClaimedMachine]) -> str:
    """`Machine/m1 (slot 0), Machine/m2 (slot 1)`."""
    return ", ".join(f"Machine/{one.machine} (slot {one.slot})" for one in held)


def _rename(view: KindView, held: tuple[ClaimedMachine, ...]) -> tuple[Action, ...]:
    machines = tuple(one.machine for one in held)
    return (
        Rename(
            key=view.key, was=former(view.facts), machines=machines, reason="spec.renamedFrom names the former claim"
        ),
    )


def _why_not(spec: MachineClaimSpec, machine: str) -> str:
    return "spec.without names the machine" if machine in spec.without else "spec.machines does not name the machine"


def _unclaim(view: KindView, held: tuple[ClaimedMachine, ...], reason: str) -> Unclaim:
    return Unclaim(
        key=view.key,
        machines=tuple(one.machine for one in held),
        reason=(f"{reason}; the claim releases these machines, and groundstate wipes their disks"),
    )
