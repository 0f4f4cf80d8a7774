"""Tokens that machines show to the services: what each is good for. The token's text itself is kept nowhere."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from reconciler.model.resource import ResourceKey


class TokenPurpose(StrEnum):
    """What a token may be shown for, and nothing else."""

    BOOT = "boot"
    """Once: the agent of a machine with a boot request begins its session."""
    DISCOVER = "discover"
    """Once: the agent of an undeclared machine reports its hardware."""
    SESSION = "session"
    """As often as it likes: the agent asks for work and reports."""
    PHONE_HOME = "phone-home"
    """Once: the installed system says that it is up."""


class Grant(msgspec.Struct, frozen=True):
    """What a token stands for. `machine` None: an undeclared one. `boot_request`: its id, or another word that only
    tokens for the same thing share. `uuid` and `macs` (in the form of services/boot/identifiers.py) are
    those of the machine that asked, matched against what its BMC and its document say."""

    purpose: TokenPurpose
    """What the token is for."""
    machine: ResourceKey | None
    """The machine; None: an undeclared one."""
    boot_request: str
    """The boot request."""
    uuid: str | None
    """The UUID that the machine showed."""
    macs: tuple[str, ...]
    """The MAC addresses that it showed."""
    expires: datetime
    """It counts until then."""


class TokenFault(StrEnum):
    """Why a token is not taken."""

    UNKNOWN = "unknown"
    PURPOSE = "valid only for another kind of request"
    REVOKED = "no longer valid, because a newer token replaced this token"
    USED = "used already"
    EXPIRED = "expired"


class BadToken(Exception):
    """The token is not taken. `grant`: what it stood for, where it is known; for the ledger, not for who showed it."""

    def __init__(self, fault: TokenFault, grant: Grant | None = None) -> None:
        super().__init__(f"the token is {fault}")
        self.fault, self.grant = fault, grant
