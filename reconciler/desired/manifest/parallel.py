"""Parsing on every processor: of a large repository that is read for the first time, YAML is most of the work.

Each helper is a process that gets files and answers with their documents, in the form in which these are kept on disk.
That form costs a tenth of the parsing to read. What a helper does not answer, for whatever reason, is parsed here."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import IO

import msgspec

from reconciler import runtime
from reconciler.desired.manifest import document_cache
from reconciler.desired.manifest.manifest_files import ManifestFile
from reconciler.desired.manifest.manifests import Parsed, parse_manifest

MIN_BYTES = 2 << 20
"""Below this, helpers have hardly started (about 0.3 s) when the work is done."""
MAX_HELPERS = 7
_SHARE = 128 << 10
_LENGTH = 8

Share = list[tuple[ManifestFile, bytes]]
"""Some files with what they hold."""

# Not by `multiprocessing`, whose processes run the main script of whoever uses this once more.
_HELPER = (
    "import sys; sys.path[:] = sys.argv[1:]; from reconciler.desired.manifest.parallel import help_out; help_out()"
)


def parse_all(
    files: Sequence[ManifestFile], contents: Iterable[tuple[ManifestFile, bytes]]
) -> Generator[tuple[ManifestFile, bytes, Parsed], None, None]:
    """Every file with its contents and what is in it, in any order."""
    helpers = min(_processors() - 1, MAX_HELPERS)
    if helpers < 1 or sum(file.size for file in files) < MIN_BYTES:
        yield from ((file, data, parse_manifest(file.path, data)) for file, data in contents)
        return
    todo = deque(_shares(contents))
    with runtime.pool(helpers, "parse") as pool:
        answers = [pool.submit(_hand_out, todo) for _ in range(helpers)]
        try:
            while share := _taken(todo):
                yield from _parsed(share, {})
        except BaseException:
            todo.clear()  # Nobody goes on with what nobody waits for.
            raise
        for answer in answers:
            for share, known in answer.result():
                yield from _parsed(share, document_cache.decoded(known) if known else {})


def help_out() -> None:
    """What a helper does: answer each share on stdin, until there are no more, with the files in which all is well.

    What is wrong with the others is for the asker to say.
    """
    gc.disable()  # As in every short-lived run: there is nothing to find, and looking takes a third of the time.
    while request := _receive(sys.stdin.buffer):
        share = msgspec.msgpack.decode(request, type=dict[str, bytes])
        parsed = {path: parse_manifest(path, data) for path, data in share.items()}
        _send(
            sys.stdout.buffer,
            document_cache.encoded({path: found.resources for path, found in parsed.items() if not found.broken}),
        )


def _hand_out(todo: deque[Share]) -> list[tuple[Share, bytes]]:
    """Have a helper of its own work for as long as there is something to do. An empty answer is none."""
    done: list[tuple[Share, bytes]] = []
    command = [sys.executable, "-c", _HELPER, *sys.path]
    try:
        # In a session of its own: Ctrl-C is for the one who asked, and a closed pipe ends the helper.
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as helper:
            if helper.stdin is None or helper.stdout is None:
                return done
            while share := _taken(todo):
                done.append((share, b""))
                _send(helper.stdin, msgspec.msgpack.encode({file.path: data for file, data in share}))
                answer = _receive(helper.stdout)
                if not answer:
                    break
                done[-1] = (share, answer)
    except OSError:  # No process to be had, or it has died.
        return done
    return done


def _parsed(share: Share, known: document_cache._KnownBlobs) -> Iterator[tuple[ManifestFile, bytes, Parsed]]:
    for file, data in share:
        records = known.get(file.path)
        found = (
            parse_manifest(file.path, data)
            if records is None
            else Parsed(document_cache.resources(records, file.path), broken=False)
        )
        yield file, data, found


def _shares(contents: Iterable[tuple[ManifestFile, bytes]]) -> Iterator[Share]:
    share: Share = []
    size = 0
    for file, data in contents:
        share.append((file, data))
        size += len(data)
        if size >= _SHARE:
            yield share
            share, size = [], 0
    if share:
        yield share


def _taken(todo: deque[Share]) -> Share | None:
    try:
        return todo.popleft()
    except IndexError:
        return None


def _send(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(len(data).to_bytes(_LENGTH) + data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    """Nothing at the end, or when it ends too soon."""
    length = int.from_bytes(pipe.read(_LENGTH))
    data = pipe.read(length)
    return data if len(data) == length else b""


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
