"""Asking the daemon that is at work on the store to observe and reconcile resources now."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from reconciler.kinds import KINDS, RECONCILED, access_to
from reconciler.kinds.common.field_types.bmc_address import canonical_address
from reconciler.kinds.selectors import filter_words, select
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.stored_facts import derived_labels, described_by, facts_of
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace
from reconciler.planning.guards.standing import DaemonReport
from reconciler.planning.universe import universe
from reconciler.runtime import now
from reconciler.store import Store


class ReconcileRequest(msgspec.Struct, frozen=True):
    """The resources that were asked for, and the daemon that is to reconcile them."""

    keys: tuple[ResourceKey, ...]
    daemon: DaemonReport
    notes: tuple[str, ...] = ()


def request_reconcile(where: Where, targets: tuple[str, ...], selector: str) -> ReconcileRequest:
    """Write the request into the ledger, where the daemon finds it within seconds. Guards, pacing and all that is
    remembered hold as ever, but for a refused login, which is sent once more. Raises OperationError, also where no
    daemon is at work."""
    if not targets and not selector:
        raise OperationError("name the resources to reconcile, such as machine/r12-01, or select them with -l")
    with Workspace(where) as at:
        with at.store() as store:
            daemon = _daemon(store)
            desired, facts = at.read(at.source(), store), facts_of(store)
            everything = universe(desired, facts)
            chosen = select(targets, selector, desired, everything, lambda: derived_labels(store, desired))
        keys = tuple(key for key in everything if key in chosen and key.kind in RECONCILED)
        if not keys:
            why = f"no reconciled resource matches {filter_words(targets, selector)}"
            raise OperationError(why, FailureReason.NOT_FOUND)
        with at.changing() as store:
            by, time, reason = where.by("reconcile"), now(), EventReason.RECONCILE_REQUESTED
            said = "asked the daemon to observe and reconcile the resource now"
            asked = [Event(time, EventType.NORMAL, reason, said, key, by=by) for key in keys]
            # Who asks for a look now has perhaps unlocked the account. One more try is sent.
            store.refused_logins.remove(_bmcs(keys, desired))
            store.append(map(described_by(desired, facts.resources), asked))
        return ReconcileRequest(keys, daemon, at.notes)


def _bmcs(keys: Iterable[ResourceKey], desired: DesiredState) -> set[str]:
    """The addresses at which the declared ones log in."""
    with_access = (key for key in keys if KINDS[key.kind].access is not None)
    declared = [desired.resources[key] for key in with_access if key in desired.resources]
    return {canonical_address(access_to(resource, desired).address) for resource in declared}


def _daemon(store: Store) -> DaemonReport:
    daemon = store.daemon.get()
    if daemon is None or not daemon.at_work(now()):
        raise OperationError(
            "nothing was requested, because no daemon runs with this store. Start a daemon (`groundstate run`), "
            "or use `groundstate apply`",
            FailureReason.UNAVAILABLE,
        )
    return daemon
