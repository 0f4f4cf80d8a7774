"""Machines that boot, run the agent, and run what it wrote: what is behind the fake BMCs in tests of their lives."""

from __future__ import annotations

from msgspec.structs import replace

from drivers.base import BootTarget, PowerState
from drivers.bmc.fake.fake_machine import FakeMachine
from reconciler.kinds.common.machine_facts import FactType
from reconciler.kinds.machine.lifecycle.phases import AgentTask, agent_task, claim_spec
from reconciler.model.resource import ResourceKey
from reconciler.workqueue.loop import CONFIRM
from tests.loop.world import World

DISCS = (BootTarget.CD, BootTarget.USB_CD)
SECONDS = 5.0
"""Between two things that a machine does."""


class Metal:
    """One machine's inside. `disk`: the image on it, None when it is empty; `agent` and `system`: whether they run.

    `ticks_to_write`: how long writing takes. `fails_to_write`: for the reason `failure`. `dead`: nothing starts any
    more. `mute`: the system does not call.
    """

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name, self.key = world, name, ResourceKey("Machine", name)
        self.disk: str | None = None
        self.half_written = False
        self.order: str | None = None
        self.agent = self.system = self.dead = self.mute = self.fails_to_write = False
        self.failure = "the checksum is another"
        self.ticks_to_write, self.written_ticks = 2, 0
        self.writes: list[str] = []
        self._boots = len(self.bmc.booted_from)

    @property
    def bmc(self) -> FakeMachine:
        """The BMC of it."""
        return self.world.bmc(self.name)

    def report(self, fact: FactType, detail: str = "", order: str | None = None) -> bool:
        """Tell the engine, as the services do."""
        taken = self.world.engine.report(self.key, order, fact, detail)
        self.world.loop.put([self.key], CONFIRM)
        return taken

    def tick(self) -> None:
        """One more thing happens inside."""
        if self.bmc.state.power is not PowerState.ON:
            self.agent = self.system = False
            self._boots = len(self.bmc.booted_from)
            return
        if len(self.bmc.booted_from) > self._boots:
            self._boots = len(self.bmc.booted_from)
            self._boot(self.bmc.booted_from[-1])
        elif self.agent:
            self._work()

    def cut_power(self) -> None:
        """The plug is pulled and put in again: it comes up by its own boot order."""
        self.agent = self.system = False
        self.bmc.state = replace(self.bmc.state, power=PowerState.OFF)

    def _boot(self, target: BootTarget | None) -> None:
        order = self.world.machine(self.key).lifecycle.boot_request
        self.agent = self.system = False
        if self.dead:
            return
        started = target in (BootTarget.PXE, BootTarget.UEFI_HTTP) or (target in DISCS and self.bmc.media)
        if started and order is not None and order.registered_at is None:
            self.order, self.agent, self.written_ticks = order.id, True, 0
            self.report(FactType.SCRIPT_SERVED, order=order.id)
            self.report(FactType.REGISTERED, order=order.id)
        elif self.disk is not None and not self.half_written:
            self.system = True
            if not self.mute:
                self.report(FactType.PHONED_HOME)

    def _work(self) -> None:
        facts = self.world.machine(self.key)
        claim = claim_spec(facts, self.world.engine.desired)
        current = facts.lifecycle.boot_request.id if facts.lifecycle.boot_request else None
        todo = agent_task(facts, claim) if current == self.order else AgentTask.POWER_OFF
        match todo:
            case AgentTask.INSTALL if self.fails_to_write:
                self.agent = False
                self.report(FactType.AGENT_FAILED, self.failure, self.order)
                self.bmc.state = replace(self.bmc.state, power=PowerState.OFF)
            case AgentTask.INSTALL:
                self.disk, self.half_written = facts.image, True
                self.written_ticks += 1
                self.report(FactType.ALIVE, f"writing {self.written_ticks}", self.order)
                if self.written_ticks >= self.ticks_to_write:
                    self.half_written = False
                    self.writes.append(str(facts.image))
                    self.report(FactType.WRITTEN, "sha256:" + "0" * 64, self.order)
            case AgentTask.WIPE:
                self.disk = None
                self.writes.append("wiped")
                self.report(FactType.WIPED, "nvme0: discarded", self.order)
            case AgentTask.POWER_OFF:
                self.agent = False
                self.bmc.state = replace(self.bmc.state, power=PowerState.OFF)
            case AgentTask.WAIT:
                pass


def live(world: World, metals: list[Metal], seconds: float) -> None:
    """Let time pass, inside the machines too."""
    until = world.at + seconds
    while world.at < until:
        world.run(SECONDS)
        for metal in metals:
            metal.tick()
