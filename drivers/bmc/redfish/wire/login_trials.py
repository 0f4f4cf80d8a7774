"""Which login was tried at a BMC, and how long one that it refused is left alone."""

from __future__ import annotations

from drivers.base import CREDENTIAL_CHECK, REFUSED_LOGIN, AuthenticationFailed, Credential, LoginMemory
from drivers.base.support import scheduling
from drivers.bmc.redfish.wire.redfish_login import refused_login

_EARLIER = "it refused this login when groundstate tried it before"


class LoginTrials:
    """Of one BMC. `memory`: also knows what the processes before this one were refused; None: nothing does."""

    def __init__(self, url: str, memory: LoginMemory | None = None) -> None:
        self._url, self._memory = url, memory
        self._tried: int | None = None
        self._login: Credential | None = None
        """The last one that was sent, until the BMC has answered to it."""
        self._refusals, self._until, self._why = 0, 0.0, ""
        self._was_spared = self._is_kept = False
        self.count = 0
        """How often it was logged in."""

    def begin(self, login: Credential) -> bool:
        """This login is about to be sent; whether it is another one than before. Raises AuthenticationFailed for one
        that was refused a short while ago."""
        before = self._tried
        if before is None or scheduling.monotonic() >= self._until:
            # Another daemon may have been refused since this one was let in.
            self._recall(login)
        is_new = self._tried != hash(login)
        if is_new:
            self._refusals, self._was_spared, self._is_kept = 0, False, False
        elif scheduling.monotonic() < self._until and not self._is_asked_for(login):
            raise AuthenticationFailed(self._why, retry_after=CREDENTIAL_CHECK)
        self.sent(login)
        return before != hash(login)

    def sent(self, login: Credential) -> None:
        """This login was sent, or is about to be, whatever was refused before."""
        self._tried, self._login = hash(login), login
        self.count += 1

    def accepted(self) -> None:
        """The BMC let the login in."""
        if self._is_kept and self._memory is not None and self._login is not None:
            self._is_kept = False
            self._memory.forget(self._url, self._login)
        self._refusals, self._login = 0, None

    def refused(self, why: Exception, *, must_change: bool, may_be_odd: bool) -> str:
        """The BMC refused it; returns the message. `why`: in the BMC's words. `must_change`: the password, before the
        first login. `may_be_odd`: an answer that BMCs give to right logins too, now and then; one such is spared."""
        if may_be_odd and not must_change and not self._was_spared:
            self._was_spared, seconds = True, CREDENTIAL_CHECK
        else:
            self._refusals += 1
            seconds = REFUSED_LOGIN.delay(self._refusals)
            if self._memory is not None and self._login is not None:
                self._memory.note(self._url, self._login, self._refusals, seconds)
                self._is_kept = True
        self._login, self._until = None, scheduling.monotonic() + seconds
        self._why = refused_login(self._url, why, must_change, seconds)
        return self._why

    def _is_asked_for(self, login: Credential) -> bool:
        """Whether a person had the refusal forgotten: the account was unlocked, for example."""
        return self._is_kept and self._memory is not None and self._memory.refused(self._url, login) is None

    def _recall(self, login: Credential) -> None:
        before = self._memory.refused(self._url, login) if self._memory is not None else None
        if before is None:
            return
        self._tried, self._refusals, self._was_spared, self._is_kept = hash(login), before.times, True, True
        self._until = scheduling.monotonic() + before.seconds
        self._why = refused_login(self._url, AuthenticationFailed(_EARLIER), False, before.seconds)
