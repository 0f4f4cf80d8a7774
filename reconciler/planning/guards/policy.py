"""The one policy: the guards that judge every plan. `plan`, `get`, `apply` and the daemon all plan by it.

It follows from the documents and from what stands in the store, never from which command asks. One hold is not part of
it, `first-look`: it is how a daemon that has just been started waits until it has observed the fleet.
"""

from __future__ import annotations

from functools import partial

import msgspec

from reconciler.planning.guards.budgets import budget_holds, used_up_holds
from reconciler.planning.guards.builtin_guards import built_in_budgets, hold_without_boot_service, standard_guards
from reconciler.planning.guards.declared_budgets import declared_budgets
from reconciler.planning.guards.declared_guards import hold_declared
from reconciler.planning.guards.guard import Guard, GuardWorld
from reconciler.planning.guards.pauses import hold_paused


class Policy(msgspec.Struct, frozen=True):
    """The guards, in order. `budgets` judge last, as what another guard holds uses no budget up."""

    guards: tuple[Guard, ...]
    budgets: tuple[Guard, ...]


def policy(world: GuardWorld) -> Policy:
    """What judges changes: by the documents that are desired, and by what the store remembers and what stands in it."""
    standing = world.standing
    unserved = hold_without_boot_service(standing.last_boot, standing.boot_partitions)
    served = () if standing.boot_address is not None else (unserved,)
    racks, fleet = built_in_budgets(world)
    declared = (partial(budget_holds, one) for one in declared_budgets(world))
    return Policy(
        (hold_paused, *served, *standard_guards(standing.limits), hold_declared),
        (*declared, partial(used_up_holds, fleet), partial(budget_holds, racks), partial(budget_holds, fleet)),
    )
