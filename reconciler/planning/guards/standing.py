"""What stands in the store, and in the limits that were asked for, by which every plan is judged.

What depends on a running service is a fact in the store, which the daemon writes. So a plan in CI says what the daemon
will do."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec

from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.plans.fleet_count import FleetCount
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import ResourcePause
from reconciler.planning.guards.guard_limits import GuardLimits

SILENT = timedelta(minutes=2)
"""A daemon that was not heard of for so long is not at work: it was killed, or its host is gone."""


class BootServices(msgspec.Struct, frozen=True, omit_defaults=True):
    """The boot services of daemons that do not decide. `address`: of one that serves all partitions, if there is one.
    `partitions`: the others serve these alone."""

    address: str | None = None
    partitions: tuple[str, ...] = ()


class DaemonReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `groundstate run` writes down of itself: the limits it was given, and the address of its boot service.
    `fleet`: as it counted the fleet last; None until a desired state is in force."""

    by: str
    """Who runs it."""
    since: datetime
    """When it started."""
    limits: GuardLimits = GuardLimits()
    """The limits that it was started with."""
    boot_address: str | None = None
    """Where its boot service answers, or that of a daemon that stands by; None: there is none."""
    seen_at: datetime | None = None
    """When it reported last."""
    ended: bool = False
    """It stopped in order."""
    observes_only: bool = False
    """It reports drift, and sends nothing (`run --observe`)."""
    fleet: FleetCount | None = None
    """What it counts."""
    boot_partitions: tuple[str, ...] = ()
    """The partitions with boot services of their own, which daemons with `--partitions` have."""

    def at_work(self, now: datetime) -> bool:
        """Whether it can be taken to run. The clocks of two hosts may differ by seconds."""
        return not self.ended and self.seen_at is not None and now - self.seen_at < SILENT


class CommandLimits(msgspec.Struct, frozen=True):
    """The limits that a command was given. `said`: the names of those that stand on its command line."""

    limits: GuardLimits = GuardLimits()
    given: frozenset[str] = frozenset()


class Standing(msgspec.Struct, frozen=True):
    """What judges a plan beside the documents. `boot_address`: of the boot service that machines are started from;
    None: none is there. `boot_partitions`: those that have boot services of their own.
    `last_boot`: in words, when one was last heard of. `overrides` and `pauses`: rows of the store, also
    those that are over."""

    limits: GuardLimits = GuardLimits()
    boot_address: str | None = None
    last_boot: str = ""
    overrides: tuple[Override, ...] = ()
    pauses: tuple[ResourcePause, ...] = ()
    boot_partitions: tuple[str, ...] = ()


def standing_in_force(
    asked: CommandLimits,
    daemon: DaemonReport | None,
    overrides: tuple[Override, ...],
    now: datetime,
    pauses: tuple[ResourcePause, ...] = (),
) -> tuple[Standing, tuple[Diagnostic, ...]]:
    """What is in force, and what is to be reported of it.

    While a daemon is at work its limits count, since it is the daemon that acts. A limit on the command line replaces
    one of them, and the plan says so."""
    if daemon is None or not daemon.at_work(now):
        return Standing(asked.limits, None, _last_boot(daemon), overrides, pauses), ()
    given = {name: getattr(asked.limits, name) for name in sorted(asked.given)}
    other = {name: value for name, value in given.items() if value != getattr(daemon.limits, name)}
    limits = msgspec.structs.replace(daemon.limits, **given)
    standing = Standing(limits, daemon.boot_address, "", overrides, pauses, daemon.boot_partitions)
    return standing, tuple(_differs(other, daemon))


def _last_boot(daemon: DaemonReport | None) -> str:
    if daemon is None or daemon.boot_address is None:
        return ""
    heard = f", last seen at {daemon.seen_at:%Y-%m-%d %H:%M:%S}Z" if daemon.seen_at else ""
    return f"{daemon.boot_address}{heard}"


def _differs(other: dict[str, object], daemon: DaemonReport) -> list[Diagnostic]:
    if not other:
        return []
    said = ", ".join(f"--{name.replace('_', '-')} {value}" for name, value in other.items())
    has = ", ".join(f"{name.replace('_', '-')} {getattr(daemon.limits, name)}" for name in other)
    return [
        Diagnostic(
            "other-limits",
            Severity.WARNING,
            f"this plan uses {said}, but the running daemon uses {has}; so the daemon may act differently from "
            "this plan",
            hint="`groundstate override GUARD --for 1h --reason WHY` lets a held change through while the daemon runs",
        )
    ]
