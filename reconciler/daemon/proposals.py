"""Proposes found, undeclared machines as a branch for a pull request.

It works beside the reconciling, in a thread of its own. It looks through the partitions' BMC networks now and then, as
`groundstate discover` does. It brings the branch up to date after each look, after each revision that takes force and
after each machine that the boot service met. What does not succeed is reported once and tried again later."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import msgspec

from drivers.base import OUTSIDE_ERRORS, FoundBmc
from reconciler import runtime
from reconciler.applying.engine import Engine
from reconciler.daemon.undeclared_machines import UndeclaredMachines
from reconciler.desired.git.branches.proposal_branch import ProposalBranch
from reconciler.desired.git.plumbing import SourceError
from reconciler.desired.manifest.manifests import dump_yaml
from reconciler.kinds.catalogue.partition import partitions_of
from reconciler.kinds.common.access.access_rules import Access
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.resource import DesiredState
from reconciler.model.retry import DISCOVERY_LOGIN, PROPOSAL
from reconciler.observed.bmc_scan import Manner, UnreadableBmc, probe_addresses, read_found
from reconciler.observed.connections import Connections
from reconciler.onboarding.discovery import (
    HTTPS,
    Declared,
    FoundSystem,
    Proposal,
    declared_systems,
    machines_among,
    propose,
)
from reconciler.onboarding.probe_targets import ProbeTarget, candidates, declared_ranges
from reconciler.onboarding.proposal import (
    Update,
    proposal_message,
    proposal_paths,
    stale,
    still_open,
    subject,
    undeclared_systems,
    update,
)
from reconciler.onboarding.undeclared import UndeclaredMachine, match_undeclared, undeclared
from reconciler.store.sql.store_errors import StoreError
from reconciler.views.render.words import clean

_NAMED = 10
_MAX_REPORTED = 1000


class Schedule(msgspec.Struct, frozen=True):
    """Seconds between two looks through the networks (`every`; at least `soon`, where a machine was met meanwhile). And
    between two rounds of any kind (`pause`; no longer than `every`)."""

    every: float = 3600.0
    soon: float = 300.0
    pause: float = 10.0
    port: int = HTTPS
    manner: Manner = Manner(pins=False, asked=False)


class Proposer:
    """`run` works until it is stopped; `wake` makes it check at once whether there is something to do. `tell` writes an
    event to ledger, log and metrics."""

    def __init__(
        self,
        branch: ProposalBranch,
        engine: Engine,
        connections: Connections,
        undeclared: UndeclaredMachines,
        report_event: Callable[[Event], None],
        now: Callable[[], datetime],
        schedule: Schedule,
    ) -> None:
        self._branch, self._engine, self._ways, self._undeclared = branch, engine, connections, undeclared
        self._report_event, self._now, self._schedule = report_event, now, schedule
        self._wake = runtime.flag()
        self._found: list[FoundSystem] = []
        self._looked_at: datetime | None = None
        self._refused: dict[str, tuple[Access, datetime]] = {}
        self._complained: set[tuple[str, str]] = set()
        self._failure = ""
        self._failures = 0

    def wake(self) -> None:
        """Have it look soon whether there is something to do, or whether it is to stop."""
        self._wake.set()

    def run(self, stop: runtime.Flag) -> None:
        """Propose until `stop`. Raises StoreError when the store is gone."""
        pause = min(self._schedule.pause, self._schedule.every)
        while not stop.is_set():
            self._wake.clear()
            seconds = self.round(stop)
            if not stop.wait(pause):
                self._wake.wait(max(0.0, seconds - pause))

    def round(self, stop: runtime.Flag) -> float:
        """Look through the networks if it is time, and bring the branch up to date. Returns the seconds until the next
        round, if nothing happens before. Raises StoreError."""
        desired = self._engine.desired
        if desired is None or desired.revision.commit is None:
            return self._schedule.every
        try:
            self._work(desired, stop)
        except SourceError as error:
            return self._failed(str(error), error)
        except StoreError:
            raise
        except OUTSIDE_ERRORS as error:  # a defect here must not stop the reconciling
            return self._failed(f"{type(error).__name__}: {error}", error)
        self._failures, self._failure = 0, ""
        return self._seconds_until_scan()

    # -- one round -----------------------------------------------------------------------------------------------------

    def _work(self, desired: DesiredState, stop: runtime.Flag) -> None:
        branch = self._branch.fetch(desired.revision)
        machines = list(machines_among(desired.resources.values()))
        kinds = {one.key.kind for one in machines}
        looks = {one.key: one.value for kind in kinds for one in self._engine.observations(kind)}
        gone = stale(branch, machines, declared_systems(machines, looks))
        proposed = [machine for one in still_open(branch, gone) for machine in one.machines]
        there = declared_systems([*machines, *proposed], looks)
        if self._seconds_until_scan() <= 0:
            self._scan(desired, there, stop)
        if stop.is_set():
            return
        systems, lone = match_undeclared(
            undeclared_systems(self._found, there), undeclared(self._undeclared.all(), there)
        )
        proposals, _ = propose(systems, there)
        places = proposal_paths(proposals, self._branch.folder, branch, gone)
        found = update(branch, gone, {path: dump_yaml(one.document) for path, one in places.items()})
        if found is not None:
            text = proposal_message(found, list(places.values()), lone)
            commit = self._branch.go_on(desired.revision, branch, found, text)
            self._report_proposed(desired, found, places.values(), commit)
        self._report_lone(lone)

    def _scan(self, desired: DesiredState, there: Declared, stop: runtime.Flag) -> None:
        begun = self._now()
        partitions = partitions_of(desired)
        ranges, left_out = declared_ranges(partitions, self._schedule.port)
        for text in left_out:
            self._complain(
                EventReason.NETWORK_TOO_LARGE,
                f"{text}; declare smaller bmcNetworks, or run `groundstate discover`",
                text,
            )
        todo = self._unread_systems(candidates(ranges, partitions, there, []), begun, stop)
        manner = self._schedule.manner
        answers = list(probe_addresses(self._ways, todo, manner, self._complain_of_probe))
        found = [(candidate, one) for candidate, one in answers if isinstance(one, FoundBmc)]
        silent = [one for _, one in answers if isinstance(one, UnreadableBmc)]
        if stop.is_set():
            return
        self._found, unread = read_found(self._ways, found, partitions, manner)
        self._take_refusals(unread, {one.url: one.access for one, _ in found}, begun)
        for one in (*silent, *unread):
            self._complain(EventReason.BMC_NOT_READ, str(one), f"{one.url} {'refused' if one.refused else 'unread'}")
        self._looked_at = begun

    def _unread_systems(self, todo: Iterable[ProbeTarget], now: datetime, stop: runtime.Flag) -> Iterator[ProbeTarget]:
        for one in todo:
            if stop.is_set():
                return
            way, since = self._refused.get(one.url, (None, now))
            if way != one.access or (now - since).total_seconds() >= DISCOVERY_LOGIN:
                yield one

    def _take_refusals(self, unread: Iterable[UnreadableBmc], ways: dict[str, Access], now: datetime) -> None:
        kept = {url: held for url, held in self._refused.items() if url not in ways}
        self._refused = kept | {one.url: (ways[one.url], now) for one in unread if one.refused}

    def _seconds_until_scan(self) -> float:
        """Seconds between two scans of the networks."""
        if self._looked_at is None:
            return 0.0
        waited = (self._now() - self._looked_at).total_seconds()
        if waited < 0:
            return 0.0  # The clock was put back.
        is_met = any(one.at > self._looked_at for one in self._undeclared.all())
        every = min(self._schedule.soon, self._schedule.every) if is_met else self._schedule.every
        return every - waited

    # -- what is reported ----------------------------------------------------------------------------------------------

    def _report_proposed(self, desired: DesiredState, this: Update, proposals: Iterable[Proposal], commit: str) -> None:
        names = [f"Machine/{one.name}" for one in proposals]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        which = f": {', '.join(names[:_NAMED])}{more}" if names else ""
        what = f"{subject(len(this.add), len(this.remove))}{which}; {self._branch.where} is {commit[:10]}"
        self._say(EventType.NORMAL, EventReason.MACHINES_PROPOSED, what, desired.revision.id)

    def _report_lone(self, lone: Iterable[UndeclaredMachine]) -> None:
        for one in lone:
            if self._looked_at is not None and one.at <= self._looked_at:
                why = "a machine without a document reached the boot service, but no scanned BMC belongs to the machine"
                hint = "declare the machine with its bmc.address, or add the network of its BMC to bmcNetworks"
                self._complain(EventReason.BMC_NOT_FOUND, f"{why}; {hint}: {one}", str(one))

    def _failed(self, why: str, error: BaseException) -> float:
        what = error.what if isinstance(error, SourceError) else type(error).__name__
        if what != self._failure:
            self._failure = what
            self._say(EventType.WARNING, EventReason.PROPOSAL_FAILED, clean(why), about=what)
        self._failures += 1
        return min(self._schedule.every, PROPOSAL.delay(self._failures))

    def _complain_of_probe(self, text: str) -> None:
        self._complain(EventReason.BMC_NOT_READ, text, text)

    def _complain(self, reason: EventReason, text: str, about: str) -> None:
        """Reported once for what it is about, as it would be reported again after each look."""
        if (reason, about) not in self._complained:
            if len(self._complained) >= _MAX_REPORTED:
                self._complained.clear()
            self._complained.add((reason, about))
            self._say(EventType.WARNING, reason, clean(text), about=about)

    def _say(
        self, severity: EventType, reason: EventReason, text: str, revision: str | None = None, about: str = ""
    ) -> None:
        which = (about,) if about else ()
        self._report_event(Event(self._now(), severity, reason, text, revision=revision, about=which))
