"""What a boot service asks of the daemon that decides arrives as it was sent, is done once, and is answered or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from reconciler import runtime
from reconciler.daemon.boot_relay import control_caller
from reconciler.daemon.boot_relay.called_provisioning import CalledProvisioning
from reconciler.daemon.boot_relay.control_caller import ControlCaller
from reconciler.daemon.boot_relay.provisioning_calls import FindCall, ServesCall
from reconciler.daemon.boot_relay.relayed_provisioning import RelayedProvisioning
from reconciler.kinds.common.machine_facts import BootRequest, FactType
from reconciler.model.event import EventReason
from reconciler.model.resource import ResourceKey
from reconciler.model.values.boot_purpose import Purpose
from reconciler.observed.relay.relay_messages import MESSAGES, ControlCall
from reconciler.services.provisioning_port import (
    Install,
    PowerOffNow,
    Provisioning,
    ProvisioningUnavailable,
    Wait,
    Wipe,
)
from reconciler.store import Store, StoreError

M1 = ResourceKey("Machine", "m1")
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MACS = ("52:54:00:00:00:01",)
REQUEST = BootRequest("1-7", Purpose.INSTALL, AT, document_request="now")
INSTALL = Install(
    "debian-12.0.1", "http://images.example/d.img", "sha256:" + "a" * 64, {"user-data": "ü\n"}, ("i-1",), "auto", 7
)


class Decided:
    """Implements Provisioning: gives one answer to all, and remembers what was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def asked(*arguments: Any) -> Any:
            self.asked.append((name, *arguments))
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

        return asked


class Site:
    """A daemon of a site that asks, and the one that decides."""

    def __init__(self, store: Store, epoch: int) -> None:
        self.store, self.epoch = store, epoch
        self.decided = Decided(None)
        self.bugs: list[str] = []
        self.caller = ControlCaller(store, "site/1", lambda _: None)
        self.provisioning: Provisioning = RelayedProvisioning(self.caller.ask)
        self.called = CalledProvisioning(
            store, epoch, self.decided, lambda what, error: self.bugs.append(f"{what}: {error!r}")
        )

    def taken(self) -> list[ControlCall]:
        """The calls, as the daemon that decides takes them."""
        found = [MESSAGES.decode(one.value) for one in self.store.relay.answers(self.epoch)]
        return [one for one in found if isinstance(one, ControlCall)]

    @contextmanager
    def deciding(self, change: Callable[[ControlCall], ControlCall] = lambda call: call) -> Iterator[None]:
        """The daemon that decides takes calls, `change`d, until the end of the block."""
        stop = runtime.flag()

        def decide() -> None:
            while not stop.wait(0.01):
                for call in self.taken():
                    self.called.take(change(call))

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(decide)
            try:
                yield
            finally:
                stop.set()
                done.result()


@pytest.fixture
def site(empty_postgresql_url: str) -> Iterator[Site]:
    store = Store.open(empty_postgresql_url)
    with store.instance("run") as epoch:
        made = Site(store, epoch)
        made.caller.start()
        yield made
        made.caller.end()
        made.called.close()
    store.close()


Ask = Callable[[Provisioning], Any]
CALLS: dict[str, tuple[Ask, Any, tuple[Any, ...]]] = {
    "find": (lambda p: p.find("u-1", MACS), M1, ("find", "u-1", MACS)),
    "find none": (lambda p: p.find("", []), None, ("find", "", ())),
    "resembles": (lambda p: p.resembles(MACS), M1, ("resembles", MACS)),
    "serves": (lambda p: p.serves(M1, "10.0.0.1"), True, ("serves", M1, "10.0.0.1")),
    "serves anybody": (lambda p: p.serves(None, "10.0.0.1"), False, ("serves", None, "10.0.0.1")),
    "unanswered": (lambda p: p.unanswered_boot_request(M1), REQUEST, ("unanswered_boot_request", M1)),
    "boot request": (lambda p: p.boot_request(M1), REQUEST, ("boot_request", M1)),
    "no boot request": (lambda p: p.boot_request(M1), None, ("boot_request", M1)),
    "wait": (lambda p: p.work(M1), Wait(9), ("work", M1)),
    "power off": (lambda p: p.work(M1), PowerOffNow(), ("work", M1)),
    "wipe": (lambda p: p.work(M1), Wipe(("i-1",)), ("work", M1)),
    "install": (lambda p: p.work(M1), INSTALL, ("work", M1)),
    "report": (
        lambda p: p.report(M1, "1-7", FactType.WRITTEN, "sha256:\ud800"),
        True,
        ("report", M1, "1-7", FactType.WRITTEN, "sha256:\\ud800"),
    ),
    "inventory": (
        lambda p: p.took_inventory(M1, {"lshw": [{"size": 2**63}], "dmi": None}),
        None,
        ("took_inventory", M1, {"lshw": [{"size": 2**63}], "dmi": None}),
    ),
    "undeclared": (lambda p: p.found(None, MACS, {"a": 1.5}), None, ("found", None, MACS, {"a": 1.5})),
    "refused": (
        lambda p: p.refused(None, EventReason.TOKEN_REFUSED, "10.0.0.1: no"),
        None,
        ("refused", None, EventReason.TOKEN_REFUSED, "10.0.0.1: no"),
    ),
    "discovers": (lambda p: p.discovers("10.0.0.1", "u-1", MACS), True, ("discovers", "10.0.0.1", "u-1", MACS)),
}


@pytest.mark.parametrize(("ask", "answer", "asked"), CALLS.values(), ids=CALLS.keys())
def test_each_call_and_its_value_arrive(site: Site, ask: Ask, answer: Any, asked: tuple[Any, ...]) -> None:
    site.decided.answer = answer
    with site.deciding():
        assert ask(site.provisioning) == answer
    assert site.decided.asked == [asked]


def test_many_threads_get_the_replies_to_their_own_calls(site: Site) -> None:
    class Echo(Decided):
        def find(self, uuid: str, _macs: Any) -> ResourceKey:
            return ResourceKey("Machine", uuid)

    site.called = CalledProvisioning(site.store, site.epoch, Echo(None), lambda _what, _error: None)
    with site.deciding(), ThreadPoolExecutor(16) as pool:
        found = pool.map(lambda number: site.provisioning.find(f"m{number}", ()), range(100))
        assert [one and one.name for one in found] == [f"m{number}" for number in range(100)]


def other_version(call: ControlCall) -> ControlCall:
    return msgspec.structs.replace(call, version="0.0.1")


FAILURES: dict[str, tuple[Any, Callable[[ControlCall], ControlCall], str, int]] = {
    "the store": (StoreError("is full"), lambda call: call, "cannot use the store: is full", 0),
    "no commit": (ProvisioningUnavailable("no commit is in force yet"), lambda call: call, "no commit is in force", 0),
    "a bug": (KeyError("uuid"), lambda call: call, "met a bug", 1),
    "another version": (True, other_version, "install the same version on both hosts", 0),
}


@pytest.mark.parametrize(("answer", "change", "words", "bugs"), FAILURES.values(), ids=FAILURES.keys())
def test_a_call_without_a_value_says_why(
    site: Site, answer: Any, change: Callable[[ControlCall], ControlCall], words: str, bugs: int
) -> None:
    site.decided.answer = answer
    with site.deciding(change), pytest.raises(ProvisioningUnavailable, match=words):
        site.provisioning.serves(M1, "10.0.0.1")
    assert len(site.bugs) == bugs


def test_without_a_reply_the_machine_is_to_ask_again_and_later_calls_wait_less(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_caller, "REPLY_SECONDS", 0.2)
    monkeypatch.setattr(control_caller, "SILENT_SECONDS", 0.1)
    for _ in range(2):
        with pytest.raises(ProvisioningUnavailable, match="does not answer; ask again"):
            site.provisioning.serves(M1, "10.0.0.1")
    assert len(site.taken()) == 2
    monkeypatch.setattr(control_caller, "SILENT_SECONDS", 20)
    site.decided.answer = True
    with site.deciding():
        assert site.provisioning.serves(M1, "10.0.0.1")


def test_a_reply_that_comes_too_late_is_dropped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_caller, "REPLY_SECONDS", 0.1)
    with pytest.raises(ProvisioningUnavailable):
        site.provisioning.serves(M1, "10.0.0.1")
    (late,) = site.taken()
    site.decided.answer = False
    site.called.take(late)
    site.called.close()
    site.called = CalledProvisioning(site.store, site.epoch, Decided(True), lambda _what, _error: None)
    monkeypatch.setattr(control_caller, "SILENT_SECONDS", 20)
    with site.deciding():
        assert site.provisioning.serves(M1, "10.0.0.1")


def test_a_process_that_was_replaced_neither_takes_a_call_nor_replies(site: Site) -> None:
    made = ControlCall("1", "site/1", "", msgspec.Raw(b"null"))
    with site.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE instance SET epoch = epoch + 1")
    site.called.take(made)
    site.called.close()
    assert site.store.relay.replies("site/1") == []
    with site.store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE instance SET epoch = epoch - 1")


def test_who_waits_when_the_daemon_stops_is_answered_at_once(site: Site) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(site.caller.ask, ServesCall(M1, "10.0.0.1"))
        while not site.taken():
            runtime.sleep(0.01)
        site.caller.end()
        with pytest.raises(ProvisioningUnavailable):
            asked.result()
    with pytest.raises(ProvisioningUnavailable, match="stops"):
        site.caller.ask(FindCall(MACS))


def test_a_bug_of_the_boot_service_is_an_event_and_an_outage_is_none(site: Site) -> None:
    with site.deciding():
        site.provisioning.failed("the request of 10.0.0.1 for work", StoreError("away"))
        site.provisioning.failed("the request of 10.0.0.1 for work", KeyError("uuid"))
    ((name, key, reason, message),) = site.decided.asked
    assert (name, key, reason) == ("refused", None, EventReason.BOOT_SERVICE_FAILED)
    assert "the request of 10.0.0.1 for work failed because of a bug in groundstate (KeyError" in message


def test_replies_that_nobody_fetched_go(site: Site) -> None:
    with site.store.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO relay_reply (asker, value, at) VALUES ('gone/1', '{}', now() - interval '2 minutes')"
        )
    site.store.relay.sweep(site.epoch)
    assert site.store.relay.replies("gone/1") == []
