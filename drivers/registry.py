"""Drivers by name: the built-in ones, and those of other packages by entry point (groups `groundstate.bmc`,
`groundstate.console`, `groundstate.switch`, `groundstate.ipam`, `groundstate.backends`).

Modules are imported when first requested, so that a driver that the fleet does not use costs nothing.
"""

from __future__ import annotations

import base64
import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, cast

from drivers.base import (
    OUTSIDE_ERRORS,
    BmcDriver,
    ConsoleDriver,
    Credential,
    DriverOptions,
    EventSink,
    Ipam,
    IpamSettings,
    OpenSink,
    Pools,
    Rejected,
    SecretSource,
    SecretUnavailable,
    SinkEndpoint,
    SwitchDriver,
    note_secrets,
    options_type,
)
from drivers.base.support import scheduling

if TYPE_CHECKING:
    from sqlalchemy import Engine

BMC_GROUP = "groundstate.bmc"
CONSOLE_GROUP = "groundstate.console"
SWITCH_GROUP = "groundstate.switch"
IPAM_GROUP = "groundstate.ipam"
BACKENDS_GROUP = "groundstate.backends"

BMC_DRIVERS = {"redfish": "drivers.bmc.redfish.redfish:open_driver", "fake": "drivers.bmc.fake.fake:open_driver"}
CONSOLE_DRIVERS = {
    "ipmi": "drivers.console.ipmi.ipmi:IpmiConsole",
    "ssh": "drivers.console.ssh.ssh_console:SshConsole",
    "tcp": "drivers.console.stream:StreamConsole",
    "fake": "drivers.console.fake_console:FakeConsole",
}
SWITCH_DRIVERS = {
    "linux": "drivers.switch.linux:LinuxSwitches",
    "linux-bridged": "drivers.switch.linux:bridged_switches",
    "sonic": "drivers.switch.sonic:SonicSwitches",
    "fake": "drivers.switch.fake.fake_switch:open_driver",
}
IPAMS = {"embedded": "drivers.ipam.embedded.embedded:open_ipam", "netbox": "drivers.ipam.netbox.netbox:open_ipam"}
SINKS = {"webhook": "drivers.sink.webhook:open_webhook", "nats": "drivers.sink.nats:open_nats"}
POOLS = "drivers.ipam.embedded.embedded_pools:EmbeddedPools"
SECRET_SOURCES = {
    "env": "drivers.secret.environment:EnvSource",
    "file": "drivers.secret.file:FileSource",
    "exec": "drivers.secret.exec:ExecSource",
}


class Registry:
    """Opens each BMC driver once and closes them all. May be shared between threads."""

    def __init__(self) -> None:
        self._lock = scheduling.lock()
        self._opened: dict[str, BmcDriver] = {}
        self._consoles: dict[str, ConsoleDriver] = {}
        self._switches: dict[str, SwitchDriver] = {}
        self._ipams: list[Ipam] = []

    def bmc(self, name: str) -> BmcDriver:
        """The driver, opened at the first call. Raises Rejected for a name that nothing answers to."""
        with self._lock:
            if name not in self._opened:
                opener = cast("Callable[[], BmcDriver]", _load(BMC_GROUP, BMC_DRIVERS, name))
                self._opened[name] = opener()
            return self._opened[name]

    def console(self, name: str) -> ConsoleDriver:
        """The driver of serial lines. Raises Rejected for a name that nothing answers to."""
        with self._lock:
            if name not in self._consoles:
                opener = cast("Callable[[], ConsoleDriver]", _load(CONSOLE_GROUP, CONSOLE_DRIVERS, name))
                self._consoles[name] = opener()
            return self._consoles[name]

    def switch(self, name: str) -> SwitchDriver:
        """The driver of switches. Raises Rejected for a name that nothing answers to."""
        with self._lock:
            if name not in self._switches:
                opener = cast("Callable[[], SwitchDriver]", _load(SWITCH_GROUP, SWITCH_DRIVERS, name))
                self._switches[name] = opener()
            return self._switches[name]

    def secret(self, reference: object) -> Credential:
        """Resolve `{"env": ...}`, `{"file": ...}` or `{"exec": ...}`. Raises SecretUnavailable.

        Keys whose value is None count as absent. The password is hidden from then on in all that leaves the process.
        """
        table: Mapping[object, object] = reference if isinstance(reference, Mapping) else {}
        given = [str(key) for key, value in table.items() if value is not None]
        if len(given) != 1 or given[0] not in SECRET_SOURCES:
            raise SecretUnavailable(f"credentialRef must have exactly one of {', '.join(SECRET_SOURCES)}")
        kind = given[0]
        found = _source(kind).resolve(table[kind])
        pair = f"{found.username}:{found.password}".encode()
        note_secrets(found.password, base64.b64encode(pair).decode("ascii"))
        return found

    def secret_text(self, reference: object) -> str:
        """Resolve `{"env": ...}`, `{"file": ...}` or `{"exec": ...}` to one text, such as the secret of a signature.
        Raises SecretUnavailable. The text is hidden from then on in all that leaves the process."""
        from drivers.secret.secret_text import secret_text

        return secret_text(reference)

    def secret_lines(self, reference: object) -> str:
        """The same of a text of several lines, such as a private key."""
        from drivers.secret.secret_text import secret_lines

        return secret_lines(reference)

    def sink(self, name: str, endpoint: SinkEndpoint) -> EventSink:
        """The receiver of events, by the name of its driver, which is one of `SINKS`."""
        opener = cast("OpenSink", _import(EntryPoint(name, SINKS[name], "")))
        return opener(endpoint)

    def open_ipam(self, settings: IpamSettings, engine: Engine) -> Ipam:
        """The IPAM that is named there; `engine` is of the store's database, for one that keeps its tables in it.

        It is closed with the registry, if it has a `close`. Raises Rejected for a name that nothing answers to, and for
        settings that cannot be.
        """
        opener = cast("Callable[[Engine, IpamSettings], Ipam]", _load(IPAM_GROUP, IPAMS, settings.name))
        ipam = opener(engine, settings)
        with self._lock:
            self._ipams.append(ipam)
        return ipam

    def open_pools(self, engine: Engine) -> Pools:
        """The pools of numbers, which are in the store's database whatever the IPAM is."""
        opener = cast("Callable[[Engine], Pools]", _import(EntryPoint("pools", POOLS, "")))
        return opener(engine)

    def backend(self, name: str) -> Callable[..., Any]:
        """What makes the backend of kinds that neither BMCs nor the IPAM serve, of `Connections` and a clock. Raises
        Rejected for a name that nothing answers to."""
        for point in entry_points(group=BACKENDS_GROUP, name=name):
            return cast("Callable[..., Any]", _import(point))
        raise Rejected(
            f"no installed package provides a backend named {name}; installed backends: {_backend_names()}. "
            "Install the "
            "Python package of this backend in the environment in which groundstate is installed. The package "
            f"registers {name} as an entry point of the group {BACKENDS_GROUP}"
        )

    def close(self) -> None:
        """Close every driver that was opened, even if one fails. Raises BaseExceptionGroup of all that failed."""
        with self._lock:
            drivers: list[object] = [*self._opened.values(), *self._switches.values(), *self._ipams]
            self._opened, self._switches, self._ipams = {}, {}, []
        errors: list[BaseException] = []
        for driver in drivers:
            try:
                getattr(driver, "close", _nothing)()
            except OUTSIDE_ERRORS as error:
                errors.append(error)
        if errors:
            raise BaseExceptionGroup("some drivers could not be closed", errors)


def _backend_names() -> str:
    return ", ".join(sorted(entry_points(group=BACKENDS_GROUP).names)) or "none"


def options_of(name: str) -> type[DriverOptions] | None:
    """What `bmc.options` of the driver is, None where it has none. Raises Rejected for a name that nothing answers
    to."""
    opener = cast("Callable[[], BmcDriver]", _load(BMC_GROUP, BMC_DRIVERS, name))
    if isinstance(opener, type):
        return options_type(opener)
    opened = opener()
    try:
        return options_type(opened)
    finally:
        opened.close()


@cache
def _source(kind: str) -> SecretSource:
    source: SecretSource = EntryPoint(kind, SECRET_SOURCES[kind], "").load()()
    return source


def _nothing() -> None:
    """An IPAM without connections of its own has nothing to close."""


def _load(group: str, built_in: Mapping[str, str], name: str) -> object:
    """What the name stands for. Looking entry points up is slow, so it is done only for names that are not built in."""
    if name in built_in:
        return _import(EntryPoint(name, built_in[name], group))
    outside = {point.name: point for point in entry_points(group=group)}
    if name not in outside:
        raise Rejected(_unknown(group, name, {*built_in, *outside}))
    return _import(outside[name])


def _import(point: EntryPoint) -> object:
    try:
        return point.load()
    except OUTSIDE_ERRORS as error:
        kind = "" if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: "
        raise Rejected(
            f"driver {point.name} ({point.value}) cannot be loaded: {kind}{error}; reinstall the package of the driver"
        ) from error


def _unknown(group: str, name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    return (
        f"no driver named {name}; {guess}known: {', '.join(sorted(known))}. "
        f"To add a driver, install its Python package in groundstate's environment; the package registers the driver "
        f"as an entry point of the group {group}"
    )
