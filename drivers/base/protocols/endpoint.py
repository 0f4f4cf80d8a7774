"""Where a BMC is, and how it is reached and trusted."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from drivers.base.protocols.bmc_options import DriverOptions
from drivers.base.protocols.secret import Credential, LoginMemory


class Tls(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a BMC's certificate is trusted. All unset: the system's CAs. At most one of the first three is set.

    `old_ciphers`: key exchange without forward secrecy, SHA-1 and short keys are taken too, as with `insecure`.
    """

    ca_file: str | None = None
    fingerprint: str | None = None
    """`sha256:` and 64 hex digits of the leaf certificate's DER form."""
    insecure: bool = False
    old_ciphers: bool = False


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end of an open connection.

    `address`: its IP address, as the socket has it, whatever name led there; None where a driver has no network at all.
    `verified`: no host in between can read along, because the certificate was checked or is the pinned one.
    """

    address: str | None
    verified: bool = False


class Endpoint(msgspec.Struct, frozen=True):
    """Where one system is: the BMC's address (`https://host:port`, or what the driver takes) and the system's id on it.

    `system_id` None: the BMC must have exactly one system, or the driver raises Rejected naming the ids it has.
    `credential` resolves the reference when a login is needed, for the peer that the driver is connected to and will
    send it to. It raises AuthenticationFailed where it may not go there, and SecretUnavailable, saying which reference
    is at fault. Its value is never kept in a message. `options`: an instance of the driver's own `options_type`, where
    it has one.

    `connects`: asked for the IP address that the host stands for, before a connection is made to it. It raises Rejected
    where the settings name no network for that. `timeout`: seconds that the BMC may take for a connection or an answer;
    None: as long as the driver gives all. `logins`: what BMCs refused before; None: nothing is remembered.
    """

    driver: str
    address: str
    system_id: str | None = None
    tls: Tls = Tls()
    credential: Callable[[Peer], Credential] | None = None
    options: DriverOptions | None = None
    connects: Callable[[str], None] | None = None
    timeout: float | None = None
    logins: LoginMemory | None = None
