"""A request of a git server: believed only that the repository may have changed, and only with the secret."""

from __future__ import annotations

import hashlib
import hmac
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping

import pytest

from drivers.base import SecretUnavailable
from reconciler import runtime
from reconciler.daemon.follow import EitherFlag
from reconciler.operations.operation_error import OperationError
from reconciler.operations.serving.run_daemon import hook_secrets
from reconciler.services.git_hooks import MOST_BYTES, is_authentic
from reconciler.services.http import HealthServer, Site

SECRET, BODY = "a-hook-Secret-1", b'{"ref": "refs/heads/main"}'
DIGEST = hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
WRONG = "0" * 64

GOOD = [
    {"X-Hub-Signature-256": f"sha256={DIGEST}"},
    {"X-Gitea-Signature": DIGEST},
    {"X-Forgejo-Signature": DIGEST, "X-Gitea-Signature": DIGEST, "X-Hub-Signature-256": f"sha256={DIGEST}"},
    {"X-Gitlab-Token": SECRET},
]
BAD: list[dict[str, str]] = [
    {},
    {"X-Hub-Signature-256": f"sha256={WRONG}"},
    {"X-Hub-Signature-256": "sha256="},
    {"X-Hub-Signature": f"sha1={DIGEST}"},
    {"X-Gitea-Signature": WRONG, "X-Gitlab-Token": SECRET},
    {"X-Gitea-Signature": DIGEST, "X-Hub-Signature-256": WRONG},
    {"X-Gitlab-Token": ""},
    {"X-Gitlab-Token": SECRET + "x"},
    {"X-Gitlab-Token": "gr\xfc\xdfe"},
]


@pytest.mark.parametrize("headers", GOOD, ids=str)
def test_each_server_shows_the_secret_in_its_own_way(headers: Mapping[str, str]) -> None:
    assert is_authentic(SECRET, headers, [BODY[:5], BODY[5:]])
    assert not is_authentic("other", headers, [BODY])


@pytest.mark.parametrize("headers", BAD, ids=str)
def test_all_else_is_refused(headers: Mapping[str, str]) -> None:
    assert not is_authentic(SECRET, headers, [BODY])


class Server:
    """The listener of a daemon, and how often it was asked to read."""

    def __init__(self) -> None:
        self.reads = 0
        lost = SecretUnavailable("the file is gone")

        def gone() -> str:
            raise lost

        hooks = {"git": lambda: SECRET, "gone": gone}
        self.server = HealthServer("127.0.0.1", 0, Site({}, lambda: b"", hooks, self._pushed))

    def _pushed(self) -> None:
        self.reads += 1

    def post(self, path: str, headers: Mapping[str, str], body: bytes = BODY) -> int:
        url = f"http://127.0.0.1:{self.server.port}{path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, dict(headers)), timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code


@pytest.fixture
def listener() -> Iterator[Server]:
    made = Server()
    with made.server:
        yield made


def test_a_push_that_knows_the_secret_asks_for_a_read(listener: Server) -> None:
    assert [listener.post("/hooks/git", headers) for headers in GOOD] == [202] * len(GOOD)
    assert listener.reads == len(GOOD)


@pytest.mark.parametrize("path", ["/hooks/git", "/hooks/other", "/hooks/", "/hooks/gone"])
def test_a_wrong_secret_an_unknown_name_and_a_lost_secret_get_the_same_answer(listener: Server, path: str) -> None:
    headers = BAD[1] if path == "/hooks/git" else GOOD[0]
    assert (listener.post(path, headers), listener.reads) == (403, 0)


def test_a_lost_secret_is_not_an_empty_one(listener: Server) -> None:
    empty = hmac.new(b"", BODY, hashlib.sha256).hexdigest()
    assert (listener.post("/hooks/gone", {"X-Gitea-Signature": empty}), listener.reads) == (403, 0)


@pytest.mark.parametrize(
    "length",
    [
        "-1",
        "+1",
        "x",
        "1_0",
        "\xb2",
        str(MOST_BYTES + 1),
        "9" * 5000,
        "0" * 3000 + "1",
        "0" * 12 + "9" * 3000,
        "0" * 13,
    ],
)
def test_a_body_without_a_sound_length_is_not_read(listener: Server, length: str) -> None:
    assert (listener.post("/hooks/git", {**GOOD[0], "Content-Length": length}), listener.reads) == (413, 0)


@pytest.mark.parametrize("length", ["26214400", "000026214400"])
def test_a_body_that_ends_early_ends_the_reading(listener: Server, length: str) -> None:
    with socket.create_connection(("127.0.0.1", listener.server.port), timeout=20) as sender:
        sender.sendall(f"POST /hooks/git HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode() + b"{")
        sender.shutdown(socket.SHUT_WR)
        assert sender.recv(12) == b"HTTP/1.0 403"


def test_a_hook_is_a_reference_and_never_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", SECRET)
    assert hook_secrets(["git=env:HOOK"])["git"]() == SECRET
    with pytest.raises(OperationError) as caught:
        hook_secrets([f"git={SECRET}", "lost=env:NOT_THERE", "a b=env:HOOK"])
    assert SECRET not in str(caught.value)
    assert "NOT_THERE" in str(caught.value)


@pytest.mark.parametrize(("one", "other"), [(True, False), (False, True), (True, True)])
def test_who_waits_for_either_flag_goes_on_with_one(one: bool, other: bool) -> None:
    flags = (runtime.flag(), runtime.flag())
    either = EitherFlag(*flags)
    assert not either.wait(0)
    for flag, is_set in zip(flags, (one, other), strict=True):
        if is_set:
            flag.set()
    assert either.wait()
