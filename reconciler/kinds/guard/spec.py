"""Guard: what may be done to the resources that it matches, when, and how much of it at once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from reconciler.kinds.common.field_types.duration import Duration
from reconciler.kinds.common.field_types.fields import KindName, Spec, Text, reference_field

LOCAL_TIME = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00|[0-9]{4}-[01][0-9]-[0-3][0-9]T([01][0-9]|2[0-3]):[0-5][0-9])$"


class Level(StrEnum):
    """How strict a guard is."""

    ADVISORY = "Advisory"
    MANDATORY = "Mandatory"
    ABSOLUTE = "Absolute"


class Day(StrEnum):
    """A day of the week."""

    MON = "Mon"
    TUE = "Tue"
    WED = "Wed"
    THU = "Thu"
    FRI = "Fri"
    SAT = "Sat"
    SUN = "Sun"


class Protection(StrEnum):
    """What groundstate never does while the guard exists."""

    DELETE = "Delete"
    RELEASE = "Release"
    ALL = "All"


class GuardCause(StrEnum):
    """The cause of a change: a commit, drift, or the removal of a document."""

    COMMIT = "commit"
    DRIFT = "drift"
    RELEASE = "release"


class GuardedAction(StrEnum):
    """Classes of actions, and single actions. Power-on is not included: a guard never keeps a machine off."""

    DISRUPTIVE = "disruptive"
    DESTRUCTIVE = "destructive"
    POWER_OFF = "power-off"
    SET_BOOT = "set-boot"
    SET_INDICATOR = "set-indicator"
    INSERT_MEDIA = "insert-media"
    PUT_NETWORK = "put-network"
    DROP_NETWORK = "drop-network"
    ACQUIRE = "acquire"
    RELEASE = "release"
    TRANSFER = "transfer"
    DESCRIBE_ADDRESS = "describe-address"
    PUT_POOL = "put-pool"
    DROP_POOL = "drop-pool"
    ACQUIRE_NUMBER = "acquire-number"
    RELEASE_NUMBER = "release-number"
    ACQUIRE_VRF = "acquire-vrf"
    RELEASE_VRF = "release-vrf"
    BIND = "bind"
    PIN_IMAGE = "pin-image"
    RENAME = "rename"
    CLAIM = "claim"
    UNCLAIM = "unclaim"
    REQUEST_BOOT = "request-boot"
    REQUEST_ERASURE = "request-erasure"
    SET_VALUE = "set-value"
    SET_VALUE_DISRUPTIVELY = "set-value-disruptively"
    FORGET = "forget"


HURTING = (GuardedAction.DISRUPTIVE, GuardedAction.DESTRUCTIVE)
"""What a guard judges unless it says otherwise."""


class GuardMatch(Spec, frozen=True, kw_only=True):
    """The resources to which the guard applies: those that fulfil all conditions. If `match` is absent, the guard
    applies to every resource."""

    kinds: Annotated[
        tuple[KindName, ...],
        Meta(
            max_length=32,
            description="The guard applies only to resources of these kinds. The default is all kinds.",
            examples=[["Machine"]],
        ),
    ] = ()
    selector: Annotated[
        str,
        Meta(
            max_length=1024,
            description=(
                "The guard applies only to resources with these labels, written as for `-l`. Labels that groundstate "
                "derives from the inventory count too. The default is all resources."
            ),
            examples=["role=db,rack in (r12,r13)"],
        ),
    ] = ""
    partitions: Annotated[
        tuple[Annotated[str, reference_field("Partition", "A Partition to whose resources the guard applies.")], ...],
        Meta(
            max_length=256, description="The guard applies only to resources in these Partitions. The default is all."
        ),
    ] = ()
    projects: Annotated[
        tuple[Annotated[str, reference_field("Project", "A Project to whose resources the guard applies.")], ...],
        Meta(max_length=256, description="The guard applies only to resources of these Projects. The default is all."),
    ] = ()
    names: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=253)], ...],
        Meta(
            max_length=256,
            description="The guard applies only to resources with these names. Shell patterns with `*`, `?` and "
            "`[abc]` are allowed. The default is all names.",
            examples=[["r12-*"]],
        ),
    ] = ()


class WindowTime(Spec, frozen=True, kw_only=True):
    """A time of each week, or one time between two dates."""

    days: Annotated[
        tuple[Day, ...],
        Meta(max_length=7, description="The days on which the window begins. The default is every day."),
    ] = ()
    from_: (
        Annotated[
            str,
            Meta(
                pattern=LOCAL_TIME,
                description="When the window begins, in local time: HH:MM, or a day and a time. The default is "
                "00:00. Write the time in quotes.",
                examples=["22:00", "2026-12-20T00:00"],
            ),
        ]
        | None
    ) = msgspec.field(default=None, name="from")
    to: (
        Annotated[
            str,
            Meta(
                pattern=LOCAL_TIME,
                description="When the window ends. A time that is not later than `from` is on the next day. The "
                "default is 24:00.",
                examples=["04:00", "2027-01-04T08:00"],
            ),
        ]
        | None
    ) = None
    reason: (
        Annotated[Text, Meta(description="The reason for the window; shown with each change that the window holds.")]
        | None
    ) = None


class Windows(Spec, frozen=True, kw_only=True):
    """When work may begin. Work that has begun continues after the end of a window."""

    time_zone: Annotated[
        str,
        Meta(
            max_length=64,
            pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$",
            description="The time zone of all times, by its IANA name.",
            examples=["Europe/Berlin"],
        ),
    ] = "UTC"
    allow: Annotated[
        tuple[WindowTime, ...],
        Meta(max_length=32, description="groundstate begins work only in these windows. The default is any time."),
    ] = ()
    deny: Annotated[
        tuple[WindowTime, ...],
        Meta(max_length=32, description=("groundstate begins no work in these windows, even if `allow` permits it.")),
    ] = ()
    last_start: (
        Annotated[Duration, Meta(description="No work begins in this time before the end of a window, such as 30m.")]
        | None
    ) = None


class DisruptionBudget(Spec, frozen=True, kw_only=True):
    """How many machines may be down at once."""

    max_disrupted: (
        Annotated[
            int | Annotated[str, Meta(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3})?%$")],
            Meta(
                description="The maximum number of machines that groundstate takes down: a number, or a share "
                "of the group such as 10%. A share allows at least one machine.",
                examples=[1, "10%"],
            ),
        ]
        | None
    ) = None
    min_available: (
        Annotated[
            int | Annotated[str, Meta(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3})?%$")],
            Meta(
                description="The number of machines that must stay available, or a share, which is rounded up. "
                "Machines "
                "that are "
                "unavailable for any reason count against it.",
                examples=[2, "90%"],
            ),
        ]
        | None
    ) = None
    per: (
        Annotated[
            str,
            Meta(
                pattern=r"^(rack|partition|label:[^\s!=,()]{1,253})$",
                description="The groups that are counted: one for each `rack`, `partition`, or value of `label:KEY`. "
                "The default is one group of all matched machines.",
                examples=["rack", "label:role"],
            ),
        ]
        | None
    ) = None
    within: Annotated[
        Duration,
        Meta(
            description=(
                "How long a machine counts as down after groundstate took it down. A machine that is in service "
                "again earlier no longer counts."
            )
        ),
    ] = "1h"
    pacing: (
        Annotated[
            Duration,
            Meta(description="The minimum time between two machines that are taken down in a group; at most 1d."),
        ]
        | None
    ) = None
    count_unavailable: Annotated[
        bool,
        Meta(
            description="true: `maxDisrupted` also counts machines that are already off, unreachable, not observed "
            "yet, failed or in maintenance, whatever the reason."
        ),
    ] = False


class GuardSpec(Spec, frozen=True, kw_only=True):
    """A rule for changes: windows, a budget, a protection, or several of these. All guards that match a change must let
    the change pass."""

    description: (
        Annotated[Text, Meta(description="What the guard is for; shown with each change that the guard holds.")] | None
    ) = None
    level: Annotated[
        Level,
        Meta(
            description="Advisory: the plan warns, and nothing is held. Mandatory: an override lets a held change "
            "pass. "
            "Absolute: a held change cannot be overridden; change the document."
        ),
    ] = Level.MANDATORY
    match: Annotated[
        GuardMatch, Meta(description="The resources to which the guard applies. The default is all resources.")
    ] = GuardMatch()
    actions: Annotated[
        tuple[GuardedAction, ...],
        Meta(
            min_length=1,
            max_length=32,
            description=(
                "The actions to which the windows and the budget apply: disruptive, destructive, or the "
                "names of actions, such as power-off."
            ),
        ),
    ] = HURTING
    causes: Annotated[
        tuple[GuardCause, ...],
        Meta(
            max_length=3,
            description=(
                "The guard applies only to changes with these causes: a commit, drift, or a removed document. The "
                "default is all changes."
            ),
        ),
    ] = ()
    windows: Annotated[Windows, Meta(description="When work may begin.")] | None = None
    budget: Annotated[DisruptionBudget, Meta(description="How many machines may be down at once.")] | None = None
    protection: (
        Annotated[
            Protection,
            Meta(
                description="Delete: guarded resources cannot be removed. Release: their addresses, numbers, networks, "
                "claims and disks cannot be released or wiped. All: both."
            ),
        ]
        | None
    ) = None
