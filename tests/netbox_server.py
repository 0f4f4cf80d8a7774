"""A real NetBox on this machine, for tests: `./dev netbox`.

Kept in .cache/netbox: a virtual environment with NetBox (its wheel needs Python 3.12 or newer), and a dump of the
migrated database, as migrating takes five minutes. Everything else is made anew in a temporary directory, and gone
afterwards. PostgreSQL must be one with ICU, which the wheel of the development environment lacks.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg

from tests import databases

VERSION = "4.7.3"
ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "netbox"
PACKAGES = (f"netbox=={VERSION}", "gunicorn")
START_SECONDS = 120
SEED = """
from users.models import Token, User
for name, plain in ({tokens!r}).items():
    user, _ = User.objects.get_or_create(username=name)
    user.is_superuser = user.is_active = True
    user.save()
    Token.objects.create(user=user, version=1, token=plain)
"""


class Missing(Exception):
    """Something that NetBox needs is not on this machine; says what, and what to do."""


def main(arguments: list[str]) -> int:
    """Serve until Ctrl-C; with `--test`, run the tests and the benchmark that want a NetBox, and stop."""
    # A shell starts what it puts into the background with Ctrl-C ignored; and kill is to stop everything too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with serving() as environment:
            if "--test" in arguments:
                return _test(environment, [one for one in arguments if one != "--test"])
            sys.stdout.write("".join(f"export {name}={value}\n" for name, value in environment.items()))
            sys.stdout.flush()
            sys.stderr.write("NetBox serves until Ctrl-C.\n")
            signal.pause()
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
    except (Missing, databases.NoPostgresql) as missing:
        sys.stderr.write(f"error: {missing}\n")
        return 1
    return 0


def _test(environment: dict[str, str], options: list[str]) -> int:
    variables = {**os.environ, **environment}
    tests = [sys.executable, "-m", "pytest", "-k", "netbox", "tests/drivers", "--timeout=600", *options]
    codes = [
        subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode
        for command in (tests, [sys.executable, "bench/netbox.py"])
    ]
    return max(codes)


@contextlib.contextmanager
def serving() -> Iterator[dict[str, str]]:
    """A NetBox that serves on loopback: the variables that tell tests where it is. Raises Missing."""
    bin_ = _installed()
    redis = _redis()
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="groundstate-netbox-")))
        # The database server's user has to reach its directory in there.
        home.chmod(0o755)
        postgresql = _postgresql(home / "postgresql")
        stack.callback(databases.stop_server, home / "postgresql")
        redis_port, port = _free_port(), _free_port()
        in_memory = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        stack.enter_context(_running([redis, "--port", str(redis_port), *in_memory], home))
        variables = _configured(bin_, home, redis_port)
        _database(bin_, postgresql, home, variables)
        tokens = {name: secrets.token_hex(20) for name in ("groundstate", "person")}
        _manage(bin_, variables, "shell", text=SEED.format(tokens=tokens))
        workers = ["--workers", "3", "--threads", "3", "--timeout", "120", "--no-control-socket"]
        bound = ["--bind", f"127.0.0.1:{port}", "netbox.wsgi"]
        stack.enter_context(_running([bin_ / "gunicorn", *workers, *bound], home, variables))
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, tokens["groundstate"], home)
        yield {
            "GROUNDSTATE_NETBOX_URL": url,
            "GROUNDSTATE_NETBOX_TOKEN": tokens["groundstate"],
            "GROUNDSTATE_NETBOX_PERSON_TOKEN": tokens["person"],
        }


def _installed() -> Path:
    """The virtual environment's programs; made at the first call."""
    venv = CACHE / f"venv-{VERSION}"
    if not (venv / "ready").exists():
        python = _python()
        shutil.rmtree(venv, ignore_errors=True)
        sys.stderr.write(f"Installing NetBox {VERSION} with {python} ...\n")
        _run([python, "-m", "venv", venv])
        _run([venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *PACKAGES])
        (venv / "ready").touch()
    return venv / "bin"


def _python() -> str:
    """A Python that is new enough: this one, one by name, or one that pyenv or uv keeps."""
    places = [sys.executable, *(f"python3.{minor}" for minor in (14, 13, 12)), "python3"]
    kept = [Path.home() / ".pyenv" / "versions", Path.home() / ".local" / "share" / "uv" / "python"]
    places += [str(path) for folder in kept for path in sorted(folder.glob("*/bin/python3"), reverse=True)]
    for place in places:
        found = shutil.which(place)
        check = "import sys; sys.exit(sys.version_info < (3, 12))"
        if found and not subprocess.run([found, "-c", check], check=False, capture_output=True).returncode:
            return found
    raise Missing(f"NetBox {VERSION} needs Python 3.12 or newer, and there is none here; install one beside this one")


def _redis() -> str:
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        raise Missing("NetBox needs Redis: install the package redis-server (or valkey-server)")
    return found


def _postgresql(directory: Path) -> Path:
    """Start one with ICU, in which alone NetBox's collation can be made; returns its programs' directory."""
    chosen = databases.system_binaries()
    if chosen is None:
        raise Missing(
            "NetBox needs a PostgreSQL with ICU, which the one of the development environment is not: install the "
            "system's postgresql"
        )
    databases.start_server(directory, binaries=chosen)
    return chosen


def _configured(bin_: Path, home: Path, redis_port: int) -> dict[str, str]:
    """Write NetBox's configuration; the variables under which its programs run."""
    root = home / "netbox"
    _run([bin_ / "netbox", "setup", "--target", root])
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": "netbox", "USER": "postgres"}
    redis = {"HOST": "127.0.0.1", "PORT": redis_port, "PASSWORD": "", "SSL": False}
    settings = {
        "ALLOWED_HOSTS": ["127.0.0.1"],
        "DATABASES": {"default": {**database, "PASSWORD": "", "HOST": str(home / "postgresql"), "PORT": ""}},
        "REDIS": {"tasks": {**redis, "DATABASE": 0}, "caching": {**redis, "DATABASE": 1}},
        "SECRET_KEY": secrets.token_hex(40),
        "API_TOKEN_PEPPERS": {1: secrets.token_hex(40)},
    }
    text = "".join(f"{name} = {value!r}\n" for name, value in settings.items())
    (root / "conf" / "configuration.py").write_text(text)
    return {**os.environ, "NETBOX_ROOT": str(root)}


def _database(bin_: Path, postgresql: Path, home: Path, variables: dict[str, str]) -> None:
    """The migrated database: from the dump, or migrated and dumped."""
    place = home / "postgresql"
    major = subprocess.run([postgresql / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    dump = CACHE / f"netbox-{VERSION}-postgresql-{major.split()[-1 if '(' not in major else 2].split('.')[0]}.sql"
    _make_database(databases.server_url(place, "postgres"))
    connect = ["--host", str(place), "--username", "postgres", "--dbname", "netbox"]
    if dump.exists():
        _run([postgresql / "psql", *connect, "--quiet", "--set", "ON_ERROR_STOP=1", "--file", dump])
        return
    sys.stderr.write("Migrating the database, about five minutes, once ...\n")
    _manage(bin_, variables, "migrate")
    part = dump.with_suffix(".part")
    _run([postgresql / "pg_dump", *connect, "--file", part])
    part.rename(dump)


def _make_database(server: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE netbox TEMPLATE template0")


def _manage(bin_: Path, variables: dict[str, str], *arguments: str, text: str = "") -> None:
    _run([bin_ / "netbox", *arguments], variables, text)


def _run(command: list[str | Path], variables: dict[str, str] | None = None, text: str = "") -> None:
    done = subprocess.run(command, env=variables, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"{Path(command[0]).name} failed: {(done.stderr or done.stdout).strip()[-2000:]}")


@contextlib.contextmanager
def _running(command: list[str | Path], home: Path, variables: dict[str, str] | None = None) -> Iterator[None]:
    """A program that runs beside, in a session of its own, so that Ctrl-C leaves its end to us."""
    log = home / f"{Path(command[0]).name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=variables, stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=home, start_new_session=True
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, token: str, home: Path) -> None:
    request = urllib.request.Request(f"{url}/api/status/", headers={"Authorization": f"Token {token}"})
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30):
                return
        except (OSError, urllib.error.URLError) as error:
            if time.monotonic() > until:
                log = (home / "gunicorn.log").read_text(errors="replace")[-2000:]
                raise Missing(f"NetBox does not answer at {url}: {error}\n{log}") from None
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
