"""How a machine's serial console is reached and kept: the part of a spec that Machine and Partition share."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from reconciler.kinds.common.consoles.ssh_keys import SshKey, check_console_keys, check_public_keys
from reconciler.kinds.common.field_types.bmc_access import CredentialRef
from reconciler.kinds.common.field_types.fields import Spec
from reconciler.kinds.common.kind import RuleFinding

NO_CONSOLE = "none"
SSH = "ssh"
SSH_DIALECTS = ("dell", "hpe", "lenovo", "conserver", "direct")
"""Those of the driver ssh (drivers/console/ssh/ssh_dialects.py; a test holds the two together)."""


class ConsoleHold(StrEnum):
    """When the daemon keeps the serial line open."""

    ALWAYS = "Always"
    ORDERS = "Orders"
    WATCHED = "Watched"


class ConsoleAdmins(Spec, frozen=True, kw_only=True):
    """Who may read and type on all consoles of the partition."""

    ssh_keys: Annotated[tuple[SshKey, ...], Meta(description="Public SSH keys of the admins.")] = ()
    authority: (
        Annotated[
            SshKey,
            Meta(
                description="Public key of an authority whose OpenSSH user certificates are admins. Needs principals."
            ),
        ]
        | None
    ) = None
    principals: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[A-Za-z0-9._@-]+$", max_length=253)], ...],
        Meta(description="A certificate of the authority must have one of these principals."),
    ] = ()


class ConsoleRecord(Spec, frozen=True, kw_only=True):
    """The recording of what a console says."""

    keep: Annotated[
        str,
        Meta(
            pattern=r"^[1-9][0-9]{0,3}(Ki|Mi|Gi)$",
            description="The size of a recording, for each machine and claim. Beyond it the oldest half is removed.",
            examples=["16Mi"],
        ),
    ] = "16Mi"

    @property
    def bytes(self) -> int:
        """As a number."""
        return int(self.keep[:-2]) << {"Ki": 10, "Mi": 20, "Gi": 30}[self.keep[-2:]]


class ConsoleAccessFields(Spec, frozen=True, kw_only=True):
    """How a serial console is reached."""

    driver: (
        Annotated[
            str,
            Meta(
                pattern=r"^[a-z][a-z0-9_-]*$",
                max_length=63,
                description=(
                    "The driver: ipmi (Serial over LAN), ssh, tcp (a TCP port or unix socket), fake, or none. The "
                    "default is none."
                ),
                examples=["ipmi", "ssh", "tcp", NO_CONSOLE],
            ),
        ]
        | None
    ) = None
    port: (
        Annotated[int, Meta(ge=1, le=65535, description="The port. The default of ipmi is 623, of ssh 22.")] | None
    ) = None
    cipher_suite: (
        Annotated[
            int,
            Meta(
                ge=3,
                le=17,
                description=(
                    "The cipher suite of IPMI: 17 (SHA-256), or 3 (SHA-1) for an old BMC. groundstate uses no other "
                    "suite than this one. The default is 17."
                ),
            ),
        ]
        | None
    ) = None
    dialect: (
        Annotated[
            str,
            Meta(
                pattern=r"^[a-z][a-z0-9_-]*$",
                max_length=63,
                description=(
                    "Which words the server uses, for the driver ssh: dell (iDRAC), hpe (iLO), lenovo (XCC), "
                    "conserver, or direct. With direct, the SSH session itself is the console, as on OpenBMC."
                ),
                examples=["dell", "direct"],
            ),
        ]
        | None
    ) = None
    host_key: (
        Annotated[
            str,
            Meta(
                max_length=8192,
                description=(
                    "The public host key of the server, for the driver ssh: type and base64, as ssh-keyscan prints "
                    "them. groundstate sends no login to a host with another key."
                ),
                examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfJtnBQnhnXqzqkV0Wl0Gx0Gx0Gx0Gx0Gx0Gx0Gx0G"],
            ),
        ]
        | None
    ) = None
    hold: (
        Annotated[
            ConsoleHold,
            Meta(
                description=(
                    "When the daemon keeps the line open, and so records it. Watched: while a person is connected. "
                    "Orders: also during each boot request of the agent. Always: all the time. The default is Orders."
                )
            ),
        ]
        | None
    ) = None
    record: Annotated[ConsoleRecord, Meta(description="The recording of what the console says.")] | None = None


class PartitionConsole(ConsoleAccessFields, frozen=True, kw_only=True):
    """The serial consoles of the partition's machines. A machine's own `console` takes precedence."""

    admins: Annotated[ConsoleAdmins, Meta(description="Who may use the consoles of all machines of the partition.")] = (
        ConsoleAdmins()
    )


class MachineConsole(ConsoleAccessFields, frozen=True, kw_only=True):
    """The machine's serial console. Fields that are left out come from the `console` of the partition."""

    address: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=2048,
                pattern=r"^(unix:/\S+|[A-Za-z0-9.:_-]+)$",
                description=(
                    "The host of the line, or `unix:/PATH` for the driver tcp. The default is the host of the BMC. The "
                    "driver tcp connects only to what `console_lines` in the settings file allows."
                ),
            ),
        ]
        | None
    ) = None
    credential_ref: (
        Annotated[CredentialRef, Meta(description="The login of the console. The default is the login of the BMC.")]
        | None
    ) = None


class ConsoleSettings(msgspec.Struct, frozen=True):
    """What a machine and its partition say together, without the way there."""

    hold: ConsoleHold
    keep: int
    admins: ConsoleAdmins


def console_settings(own: MachineConsole | None, shared: PartitionConsole | None) -> ConsoleSettings:
    """The machine's, else the partition's, else the defaults."""
    mine, ours = own or MachineConsole(), shared or PartitionConsole()
    record = mine.record or ours.record or ConsoleRecord()
    return ConsoleSettings(mine.hold or ours.hold or ConsoleHold.ORDERS, record.bytes, ours.admins)


def check_admins(path: str, admins: ConsoleAdmins) -> Iterator[RuleFinding]:
    """What a schema cannot say of the admins."""
    yield from check_public_keys(f"{path}.sshKeys", admins.ssh_keys)
    yield from check_console_keys(f"{path}.sshKeys", admins.ssh_keys)
    if admins.authority is not None:
        for found in (*check_public_keys(path, [admins.authority]), *check_console_keys(path, [admins.authority])):
            yield msgspec.structs.replace(found, path=f"{path}.authority")
        if not admins.principals:
            what = "every certificate of the authority, for any purpose, would be an admin of these consoles"
            yield RuleFinding("console-authority", f"{path}.authority", what, "add principals")
    elif admins.principals:
        what = "principals without an authority have no effect"
        yield RuleFinding("console-authority", f"{path}.principals", what, "add authority, or remove principals")


def check_console(path: str, console: ConsoleAccessFields | None) -> Iterator[RuleFinding]:
    """What a schema cannot say of the access."""
    if console is None:
        return
    if console.cipher_suite not in (None, 3, 17):
        what = f"cipher suite {console.cipher_suite} lacks encryption, integrity or a sound hash"
        yield RuleFinding("console-cipher", f"{path}.cipherSuite", what, "use 17, or 3 for an old BMC")
    if console.host_key is not None and not _is_host_key(console.host_key):
        what = "not a public host key: type and base64 in one line, without a host name before them"
        yield RuleFinding("console-host-key", f"{path}.hostKey", what, "paste what ssh-keyscan prints after the host")


def check_ssh_console(console: MachineConsole, shared: PartitionConsole) -> Iterator[RuleFinding]:
    """What a machine lacks whose console is reached with the driver ssh, with what its partition says."""
    if (console.driver or shared.driver) != SSH:
        return
    dialect = console.dialect or shared.dialect
    known = ", ".join(SSH_DIALECTS)
    if dialect is None:
        what = "the driver ssh needs console.dialect, in the Machine or in its Partition"
        yield RuleFinding("console-ssh", "spec.console.dialect", what, f"add dialect, one of {known}")
    elif dialect not in SSH_DIALECTS:
        what = f"the driver ssh has no dialect {dialect}"
        yield RuleFinding("console-ssh", "spec.console.dialect", what, f"use one of {known}")
    if console.host_key is None and shared.host_key is None:
        what = "the driver ssh needs console.hostKey, in the Machine or in its Partition"
        hint = "add hostKey: read the key with ssh-keyscan, and compare its fingerprint with what the BMC shows"
        yield RuleFinding("console-ssh", "spec.console.hostKey", what, hint)


_HOST_KEY = re.compile(
    r"(?P<type>ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) (?P<data>[A-Za-z0-9+/]+={0,2})( .*)?"
)


def _is_host_key(text: str) -> bool:
    """Whether it is one, whole: the data begins with its length and the type."""
    found = _HOST_KEY.fullmatch(text.strip())
    if found is None:
        return False
    try:
        data = base64.b64decode(found["data"], validate=True)
    except ValueError:
        return False
    kind = found["type"].encode()
    return data.startswith(len(kind).to_bytes(4, "big") + kind)
