"""PostgreSQL stops, restarts, or is away for a while: the daemons outlive it, and send nothing meanwhile."""

from __future__ import annotations

import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.databases import (
    NoPostgresql,
    copy_at_work,
    crash,
    server_url,
    start_again,
    start_server,
    stop_in_order,
    stop_server,
)
from tests.e2e.desk import Desk, Running, address, free_port, network, until
from tests.e2e.shared_fleet import shared_fleet
from tests.e2e.test_postgresql import ask, held
from tests.e2e.test_shards import TAKEN_OVER, deciding_and_attending, each, until_writes

LEASE = 3.0
"""Of the daemons of a shared fleet, in seconds."""


class Server:
    """A PostgreSQL of one test alone."""

    def __init__(self, directory: Path) -> None:
        self._directory, self.socket = directory, directory / ".s.PGSQL.5432"
        self.url = server_url(directory, "postgres")

    def stop(self) -> None:
        """Every connection is cut."""
        stop_in_order(self._directory)

    def start(self) -> None:
        """Its data are as they were."""
        start_again(self._directory)

    def back_up(self) -> None:
        """Keep a copy of its data; it is stopped."""
        self._copy("data", "backup")

    def restore(self) -> None:
        """Put the copy in the place of its data; it is stopped."""
        shutil.rmtree(self._directory / "data")
        self._copy("backup", "data")

    def replicate(self) -> None:
        """Keep a copy of its data as they are now; it is at work."""
        copy_at_work(self._directory, "backup")

    def fail_over(self) -> None:
        """It dies, and the copy is in its place."""
        crash(self._directory)
        self.restore()
        self.start()

    def _copy(self, source: str, target: str) -> None:
        subprocess.run(["cp", "-a", self._directory / source, self._directory / target], check=True)


@pytest.fixture
def server(desk: Desk) -> Iterator[Server]:
    """It runs, and is the store of the desk."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        directory = Path(name) / "pg"
        try:
            start_server(directory)
        except NoPostgresql as missing:
            pytest.skip(str(missing))
        try:
            desk.environment["GROUNDSTATE_STORE"] = server_url(directory, "postgres")
            yield Server(directory)
        finally:
            stop_server(directory)


def readiness(port: int) -> str:
    """What /readyz says; nothing while the daemon does not listen."""
    return ask(port, "/readyz")[1]


def is_waiting(port: int) -> bool:
    """Whether the daemon says that it waits for the store."""
    return "continues when the store can be reached" in readiness(port)


def answers(port: int, path: str, words: str) -> bool:
    """Whether the daemon answers well, with these words."""
    status, said = ask(port, path)
    return status == 200 and words in said


def count(daemon: Running, event: str) -> int:
    """How often the daemon has logged it."""
    return sum(line["event"] == event for line in daemon.log)


def test_both_daemons_outlive_a_stop_of_the_server_and_the_one_that_worked_goes_on(desk: Desk, server: Server) -> None:
    desk.commit(lab=[network(), address("web")])
    ports = free_port(), free_port()
    with desk.running("run", "--listen", f"127.0.0.1:{ports[0]}", "--resync", "1") as first:
        first.logged("ActionConfirmed", key="IPAddress/web")
        with desk.running("run", "--listen", f"127.0.0.1:{ports[1]}", "--resync", "1") as second:
            second.logged("StandingBy")
            server.stop()
            for daemon, port in zip((first, second), ports, strict=True):
                said = daemon.logged("StoreUnavailable")["message"]
                assert "the database cannot be reached" in said or "terminating connection" in said
                daemon.until(partial(is_waiting, port), "its words")
                # What answers while it worked ends, and what answers while it waits begins.
                daemon.until(partial(answers, port, "/healthz", "ok"), "its health")
                daemon.until(partial(answers, port, "/metrics", "groundstate_store_up 0"), "its metrics")
            desk.commit(lab=[network(), address("web"), address("mail")])
            server.start()
            first.logged("ActionConfirmed", key="IPAddress/mail")
            second.logged("StoreAvailable")
            second.until(lambda: f"process {first.process.pid} on" in readiness(ports[1]), "who works")
            assert first.until(lambda: readiness(ports[0]) == "ok\n", "it")
            first.until(partial(answers, ports[0], "/metrics", "groundstate_store_up 1"), "its metrics")
            assert [count(one, "StoreUnavailable") for one in (first, second)] == [1, 1]
            assert first.end(signal.SIGTERM).code == 0
            second.logged("Started")
    assert len(set(held(server.url).values())) == 2


def test_one_that_was_taken_over_from_meanwhile_ends_with_75(desk: Desk, server: Server) -> None:
    desk.commit(lab=[network(), address("web")])
    with desk.daemon("--lease", "3") as first:
        first.logged("ActionConfirmed", key="IPAddress/web")
        with desk.daemon("--lease", "3") as second:
            second.logged("StandingBy")
            server.stop()
            first.logged("StoreUnavailable")
            first.send(signal.SIGSTOP)
            server.start()
            second.logged("Started")
            first.send(signal.SIGCONT)
            ended = first.end()
            assert (ended.code, "has taken over this store" in ended.err) == (75, True)


def test_a_daemon_that_stands_by_names_the_one_that_works_now(desk: Desk, server: Server) -> None:
    desk.commit(lab=[network()])
    port = free_port()
    with desk.daemon() as first:
        first.logged("Started")
        with desk.running("run", "--listen", f"127.0.0.1:{port}") as third:
            third.until(lambda: f"process {first.process.pid} on" in readiness(port), "the first one")
            third.send(signal.SIGSTOP)  # Which of two would take over is chance.
            with desk.daemon() as second:
                second.logged("StandingBy")
                assert first.end(signal.SIGTERM).code == 0
                second.logged("Started")
                third.send(signal.SIGCONT)
                third.until(lambda: f"process {second.process.pid} on" in readiness(port), "the second one")


def test_it_stops_while_the_server_is_away(desk: Desk, server: Server) -> None:
    desk.commit(lab=[network()])
    with desk.daemon() as daemon:
        daemon.logged("Started")
        server.stop()
        daemon.logged("StoreUnavailable")
        assert daemon.end(signal.SIGTERM).code == 0


def test_a_daemon_whose_server_is_away_at_its_start_ends_in_words(desk: Desk, server: Server) -> None:
    desk.commit(lab=[network()])
    server.stop()
    with desk.daemon() as daemon:
        ended = daemon.end()
    assert (ended.code, "the database cannot be reached; check that it runs and the URL" in ended.err) == (1, True)


def test_a_commit_whose_outcome_is_not_known_is_settled_by_an_observation(desk: Desk, server: Server) -> None:
    desk.commit(lab=[network(), address("web")])
    relay = Relay(server.socket)
    desk.environment["GROUNDSTATE_STORE"] = f"postgresql://postgres@127.0.0.1:{relay.port}/postgres"
    with desk.daemon("--interval", "1") as daemon:
        daemon.logged("ActionConfirmed", key="IPAddress/web")
        relay.swallow(b"IPAddress", b"ActionSent", b"COMMIT")
        desk.commit(lab=[network(), address("web"), address("mail")])
        daemon.logged("StoreUnavailable")
        daemon.logged("StoreAvailable")
        daemon.logged("ActionConfirmed", key="IPAddress/mail")
        assert daemon.end(signal.SIGTERM).code == 0
    desk.environment["GROUNDSTATE_STORE"] = server.url
    told = desk.run("events", "ip/mail").out
    # It was recorded once; then the address was observed; then it was sent.
    assert "ActionNotConfirmed: acquire (net) got no reply, and the observations show no effect of the action" in told
    assert told.count("ActionConfirmed") == 1
    assert len(set(held(server.url).values())) == 2


def test_a_store_that_went_back_in_time_ends_the_daemon_in_words(desk: Desk, server: Server) -> None:
    desk.commit(lab=[network()])
    assert desk.run("apply", "--yes").code == 0
    server.stop()
    server.back_up()
    server.start()
    with desk.daemon() as daemon:
        daemon.logged("Started")
        server.stop()
        server.restore()
        server.start()
        ended = daemon.end()
        said = " ".join(ended.err.split())
        assert ended.code == 1
        assert "the store does not know that this process has worked on it (take-over number" in said


def test_after_a_failover_that_lost_transactions_who_wrote_them_ends_in_words(desk: Desk, server: Server) -> None:
    """The others take over. Each machine is observed before it is written to, and no address is given twice."""
    desk.commit(lab=[network(), address("web")])
    with shared_fleet(desk, server.url) as fleet:
        fleet.declare("Off")
        with deciding_and_attending(fleet, "host-b", "host-c") as (first, *others):
            first.logged("ActionConfirmed", key="IPAddress/web")
            server.replicate()
            desk.write(lab=[network(), address("web"), address("mail")])
            fleet.declare("On")
            first.logged("ActionConfirmed", key="IPAddress/mail")
            until_writes(fleet, 3)
            server.fail_over()
            ended = first.end()
            words = "the store does not know what this process wrote last"
            # A thread that comes to a new connection first may find that it was taken over from.
            assert ended.code == TAKEN_OVER or (ended.code, words in " ".join(ended.err.split())) == (1, True), ended
            fleet.until_all("On")
            until(lambda: len(held(server.url)) == 2, "both addresses")
            assert fleet.resets() == each(fleet, 1)
            assert [one.process.poll() for one in others] == [None, None]
    assert len(set(held(server.url).values())) == 2


def test_daemons_that_share_a_fleet_go_on_after_the_server_was_away_longer_than_a_lease(
    desk: Desk, server: Server
) -> None:
    with shared_fleet(desk, server.url) as fleet:
        fleet.declare("Off")
        with deciding_and_attending(fleet, "host-b", "host-c") as daemons:
            fleet.declare("On")
            until_writes(fleet, 3)
            server.stop()
            for daemon in daemons:
                daemon.logged("StoreUnavailable")
            time.sleep(LEASE)  # What had left its host before that may still arrive.
            sent = fleet.resets()
            time.sleep(1.0)
            assert fleet.resets() == sent
            server.start()
            fleet.until_all("On")
            assert fleet.resets() == each(fleet, 1)

            def states() -> set[str]:
                return {one["state"] for one in desk.run("get", "daemons", "-o", "json").json["items"]}

            until(lambda: states() == {"working", "attending"}, "all at work", lambda: str(states()))
            assert {daemon.process.poll() for daemon in daemons} <= {None, TAKEN_OVER}


class Relay:
    """Passes bytes on to the server. When asked to, it passes on what holds certain words, and then cuts that
    connection instead of passing on the answer."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._words: tuple[bytes, ...] = ()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow(self, *words: bytes) -> None:
        """Swallow the answer of the next transaction that holds all of these, in however many pieces it comes."""
        self._words = words

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self._target))
        said, is_cut = b"", False
        with client, server:
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(2**20)
                    if not data:
                        return
                    if source is server and is_cut:
                        if b"COMMIT\0" in data:
                            return
                        continue
                    if source is client:
                        said += data
                        if self._words and all(word in said for word in self._words):
                            self._words, is_cut = (), True
                        elif b"COMMIT" in said or b"ROLLBACK" in said:
                            said = b""
                    (server if source is client else client).sendall(data)
