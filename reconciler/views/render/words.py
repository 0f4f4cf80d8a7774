"""The words of a plan: values, actions, causes, ages and counts as people read them, and safe on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, assert_never

from drivers.base import clean as clean
from reconciler.kinds import implied
from reconciler.model.actions.action import Action
from reconciler.model.actions.action_base import Forget, SetValue
from reconciler.model.actions.bmc_actions import EjectMedia, InsertMedia, PowerOff, PowerOn, SetBoot, SetIndicator
from reconciler.model.actions.ipam_actions import (
    Acquire,
    AcquireNumber,
    DescribeAddress,
    DropNetwork,
    DropPool,
    PutNetwork,
    PutPool,
    Release,
    ReleaseNumber,
    Transfer,
)
from reconciler.model.actions.record_actions import (
    AcceptSystem,
    Bind,
    Claim,
    Free,
    PinImage,
    RecordLifecycle,
    Rename,
    RequestBoot,
    RetireGuard,
    Unclaim,
)
from reconciler.model.counting import count
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.plans.plan import Cause, CauseKind, Change, Difference
from reconciler.model.resource import Commit

Paint = Callable[[str, str], str]
"""(colour, text) -> text."""

_COLOURS = {"green": "32", "yellow": "33", "red": "31", "cyan": "36", "bold": "1", "dim": "2"}
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def ansi(colour: str, text: str) -> str:
    """The text in a colour of the terminal's own."""
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def unpainted(_colour: str, text: str) -> str:
    """The text, unchanged."""
    return text


def value_words(this: Any) -> str:
    """A value in one line: `On`, `(none)`, `{target: Pxe, enabled: Once}`."""
    match this:
        case None:
            return "(none)"
        case "":
            return "(none)"
        case bool():
            return "true" if this else "false"
        case dict():
            return (
                "{"
                + ", ".join(f"{clean(str(k))}: {value_words(v)}" for k, v in this.items() if v not in (None, []))
                + "}"
            )
        case list() | tuple():
            return "[" + ", ".join(map(value_words, this)) + "]"
        case _:
            return clean(str(this))


def difference(this: Difference) -> Iterator[str]:
    """`path: observed -> desired`, a line each; of an object or a list only what differs."""
    lines: list[str] = []
    match this.observed, this.desired:
        case dict() as seen, dict() as wanted:
            lines = [
                f"{this.path}.{clean(str(name))}: {value_words(seen.get(name))} -> {value_words(to)}"
                for name, to in wanted.items()
                if to is not None and seen.get(name) != to
            ]
        case list() as seen, list() as wanted:
            lines = [f"{this.path}: remove {value_words(item)}" for item in seen if item not in wanted]
            lines += [f"{this.path}: add {value_words(item)}" for item in wanted if item not in seen]
        case _:
            pass
    yield from lines or [f"{this.path}: {value_words(this.observed)} -> {value_words(this.desired)}"]


def action(this: Action) -> str:
    """The action and what it carries: `power-off GracefulShutdown`."""
    match this:
        case PowerOn(reset_type=detail) | PowerOff(reset_type=detail) | SetIndicator(led=detail):
            return f"{this.name} {detail}"
        case SetBoot(override=override):
            return " ".join(str(w) for w in (this.name, override.target, override.enabled, override.mode) if w)
        case InsertMedia(url=url) | EjectMedia(url=url):
            return clean(f"{this.name} {url}")
        case PutNetwork(network=network, lengths=lengths):
            chosen = [f"a free /{length}" for _, length in lengths]
            within = f" of {network.parent}" if network.parent else ""
            return clean(f"{this.name} {', '.join([*(prefix.cidr for prefix in network.prefixes), *chosen])}{within}")
        case Acquire(network=within, address=address, family=family):
            wanted = address or (f"the lowest free IPv{family}" if family else "the lowest free")
            return clean(f"{this.name} {wanted} of {within}")
        case Release(address=address):
            return clean(f"{this.name} {address}")
        case Transfer(was=was, address=address):
            return clean(f"{this.name} {address} from {was}")
        case Rename(was=was, machines=machines):
            kept = f", with {', '.join(machines)}" if machines else ""
            return clean(f"{this.name} from {', '.join(was)}{kept}")
        case PutPool(ranges=ranges):
            spans = (str(one.first) if one.first == one.last else f"{one.first}-{one.last}" for one in ranges)
            return f"{this.name} {', '.join(spans)}"
        case AcquireNumber(pool=pool, number=number):
            return clean(f"{this.name} {'the lowest free' if number is None else number} of {pool}")
        case ReleaseNumber(pool=pool, number=given):
            return clean(f"{this.name} {given} of {pool}")
        case Bind(project=project):
            return clean(f"{this.name} to {project}" if project else f"{this.name} to no project")
        case PinImage(image=image):
            return clean(f"{this.name} {image or 'none'}")
        case Claim(machines=machines):
            return clean(f"{this.name} {', '.join(name for _, name in machines)}")
        case Unclaim(machines=machines):
            return clean(f"{this.name} {', '.join(machines)}")
        case SetValue(value=to):
            return clean(f"{this.name} {this.served_path} to {value_words(to)}")
        case RequestBoot(purpose=purpose, attempt=attempt):
            return f"{this.name} to {purpose}" + (f", attempt {attempt}" if attempt > 1 else "")
        case RecordLifecycle(failure=failure):
            return clean(f"{this.name}: {failure.reason}" if failure else this.name)
        case AcceptSystem(system=system, was=was):
            return clean(f"{this.name} {system} in the place of {was}")
        case DescribeAddress() | Free() | DropNetwork() | DropPool() | Forget() | RetireGuard():
            return this.name
        case _:
            assert_never(this)


def commit(this: Commit) -> str:
    """`3f2a91c0de "Boot from disk" (author Ada, not verified)`."""
    return f"{clean(this.short)} {commit_words(this)}"


def commit_words(this: Commit) -> str:
    """`"Boot from disk" (author Ada, not verified)`."""
    return f'"{clean(this.subject)}" ({author(this)})'


def author(this: Commit) -> str:
    """`author Ada, not verified`: a person can commit under any name, so an author is never shown without this."""
    return f"author {clean(this.author)}, not verified"


def cause(this: Cause, *, since: bool = True) -> str:
    """Who moved. `since`: with the time that drift was first seen."""
    reported = f"commit {commit(this.commit)}" if this.commit else "declared"
    drift = f"drift since {moment(this.since)}" if since and this.since else "drift"
    match this.kind:
        case CauseKind.COMMIT:
            return reported
        case CauseKind.DRIFT:
            return drift
        case CauseKind.BOTH:
            return f"{reported}, and {drift}"
        case CauseKind.LEAK:
            return "leak: the owner of the value is neither declared nor recorded"


def name(change: Change) -> str:
    """`Machine r12-01`; of an address that a claim implies, for which claim it is."""
    meant = implied(change.key)
    return clean(f"{change.key.kind} {change.key.name}" + (f" ({meant.words})" if meant is not None else ""))


def of_claims(changes: Iterable[Change]) -> str:
    """`MachineClaim/web, MachineClaim/db`: the claims of which these are addresses; empty where there is none."""
    meant = filter(None, (implied(change.key) for change in changes))
    return clean(", ".join(sorted({str(one.by) for one in meant})))


def override_words(this: Override) -> str:
    """`override 3f2a91 of disruption-budget until 2026-01-31 12:03:00Z by ada@ops: INC-7; covers -l rack=r1`."""
    return (
        f"override {this.id} of {this.guard} until {moment(this.until)} by {this.by}: {this.reason}; "
        f"covers {this.covers}"
    )


def pause_words(this: ResourcePause) -> str:
    """`machine/r1-03 until 2026-01-31 12:03:00Z by ada@ops: INC-7 (pause 3f2a91)`."""
    return f"{this.covers} {this.lasts} by {this.by}: {this.reason} (pause {this.id})"


def moment(at: datetime) -> str:
    """`2026-01-31 12:03:00Z`; plans carry UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def age_words(span: timedelta) -> str:
    """`12 seconds`, `3 hours`: the largest unit, rounded down."""
    seconds = max(0, int(span.total_seconds()))
    for size, unit in _UNITS:
        if seconds >= size:
            return count(seconds // size, unit)
    return "0 seconds"


def share(part: int, whole: int) -> str:
    """`3.4 %`; what is not nothing never reads as 0.0."""
    if not whole or not part:
        return "0 %"
    percent = 100.0 * part / whole
    return "<0.1 %" if percent < 0.1 else f"{percent:.1f} %"
