"""What a token is good for, over both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import text

from reconciler.model.resource import ResourceKey
from reconciler.model.token import BadToken, Grant, TokenFault, TokenPurpose
from reconciler.store import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BOOT = TokenPurpose.BOOT
GRANT = Grant(
    purpose=BOOT,
    machine=ResourceKey("Machine", "r01-01"),
    boot_request="1-7",
    uuid="22222222-0000-4000-8000-000000000001",
    macs=("52:54:00:77:02:01",),
    expires=NOW + timedelta(minutes=15),
)
SESSION = msgspec.structs.replace(GRANT, purpose=TokenPurpose.SESSION, expires=NOW + timedelta(hours=6))


def fault(store: Store, token: str, now: datetime = NOW, purpose: TokenPurpose = BOOT) -> TokenFault:
    with pytest.raises(BadToken) as found:
        store.tokens.use(token, {purpose}, now)
    return found.value.fault


def test_a_token_stands_for_what_it_was_issued_for(store: Store) -> None:
    token = store.tokens.issue(GRANT, NOW)
    assert store.tokens.peek(token, {BOOT}, NOW) == GRANT
    assert store.tokens.use(token, {BOOT}, NOW) == GRANT


def test_a_token_of_an_undeclared_machine_names_none(store: Store) -> None:
    grant = msgspec.structs.replace(GRANT, machine=None, uuid=None, macs=())
    assert store.tokens.peek(store.tokens.issue(grant, NOW), {BOOT}, NOW) == grant


def test_tokens_differ(store: Store) -> None:
    assert store.tokens.issue(GRANT, NOW) != store.tokens.issue(SESSION, NOW)


def test_the_second_use_is_refused(store: Store) -> None:
    token = store.tokens.issue(GRANT, NOW)
    store.tokens.use(token, {BOOT}, NOW)
    assert fault(store, token) is TokenFault.USED


def test_of_many_that_use_it_at_once_one_succeeds(store: Store) -> None:
    token = store.tokens.issue(GRANT, NOW)

    def used(_: int) -> bool:
        try:
            store.tokens.use(token, {BOOT}, NOW)
        except BadToken:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(used, range(16))) == 1


@pytest.mark.parametrize("token", ["", "gs-", "x" * 10_000, "gs-\udcff", "' OR 1=1 --"])
def test_garbage_is_unknown(store: Store, token: str) -> None:
    store.tokens.issue(GRANT, NOW)
    assert fault(store, token) is TokenFault.UNKNOWN


def test_it_is_good_until_its_end_and_not_at_it(store: Store) -> None:
    token = store.tokens.issue(GRANT, NOW)
    assert store.tokens.peek(token, {BOOT}, GRANT.expires - timedelta(microseconds=1)) == GRANT
    assert fault(store, token, GRANT.expires) is TokenFault.EXPIRED


def test_it_is_good_for_its_purpose_alone_and_is_not_used_up_by_another(store: Store) -> None:
    token = store.tokens.issue(GRANT, NOW)
    assert fault(store, token, purpose=TokenPurpose.PHONE_HOME) is TokenFault.PURPOSE
    assert store.tokens.use(token, {BOOT}, NOW) == GRANT


def test_a_newer_one_of_the_order_replaces_it(store: Store) -> None:
    older, newer = store.tokens.issue(GRANT, NOW), store.tokens.issue(GRANT, NOW)
    assert fault(store, older) is TokenFault.REVOKED
    assert store.tokens.use(newer, {BOOT}, NOW) == GRANT


@pytest.mark.parametrize("other", [{"boot_request": "1-8"}, {"purpose": TokenPurpose.PHONE_HOME}])
def test_one_of_another_order_or_purpose_does_not(store: Store, other: dict[str, str]) -> None:
    token = store.tokens.issue(GRANT, NOW)
    store.tokens.issue(msgspec.structs.replace(GRANT, **other), NOW)
    assert store.tokens.use(token, {BOOT}, NOW) == GRANT


def test_it_is_exchanged_once(store: Store) -> None:
    boot = store.tokens.issue(GRANT, NOW)
    session = store.tokens.exchange(boot, {BOOT}, SESSION, NOW)
    assert store.tokens.peek(session, {TokenPurpose.SESSION}, NOW) == SESSION
    with pytest.raises(BadToken):
        store.tokens.exchange(boot, {BOOT}, SESSION, NOW)
    assert store.tokens.peek(session, {TokenPurpose.SESSION}, NOW) == SESSION


def test_one_that_is_taken_back_can_be_used_and_what_was_got_for_it_cannot(store: Store) -> None:
    boot = store.tokens.issue(GRANT, NOW)
    session = store.tokens.exchange(boot, {BOOT}, SESSION, NOW)
    store.tokens.restore(boot, session)
    assert fault(store, session, purpose=TokenPurpose.SESSION) is TokenFault.UNKNOWN
    assert store.tokens.use(boot, {BOOT}, NOW) == GRANT


def test_one_that_was_replaced_meanwhile_stays_used(store: Store) -> None:
    older = store.tokens.issue(GRANT, NOW)
    store.tokens.use(older, {BOOT}, NOW)
    newer = store.tokens.issue(GRANT, NOW)
    store.tokens.restore(older)
    assert fault(store, older) is TokenFault.USED
    assert store.tokens.use(newer, {BOOT}, NOW) == GRANT


def test_the_store_holds_no_token(store: Store) -> None:
    token = store.tokens.issue(GRANT, NOW)
    with store.engine.connect() as connection:
        [row] = connection.execute(text("SELECT * FROM token")).all()
    assert token.removeprefix("gs-") not in str(row)


def test_those_that_ended_a_day_ago_go(store: Store) -> None:
    token = store.tokens.issue(GRANT, NOW)
    later = GRANT.expires + timedelta(days=1, seconds=1)
    store.tokens.issue(msgspec.structs.replace(GRANT, boot_request="1-8", expires=later + timedelta(hours=1)), later)
    assert fault(store, token, later) is TokenFault.UNKNOWN
