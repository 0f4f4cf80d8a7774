"""The systems and the IPAM that are spoken to, opened once and kept; what documents may use of the host for that."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from drivers.base import (
    AuthenticationFailed,
    Bmc,
    BmcDriver,
    BmcFinder,
    BmcRequest,
    ConsoleDriver,
    ConsoleEndpoint,
    Credential,
    Endpoint,
    EventSink,
    Ipam,
    Line,
    LoginMemory,
    ManagedSwitch,
    MeasuredBmc,
    Peer,
    Pools,
    Rejected,
    SecretUnavailable,
    SinkEndpoint,
    SwitchDriver,
    SwitchEndpoint,
    Tls,
    read_options,
    with_all,
)
from reconciler import runtime
from reconciler.kinds.common.access.access_rules import Access, ConsoleAccess, SwitchAccess
from reconciler.kinds.common.access.bmc_networks import connection_refusal, foreseen_connection_refusal
from reconciler.kinds.common.access.console_lines import console_line_refusal
from reconciler.kinds.common.access.credentials import (
    NO_GRANTS,
    WHERE,
    Grants,
    LoginDestination,
    credential_refusal,
    foreseen_refusal,
    host_of,
    matches,
    number_of,
    source,
)
from reconciler.kinds.common.field_types.bmc_access import CredentialRef
from reconciler.model.resource import ResourceKey
from reconciler.observed.backend import Backend

_SWITCHES = "switches"


class Drivers(msgspec.Struct, frozen=True):
    """What the front door wires in: BMC drivers by name, the resolver of references, the IPAM and the pools.

    `console`: the drivers of serial lines by name.
    `more`: the backends of kinds that none of these serves, by name. `backend`: what makes one that is not among them,
    by its name; it raises Rejected for a name that nothing answers to.
    """

    bmc: Callable[[str], BmcDriver]
    secret: Callable[[object], Credential]
    ipam: Ipam
    pools: Pools
    more: Mapping[str, Backend] = {}
    backend: Callable[[str], Callable[[Connections, Callable[[], datetime]], Backend]] | None = None
    console: Callable[[str], ConsoleDriver] | None = None
    sink: Callable[[str, SinkEndpoint], EventSink] | None = None
    """Opens a receiver of events by the name of its driver."""
    secret_text: Callable[[object], str] | None = None
    """Resolves a reference to a secret that is one text."""
    switch: Callable[[str], SwitchDriver] | None = None
    """The drivers of switches by name."""
    secret_lines: Callable[[object], str] | None = None
    """Resolves a reference to a secret of several lines, such as a private key."""


Reach = Callable[[Backend, Callable[[], datetime]], Backend]
"""Makes of a backend of this process, and its clock, one that reaches endpoints in another way."""


def _directly(backend: Backend, _now: Callable[[], datetime]) -> Backend:
    return backend


class Connections:
    """Hands out the Bmc of a machine. Relative paths in documents are taken from `base`, and what they may use of the
    host is in `grants`. `logins`: what BMCs refused before. May be shared by threads."""

    def __init__(
        self, drivers: Drivers, base: Path, grants: Grants = NO_GRANTS, logins: LoginMemory | None = None
    ) -> None:
        self._drivers = drivers
        self._logins = logins
        self._base = base
        self._grants = grants
        self._lock = runtime.lock()
        self._open: dict[ResourceKey, tuple[Access, Bmc]] = {}
        self._switches: dict[ResourceKey, tuple[SwitchAccess, ManagedSwitch]] = {}
        self._backends: dict[str, Backend] = {}
        self._report: Callable[[BmcRequest], None] | None = None
        self.reach: Reach = _directly
        """How BMCs and switches are reached, over the backends of this process."""

    def over(self, ipam: Ipam, pools: Pools) -> Connections:
        """The same connections to BMCs, with this IPAM and these pools."""
        drivers = msgspec.structs.replace(self._drivers, ipam=ipam, pools=pools)
        found = Connections(drivers, self._base, self._grants, self._logins)
        found._lock, found._open, found._report = self._lock, self._open, self._report
        found._switches, found.reach = self._switches, self.reach
        return found

    def reached(self, reach: Reach | None = None) -> Connections:
        """The same connections, with another way to reach BMCs and switches. None: this process reaches all that it is
        asked for."""
        found = self.over(self.ipam, self.pools)
        found.reach, found._report = reach or _directly, self._report
        return found

    def measured(self, report: Callable[[BmcRequest], None]) -> Connections:
        """The same ways, each request of which is reported when it is over."""
        found = Connections(self._drivers, self._base, self._grants, self._logins)
        found._report, found.reach = report, self.reach
        return found

    @property
    def ipam(self) -> Ipam:
        """The IPAM."""
        return self._drivers.ipam

    @property
    def more_backends(self) -> Mapping[str, Backend]:
        """Backends beside the BMCs and the IPAM, by the name by which kinds refer to them."""
        return self._drivers.more

    def backend(self, name: str, now: Callable[[], datetime]) -> Backend:
        """The backend of this name that is not among `more_backends`, made at the first call. Raises Rejected."""
        with self._lock:
            found = self._backends.get(name)
        if found is not None:
            return found
        if self._drivers.backend is None:
            raise Rejected(f"there is no backend named {name}")
        # Outside of the lock, as it may ask for connections.
        made = self._drivers.backend(name)(self, now)
        with self._lock:
            return self._backends.setdefault(name, made)

    @property
    def pools(self) -> Pools:
        """The pools of numbers."""
        return self._drivers.pools

    def bmc(self, key: ResourceKey, access: Access) -> Bmc:
        """The machine's system; opened again when its access changed. Raises DriverError for an unknown driver, and
        where the settings let neither its login nor a connection go."""
        with self._lock:
            held = self._open.get(key)
        if held is None or held[0] != access:
            driver = self._drivers.bmc(access.driver)
            self._decide(access, offline=getattr(driver, "offline", False))
            bmc = with_all(driver.open(self.endpoint(access)), access.driver)
            held = (access, bmc if self._report is None else MeasuredBmc(bmc, access.driver, self._report))
            with self._lock:
                self._open[key] = held
        return held[1]

    def switch(self, key: ResourceKey, access: SwitchAccess) -> ManagedSwitch:
        """The switch; opened again when its access changed. Raises DriverError for an unknown driver, and where the
        settings do not allow a connection to it."""
        with self._lock:
            held = self._switches.get(key)
        if held is None or held[0] != access:
            if self._drivers.switch is None:
                raise Rejected(f"there is no driver named {access.driver} for switches")
            driver = self._drivers.switch(access.driver)
            numbers = [] if getattr(driver, "offline", False) else _leads_to(access.address)
            why = foreseen_connection_refusal(self._grants, access.address, numbers, _SWITCHES) if numbers else None
            if why is not None:
                raise Rejected(why)
            secret = None if access.credential_ref is None else _SwitchSecret(self, access.credential_ref, access)
            gate = _Gate(self._grants, access.address, _SWITCHES)
            endpoint = SwitchEndpoint(access.driver, access.address, access.host_key, secret, gate)
            held = (access, driver.open(endpoint))
            with self._lock:
                self._switches[key] = held
        return held[1]

    def refuse_outside(self, access: Access) -> None:
        """Raises Rejected for an address that BMCs are not reached at."""
        self._refuse_outside(access, _leads_to(access.address))

    def _refuse_outside(self, access: Access, numbers: list[str]) -> None:
        why = foreseen_connection_refusal(self._grants, access.address, numbers)
        if why is not None:
            raise Rejected(why)

    def _decide(self, access: Access, *, offline: bool) -> None:
        """Refuse before anything reaches the address, wherever that can be known; `offline`: nothing ever does."""
        if offline and access.credential_ref is None:
            return
        numbers = _leads_to(access.address)
        if access.credential_ref is not None:
            reference = self._located(access.credential_ref)
            why = foreseen_refusal(
                self._grants, reference, access.driver, access.address, numbers, insecure=access.tls.insecure
            )
            if why is not None:
                raise AuthenticationFailed(f"{access.address}: {why}")
        if not offline:
            self._refuse_outside(access, numbers)

    def finder(self, driver: str) -> BmcFinder | None:
        """The driver of that name, if it can look for BMCs. Raises Rejected for an unknown one."""
        found = self._drivers.bmc(driver)
        return found if isinstance(found, BmcFinder) else None

    def endpoint(self, access: Access) -> Endpoint:
        """The way in the driver's form. Paths from the base, and a credential that is resolved when it is needed, for
        whom it may be sent to. Raises Rejected for a file that documents may not name, and for options that do not
        fit."""
        return Endpoint(
            driver=access.driver,
            address=access.address,
            system_id=access.system_id,
            tls=self.trusted(access.tls),
            credential=None
            if access.credential_ref is None
            else Login(self, access.credential_ref, access.address, access.driver),
            options=read_options(self._drivers.bmc(access.driver), access.driver, access.options),
            connects=_Gate(self._grants, access.address),
            timeout=access.timeout,
            logins=self._logins,
        )

    async def open_console(
        self, access: ConsoleAccess, former: str, heard: Callable[[bytes], None], steal: bool
    ) -> Line:
        """The serial line, opened. Raises DriverError."""
        if self._drivers.console is None:
            raise Rejected(f"there is no console driver named {access.driver}")
        return await self._drivers.console(access.driver).open(
            self._console_endpoint(access, former), heard, steal=steal
        )

    def _console_endpoint(self, access: ConsoleAccess, former: str) -> ConsoleEndpoint:
        """The way to a serial line in the driver's form. What is no BMC is reached only where the settings say so."""
        login = access.credential_ref
        return ConsoleEndpoint(
            driver=access.driver,
            address=access.address,
            port=access.port,
            credential=None if login is None else Login(self, login, access.address, access.driver),
            connects=_LineGate(self._grants) if access.driver == "tcp" else _Gate(self._grants, access.address),
            cipher_suite=access.cipher_suite,
            dialect=access.dialect,
            host_key=access.host_key,
            former=former,
        )

    def trusted(self, tls: Tls) -> Tls:
        """The same trust, with the path of the CA file from the base. Raises Rejected for a file that documents may not
        name."""
        ca_file = self._ca_file(tls.ca_file)
        return tls if ca_file == tls.ca_file else msgspec.structs.replace(tls, ca_file=ca_file)

    def sink(self, driver: str, endpoint: SinkEndpoint) -> EventSink:
        """A receiver of events. Raises Rejected for an unknown driver."""
        if self._drivers.sink is None:
            raise Rejected(f"there is no driver named {driver} for sinks of events")
        return self._drivers.sink(driver, endpoint)

    def secret_text(self, reference: CredentialRef, destination: LoginDestination) -> str:
        """A secret that is one text. Raises AuthenticationFailed where the settings do not allow it there."""
        located = self._located(reference)
        why = credential_refusal(self._grants, located, destination)
        if why is not None:
            raise AuthenticationFailed(f"{destination.address}: {why}")
        if self._drivers.secret_text is None:
            raise SecretUnavailable("no source of secrets is wired in")
        return self._drivers.secret_text(source(self._grants, located))

    def secret_lines(self, reference: CredentialRef, destination: LoginDestination) -> str:
        """A secret of one line or several. Raises AuthenticationFailed where the settings do not allow it there."""
        located = self._located(reference)
        why = credential_refusal(self._grants, located, destination)
        if why is not None:
            raise AuthenticationFailed(f"{destination.address}: {why}")
        if self._drivers.secret_lines is None:
            raise SecretUnavailable("no source of secrets is wired in")
        return self._drivers.secret_lines(source(self._grants, located))

    def log_in(self, reference: CredentialRef, destination: LoginDestination) -> Credential:
        """The login for the connected peer. Raises AuthenticationFailed where it may not go there."""
        located = self._located(reference)
        why = credential_refusal(self._grants, located, destination)
        if why is not None:
            raise AuthenticationFailed(f"{destination.address}: {why}")
        return self._drivers.secret(source(self._grants, located))

    def _located(self, reference: CredentialRef) -> CredentialRef:
        if reference.file is None:
            return reference
        try:
            return msgspec.structs.replace(reference, file=str(self._base / Path(reference.file).expanduser()))
        except RuntimeError:
            raise SecretUnavailable(
                "credentialRef.file begins with the home directory of a user who does not exist on this host; "
                "write an absolute path"
            ) from None

    def _ca_file(self, named: str | None) -> str | None:
        """A file of the base's own, symbolic links followed, or one that the settings allow; whether another is there
        is not reported."""
        if named is None:
            return None
        path, base = self._base / named, os.path.realpath(self._base)
        try:
            own = base != "/" and Path(os.path.realpath(path)).is_relative_to(base)
        except ValueError:
            own = False
        if not own and not matches(str(path), self._grants.ca_files):
            line = f"ca_files = {json.dumps([os.path.normpath(path)])}"
            raise Rejected(
                f"tls.caFile {named} is not below {base}, and the settings do not allow it. To allow the "
                f"file, write {line} in {WHERE}"
            )
        return str(path)


@dataclass(frozen=True, slots=True, eq=False)
class _Gate:
    """Whether an address of a document may be connected to, at the number that its name stands for."""

    grants: Grants
    address: str
    what: str = "BMCs"

    def __call__(self, number: str) -> None:
        """Raises Rejected."""
        why = connection_refusal(self.grants, self.address, number, self.what)
        if why is not None:
            raise Rejected(why)


@dataclass(frozen=True, slots=True, eq=False)
class _LineGate:
    """Whether a serial line that is no BMC's may be connected to."""

    grants: Grants

    def __call__(self, where: str) -> None:
        """Raises Rejected."""
        why = console_line_refusal(self.grants, where)
        if why is not None:
            raise Rejected(why)


@dataclass(frozen=True, slots=True, eq=False)
class _SwitchSecret:
    """The secret of a switch's login, resolved when the driver is connected to the pinned host key."""

    connections: Connections
    reference: CredentialRef
    access: SwitchAccess

    def __call__(self, peer: Peer) -> str:
        """Resolve it. Raises AuthenticationFailed."""
        destination = LoginDestination(self.access.driver, self.access.address, peer)
        return self.connections.secret_lines(self.reference, destination)


@dataclass(frozen=True, slots=True)
class Login:
    """A machine's login, resolved when the driver is connected. Two references to the same credential are equal:
    machines that refer to one credential share a session of their BMC, and no others do."""

    connections: Connections = field(compare=False)
    reference: CredentialRef
    address: str = field(compare=False)
    driver: str

    def __call__(self, peer: Peer) -> Credential:
        """Resolve it. Raises AuthenticationFailed."""
        return self.connections.log_in(self.reference, LoginDestination(self.driver, self.address, peer))


def _leads_to(address: str) -> list[str]:
    """The numbers that an address of a document stands for, at the moment; none for a name that is not known."""
    host = host_of(address)
    if number := number_of(host):
        return [number]
    try:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)] if host else []
    except (OSError, UnicodeError):
        return []
