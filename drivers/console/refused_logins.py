"""Logins that BMCs refused: the same one is left alone for a while."""

from __future__ import annotations

import msgspec

from drivers.base import REFUSED_LOGIN, AuthenticationFailed, Credential
from drivers.base.support.event_loop import running_loop

UNPROVEN = 3
"""Fewer than the five that lock an account (ibm-openbmc/openbmc#90)."""


class _RefusedLogin(msgspec.Struct, frozen=True):
    """A login that a BMC refused. `until`: in seconds of the event loop."""

    login: Credential
    times: int
    until: float


class RefusedLogins:
    """By host and port. BMCs lock accounts, and people connect as often as they like."""

    def __init__(self) -> None:
        self._refused: dict[tuple[str, int], _RefusedLogin] = {}

    def leave_alone(self, place: tuple[str, int], address: str, login: Credential) -> None:
        """Raises AuthenticationFailed for a login that was refused there a short while ago."""
        refused = self._refused.get(place)
        seconds = refused.until - running_loop().time() if refused is not None and refused.login == login else 0.0
        if seconds > 0:
            raise AuthenticationFailed(
                f"{address} port {place[1]}: the BMC refused this login. groundstate tries the login "
                f"again in {seconds / 60:.0f} min, because BMCs lock accounts; a changed credential is tried at once"
            )

    def note(self, place: tuple[str, int], login: Credential, *, is_proven: bool) -> None:
        """The login was refused there. `is_proven`: by the server itself. Else a forged packet
        can refuse it, and the login is left alone after UNPROVEN refusals only."""
        before = self._refused.get(place)
        times = before.times + 1 if before is not None and before.login == login else 1
        counted = times if is_proven else times - UNPROVEN + 1
        wait = REFUSED_LOGIN.delay(counted) if counted > 0 else 0.0
        self._refused[place] = _RefusedLogin(login, times, running_loop().time() + wait)

    def forget(self, place: tuple[str, int]) -> None:
        """A login was let in there."""
        self._refused.pop(place, None)
