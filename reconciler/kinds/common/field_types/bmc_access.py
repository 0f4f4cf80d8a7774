"""How a BMC is reached: the part of a spec that Machine and Partition share."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from drivers.base import Tls
from reconciler.kinds.common.field_types.bmc_address import canonical_address
from reconciler.kinds.common.field_types.fields import Sha256, Spec
from reconciler.model.resource import DesiredState, ResourceKey

CREDENTIAL_NAME = r"^[A-Za-z0-9_-]{1,63}$"


class CredentialRef(Spec, frozen=True, kw_only=True):
    """The source of user and password: exactly one of name, env, file and exec. The values are never in git.

    `env`, `file` and `exec` work only if the settings of groundstate allow them (document_credentials).
    """

    name: (
        Annotated[
            str,
            Meta(
                pattern=CREDENTIAL_NAME,
                description=(
                    "NAME of a `credentials.NAME` in the settings file. That entry has the source of the login, "
                    "and the networks to which groundstate may send the login."
                ),
                examples=["bmc"],
            ),
        ]
        | None
    ) = None

    env: (
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
                description="NAME: the environment has NAME_USERNAME and NAME_PASSWORD, or NAME as `user:password`. "
                "Works only if document_credentials in the settings file allows this.",
            ),
        ]
        | None
    ) = None
    file: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="A file of mode 0600 that holds `user:password`, or JSON with username and password; "
                "read again at each login. Works only if document_credentials in the settings file allows this.",
            ),
        ]
        | None
    ) = None
    exec: (
        Annotated[
            tuple[str, ...],
            Meta(
                min_length=1,
                description="A command, run without a shell, that prints JSON with username and password. Works only "
                "if document_credentials in the settings file allows this.",
            ),
        ]
        | None
    ) = None


class TlsSpec(Spec, frozen=True, kw_only=True):
    """How the BMC's certificate is trusted; at most one of caFile, fingerprint and insecure. None of them: the system's
    certificate authorities."""

    ca_file: (
        Annotated[
            str,
            Meta(
                min_length=1,
                description="A PEM file with the certificates of the authorities to trust. A relative path starts at "
                "the folder of the settings file: the file of --config, or else the file in the repository. Without "
                "such a file, it starts at the current folder. A file outside of that folder must be named in "
                "`ca_files` of the settings.",
            ),
        ]
        | None
    ) = None
    fingerprint: (
        Annotated[
            Sha256,
            Meta(description="The SHA-256 of the BMC's own certificate: `sha256:` and 64 lower-case hex digits."),
        ]
        | None
    ) = None
    insecure: Annotated[bool, Meta(description="Trust any certificate, and allow plain http.")] = False

    old_ciphers: Annotated[
        bool,
        Meta(
            description="Accept TLS 1.0, old ciphers such as AES256-SHA, and short keys, for old BMCs. `insecure` "
            "includes this."
        ),
    ] = False

    def trust(self) -> Tls:
        """The driver's form."""
        return Tls(self.ca_file, self.fingerprint, self.insecure, self.old_ciphers)


class BmcDefaults(Spec, frozen=True, kw_only=True):
    """Defaults for the BMCs of the partition's machines. A machine's own `bmc` takes precedence."""

    driver: (
        Annotated[str, Meta(min_length=1, description="The driver for the BMC.", examples=["redfish", "fake"])] | None
    ) = None
    credential_ref: Annotated[CredentialRef, Meta(description="The user and password of the BMC.")] | None = None
    tls: Annotated[TlsSpec, Meta(description="How groundstate checks the BMC's certificate.")] | None = None
    timeout_seconds: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=300,
                description="Seconds that the BMC may take to connect, and for each answer. The default is 5 to "
                "connect, 10 for TLS, 15 for the first answer, and 30 for each later answer.",
            ),
        ]
        | None
    ) = None
    options: Annotated[
        dict[str, Any],
        Meta(
            description=(
                "Options of the driver; the page of the driver lists them. Never put a credential here. A "
                "machine's options replace equal keys of its partition's options for the same driver."
            ),
            extra_json_schema={"additionalProperties": True},
        ),
    ] = msgspec.field(default_factory=dict)


class BmcSpec(BmcDefaults, frozen=True, kw_only=True):
    """The machine's BMC. Fields that are left out come from the `bmc` of the partition."""

    address: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2048,
            pattern=r"^\S+$",
            description="Host, host:port or https URL of the BMC; write an IPv6 address in brackets.",
            examples=["10.1.0.12", "https://bmc-r12-01.example:8443"],
        ),
    ]
    system_id: (
        Annotated[
            str, Meta(min_length=1, description="The system's Id in Redfish. Needed if the BMC has several systems.")
        ]
        | None
    ) = None


def at_place(desired: DesiredState, where: str | None) -> ResourceKey | None:
    """The declared machine that is this system of this BMC, as `place` says it; None where there is none."""
    return desired.derived("machines by place", _by_place).get(where) if where is not None else None


def _by_place(desired: DesiredState) -> dict[str, ResourceKey]:
    return {system_address(machine.spec.bmc): machine.key for machine in desired.of_kind("Machine")}


def system_address(bmc: BmcSpec) -> str:
    """Which system a document means, whatever the machine is called: its BMC, and its id there where one is given."""
    return f"{same_bmc(bmc.address)}#{bmc.system_id}" if bmc.system_id else same_bmc(bmc.address)


def same_bmc(address: str) -> str:
    """An address in the form in which two spellings of one BMC are equal: `https://BMC1:443/` is `bmc1`."""
    return canonical_address(address)
