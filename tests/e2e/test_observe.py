"""`run --observe`: drift is reported, and nothing is sent."""

from __future__ import annotations

from tests.e2e.desk import Desk, address, machine, network, partition
from tests.e2e.test_daemon import metric


def test_a_daemon_that_only_observes_sends_nothing(desk: Desk) -> None:
    desk.commit(lab=[partition(), machine("m0", power="On"), network(), address("a", network="net")])
    with desk.daemon("--observe") as daemon:
        for key in ("Machine/m0", "Network/net"):
            assert "observe-only" in daemon.logged("Held", key=key)["message"]
        assert "running, only observes, sends nothing" in desk.run("status").out
        found = daemon.until(lambda: desk.run("status", "-o", "json").json["held"], "the daemon's own counts")
        assert found == {"observe-only": 3}
        assert desk.run("get", "machines", "--status", "Held", "-o", "name").out == "Machine/m0\n"
        assert metric(daemon, "groundstate_observes_only") == 1
        assert "the daemon only observes" in desk.run("restart", "machine/m0", "--reason", "x").err
        planned = desk.run("plan").out.splitlines()[-1]
        assert planned.startswith(
            "Next: the daemon only observes (run --observe), so nothing is sent. Stop the daemon;"
        )
    assert desk.told("ActionSent") == []
    assert desk.told("Forgotten") == []


def test_it_cannot_be_a_boot_service(desk: Desk) -> None:
    desk.commit(lab=[partition()])
    done = desk.run("run", "--observe", "--boot-address", "127.0.0.1", "--boot-image", str(desk.store.parent))
    assert (done.code, "leave out --boot-address" in done.err) == (1, True), done
