"""What servers of NATS do wrong, and what the driver makes of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Credential, ErrorReason, Peer, SecretUnavailable, SinkDelivery, SinkEndpoint, Tls
from drivers.base import SinkMessage as Message
from drivers.sink.nats import NatsSink, open_nats
from drivers.testing.sink_conformance import NOW, message
from tests.drivers.event_receivers import PASSWORD, NatsServer, nats_server
from tests.drivers.odd_nats import OddLine, acknowledged, greeting, odd_nats, usual

LOGIN = Credential("gs", PASSWORD)


def bus(url: str, timeout: float = 10, stream: str = "GROUNDSTATE", insecure: bool = False) -> NatsSink:
    tls = Tls(insecure=insecure)
    return open_nats(SinkEndpoint(url, tls, stream=stream, credential=lambda _: LOGIN, timeout=timeout))


def sent(sink: NatsSink, *messages: Message) -> SinkDelivery:
    """What is sent, in a thread, so that a sink that hangs fails the test."""
    found: list[SinkDelivery] = []

    def send() -> None:
        found.append(sink.send(messages, NOW))
        sink.close()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    thread.join(60)
    assert found, "the sink hangs"
    return found[0]


def why(delivery: SinkDelivery) -> tuple[ErrorReason, str]:
    assert delivery.error is not None
    return delivery.error.reason, str(delivery.error)


def large(number: int, size: int, short: bool = True) -> Message:
    body = b'{"number": %d, "message": "%s"}' % (number, b"x" * size)
    return Message(f"fleet/{number}", body, ("Machine", "m", "Bound"), b'{"number": %d}' % number if short else None)


class TestTime:
    @pytest.mark.parametrize("size", [0, 64 * 1024])
    def test_a_server_that_stops_reading_is_given_up(self, size: int) -> None:
        """A full buffer of nats-py is flushed without a time limit."""

        def deaf(line: OddLine) -> None:
            line.send(greeting())
            while b"PING" not in line.next():
                pass
            line.send(b"PONG\r\n")
            threading.Event().wait(90)

        with odd_nats(deaf) as server:
            sink = bus(f"nats://127.0.0.1:{server.port}", timeout=0.5)
            delivery = sent(sink, *[large(one, size, short=False) for one in range(500)])
        assert delivery.taken == 0
        assert why(delivery) == (
            ErrorReason.UNREACHABLE,
            f"nats://127.0.0.1:{server.port}: no acknowledgement within 0.5 s",
        )

    @pytest.mark.parametrize("said", [b"", greeting()[:40], greeting()], ids=["nothing", "a part", "no PONG"])
    def test_a_server_that_does_not_finish_its_greeting_is_given_up(self, said: bytes) -> None:
        def slow(line: OddLine) -> None:
            line.send(said)
            threading.Event().wait(90)

        with odd_nats(slow) as server:
            delivery = sent(bus(f"nats://127.0.0.1:{server.port}", timeout=1), message(0))
        assert why(delivery)[0] == ErrorReason.UNREACHABLE

    def test_a_server_that_ends_the_connection_is_not_awaited(self) -> None:
        with odd_nats(usual(lambda line, _: line.close())) as server:
            delivery = sent(bus(f"nats://127.0.0.1:{server.port}", timeout=50), message(0))
        assert why(delivery)[0] == ErrorReason.UNREACHABLE


def replied(text: bytes) -> Callable[[OddLine, bytes], None]:
    """Answers a message with this line of the protocol; `$R` is the reply subject."""
    return lambda line, reply: line.send(text.replace(b"$R", reply))


ODD_ANSWERS = [
    b"MSG $R 1 99999999999\r\n{}",
    b"MSG $R 1 " + b"9" * 5000 + b"\r\n{}",
    b"MSG $R 1 -5\r\n{}\r\n",
    b"MSG $R 77 2\r\n{}\r\n",
    b"MSG x 1 2\r\n{}\r\n",
    b"HMSG $R 1 10 2\r\nNATS/1.0\r\n\r\n",
    b"HMSG $R 1 99 4\r\nabcd\r\n",
    b"\x00\xff garbage\r\n",
    b"x" * 100_000,
    b"-ERR 'Stale Connection'\r\n",
    b"-ERR '\xff\xfe'\r\n",
    b"-ERR '" + b"x" * 3000 + b"'\r\n",
    b"INFO {bad\r\n",
    b"INFO []\r\n",
    b'INFO {"ldm":true}\r\n',
    *(
        b"MSG $R 1 %d\r\n%s\r\n" % (len(body), body)
        for body in (
            b"5",
            b"null",
            b'"error"',
            b'{"error":null}',
            b'{"error":"x"}',
            b'{"error":{}}',
            b'{"error":{"code":"x","err_code":"y","description":5}}',
            b'{"error":{"code":503,"err_code":10076,"description":"JetStream not enabled"}}',
            b'{"stream":"GROUNDSTATE"}',
            b"[" * 100_000,
        )
    ),
]
ODD_GREETINGS = [
    b"HTTP/1.1 400 Bad\r\n\r\n",
    b"INFO \r\n",
    b"INFO []\r\n",
    b"INFO null\r\n",
    b"INFO \xff\r\n",
    b"x" * 500_000,
    b"-ERR 'Maximum Connections'\r\n",
    greeting(max_payload=0),
    greeting(max_payload="x"),
    greeting(max_payload=None),
    greeting(max_payload=10),
    greeting(tls_required=True),
]


class TestOddServers:
    @pytest.mark.parametrize("answer", ODD_ANSWERS, ids=lambda text: repr(text[:40]))
    def test_an_odd_answer_takes_nothing_and_is_an_error_in_words(self, answer: bytes) -> None:
        with odd_nats(usual(replied(answer))) as server:
            delivery = sent(bus(f"nats://127.0.0.1:{server.port}", timeout=1), message(0), message(1))
        self.is_in_words(delivery)

    @pytest.mark.parametrize("hello", ODD_GREETINGS, ids=lambda text: repr(text[:60]))
    def test_so_does_an_odd_greeting(self, hello: bytes) -> None:
        with odd_nats(usual(hello=hello)) as server:
            delivery = sent(bus(f"nats://127.0.0.1:{server.port}", timeout=1), message(0))
        self.is_in_words(delivery)

    @pytest.mark.parametrize("pong", [b"", b"-ERR\r\n", b"+OK\r\n", b"PING\r\n", b"xx\r\n", b"x" * 100_000])
    def test_so_does_an_odd_answer_to_the_login(self, pong: bytes) -> None:
        with odd_nats(usual(pong=pong)) as server:
            delivery = sent(bus(f"nats://127.0.0.1:{server.port}", timeout=1), message(0))
        self.is_in_words(delivery)

    def is_in_words(self, delivery: SinkDelivery) -> None:
        assert delivery.taken == 0
        reason, said = why(delivery)
        assert reason in (ErrorReason.UNREACHABLE, ErrorReason.REJECTED)
        assert said.partition(": ")[2].strip()
        assert len(said) < 800


class TestTrust:
    @pytest.mark.parametrize("insecure", [False, True])
    def test_a_server_that_does_not_ask_for_tls_gets_nothing_where_the_document_does(self, insecure: bool) -> None:
        """nats-py leaves it to the server, and would send the login in clear text."""
        with odd_nats(usual()) as server:
            delivery = sent(bus(f"tls://127.0.0.1:{server.port}", insecure=insecure), message(0))
            heard = server.heard()
        assert why(delivery)[0] == ErrorReason.UNREACHABLE
        assert "let the server require TLS" in why(delivery)[1]
        assert heard == b""

    @pytest.mark.parametrize(
        "answer",
        [b'{"stream":"OTHER","seq":1}', b'{"stream":null,"seq":1}', b"{}", b"[]", b"", b"+ACK", b"\xff", b"[" * 50000],
        ids=str,
    )
    def test_only_an_acknowledgement_of_the_stream_takes_a_message(self, answer: bytes) -> None:
        with odd_nats(usual(acknowledged(answer))) as server:
            delivery = sent(bus(f"nats://127.0.0.1:{server.port}", timeout=5), message(0))
        assert delivery.taken == 0
        assert why(delivery)[0] in (ErrorReason.REJECTED, ErrorReason.UNREACHABLE)

    def test_answers_have_one_subscription_for_all_deliveries(self) -> None:
        with odd_nats(usual()) as server:
            sink = bus(f"nats://127.0.0.1:{server.port}")
            assert [sink.send([message(one)], NOW) for one in range(5)] == [SinkDelivery(1)] * 5
            sink.close()
            assert server.heard().count(b"SUB _INBOX.") == 1


class TestAddresses:
    @pytest.fixture
    def several(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = [(2, 1, 6, "", (f"127.0.0.{one}", 0)) for one in (9, 8, 1)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    @pytest.mark.usefixtures("several")
    def test_all_of_a_name_are_tried(self) -> None:
        with odd_nats(usual()) as server:
            assert sent(bus(f"nats://nats.example:{server.port}"), message(0)) == SinkDelivery(1)

    @pytest.mark.usefixtures("several")
    def test_one_that_the_settings_do_not_allow_is_left_out(self) -> None:
        asked: list[str | None] = []

        def login(peer: Peer) -> Credential:
            asked.append(peer.address)
            if peer.address != "127.0.0.1":
                raise SecretUnavailable("not there")
            return LOGIN

        with odd_nats(usual()) as server:
            endpoint = SinkEndpoint(f"nats://nats.example:{server.port}", stream="GROUNDSTATE", credential=login)
            assert sent(open_nats(endpoint), message(0)) == SinkDelivery(1)
        assert asked == ["127.0.0.9", "127.0.0.8", "127.0.0.1"]

    @pytest.mark.usefixtures("several")
    def test_if_all_fail_the_first_error_is_shown(self) -> None:
        def login(peer: Peer) -> Credential:
            raise SecretUnavailable(f"not at {peer.address}")

        endpoint = SinkEndpoint("nats://nats.example:4222", stream="GROUNDSTATE", credential=login)
        assert why(sent(open_nats(endpoint), message(0))) == (ErrorReason.SECRET_UNAVAILABLE, "not at 127.0.0.9")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path / "nats", more="max_payload: 8192") as started:
        yield started


class TestReasons:
    def test_no_stream_and_another_stream_are_refusals(self, server: NatsServer) -> None:
        other = why(sent(bus(server.url, stream="OTHER"), message(0)))
        server.asked(lambda stream: stream.delete_stream("GROUNDSTATE"))
        none = why(sent(bus(server.url), message(0)))
        assert (other[0], none[0]) == (ErrorReason.REJECTED, ErrorReason.REJECTED)
        assert "correct spec.nats.stream" in other[1]
        assert "create the stream GROUNDSTATE" in none[1]

    def test_what_the_server_says_last_is_not_lost(self) -> None:
        def refused(line: OddLine, _: bytes) -> None:
            line.send(b"-ERR 'Maximum Connections Exceeded'\r\n")

        with odd_nats(usual(refused)) as odd:
            delivery = sent(bus(f"nats://127.0.0.1:{odd.port}", timeout=50), message(0))
        assert "maximum connections exceeded" in why(delivery)[1]


class TestSize:
    """A message that is too large must not stop the sink for ever."""

    def test_a_message_beyond_max_payload_is_sent_in_its_short_form(self, server: NatsServer) -> None:
        sink = bus(server.url)
        assert sent(sink, message(0), large(1, 9000), message(2), large(3, 7300), message(4)) == SinkDelivery(5)
        assert [len(body) < 100 for _, body in server.messages()] == [True] * 5

    def test_so_is_one_beyond_max_msg_size_of_the_stream(self, server: NatsServer) -> None:
        async def smaller(stream: Any) -> None:
            await stream.update_stream(name="GROUNDSTATE", subjects=["gs.>"], duplicate_window=600, max_msg_size=1000)

        server.asked(smaller)
        sink = bus(server.url)
        messages = [message(0), large(1, 2000), large(2, 2000), message(3)]
        taken = 0
        while taken < len(messages):
            delivery = sink.send(messages[taken:], NOW)
            assert delivery.error is None
            taken += delivery.taken
        sink.close()
        assert [body[:12] for _, body in server.messages()] == [b'{"number": %d' % one for one in range(4)]

    def test_without_a_short_form_the_error_names_the_event(self, server: NatsServer) -> None:
        delivery = sent(bus(server.url), message(0), large(1, 9000, short=False), message(2))
        assert delivery.taken == 1
        reason, said = why(delivery)
        assert reason == ErrorReason.REJECTED
        assert "the event fleet/1 is too large" in said
