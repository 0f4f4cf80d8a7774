"""Credential references: what each may look like, and that an error never holds what it should keep."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import pytest

from drivers.base import Credential, SecretUnavailable, hidden
from drivers.secret.environment import EnvSource
from drivers.secret.exec import ExecSource
from drivers.secret.file import FileSource
from drivers.secret.secret_text import secret_lines

SECRET = "hunter2"
ADA = Credential("ada", SECRET)
AS_JSON = f'{{"username": "ada", "password": "{SECRET}"}}'


def secret_file(directory: Path, text: str, mode: int = 0o600) -> str:
    path = directory / "login"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def printing(text: str, code: int = 0) -> list[str]:
    return [sys.executable, "-c", f"import sys; print({text!r}); print({text!r}, file=sys.stderr); sys.exit({code})"]


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"BMC_USERNAME": "ada", "BMC_PASSWORD": SECRET}, ADA),
        ({"BMC": f"ada:{SECRET}"}, ADA),
        ({"BMC": "ada:with:colons"}, Credential("ada", "with:colons")),
        ({"BMC": "old:old", "BMC_USERNAME": "ada", "BMC_PASSWORD": SECRET}, ADA),
    ],
)
def test_the_environment_gives_a_credential(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: Credential
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert EnvSource().resolve("BMC") == expected


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "BMC_USERNAME and BMC_PASSWORD are not set; set them, or BMC as `user:password`"),
        ({"BMC_USERNAME": "ada"}, "BMC_PASSWORD is not set"),
        ({"BMC_PASSWORD": SECRET}, "BMC_USERNAME is not set"),
        ({"BMC": SECRET}, "BMC does not hold `user:password`"),
        ({"BMC": f":{SECRET}"}, "BMC does not hold `user:password`"),
    ],
)
def test_the_environment_lacks_something(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SecretUnavailable) as caught:
        EnvSource().resolve("BMC")
    assert message in str(caught.value)
    assert SECRET not in told(caught.value)


@pytest.mark.parametrize("text", [AS_JSON, f"\n {AS_JSON}\n", f"ada:{SECRET}", f"ada:{SECRET}\nthe rest is not read\n"])
def test_a_file_gives_a_credential(tmp_path: Path, text: str) -> None:
    assert FileSource().resolve(secret_file(tmp_path, text)) == ADA


def test_a_file_is_read_again_at_each_call(tmp_path: Path) -> None:
    source, path = FileSource(), secret_file(tmp_path, "ada:old")
    source.resolve(path)
    Path(path).write_text(f"ada:{SECRET}")
    assert source.resolve(path) == ADA


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o440, 0o640])
def test_a_file_may_be_for_its_owner_and_a_group_to_read(tmp_path: Path, mode: int) -> None:
    assert FileSource().resolve(secret_file(tmp_path, AS_JSON, mode)) == ADA


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o602, 0o644])
def test_a_file_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path, AS_JSON, mode)
    with pytest.raises(SecretUnavailable, match=f"mode {mode:04o}.*run: chmod 600 {path}"):
        FileSource().resolve(path)


@pytest.mark.parametrize(
    "text", ["", SECRET, f'{{"password": "{SECRET}"}}', f'{{"password": "{SECRET}"', f"{{{SECRET}"]
)
def test_a_file_that_makes_no_sense_is_not_repeated(tmp_path: Path, text: str) -> None:
    path = secret_file(tmp_path, text)
    with pytest.raises(SecretUnavailable) as caught:
        FileSource().resolve(path)
    assert path in str(caught.value)
    assert SECRET not in told(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecretUnavailable, match=r"absent cannot be read: No such file"):
        FileSource().resolve(str(tmp_path / "absent"))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(SecretUnavailable, match="not a regular file"):
        FileSource().resolve(str(tmp_path / "pipe"))


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_command_gives_a_credential(kind: type) -> None:
    assert ExecSource().resolve(kind(printing(AS_JSON))) == ADA


def test_a_command_is_no_shell_line(tmp_path: Path) -> None:
    with pytest.raises(SecretUnavailable, match="cannot be run"):
        ExecSource().resolve([f"touch {tmp_path}/touched"])
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (printing(SECRET), "does not give JSON"),
        (printing(f'{{"password": "{SECRET}"}}'), "does not give JSON"),
        (printing(SECRET, code=3), "failed with exit code 3"),
        (["/no/such/command", SECRET], "cannot be run: No such file"),
        (["printf", f"{SECRET}\0"], "NUL"),
    ],
)
def test_a_command_that_fails_shows_neither_output_nor_arguments(command: list[str], message: str) -> None:
    with pytest.raises(SecretUnavailable) as caught:
        ExecSource().resolve(command)
    assert message in str(caught.value)
    assert command[0] in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_command_that_does_not_end_is_killed_with_its_children() -> None:
    # The child holds the output open, so waiting for the command alone would take its whole minute.
    with pytest.raises(SecretUnavailable, match=r"did not end within 0\.2 s"):
        ExecSource(timeout=0.2).resolve(["sh", "-c", "sleep 60 & sleep 60"])


@pytest.mark.parametrize(
    ("source", "reference"),
    [(EnvSource(), 7), (EnvSource(), ""), (FileSource(), []), (ExecSource(), "ls"), (ExecSource(), ["ls", 7])],
)
def test_a_reference_of_the_wrong_shape_is_refused(
    source: EnvSource | FileSource | ExecSource, reference: object
) -> None:
    with pytest.raises(SecretUnavailable, match="credentialRef"):
        source.resolve(reference)


class TestSecretsOfSeveralLines:
    """A private key, of which no line may be shown."""

    KEY = (
        "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXktdjEAAAAA\n" * 3 + "-----END OPENSSH PRIVATE KEY-----"
    )

    def test_all_lines_are_given_and_hidden(self, tmp_path: Path) -> None:
        file = tmp_path / "leaf.key"
        file.write_text(self.KEY + "\n\n")
        file.chmod(0o600)
        assert secret_lines({"file": str(file)}) == self.KEY + "\n"
        assert "b3BlbnNzaC1rZXktdjEAAAAA" not in hidden("refused: b3BlbnNzaC1rZXktdjEAAAAA")

    def test_a_password_is_one_line(self, tmp_path: Path) -> None:
        file = tmp_path / "leaf.password"
        file.write_text("correct-horse\n")
        file.chmod(0o600)
        assert secret_lines({"file": str(file)}) == "correct-horse"

    @pytest.mark.parametrize(("mode", "text"), [(0o644, "key"), (0o600, " \n"), (0o600, b"\xff\xfe")])
    def test_what_cannot_be_used_is_refused(self, tmp_path: Path, mode: int, text: str | bytes) -> None:
        file = tmp_path / "leaf.key"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        file.chmod(mode)
        with pytest.raises(SecretUnavailable, match=r"leaf\.key"):
            secret_lines({"file": str(file)})

    def test_a_reference_has_exactly_one_source(self) -> None:
        with pytest.raises(SecretUnavailable, match="exactly one"):
            secret_lines({"file": "a", "env": "B"})
