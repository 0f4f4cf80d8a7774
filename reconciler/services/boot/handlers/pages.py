"""What boot programs ask for over plain HTTP: their scripts, and files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from werkzeug import Request, Response
from werkzeug.exceptions import NotFound
from werkzeug.wsgi import FileWrapper

from reconciler.kinds.common.machine_facts import BootRequest, FactType
from reconciler.kinds.machine.lifecycle.virtual_media import IMAGE
from reconciler.model.event import EventReason
from reconciler.model.resource import ResourceKey
from reconciler.model.retry import ASK_AGAIN, ASK_LATER
from reconciler.model.token import Grant, TokenPurpose
from reconciler.model.values.boot_purpose import Purpose
from reconciler.services.boot import identifiers, scripts
from reconciler.services.boot.boot_settings import LOADERS
from reconciler.services.boot.handlers.request_context import RequestContext, RequestRefused, text_response
from reconciler.services.boot.image_files import Blob

PIECE = 128 * 1024
"""Bytes of a file that are read and sent at once."""

NEIGHBOURS = 35
"""Seconds for which an agent listens for the switch, if it says nothing before: they speak every 30 (IEEE 802.1AB)."""

_WAIT = f" in one minute; the machine can ask again in {ASK_LATER} s"

DISCOVER = "discover"
"""What the order of an undeclared machine begins with."""


class Pages:
    """The pages of the plain HTTP listener."""

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def first(self, request: Request) -> Response:
        """`/boot.ipxe`: the script that DHCP points to."""
        return text_response(scripts.first_boot_script(self._context.places.http))

    def machine(self, request: Request, uuid: str = "") -> Response:
        """`/boot/<uuid>?mac=..&mac=..`: the machine's own script. The first MAC is that of the card in use."""
        asked = identifiers.uuid(uuid)
        macs = identifiers.macs(request.args.getlist("mac"))
        key, asked = find_machine(self._context, asked, macs)
        if key is not None:
            return self._known(request, key, asked, macs)
        self._doubt(request, asked, macs)
        if (asked or macs) and self._context.provisioning.discovers(request.remote_addr or "", asked or "", macs):
            return self._discovered(request, asked, macs)
        return text_response(scripts.to_disk("this machine is not declared in git, so it gets no boot script"))

    def _known(self, request: Request, key: ResourceKey, uuid: str | None, macs: tuple[str, ...]) -> Response:
        context, address = self._context, request.remote_addr or ""
        order, served = context.provisioning.unanswered_boot_request(key), context.provisioning.serves(key, address)
        if order is None:
            if served and context.first(f"{FactType.SENT_TO_DISK} {key}", address):
                context.provisioning.report(key, "", FactType.SENT_TO_DISK, f"asked by {address}")
            return text_response(
                scripts.to_disk(f"{key.name} has no boot request, so groundstate does not start the agent")
            )
        if not served:
            message = (
                f"a boot script was refused: {key} requested the boot script from an address outside of "
                "spec.boot.networks of its Partition"
            )
            context.warn(address, EventReason.BOOT_ADDRESS_REFUSED, message, key)
            return text_response(
                scripts.to_disk(
                    f"{key.name} gets no boot script on this network: the address is outside of spec.boot.networks"
                )
            )
        return self._ordered(request, key, order, uuid, macs)

    def _doubt(self, request: Request, uuid: str | None, macs: tuple[str, ...]) -> None:
        """Report why a machine is not treated as the declared one that it resembles. Otherwise the boot request would
        wait without a message."""
        lives, address = self._context.provisioning, request.remote_addr or ""
        key = lives.resembles(macs) if macs else None
        if key is not None and lives.serves(key, address) and lives.unanswered_boot_request(key) is not None:
            message = (
                f"a boot script was refused: the request has a MAC address of {key}, but "
                f"{f'the UUID {uuid}' if uuid else 'no UUID'}. The BMC of {key} reports another UUID. If another "
                f"machine has this MAC address, correct spec.macs of {key}. If the mainboard was replaced, wait for "
                "the next observation of the BMC"
            )
            self._context.warn(address, EventReason.BOOT_MACHINE_DOUBTFUL, message, key)

    def file(self, request: Request, checksum: str, name: str = "") -> Response:
        """`/files/<sha256>/<name>`: a file of the store, or a part of it. The name is for those who look at that."""
        blob = self._context.files.open(checksum)
        if blob is None:
            raise NotFound("the boot service has no such file")
        return send(request, blob, checksum)

    def loader(self, request: Request, name: str) -> Response:
        """`/ipxe.efi` and the like."""
        folder = self._context.settings.loaders
        if folder is None or name not in LOADERS:
            raise NotFound("the boot service has no such file")
        return _from(request, folder, name)

    def media(self, request: Request) -> Response:
        """`/agent.iso`: the CD image, which BMCs fetch in parts."""
        if self._context.settings.media is None:
            raise NotFound(
                "the boot service has no CD image (agent.iso in the directory of --boot-image); run "
                "`groundstate boot image` to make the image"
            )
        return _from(request, self._context.settings.folder, IMAGE)

    def _ordered(
        self, request: Request, key: ResourceKey, boot_request: BootRequest, uuid: str | None, macs: tuple[str, ...]
    ) -> Response:
        if not self._context.orders.allows(boot_request.id, self._context.now()):
            raise RequestRefused(503, f"too many boot scripts requested for this machine{_WAIT}", retry=ASK_LATER)
        ticket = self._ticket(request, Grant(TokenPurpose.BOOT, key, boot_request.id, uuid, macs[:1], self._end()))
        if not self._context.provisioning.report(
            key, boot_request.id, FactType.SCRIPT_SERVED, f"to {request.remote_addr}"
        ):
            raise RequestRefused(
                503,
                "groundstate replaced the boot request of this machine a moment ago; the machine can ask again",
                retry=ASK_AGAIN,
            )
        return self._agent(ticket, NEIGHBOURS if boot_request.purpose is Purpose.INSPECT else 0)

    def _discovered(self, request: Request, uuid: str | None, macs: tuple[str, ...]) -> Response:
        context, now = self._context, self._context.now()
        if not context.strangers.allows(request.remote_addr or "", now) or not context.all_strangers.allows("", now):
            raise RequestRefused(
                503, f"too many boot scripts requested for undeclared machines{_WAIT}", retry=ASK_LATER
            )
        # Tokens of one order replace each other, and two machines' must not.
        order = f"{DISCOVER}-{uuid or macs[0].replace(':', '-')}"
        ticket = self._ticket(request, Grant(TokenPurpose.DISCOVER, None, order, uuid, macs[:1], self._end()))
        return self._agent(ticket, NEIGHBOURS)

    def _end(self) -> datetime:
        return self._context.now() + self._context.settings.boot_token_ttl

    def _ticket(self, request: Request, grant: Grant) -> scripts.Ticket:
        now, places = self._context.now(), self._context.places
        if not self._context.scripts.allows(request.remote_addr or "", now):
            raise RequestRefused(503, f"too many boot scripts requested from this address{_WAIT}", retry=ASK_LATER)
        token = self._context.tokens.issue(grant, now)
        return scripts.Ticket(
            places.https, places.pin, token, grant.boot_request, grant.macs[0] if grant.macs else None
        )

    def _agent(self, ticket: scripts.Ticket, neighbours: int) -> Response:
        settings, files = self._context.settings, self._context.files
        kernel, initrd = files.url(settings.kernel, "vmlinuz"), files.url(settings.initrd, "initrd.img")
        arguments = f"{settings.arguments} gs.lldp={neighbours}"
        return text_response(scripts.to_agent(self._context.places.http, kernel, initrd, ticket, arguments))


def _from(request: Request, folder: Path, name: str) -> Response:
    try:
        file = (folder / name).open("rb", buffering=0)
    except OSError:
        raise NotFound(f"the boot service has no file {name}") from None
    seen = (folder / name).stat()
    return send(request, Blob(file, seen.st_size, seen.st_mtime), f"{seen.st_size:x}-{seen.st_mtime_ns:x}")


def find_machine(
    context: RequestContext, uuid: str | None, macs: tuple[str, ...]
) -> tuple[ResourceKey | None, str | None]:
    """The declared machine, and its UUID the way round in which it was found."""
    for one in dict.fromkeys((uuid, identifiers.byte_swapped_uuid(uuid) if uuid else None)):
        if (one or macs) and (key := context.provisioning.find(one or "", macs)) is not None:
            return key, one or uuid
    return None, uuid


def send(request: Request, blob: Blob, tag: str) -> Response:
    """The file, or the part that is asked for, with what lets a client go on where it stopped (RFC 9110, 13 and 14)."""
    body: Any = FileWrapper(blob.file, PIECE)
    answer = Response(body, direct_passthrough=True, content_type="application/octet-stream")
    answer.call_on_close(blob.file.close)
    answer.content_length = blob.size
    answer.last_modified = datetime.fromtimestamp(blob.modified, UTC)
    answer.set_etag(tag)
    try:
        return answer.make_conditional(request.environ, accept_ranges=True, complete_length=blob.size)
    except BaseException:
        answer.close()
        raise
