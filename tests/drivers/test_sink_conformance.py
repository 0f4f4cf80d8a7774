"""The built-in drivers of event sinks pass the suite that every driver passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from drivers.base import Credential, SinkEndpoint
from drivers.sink.nats import open_nats
from drivers.sink.webhook import open_webhook
from drivers.testing.sink_conformance import SinkConformance, SinkSubject
from tests.drivers.event_receivers import PASSWORD, SECRET, Receiver, free_port, nats_server


class TestWebhook(SinkConformance):
    @classmethod
    @contextmanager
    def start(cls, request: pytest.FixtureRequest) -> Iterator[SinkSubject]:
        port = free_port()
        receivers = [Receiver(port)]
        got: list[bytes] = []

        @contextmanager
        def away() -> Iterator[None]:
            got.extend(receivers[0].taken())
            receivers[0].stop()
            yield
            receivers[0] = Receiver(port)

        @contextmanager
        def refusing() -> Iterator[None]:
            before = receivers[0].answer
            receivers[0].answer = lambda _: (400, {}, b"no")
            yield
            receivers[0].requests.clear()
            receivers[0].answer = before

        sink = open_webhook(SinkEndpoint(receivers[0].url, secrets=lambda: [SECRET], timeout=10))
        yield SinkSubject(sink, lambda: [*got, *receivers[0].taken()], away, refusing)
        receivers[0].stop()


class TestNats(SinkConformance):
    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[SinkSubject]:
        return cls._started(request.getfixturevalue("tmp_path"))

    @classmethod
    @contextmanager
    def _started(cls, folder: Path) -> Iterator[SinkSubject]:
        with nats_server(folder / "nats") as server:

            @contextmanager
            def away() -> Iterator[None]:
                server.kill()
                yield
                server.start()

            @contextmanager
            def refusing() -> Iterator[None]:
                server.asked(lambda stream: stream.delete_stream("GROUNDSTATE"))
                yield
                server.asked(server._add_stream)

            login = Credential("gs", PASSWORD)
            endpoint = SinkEndpoint(server.url, stream="GROUNDSTATE", credential=lambda _: login, timeout=10)
            yield SinkSubject(open_nats(endpoint), lambda: [body for _, body in server.messages()], away, refusing)
