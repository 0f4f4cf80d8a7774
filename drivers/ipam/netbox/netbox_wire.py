"""HTTP to a NetBox: pynetbox's requests, each with an end, a size and a name for what went wrong, sent once."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import math
import ssl
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlsplit

import requests
from pynetbox.core.query import AllocationError, ContentError, Request, RequestError
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, NewConnectionError

from drivers.base import (
    AuthenticationFailed,
    Busy,
    DriverError,
    Rejected,
    Unreachable,
    clean,
    hidden,
    read_json,
    require_permit,
)
from drivers.base.support import scheduling
from drivers.bounded_http import ends_at
from drivers.ipam.netbox.netbox_failures import NONSENSE, NotConnected, is_before_sending, is_made_of, words_of

_CONNECT_SECONDS = 5.0
NETBOX_REQUEST_SECONDS = 60.0
"""From the connection to the last byte. Long: NetBox lets one allocation in at a time, and its web server queues the
others. A batch behind seven of others' took it 3 s on two cores."""
_MAX_BODY = 32 * 1024 * 1024
PAGE = 1000
"""Objects asked for at once: the most that NetBox gives unless it is reported otherwise (MAX_PAGE_SIZE)."""
_CHUNK = 64 * 1024
_WORDS = 400
_MOST_WAIT = 86400.0
"""Seconds: NetBox keeps us away for no longer than a day, whatever it says."""
Record = dict[str, Any]
"""An object as NetBox writes it."""


class NetboxRefused(Rejected):
    """NetBox answered and refused. `body` is its answer, decoded; `status` the HTTP status."""

    def __init__(self, message: str, status: int, body: object) -> None:
        super().__init__(message)
        self.status, self.body = status, body


class NetboxConnection:
    """A NetBox's API. Safe for several threads: each request has a connection to itself, and connections are kept.

    `token` is asked for at each request, so that a new one needs no restart. `ca_file` None: the system's CAs.
    Raises Rejected for an address or a CA file that cannot be.
    """

    def __init__(
        self, url: str, token: Callable[[], str], ca_file: str | None = None, seconds: float = NETBOX_REQUEST_SECONDS
    ) -> None:
        self.url = _checked(url)
        self._api, self._token, self._seconds = f"{self.url}/api", token, seconds
        self._context = _context(ca_file) if self.url.startswith("https:") else None
        self._idle: deque[_Session] = deque()

    def all(self, path: str, **filters: Any) -> list[Record]:
        """Every object that the filters let through, by id.

        Each page begins after the last id of the one before. Pages by offset would pass over an object whenever one
        ahead of it is deleted meanwhile. What is passed over looks as if it were gone."""
        found: list[Record] = []
        last, more = 0, True
        while more:
            page, more = self._page(path, {**filters, "id__gt": last, "ordering": "id", "limit": PAGE})
            found += page
            if page and page[-1]["id"] <= last:
                raise Unreachable(f"{self.url}: the pages of the list {path} are not in order: the ids do not ascend")
            last = page[-1]["id"] if page else last
        return found

    def count(self, path: str, **filters: Any) -> int:
        """How many objects the filters let through."""
        with self._sending("GET", path, {**filters, "limit": 1, "brief": 1}) as request:
            # Or else pynetbox follows the pages.
            request.offset = 0
            list(request.get())
            return int(request.count)

    def available(self, path: str, limit: int) -> list[Record]:
        """What a prefix has left (`.../available-ips`, `.../available-prefixes`), the first `limit`."""
        with self._sending("GET", path, {"limit": limit}) as request:
            return cast("list[Record]", list(request.get()))

    def one(self, path: str) -> tuple[Record, str | None] | None:
        """An object and its ETag (None from NetBox before 4.6); None when there is none."""
        try:
            with self._sending("GET", path) as request:
                return next(iter(request.get())), cast("_Session", request.http_session).etag
        except NetboxRefused as refused:
            if refused.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def post(self, path: str, body: Record | list[Record]) -> Any:
        """Make one object, or a list of them, whole or not at all; return what was made. Raises Refused."""
        require_permit()
        with self._sending("POST", path) as request:
            return request.post(body)

    def patch(self, path: str, body: Record | list[Record], etag: str | None = None) -> Any:
        """Change an object, or a list of them with their ids. `etag`: only if it is still this. Raises Refused."""
        require_permit()
        with self._sending("PATCH", path, etag=etag) as request:
            return request.patch(body)

    def delete(self, path: str, body: list[Record] | None = None, etag: str | None = None) -> None:
        """Delete an object, or those that a list names. Raises Refused."""
        require_permit()
        with self._sending("DELETE", path, etag=etag) as request:
            request.delete(body)

    def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            self._idle.pop().close()

    def _page(self, path: str, filters: Mapping[str, Any]) -> tuple[list[Record], bool]:
        with self._sending("GET", path, filters) as request:
            request.offset = 0
            page = list(request.get())
            if not all(isinstance(one, dict) and isinstance(one.get("id"), int) for one in page):
                raise Unreachable(
                    f"{self.url}: the answer to {path} is not a list of objects; check that --ipam-url is "
                    f"the URL of NetBox"
                )
            return page, len(page) < request.count

    @contextlib.contextmanager
    def _sending(
        self, method: str, path: str, filters: Mapping[str, Any] | None = None, etag: str | None = None
    ) -> Iterator[Request]:
        """A request, whose failures come out as DriverErrors."""
        session = self._session()
        session.if_match = etag
        wrote = method != "GET"
        request = Request(f"{self._api}/{path}", session, dict(filters or {}), token=self._token())
        try:
            yield request
        except (RequestError, AllocationError, ContentError) as error:
            raise self._refusal(method, path, error.req) from None
        except (requests.RequestException, HTTPError, OSError, *NONSENSE) as error:
            # After a request that failed half way the connection is out of step.
            session.close()
            sent = wrote and not is_before_sending(error)
            raise Unreachable(f"{self.url}: {words_of(error)}", maybe_sent=sent) from None
        finally:
            self._idle.append(session)

    def _session(self) -> _Session:
        try:
            return self._idle.pop()
        except IndexError:
            return _Session(self._context, self._seconds)

    def _refusal(self, method: str, path: str, reply: requests.Response) -> DriverError:
        """What an answer other than the hoped-for means."""
        status, wrote = reply.status_code, method != "GET"
        body = _json(reply)
        words = f"{self.url}: {method} /api/{path}: {_told(status, body)}"
        if status == HTTPStatus.UNAUTHORIZED or (status == HTTPStatus.FORBIDDEN and "token" in str(body).lower()):
            return AuthenticationFailed(
                f"{words}; NetBox refused the token; check that the token is right, enabled and not expired"
            )
        if status == HTTPStatus.FORBIDDEN:
            return AuthenticationFailed(
                f"{words}; the user of the token lacks a permission; grant the permission in NetBox"
            )
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return Busy(words, retry_after=_seconds(reply.headers.get("Retry-After")))
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            return Unreachable(
                f"{words}; the server redirects to another URL; correct --ipam-url, or the proxy before NetBox"
            )
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or body is None:
            return Unreachable(words, maybe_sent=wrote)
        return NetboxRefused(words, status, body)


class _Session(requests.Session):
    """One connection. Remembers the ETag of its last answer; sends `if_match` where there is one."""

    def __init__(self, context: ssl.SSLContext | None, seconds: float) -> None:
        super().__init__()
        self.if_match: str | None = None
        self.etag: str | None = None
        # Or else a proxy of the environment gets the token, and ~/.netrc goes in its place.
        self.trust_env = False
        adapter = _Adapter(context, seconds)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        if self.if_match:
            kwargs["headers"] = {**(kwargs.get("headers") or {}), "If-Match": self.if_match}
        # A redirected POST becomes a GET.
        kwargs["allow_redirects"] = False
        reply = super().request(method, url, *args, **kwargs)
        if HTTPStatus.MULTIPLE_CHOICES <= reply.status_code < HTTPStatus.BAD_REQUEST:
            raise RequestError(reply)
        self.etag = reply.headers.get("ETag")
        return reply


class _HttpConnection(HTTPConnection):
    @property
    def response_class(self) -> Any:  # type: ignore[override]
        """For one answer; a proxy's to CONNECT is another."""
        return _in_time(self)


class _HttpsConnection(HTTPSConnection):
    @property
    def response_class(self) -> Any:  # type: ignore[override]
        """As above."""
        return _in_time(self)


def _in_time(connection: HTTPConnection) -> Any:
    seconds = connection.timeout
    return ends_at(scheduling.monotonic() + (seconds if isinstance(seconds, int | float) else NETBOX_REQUEST_SECONDS))


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


class _Adapter(HTTPAdapter):
    """Ends each exchange in time, and trusts whom the context trusts, where requests would bring its own CAs."""

    def __init__(self, context: ssl.SSLContext | None, seconds: float) -> None:
        self._context, self._seconds = context, seconds
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def cert_verify(self, *_args: Any, **_kwargs: Any) -> None:
        """Nothing to add: the context verifies."""

    def send(self, request: requests.PreparedRequest, *_args: Any, **kwargs: Any) -> requests.Response:
        """Send it and read the whole answer before the time is over."""
        deadline = scheduling.monotonic() + self._seconds
        timeout = (min(_CONNECT_SECONDS, self._seconds), self._seconds)
        try:
            reply = super().send(request, stream=True, timeout=timeout, proxies=None)
        except requests.ConnectionError as error:
            raise (NotConnected(*error.args) if is_made_of(error, NewConnectionError) else error) from None
        with reply.raw:
            body = bytearray()
            # As much as has come, where stream() would wait for a whole chunk.
            while chunk := reply.raw.read1(_CHUNK, decode_content=True):
                body += chunk
                if scheduling.monotonic() > deadline:
                    raise TimeoutError
                if len(body) > _MAX_BODY:
                    raise ValueError(f"the answer has more than {_MAX_BODY >> 20} MiB")
        reply.raw = io.BytesIO(bytes(body))
        return reply

    def build_response(self, request: Any, raw: Any) -> requests.Response:
        """An answer that is read as far as it makes sense."""
        reply = super().build_response(request, raw)
        reply.__class__ = _Reply
        return reply


class _Reply(requests.Response):
    """An answer whose JSON has its text cleaned."""

    def json(self, **_: Any) -> Any:
        return read_json(self.content or b"")


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    # The text is not shown where it may hold a password.
    if not host or "@" in url or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        shown = "it" if "@" in url else repr(url)
        raise Rejected(f"--ipam-url: {shown} is not https://HOST[:PORT][/PATH]; leave user and password out")
    return url.rstrip("/").removesuffix("/api")


def is_readable_on_the_way(url: str) -> bool:
    """Whether what is sent there leaves this host unencrypted. False for what is no URL."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme != "http":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise Rejected(f"--ipam-ca-file {ca_file}: cannot be read as CA certificates: {error.strerror}") from None


def _json(reply: requests.Response) -> object:
    try:
        return reply.json()
    except ValueError:
        return None


def _told(status: int, body: object) -> str:
    """The status and what NetBox says with it; of what is no JSON (a proxy's page) nothing is repeated."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    if body is None:
        return (
            f"HTTP {status} {phrase}, in a form that is not from NetBox; check --ipam-url, and the proxy before NetBox"
        )
    return f"{status} {phrase}: {netbox_words(body)}"


def netbox_words(body: object) -> str:
    """NetBox's refusal on one line: `field: what is wrong`, joined."""
    text = hidden(clean("; ".join(_flat(body)))) or "no reason given"
    return text if len(text) <= _WORDS else f"{text[:_WORDS]}..."


def _flat(body: object, name: str = "") -> Iterator[str]:
    if isinstance(body, Mapping):
        for key, value in body.items():
            quiet = key in ("detail", "errors", "__all__", "non_field_errors", "index")
            if key != "index":
                yield from _flat(value, name if quiet else str(key))
    elif isinstance(body, list):
        for value in body:
            yield from _flat(value, name)
    else:
        yield f"{name}: {body}" if name else str(body)


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return min(seconds, _MOST_WAIT) if math.isfinite(seconds) and seconds >= 0 else None
