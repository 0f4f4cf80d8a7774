"""The two WSGI applications: which page answers what, how much is read, what an error looks like, the access line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import BaseConverter, Map, Rule
from werkzeug.wsgi import ClosingIterator

from drivers.base import OUTSIDE_ERRORS
from reconciler.kinds.machine.lifecycle.virtual_media import IMAGE
from reconciler.model.retry import ASK_AGAIN
from reconciler.runtime import monotonic
from reconciler.services.boot.handlers.agent import Agent
from reconciler.services.boot.handlers.pages import Pages
from reconciler.services.boot.handlers.request_context import REFUSED, RequestContext, RequestRefused, text_response
from reconciler.services.provisioning_port import ProvisioningUnavailable

Page = Callable[..., Response]
Environ = dict[str, Any]

LONGER = "groundstate.longer"
"""In a request's environment: what gives it time for an answer of so many bytes (listener.py)."""

SMALL, LARGE = 64 * 1024, 4 * 1024 * 1024
"""Most bytes of a request's body, and of a registration's, which holds an inventory."""


class _Checksum(BaseConverter):
    """A SHA-256 and nothing else: no path can be made of it."""

    regex = "[0-9a-f]{64}"


class Application:
    """One listener's pages. Never raises, and never shows what went wrong inside. `failed` is informed of an
    unexpected error: of which page, for which address. It does not raise."""

    def __init__(
        self,
        name: str,
        rules: list[Rule],
        pages: Mapping[str, Page],
        log: Any,
        failed: Callable[[str, str, BaseException], None],
    ) -> None:
        self._name, self._pages, self._log, self._failed = name, pages, log, failed
        self._map = Map(rules, converters={"sha256": _Checksum}, strict_slashes=False, merge_slashes=False)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """WSGI's hook."""
        began, request = monotonic(), Request(environ)
        endpoint, answer = self._answer(request)
        size = int(answer.headers.get("Content-Length") or 0)
        environ.get(LONGER, int)(0 if request.method == "HEAD" else size)
        body = answer(environ, start_response)

        def log_request() -> None:
            fields = {"page": endpoint, "status": answer.status_code, "size": size, "why": environ.get(REFUSED)}
            fields["seconds"] = round(monotonic() - began, 3)
            self._log.info(
                "Request",
                listener=self._name,
                client=request.remote_addr,
                method=request.method,
                **{name: value for name, value in fields.items() if value is not None},
            )

        return ClosingIterator(body, [log_request])

    def _answer(self, request: Request) -> tuple[str, Response]:
        endpoint = "none"
        try:
            endpoint, arguments = self._map.bind_to_environ(request.environ).match()
            _limit(request, LARGE if endpoint == "register" else SMALL)
            return endpoint, self._pages[endpoint](request, **arguments)
        except HTTPException as known:
            return endpoint, _in_words(known, request)
        except ProvisioningUnavailable as error:
            self._log.error(
                "RequestFailed", listener=self._name, page=endpoint, client=request.remote_addr, message=str(error)
            )
            return endpoint, _in_words(_ask_again(), request)
        except OUTSIDE_ERRORS as error:  # nothing may get out of here; the caller comes again
            self._log.exception("RequestFailed", listener=self._name, page=endpoint, client=request.remote_addr)
            self._failed(endpoint, request.remote_addr or "", error)
            return endpoint, _in_words(_ask_again(), request)


def boot_pages(context: RequestContext) -> Application:
    """The plain HTTP listener."""
    pages, agent = Pages(context), Agent(context)
    rules = [
        Rule("/boot.ipxe", methods=["GET"], endpoint="first"),
        Rule("/boot/", methods=["GET"], endpoint="machine"),
        Rule("/boot/<uuid>", methods=["GET"], endpoint="machine"),
        Rule("/files/<sha256:checksum>", methods=["GET"], endpoint="file"),
        Rule("/files/<sha256:checksum>/<name>", methods=["GET"], endpoint="file"),
        Rule("/phone-home/v1/<token>", methods=["POST"], endpoint="phone-home"),
        Rule(f"/{IMAGE}", methods=["GET"], endpoint="media"),
        Rule("/<name>", methods=["GET"], endpoint="loader"),
    ]
    made: dict[str, Page] = {
        "first": pages.first,
        "machine": pages.machine,
        "file": pages.file,
        "loader": pages.loader,
        "media": pages.media,
        "phone-home": agent.phone_home,
    }
    return Application("http", rules, made, context.log, context.failed)


def agent_pages(context: RequestContext) -> Application:
    """The HTTPS listener."""
    agent = Agent(context)
    rules = [
        Rule("/agent/v1/register", methods=["POST"], endpoint="register"),
        Rule("/agent/v1/work", methods=["GET"], endpoint="work"),
        Rule("/agent/v1/seed", methods=["GET"], endpoint="seed"),
        Rule("/agent/v1/facts", methods=["POST"], endpoint="facts"),
        Rule("/phone-home/v1", methods=["POST"], endpoint="phone-home"),
    ]
    made: dict[str, Page] = {
        "register": agent.register,
        "work": agent.work,
        "seed": agent.seed,
        "facts": agent.facts,
        "phone-home": agent.phone_home,
    }
    return Application("https", rules, made, context.log, context.failed)


def _ask_again() -> RequestRefused:
    return RequestRefused(503, "the service cannot answer now; ask again", retry=ASK_AGAIN)


def _limit(request: Request, most: int) -> None:
    if request.method not in ("POST", "PUT", "PATCH"):
        return
    if (request.content_length or 0) > most:
        # Whoever still sends would not see the answer. The listener lets no more than LARGE come to here.
        while request.environ["wsgi.input"].read(SMALL):
            pass
        raise RequestEntityTooLarge(f"the body has more than {most} bytes")
    request.max_content_length = most


def _in_words(known: HTTPException, request: Request) -> Response:
    """The error as a line of text. werkzeug's own pages are HTML."""
    if isinstance(known, RequestRefused):
        answer: Response = known.get_response()
        return answer
    if known.response is not None:
        return text_response(f"{known.name}\n", known.response.status_code)
    answer = text_response(f"{known.description or known.name}\n", known.code)
    for name, value in known.get_headers(request.environ):
        if name.lower() not in ("content-type", "content-length"):
            answer.headers[name] = value
    return answer
