"""No credential is shown, whatever the text came from."""

from __future__ import annotations

import os
import stat
import sys
import threading
import traceback
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from reconciler.commands.crash_report import hide_credentials
from reconciler.model.values.redact import redacted
from reconciler.services.log import logger
from reconciler.store import Store, StoreError
from reconciler.store.sql.engines import parse_url
from reconciler.store.sql.store_errors import store_address

SECRET = "S3cret-Pa55"
TOKEN = "gs-Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmFyYmF6MTIzNDU"


@pytest.mark.parametrize(
    "line",
    [
        f"cannot reach https://me:{SECRET}@git.example/fleet.git",
        f"https://{SECRET}@git.example/fleet.git",
        f"https://me:{SECRET}@{SECRET}@git.example/fleet.git",
        f"https://me:{SECRET}/{SECRET}@git.example/fleet.git",
        f"postgresql://db.example/fleet?password={SECRET}&sslmode=require",
        f"postgresql://db.example/fleet?sslpassword={SECRET}",
        f"connection to host=db user=x password='{SECRET} {SECRET}' failed",
        f"BMC_PASSWORD={SECRET}",
        f"gs.token={TOKEN} gs.order=1-7",
        f"POST /phone-home/v1/{TOKEN}",
        f"Invalid header value b'Basic cm9vdDpT{SECRET.replace('-', '')}=='",
        f"{{'Authorization': 'Token {SECRET}'}}",
        f'{{"UserName": "root", "Password": "{SECRET}"}}',
        f"{{'password': b'{SECRET}'}}",
        f"https://netbox.example/api/?api_key={SECRET}",
    ],
)
def test_what_has_the_form_of_a_credential_is_hidden(line: str) -> None:
    shown = redacted(line)
    assert SECRET not in shown
    assert SECRET.replace("-", "") not in shown
    assert TOKEN not in shown


@pytest.mark.parametrize(
    "line",
    [
        "https://10.1.0.11:8443/redfish/v1/Systems/1: it has no Reset action",
        "http://[fe80::1]:80/x, and http://b/y@v1",
        "the boot token for Machine/r01-01 was shown and refused: it is used",
        "Basic authentication is off; --ipam-token is a reference, env:NAME or file:PATH",
        "password authentication failed for user postgres",
        "by Ada <ada@example.org>",
    ],
)
def test_other_text_stays_as_it_is(line: str) -> None:
    assert redacted(line) == line


@given(st.text(min_size=1), st.text(alphabet=st.characters(blacklist_characters="/", blacklist_categories=["Z", "C"])))
def test_nothing_before_the_last_at_of_a_url_is_left(before: str, password: str) -> None:
    shown = redacted(f"{before} https://u:{password}@host.example/x")
    assert shown.endswith("https://host.example/x")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://me:{SECRET}@db.example/fleet", "postgresql://me:***@db.example/fleet"),
        (f"postgresql://me:{SECRET}@{SECRET}@db.example/fleet", "postgresql://me:***@db.example/fleet"),
        (f"postgresql://db.example/fleet?password={SECRET}", "postgresql://db.example/fleet"),
        (
            f"postgresql://db.example/fleet?sslmode=require&passfile=/x&options={SECRET}",
            "postgresql://db.example/fleet?sslmode=require",
        ),
    ],
)
def test_a_store_is_named_without_its_password(url: str, shown: str) -> None:
    assert store_address(parse_url(url)) == shown


@pytest.mark.parametrize("json", [True, False])
def test_a_traceback_in_the_log_has_frames_and_no_local_variables(json: bool) -> None:
    stream = StringIO()
    try:
        _login("root", SECRET)
    except RuntimeError as error:
        logger(stream, json=json).error("StepFailed", key="Machine/x", exc_info=error)
    assert "_login" in stream.getvalue()
    assert "a defect" in stream.getvalue()
    assert SECRET not in stream.getvalue()
    assert TOKEN not in stream.getvalue()


def _login(user: str, password: str) -> None:
    body = {"UserName": user, "Password": password}
    try:
        raise ValueError(f"cannot send {body} with {TOKEN}")
    except ValueError as error:
        raise RuntimeError(f"a defect at https://{user}:{password}@10.0.0.1/") from error


@pytest.mark.parametrize("json", [True, False])
def test_a_field_of_a_log_line_shows_no_credential_however_deep_it_is(json: bool) -> None:
    stream = StringIO()
    log = logger(stream, json=json)
    log.info("Started", store=f"postgresql://a:{SECRET}@h/x", more={"b": [f"token={SECRET}"]}, error=OSError(TOKEN))
    assert SECRET not in stream.getvalue()
    assert TOKEN not in stream.getvalue()


def test_no_traceback_on_the_terminal_shows_a_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StringIO()
    for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(sys, "stderr", stream)
    hide_credentials()
    try:
        _login("root", SECRET)
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    thread = threading.Thread(target=_login, args=("root", SECRET))
    thread.start()
    thread.join()
    assert stream.getvalue().count("RuntimeError: a defect") == 2
    assert SECRET not in stream.getvalue()


def test_an_error_of_the_database_shows_no_parameters(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    with pytest.raises(SQLAlchemyError) as told, store.engine.connect() as connection:
        connection.execute(text("SELECT * FROM nothing WHERE x = :x"), {"x": SECRET})
    store.close()
    assert SECRET not in "".join(traceback.format_exception(told.value))


def test_a_password_with_an_at_sign_as_it_is_reaches_the_database_whole() -> None:
    parsed = parse_url("postgresql://me:a@b@c@db.example/fleet")
    assert (parsed.username, parsed.password, parsed.host) == ("me", "a@b@c", "db.example")


@pytest.mark.parametrize(
    ("url", "host", "password"),
    [
        ("postgresql://db.example:5433/fleet?password=a@b&sslmode=require", "db.example", None),
        ("postgresql://me:p@db.example/fleet?password=a@b@c", "db.example", "p"),
        ("postgresql://me:p?x@y@db.example/fleet", "db.example", "p?x@y"),
    ],
)
def test_an_at_sign_in_a_parameter_is_no_end_of_a_user(url: str, host: str, password: str | None) -> None:
    parsed = parse_url(url)
    assert (parsed.host, parsed.password) == (host, password)
    if "password=" in url:
        assert str(parsed.query["password"]).startswith("a@b")


def test_a_store_that_is_away_is_told_without_its_password() -> None:
    with pytest.raises(StoreError) as told:
        Store.open(f"postgresql://me:{SECRET}@{SECRET}@127.0.0.1:1/x?connect_timeout=1&password={SECRET}")
    assert SECRET not in "".join(traceback.format_exception(told.value))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_only_its_owner_can_read_a_store_whatever_the_umask_is(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
        with store.instance("run"):
            store.put_facts({})
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        store.close()
    finally:
        os.umask(before)
    assert {"state.db", "state.db-wal", "state.db-shm", "state.db.lock"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_a_store_that_is_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    Store.open(f"sqlite:///{file}").close()
    file.chmod(0o644)
    Store.open(f"sqlite:///{file}").close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_lies_beside_a_store_that_is_reached_by_a_link_is_its_owner_s_too(tmp_path: Path) -> None:
    real, link = tmp_path / "real.db", tmp_path / "state.db"
    for one in (real, tmp_path / "real.db-journal"):
        one.touch(0o666)
        one.chmod(0o666)
    link.symlink_to(real)
    Store.open(f"sqlite:///{link}").close()
    assert {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()} == {0o600}
