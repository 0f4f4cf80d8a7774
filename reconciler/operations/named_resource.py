"""The one resource that a name means, for operations about a single one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reconciler.kinds import KINDS
from reconciler.kinds.selectors import select
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.operations.operation_error import FailureReason, OperationError


def one_resource(name: str, kinds: Sequence[str], desired: DesiredState) -> Resource[Any]:
    """The declared resource of one of the kinds that `name`, or KIND/NAME, means.

    Raises Unmatched where nothing is meant, and OperationError where it is of another kind, or several are meant.
    """
    named = [key for kind in kinds if (key := ResourceKey(kind, name)) in desired.resources]
    if len(named) > 1:
        meant = " and ".join(map(str, named))
        raise OperationError(f"{name!r} can mean {meant}; write KIND/NAME", FailureReason.NOT_FOUND)
    kind = named[0].kind if named else kinds[0]
    found = sorted(select([name if "/" in name else f"{kind.lower()}/{name}"], "", desired))
    if len(found) != 1 or found[0].kind not in kinds:
        lists = " or ".join(f"`groundstate get {KINDS[kind].plural}`" for kind in kinds)
        raise OperationError(
            (f"{name!r} does not name exactly one {' or '.join(kinds)}; see the names with {lists}"),
            FailureReason.NOT_FOUND,
        )
    return desired.resources[found[0]]
