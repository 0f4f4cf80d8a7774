"""A boot service on real sockets over lives in memory, and what a machine does with it."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from reconciler.kinds.common.machine_facts import BootRequest, FactType
from reconciler.model.event import EventReason
from reconciler.model.resource import ResourceKey
from reconciler.model.token import Grant, TokenPurpose
from reconciler.model.values.boot_purpose import Purpose
from reconciler.services.boot.boot_settings import BootSettings, ListenerLimits
from reconciler.services.boot.cd_image import ROOM
from reconciler.services.boot.http.server import BootServer
from reconciler.services.boot.image_files import Files
from reconciler.services.log import logger
from reconciler.services.provisioning_port import ProvisioningUnavailable, Wait, Work
from reconciler.store import Store

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE, TWO, ORDER = ResourceKey("Machine", "r01-01"), ResourceKey("Machine", "r01-02"), "1-7"
FEW = ListenerLimits(threads=4, poll=0.02)
UUIDS = {ONE: "22222222-0000-4000-8000-000000000001", TWO: "22222222-0000-4000-8000-000000000002"}
MACS = {ONE: "52:54:00:77:02:01", TWO: "52:54:00:77:02:02"}


class Lives:
    """The reconciler's side, in memory."""

    def __init__(self) -> None:
        self.orders = {ONE: BootRequest(ORDER, Purpose.INSTALL, START)}
        self.answered: set[str] = set()
        self.to_do: Work = Wait()
        self.discovering = False
        self.served = {"127.0.0.1"}
        self.strict = False
        """Whether the UUID has to be shown."""
        self.seen: list[FactType] = []
        self.reported: list[tuple[ResourceKey, str, FactType, str]] = []
        self.inventories: dict[ResourceKey, Mapping[str, object]] = {}
        self.strangers: list[tuple[str | None, tuple[str, ...], Mapping[str, object]]] = []
        self.turned_away: list[tuple[ResourceKey | None, str, str]] = []
        self.failures: list[str] = []
        self.broken = self.overtaken = self.away = False
        self._lock = threading.Lock()

    def find(self, uuid: str, macs: Collection[str]) -> ResourceKey | None:
        if self.strict and not uuid:
            return None
        found = {key for key in UUIDS if UUIDS[key] == uuid.lower() or MACS[key] in {mac.lower() for mac in macs}}
        return found.pop() if len(found) == 1 else None

    def resembles(self, macs: Collection[str]) -> ResourceKey | None:
        return next((key for key in MACS if MACS[key] in macs), None)

    def serves(self, key: ResourceKey | None, address: str) -> bool:
        if self.away:
            raise ProvisioningUnavailable("the daemon that decides does not answer; ask again")
        return address in self.served

    def unanswered_boot_request(self, key: ResourceKey) -> BootRequest | None:
        order = self.orders.get(key)
        return order if order is not None and order.id not in self.answered else None

    def boot_request(self, key: ResourceKey) -> BootRequest | None:
        return self.orders.get(key)

    def work(self, key: ResourceKey) -> Work:
        return self.to_do

    def report(self, key: ResourceKey, order: str, fact: FactType, detail: str = "") -> bool:
        with self._lock:
            self.seen.append(fact)
            if self.broken:
                raise RuntimeError("the disk is full: /var/lib/secret")
            if self.overtaken or key not in self.orders or self.orders[key].id != order:
                return False
            if fact is FactType.REGISTERED:
                self.answered.add(order)
            self.reported.append((key, order, fact, detail))
        return True

    def took_inventory(self, key: ResourceKey, collected: Mapping[str, object]) -> None:
        self.inventories[key] = collected

    def found(self, uuid: str | None, macs: Collection[str], collected: Mapping[str, object]) -> None:
        self.strangers.append((uuid, tuple(macs), collected))

    def refused(self, key: ResourceKey | None, reason: EventReason, message: str) -> None:
        self.turned_away.append((key, reason, message))

    def failed(self, what: str, error: BaseException) -> None:
        self.failures.append(f"{what}: {type(error).__name__}")

    def discovers(self, address: str, uuid: str, macs: Sequence[str]) -> bool:
        return self.discovering

    @property
    def facts(self) -> list[FactType]:
        return [fact for _, _, fact, _ in self.reported]


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """A running service, its clock, and requests to it."""

    def __init__(self, store: Store, folder: Path, limits: ListenerLimits = FEW) -> None:
        self.store, self.folder, self.provisioning, self.log = store, folder, Lives(), StringIO()
        self.now = START
        self.files = Files(folder / "files")
        kernel, initrd = (self.keep(f"{name}\n".encode()) for name in ("kernel", "initrd"))
        loaders = folder / "loaders"
        loaders.mkdir()
        (loaders / "ipxe.efi").write_bytes(b"MZ")
        (loaders / "private").write_text("private")
        media = folder / "built.iso"
        media.write_bytes(b"before " + ROOM + b" after")
        settings = BootSettings(
            address="127.0.0.1",
            listen="127.0.0.1",
            http_port=0,
            https_port=0,
            folder=folder / "boot",
            kernel=kernel,
            initrd=initrd,
            loaders=loaders,
            media=media,
            limits=limits,
        )
        self.server = BootServer(
            settings, self.provisioning, store.tokens, self.files, lambda: self.now, logger(self.log, json=True)
        )

    def keep(self, content: bytes) -> str:
        path = self.folder / "given"
        path.write_bytes(content)
        return self.files.add(path)

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        return self._ask(self.plain(), method, path, None, headers)

    def call(
        self, method: str, path: str, token: str | None = None, body: object = None, raw: bytes | None = None
    ) -> Answer:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        content = raw if raw is not None else None if body is None else json.dumps(body).encode()
        return self._ask(self.secure(), method, path, content, headers)

    def plain(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.server.places.http.removeprefix("http://"), timeout=20)

    def secure(self) -> http.client.HTTPConnection:
        context = ssl.create_default_context(cafile=str(self.server.identity.cert))
        return http.client.HTTPSConnection(
            self.server.places.https.removeprefix("https://"), timeout=20, context=context
        )

    @staticmethod
    def _ask(
        connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        try:
            connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def script(self, key: ResourceKey = ONE) -> str:
        return self.get(f"/boot/{UUIDS[key]}?mac={MACS[key]}").text

    def ticket(self, key: ResourceKey = ONE) -> dict[str, str]:
        """The words of the kernel's command line in the machine's script, by name."""
        line = next(line for line in self.script(key).splitlines() if line.startswith("kernel "))
        return dict(word.partition("=")[::2] for word in line.split() if "=" in word)

    def register(self, token: str | None, **changes: Any) -> Answer:
        return self.call("POST", "/agent/v1/register", token, registration(**changes))

    def session(self) -> str:
        answer = self.register(self.ticket()["gs.token"])
        assert answer.status == 200, answer
        return str(answer.json["session"])

    def issue(self, purpose: TokenPurpose = TokenPurpose.BOOT, **changes: Any) -> str:
        grant = Grant(purpose, ONE, ORDER, UUIDS[ONE], (MACS[ONE],), self.now + timedelta(minutes=5))
        return self.store.tokens.issue(msgspec.structs.replace(grant, **changes), self.now)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def until_logged(self, count: int, event: str = "Request") -> list[dict[str, Any]]:
        """The lines of this event, when there are so many: a line is written after its answer was sent."""
        found: list[dict[str, Any]] = until(
            lambda: [line for line in self.lines() if line["event"] == event], lambda got: len(got) >= count
        )
        return found


def until(ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    """What is asked for, when it is good, within ten seconds."""
    for _ in range(1000):
        found = ask()
        if good(found):
            break
        threading.Event().wait(0.01)
    return found


def registration(key: ResourceKey = ONE, **changes: object) -> dict[str, object]:
    said = {"uuid": UUIDS[key], "serial": "C1", "macs": [MACS[key], "52:54:00:99:99:99"], "order": ORDER}
    return {**said, "agent": "1.0", "inventory": {"cpus": 2}, **changes}
