"""What a pull request can do to whoever runs groundstate on it: nothing is sent to its BMC, and nothing runs."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.bmc_servers import LOGIN, SESSIONS, Pki, RedfishServer, service
from tests.e2e.desk import Desk, document, partition

INSECURE = {"insecure": True}
BMC = {"BMC_USERNAME": LOGIN.username, "BMC_PASSWORD": LOGIN.password}
GRANT = 'credentials.bmc = {env = "BMC", networks = ["127.0.0.1"]}\n'


class Evil:
    """What a hostile BMC got: the methods with their paths, and all of their bytes."""

    def __init__(self, port: int) -> None:
        self.address, self.port = f"http://127.0.0.1:{port}", port
        self.requests: list[str] = []
        self.bytes = b""

    @property
    def got_a_login(self) -> bool:
        return LOGIN.password.encode() in self.bytes or b"uthorization" in self.bytes or b"X-Auth" in self.bytes


@contextmanager
def evil_bmc(redirect: str | None = None) -> Iterator[Evil]:
    """Says all that makes a client log in; `redirect`: where it sends whoever asks for more."""
    root = {"Systems": {"@odata.id": "/redfish/v1/Systems"}, "Links": {"Sessions": {"@odata.id": SESSIONS}}}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.requests.append(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.bytes += bytes(self.headers) + body
            is_root = self.path.rstrip("/") == "/redfish/v1"
            self.send_response(307 if redirect and not is_root else 200 if is_root else 401)
            if redirect and not is_root:
                self.send_header("Location", redirect + self.path)
            data = json.dumps(root).encode()
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_PATCH = do_GET  # noqa: N815  http.server's names

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Evil(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


@pytest.fixture
def evil() -> Iterator[Evil]:
    with evil_bmc() as running:
        yield running


@pytest.fixture
def fleet(desk: Desk) -> Desk:
    """A desk with the fleet's login in its environment, for BMCs in another network."""
    desk.environment |= {**BMC, "DATABASE_URL": "postgresql://gs:dbpassw0rd@db/gs"}
    desk.settings('credentials.bmc = {env = "BMC", networks = ["10.1.0.0/24"]}\n')
    desk.secrets |= {LOGIN.password, "dbpassw0rd"}
    return desk


def hosted(bmc: dict[str, Any]) -> dict[str, Any]:
    """The machine on this BMC."""
    return document("Machine", "m", partition="lab", bmc=bmc, power="On")


def declare(desk: Desk, evil: Evil, reference: dict[str, Any], **bmc: Any) -> None:
    way = {"address": evil.address, "tls": INSECURE, "credentialRef": reference, "driver": "redfish", **bmc}
    desk.commit("Innocent", lab=[partition(), hosted(way)])


ATTACKS: dict[str, dict[str, Any]] = {
    "the fleet's own credential": {"name": "bmc"},
    "a variable": {"env": "DATABASE_URL"},
    "the fleet's variable": {"env": "BMC"},
    "a file": {"file": "/etc/shadow"},
    "a command": {"exec": ["sh", "-c", "id > RAN; env > ENV"]},
}


@pytest.mark.parametrize("reference", ATTACKS.values(), ids=ATTACKS)
@pytest.mark.parametrize("command", [("plan", "-o", "markdown"), ("apply", "--yes"), ("inventory", "m", "--refresh")])
def test_no_command_gives_anything_to_a_bmc_of_the_documents(
    fleet: Desk, evil: Evil, reference: dict[str, Any], command: tuple[str, ...]
) -> None:
    declare(fleet, evil, reference)
    done = fleet.run(*command)
    assert done.code != 0, done
    assert not evil.requests
    assert not list(fleet.folder.rglob("RAN"))


def test_the_daemon_gives_nothing_either_and_goes_on(fleet: Desk, evil: Evil) -> None:
    declare(fleet, evil, {"exec": ["sh", "-c", "id > RAN"]})
    with fleet.daemon() as daemon:
        daemon.until(lambda: fleet.told("Unreachable") or fleet.told("AuthenticationFailed"), "the refusal")
        assert daemon.process.poll() is None
    assert not evil.got_a_login
    assert not list(fleet.folder.rglob("RAN"))


def test_the_refusal_names_the_line_to_write_and_writing_it_helps(desk: Desk, tmp_path: Path) -> None:
    """The way from `credentialRef: {env: BMC}` to a named credential is what the message says, word by word."""
    desk.environment |= BMC
    pki = Pki(tmp_path)
    shutil.copyfile(pki.ca_file, desk.repo / "ca.pem")
    with RedfishServer(pki.context, service()) as server:
        way = {"address": server.address, "driver": "redfish", "tls": {"caFile": "ca.pem"}}
        desk.commit(lab=[partition(), hosted({**way, "credentialRef": {"env": "BMC"}})])
        said = desk.run("plan", "-o", "json").json["unknown"][0]["message"]
        assert server.count("POST", SESSIONS) == 0
        desk.settings(said.partition("names: ")[2].partition("; and in the document")[0] + "\n")
        desk.commit(lab=[partition(), hosted({**way, "credentialRef": {"name": "bmc"}})])
        assert desk.run("plan").code == 0
        assert server.count("POST", SESSIONS) == 1


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "2130706433",
        "0x7f000001",
    ],
)
def test_where_an_address_leads_counts_and_not_how_it_is_written(fleet: Desk, evil: Evil, host: str) -> None:
    declare(fleet, evil, {"name": "bmc"}, address=f"http://{host}:{evil.port}")
    done = fleet.run("plan")
    assert "not for 127.0.0.1" in done.out, done
    assert not evil.requests


def test_an_address_of_less_than_four_numbers_is_refused_by_its_form(fleet: Desk, evil: Evil) -> None:
    declare(fleet, evil, {"name": "bmc"}, address=f"http://127.1:{evil.port}")
    done = fleet.run("plan")
    assert (done.code, "127.1 is not an IPv4 address" in done.err) == (1, True), done
    assert not evil.requests


@pytest.mark.parametrize("command", [("plan",), ("apply", "--yes"), ("inventory", "m", "--refresh")])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"])
def test_without_a_login_no_other_host_is_asked_either(
    fleet: Desk, evil: Evil, host: str, command: tuple[str, ...]
) -> None:
    """A GET that needs no login reaches whatever the host of the plan reaches: a cloud's metadata, an inner service."""
    way = {"address": f"http://{host}:{evil.port}", "tls": INSECURE, "driver": "redfish"}
    fleet.commit("Innocent", lab=[partition(), hosted(way)])
    done = fleet.run(*command)
    assert "bmc_networks = [" in done.out + done.err, done
    assert not evil.requests


def test_the_refusal_of_a_connection_names_the_line_to_write_and_writing_it_helps(fleet: Desk, evil: Evil) -> None:
    way = {"address": evil.address, "tls": INSECURE, "driver": "redfish"}
    fleet.commit(lab=[partition(), hosted(way)])
    said = fleet.run("plan", "-o", "json").json["unknown"][0]["message"]
    fleet.settings(said.partition("write ")[2].partition(" in ~")[0] + "\n")
    fleet.run("plan")
    assert evil.requests
    assert not evil.got_a_login


def test_without_settings_simulated_bmcs_of_this_host_are_read_and_no_other(desk: Desk, evil: Evil) -> None:
    way = {"address": evil.address, "tls": INSECURE, "driver": "redfish"}
    desk.commit(lab=[partition(), hosted(way)])
    desk.run("plan")
    assert evil.requests
    evil.requests.clear()
    desk.commit(lab=[partition(), hosted({**way, "address": f"http://0.0.0.0:{evil.port}"})])
    assert "bmc_networks = [" in desk.run("plan").out
    assert not evil.requests


def test_the_daemon_asks_no_other_host_though_documents_name_its_network(fleet: Desk, evil: Evil) -> None:
    way = {"address": evil.address, "tls": INSECURE, "driver": "redfish"}
    fleet.commit(lab=[partition(), hosted(way)])
    with fleet.daemon() as daemon:
        daemon.until(lambda: fleet.told("Rejected") or "bmc_networks" in daemon.out + daemon.err, "the refusal")
    assert not evil.requests


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_what_is_for_a_bmc_goes_through_no_proxy_of_the_environment(desk: Desk, evil: Evil, variable: str) -> None:
    desk.environment |= {**BMC, variable: evil.address}
    desk.settings(GRANT.replace("}", ", insecure = true}"))
    way = {"address": "http://127.0.0.1:1", "tls": INSECURE, "driver": "redfish", "credentialRef": {"name": "bmc"}}
    desk.commit(lab=[partition(), hosted(way)])
    assert "127.0.0.1:1" in desk.run("plan").out
    assert not evil.requests


def test_within_the_networks_no_login_goes_over_plain_http(desk: Desk, evil: Evil) -> None:
    desk.environment |= BMC
    desk.settings(GRANT)
    declare(desk, evil, {"name": "bmc"})
    assert "insecure = true" in desk.run("plan").out
    assert not evil.got_a_login
    desk.settings(GRANT.replace("}", ", insecure = true}"))
    desk.run("plan")
    assert evil.got_a_login


def test_a_redirect_carries_no_login_elsewhere(desk: Desk, evil: Evil) -> None:
    desk.environment |= BMC
    desk.settings(GRANT.replace("}", ", insecure = true}"))
    with evil_bmc(redirect=evil.address) as first:
        declare(desk, first, {"name": "bmc"})
        desk.run("plan")
        assert first.requests
    assert not evil.requests


def test_what_the_settings_allow_documents_to_name_works(desk: Desk, evil: Evil) -> None:
    desk.environment |= BMC
    desk.settings('document_credentials = {env = ["BM*"], networks = ["127.0.0.1"], insecure = true}\n')
    declare(desk, evil, {"env": "BMC"})
    desk.run("plan")
    assert evil.got_a_login


@pytest.mark.parametrize("exists", [True, False])
def test_a_ca_file_does_not_tell_which_files_are_there(desk: Desk, tmp_path: Path, exists: bool) -> None:
    file = tmp_path / "host-file.pem"
    if exists:
        file.write_text("no certificate", "utf-8")
    (desk.repo / "link.pem").symlink_to(file)
    for named in (str(file), "link.pem", "../" * 20 + str(file)[1:]):
        bmc = {"driver": "redfish", "address": "127.0.0.1:1", "tls": {"caFile": named}}
        desk.commit(lab=[partition(), hosted(bmc)])
        assert "To allow the file, write ca_files" in desk.run("plan").out, named


# -- settings that are found with the repository -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        'ipam = "netbox"',
        'ipam_url = "http://127.0.0.1:1"',
        'ipam-token = "env:BMC_PASSWORD"',
        'store = "sqlite:///x.db"',
        'max_disrupted = "100%"',
        'max_removed = "100%"',
        'boot_files = "/etc"',
        'repo = "https://elsewhere.example/x.git"',
        'credentials.bmc = {env = "BMC", networks = ["0.0.0.0/0"]}',
        'document_credentials = {exec = ["*"], networks = ["0.0.0.0/0"]}',
        'ca_files = ["*"]',
        'bmc_networks = ["0.0.0.0/0"]',
        'ref = "main"',
        'path = "elsewhere"',
        "work_tree = true",
        'selector = "rack=none"',
    ],
)
def test_found_settings_choose_neither_secrets_nor_limits(fleet: Desk, line: str) -> None:
    fleet.commit(lab=[partition()])
    (fleet.repo / "groundstate.toml").write_text(line + "\n", "utf-8")
    done = fleet.run("plan")
    assert (done.code, "may not set" in done.err) == (1, True), done
    assert str(fleet.folder / "config" / "groundstate" / "config.toml") in done.err


def test_settings_that_let_any_document_run_a_command_are_warned_of(desk: Desk) -> None:
    desk.commit(lab=[partition()])
    desk.settings('document_credentials = {exec = ["*"], networks = ["127.0.0.1"]}\n')
    done = desk.run("get")
    assert (done.code, 'warning: document_credentials.exec has "*"' in done.err) == (0, True), done


def test_a_file_that_is_named_says_all(desk: Desk) -> None:
    desk.commit(lab=[partition()])
    file = desk.repo / "groundstate.toml"
    file.write_text('max_disrupted = "5%"\nca_files = []\n', "utf-8")
    assert desk.run("--config", str(file), "plan").code == 0
    assert desk.run("plan", env={"GROUNDSTATE_CONFIG": str(file)}).code == 0


def test_one_s_own_settings_and_the_repository_s_are_both_read(desk: Desk) -> None:
    desk.commit(lab=[partition()])
    desk.settings('output = "json"\nmax_disrupted = "5%"\n')
    assert desk.run("get").json
    (desk.repo / "groundstate.toml").write_text('output = "name"\n', "utf-8")
    assert desk.run("get").out.startswith("Partition/lab")


@pytest.mark.parametrize("where", ["groundstate.toml", "../config/groundstate/config.toml"])
def test_settings_that_others_may_write_are_refused(desk: Desk, where: str) -> None:
    desk.settings("")
    desk.commit(lab=[partition()])
    file = desk.repo / where
    file.write_text('output = "name"\n', "utf-8")
    file.chmod(0o666)
    done = desk.run("get")
    assert (done.code, "other users may write to the file" in done.err) == (1, True), done


@pytest.mark.parametrize("mode", [0o775, 0o757])
def test_one_s_own_settings_in_a_folder_that_others_may_write_are_refused(desk: Desk, mode: int) -> None:
    """Whoever may write there puts a link in the file's place, to another file of the same user."""
    desk.settings('output = "name"\n')
    desk.commit(lab=[partition()])
    folder = desk.folder / "config" / "groundstate"
    folder.chmod(mode)
    done = desk.run("get")
    assert (done.code, "other users may write to the folder of the file" in done.err) == (1, True), done
    folder.chmod(0o755)
    assert desk.run("get").code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("where", ["groundstate.toml", "../config/groundstate/config.toml"])
def test_settings_of_another_user_are_refused(desk: Desk, where: str) -> None:
    desk.settings("")
    desk.commit(lab=[partition()])
    file = desk.repo / where
    file.write_text('output = "name"\n', "utf-8")
    os.chown(file, 65534, 65534)
    done = desk.run("get")
    assert (done.code, "the file belongs to another user" in done.err) == (1, True), done
    assert desk.run("get", env={"SUDO_UID": "65534"}).code == 0
    assert desk.run("--config", str(file), "get").code == 0
