"""A person's desk: a repository of desired state, a store beside it, and the groundstate command as a process.

Whatever a command prints is searched for tracebacks and for the desk's secrets, in every test alike.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest

from reconciler.desired.manifest.manifests import dump_yaml
from reconciler.model.event import Event
from reconciler.store import Store
from tests.e2e import starter

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
RENAMED = 'hostname "$0" && exec "$@"'
COMMAND = [sys.executable, str(ROOT / "cli.py")]
TIMEOUT = 100.0
"""Seconds that a command may take."""
PATIENCE = 40.0
"""Seconds after which something that should happen is not going to."""


class Done(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, read as JSON."""
        return json.loads(self.out)


class Running:
    """A command that is at work; its output goes to files, so that it never waits for a reader."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process, self._out, self._err = process, out, err

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._out.read_text("utf-8")

    @property
    def err(self) -> str:
        """What it has said so far."""
        return self._err.read_text("utf-8")

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log so far: the lines of JSON that it has finished."""
        return [json.loads(line) for line in self.err.splitlines(keepends=True) if line.endswith("\n")]

    def logged(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for a log line with these fields."""
        wanted = {"event": event, **fields}.items()
        return self.until(lambda: next((line for line in self.log if wanted <= line.items()), None), event)

    def until(self, ask: Callable[[], T | None], what: str) -> T:
        """Wait for a truth, as long as the process lives."""

        def asked() -> T | None:
            found = ask()
            if not found and self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode} before {what}:\n{self.err}")
            return found

        return until(asked, what, lambda: self.err)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self, number: signal.Signals | None = None) -> Done:
        """Wait for its end, after a signal if one is given."""
        if number is not None:
            self.send(number)
        self.process.wait(PATIENCE)
        return Done(self.process.returncode, self.out, self.err)


def on_host(name: str) -> list[str]:
    """What goes before a command, so that it finds itself on a host of that name. Skips the test where this user may
    not name one."""
    before = ["unshare", "--uts"]
    if shutil.which("unshare") is None or subprocess.run([*before, "true"], check=False).returncode:
        pytest.skip("only root can name a host")
    return [*before, "sh", "-c", RENAMED, name]


class Desk:
    """`repo` is the repository, `store` the SQLite file; `environment` is added to a clean one."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder, self.repo, self.store = folder, folder / "fleet", folder / "state.db"
        self.secrets: set[str] = set()
        self._started = 0
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GROUNDSTATE", "GIT_"))}
        self.environment = {
            **inherited,
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GROUNDSTATE_STORE": str(self.store),
            **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in _ADA},
            **(environment or {}),
        }
        if not self.repo.exists():
            self.repo.mkdir(parents=True)
            self.git("init", "--quiet", "--initial-branch=main")

    def allow(self, name: str, env: str, ca_file: Path | None = None, *, insecure: bool = False) -> None:
        """Let documents use, in the settings of whoever runs the commands, this credential for BMCs on this machine."""
        where = f'networks = ["127.0.0.0/8"], insecure = {str(insecure).lower()}'
        settings = f'credentials.{name} = {{env = "{env}", {where}}}\n'
        if ca_file is not None:
            settings += f"ca_files = [{json.dumps(str(ca_file))}]\n"
        self.settings(settings)

    def settings(self, text: str) -> None:
        """Be these the user's own settings."""
        file = self.folder / "config" / "groundstate" / "config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        file.chmod(0o600)

    def copy(self, folder: Path) -> Desk:
        """One just like it, of which this one knows nothing. No command may be at work."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Desk(folder)

    def git(self, *arguments: str) -> str:
        """What git prints in the repository."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.repo, env=self.environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def write(self, **files: str | Iterable[Mapping[str, Any]]) -> None:
        """Write files, `name="text"` or `name=[document, ...]`, as name.yaml, without committing them."""
        for name, content in files.items():
            text = content if isinstance(content, str) else "---\n".join(dump_yaml(document) for document in content)
            (self.repo / f"{name}.yaml").write_text(text, "utf-8")

    def commit(self, subject: str = "Declare it", /, **files: str | Iterable[Mapping[str, Any]]) -> str:
        """Write and commit; returns the commit."""
        self.write(**files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def run(self, *arguments: str, stdin: str | None = None, **changes: Any) -> Done:
        """Run groundstate in the repository. `changes`: of subprocess.run's arguments, and to `env`."""
        environment = self.environment | changes.pop("env", {})
        cwd, given = changes.pop("cwd", self.repo), stdin or ""
        if not changes:
            return self.checked(Done(*starter.run(ROOT / "cli.py", arguments, cwd, environment, given, TIMEOUT)))
        done = subprocess.run(
            [*COMMAND, *arguments], input=given, cwd=cwd, env=environment, timeout=TIMEOUT,
            capture_output=True, text=True, check=False, **changes,
        )  # fmt: skip
        return self.checked(Done(done.returncode, done.stdout, done.stderr))

    @contextmanager
    def running(self, *arguments: str, host: str = "", **changes: Any) -> Iterator[Running]:
        """Have groundstate at work for a while. It is killed at the end of the block, if it is still there. `host`: on
        a host of that name."""
        self._started += 1
        out, err = (self.folder / f"{self._started}.{name}" for name in ("out", "err"))
        environment = self.environment | changes.pop("env", {})
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [*(on_host(host) if host else ()), *COMMAND, *arguments],
                **{"cwd": self.repo, "stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": stderr, **changes},
                env=environment,
                start_new_session=True,
            )
        found = Running(process, out, err)
        try:
            yield found
        finally:
            process.kill()
            process.wait()
        self.checked(Done(process.returncode, found.out, found.err))

    def daemon(self, *arguments: str, **changes: Any) -> Any:
        """A daemon that logs JSON and is looked at on a free port."""
        return self.running("run", "--listen", "127.0.0.1:0", "--resync", "1", *arguments, **changes)

    def checked(self, done: Done) -> Done:
        """What holds for every command: no traceback, no secret."""
        said = done.out + done.err
        assert "Traceback (most recent call last)" not in said, said
        # It says there which thread waits where.
        assert not [line for line in said.splitlines() if "NotStopped" in line or "did not stop in time" in line], said
        assert not [secret for secret in self.secrets if secret in said], "a secret was printed"
        return done

    def events(self) -> list[Event]:
        """The ledger, oldest first."""
        if not self.store.exists():
            return []
        store = Store.open(f"sqlite:///{self.store}")
        try:
            return [entry.event for entry in store.events()]
        finally:
            store.close()

    def told(self, reason: str, name: str | None = None) -> list[Event]:
        """The events of that reason, of the resource of that name."""
        return [one for one in self.events() if one.reason == reason and name in (None, one.key and one.key.name)]


def until(ask: Callable[[], T | None], what: str, said: Callable[[], str] = str, patience: float = PATIENCE) -> T:
    """Wait for a truth."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = ask()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come in {patience:.0f} s\n{said()}")


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """A document. `labels` goes to its metadata."""
    labels = spec.pop("labels", None)
    metadata = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "groundstate/v1", "kind": kind, "metadata": metadata, "spec": spec}


def partition(**bmc: Any) -> dict[str, Any]:
    """The partition `lab`, its machines on the fake driver unless `bmc` says otherwise."""
    return document("Partition", "lab", bmc=bmc or {"driver": "fake"})


def machine(name: str, address: str = "", **spec: Any) -> dict[str, Any]:
    """A machine of the partition; its BMC is called like it. `system`: its id on the BMC."""
    bmc = {"address": address or f"bmc-{name}"}
    if system := spec.pop("system", None):
        bmc["systemId"] = system
    return document("Machine", name, partition="lab", bmc=bmc, **spec)


def network(name: str = "net", cidr: str = "10.0.0.0/24", **spec: Any) -> dict[str, Any]:
    """A network of one prefix."""
    return document("Network", name, prefixes=[{"cidr": cidr}], **spec)


def address(name: str, **spec: Any) -> dict[str, Any]:
    """The lowest free address of the network `net`, unless it says otherwise."""
    return document("IPAddress", name, **{"network": "net", **spec})


def without_times(form: Any) -> Any:
    """A form of a plan as any other moment would give it."""
    if isinstance(form, list):
        return [without_times(part) for part in form]
    if isinstance(form, dict):
        return {name: without_times(part) for name, part in form.items() if not name.endswith("_at")}
    return form


_ADA = (("NAME", "Ada"), ("EMAIL", "ada@fleet.example"))
