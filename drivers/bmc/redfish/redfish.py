"""Redfish BMCs, on sushy. A steady look is one GET of one system, parsed by sushy; only the value is kept."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial

import msgspec
from sushy import exceptions

from drivers.base import (
    ACCEPTED,
    Accepted,
    Bmc,
    BootEnabled,
    BootOverride,
    BootTarget,
    DriverError,
    Endpoint,
    Forbidden,
    FoundBmc,
    IndicatorLED,
    Inventory,
    ListedSystems,
    Rejected,
    ResetType,
    SystemState,
    Task,
    Tls,
    Unreachable,
    Unsupported,
    excerpt,
)
from drivers.base.support import scheduling
from drivers.bmc.redfish.redfish_boot import PendingBoot, pending_override, send_override
from drivers.bmc.redfish.redfish_inventory import read_inventory
from drivers.bmc.redfish.redfish_led import ChassisLight, led_change, light_of
from drivers.bmc.redfish.redfish_list import can_go_on, find_system, list_systems, system_by_path
from drivers.bmc.redfish.redfish_media import Drive, Request, media_of, more_is_wanted, read_drives, to_eject, to_insert
from drivers.bmc.redfish.redfish_probe import probe
from drivers.bmc.redfish.redfish_reader import PartUnreadable
from drivers.bmc.redfish.redfish_system import ParsedSystem, is_system, some_of, system_state
from drivers.bmc.redfish.redfish_tasks import Writes, accepted, read_task
from drivers.bmc.redfish.wire.redfish_connector import OneShotConnector
from drivers.bmc.redfish.wire.redfish_errors import NotFound
from drivers.bmc.redfish.wire.redfish_http import (
    REQUEST_SECONDS,
    BmcAddress,
    RedfishConnection,
    Reply,
    parse_bmc_address,
)

CLOSE_SECONDS = 30.0
"""For all BMCs together; a session that is not deleted by then expires."""
_CLOSERS = 128
TIMES_FIRST = 2.0
"""Times the seconds: what a BMC gets that has just answered, for what it is not known to answer soon."""
_SOON = 5.0
"""Seconds. A system that took longer is slow, and keeps the longer time."""
_ASKS = 3
"""Times that an ActionInfo is asked for which the BMC does not give; it may hang each time."""
_NONSENSE = (
    *(exceptions.SushyError, ValueError, TypeError, AttributeError, LookupError),
    *(ArithmeticError, RecursionError, AssertionError, PartUnreadable),
)


class RedfishDriver:
    """One connection and one session a BMC and credential, whatever the systems behind it. Requests to a BMC go one at
    a time all the same. May be shared by threads.

    `seconds`: how long a BMC may take for its first answer, and for a system that it answered soon the last time. Any
    other answer may take twice that. `Endpoint.timeout` takes the place of both. `connect`: makes the connection to a
    BMC; simulated ones have another.
    """

    def __init__(
        self, seconds: float = REQUEST_SECONDS, connect: Callable[..., RedfishConnection] = RedfishConnection
    ) -> None:
        self._seconds, self._connect = seconds, connect
        self._lock = scheduling.lock()
        self._connectors: dict[tuple[BmcAddress, Tls, object, float], OneShotConnector] = {}
        self._turns: dict[BmcAddress, scheduling.Lock] = {}
        self._closed = False

    def open(self, endpoint: Endpoint) -> Bmc:
        """The system. Systems of one BMC with equal credentials share its login, and no others do. Raises Rejected."""
        return RedfishSystem(self._connector(endpoint), endpoint.system_id)

    def probe(self, address: str, tls: Tls, seconds: float) -> FoundBmc | None:
        """Whether this is a BMC, without a login. Raises Rejected for a malformed address."""
        return probe(address, tls, seconds)

    def systems(self, endpoint: Endpoint) -> ListedSystems:
        """The ids of the BMC's systems, by name. Logs in, at most once. Raises DriverError."""
        connector = self._connector(endpoint)
        try:
            return list_systems(connector).listed
        except _NONSENSE as error:
            raise Unreachable(
                f"{connector.url}: the list of systems is not valid Redfish ({type(error).__name__}); "
                "update the BMC's firmware"
            ) from error

    def _connector(self, endpoint: Endpoint) -> OneShotConnector:
        address = parse_bmc_address(endpoint.address, endpoint.tls)
        with self._lock:
            if self._closed:
                raise Unreachable(f"{address.url}: the driver is closed")
            seconds = endpoint.timeout or self._seconds
            way = (address, endpoint.tls, endpoint.credential, seconds)
            connector = self._connectors.get(way)
            if connector is None:
                turn = self._turns.setdefault(address, scheduling.lock())
                wire = self._connect(address, endpoint.tls, seconds, endpoint.connects)
                patience = endpoint.timeout or TIMES_FIRST * self._seconds
                connector = OneShotConnector(wire, endpoint.credential, turn, patience, endpoint.logins)
                self._connectors[way] = connector
        return connector

    def close(self) -> None:
        """Delete every session and close every connection, several at a time, in 30 s at most."""
        with self._lock:
            self._closed = True
            left, self._connectors = deque(self._connectors.values()), {}
        deadline = scheduling.monotonic() + CLOSE_SECONDS
        closers = [
            scheduling.thread(partial(_close_all, left, deadline), f"redfish-close-{number}")
            for number in range(min(_CLOSERS, len(left)))
        ]
        with scheduling.on_one_processor():
            for closer in closers:
                closer.start()
        for closer in closers:
            closer.join(max(0.0, deadline - scheduling.monotonic()))


def open_driver() -> RedfishDriver:
    """The driver, as the registry opens it."""
    return RedfishDriver()


class RedfishSystem:
    """One ComputerSystem."""

    __slots__ = (
        *("_action", "_asks_left", "_connector", "_id", "_is_listed", "_is_pending", "_is_quick", "_last", "_light"),
        *("_path", "_resets", "_settings"),
    )

    def __init__(self, connector: OneShotConnector, system_id: str | None) -> None:
        self._connector, self._id = connector, system_id
        self._path: str | None = None
        self._is_listed = False
        """Whether the list is to be read for the path."""
        self._light = ChassisLight(connector)
        self._settings = PendingBoot(connector)
        self._is_pending: bool | None = None
        self._asks_left = _ASKS
        self._is_quick = False
        self._resets: tuple[ResetType, ...] | None = None
        self._last: tuple[int, SystemState] | None = None
        """The document that was read last, by its digest, and what it says."""
        self._action: tuple[str, tuple[ResetType, ...] | None] | None = None
        """Where a reset is sent, and which ones the BMC lists, as it said last."""

    def read(self, *, media: bool = False) -> SystemState:
        """One GET, once the system's path and its allowed resets are known; some more for media. Raises DriverError."""
        with self._understood():
            path, reply = self._get()
            digest = reply.digest(self._connector.logins)
            if self._last is not None and self._last[0] == digest and not media:
                return self._lit(self._last[1])  # Nearly every look finds what the last one did.
            system = self._parsed(path, reply)
            state = system_state(system, self._allowed_resets(system))
            self._light.follow(system.document)
            self._last = None if system.is_merged else (digest, state)
            self._action = self._reset_action(system) if system.reset_action is not None else None
            return self._lit(msgspec.structs.replace(state, media=self._media(system)) if media else state)

    def _lit(self, state: SystemState) -> SystemState:
        """The same with the LED of the chassis, where the system shows none."""
        if state.indicator is not None:
            return state
        light = self._light.read()
        if light.led is None and light.known:
            return state
        unreported = {*state.unreported, "indicator"} if light.led is None else {*state.unreported} - {"indicator"}
        return msgspec.structs.replace(state, indicator=light.led, unreported=tuple(sorted(unreported)))

    def reset(self, reset_type: ResetType) -> Accepted:
        """One POST, after a read if there was none yet. A value that the BMC does not list is not sent. Raises
        DriverError."""
        with self._understood():
            target, allowed = self._action or self._reset_action(self._look())
            self._must_be_allowed("ResetType", reset_type, allowed)
            self._action = None  # The next look says it anew, also when a firmware update has moved it.
            return accepted(self._connector.post(target, data={"ResetType": reset_type.value}))

    def _reset_action(self, system: ParsedSystem) -> tuple[str, tuple[ResetType, ...] | None]:
        if system.reset_action is None:
            raise Unsupported(
                f"{self._connector.url}: the system {system.path} has no Reset action; update the BMC's firmware"
            )
        return sys.intern(system.reset_action.target_uri), self._allowed_resets(system)

    def set_boot(self, override: BootOverride) -> Accepted:
        """One read, and one PATCH, or a second one: see `send_override`. Raises DriverError.

        The Settings resource is used where the BMC has one for boot. `enabled` belongs in every override: Supermicro
        falls back to Once without it (story 2008547).
        """
        with self._understood():
            system = self._look()
            if system.boot is None:
                raise Unsupported(
                    f"{self._connector.url}: BMC offers no boot override for the system {system.path}; remove "
                    "spec.boot, or update the BMC's firmware"
                )
            allowed = some_of(BootTarget, system.boot.allowed_values)
            self._must_be_allowed("BootSourceOverrideTarget", override.target, allowed)
            accepted_as, taken = send_override(system, self._connector, override)
            self._settings.take(taken)
            self._is_pending, self._last = taken is not None, None
            return accepted_as

    def set_indicator(self, led: IndicatorLED) -> Accepted:
        """One read, and one PATCH of IndicatorLED or of LocationIndicatorActive: the system's, or else those of its
        chassis. Raises DriverError."""
        with self._understood():
            system = self._look()
            if light_of(system.document).led is None:
                self._light.follow(system.document)
                return self._light.set(led)
            writes = system.through(Writes(self._connector))
            data = led_change(self._connector.url, system.document, led)
            writes.patch(system.path, data=data, etag=system._get_etag())
            return writes.accepted

    def insert_media(self, url: str) -> Accepted:
        """One read, and one POST or PATCH; once more if it was refused because a value is missing. Raises DriverError.

        Raises Unsupported without a drive, Rejected when none is free.
        """
        with self._understood():
            request = to_insert(self._drives(self._look(), some=True), url)
            try:
                return self._send(request)
            except Rejected as refused:
                whole = more_is_wanted(request, refused)
                if whole is None:
                    raise
                return self._send(whole)

    def eject_media(self, url: str) -> Accepted:
        """One read, and one POST or PATCH, or none if the image is not inserted. Raises DriverError."""
        with self._understood():
            request = to_eject(self._drives(self._look()), url)
            return ACCEPTED if request is None else self._send(request)

    def task(self, handle: str) -> Task:
        """One GET. Raises DriverError."""
        with self._understood():
            return read_task(self._connector, handle)

    def _drives(self, system: ParsedSystem, *, some: bool = False) -> tuple[Drive, ...]:
        connector = self._connector
        return read_drives(
            system.document, lambda path: connector.get(path).json(), expands=connector.expands, some=some
        )

    def _media(self, system: ParsedSystem) -> tuple[str, ...] | None:
        try:
            return media_of(self._drives(system))
        except DriverError:
            return None  # The system was read all the same; a write says what is wrong with its drives.

    def _send(self, request: Request) -> Accepted:
        send = self._connector.patch if request.method == "PATCH" else self._connector.post
        return accepted(send(request.path, data=request.body))

    def inventory(self) -> Inventory:
        """One read, and at most 200 GETs, in turn with other requests. Raises DriverError."""
        with self._understood():
            system = self._look()
            return read_inventory(
                system.document, lambda path: self._connector.get(path).json(), expands=self._connector.expands
            )

    def _must_be_allowed(self, name: str, value: StrEnum | None, allowed: tuple[StrEnum, ...] | None) -> None:
        if value is not None and allowed is not None and value not in allowed:
            raise Unsupported(
                f"{self._connector.url}: BMC does not offer {name} {value}; it offers "
                f"{', '.join(allowed) or 'unknown values'}"
            )

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Errors of sushy's as ours. What it cannot read, it stumbles over before it writes."""
        try:
            yield
        except DriverError:
            raise
        except _NONSENSE as error:
            why = excerpt(str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}", 400)
            raise Unreachable(f"{self._connector.url}: the answer is not valid Redfish: {why}") from error

    def _look(self) -> ParsedSystem:
        return self._parsed(*self._get())

    def _get(self) -> tuple[str, Reply]:
        if self._path is None and not self._is_listed:
            self._is_listed = True  # Also for who meets an error there: the list may be readable all the same.
            found = system_by_path(self._connector, self._id)
            if found is not None:
                self._path = sys.intern(found[0])
                return found
        # Most BMCs of a fleet have the same few paths: one text for all.
        path = self._path = self._path or sys.intern(find_system(self._connector, self._id))
        begun = scheduling.monotonic()
        try:
            reply: Reply = self._connector.get(path, quick=self._is_quick)
            self._is_quick = scheduling.monotonic() - begun < _SOON
        except NotFound:
            # A firmware update may have moved it.
            self._path = self._last = self._action = None
            raise
        return path, reply

    def _parsed(self, path: str, reply: Reply) -> ParsedSystem:
        try:
            document = reply.json()
        except ValueError:
            # Some show a page to log in, and call it a success.
            self._connector.doubt_session()
            raise
        if not is_system(document):
            raise ValueError(f"the answer to GET {path} is no ComputerSystem")
        etag = reply.headers.get("ETag") or document.get("@odata.etag")
        system = ParsedSystem(self._connector, path, document, etag if isinstance(etag, str) else None)
        uri, boot = system.settings_uri, system.boot
        if uri is None:
            return system
        power, is_cut_short = document.get("PowerState"), False
        shown = document["Boot"] if isinstance(document.get("Boot"), dict) else {}
        if boot is not None and boot.target and boot.enabled:
            # AMI shows what its Settings resource took there alone, until the machine boots (Redfish-Tacklebox#127).
            is_asked = self._is_pending
            if is_asked is None:  # Another process may have set one.
                is_asked = shown.get("BootSourceOverrideEnabled") == BootEnabled.DISABLED
            pending = pending_override(self._settings.look(uri, power)[0]) if is_asked else None
            self._is_pending = pending is not None
            merged = {**shown, **(pending or {})}
        else:
            # Newer BMCs say in the Settings resource what they leave out here (sushy note check-for-boot-attrs).
            more, is_cut_short = self._settings.look(uri, power)
            merged = {**more, **{name: value for name, value in shown.items() if value is not None or name not in more}}
        if merged == shown and not is_cut_short:
            return system
        found = ParsedSystem(self._connector, path, {**document, "Boot": merged}, system._get_etag())
        found.is_merged, found.is_cut_short = True, is_cut_short
        return found

    def _allowed_resets(self, system: ParsedSystem) -> tuple[ResetType, ...] | None:
        """Inline values are in the document; those behind ActionInfo cost a request, so they are asked for once."""
        action = system.reset_action
        if action is None:
            return ()
        if action.allowed_values:
            # A list of none that is known is odd; the BMC itself says then what it refuses.
            return some_of(ResetType, action.allowed_values) or None
        if action.action_info_uri and self._asks_left > 0:
            self._asks_left -= 1
            try:
                self._resets = some_of(ResetType, action.get_allowed_values(system)) or None
                self._asks_left = 0
            except DriverError as error:
                if not can_go_on(error):
                    raise
                if isinstance(error, Rejected | Unsupported | Forbidden):
                    self._asks_left = 0
            except _NONSENSE:
                self._asks_left = 0
        return self._resets


def _close_all(left: deque[OneShotConnector], deadline: float) -> None:
    while left and scheduling.monotonic() < deadline:
        try:
            connector = left.popleft()
        except IndexError:
            return
        with contextlib.suppress(DriverError, *_NONSENSE):
            connector.close()
