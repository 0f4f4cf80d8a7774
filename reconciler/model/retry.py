"""Every back-off of the program: how long until what failed is tried again, and what waits is observed again. Pure.

What a driver must keep to as well, so that no caller can lock an account, stands in `drivers/base/support/backoff.py`.
All figures are seconds. Callers add the result to their own clock, so that a simulation owns the time.
"""

from __future__ import annotations

import msgspec

from drivers.base import REFUSED_LOGIN, ErrorReason
from drivers.base import Backoff as Backoff
from reconciler.model.outcome import Failed, OutcomeReason, Waiting

AN_HOUR = 3600.0


class Polling(msgspec.Struct, frozen=True):
    """Looks that become rarer the longer something takes: a quarter of the time waited, within these bounds."""

    least: float
    most: float

    def delay(self, waited: float) -> float:
        """The wait until the next look, after so many seconds of waiting."""
        return min(self.most, max(self.least, waited / 4))


class RetryPolicy(msgspec.Struct, frozen=True):
    """How an error is handled: `wait` before the next attempt. `terminal`: not tried again until the declared or the
    observed value changes, and `wait` is how soon that is checked. `passing`: the resource waits, and has not failed,
    because such an error is expected to end without an action. `of_many`: it is about many resources, and is reported
    once for all of them."""

    wait: Backoff
    terminal: bool = False
    passing: bool = False
    of_many: bool = False


POLICIES: dict[ErrorReason, RetryPolicy] = {
    ErrorReason.UNREACHABLE: RetryPolicy(Backoff(5, 300), passing=True),
    ErrorReason.UNREADABLE: RetryPolicy(Backoff(60, 300)),
    ErrorReason.BUSY: RetryPolicy(Backoff(5, 60), passing=True),
    ErrorReason.AUTHENTICATION_FAILED: RetryPolicy(REFUSED_LOGIN),
    # No login went out, so that no account is locked: the machines are back soon after their source is.
    ErrorReason.SECRET_UNAVAILABLE: RetryPolicy(Backoff(10, 30)),
    ErrorReason.REJECTED: RetryPolicy(Backoff(300, 300), terminal=True),
    ErrorReason.UNSUPPORTED: RetryPolicy(Backoff(300, 300), terminal=True),
    ErrorReason.EXHAUSTED: RetryPolicy(Backoff(60, 300)),
    # Whoever holds it may let go, and that shows nowhere in what is observed of this resource.
    ErrorReason.CONFLICT: RetryPolicy(Backoff(60, 300)),
    ErrorReason.FAILED: RetryPolicy(Backoff(60, 300)),
    # Its return is reported at once, so that the resource need not ask.
    ErrorReason.NO_WORKER: RetryPolicy(Backoff(2, 60), passing=True, of_many=True),
    ErrorReason.INTERNAL: RetryPolicy(Backoff(60, 300)),
}


def retry_policy(reason: ErrorReason) -> RetryPolicy:
    """The policy of an error."""
    return POLICIES[reason]


REQUEUE: dict[OutcomeReason, float | Polling] = {
    OutcomeReason.HELD: 30,
    OutcomeReason.PAUSED: 30,
    OutcomeReason.STALLED: 30,
    OutcomeReason.NO_DESIRED_STATE: 30,
    # What clears by itself is seen soon when it is new, and costs little when it is old.
    OutcomeReason.BLOCKED: Polling(0.5, 30),
    OutcomeReason.CHANGING: Polling(0.5, 30),
    # PowerState changes within 1 to 11 s on most BMCs, and within minutes on some.
    OutcomeReason.CONFIRMING: Polling(0.5, 10),
    # The resource that is first wakes this one, so it seldom has to ask by itself.
    OutcomeReason.IN_TURN: 10,
    OutcomeReason.ENDPOINT_BUSY: 1,
    # The failure itself says when the action may be sent again, which may be later.
    OutcomeReason.TASK_FAILED: 5,
    OutcomeReason.NOT_CONFIRMED: 5,
    OutcomeReason.RECORDED: 0,
    OutcomeReason.OBSERVED_EARLIER: 0,
    OutcomeReason.NEW_REVISION: 0,
    OutcomeReason.STALE: 0,
}
"""How long after each outcome the resource is reconciled again, where no driver's error is the reason."""

HELD_AGAIN = 24 * AN_HOUR
"""How long a guard's hold goes on before it is reported again (metal3-docs#709: nothing is deferred in silence)."""

CRASHED = 30.0
"""Before a resource is reconciled again whose reconcile ended in a defect."""


def requeue_delay(reason: OutcomeReason, waited: float = 0.0) -> float:
    """The wait before a resource is reconciled again that has waited for this reason for `waited` seconds."""
    wait = REQUEUE[reason]
    return wait.delay(waited) if isinstance(wait, Polling) else wait


def waiting(reason: OutcomeReason, message: str, waited: float = 0.0) -> Waiting:
    """The outcome of a resource that has waited for this reason for `waited` seconds."""
    return Waiting(reason, message, requeue_delay(reason, waited))


def error_outcome(reason: ErrorReason, message: str, delay: float, *, terminal: bool) -> Waiting | Failed:
    """The outcome of a driver's error: waiting if such an error ends without an action, else failed."""
    if retry_policy(reason).passing:
        return Waiting(reason, message, delay)
    return Failed(reason, message, terminal, delay)


# -- writes to a BMC ---------------------------------------------------------------------------------------------------

WRITE = Backoff(5, 1800, growth=4)
"""5 s after the first refusal, as most refusals are about the moment. (iDRAC10 refuses On for 60 s after an off, Ironic
LP 2162995.) Then 20 s, 80 s, and so on up to half an hour."""


def write_delay(attempt: int, jitter: float, *, base: float = WRITE.first, floor: float | None = None) -> float:
    """The wait before a write that was refused for the `attempt`th time (from 1) is sent again.

    `floor`: the BMC's Retry-After (RFC 9110, section 10.2.3); the wait becomes longer by it, up to an hour, and never
    shorter.
    """
    delay = Backoff(base, max(WRITE.longest, base), WRITE.growth).delay(attempt, jitter)
    return max(delay, min(floor, AN_HOUR)) if floor is not None and floor > 0 else delay  # nan is not > 0


def refused_delay(policy: RetryPolicy, attempt: int, jitter: float, floor: float | None) -> float:
    """The wait before a write to an IPAM that was refused for the `attempt`th time (from 1) is sent again. `floor`: its
    Retry-After, heeded up to the policy's longest wait."""
    return max(policy.wait.delay(attempt, jitter), min(floor or 0.0, policy.wait.longest))


EJECT = Backoff(60, AN_HOUR)
"""Before an image that would not come out of a virtual drive is ejected again: the drive must be free in the end."""

FIRST_CONFIRM = 0.5
"""Before the first look at what was sent to a BMC, which shows it a moment later; an IPAM shows it at once."""

MAYBE_SENT = 1.0
"""Before the first look at a write whose reply was lost."""

REPEAT, OBSERVATIONS_BEFORE_REPEAT = 20.0, 2
"""What may never have been sent, and does no harm twice, is sent again after that long and so many looks."""

# -- the rest ----------------------------------------------------------------------------------------------------------

BOOT_REQUEST = 60.0
"""Times the attempts made: before the next boot request of a machine whose last one failed."""

INVENTORY, INVENTORY_LOGIN = Backoff(600, 6 * AN_HOUR), Backoff(6 * AN_HOUR, 6 * AN_HOUR)
"""Before an inventory that could not be read is read again: up to 200 requests each. The second where the login was
refused, as a BMC locks the account after a few of those."""

DISCOVERY_LOGIN = 24 * AN_HOUR
"""Before an undeclared BMC that refused the login is asked again, for the same reason."""

PROPOSAL = Backoff(60, 64 * 60)
"""Before machines are proposed again after the branch could not be written."""


# -- event sinks -------------------------------------------------------------------------------------------------------

SINK = Backoff(5, AN_HOUR)
"""Before events are sent again to a sink that took none."""

SINK_POLL, SINK_PAUSED = 1.0, 5.0
"""Between two looks for new events of a sink that has taken all; and for a change of one that waits."""


def sink_delay(attempt: int, jitter: float, retry_after: float | None) -> float:
    """The wait after the `attempt`th failure in a row (from 1). `retry_after`: the receiver's, heeded up to an hour."""
    return max(SINK.delay(attempt, jitter), min(retry_after or 0.0, AN_HOUR))


# -- what machines and agents are asked to wait ------------------------------------------------------------------------

ASK_AGAIN = 5
"""Before a request that met a passing obstacle is sent again, such as a change at the same moment."""

ASK_LATER = 30
"""Before a request is sent again that came too often, or that people or a commit have to make possible first."""

BOOT_SCRIPT, BOOT_SCRIPT_ATTEMPTS = 5, 12
"""Between two requests of a boot program that gets no answer. After so many attempts the machine goes to its disk: one
that is already installed has to come up without us."""

# -- the store ---------------------------------------------------------------------------------------------------------

STORE = Backoff(0.5, 5)
"""Before a PostgreSQL that cannot be reached is tried again."""

STORE_LOCKED = 0.02
"""Between two attempts to open an SQLite file that another process is changing."""


def inventory_delay(reason: ErrorReason, attempt: int, jitter: float) -> float:
    """The wait before an inventory is read again whose `attempt`th read in a row (from 1) failed for this reason."""
    wait = INVENTORY_LOGIN if reason == ErrorReason.AUTHENTICATION_FAILED else INVENTORY
    return wait.delay(attempt, jitter)
