"""HTTP/1.1 as a simulated BMC speaks it: requests out of bytes, and answers into bytes. Pure."""

from __future__ import annotations

from http import HTTPStatus

from drivers.bmc.simulator.bmc_messages import RedfishRequest, RedfishResponse

_LONGEST_HEAD, _LONGEST_BODY = 64 * 1024, 4 * 1024 * 1024
_END = b"\r\n\r\n"
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class MalformedRequest(Exception):
    """What arrived is no request that the BMC reads."""


def read_request(buffer: bytes) -> tuple[RedfishRequest, int] | None:
    """The first request in the buffer, and its length in bytes; None: it is not whole yet. Raises MalformedRequest."""
    end = buffer.find(_END)
    if end < 0:
        if len(buffer) > _LONGEST_HEAD:
            raise MalformedRequest
        return None
    lines = buffer[:end].decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise MalformedRequest
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > _LONGEST_BODY or "transfer-encoding" in headers:
        raise MalformedRequest
    whole = end + len(_END) + int(length)
    if len(buffer) < whole:
        return None
    return RedfishRequest(words[0], words[1], headers, buffer[end + len(_END) : whole]), whole


def response_bytes(response: RedfishResponse, most: int | None = None, *, closes: bool = False) -> bytes:
    """The answer; of its body only the first `most` bytes."""
    reason = _REASONS.get(response.status, "Other")
    lines = [f"HTTP/1.1 {response.status} {reason}"]
    if response.status != HTTPStatus.NO_CONTENT:
        lines += ["Content-Type: application/json; charset=utf-8", f"Content-Length: {len(response.body)}"]
    lines += ["OData-Version: 4.0", "Cache-Control: no-cache", *(["Connection: close"] if closes else [])]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + response.body[:most]
