"""What a driver of switches can do: read a switch, check a configuration, and make it true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from drivers.base.protocols.bmc_options import DriverOptions
from drivers.base.protocols.endpoint import Peer
from drivers.base.values.switch_state import SwitchConfig, SwitchState


class SwitchEndpoint(msgspec.Struct, frozen=True):
    """Where a switch is managed: `ssh://USER@HOST[:PORT]`, or what the driver takes.

    `host_key`: the one public key of the switch, as a line of OpenSSH. `secret`: the private key of the login, as
    OpenSSH writes it, or its password. It is asked for when the connection is open, for the peer that it will be sent
    to, and is never kept in a message. It raises AuthenticationFailed where it may not go there. `connects` and
    `options`: as in Endpoint.
    """

    driver: str
    address: str
    host_key: str = ""
    secret: Callable[[Peer], str] | None = None
    connects: Callable[[str], None] | None = None
    options: DriverOptions | None = None


class ManagedSwitch(Protocol):
    """One switch. Each method asks or sends once, and waits for no effect. May be called by several threads; one that
    writes is called for one switch by one thread at a time."""

    def read(self) -> SwitchState:
        """What the switch runs now. What it does not report is None. Raises DriverError."""

    def check(self, config: SwitchConfig) -> tuple[str, ...]:
        """What `apply` would change, a line of the switch's own language each; none: nothing. Changes nothing. Raises
        Rejected where the switch's own checks (such as `vtysh -C`) refuse it, with their words; and DriverError."""

    def apply(self, config: SwitchConfig) -> None:
        """Make the whole of it true, in the order that is safe, the routing before the ports (metal-core#202), and save
        it last. The same again changes nothing. What it checks, it checks before the first write.

        Returns when the switch has accepted all of it; whether it is so is seen by `read`. Raises DriverError:
        Rejected if the switch says that the configuration is wrong, which another try would not change. Busy if it is
        to be tried again, as after a reload of FRR that failed (metal-core#108). Unreachable with `maybe_sent` if a
        part may have been done; to apply it again then does the rest."""


class SwitchDriver(Protocol):
    """Opens switches, and owns the connections to them. One that reaches no network, whatever an address says, has an
    attribute `offline` that is true. One with options has the attribute `options_type`, as a BmcDriver has."""

    def open(self, endpoint: SwitchEndpoint) -> ManagedSwitch:
        """The switch, without touching the network. Raises Rejected for an address that makes no sense."""

    def close(self) -> None:
        """Close the connections. Later calls on its switches raise Unreachable."""
