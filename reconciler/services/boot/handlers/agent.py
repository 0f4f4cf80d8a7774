"""The requests and reports of the agent and of the installed system, over HTTPS and with a token."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn, TypeVar, assert_never
from urllib.parse import unquote, urlsplit

import msgspec
from werkzeug import Request, Response

from reconciler import runtime
from reconciler.kinds.common.machine_facts import FactType
from reconciler.kinds.machine.lifecycle.cloud_init import PhoneHome, fill_seed
from reconciler.model.event import EventReason
from reconciler.model.retry import ASK_AGAIN, ASK_LATER
from reconciler.model.token import BadToken, Grant, TokenFault, TokenPurpose
from reconciler.services.boot import identifiers
from reconciler.services.boot.handlers.pages import find_machine
from reconciler.services.boot.handlers.registration import Registration, read_registration, read_report
from reconciler.services.boot.handlers.request_context import (
    RequestContext,
    RequestRefused,
    json_response,
    text_response,
)
from reconciler.services.provisioning_port import Install, PowerOffNow, Wait, Wipe, Work

T = TypeVar("T")

_REPORTS = {
    "alive": FactType.ALIVE,
    "written": FactType.WRITTEN,
    "wiped": FactType.WIPED,
    "agent-failed": FactType.AGENT_FAILED,
}
"""What an agent may report. The other facts are the service's own to state."""

DETAIL, PROOF = 500, 16_000
"""Most characters that are kept of what an agent reports, and of its proof of wiping."""

BEGIN = (TokenPurpose.BOOT, TokenPurpose.DISCOVER)


class Agent:
    """The pages of the HTTPS listener."""

    def __init__(self, context: RequestContext) -> None:
        self._context = context
        self._registering: set[str] = set()
        self._lock = runtime.lock()

    def register(self, request: Request) -> Response:
        """`POST /agent/v1/register`: the boot token, once, for a session."""
        # First the token: a body is read with care, and that is not done for everybody.
        text, grant = self._shown(request, BEGIN)
        with self._alone(grant.boot_request):
            return self._register(request, text, grant)

    @contextmanager
    def _alone(self, request_id: str) -> Iterator[None]:
        """One registration of an order at a time: each may hold megabytes, and a token can be shown often at once."""
        with self._lock:
            if request_id in self._registering:
                raise RequestRefused(
                    503, "another agent is registering for this boot request; try again", retry=ASK_AGAIN
                )
            self._registering.add(request_id)
        try:
            yield
        finally:
            with self._lock:
                self._registering.discard(request_id)

    def _register(self, request: Request, text: str, grant: Grant) -> Response:
        context, said = self._context, _body(request, read_registration)
        self._same_machine(request, grant, said)
        if said.order != grant.boot_request:
            self._stale(request, grant, said.order)
        self._current(request, grant)
        now = context.now()
        session = msgspec.structs.replace(
            grant, purpose=TokenPurpose.SESSION, expires=now + context.settings.session_token_ttl
        )
        try:
            got = context.tokens.exchange(text, BEGIN, session, now)
        except BadToken as bad:
            self._bad(request, bad)
        try:
            taken = self._take(grant, said)
        except BaseException:
            # It was not taken up, so the agent has to come again, with what it has.
            context.tokens.restore(text, got)
            raise
        if not taken:
            self._stale(request, grant, said.order)
        return json_response({"session": got})

    def work(self, request: Request) -> Response:
        """`GET /agent/v1/work`: what to do now, a line for each part."""
        work = self._work(request)
        if isinstance(work, Install) and (url := self._own_copy(work)) is not None:
            work = msgspec.structs.replace(work, url=url)
        return text_response("".join(f"{line}\n" for line in _work_lines(work)))

    def seed(self, request: Request) -> Response:
        """`GET /agent/v1/seed`: a tar of what the installed system finds at its first start; 204 when there is none."""
        context, (_, grant) = self._context, self._shown(request, (TokenPurpose.SESSION,))
        self._current(request, grant)
        work = context.provisioning.work(grant.machine) if grant.machine else PowerOffNow()
        if not isinstance(work, Install) or not work.seed:
            return Response(status=204)
        now = context.now()
        home = msgspec.structs.replace(
            grant, purpose=TokenPurpose.PHONE_HOME, expires=now + context.settings.phone_home_ttl
        )
        token = context.tokens.issue(home, now)
        places = context.places
        way = PhoneHome(f"{places.https}/phone-home/v1", token, places.pin, f"{places.http}/phone-home/v1/{token}")
        answer = Response(packed(fill_seed(work.seed, way), int(now.timestamp())), content_type="application/x-tar")
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def facts(self, request: Request) -> Response:
        """`POST /agent/v1/facts`: what the agent did, or why it cannot."""
        _, grant = self._shown(request, (TokenPurpose.SESSION,))
        said = _body(request, read_report)
        fact = _REPORTS.get(said.type)
        if fact is None:
            raise RequestRefused(400, f"{said.type!r} is not a report type; report types are {', '.join(_REPORTS)}")
        if not self._context.reports.allows(grant.boot_request, self._context.now()):
            raise RequestRefused(503, "too many reports; try again later", retry=ASK_LATER)
        # An undeclared machine has no life that a fact could belong to.
        if grant.machine is not None and not self._context.provisioning.report(
            grant.machine, grant.boot_request, fact, _kept(fact, said.detail)
        ):
            self._stale(request, grant, grant.boot_request)
        return json_response({})

    def phone_home(self, request: Request, token: str | None = None) -> Response:
        """`POST /phone-home/v1`: the installed system is up. The token may stand in the URL for those who can send no
        header, as cloud-init's own module."""
        context = self._context
        text, grant = self._shown(request, (TokenPurpose.PHONE_HOME,), token)
        if grant.machine is None:
            raise RequestRefused(400, "the token does not belong to a machine")
        try:
            context.tokens.use(text, (TokenPurpose.PHONE_HOME,), context.now())
        except BadToken as bad:
            self._bad(request, bad)
        try:
            taken = context.provisioning.report(
                grant.machine, grant.boot_request, FactType.PHONED_HOME, f"from {request.remote_addr}"
            )
        except BaseException:
            context.tokens.restore(text)
            raise
        if not taken:
            self._stale(request, grant, grant.boot_request)
        return json_response({})

    def _work(self, request: Request) -> Work:
        _, grant = self._shown(request, (TokenPurpose.SESSION,))
        if grant.machine is None:
            return PowerOffNow()
        current = self._context.provisioning.boot_request(grant.machine)
        if current is None:
            # The order is settled, so whoever still works on it is done.
            return PowerOffNow()
        if current.id != grant.boot_request:
            self._stale(request, grant, grant.boot_request)
        work = self._context.provisioning.work(grant.machine)
        if isinstance(work, Wait):
            # It reports nothing meanwhile, and that must not be taken for its end.
            self._context.provisioning.report(grant.machine, grant.boot_request, FactType.ALIVE, "the agent waits")
        return work

    def _own_copy(self, work: Install) -> str | None:
        """Where this service has the file of the image itself. At a site the declared URL may be out of reach."""
        blob = self._context.files.open(work.checksum)
        if blob is None:
            return None
        blob.file.close()
        return self._context.files.url(work.checksum, unquote(urlsplit(work.url).path).rpartition("/")[2] or "image")

    def _take(self, grant: Grant, said: Registration) -> bool:
        lives = self._context.provisioning
        collected = {"serial": said.serial, "agent": said.agent, **said.inventory}
        if grant.machine is None:
            lives.found(grant.uuid or identifiers.uuid(said.uuid), identifiers.macs(said.macs), collected)
            return True
        lives.took_inventory(grant.machine, collected)
        return lives.report(grant.machine, grant.boot_request, FactType.REGISTERED, said.agent[:200])

    def _same_machine(self, request: Request, grant: Grant, said: Registration) -> None:
        """What was asked for by a machine may be used by it alone."""
        uuid, macs = identifiers.uuid(said.uuid), identifiers.macs(said.macs)
        wrong = None
        if grant.uuid is not None and (uuid is None or not identifiers.same_uuid(grant.uuid, uuid)):
            wrong = f"the UUID is {uuid or 'missing'}"
        elif not set(grant.macs) <= set(macs):
            wrong = f"network card {grant.macs[0]} is missing"
        elif grant.machine is not None and find_machine(self._context, uuid, macs)[0] != grant.machine:
            wrong = "the UUID and the MAC addresses match neither the BMC nor the document"
        if wrong is not None:
            whose = str(grant.machine) if grant.machine else grant.boot_request
            message = f"a request was refused: a machine used the token of {whose}, but is another machine: {wrong}"
            self._context.refuse(request, 403, EventReason.AGENT_OF_ANOTHER_MACHINE, message, grant.machine)

    def _current(self, request: Request, grant: Grant) -> None:
        if grant.machine is not None:
            current = self._context.provisioning.boot_request(grant.machine)
            if current is None or current.id != grant.boot_request:
                self._stale(request, grant, grant.boot_request)

    def _stale(self, request: Request, grant: Grant, request_id: str) -> NoReturn:
        message = (
            f"a report for boot request {request_id[:100]} was refused: {grant.machine or 'the machine'} was started "
            "for another boot request since then"
        )
        self._context.refuse(request, 409, EventReason.BOOT_REQUEST_NOT_CURRENT, message, grant.machine)

    def _shown(
        self, request: Request, purposes: Collection[TokenPurpose], token: str | None = None
    ) -> tuple[str, Grant]:
        """The token of the request and what it stands for."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        text = token if token is not None else text.strip() if scheme.lower() == "bearer" else ""
        if not text:
            self._context.refuse(request, 401, EventReason.TOKEN_REFUSED, "the request had no token")
        try:
            grant = self._context.tokens.peek(text, purposes, self._context.now())
        except BadToken as bad:
            self._bad(request, bad)
        # An installed system has addresses of its own; the agent has one of the boot network.
        if grant.purpose is not TokenPurpose.PHONE_HOME:
            self._within(request, grant)
        return text, grant

    def _within(self, request: Request, grant: Grant) -> None:
        if not self._context.provisioning.serves(grant.machine, request.remote_addr or ""):
            whose = grant.machine or grant.boot_request
            message = (
                f"a request was refused: the {grant.purpose} token for {whose} was used from an address outside of "
                "spec.boot.networks of the Partition"
            )
            self._context.refuse(request, 403, EventReason.BOOT_ADDRESS_REFUSED, message, grant.machine)

    def _bad(self, request: Request, bad: BadToken) -> NoReturn:
        grant = bad.grant
        # What is shown and was never given out is not repeated: it may be another service's.
        what = "a token" if grant is None else f"the {grant.purpose} token for {grant.machine or grant.boot_request}"
        why = (
            "the token is unknown: this groundstate never issued the token"
            if bad.fault is TokenFault.UNKNOWN
            else f"the token is {bad.fault}"
        )
        message = f"a request with {what} was refused: {why}"
        self._context.refuse(
            request, 401, EventReason.TOKEN_REFUSED, message, grant.machine if grant else None, str(bad)
        )


def _kept(fact: FactType, detail: str) -> str:
    """As much of it as is kept: a proof of wiping has a line for each disk."""
    return detail[: PROOF if fact is FactType.WIPED else DETAIL]


def _work_lines(work: Work) -> list[str]:
    """The work as the agent reads it: `name value`."""
    match work:
        case Wait(seconds=seconds):
            return ["work wait", f"seconds {seconds}"]
        case PowerOffNow():
            return ["work poweroff"]
        case Wipe(known=known):
            return ["work wipe", *_known(known)]
        case Install():
            checksum = work.checksum.removeprefix("sha256:")
            parts = {"image": work.image, "url": work.url, "sha256": checksum, "disk": work.disk}
            parts |= {"size": str(work.size)} if work.size else {}
            for name, value in parts.items():
                if not value or any(character.isspace() for character in value):
                    raise ValueError(
                        f"{name} {value!r} cannot be sent to the agent: the text is empty, or contains white space"
                    )
            return ["work install", *(f"{name} {value}" for name, value in parts.items()), *_known(work.known)]
        case _:
            assert_never(work)


def _known(instances: Collection[str]) -> list[str]:
    """A line for each; not of what could be none that the agent finds."""
    return [f"known {one}" for one in instances if one and not any(character.isspace() for character in one)]


def packed(seed: Mapping[str, str], at: int) -> bytes:
    """A tar of the files, readable by root alone; `at`: their time, in seconds since 1970."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in sorted(seed.items()):
            content = text.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(content), at, 0o600
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _body(request: Request, read: Callable[[bytes], T]) -> T:
    try:
        return read(request.get_data(cache=False))
    except ValueError as error:
        raise RequestRefused(400, f"the body cannot be read: {error}") from None
