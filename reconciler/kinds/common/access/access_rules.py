"""How a kind's endpoint is reached, in values of the kind, so that code that connects or checks does not need to know
the kind. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from drivers.base import Tls
from reconciler.kinds.common.field_types.bmc_access import CredentialRef
from reconciler.model.resource import DesiredState, Resource, ResourceKey


class Access(msgspec.Struct, frozen=True):
    """How one endpoint is reached, the partition's defaults taken in."""

    driver: str
    address: str
    system_id: str | None
    tls: Tls
    credential_ref: CredentialRef | None
    options: dict[str, Any] = {}
    timeout: float | None = None


DEFAULT_SUITE = 17
"""The cipher suite of IPMI where no document names one."""


class ConsoleAccess(msgspec.Struct, frozen=True):
    """How a machine's serial line is reached."""

    driver: str
    address: str
    port: int | None
    credential_ref: CredentialRef | None
    cipher_suite: int = DEFAULT_SUITE
    dialect: str = ""
    host_key: str = ""


class SwitchAccess(msgspec.Struct, frozen=True):
    """How a switch is managed. `host_key`: the only one that is trusted, as a line of OpenSSH."""

    driver: str
    address: str
    host_key: str
    credential_ref: CredentialRef | None


class DeclaredOptions(msgspec.Struct, frozen=True):
    """The options that reach one driver by one document, none included."""

    resource: Resource[Any]
    driver: str
    options: Mapping[str, Any]
    own: Mapping[str, Any]
    """Those that stand in the document itself; what it inherits is wrong where it stands."""
    whole: bool
    """Whether these are all options that the driver gets, so that a missing one is an error. A partition need not have
    all."""
    names_driver: bool = False
    """Whether the document itself says which driver it is."""


class AccessRules(msgspec.Struct, frozen=True):
    """How the endpoints of a kind are reached."""

    access_of: Callable[[Any, DesiredState], Access]
    """The access to the endpoint that a spec means."""
    words: Callable[[DesiredState], Mapping[ResourceKey, dict[str, str]]]
    """The same of every declared resource, in words, by path: what is shown, and remembered as in force."""
    options: Callable[[Sequence[Resource[Any]]], Iterable[DeclaredOptions]]
    """What documents say for the driver alone, to be checked against the driver's own struct."""
