"""What the store knows of logins that were refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from drivers.base import REFUSED_LOGIN, Credential, RefusedLogin
from reconciler import runtime
from reconciler.store import Store
from reconciler.store.login_memory import StoredLogins

BMC, LOGIN = "https://10.0.0.1", Credential("operator", "one")


class Clock(runtime.Runtime):
    """The real one, with another time."""

    time = datetime(2026, 3, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    with runtime.replaced(clock):
        yield clock


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store.open("sqlite://")
    yield store
    store.close()


@pytest.mark.parametrize(
    "login", [Credential("operator", "two"), Credential("admin", "one"), Credential("operatoro", "ne")]
)
def test_another_login_is_not_known(clock: Clock, store: Store, login: Credential) -> None:
    StoredLogins(store.refused_logins).note(BMC, LOGIN, 1, 900)
    assert StoredLogins(store.refused_logins).refused(BMC, login) is None


def test_the_next_process_knows_how_often_and_how_long_it_is_left_alone(clock: Clock, store: Store) -> None:
    StoredLogins(store.refused_logins).note(BMC, LOGIN, 2, 900)
    clock.time += timedelta(minutes=5)
    found = StoredLogins(store.refused_logins).refused(BMC, LOGIN)
    assert found is not None
    assert (found.times, found.seconds) == (2, 600)
    assert StoredLogins(store.refused_logins).refused("https://10.0.0.2", LOGIN) is None


def test_it_is_over_after_its_time_and_the_next_refusal_is_one_more(clock: Clock, store: Store) -> None:
    StoredLogins(store.refused_logins).note(BMC, LOGIN, 1, 900)
    clock.time += timedelta(minutes=15)
    assert StoredLogins(store.refused_logins).refused(BMC, LOGIN) == RefusedLogin(1, 0.0)


def test_two_logins_that_one_bmc_refuses_are_both_known(clock: Clock, store: Store) -> None:
    """Else each would be taken for one that a person had forgotten, and be sent every half a minute."""
    other = Credential("admin", "two")
    for times in (1, 2):
        for login in (LOGIN, other):
            StoredLogins(store.refused_logins).note(BMC, login, times, 900)
    logins = StoredLogins(store.refused_logins)
    assert [logins.refused(BMC, login) for login in (LOGIN, other)] == [RefusedLogin(2, 900.0)] * 2
    logins.forget(BMC, LOGIN)
    assert logins.refused(BMC, LOGIN) is None
    assert logins.refused(BMC, other) == RefusedLogin(2, 900.0)


def test_a_clock_that_is_put_back_does_not_prolong_it(clock: Clock, store: Store) -> None:
    StoredLogins(store.refused_logins).note(BMC, LOGIN, 1, 900)
    clock.time -= timedelta(days=365)
    found = StoredLogins(store.refused_logins).refused(BMC, LOGIN)
    assert found is not None
    assert found.seconds == REFUSED_LOGIN.longest


def test_what_is_let_in_is_forgotten(clock: Clock, store: Store) -> None:
    logins = StoredLogins(store.refused_logins)
    logins.note(BMC, LOGIN, 1, 900)
    logins.forget(BMC, LOGIN)
    assert logins.refused(BMC, LOGIN) is StoredLogins(store.refused_logins).refused(BMC, LOGIN) is None


def test_what_cannot_be_kept_is_known_to_this_process(clock: Clock, store: Store) -> None:
    logins = StoredLogins(store.refused_logins)
    assert logins.refused(BMC, LOGIN) is None
    store.close()
    logins.note(BMC, LOGIN, 1, 900)
    assert logins.refused(BMC, LOGIN) is not None


def test_what_could_not_be_kept_is_kept_in_the_next_store(clock: Clock, store: Store) -> None:
    closed = Store.open("sqlite://")
    closed.close()
    logins = StoredLogins(closed.refused_logins)
    logins.note(BMC, LOGIN, 1, 900)
    logins.use(store.refused_logins)
    assert StoredLogins(store.refused_logins).refused(BMC, LOGIN) is not None
