"""What holds changes, by names that generic code knows. Pure."""

from __future__ import annotations

from enum import StrEnum


class HoldName(StrEnum):
    """The built-in guards, and the other holds of which more is made than a text for people. A declared guard holds as
    `guard/NAME`. The rules of a kind have words of their own for what waits inside the kind, such as a port."""

    DISRUPTION_BUDGET = "disruption-budget"
    MASS_REMOVAL = "mass-removal"
    EMPTY_DESIRED_STATE = "empty-desired-state"
    UNREACHABLE_FLEET = "unreachable-fleet"
    MASS_RELEASE = "mass-release"
    MASS_UNCLAIM = "mass-unclaim"
    FIRST_SIGHT = "first-sight"
    BOOT_SERVICE = "boot-service"
    FIRST_LOOK = "first-look"
    RUNNING = "running"
    ANOTHER_SYSTEM = "another-system"
    SYSTEM_IDENTITY = "system-identity"
    TENANT_BEHIND = "tenant-behind"
    OTHER_TENANT = "other-tenant"
    OTHER_PORT = "other-port"
    UNJUDGED = "unjudged"
    PAUSED = "paused"
    OBSERVE_ONLY = "observe-only"
    CLAIMED = "claimed"
    MAINTENANCE = "maintenance"
    """The document says so, as for the next two."""
    SUSPEND = "suspend"
    OBSERVE = "observe"
    BACK_OFF = "back-off"
    """An action that failed is sent again later."""
    UNREPORTED = "bmc-report"
    """The endpoint does not report the value now, so that it is unknown whether the value differs."""
