"""What the pages of the boot service share: the sources of their answers, and how a request is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NoReturn

import msgspec
from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException

from reconciler.model.event import EventReason
from reconciler.model.resource import ResourceKey
from reconciler.services.boot.agent_tokens import Tokens
from reconciler.services.boot.boot_settings import BootSettings
from reconciler.services.boot.image_files import Files
from reconciler.services.boot.rate_limit import EventLimit, RateLimit
from reconciler.services.provisioning_port import Provisioning

REFUSED = "groundstate.refused"
"""In a request's environment, for its access line: why it was turned away."""


class Places(msgspec.Struct, frozen=True):
    """Where machines reach the service: the bases of its URLs, and the pin of the API's key."""

    http: str
    https: str
    pin: str


class RequestContext:
    """Everything that a page needs."""

    def __init__(
        self,
        settings: BootSettings,
        provisioning: Provisioning,
        tokens: Tokens,
        files: Files,
        now: Callable[[], datetime],
        log: Any,
        places: Callable[[], Places],
    ) -> None:
        self.settings, self.provisioning, self.tokens, self.files = settings, provisioning, tokens, files
        self.now, self.log, self._places = now, log, places
        self._event_limit = EventLimit()
        self.scripts = RateLimit(60, timedelta(minutes=1))
        """Scripts that lead to the agent, for each address: each costs a token."""
        self.orders = RateLimit(20, timedelta(minutes=1))
        """The same limit for each boot request, for all clients together; and for the reports of each, beside signs of
        life."""
        self.strangers = RateLimit(6, timedelta(minutes=1))
        """Scripts for an undeclared machine, for each address."""
        self.all_strangers = RateLimit(120, timedelta(minutes=1))
        """The same, for all of them together: each is kept for a day."""
        self.reports = RateLimit(60, timedelta(minutes=1))
        """The reports of the agent of one boot request."""

    @property
    def places(self) -> Places:
        """Known when both listeners are."""
        return self._places()

    def refuse(
        self,
        request: Request,
        status: int,
        reason: EventReason,
        message: str,
        machine: ResourceKey | None = None,
        answer: str | None = None,
    ) -> NoReturn:
        """Turn the request away, in the words of `answer` or else of the message. The ledger gets the message,
        unless it got a similar one shortly before."""
        address = request.remote_addr or ""
        request.environ[REFUSED] = reason
        self.warn(address, reason, message, machine)
        raise RequestRefused(status, answer or message)

    def warn(self, address: str, reason: EventReason, message: str, machine: ResourceKey | None = None) -> None:
        """Record that a request was refused, unless a similar one was recorded shortly before."""
        unreported = self._event_limit.passes(reason, address, self.now())
        if unreported is not None:
            others = f"; {unreported} more reports of this kind were not recorded" if unreported else ""
            self.provisioning.refused(machine, reason, f"{address}: {message}{others}")

    def failed(self, page: str, address: str, error: BaseException) -> None:
        """Report that a request failed unexpectedly, unless a similar one was reported shortly before. Never raises:
        what cannot be recorded is in the log."""
        if self._event_limit.passes(page, address, self.now()) is not None:
            with suppress(Exception):
                self.provisioning.failed(f"the request of {address} for {page}", error)

    def first(self, kind: str, address: str) -> bool:
        """Whether it is the first of its kind from there for some time, and so worth a line in the ledger."""
        return self._event_limit.passes(kind, address, self.now()) is not None


class RequestRefused(HTTPException):
    """An answer other than 200, in words for a reader of the agent's log. `retry`: seconds after which to ask again."""

    def __init__(self, status: int, message: str, retry: int | None = None) -> None:
        super().__init__(message)
        self.code, self.retry = status, retry

    def get_response(self, *_: Any, **__: Any) -> Any:
        """werkzeug's hook."""
        answer = text_response(f"{self.description}\n", self.code)
        if self.retry is not None:
            answer.headers["Retry-After"] = str(self.retry)
        return answer


def text_response(body: str, status: int | None = 200) -> Response:
    """Text that is not to be kept: what is true of a machine now may not be in a minute."""
    answer = Response(body, status, content_type="text/plain; charset=utf-8")
    answer.headers["Cache-Control"] = "no-store"
    return answer


def json_response(value: object, status: int = 200) -> Response:
    """JSON, in the same way."""
    answer = Response(msgspec.json.encode(value), status, content_type="application/json")
    answer.headers["Cache-Control"] = "no-store"
    return answer
