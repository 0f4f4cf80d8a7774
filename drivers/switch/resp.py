"""The protocol of redis (RESP2), as far as a configuration needs it. Pure but for the reader, and bounded.

See https://redis.io/docs/latest/develop/reference/protocol-spec/. A library would add nothing: a connection here is a
channel of SSH, and the commands are five.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

RedisReply: TypeAlias = "str | int | list[RedisReply] | RedisError | None"
MOST_ITEMS = 100_000
MOST_VALUE_BYTES = 4 * 1024 * 1024
"""Of one value."""


class RedisError(ValueError):
    """Redis refused a command, or what came is not its protocol."""


class ByteReader(Protocol):
    """What bytes are read from, as asyncio and asyncssh have it."""

    async def readline(self) -> bytes:
        """Up to a line break, or to the end."""

    async def readexactly(self, n: int) -> bytes:
        """So many. Raises EOFError if fewer come."""


def request(*words: str) -> bytes:
    """A command, as redis reads it."""
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


async def reply(reader: ByteReader, depth: int = 3) -> RedisReply:
    """The next answer. A refusal is returned, so that the answers after it are read. Raises RedisError for what is no
    answer, and EOFError."""
    line = await reader.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError("the connection to redis ended")
    mark, rest = line[:1], line[1:-2]
    if mark == b"+":
        return rest.decode(errors="replace")
    if mark == b"-":
        return RedisError(rest.decode(errors="replace"))
    number = _number(rest)
    if mark == b":":
        return number
    if mark == b"$" and number <= MOST_VALUE_BYTES:
        return None if number < 0 else (await reader.readexactly(number + 2))[:-2].decode(errors="replace")
    if mark == b"*" and number <= MOST_ITEMS and depth:
        return None if number < 0 else [await reply(reader, depth - 1) for _ in range(number)]
    raise RedisError(f"an answer begins with {line[:20]!r}, which is not of redis or too large")


def _number(text: bytes) -> int:
    if not text.removeprefix(b"-").isdigit() or len(text) > 20:
        raise RedisError(f"{text[:20]!r} is no number")
    return int(text)


def table(answer: RedisReply) -> dict[str, str]:
    """The fields of a hash; empty for what is none."""
    if not isinstance(answer, list):
        return {}
    words = [word if isinstance(word, str) else "" for word in answer]
    return dict(zip(words[::2], words[1::2], strict=False))
