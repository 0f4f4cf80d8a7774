"""Secrets that are planted wherever one can be, and sought in all that groundstate says, keeps and serves."""

from __future__ import annotations

import http.server
import json
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.base import Credential
from tests.drivers.bmc_servers import RESET, SESSIONS, SYSTEM, Pki, RedfishServer, extended, reply, service
from tests.e2e.desk import Desk, address, document, machine, network, partition

PASSWORD = 'Pl4nted-"Bmc"-Passw0rd'
SHORT = "calv1n"
NETBOX_TOKEN = "9e107d9d372bb6826bd81d3542a419d6e107d9d3"
DATABASE = "Pl4nted@Datab4se"
GIT_TOKEN = "pl4ntedgitt0kenvalue"
SEED = "Pl4nted-User-D4ta"
DECLARED = {("get", "-o", "yaml"), ("get", "-o", "json"), ("describe", "machineclaim/c1"),
            ("describe", "machineclaim/c1", "-o", "yaml"), ("history", "machineclaim/c1"),
            ("history", "machineclaim/c1", "--at", "HEAD")}  # fmt: skip
"""Where the documents of git themselves are asked for, user data and all."""
PLANTED = {PASSWORD, PASSWORD.replace('"', '\\"'), SHORT, NETBOX_TOKEN, DATABASE, "Datab4se", GIT_TOKEN, SEED}

LOOKS: tuple[tuple[str, ...], ...] = (
    ("plan",),
    ("plan", "--full"),
    ("plan", "-o", "json"),
    ("plan", "-o", "yaml"),
    ("plan", "-o", "markdown"),
    ("plan", "--no-refresh"),
    ("get",),
    *(("get", "-o", form) for form in ("wide", "yaml", "json", "name")),
    ("get", "machines", "-o", "yaml"),
    ("describe", "machine/m1"),
    ("describe", "machine/m1", "-o", "json"),
    ("describe", "machineclaim/c1"),
    ("describe", "machineclaim/c1", "-o", "yaml"),
    ("events",),
    ("events", "-o", "json"),
    ("history", "machine/m1", "-o", "json"),
    ("history", "machineclaim/c1"),
    ("history", "machineclaim/c1", "--at", "HEAD"),
    ("validate",),
    ("inventory", "m1", "--refresh"),
    ("inventory", "m1", "-o", "json"),
    ("inventory", "m1", "-o", "yaml"),
    ("explain-size", "m1"),
    ("schema", "machine"),
    ("capacity",),
    ("get", "ports"),
    ("explain-placement", "c1"),
    ("ipam", "tree"),
    ("version",),
)


def echoing(secret: str) -> dict[str, Any]:
    """What an odd BMC says of itself: the password that it was given, in text of every sort."""
    said = f"Model {secret}"
    return {"Model": said, "SerialNumber": secret, "AssetTag": said, "HostName": secret, "Status": {"State": secret}}


@pytest.fixture(params=[PASSWORD, SHORT], ids=["long", "short"])
def password(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bmc(tmp_path: Path, password: str) -> Iterator[RedfishServer]:
    """Lets one in, and repeats the password in what it says and in whatever it refuses."""
    documents = service(**(echoing(password) if password == PASSWORD else {}))
    refused = reply(400, extended(f"{'x' * 385} {password} is no value; X-Auth-Token was wrong for root:{password}"))
    with RedfishServer(Pki(tmp_path).context, documents, Credential("operator", password)) as server:
        server.misbehave("PATCH", SYSTEM, refused, times=None)
        server.misbehave("POST", RESET, refused, times=None)
        yield server


@pytest.fixture
def planted(desk: Desk, bmc: RedfishServer, password: str) -> Desk:
    desk.secrets |= PLANTED
    desk.environment |= {"LAB_USERNAME": "operator", "LAB_PASSWORD": password, "NETBOX": NETBOX_TOKEN}
    desk.allow("lab", "LAB", insecure=True)
    way = partition(driver="redfish", credentialRef={"name": "lab"}, tls={"insecure": True})
    declared = [way, machine("m1", bmc.address, power="Off", indicatorLED="Lit"), network(), address("a1")]
    desk.commit(lab=declared, claims=claims())
    return desk


def claims() -> list[dict[str, Any]]:
    """A claim with user data, and all that it needs."""
    seed = f"#cloud-config\npassword: {SEED}\nwrite_files: [{{path: /x, content: {SEED}}}]\n"
    root = {"url": "https://images.example/x", "checksum": "sha256:" + "0" * 64}
    wanted = {"project": "shop", "partitions": ["lab"], "size": "s1", "count": 1, "image": "debian-12"}
    fits = [{"type": "cores", "min": 1, "max": 8}, {"type": "memory", "min": "1Gi", "max": "8Gi"}]
    return [
        document("Tenant", "acme"),
        document("Project", "shop", tenant="acme"),
        document("Image", "debian-12.0.1", os="debian", version="12.0.1", classification="supported", root=root),
        document(
            "Size",
            "s1",
            constraints=fits,
        ),
        document("MachineClaim", "c1", **wanted, userData=seed),
    ]


def kept(desk: Desk) -> str:
    """All that is in the tables of the store."""
    with sqlite3.connect(desk.store) as database:
        return "\n".join(database.iterdump())


def assert_kept_without(desk: Desk) -> None:
    found = kept(desk)
    assert "CREATE TABLE" in found
    assert not [one for one in PLANTED if one in found], "a secret is in the store"


def test_no_command_says_a_secret(planted: Desk) -> None:
    """`Desk.run` seeks the planted secrets in both streams of every command."""
    planted.run("apply", "--yes", "--timeout", "5", "--max-disrupted", "100%")
    assert "***" in planted.run("events").out
    for view in LOOKS:
        planted.secrets = PLANTED - {SEED} if view in DECLARED else PLANTED
        done = planted.run(*view)
        assert "Usage:" not in done.err, (view, done)
    planted.run("plan", "--out", str(planted.folder / "p.json"))
    assert not [one for one in PLANTED if one in (planted.folder / "p.json").read_text("utf-8")]
    assert_kept_without(planted)


def test_the_daemon_says_no_secret(planted: Desk) -> None:
    """In JSON and in text, in its metrics, at its health port, in its ledger."""
    for form in ("json", "text"):
        with planted.daemon("--log-format", form, "--max-disrupted", "100%") as daemon:
            daemon.until(lambda: planted.told("ActionRefused"), "the refusal")
            daemon.end(signal.SIGTERM)
    assert_kept_without(planted)


@contextmanager
def answering(body: Any, status: int = 403) -> Iterator[tuple[str, list[str]]]:
    """A server that gives everybody this answer, a function of what it was asked; and what it was sent."""
    got: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append(str(self.headers))
            data = body(dict(self.headers)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_PATCH = do_GET  # noqa: N815  http.server's names

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", got
        server.shutdown()


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_netbox_that_repeats_its_token_gets_it_nowhere(desk: Desk, status: int) -> None:
    desk.secrets |= PLANTED
    desk.environment["NETBOX"] = NETBOX_TOKEN
    desk.commit(lab=[network(), address("a1")])

    def repeated(headers: dict[str, str]) -> str:
        return json.dumps({"detail": f"{'x' * 370} {headers.get('Authorization')} is not known", NETBOX_TOKEN: "no"})

    with answering(repeated, status) as (url, got):
        options = ("--ipam", "netbox", "--ipam-url", url, "--ipam-token", "env:NETBOX")
        for command in (("plan", "-o", "json"), ("apply", "--yes"), ("ipam", "tree")):
            desk.run(*command, *options)
        assert any(NETBOX_TOKEN in one for one in got), "the token was not even asked for"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://gs:{DATABASE}@127.0.0.1:1/gs?connect_timeout=1",
        f"postgresql://127.0.0.1:1/gs?password={DATABASE}&connect_timeout=1",
        f"postgresql://gs:{DATABASE}@127.0.0.1:x/gs",
        f"postgresql://gs:{DATABASE}@/gs?host=/nowhere",
        f"host=127.0.0.1 port=1 user=gs password={DATABASE}",
        f"mysql://gs:{DATABASE}@127.0.0.1/gs",
        f"postgresql:/gs:{DATABASE}@127.0.0.1/gs",
        f"gs:{DATABASE}@127.0.0.1/gs",
        f"sqlite:///nowhere/x.db?password={DATABASE}",
        f"postgresql://gs:{DATABASE}@127.0.0.1:1/gs?nonsense={DATABASE}&connect_timeout=1",
    ],
)
def test_no_error_of_the_store_says_its_password(desk: Desk, url: str) -> None:
    """The places where a password may stand in a URL, and those where it stands by mistake."""
    desk.secrets |= {DATABASE, "Datab4se"}
    desk.commit(lab=[partition(), machine("m1")])
    desk.run("run", "--listen", "127.0.0.1:0", env={"GROUNDSTATE_STORE": url})
    desk.run("plan", "--store", url)


@pytest.mark.parametrize("place", ["user:{}@", "{}@", "x-access-token:{}@"])
def test_a_git_server_that_repeats_a_token_gets_it_nowhere(desk: Desk, place: str) -> None:
    desk.secrets |= {GIT_TOKEN}
    with answering(lambda _: f"fatal: no access with {GIT_TOKEN}", 403) as (url, _):
        remote = url.replace("http://", "https://" + place.format(GIT_TOKEN)) + "/fleet.git"
        for repo in (remote, remote.replace("https://", "http://"), f"{url}/x.git?private_token={GIT_TOKEN}"):
            assert desk.run("plan", "--repo", repo).code == 1
        with desk.daemon("--repo", remote) as daemon:
            daemon.until(lambda: len(daemon.err.splitlines()) > 1, "a complaint")


@pytest.mark.parametrize(
    "reference",
    [
        {"file": "login"},
        {"exec": ["sh", "-c", f"echo {PASSWORD!r}; echo {PASSWORD!r} >&2; exit 3"]},
        {"exec": ["sh", "-c", f'echo \'{{"username": "{SHORT}", "password": 7, "x": "{SEED}"}}\'']},
        {"exec": [f"/nowhere/{'x' * 10}", PASSWORD]},
        {"env": "BROKEN"},
    ],
)
def test_a_login_that_cannot_be_read_is_not_repeated(desk: Desk, bmc: RedfishServer, reference: dict[str, Any]) -> None:
    desk.secrets |= PLANTED
    desk.environment["BROKEN"] = PASSWORD
    login = desk.repo / "login"
    login.write_text(f"{PASSWORD}\n", "utf-8")
    login.chmod(0o600)
    settings = ", ".join(f"{name} = {json.dumps(value)}" for name, value in reference.items())
    desk.settings(f'credentials.lab = {{{settings}, networks = ["127.0.0.0/8"], insecure = true}}\n')
    desk.commit(lab=[partition(credentialRef={"name": "lab"}, driver="redfish", tls={"insecure": True}),
                     machine("m1", bmc.address, power="On")])  # fmt: skip
    assert "SecretUnavailable" in desk.run("plan", "-o", "json").out
    assert bmc.count("POST", SESSIONS) == 0


DOCUMENTS = (
    f"spec: {{bmc: {{address: 'https://root:{PASSWORD}@bmc.example'}}, partition: lab}}",
    f"spec: {{bmc: {{address: bmc, password: '{PASSWORD}'}}, partition: lab}}",
    f"spec: {{bmc: {{address: bmc, credentialRef: '{PASSWORD}'}}, partition: lab}}",
    f"spec: {{bmc: {{address: bmc, credentialRef: {{password: '{PASSWORD}'}}}}, partition: lab}}",
    f"spec: {{bmc: {{address: bmc, credentialRef: {{env: '{PASSWORD}'}}}}, partition: lab}}",
    f"spec: {{bmc: {{address: bmc, credentialRef: {{name: '{PASSWORD}'}}}}, partition: lab}}",
    f"spec: {{password: '{PASSWORD}', bmc: {{address: bmc}}, partition: lab}}",
)


@pytest.mark.parametrize("spec", DOCUMENTS)
def test_a_password_that_stands_in_a_document_is_not_repeated(desk: Desk, spec: str) -> None:
    """Where people write one by mistake: it is in git, and still in no log of CI."""
    desk.secrets |= {PASSWORD, "Passw0rd"}
    head = "apiVersion: groundstate/v1\nkind: Machine\nmetadata: {name: m1}\n"
    desk.commit(lab=[partition()], m1=head + spec + "\n")
    for command in (("plan",), ("history", "machine/m1"), ("validate", "-o", "json"), ("validate", "-o", "sarif")):
        desk.run(*command)


CRASH = f"""
import sys
sys.argv = ["groundstate", "plan"]
import drivers.registry as registry
real = registry.Registry.secret
def defect(self, reference):
    found = real(self, reference)
    raise SystemError(f"a defect with {{found.password}} in https://x:{GIT_TOKEN}@h/ and {{found.username}}")
registry.Registry.secret = defect
import reconciler.observed.backend as backend
if len(sys.orig_argv) > 3:
    backend.read_failure_of = lambda error: (_ for _ in ()).throw(error)
import cli
cli.main(prog_name="groundstate")
"""


@pytest.mark.parametrize("mode", [[], ["crash"]])
def test_no_traceback_says_a_secret(planted: Desk, mode: list[str]) -> None:
    """A defect of our own, with the password in its words: told of the one machine, or, at worst, as a crash."""
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", CRASH, *mode], cwd=planted.repo, env={**planted.environment, "PYTHONPATH": root},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "a defect with ***" in done.stdout + done.stderr, done
    assert ("Traceback" in done.stderr) is bool(mode), done
    assert not [one for one in PLANTED if one in done.stdout + done.stderr]
