"""What a real NetBox answered, recorded once and played again, so that the driver's requests are checked without one.

A tape is one test's exchanges; all are in one file, each different exchange once. The player wants the same requests in
the same order, bodies and If-Match included, and fails the test otherwise. `GROUNDSTATE_NETBOX_TAPES=write` beside a
real NetBox records them anew; only what the driver reads of an answer is kept, and neither token nor times.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import requests

TAPES = Path(__file__).with_name("netbox") / "exchanges.json"
_KEPT = {
    *("id", "name", "slug", "prefix", "address", "start_address", "end_address", "dns_name"),
    *("vrf", "tenant", "status", "tags", "custom_fields", "value", "type", "unique", "object_types", "filter_logic"),
    *("groundstate_owner", "groundstate_network", "groundstate_data", "detail", "errors", "index"),
    *("count", "results", "position", "cidr", "reserved", "parent", "shared", "ephemeral", "family"),
}
"""The keys of answers that the driver reads, but for where a person finds the object."""


class Exchange(msgspec.Struct, array_like=True, omit_defaults=True):
    """A request and its answer."""

    method: str
    target: str
    status: int
    answer: Any
    body: Any = None
    if_match: str | None = None
    etag: str | None = None


class Box(msgspec.Struct):
    """The file: every different exchange, and of which of them each tape is made."""

    exchanges: list[Exchange] = []
    tapes: dict[str, list[int]] = {}

    def put(self, name: str, tape: list[Exchange]) -> None:
        """Write a tape, in the place of an older one."""
        tapes = {other: [self.exchanges[at] for at in places] for other, places in self.tapes.items()} | {name: tape}
        places: dict[bytes, int] = {}
        self.exchanges, self.tapes = [], {}
        for other, exchanges in sorted(tapes.items()):
            self.tapes[other] = []
            for one in exchanges:
                place = places.setdefault(msgspec.json.encode(one), len(self.exchanges))
                self.exchanges += [one] if place == len(self.exchanges) else []
                self.tapes[other].append(place)

    def get(self, name: str) -> list[Exchange] | None:
        """A tape; None when nothing was recorded under that name."""
        places = self.tapes.get(name)
        return None if places is None else [self.exchanges[at] for at in places]

    def save(self) -> None:
        """Write the file, an exchange a line."""
        lines = b",\n".join(msgspec.json.encode(one) for one in self.exchanges)
        tapes = b",\n".join(msgspec.json.encode(k) + b":" + msgspec.json.encode(v) for k, v in self.tapes.items())
        TAPES.parent.mkdir(exist_ok=True)
        TAPES.write_bytes(b'{"exchanges":[\n' + lines + b'\n],"tapes":{\n' + tapes + b"\n}}\n")


@cache
def box() -> Box:
    """All that was recorded."""
    return msgspec.json.decode(TAPES.read_bytes(), type=Box) if TAPES.exists() else Box()


class Tape:
    """The exchanges of one test; `problem` is the first thing that was not as recorded."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        self.exchanges, self.at = exchanges, 0
        self.problem: str | None = None
        self.lock = threading.Lock()

    def play(self, got: Exchange) -> Exchange | None:
        """The answer, if this is the request that comes next."""
        with self.lock:
            wanted = self.exchanges[self.at] if self.at < len(self.exchanges) else None
            if wanted is not None and _same(wanted, got):
                self.at += 1
                return wanted
            self.problem = self.problem or f"request {self.at} is {_shown(got)}; recorded is {_shown(wanted)}"
            return None


@contextmanager
def playing(name: str) -> Iterator[str]:
    """The URL of a NetBox that answers as recorded; raises AssertionError when it was asked otherwise."""
    tape = Tape(box().get(name) or [])

    def answer(got: Exchange) -> Exchange:
        found = tape.play(got)
        return found or Exchange(got.method, got.target, 400, {"detail": "not as recorded"})

    with _serving(answer) as url:
        yield url
    assert tape.problem is None, tape.problem
    assert tape.at == len(tape.exchanges), f"{len(tape.exchanges) - tape.at} recorded requests were not made"


@contextmanager
def recording(name: str, real: str) -> Iterator[str]:
    """The URL of a go-between to the real one, which writes the tape."""
    exchanges: list[Exchange] = []
    session = requests.Session()

    def answer(got: Exchange) -> Exchange:
        headers = {"Authorization": "Token " + _TOKEN[0]} | ({"If-Match": got.if_match} if got.if_match else {})
        reply = session.request(got.method, real + got.target, headers=headers, timeout=120, json=got.body)
        text = reply.text
        found = Exchange(
            got.method,
            got.target,
            reply.status_code,
            _lean(json.loads(text)) if text else None,
            got.body,
            got.if_match,
            reply.headers.get("ETag"),
        )
        exchanges.append(_without_times(found, len(exchanges)))
        return found

    _TOKEN[0] = _token()
    with _serving(answer) as url:
        yield url
    session.close()
    _times.clear()
    box().put(name, renumbered(exchanges))
    box().save()


_TOKEN = [""]
_times: dict[str, str] = {}


def _token() -> str:
    return os.environ["GROUNDSTATE_NETBOX_TOKEN"]


def _without_times(one: Exchange, place: int) -> Exchange:
    """An ETag is a time: a number stands for it on the tape."""
    if one.etag:
        _times.setdefault(one.etag, f'W/"{place}"')
    named = {key: _times.get(value, value) for key, value in (("if_match", one.if_match), ("etag", one.etag)) if value}
    return msgspec.structs.replace(one, **named)


def renumbered(exchanges: list[Exchange]) -> list[Exchange]:
    """The same with small ids in the same order, so that what two tests do alike is alike on their tapes."""
    found: set[int] = set()
    for one in exchanges:
        _each_id(one.answer, found.add)
    new = {str(id_): str(at) for at, id_ in enumerate(sorted(found), 1)}

    def number(id_: int) -> int:
        return int(new.get(str(id_), str(id_)))

    return [
        msgspec.structs.replace(
            one,
            target=_IN_TARGET.sub(lambda hit: hit[1] + new.get(hit[2], hit[2]), one.target),
            answer=_each_id(one.answer, number),
            body=_each_id(one.body, number),
        )
        for one in exchanges
    ]


_IN_TARGET = re.compile(r"((?:/|id__gt=|vrf_id=))(\d+)(?=/|&|$)")


def _each_id(value: Any, change: Callable[[int], int | None]) -> Any:
    """The value, with every id in it changed."""
    if isinstance(value, list):
        return [_each_id(one, change) for one in value]
    if not isinstance(value, dict):
        return value
    result = {key: _each_id(one, change) for key, one in value.items()}
    for key in ("id", "vrf", "tenant"):
        if isinstance(result.get(key), int):
            result[key] = change(result[key]) or result[key]
    return result


def _lean(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_lean(one) for one in answer]
    if isinstance(answer, dict):
        choice = answer.keys() == {"value", "label"}
        refused = not choice and not {"id", "results", "name"} & answer.keys()
        kept = {key: _lean(value) for key, value in answer.items() if _is_kept(key, value, refused=refused)}
        for key, names in (("tags", ("slug",)), ("vrf", ("id", "name")), ("tenant", ("id", "name"))):
            if key in kept and not refused:
                kept[key] = _only(kept[key], names)
        return kept
    return answer


def _only(nested: Any, names: tuple[str, ...]) -> Any:
    if isinstance(nested, list):
        return [_only(one, names) for one in nested]
    return {key: nested[key] for key in names if key in nested} if isinstance(nested, dict) else nested


def _is_kept(key: str, value: object, *, refused: bool) -> bool:
    return refused or (key in _KEPT and (key == "results" or value not in ([], None, "")))


def _same(one: Exchange, other: Exchange) -> bool:
    def plain(this: Exchange) -> Any:
        parts = urlsplit(this.target)
        return this.method, parts.path, sorted(parse_qsl(parts.query)), this.body, this.if_match

    return bool(plain(one) == plain(other))


def _shown(one: Exchange | None) -> str:
    return "none" if one is None else f"{one.method} {one.target} {json.dumps(one.body)} If-Match {one.if_match}"


@contextmanager
def _serving(answer: Any) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body in one packet: in two, the second waits 40 ms for the first's acknowledgement.
        wbufsize = -1

        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            got = Exchange(self.command, self.path, 0, None, body, self.headers.get("If-Match"))
            found: Exchange = answer(got)
            content = b"" if found.answer is None else json.dumps(found.answer).encode()
            self.send_response(found.status)
            if found.etag:
                self.send_header("ETag", found.etag)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
