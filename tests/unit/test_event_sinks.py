"""EventSink: what is sent, in which form, when, and what follows from an answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from drivers.base import Busy, DriverError, Rejected, SinkDelivery, SinkMessage, Unreachable
from reconciler.daemon.sinks.deliverer import DeclaredSinks, Deliverer
from reconciler.daemon.sinks.lane import Lane, LaneSettings
from reconciler.kinds.common.event_subject import with_subject
from reconciler.kinds.common.field_types.bmc_access import CredentialRef
from reconciler.kinds.common.field_types.label_selector import parse_selector
from reconciler.kinds.common.machine_facts import MachineFacts
from reconciler.kinds.sink.delivery import (
    BEHIND_AFTER,
    CAUGHT_UP,
    believed,
    cursor_after,
    document_mark,
    settle_age,
    settle_delivery,
    wait_before,
)
from reconciler.kinds.sink.event_selection import wants
from reconciler.kinds.sink.sink_check import check_sink
from reconciler.kinds.sink.spec import EventSinkSpec, NatsSpec, SendSpec, SinkPause, SinkTls, WebhookSpec
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.facts import LastDeclared, ResourceFacts
from reconciler.model.resource import DesiredState, Resource, ResourceKey, Revision, Source
from reconciler.model.sink_state import SinkState, SinkTrouble, replayed
from reconciler.store import Store
from reconciler.views.cloud_event import cloud_event, event_id, sink_message

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MACHINE = ResourceKey("Machine", "r1-01")
WEBHOOK = EventSinkSpec(webhook=WebhookSpec(url="https://hooks.example/gs", secret_ref=CredentialRef(name="ops")))


def event(
    message: str = "sent",
    reason: EventReason = EventReason.BOUND,
    key: ResourceKey | None = MACHINE,
    type_: EventType = EventType.NORMAL,
    at: datetime = NOW,
) -> Event:
    return Event(at, type_, reason, message, key, revision="abc1234")


class TestCloudEvent:
    @pytest.mark.parametrize("one", [event(), event(key=None), event('a "quote" and Zoë 電源')])
    def test_the_library_of_the_specification_reads_it(self, one: Event) -> None:
        body = sink_message("f1", 42, one).body
        read = JSONFormat().read(CloudEvent, body)
        assert read.get_id() == event_id("f1", 42, one)
        assert read.get_source() == "/groundstate/f1"
        assert read.get_type() == "io.groundstate.Bound"
        assert read.get_subject() == (str(one.key) if one.key else None)
        assert read.get_time() == NOW
        assert read.get_extension("sequence") == "00000000000000000042"
        assert read.get_extension("partitionkey") == (str(one.key) if one.key else "Fleet")
        assert read.get_extension("severity") == "Normal"
        assert read.get_data() == json.loads(msgspec.json.encode(one))

    def test_the_id_is_the_same_each_time_that_it_is_sent_and_its_repeats_change_nothing(self) -> None:
        """fluxcd/notification-controller#509: a comparison of messages fails, as they differ each time."""
        again = msgspec.structs.replace(event(), count=9, last=NOW + timedelta(hours=1), message="other words")
        assert event_id("f1", 42, event()) == event_id("f1", 42, again)

    @pytest.mark.parametrize(
        "other", [("f2", 42, NOW), ("f1", 43, NOW), ("f1", 42, NOW + timedelta(microseconds=1))], ids=str
    )
    def test_another_fleet_number_or_time_is_another_id(self, other: tuple[str, int, datetime]) -> None:
        """A store that is put back from a backup gives numbers anew, to other events."""
        assert event_id(other[0], other[1], event(at=other[2])) != event_id("f1", 42, event())

    def test_the_sequence_sorts_as_text_in_the_order_of_the_ledger(self) -> None:
        numbers = [1, 9, 10, 99, 100, 10**15]
        texts = [cloud_event("f1", number, event()).sequence for number in numbers]
        assert texts == sorted(texts)


class TestWhatIsSent:
    @pytest.mark.parametrize(
        ("send", "wanted"),
        [
            (SendSpec(), True),
            (SendSpec(types=("Normal",)), True),
            (SendSpec(types=("Warning",)), False),
            (SendSpec(reasons=(EventReason.BOUND, EventReason.CLAIMED)), True),
            (SendSpec(reasons=(EventReason.CLAIMED,)), False),
            (SendSpec(kinds=("Machine",)), True),
            (SendSpec(kinds=("Network",)), False),
            (SendSpec(selector="rack=r1"), True),
            (SendSpec(selector="rack!=r1"), False),
            (SendSpec(selector="groundstate/size=s1"), True),
            (SendSpec(project="shop"), True),
            (SendSpec(project="bank"), False),
            (SendSpec(types=("Normal",), kinds=("Machine",), selector="rack=r1", project="shop"), True),
            (SendSpec(types=("Normal",), kinds=("Machine",), selector="rack=r1", project="bank"), False),
        ],
    )
    def test_all_conditions_must_hold(self, send: SendSpec, wanted: bool) -> None:
        about = of(event(), project="shop", labels={"rack": "r1", "groundstate/size": "s1"})
        assert wants("ops", send, parse_selector(send.selector), about) is wanted

    @pytest.mark.parametrize("send", [SendSpec(selector="!x"), SendSpec(selector="rack!=r1"), SendSpec(project="shop")])
    def test_an_event_that_says_not_whose_it_was_is_not_sent_by_project_or_labels(self, send: SendSpec) -> None:
        """An older groundstate recorded it, or its resource was not declared any more."""
        assert not wants("ops", send, parse_selector(send.selector), event())

    @pytest.mark.parametrize("send", [SendSpec(kinds=("Machine",)), SendSpec(selector="!x"), SendSpec(project="shop")])
    def test_an_event_about_the_fleet_is_not_one_about_a_resource(self, send: SendSpec) -> None:
        assert not wants("ops", send, parse_selector(send.selector), event(key=None))

    @pytest.mark.parametrize("reason", [EventReason.SINK_FAILED, EventReason.SINK_RECOVERED, EventReason.SINK_BEHIND])
    def test_a_sink_never_gets_its_own_failure_and_the_others_do(self, reason: EventReason) -> None:
        own = event(reason=reason, key=ResourceKey("EventSink", "ops"))
        assert not wants("ops", SendSpec(), (), own)
        assert wants("web", SendSpec(), (), own)


def of(one: Event, project: str | None = None, labels: dict[str, str] | None = None) -> Event:
    """The event, recorded with this project and these labels."""
    return msgspec.structs.replace(one, project=project, labels=labels)


def declared(labels: dict[str, str], key: ResourceKey = MACHINE, **spec: object) -> DesiredState:
    """A state with one resource."""
    resource: Resource[object] = Resource(key, SimpleNamespace(**spec), labels, {}, Source("a.yaml", 1))
    return DesiredState(Revision("abc1234", "main", "fleet", None), {key: resource})


class TestWhoseAnEventIs:
    RACK = declared({"rack": "r1"}, project=None)
    SHOPS, BANKS = MachineFacts(project="shop"), MachineFacts(project="bank")
    OTHER = declared({}, ResourceKey("Machine", "other"))
    LAST = MachineFacts(last_declared=LastDeclared("shop", {"rack": "r1"}))

    @pytest.mark.parametrize(
        ("desired", "facts", "before", "project", "labels"),
        [
            pytest.param(RACK, SHOPS, None, "shop", {"rack": "r1"}, id="by what is remembered"),
            pytest.param(declared({}, project="shop"), None, None, "shop", {}, id="by the document"),
            pytest.param(declared({}, project="bank"), SHOPS, None, "shop", {}, id="it has not left shop yet"),
            pytest.param(RACK, SHOPS, MachineFacts(), "shop", {"rack": "r1"}, id="claimed just now"),
            pytest.param(RACK, MachineFacts(), SHOPS, "shop", {"rack": "r1"}, id="freed just now"),
            pytest.param(RACK, BANKS, SHOPS, "bank", {"rack": "r1"}, id="moved"),
            pytest.param(RACK, MachineFacts(), None, None, {"rack": "r1"}, id="nobody's"),
            pytest.param(
                RACK,
                MachineFacts(labels={"groundstate/size": "s1"}),
                None,
                None,
                {"rack": "r1", "groundstate/size": "s1"},
                id="labels of the inventory",
            ),
            pytest.param(OTHER, SHOPS, None, "shop", None, id="undeclared"),
            pytest.param(None, None, None, None, None, id="no revision is in force"),
            pytest.param(OTHER, LAST, None, "shop", {"rack": "r1"}, id="removed"),
            pytest.param(OTHER, None, LAST, "shop", {"rack": "r1"}, id="forgotten just now"),
            pytest.param(RACK, LAST, None, None, {"rack": "r1"}, id="declared again without a project"),
        ],
    )
    def test_it_is_recorded_with_the_project_and_the_labels_of_now(
        self,
        desired: DesiredState | None,
        facts: ResourceFacts | None,
        before: ResourceFacts | None,
        project: str | None,
        labels: dict[str, str] | None,
    ) -> None:
        found = with_subject(event(), desired, facts, before)
        assert (found.project, found.labels) == (project, labels)

    def test_a_project_is_its_own_and_the_fleet_is_nobodys(self) -> None:
        key = ResourceKey("Project", "shop")
        assert with_subject(event(key=key), declared({}, key), None).project == "shop"
        assert with_subject(event(key=None), self.RACK, None) == event(key=None)

    def test_what_is_recorded_is_not_changed_later(self) -> None:
        recorded = with_subject(event(), self.RACK, self.SHOPS)
        assert with_subject(recorded, declared({"rack": "r2"}), self.BANKS) == recorded

    def test_a_repeat_under_another_tenant_is_an_event_of_its_own(self, store: Store) -> None:
        """Else a former tenant's sink would get the words of the present one's event with a replay."""
        often = [event(f"{n}", EventReason.DRIFT_DETECTED, at=NOW + timedelta(minutes=n)) for n in range(12)]
        store.append([of(one, "shop", {}) for one in often[:6]] + [of(one, "bank", {}) for one in often[6:]])
        kept = [(one.event.project, one.event.message) for one in store.follow(0)]
        assert [project for project, _ in kept] == ["shop"] * 3 + ["bank"] * 3
        assert all(int(message) < 6 for project, message in kept if project == "shop")


def sink(spec: EventSinkSpec) -> Resource[EventSinkSpec]:
    return Resource(ResourceKey("EventSink", "ops"), spec, {}, {}, Source("a.yaml", 1))


def webhook(url: str = "https://hooks.example/gs", **more: object) -> EventSinkSpec:
    values = {"secret_ref": CredentialRef(name="ops"), **more}
    return EventSinkSpec(webhook=WebhookSpec(url=url, **values))  # type: ignore[arg-type]  # as each case says


def nats(url: str, **more: object) -> EventSinkSpec:
    return EventSinkSpec(nats=NatsSpec(url=url, stream="S", **more))  # type: ignore[arg-type]  # as above


class TestCheck:
    @pytest.mark.parametrize(
        "spec",
        [
            WEBHOOK,
            webhook("http://127.0.0.1:9000/x"),
            webhook("http://[::1]:9000/x"),
            webhook("http://localhost/x"),
            webhook("http://hooks.example/", tls=SinkTls(insecure=True)),
            nats("tls://nats.example:4222"),
            nats("nats://127.0.0.1"),
            nats("nats://nats.example", tls=SinkTls(insecure=True)),
        ],
    )
    def test_these_are_sound(self, spec: EventSinkSpec) -> None:
        assert check_sink(sink(spec)) == []

    @pytest.mark.parametrize(
        ("spec", "found"),
        [
            (EventSinkSpec(), [("sink-target", "spec")]),
            (
                EventSinkSpec(webhook=WEBHOOK.webhook, nats=NatsSpec(url="tls://n", stream="S")),
                [("sink-target", "spec")],
            ),
            (webhook("http://hooks.example/gs"), [("sink-url", "spec.webhook.url")]),
            (webhook("https://ada:secret@hooks.example/gs"), [("credentials-in-url", "spec.webhook.url")]),
            (webhook("https://hooks.example:99999/gs"), [("sink-url", "spec.webhook.url")]),
            (nats("nats://nats.example:4222"), [("sink-url", "spec.nats.url")]),
            (webhook(secret_ref=CredentialRef()), [("credential-ref", "spec.webhook.secretRef")]),
            (
                webhook(previous_secret_ref=CredentialRef(env="A", file="/b")),
                [("credential-ref", "spec.webhook.previousSecretRef")],
            ),
            (webhook(tls=SinkTls(ca_file="ca.pem", insecure=True)), [("tls-trust", "spec.webhook.tls")]),
            (
                msgspec.structs.replace(
                    webhook("http://hooks.example"),
                    send=SendSpec(selector="a b", reasons=(EventReason.UNKNOWN,)),
                ),
                [
                    ("sink-url", "spec.webhook.url"),
                    ("sink-reason", "spec.send.reasons.0"),
                    ("malformed-selector", "spec.send.selector"),
                ],
            ),
        ],
    )
    def test_all_that_is_wrong_is_found_at_once(self, spec: EventSinkSpec, found: list[tuple[str, str]]) -> None:
        assert [(one.code, one.path) for one in check_sink(sink(spec))] == found

    def test_a_password_in_the_url_is_not_repeated(self) -> None:
        found = check_sink(sink(webhook("https://ada:hunter2@hooks.example/gs")))
        assert "hunter2" not in "".join(f"{one.summary}{one.hint}" for one in found)


BEFORE = SinkState("ops", 10)
DOWN = Unreachable("https://hooks.example/gs: Connection refused")


class TestDecision:
    @pytest.mark.parametrize(
        ("seen", "wanted", "taken", "cursor"),
        [
            ([11, 12, 13], [11, 12, 13], 3, 13),
            ([11, 12, 13], [11, 12, 13], 0, 10),
            ([11, 12, 13], [11, 12, 13], 1, 11),
            ([11, 12, 15, 16], [12, 16], 1, 15),
            ([11, 12, 15, 16], [12, 16], 2, 16),
            ([11, 12, 15, 16], [12], 1, 16),
            ([11, 12], [], 0, 12),
        ],
    )
    def test_the_cursor_is_before_the_first_event_that_was_not_taken(
        self, seen: list[int], wanted: list[int], taken: int, cursor: int
    ) -> None:
        assert cursor_after(seen, wanted, taken) == cursor

    def test_a_success_is_no_news(self) -> None:
        after = settle_delivery(WEBHOOK, BEFORE, 12, SinkDelivery(2), NOW, 0)
        assert (after.state, after.events) == (SinkState("ops", 12), ())

    def failures(self, errors: Sequence[DriverError], every: timedelta) -> tuple[SinkState, list[Event]]:
        state, told = BEFORE, list[Event]()
        for number, error in enumerate(errors):
            after = settle_delivery(WEBHOOK, state, state.seq, SinkDelivery(0, error), NOW + number * every, 0)
            state = after.state
            told += after.events
        return state, told

    def test_a_failure_is_told_once_until_it_is_over(self) -> None:
        state, told = self.failures([DOWN, Busy("busy"), Rejected("no")], timedelta(minutes=1))
        assert [one.reason for one in told] == ["SinkFailed"]
        assert told[0].key == ResourceKey("EventSink", "ops")
        assert (state.seq, state.trouble.failures, state.trouble.since, state.trouble.error) == (10, 3, NOW, "no")
        after = settle_delivery(WEBHOOK, state, 12, SinkDelivery(2), NOW + timedelta(hours=1), 0)
        assert [one.reason for one in after.events] == ["SinkRecovered"]
        assert after.state == SinkState("ops", 12)

    def test_the_waits_double_from_five_seconds_to_an_hour(self) -> None:
        state, waits = BEFORE, []
        for _ in range(12):
            state = settle_delivery(WEBHOOK, state, 10, SinkDelivery(0, DOWN), NOW, 0).state
            waits.append(wait_before(WEBHOOK, state, NOW))
        assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]

    def test_chance_takes_up_to_a_quarter_off_and_retry_after_is_kept_to(self) -> None:
        short = settle_delivery(WEBHOOK, BEFORE, 10, SinkDelivery(0, DOWN), NOW, 0.99).state
        assert wait_before(WEBHOOK, short, NOW) == pytest.approx(5 * (1 - 0.99 / 4))
        asked = settle_delivery(WEBHOOK, BEFORE, 10, SinkDelivery(0, Busy("later", retry_after=120)), NOW, 0).state
        assert wait_before(WEBHOOK, asked, NOW) == 120
        endless = settle_delivery(WEBHOOK, BEFORE, 10, SinkDelivery(0, Busy("later", retry_after=1e9)), NOW, 0).state
        assert wait_before(WEBHOOK, endless, NOW) == 3600

    def test_what_was_taken_before_a_failure_begins_a_new_count_and_no_new_story(self) -> None:
        state, _ = self.failures([DOWN] * 3, timedelta(minutes=1))
        after = settle_delivery(WEBHOOK, state, 11, SinkDelivery(1, DOWN), NOW + timedelta(hours=5), 0)
        assert after.events == ()
        assert (after.state.seq, after.state.trouble.failures) == (11, 1)
        assert after.state.trouble.since == NOW + timedelta(hours=5)

    def flapping(self, minutes: int) -> list[Event]:
        """Down in each odd minute and up in each even one."""
        state, told = BEFORE, list[Event]()
        for minute in range(minutes):
            delivery = SinkDelivery(0, DOWN) if minute % 2 else SinkDelivery(1)
            after = settle_delivery(WEBHOOK, state, state.seq, delivery, NOW + timedelta(minutes=minute), 0)
            state = after.state
            told += after.events
        return told

    def test_a_receiver_that_comes_and_goes_is_told_of_once_an_hour(self) -> None:
        told = self.flapping(181)
        assert [(one.reason, (one.at - NOW).total_seconds() / 60) for one in told] == [
            (reason, minute + later)
            for minute in (1, 61, 121)
            for reason, later in (("SinkFailed", 0), ("SinkRecovered", 1))
        ]
        assert "failed 29 more times" in told[2].message

    def test_a_failure_that_was_not_told_is_told_when_it_lasts(self) -> None:
        state = BEFORE
        for minute, delivery in enumerate([SinkDelivery(0, DOWN), SinkDelivery(1), SinkDelivery(0, DOWN)]):
            state = settle_delivery(WEBHOOK, state, 10, delivery, NOW + timedelta(minutes=minute), 0).state
        later = settle_delivery(WEBHOOK, state, 10, SinkDelivery(0, DOWN), NOW + timedelta(minutes=61), 0)
        assert [one.reason for one in later.events] == ["SinkFailed"]
        back = settle_delivery(WEBHOOK, later.state, 11, SinkDelivery(1), NOW + timedelta(minutes=62), 0)
        assert [one.reason for one in back.events] == ["SinkRecovered"]

    @pytest.mark.parametrize(
        ("spec", "trouble", "why"),
        [
            (msgspec.structs.replace(WEBHOOK, suspend=SinkPause(reason="moving")), SinkTrouble(), "suspended"),
            (WEBHOOK, SinkTrouble(1, NOW, error="410", ended=document_mark(WEBHOOK)), "wants no more events"),
            (WEBHOOK, SinkTrouble(1, NOW, error="no answer"), "no answer"),
            (WEBHOOK, SinkTrouble(), "more slowly"),
        ],
    )
    def test_a_sink_that_an_event_waits_for_72_hours_is_told_of_once_whatever_the_reason(
        self, spec: EventSinkSpec, trouble: SinkTrouble, why: str
    ) -> None:
        state, told = SinkState("ops", 10, trouble), list[Event]()
        for hour in range(300):
            after = settle_age(spec, state, NOW, NOW + timedelta(hours=hour))
            state, told = (after.state, [*told, *after.events]) if after is not None else (state, told)
        assert [(one.reason, one.at - NOW) for one in told] == [("SinkBehind", BEHIND_AFTER)]
        assert why in told[0].message

    @pytest.mark.parametrize("waits", [None, timedelta(minutes=59)])
    def test_a_sink_that_was_behind_is_told_of_again_when_it_has_caught_up(self, waits: timedelta | None) -> None:
        behind = SinkState("ops", 10, SinkTrouble(behind_at=NOW - timedelta(hours=9)))
        assert settle_age(WEBHOOK, behind, NOW - CAUGHT_UP, NOW) is None
        after = settle_age(WEBHOOK, behind, None if waits is None else NOW - waits, NOW)
        assert after is not None
        assert [one.reason for one in after.events] == ["SinkRecovered"]
        assert settle_age(WEBHOOK, after.state, NOW - BEHIND_AFTER, NOW) is not None

    def test_old_events_that_are_replayed_wait_since_the_replay(self) -> None:
        state = replayed(BEFORE, 1, NOW)
        year = NOW - timedelta(days=365)
        assert settle_age(WEBHOOK, state, year, NOW + timedelta(hours=71)) is None
        assert settle_age(WEBHOOK, state, year, NOW + BEHIND_AFTER) is not None

    @pytest.mark.parametrize("taken", [-1, 4])
    def test_an_answer_that_cannot_be_true_skips_no_event(self, taken: int) -> None:
        found = believed(SinkDelivery(taken), 3)
        assert found.taken == 0
        assert "report this bug" in str(found.error)
        assert believed(SinkDelivery(3), 3) == SinkDelivery(3)

    def test_a_receiver_that_wants_no_more_waits_for_another_document(self) -> None:
        gone = SinkDelivery(0, Rejected("410"), ended=True)
        after = settle_delivery(WEBHOOK, BEFORE, 10, gone, NOW, 0)
        assert [one.reason for one in after.events] == ["SinkFailed"]
        assert wait_before(WEBHOOK, after.state, NOW + timedelta(days=9)) is None
        assert wait_before(webhook("https://other.example/"), after.state, NOW + timedelta(days=9)) == 0

    def test_a_suspended_sink_is_sent_nothing_and_suspending_is_no_other_document(self) -> None:
        suspended = msgspec.structs.replace(WEBHOOK, suspend=SinkPause(reason="moving"))
        assert wait_before(suspended, BEFORE, NOW) is None
        assert document_mark(suspended) == document_mark(WEBHOOK)


class FakeSink:
    """Takes what comes, but for the numbers of messages at which it fails, each once."""

    def __init__(self, batch: int, fails: Sequence[str] = ()) -> None:
        self.batch, self.got, self._fails, self.closed = batch, list[str](), list(fails), 0

    def send(self, messages: Sequence[SinkMessage], now: datetime) -> SinkDelivery:
        for taken, one in enumerate(messages):
            text = json.loads(one.body)["data"]["message"]
            if text in self._fails:
                self._fails.remove(text)
                return SinkDelivery(taken, DOWN)
            self.got.append(text)
        return SinkDelivery(len(messages))

    def close(self) -> None:
        self.closed += 1


class Lanes:
    """A lane over a store, with a clock of its own."""

    def __init__(self, store: Store, sink: FakeSink, spec: EventSinkSpec = WEBHOOK) -> None:
        self.store, self.now, self.counted = store, NOW, list[tuple[str, str, int]]()
        self.reported: list[Event] = []
        store.sinks.begin("ops", 0)
        self.settings = LaneSettings(
            store,
            lambda _name, _spec: sink,
            lambda event: event,
            self.reported.append,
            lambda *counted: self.counted.append(counted),
            lambda: self.now,
            lambda: 0.0,
        )
        self.lane = Lane("ops", spec, self.settings)

    def until_idle(self) -> None:
        """Steps, the clock going on by what each asks to wait; at most a hundred."""
        for _ in range(100):
            wait = self.lane.step()
            self.now += timedelta(seconds=wait)
            state = self.store.sinks.get("ops")
            if state is not None and state.seq == self.store.last_event():
                return
        raise AssertionError("it does not come to an end")


def told(store: Store, count: int) -> list[str]:
    texts = [f"e{number}" for number in range(count)]
    store.append([event(text, at=NOW + timedelta(seconds=number)) for number, text in enumerate(texts)])
    return texts


class TestLane:
    @pytest.mark.parametrize("batch", [1, 7, 500])
    def test_all_is_sent_once_and_in_order(self, store: Store, batch: int) -> None:
        texts, sink = told(store, 23), FakeSink(batch)
        Lanes(store, sink).until_idle()
        assert sink.got == texts

    @pytest.mark.parametrize("batch", [1, 7, 500])
    @pytest.mark.parametrize("fails", [["e0"], ["e5"], ["e6", "e6", "e7"], ["e22"]])
    def test_after_a_failure_it_goes_on_with_what_was_not_taken(
        self, store: Store, batch: int, fails: list[str]
    ) -> None:
        texts, sink = told(store, 23), FakeSink(batch, fails)
        lanes = Lanes(store, sink)
        lanes.until_idle()
        assert sink.got == texts
        reasons = [one.event.reason for one in store.follow(0) if one.event.key != MACHINE]
        assert set(reasons) == {EventReason.SINK_FAILED, EventReason.SINK_RECOVERED}
        assert [one.reason for one in lanes.reported] == reasons

    def test_what_is_not_wanted_moves_the_cursor_and_ends_no_failure(self, store: Store) -> None:
        told(store, 5)
        spec = msgspec.structs.replace(WEBHOOK, send=SendSpec(types=("Warning",)))
        lanes, trouble = Lanes(store, FakeSink(1), spec), SinkTrouble(failures=2, since=NOW, error="down")
        store.sinks.advance(SinkState("ops", 0), SinkState("ops", 0, trouble))
        lanes.until_idle()
        assert store.sinks.get("ops") == SinkState("ops", store.last_event(), trouble)

    def test_a_cursor_that_is_set_back_meanwhile_is_heeded(self, store: Store) -> None:
        texts, sink = told(store, 4), FakeSink(1)
        lanes = Lanes(store, sink)
        lanes.until_idle()
        store.sinks.rewind("ops", store.follow(0)[1].seq, event("replayed"))
        lanes.until_idle()
        assert sink.got == [*texts, *texts[2:], "replayed"]

    @pytest.mark.parametrize("error", [ZeroDivisionError(), SystemExit(0)])
    def test_a_defect_of_a_driver_stops_this_sink_alone(self, store: Store, error: BaseException) -> None:
        """`sys.exit` in a driver is its defect too: threading would end the lane without a word."""
        told(store, 1)
        sink = FakeSink(1)

        def broken(*_: object) -> SinkDelivery:
            raise error

        sink.send = broken  # type: ignore[assignment, method-assign]
        lanes = Lanes(store, sink)
        lanes.lane.step()
        state = store.sinks.get("ops")
        assert state is not None
        assert type(error).__name__ in state.trouble.error

    def test_a_removed_sink_is_left_alone(self, store: Store) -> None:
        told(store, 3)
        lanes, sink = Lanes(store, FakeSink(1)), FakeSink(1)
        store.sinks.arrange({}, "r1", NOW)
        assert lanes.lane.step() > 0
        assert sink.got == []

    @pytest.mark.parametrize("taken", [2, -1])
    def test_a_driver_that_counts_wrong_skips_no_event(self, store: Store, taken: int) -> None:
        texts, sink = told(store, 1), FakeSink(1)
        right, sink.send = sink.send, lambda *_: SinkDelivery(taken)  # type: ignore[method-assign]
        lanes = Lanes(store, sink)
        lanes.lane.step()
        assert [one.reason for one in lanes.reported] == ["SinkFailed"]
        sink.send = right  # type: ignore[method-assign]
        lanes.now += timedelta(seconds=5)
        lanes.lane.step()
        assert sink.got == texts

    def test_a_suspended_sink_that_events_wait_for_is_told_of(self, store: Store) -> None:
        told(store, 3)
        suspended = msgspec.structs.replace(WEBHOOK, suspend=SinkPause(reason="moving"))
        lanes = Lanes(store, FakeSink(1), suspended)
        lanes.now = NOW + BEHIND_AFTER
        lanes.lane.step()
        lanes.lane.step()
        assert [one.reason for one in lanes.reported] == ["SinkBehind"]

    def test_a_slow_sink_is_told_of_within_a_page(self, store: Store) -> None:
        """A page is a thousand events, and one answer may take 20 s."""
        texts, sink = told(store, 9), FakeSink(1)
        lanes = Lanes(store, sink)
        right = sink.send

        def slow(messages: Sequence[SinkMessage], now: datetime) -> SinkDelivery:
            lanes.now += timedelta(hours=20)
            return right(messages, now)

        sink.send = slow  # type: ignore[method-assign]
        lanes.lane.step()
        assert sink.got == texts
        behind = next(one for one in lanes.reported if one.reason == EventReason.SINK_BEHIND)
        assert behind.at - NOW == timedelta(hours=80)


def until(is_so: Callable[[], bool]) -> None:
    """Wait for other threads."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestManySinks:
    """Threads of their own, over one store."""

    BROKEN = msgspec.structs.replace(WEBHOOK, send=SendSpec(selector="a b"))
    """No document has such a selector, as it is refused: it stands for whatever defect meets one sink."""

    def settings(self, store: Store, sinks: Mapping[str, FakeSink], reported: list[Event]) -> LaneSettings:
        return LaneSettings(
            store,
            lambda name, _spec: sinks[name],
            lambda event: event,
            reported.append,
            lambda *_: None,
            lambda: NOW,
            lambda: 0.0,
        )

    def test_a_defect_that_meets_one_sink_is_told_and_delays_no_other(self, store: Store) -> None:
        texts, sinks, reported = told(store, 3), {"ops": FakeSink(1), "web": FakeSink(1)}, list[Event]()
        deliverer = Deliverer(self.settings(store, sinks, reported), lambda: None, lambda _: None)
        for name in sinks:
            store.sinks.begin(name, 0)
        deliverer.arrange(DeclaredSinks("r1", {"ops": self.BROKEN, "web": WEBHOOK}))
        until(lambda: len(sinks["web"].got) >= len(texts) and bool(reported))
        deliverer.leave()
        assert sinks["ops"].got == []
        assert [(one.reason, one.key) for one in reported] == [("SinkFailed", ResourceKey("EventSink", "ops"))]
        assert sinks["web"].got[:3] == texts
        state = store.sinks.get("ops")
        assert state is not None
        assert (state.seq, state.trouble.failures) == (0, 1)

    def test_a_driver_that_cannot_close_is_told_of_and_ends_nothing(self, store: Store) -> None:
        texts, reported, sink = told(store, 1), list[Event](), FakeSink(1)

        def broken() -> None:
            raise ZeroDivisionError

        sink.close = broken  # type: ignore[method-assign]
        deliverer = Deliverer(self.settings(store, {"ops": sink}, reported), lambda: None, lambda _: None)
        store.sinks.begin("ops", 0)
        deliverer.arrange(DeclaredSinks("r1", {"ops": WEBHOOK}))
        until(lambda: sink.got == texts)
        deliverer.leave()
        assert [one.reason for one in reported] == ["SinkFailed"]
        assert "could not be closed" in reported[0].message

    def test_a_removed_sink_is_reported_and_a_renamed_one_goes_on_where_it_was(self, store: Store) -> None:
        texts, reported = told(store, 3), list[Event]()
        sinks = {"pager": FakeSink(1)}
        for name in ("ops", "web"):
            store.sinks.begin(name, store.follow(0)[0].seq)
        deliverer = Deliverer(self.settings(store, sinks, reported), lambda: None, lambda _: None)
        renamed = msgspec.structs.replace(WEBHOOK, renamed_from="ops")
        deliverer.arrange(DeclaredSinks("r1", {"pager": renamed}))
        until(lambda: len(sinks["pager"].got) >= 4)
        deliverer.leave()
        assert [one.reason for one in reported] == ["Renamed", "SinkRemoved"]
        assert sinks["pager"].got == [*texts[1:], *(one.message for one in reported)]
