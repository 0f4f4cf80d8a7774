"""A real NetBox on this machine, for tests and measurements: `./dev netbox`.

It needs Python 3.12 or newer, redis-server and the machine's own PostgreSQL; everything else is set up in
`.cache/netbox` at the first start, which takes about six minutes, most of it NetBox's migrations: what they make is
kept as a dump, so that later starts take half a minute. `--test` runs the tests and the benchmark that need it, and
stops; without, it serves until Ctrl-C.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.databases import NoPostgresql, installed_programs, server_url, start_server, stop_server

VERSION = "4.7.3"
ROOT = Path(__file__).parents[1]
HOME = ROOT / ".cache" / "netbox"
PYTHONS = ("python3.14", "python3.13", "python3.12")
START_SECONDS = 120.0
URL, TOKEN, PERSON = "GROUNDSTATE_NETBOX_URL", "GROUNDSTATE_NETBOX_TOKEN", "GROUNDSTATE_NETBOX_PERSON_TOKEN"

_USERS = """
from users.models import Token, User
for name in ('fleet', 'person'):
    user, _ = User.objects.get_or_create(username=name)
    user.is_superuser = user.is_active = True
    user.save()
    Token.objects.filter(user=user).delete()
    token = Token(user=user, version=1)
    token.save()
    print('TOKEN', name, token.token)
"""


def main(arguments: list[str]) -> None:
    """Start it, and serve or test."""
    with serving() as environment:
        for name, value in environment.items():
            print(f"export {name}={value}", flush=True)
        if "--test" not in arguments:
            print("NetBox is up; Ctrl-C stops it.", file=sys.stderr)
            with suppress(KeyboardInterrupt):
                signal.pause()
            return
        code = 0
        tests = ["-m", "pytest", "-n", "0", "tests/drivers/test_ipam_conformance.py", "tests/drivers/test_netbox.py"]
        for command in (tests, ["bench/netbox.py"]):
            done = subprocess.run([sys.executable, *command], cwd=ROOT, env=os.environ | environment, check=False)
            code = code or done.returncode
        sys.exit(code)


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """A NetBox that answers; the variables by which tests find it."""
    with ExitStack() as stack:
        python = _environment()
        database = HOME / "postgresql"
        shutil.rmtree(database, ignore_errors=True)
        try:
            start_server(database, installed=True)
        except NoPostgresql as missing:
            sys.exit(str(missing))
        stack.callback(stop_server, database)
        redis = stack.enter_context(_redis())
        settings = _settings(server_url(database, "netbox"), redis)
        stack.callback(shutil.rmtree, database, ignore_errors=True)
        _fill(python, database, settings)
        tokens = _tokens(python, settings)
        port = _free_port()
        command: list[str | Path] = [
            python.with_name("gunicorn"),
            "--workers",
            "3",
            "--threads",
            "3",
            "--timeout",
            "120",
        ]
        process = _spawn(stack, [*command, "-b", f"127.0.0.1:{port}", "netbox.wsgi"], settings)
        _wait(f"http://127.0.0.1:{port}/api/status/", process)
        yield {URL: f"http://127.0.0.1:{port}", TOKEN: tokens["fleet"], PERSON: tokens["person"]}


def _environment() -> Path:
    """The Python of a virtual environment that has NetBox."""
    venv = HOME / f"venv-{VERSION}"
    python, stamp = venv / "bin" / "python", venv / ".set-up"
    if stamp.is_file():
        return python
    base = _python()
    print(f"Installing NetBox {VERSION} into {venv} ...", file=sys.stderr)
    subprocess.run([base, "-m", "venv", venv], check=True)
    pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    subprocess.run([*pip, f"netbox=={VERSION}", "gunicorn>=23"], check=True)
    stamp.touch()
    return python


def _python() -> str:
    """A Python that NetBox runs on: on PATH, of pyenv, or named. Exits with words when there is none."""
    given = os.environ.get("GROUNDSTATE_NETBOX_PYTHON")
    candidates = [given] if given else [name for name in PYTHONS if shutil.which(name)]
    if not given:
        versions = Path.home() / ".pyenv" / "versions"
        candidates += [str(one) for name in PYTHONS for one in sorted(versions.glob(f"*/bin/{name}"), reverse=True)]
    for one in candidates:
        if subprocess.run([one, "-c", ""], capture_output=True, check=False).returncode == 0:
            return one
    sys.exit("NetBox needs Python 3.12 or newer; install one, or name it in GROUNDSTATE_NETBOX_PYTHON")


@contextmanager
def _redis() -> Iterator[int]:
    """A redis-server on a free port."""
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("NetBox needs redis-server; install it (Debian: apt-get install redis-server)")
    port = _free_port()
    with ExitStack() as stack:
        command: list[str | Path] = [
            program,
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(HOME),
        ]
        _spawn(stack, command, {})
        yield port


def _settings(database: str, redis: int) -> dict[str, str]:
    """NetBox's configuration, written; the environment in which its programs find it."""
    from sqlalchemy import make_url

    url = make_url(database)
    host = str(url.query.get("host") or url.host or "")
    keys = HOME / "keys"
    if not keys.exists():
        keys.write_text(f"{secrets.token_hex(40)}\n{secrets.token_hex(40)}\n")
    key, pepper = keys.read_text().split()
    where = {"HOST": host, "PORT": str(url.port or ""), "NAME": "netbox", "USER": url.username or "postgres"}
    cache = {"HOST": "127.0.0.1", "PORT": redis, "SSL": False}
    app = HOME / "app"
    (app / "conf").mkdir(parents=True, exist_ok=True)
    (app / "conf" / "__init__.py").touch()
    (app / "conf" / "configuration.py").write_text(
        "ALLOWED_HOSTS = ['127.0.0.1']\n"
        f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.postgresql', 'CONN_MAX_AGE': 300, **{where!r}}}}}\n"
        f"REDIS = {{'tasks': {{'DATABASE': 0, **{cache!r}}}, 'caching': {{'DATABASE': 1, **{cache!r}}}}}\n"
        f"SECRET_KEY = {key!r}\nAPI_TOKEN_PEPPERS = {{1: {pepper!r}}}\n"
    )
    return {"NETBOX_ROOT": str(app)}


def _fill(python: Path, database: Path, settings: dict[str, str]) -> None:
    """The migrated database: from the dump, or made and dumped."""
    import psycopg

    with psycopg.connect(server_url(database, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE DATABASE netbox")
    dump, programs, url = HOME / f"netbox-{VERSION}.dump", installed_programs(), server_url(database, "netbox")
    if dump.exists():
        restore: list[str | Path] = [programs / "pg_restore", "--no-owner", "--exit-on-error", "--dbname", url, dump]
        subprocess.run(restore, check=True)
        return
    print("Migrating NetBox's database; this takes about five minutes, once ...", file=sys.stderr)
    with (HOME / "migrate.log").open("wb") as log:
        subprocess.run(
            [python.with_name("netbox"), "migrate"], env=os.environ | settings, stdout=log, stderr=log, check=True
        )
    part = dump.with_suffix(".part")
    subprocess.run([programs / "pg_dump", "--format", "custom", "--file", part, "--dbname", url], check=True)
    part.replace(dump)


def _tokens(python: Path, settings: dict[str, str]) -> dict[str, str]:
    """A superuser for the fleet and one for a person, with a token each."""
    done = subprocess.run(
        [python.with_name("netbox"), "shell"],
        input=_USERS,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    words = [line.split("TOKEN", 1)[1].split() for line in done.stdout.splitlines() if "TOKEN" in line]
    return dict(words)


def _spawn(stack: ExitStack, command: list[str | Path], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start it, and stop it at the end."""
    log = stack.enter_context((HOME / f"{Path(command[0]).name}.log").open("wb"))
    process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)

    def stop() -> None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(stop)
    return process


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until it answers, with whatever."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=30).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.5)
        else:
            return
    sys.exit(f"NetBox did not start; {HOME / 'gunicorn.log'} says why")


if __name__ == "__main__":
    main(sys.argv[1:])
