"""Boot overrides (DSP0268, ComputerSystem.Boot): where they are sent, and once more what a refusal asks for."""

from __future__ import annotations

import re
from email.message import Message
from enum import StrEnum
from typing import Any

import sushy

from drivers.base import (
    Accepted,
    BootEnabled,
    BootOverride,
    Busy,
    DriverError,
    Forbidden,
    PowerState,
    Rejected,
    Unreachable,
)
from drivers.base.support import scheduling
from drivers.bmc.redfish.redfish_list import can_go_on
from drivers.bmc.redfish.redfish_reader import RedfishDocument
from drivers.bmc.redfish.redfish_system import ParsedSystem
from drivers.bmc.redfish.redfish_tasks import Writes
from drivers.bmc.redfish.wire.redfish_connector import OneShotConnector
from drivers.bmc.redfish.wire.redfish_errors import BadRequest, Broken, ChangedMeanwhile, NotFound, Unprocessable
from drivers.bmc.redfish.wire.redfish_http import Reply

TARGET, ENABLED, MODE = "BootSourceOverrideTarget", "BootSourceOverrideEnabled", "BootSourceOverrideMode"
_OVERRIDE = (TARGET, ENABLED, MODE)
_SILENT_SECONDS = 300.0
_ELSEWHERE = "FutureState"
"""AMI MegaRAC's word for its Settings resource (DMTF/Redfish-Tacklebox#111)."""


class BootWrites(Writes):
    """What sushy sends an override through. The last write is kept. A Settings resource that cannot be read is taken
    for one without Boot (DMTF/Redfish-Tacklebox#55: AMI's takes PATCH, and GET fails)."""

    def __init__(self, connector: OneShotConnector, settings_uri: str | None) -> None:
        super().__init__(connector)
        self._settings_uri = settings_uri
        self.settings_etag: str | None = None
        self.path, self.body, self.etag = "", dict[str, Any](), None

    def get(self, path: str = "", **more: Any) -> Reply:
        """See OneShotConnector."""
        if path != self._settings_uri:
            return super().get(path, **more)
        reply = read_or_none(self._connector, path)
        self.settings_etag = reply.headers.get("ETag") if reply is not None else None
        return reply or Reply(200, Message(), b"{}")

    def patch(self, path: str = "", **more: Any) -> Reply:
        """See OneShotConnector."""
        self.path, self.body, self.etag = path, dict(more["data"]["Boot"]), more.get("etag")
        return super().patch(path, **more)


def read_or_none(connector: OneShotConnector, path: str) -> Reply | None:
    """A GET of something that can be done without; None where it cannot be read."""
    try:
        reply: Reply = connector.get(path)
        reply.json()
    except (DriverError, ValueError):
        return None
    return reply


def send_override(
    system: ParsedSystem, connector: OneShotConnector, override: BootOverride
) -> tuple[Accepted, RedfishDocument | None]:
    """One PATCH; two where a BMC keeps target and mode apart (NVIDIA GB200); one more where the refusal says what it
    wants. Returns with it what was sent if the Settings resource took it. Raises DriverError."""
    writes = system.through(BootWrites(connector, system.settings_uri))
    try:
        system.set_system_boot_options(
            target=_sushy(sushy.BootSource, override.target),
            enabled=_sushy(sushy.BootSourceOverrideEnabled, override.enabled),
            mode=_sushy(sushy.BootSourceOverrideMode, override.mode),
        )
    except (Forbidden, ChangedMeanwhile):
        raise
    except (Rejected, Busy) as refused:
        _answer(refused, writes, system, override)
    return writes.accepted, writes.body if writes.path == system.settings_uri else None


def _answer(refused: DriverError, writes: BootWrites, system: ParsedSystem, override: BootOverride) -> None:
    """Send once more what a refusal asks for. Raises it where it asks for nothing that can be sent."""
    said, settings = str(refused), system.settings_uri
    if isinstance(refused, BadRequest | Unprocessable):
        said += f" {refused.ids}"
    if settings and writes.path == system.path and (_ELSEWHERE in said or settings in said):
        writes.patch(settings, data={"Boot": writes.body}, etag=writes.settings_etag)
        return
    shown = system.document["Boot"]
    is_silent = isinstance(refused, BadRequest) and refused.is_silent
    more = _wanted(" ".join(_OVERRIDE) if is_silent else said, writes.body, shown, override)
    if more:
        writes.patch(writes.path, data={"Boot": {**writes.body, **more}}, etag=writes.etag)
        return
    if _names(said, MODE) and not writes.body.get(MODE) and not shown.get(MODE):
        raise Rejected(f"{refused}. BMC does not report {MODE}, so set spec.boot.mode to UEFI or Legacy") from None
    raise refused


def _wanted(said: str, sent: RedfishDocument, shown: RedfishDocument, override: BootOverride) -> RedfishDocument:
    """The properties of Boot that a refusal names and that are not to be changed, as the BMC shows them. Source:
    ansible-collections/community.general#11542. sushy itself sends HttpBootUri as null. An override that is switched
    off keeps the target that is there where the BMC refuses None (iLO, ironcore-dev/metal-operator#998)."""
    named = {name for name, value in shown.items() if "@" not in name and _can_be_sent(name, value)}
    named = {name for name in named if _names(said, name)}
    asked = {name for name, value in sent.items() if value is not None}
    named -= asked - {TARGET} if override.enabled is BootEnabled.DISABLED else asked
    return {name: shown[name] for name in named if name not in sent or sent[name] != shown[name]}


def _can_be_sent(name: str, value: object) -> bool:
    return isinstance(value, str) if name in _OVERRIDE else isinstance(value, str | bool | list | None)


def _names(said: str, name: str) -> bool:
    return re.search(rf"(?i)(?<![a-z]){re.escape(name)}(?![a-z])", said) is not None


def pending_override(boot: RedfishDocument) -> RedfishDocument | None:
    """The override that the Settings resource has for the next boot; None where there is none. `boot`: of it."""
    if boot.get(ENABLED) not in (BootEnabled.ONCE, BootEnabled.CONTINUOUS):
        return None
    return {name: boot[name] for name in _OVERRIDE if isinstance(boot.get(name), str)}


class PendingBoot:
    """What the Settings resource of one system says of boot. Not for two threads at once."""

    def __init__(self, connector: OneShotConnector) -> None:
        self._connector = connector
        self._silent_until = 0.0
        self._taken: RedfishDocument = {}
        """What it took last. It counts where the resource does not show it, until the machine has booted."""
        self._was_off = False

    def take(self, boot: RedfishDocument | None) -> None:
        """Note what the resource took; None: nothing, as the system itself did."""
        self._taken, self._was_off = boot or {}, False

    def look(self, settings_uri: str, power: object) -> tuple[RedfishDocument, bool]:
        """Its Boot, or what it took, and whether it could not be read just now. `power`: the PowerState that the system
        shows. Raises AuthenticationFailed alone."""
        if self._was_off and power == PowerState.ON:
            self._taken = {}
        self._was_off = power == PowerState.OFF
        boot, is_unread = self.read(settings_uri)
        # AMI's may take PATCH and never GET, and the system shows nothing before the boot (Redfish-Tacklebox#55, #127).
        return boot or self._taken, is_unread

    def read(self, settings_uri: str) -> tuple[RedfishDocument, bool]:
        """Its Boot, and whether it could not be read just now. One that hangs is requested once in five minutes,
        because the BMC answers no other request meanwhile. Raises AuthenticationFailed alone."""
        if scheduling.monotonic() < self._silent_until:
            return {}, True
        try:
            boot = self._connector.get(settings_uri).json().get("Boot")
        except NotFound:
            return {}, False  # AMI's takes PATCH, and GET never works (DMTF/Redfish-Tacklebox#55).
        except (DriverError, ValueError) as error:
            if isinstance(error, DriverError) and not can_go_on(error):
                raise
            if isinstance(error, Unreachable) and not isinstance(error, Broken):
                self._silent_until = scheduling.monotonic() + _SILENT_SECONDS
            return {}, True
        return (boot if isinstance(boot, dict) else {}), False


def _sushy(kind: Any, value: StrEnum | None) -> Any:
    return None if value is None else kind(value.value)
