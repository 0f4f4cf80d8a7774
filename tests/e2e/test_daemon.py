"""`groundstate run`: it keeps the fleet as git says, tells how it is, and ends when asked."""

from __future__ import annotations

import re
import signal
import urllib.error
import urllib.request
from typing import NamedTuple

import psutil

from tests.e2e.desk import Desk, Running, address, document, machine, network, partition
from tests.e2e.simulated_bmcs import Bmcs, at, silence


class Answer(NamedTuple):
    """What an HTTP server said."""

    status: int
    text: str


def get(daemon: Running, path: str) -> Answer:
    port = daemon.logged("Started")["port"]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return Answer(response.status, response.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode())


def metric(daemon: Running, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", get(daemon, "/metrics").text, re.MULTILINE)
    assert found, f"no {name}"
    return float(found[1])


class TestHealth:
    """What a supervisor and Prometheus ask."""

    def test_it_is_ready_when_a_desired_state_is_in_force(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        with desk.daemon() as daemon:
            daemon.logged("RevisionApplied")
            assert get(daemon, "/healthz") == (200, "ok\n")
            assert get(daemon, "/readyz") == (200, "ok\n")

    def test_it_is_healthy_and_not_ready_while_there_never_was_a_sound_one(self, desk: Desk) -> None:
        desk.commit(lab="kind: Nothing\n")
        with desk.daemon() as daemon:
            daemon.logged("RevisionRefused")
            assert get(daemon, "/healthz").status == 200
            assert get(daemon, "/readyz") == (
                503,
                ("no commit is in force yet; the daemon continues when it has read the repository\n"),
            )
            assert metric(daemon, "groundstate_revision_broken") == 1

    def test_metrics_count_resources_passes_and_events(self, desk: Desk) -> None:
        desk.commit(lab=[network(), address("web")])
        with desk.daemon() as daemon:
            daemon.logged("ActionConfirmed", key="IPAddress/web")
            assert metric(daemon, 'groundstate_resources{kind="IPAddress"}') == 1
            assert metric(daemon, 'groundstate_events_total{reason="ActionSent",type="Normal"}') == 2
            assert metric(daemon, "groundstate_revision_broken") == 0
            daemon.until(
                lambda: metric(daemon, 'groundstate_reconcile_total{kind="IPAddress",result="done"}') > 1, "a resync"
            )

    def test_metrics_show_how_full_networks_are(self, desk: Desk) -> None:
        desk.commit(lab=[network(cidr="10.0.0.0/29"), address("web")])
        assert desk.run("apply", "--yes").code == 0
        place = 'family="IPv4",network="net",prefix="10.0.0.0/29"'
        with desk.daemon() as daemon:
            daemon.until(lambda: f"groundstate_network_addresses{{{place}}}" in get(daemon, "/metrics").text, "a count")
            assert metric(daemon, f"groundstate_network_addresses{{{place}}}") == 6
            assert metric(daemon, f"groundstate_network_addresses_used{{{place}}}") == 1

    def test_metrics_show_whether_the_repository_can_be_read(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        away = desk.repo.with_name("away")
        with desk.daemon() as daemon:
            daemon.logged("RevisionApplied")
            assert metric(daemon, "groundstate_source_up") == 1
            assert metric(daemon, "groundstate_source_read_timestamp_seconds") > 1.7e9
            desk.repo.rename(away)
            daemon.until(lambda: metric(daemon, "groundstate_source_up") == 0, "the repository to be missed")
            away.rename(desk.repo)
            daemon.until(lambda: metric(daemon, "groundstate_source_up") == 1, "the repository to be back")

    def test_metrics_show_machines_budgets_and_what_bmcs_answer(self, desk: Desk, bmcs: Bmcs) -> None:
        system = bmcs.system()
        bmcs.let_in(desk)
        managed, lost = {"mode": "Managed"}, "https://127.0.0.1:1"
        racks = {"budget": {"maxDisrupted": 1, "per": "rack"}, "match": {"kinds": ["Machine"]}}
        desk.commit(
            lab=[bmcs.partition(), document("Guard", "racks", **racks)],
            machines=[
                at(system, "here", rack="r1", power="Off"),
                at(system._replace(address=lost), "lost", rack="r2", lifecycle=managed),
            ],
        )
        with desk.daemon() as daemon:
            daemon.until(lambda: 'state="faulty"' in get(daemon, "/metrics").text, "both to be counted")
            capacity = 'groundstate_machine_capacity{partition="lab",size="",state="%s"}'
            assert [metric(daemon, capacity % state) for state in ("free", "faulty")] == [1, 1]
            assert metric(daemon, 'groundstate_machine_phase{phase="Discovered"}') == 1
            assert metric(daemon, 'groundstate_machine_phase{phase="Error"}') == 0
            assert metric(daemon, 'groundstate_resource_status{kind="Machine",status="Ready"}') == 1
            assert metric(daemon, 'groundstate_resource_status{kind="Machine",status="Unknown"}') == 1
            assert metric(daemon, 'groundstate_budget_allowed{group="lab/r1",guard="guard/racks"}') == 1
            assert metric(daemon, 'groundstate_budget_used{group="machines",guard="disruption-budget"}') == 0
            assert metric(daemon, 'groundstate_bmc_request_seconds_count{driver="redfish",operation="read"}') >= 2
            assert metric(daemon, 'groundstate_bmc_errors_total{driver="redfish",reason="Unreachable"}') >= 1

    def test_an_unknown_path_says_what_there_is(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        with desk.daemon() as daemon:
            assert get(daemon, "/") == (404, "/healthz, /readyz and /metrics are here\n")


class TestKeeping:
    """The fleet follows git, and comes back when somebody turns a knob."""

    def test_drift_is_found_attributed_and_repaired(self, desk: Desk, bmcs: Bmcs) -> None:
        system = bmcs.system()
        bmcs.let_in(desk)
        desk.commit(lab=[bmcs.partition(), at(system, "m", indicatorLED="Blinking")])
        with desk.daemon() as daemon:
            daemon.logged("ActionConfirmed", key="Machine/m")
            bmcs.ask(system, "PATCH", {"IndicatorLED": "Off"})
            drift = daemon.logged("DriftDetected", key="Machine/m")
            daemon.until(lambda: len(desk.told("ActionConfirmed", "m")) == 2, "the repair")
        assert drift["message"] == "spec.indicatorLED is Off, but Blinking is declared and was applied before"
        assert "because of drift since" in desk.told("ActionSent", "m")[-1].message
        assert bmcs.ask(system)["IndicatorLED"] == "Blinking"

    def test_a_new_commit_reaches_its_bmc(self, desk: Desk, bmcs: Bmcs) -> None:
        first, second = bmcs.system(0), bmcs.system(1)
        bmcs.let_in(desk)
        desk.commit(
            lab=[bmcs.partition()],
            a=[at(first, "a", indicatorLED="Off")],
            b=[at(second, "b", indicatorLED="Off")],
        )
        with desk.daemon("--resync", "600", "--interval", "600") as daemon:
            for name in ("a", "b"):
                daemon.logged("ActionConfirmed", key=f"Machine/{name}")
            desk.commit("Find it", a=[at(first, "a", indicatorLED="Blinking")])
            daemon.until(lambda: len(desk.told("ActionConfirmed", "a")) == 2, "the new LED")
        assert bmcs.ask(first)["IndicatorLED"] == "Blinking"
        assert "(author Ada, not verified)" in desk.told("ActionSent", "a")[-1].message
        assert len(bmcs.writes(second)) == 1

    def test_an_edit_in_the_work_tree_is_taken_up(self, desk: Desk) -> None:
        desk.write(lab=[network()])
        with desk.daemon("--work-tree", "--interval", "600") as daemon:
            daemon.logged("ActionConfirmed", key="Network/net")
            desk.write(web=[address("web")])
            daemon.logged("ActionConfirmed", key="IPAddress/web")

    def test_a_silent_bmc_keeps_nobody_waiting(self, desk: Desk, bmcs: Bmcs) -> None:
        system = bmcs.system()
        bmcs.let_in(desk)
        with silence(8) as silent:

            def fleet(led: str, power: str) -> list[dict[str, object]]:
                dead = [machine(f"dead{n}", there, power=power) for n, there in enumerate(silent.addresses)]
                return [bmcs.partition(), *dead, at(system, "m", indicatorLED=led)]

            desk.commit(lab=fleet("Off", "On"))
            with desk.daemon("--concurrency", "8") as daemon:
                daemon.logged("ActionConfirmed", key="Machine/m")
                daemon.until(lambda: len(desk.told("Unreachable")) == 8, "the silence of eight")
                desk.commit("Change every machine", lab=fleet("Blinking", "Off"))
                daemon.until(lambda: len(desk.told("RevisionApplied")) == 2, "the commit")
                before = len(silent.taken)
                daemon.until(lambda: len(desk.told("ActionConfirmed", "m")) == 2, "the change of the one that answers")
                assert len(silent.taken) - before <= 4, "it came after the silent ones"


class TestBrokenCommits:
    """A commit that is not sound changes nothing."""

    def test_it_is_refused_and_shouted_about_and_the_last_good_one_stays(self, desk: Desk, bmcs: Bmcs) -> None:
        system = bmcs.system()
        bmcs.let_in(desk)
        good = desk.commit(lab=[bmcs.partition(), at(system, "m", indicatorLED="Blinking")])
        with desk.daemon() as daemon:
            daemon.logged("ActionConfirmed", key="Machine/m")
            desk.commit("Slip", lab=[bmcs.partition(), at(system, "m", indicatorLED="Onn")])
            refused = daemon.logged("RevisionRefused")
            assert refused["level"] == "warning"
            assert "spec.indicatorLED cannot be 'Onn'" in refused["message"]
            assert f"main@{good[:10]} stays in force" in refused["message"]
            assert metric(daemon, "groundstate_revision_broken") == 1
            assert get(daemon, "/readyz").status == 200

            bmcs.ask(system, "PATCH", {"IndicatorLED": "Off"})
            daemon.until(lambda: len(desk.told("ActionConfirmed", "m")) == 2, "the repair of drift all the same")

            desk.git("revert", "--no-edit", "HEAD")
            daemon.until(lambda: len(desk.told("RevisionApplied")) == 2, "the revert")
            assert metric(daemon, "groundstate_revision_broken") == 0

    def test_after_a_restart_the_last_good_one_is_in_force(self, desk: Desk) -> None:
        good = desk.commit(lab=[network()])
        with desk.daemon() as daemon:
            daemon.logged("ActionConfirmed")
            daemon.end(signal.SIGTERM)
        desk.commit("Slip", lab="kind: Nothing\n")
        with desk.daemon() as daemon:
            daemon.logged("RevisionRefused")
            assert good[:10] in daemon.logged("RevisionApplied")["message"]
            assert metric(daemon, "groundstate_revision_broken") == 1

    def test_a_commit_that_loses_the_fleet_is_held(self, desk: Desk) -> None:
        desk.commit(lab=[partition(), *(machine(f"m{n}") for n in range(3))])
        with desk.daemon() as daemon:
            daemon.logged("RevisionApplied")
            desk.commit("Clean up", lab=[partition()])
            assert "--allow-empty" in daemon.logged("Held")["message"]
        assert desk.told("Forgotten") == []


class TestSource:
    """The repository, which may be out of reach."""

    def test_an_outage_is_told_once_and_so_is_its_end(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        with desk.daemon("--repo", desk.repo.as_uri(), "--interval", "1") as daemon:
            daemon.logged("ActionConfirmed", key="Network/net")
            away = desk.repo.rename(desk.folder / "away")
            outage = daemon.logged("SourceUnavailable")
            assert "the revision in force does not change" in outage["message"]
            assert get(daemon, "/readyz").status == 200
            passes = 'groundstate_reconcile_total{kind="Network",result="done"}'
            seen = metric(daemon, passes)
            daemon.until(lambda: metric(daemon, passes) >= seen + 2, "two more looks at the fleet")
            away.rename(desk.repo)
            daemon.logged("SourceAvailable")
        assert len(desk.told("SourceUnavailable")) == 1

    def test_a_start_without_it_waits_for_it(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        away = desk.repo.rename(desk.folder / "away")
        with desk.daemon("--repo", desk.repo.as_uri(), "--interval", "1", cwd=desk.folder) as daemon:
            daemon.logged("SourceUnavailable")
            assert get(daemon, "/readyz").status == 503
            away.rename(desk.repo)
            daemon.logged("ActionConfirmed", key="Network/net")


class TestEnding:
    """SIGTERM and Ctrl-C."""

    def test_sigterm_ends_it_with_0_and_leaves_no_process(self, desk: Desk) -> None:
        desk.commit(lab=[partition(), network(), machine("m", power="On")])
        with desk.daemon() as daemon:
            daemon.logged("ActionConfirmed", key="Machine/m")
            family = psutil.Process(daemon.process.pid).children(recursive=True)
            done = daemon.end(signal.SIGTERM)
        assert done.code == 0
        assert daemon.log[-1]["event"] == "Stopped"
        assert not [process for process in family if process.is_running()]
        assert done.out == ""

    def test_ctrl_c_ends_it_too(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        with desk.daemon() as daemon:
            daemon.logged("RevisionApplied")
            assert daemon.end(signal.SIGINT).code == 0

    def test_silent_bmcs_do_not_keep_it(self, desk: Desk) -> None:
        with silence(4) as silent:
            desk.allow("lab", "LAB_BMC")
            redfish = partition(driver="redfish", credentialRef={"name": "lab"})
            desk.commit(lab=[redfish, *(machine(f"m{n}", there) for n, there in enumerate(silent.addresses))])
            with desk.daemon(env={"LAB_BMC": "admin:secret"}) as daemon:
                daemon.until(lambda: len(silent.taken) == 4, "connections to all")
                assert daemon.end(signal.SIGTERM).code == 0


class TestAlone:
    """One instance at work on a store."""

    def test_a_second_daemon_is_refused_and_told_who_is_there(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        with desk.daemon() as daemon:
            daemon.logged("Started")
            done = desk.run("run", "--listen", "127.0.0.1:0")
            assert done.code == 1
            assert f"in use by groundstate run, process {daemon.process.pid} on" in done.err

    def test_apply_beside_a_daemon_is_refused(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        with desk.daemon() as daemon:
            daemon.logged("ActionConfirmed", key="Network/net")
            desk.git("checkout", "--quiet", "-b", "other")
            desk.git("symbolic-ref", "HEAD", "refs/heads/main")
            desk.write(web=[address("web")])
            done = desk.run("apply", "--yes", "--work-tree")
            assert done.code == 1
            assert "in use by groundstate run" in done.err
        assert desk.told("ActionSent", "web") == []

    def test_plan_and_get_beside_a_daemon_work(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        with desk.daemon() as daemon:
            daemon.logged("ActionConfirmed", key="Network/net")
            assert desk.run("plan").code == 0
            assert desk.run("get", "networks").code == 0

    def test_the_next_one_starts_where_a_killed_one_left_off(self, desk: Desk) -> None:
        desk.commit(lab=[network()])
        with desk.daemon() as daemon:
            daemon.logged("ActionConfirmed", key="Network/net")
            daemon.end(signal.SIGKILL)
        with desk.daemon() as daemon:
            daemon.logged("RevisionApplied")
            assert daemon.end(signal.SIGTERM).code == 0
        assert len(desk.told("ActionSent")) == 1


def test_an_address_that_cannot_be_listened_on(desk: Desk) -> None:
    desk.commit(lab=[network()])
    no_port = "the port must be a number from 0 to 65535"
    whys = {"nowhere": no_port, "127.0.0.1:99999": no_port, "192.0.2.1:1": "Cannot assign requested address"}
    for listen, why in whys.items():
        done = desk.run("run", "--listen", listen)
        assert done.code == 1
        assert f"--listen {listen}: cannot listen there: {why}; give HOST:PORT" in done.err


def test_the_agent_s_image_that_is_not_there_is_named(desk: Desk) -> None:
    desk.commit(lab=[network()])
    service = ("--boot-address", "127.0.0.1", "--boot-image", str(desk.folder))
    done = desk.run("run", "--listen", "127.0.0.1:0", *service)
    assert done.code == 1
    assert f"error: --boot-image: {desk.folder}/vmlinuz: No such file or directory; to make the image" in done.err
