"""Which logins are tried at a BMC that several daemons reach, one after the other."""

from __future__ import annotations

import pytest

from drivers.base import AuthenticationFailed, Credential, RefusedLogin
from drivers.bmc.redfish.wire.login_trials import LoginTrials

BMC, LOGIN = "https://10.0.0.1", Credential("operator", "one")


class Memory:
    """Implements LoginMemory, for one BMC and one login."""

    def __init__(self) -> None:
        self.kept: RefusedLogin | None = None

    def refused(self, address: str, login: Credential) -> RefusedLogin | None:
        return self.kept

    def note(self, address: str, login: Credential, times: int, seconds: float) -> None:
        self.kept = RefusedLogin(times, seconds)

    def forget(self, address: str, login: Credential) -> None:
        self.kept = None


def test_a_login_that_was_let_in_and_that_another_daemon_saw_refused_since_is_not_sent() -> None:
    memory = Memory()
    mine, other = LoginTrials(BMC, memory), LoginTrials(BMC, memory)
    mine.begin(LOGIN)
    mine.accepted()
    other.begin(LOGIN)
    other.refused(AuthenticationFailed("401"), must_change=False, may_be_odd=False)
    with pytest.raises(AuthenticationFailed, match="it refused this login when groundstate tried it before"):
        mine.begin(LOGIN)
    assert (mine.count, other.count) == (1, 1)


def test_a_login_that_another_daemon_was_let_in_with_again_is_sent() -> None:
    memory = Memory()
    mine, other = LoginTrials(BMC, memory), LoginTrials(BMC, memory)
    other.begin(LOGIN)
    other.refused(AuthenticationFailed("401"), must_change=False, may_be_odd=False)
    with pytest.raises(AuthenticationFailed):
        mine.begin(LOGIN)
    memory.forget(BMC, LOGIN)
    mine.begin(LOGIN)
    assert mine.count == 1


def test_a_new_login_that_was_refused_long_ago_is_not_taken_for_the_one_that_was_let_in() -> None:
    memory = Memory()
    mine = LoginTrials(BMC, memory)
    mine.begin(LOGIN)
    mine.accepted()
    memory.kept = RefusedLogin(1, 0.0)
    assert mine.begin(Credential("operator", "two"))
