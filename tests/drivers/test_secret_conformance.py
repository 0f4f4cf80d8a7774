"""Our own sources of credentials pass the suite that outside ones are given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from drivers.base import Credential
from drivers.secret.environment import EnvSource
from drivers.secret.exec import ExecSource
from drivers.secret.file import FileSource
from drivers.testing.secret_conformance import SecretConformance, SecretSubject

PRINT = "import sys; sys.stdout.write(open(sys.argv[1], encoding='utf-8').read())"


class Place:
    """A file that only its owner may read."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "login"

    def put(self, login: Credential) -> str:
        return self.spoil(msgspec.json.encode({"username": login.username, "password": login.password}).decode())

    def spoil(self, text: str) -> str:
        self.path.write_text(text, "utf-8")
        self.path.chmod(0o600)
        return str(self.path)


class TestEnvironment(SecretConformance):
    @classmethod
    @contextmanager
    def start(cls, request: pytest.FixtureRequest) -> Iterator[SecretSubject]:
        patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")

        def spoil(text: str) -> str:
            patch.setenv("BMC", text)
            return "BMC"

        def put(login: Credential) -> str:
            return spoil(f"{login.username}:{login.password}")

        # Any text with a colon is a login there.
        yield SecretSubject(EnvSource(), put, lambda text: spoil(text.replace(":", "")), "ABSENT")


class TestFile(SecretConformance):
    @classmethod
    @contextmanager
    def start(cls, request: pytest.FixtureRequest) -> Iterator[SecretSubject]:
        place = Place(request.getfixturevalue("tmp_path"))
        yield SecretSubject(FileSource(), place.put, place.spoil, str(place.path))


class TestExec(SecretConformance):
    @classmethod
    @contextmanager
    def start(cls, request: pytest.FixtureRequest) -> Iterator[SecretSubject]:
        place = Place(request.getfixturevalue("tmp_path"))

        def printing(path: str) -> list[str]:
            return [sys.executable, "-c", PRINT, path]

        yield SecretSubject(
            ExecSource(),
            lambda login: printing(place.put(login)),
            lambda text: printing(place.spoil(text)),
            ["/no/such/command"],
        )
