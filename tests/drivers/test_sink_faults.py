"""What receivers of events do wrong, and what the drivers make of it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from standardwebhooks import Webhook

from drivers.base import Credential, ErrorReason, SinkDelivery, SinkEndpoint, Tls
from drivers.sink.nats import NatsSink, open_nats
from drivers.sink.webhook import MOST_ANSWER, WebhookSink, open_webhook, signatures
from drivers.testing.sink_conformance import NOW, message
from tests.drivers.event_receivers import PASSWORD, SECRET, NatsServer, Receiver, Request, nats_server

OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    started = Receiver()
    yield started
    started.stop()


def hook(receiver: Receiver, timeout: float = 10, secrets: tuple[str, ...] = (SECRET,)) -> WebhookSink:
    return open_webhook(SinkEndpoint(receiver.url, secrets=lambda: secrets, timeout=timeout))


def whsec(size: int) -> str:
    return "whsec_" + base64.b64encode(b"k" * size).decode()


def why(delivery: SinkDelivery) -> str:
    assert delivery.error is not None
    return str(delivery.error)


class TestWebhook:
    @pytest.mark.parametrize("secret", [SECRET, OTHER])
    def test_while_secrets_change_either_one_verifies(self, receiver: Receiver, secret: str) -> None:
        now = time.time()
        sink = hook(receiver, secrets=(SECRET, OTHER))
        assert sink.send([message(1)], NOW.fromtimestamp(now, NOW.tzinfo)) == SinkDelivery(1)
        sink.close()
        request = receiver.requests[0]
        assert Webhook(secret).verify(request.body, request.headers) == {"number": 1}

    def test_a_secret_without_the_prefix_signs_with_its_own_bytes(self) -> None:
        """As Forgejo, Stripe and others have it."""
        prefixed = "whsec_" + base64.b64encode(b"plain" * 5).decode()
        assert signatures(["plain" * 5], "m", 1, b"{}") == signatures([prefixed], "m", 1, b"{}")

    @pytest.mark.parametrize("secret", ["", "whsec_", *(whsec(size) for size in (1, 23, 65)), "whsec_!"])
    def test_a_key_that_is_none_signs_nothing(self, receiver: Receiver, secret: str) -> None:
        """Standard Webhooks: 24 to 64 bytes."""
        delivery = hook(receiver, secrets=(secret,)).send([message(1)], NOW)
        assert (delivery.taken, delivery.error and delivery.error.reason) == (0, ErrorReason.AUTHENTICATION_FAILED)
        assert receiver.requests == []

    @pytest.mark.parametrize("size", [24, 64])
    def test_keys_of_24_to_64_bytes_sign(self, receiver: Receiver, size: int) -> None:
        sink = hook(receiver, secrets=(whsec(size),))
        assert sink.send([message(1)], NOW) == SinkDelivery(1)
        sink.close()

    @pytest.mark.parametrize(
        ("status", "headers", "reason", "ended"),
        [
            (302, {"Location": "http://127.0.0.1:1/"}, ErrorReason.REJECTED, False),
            (400, {}, ErrorReason.REJECTED, False),
            (401, {}, ErrorReason.AUTHENTICATION_FAILED, False),
            (404, {}, ErrorReason.REJECTED, False),
            (410, {}, ErrorReason.REJECTED, True),
            (429, {"Retry-After": "30"}, ErrorReason.BUSY, False),
            (500, {}, ErrorReason.UNREACHABLE, False),
            (503, {}, ErrorReason.BUSY, False),
        ],
    )
    def test_only_2xx_takes_an_event(
        self, receiver: Receiver, status: int, headers: dict[str, str], reason: ErrorReason, ended: bool
    ) -> None:
        receiver.answer = lambda _: (status, headers, b"no, because")
        delivery = hook(receiver).send([message(1)], NOW)
        assert (delivery.taken, delivery.error and delivery.error.reason, delivery.ended) == (0, reason, ended)
        assert f"answered {status}" in why(delivery)
        assert len(receiver.requests) == 1

    def test_an_answer_without_an_end_costs_its_beginning_alone(self, receiver: Receiver) -> None:
        receiver.answer = lambda _: (200, {}, b"x" * (50 * MOST_ANSWER))
        sink = hook(receiver)
        assert [sink.send([message(one)], NOW) for one in (1, 2)] == [SinkDelivery(1), SinkDelivery(1)]

    def test_a_receiver_that_is_slow_is_given_up(self, receiver: Receiver) -> None:
        def late(_: Request) -> tuple[int, dict[str, str], bytes]:
            time.sleep(1.5)
            return 204, {}, b""

        receiver.answer = late
        assert "no whole answer within 0.3 s" in why(hook(receiver, timeout=0.3).send([message(1)], NOW))

    def test_a_receiver_that_hangs_up_has_taken_nothing(self, receiver: Receiver) -> None:
        receiver.answer = lambda _: (0, {}, b"")
        delivery = hook(receiver).send([message(1)], NOW)
        assert (delivery.taken, delivery.error and delivery.error.reason) == (0, ErrorReason.UNREACHABLE)

    def test_a_certificate_is_checked_by_the_ca_file(self, tmp_path: Path) -> None:
        authority, secure = trustme.CA(), None
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        secure = Receiver(authority=authority)
        tls = {"known": Tls(ca_file=str(tmp_path / "ca.pem")), "any": Tls(insecure=True), "system": Tls()}
        found: dict[str, SinkDelivery] = {}
        for name, one in tls.items():
            sink = open_webhook(SinkEndpoint(secure.url, one, secrets=lambda: [SECRET], timeout=10))
            found[name] = sink.send([message(1)], NOW)
            sink.close()
        secure.stop()
        assert (found["known"].taken, found["any"].taken, found["system"].taken) == (1, 1, 0)
        assert "set tls.caFile" in why(found["system"])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "nats") as started:
        yield started


def bus(server: NatsServer, user: str = "gs", password: str = PASSWORD, stream: str = "GROUNDSTATE") -> NatsSink:
    login = Credential(user, password)
    return open_nats(SinkEndpoint(server.url, stream=stream, credential=lambda _: login, timeout=5))


def kept(server: NatsServer) -> list[int]:
    return [int(body.split(b":")[1].strip(b" }")) for _, body in server.messages()]


class TestNats:
    def test_what_is_sent_again_is_left_out_by_the_server_and_the_rest_follows(self, server: NatsServer) -> None:
        sink = bus(server)
        assert sink.send([message(one) for one in range(5)], NOW) == SinkDelivery(5)
        assert sink.send([message(one) for one in range(3, 9)], NOW) == SinkDelivery(6)
        sink.close()
        assert kept(server) == list(range(9))

    def test_behind_a_message_that_was_refused_none_is_stored(self, server: NatsServer) -> None:
        """Else the stream has it behind its successor for good, because the repeat of the successor is left out."""
        sink = bus(server, "narrow")
        sent = [message(0), message(1), message(2)]
        forbidden = type(sent[1])("fleet/x", sent[1].body, ("Network", "n", "Bound"))
        delivery = sink.send([sent[0], forbidden, sent[2]], NOW)
        sink.close()
        assert delivery.taken == 1
        assert "Permissions Violation" in why(delivery) or "permissions violation" in why(delivery)
        assert kept(server) == [0]

    def test_another_writer_of_the_stream_makes_batches_shorter_and_loses_nothing(self, server: NatsServer) -> None:
        sink = bus(server)
        sink.send([message(0)], NOW)

        async def write(stream: Any) -> None:
            await stream.publish("gs.other", b'{"number": 100}')

        server.asked(write)
        assert sink.send([message(1), message(2)], NOW) == SinkDelivery(2)
        sink.close()
        assert kept(server) == [0, 100, 1, 2]

    @pytest.mark.parametrize(
        ("user", "password", "stream", "said"),
        [
            ("gs", "wrong", "GROUNDSTATE", "check the user and password"),
            ("gs", PASSWORD, "OTHER", "expected stream does not match"),
        ],
    )
    def test_the_reason_of_the_server_is_in_the_error(
        self, server: NatsServer, user: str, password: str, stream: str, said: str
    ) -> None:
        """nats-io/nats.py#533: a time-out in the place of the reason."""
        sink = bus(server, user, password, stream)
        delivery = sink.send([message(0)], NOW)
        sink.close()
        assert delivery.taken == 0
        assert said in why(delivery)
