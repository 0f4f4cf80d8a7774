"""The inside of a simulated machine that claims may get: its disk, the agent that boots on it, the system that runs.

It speaks to the daemon as the boot service does for real agents. Each request runs in a thread of the daemon's process.
It gets no answer if the daemon is away, killed or stopped meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from drivers.base import BootTarget, PowerState
from drivers.bmc.fake.fake_machine import FakeMachine
from reconciler import runtime
from reconciler.kinds.common.machine_facts import FactType
from reconciler.kinds.machine.lifecycle import cloud_init
from reconciler.model.resource import ResourceKey
from reconciler.operations.simulation.verdict.claims_record import DiskChange, Installation
from reconciler.services.provisioning_port import Install, PowerOffNow, Provisioning, Wipe, Work

T = TypeVar("T")
_TICK_SECONDS = 5.0
"""Between two things that a machine does."""
_WRITING_TICKS, _BOOT_TRIES = 6, 6
_META = re.compile(r'(instance-id|local-hostname): "([^"]+)"')
_REQUEST = re.compile(r"^# request (.*)$", re.MULTILINE)
_ADDRESS = re.compile(r"\d+(?:\.\d+){3}(?=/)")


class NoAnswer(Exception):
    """The boot service does not answer, or its answer is an error: ask again."""


class AnsweringService(Protocol):
    """Who answers machines."""

    def ask(self, question: Callable[[Provisioning], T]) -> T:
        """The answer of the daemon that runs now. Raises NoAnswer."""
        ...


class SimulatedMachine:
    """`disk`: the installation on its disk. `changes`: what was done to the disk, oldest first. `system`: whether the
    installation runs. `fails_next`: how many of the next installations fail."""

    def __init__(self, name: str, bmc: FakeMachine, service: AnsweringService) -> None:
        self.key, self._bmc, self._service = ResourceKey("Machine", name), bmc, service
        self.disk: Installation | None = None
        self.changes: list[DiskChange] = []
        self.system, self.fails_next = False, 0
        self._order: str | None = None
        self._task: Work | None = None
        self._boots, self._booting, self._ticks, self._phoned = len(bmc.booted_from), 0, 0, False

    def run(self) -> None:
        """Live."""
        while True:
            runtime.sleep(_TICK_SECONDS)
            try:
                self._tick()
            except NoAnswer:
                continue

    def empty(self) -> None:
        """A person empties its disk, and leaves it off."""
        self.disk, self.system, self._booting = None, False, 0
        self._switch_off()

    @property
    def is_installing(self) -> bool:
        """Whether an agent writes its disk now."""
        return self._order is not None and self._ticks > 0

    @property
    def is_idle(self) -> bool:
        """Whether it is on and nothing runs in it, as after a press of the button of an empty machine."""
        is_busy = self.system or self._booting > 0 or self._order is not None
        return self._bmc.state.power is PowerState.ON and not is_busy

    @property
    def running(self) -> Installation | None:
        """The system that runs."""
        return self.disk if self.system and self._bmc.state.power is PowerState.ON else None

    def _tick(self) -> None:
        if self._bmc.state.power is not PowerState.ON:
            self.system, self._order, self._booting = False, None, 0
            self._boots = len(self._bmc.booted_from)
            return
        if len(self._bmc.booted_from) > self._boots:
            self._boots = len(self._bmc.booted_from)
            self.system, self._order, self._booting = False, None, _BOOT_TRIES
        if self._booting:
            self._boot(self._bmc.booted_from[-1])
        elif self._order is not None:
            self._work(self._order)
        elif self.system and not self._phoned:
            self._phone_home()

    def _boot(self, target: BootTarget | None) -> None:
        self._booting -= 1
        if target is not BootTarget.HDD:
            # The firmware tries the network for a while, and then the disk.
            try:
                if self._started_agent():
                    self._booting = 0
                    return
            except NoAnswer:
                if self._booting:
                    return
        self._booting = 0
        self.system = self.disk is not None and self.disk.is_whole

    def _started_agent(self) -> bool:
        """Whether the script of the boot service led to an agent, which has registered."""
        request = self._service.ask(lambda service: service.unanswered_boot_request(self.key))
        if request is None:
            self._service.ask(lambda service: service.report(self.key, "", FactType.SENT_TO_DISK))
            return False
        self._report(request.id, FactType.SCRIPT_SERVED)
        if not self._report(request.id, FactType.REGISTERED):
            return False
        self._order, self._ticks = request.id, 0
        return True

    def _work(self, order: str) -> None:
        match self._todo(order):
            case Install() as work if self._is_strange(work.known):
                self._fail(order, f"the disk has the unknown installation {self.disk and self.disk.instance}")
            case Wipe() as work if self._is_strange(work.known):
                self._fail(order, f"the disk has the unknown installation {self.disk and self.disk.instance}")
            case Install() if self.fails_next:
                self.fails_next -= 1
                self._fail(order, "the checksum is another")
            case Install() as work:
                self._install(order, work)
            case Wipe():
                self._change(order, None)
                self._report(order, FactType.WIPED, "nvme0: discarded")
            case PowerOffNow():
                self._switch_off()
            case _:
                self._report(order, FactType.ALIVE, "the agent waits")

    def _todo(self, order: str) -> Work:
        """As the handler of the boot service decides. An agent that writes an image does not ask again."""
        current = self._service.ask(lambda service: service.boot_request(self.key))
        if current is None or current.id != order:
            return PowerOffNow()
        if not self._ticks or self._task is None:
            self._task = self._service.ask(lambda service: service.work(self.key))
        return self._task

    def _is_strange(self, known: tuple[str, ...]) -> bool:
        return self.disk is not None and self.disk.instance not in known

    def _install(self, order: str, work: Install) -> None:
        self._ticks += 1
        if self._ticks == 1:
            self._change(order, _installation(work))
        if self._ticks < _WRITING_TICKS:
            self._report(order, FactType.ALIVE, f"writing {self._ticks}")
        elif self._report(order, FactType.WRITTEN, "sha256:" + "0" * 64) and self.disk is not None:
            self.disk = msgspec.structs.replace(self.disk, is_whole=True)
            self._phoned, self._ticks = False, 0

    def _change(self, order: str, after: Installation | None) -> None:
        self.changes.append(DiskChange(runtime.monotonic(), self.key.name, order, self.disk, after))
        self.disk = after

    def _phone_home(self) -> None:
        order = self.disk.order if self.disk is not None else ""
        self._report(order, FactType.PHONED_HOME)
        self._phoned = True

    def _fail(self, order: str, why: str) -> None:
        self._report(order, FactType.AGENT_FAILED, why)
        self._switch_off()

    def _switch_off(self) -> None:
        self._order = None
        self._bmc.state = msgspec.structs.replace(self._bmc.state, power=PowerState.OFF)

    def _report(self, order: str, fact: FactType, detail: str = "") -> bool:
        return self._service.ask(lambda service: service.report(self.key, order, fact, detail))


def _installation(work: Install) -> Installation:
    meta = dict(_META.findall(work.seed[cloud_init.META]))
    claim, _, slot = meta["local-hostname"].rpartition("-")
    request, instance = _REQUEST.findall(work.seed[cloud_init.USER])[0], meta["instance-id"]
    addresses = tuple(_ADDRESS.findall(work.seed[cloud_init.NETWORK]))
    return Installation(instance, claim, int(slot), request, addresses, order=instance.split("-", 1)[1])
