"""What every driver of switches does: inherit from SwitchConformance, say how a switch starts, and run pytest.

class TestMine(SwitchConformance):
    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[SwitchSubject]:
        return a_switch_to_test_with()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import msgspec
import pytest

from drivers.base import (
    DriverError,
    LinkState,
    ManagedSwitch,
    PortConfig,
    Rejected,
    SwitchConfig,
    SwitchDriver,
    SwitchEndpoint,
    SwitchPort,
    SwitchScope,
    SwitchState,
    Unreachable,
    VrfConfig,
)
from drivers.base.support import scheduling

UNPROVISIONED = 4000
RED, BLUE = VrfConfig(104001, 1001, ("10.1.0.0/24",)), VrfConfig(104002, 1002, ("10.2.0.0/24",))
VRFS = {"Vrf104001": RED, "Vrf104002": BLUE}


class SwitchSubject(msgspec.Struct, frozen=True):
    """A driver to test, and a switch that answers. The two `ports` exist, and are in no VRF and no VLAN that matters.

    `away`: the switch does not answer within that block; None: this cannot be had. `by_hand`: a person moves the first
    port into the VLAN. `passes`: time goes on, for a switch in virtual time. `has_bgp`: LLDP and BGP run on it.
    """

    driver: SwitchDriver
    endpoint: SwitchEndpoint
    ports: tuple[str, str]
    uplinks: tuple[str, ...] = ()
    away: Callable[[], AbstractContextManager[None]] | None = None
    by_hand: Callable[[int], None] | None = None
    passes: Callable[[], None] = lambda: scheduling.sleep(0.05)
    patience: int = 200
    """How often it is read until what was applied must be seen."""

    def config(self, *ports: PortConfig, absent: tuple[str, ...] = ()) -> SwitchConfig:
        """What the ports are to be, in order, with both VRFs but those that are to be absent."""
        return SwitchConfig(
            scope=SwitchScope.ALL,
            unprovisioned_vlan=UNPROVISIONED,
            ports=dict(zip(self.ports, ports, strict=False)),
            vrfs={name: vrf for name, vrf in VRFS.items() if name not in absent},
            absent_vrfs=absent,
            loopback="10.0.0.11",
            asn=4200000011,
            uplinks=self.uplinks,
        )


FREE, IN_RED, IN_BLUE = PortConfig(UNPROVISIONED), PortConfig(vrf="Vrf104001"), PortConfig(vrf="Vrf104002")


class SwitchConformance:
    """The suite. A subclass whose name begins with Test is run."""

    @classmethod
    def start(cls, request: pytest.FixtureRequest) -> AbstractContextManager[SwitchSubject]:
        """A switch, for one test. `request`: pytest's, for fixtures of your own."""
        raise NotImplementedError

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest) -> Iterator[SwitchSubject]:
        """What `start` gives."""
        with self.start(request) as started:
            yield started

    @pytest.fixture
    def switch(self, subject: SwitchSubject) -> ManagedSwitch:
        """The switch, opened."""
        return subject.driver.open(subject.endpoint)

    def test_it_shows_its_ports_with_admin_and_oper_apart(self, subject: SwitchSubject, switch: ManagedSwitch) -> None:
        state = switch.read()
        assert set(subject.ports) <= set(state.ports)
        assert all(state.ports[name].name == name for name in subject.ports)
        assert {state.ports[name].admin for name in subject.ports} <= {LinkState.UP, LinkState.DOWN, None}

    def test_a_free_port_is_in_the_unprovisioned_vlan_and_in_no_vrf(
        self, subject: SwitchSubject, switch: ManagedSwitch
    ) -> None:
        switch.apply(subject.config(FREE, FREE))
        for port in self.seen(subject, switch, FREE, FREE):
            assert (port.vlan, port.vrf) == (UNPROVISIONED, None)

    def test_ports_go_into_the_vrfs_of_their_tenants_and_back(
        self, subject: SwitchSubject, switch: ManagedSwitch
    ) -> None:
        for wanted in ((FREE, FREE), (IN_RED, IN_BLUE), (FREE, IN_BLUE), (IN_RED, FREE)):
            switch.apply(subject.config(*wanted))
            self.seen(subject, switch, *wanted)
        assert switch.read().vrfs["Vrf104001"] == RED.vni

    def test_a_port_that_is_not_named_is_left_alone(self, subject: SwitchSubject, switch: ManagedSwitch) -> None:
        switch.apply(subject.config(FREE, FREE))
        self.seen(subject, switch, FREE, FREE)
        switch.apply(subject.config(IN_RED))
        _, second = self.seen(subject, switch, IN_RED, FREE)
        assert second.vlan == UNPROVISIONED

    def test_the_same_again_changes_nothing(self, subject: SwitchSubject, switch: ManagedSwitch) -> None:
        """infra-controller#5772: a configuration that was unchanged was applied."""
        config = subject.config(IN_RED, FREE)
        switch.apply(subject.config(FREE, FREE))
        self.seen(subject, switch, FREE, FREE)
        switch.apply(config)
        self.seen(subject, switch, IN_RED, FREE)
        assert switch.check(config) == ()
        switch.apply(config)
        self.seen(subject, switch, IN_RED, FREE)

    def test_a_check_says_what_would_change_and_changes_nothing(
        self, subject: SwitchSubject, switch: ManagedSwitch
    ) -> None:
        switch.apply(subject.config(FREE, FREE))
        self.seen(subject, switch, FREE, FREE)
        assert switch.check(subject.config(IN_RED, FREE))
        assert _matches(switch.read().ports[subject.ports[0]], FREE)

    def test_a_port_is_switched_off_and_on(self, subject: SwitchSubject, switch: ManagedSwitch) -> None:
        for admin in (LinkState.DOWN, LinkState.UP):
            wanted = PortConfig(UNPROVISIONED, admin=admin)
            switch.apply(subject.config(wanted, FREE))
            self.seen(subject, switch, wanted, FREE)

    def test_a_vrf_without_ports_is_removed(self, subject: SwitchSubject, switch: ManagedSwitch) -> None:
        switch.apply(subject.config(IN_RED, FREE))
        self.seen(subject, switch, IN_RED, FREE)
        switch.apply(subject.config(FREE, FREE))
        self.seen(subject, switch, FREE, FREE)
        switch.apply(subject.config(FREE, FREE, absent=("Vrf104001",)))
        self.until(subject, switch, lambda state: "Vrf104001" not in state.vrfs)

    def test_what_the_switch_does_not_have_is_refused_before_anything_is_done(
        self, subject: SwitchSubject, switch: ManagedSwitch
    ) -> None:
        switch.apply(subject.config(FREE, FREE))
        self.seen(subject, switch, FREE, FREE)
        config = subject.config(IN_RED, IN_RED)
        wrong = msgspec.structs.replace(config, ports={**config.ports, "no-such-port": FREE})
        with pytest.raises(Rejected, match="no-such-port"):
            switch.apply(wrong)
        assert all(_matches(switch.read().ports[name], FREE) for name in subject.ports)

    def test_one_that_does_not_answer_is_unreachable(self, subject: SwitchSubject, switch: ManagedSwitch) -> None:
        if subject.away is None:
            return
        with subject.away():
            for call in (switch.read, lambda: switch.apply(subject.config(FREE, FREE))):
                with pytest.raises(Unreachable) as caught:
                    call()
                assert str(caught.value)
        switch.read()

    def test_what_a_person_changed_is_seen_and_put_right(self, subject: SwitchSubject, switch: ManagedSwitch) -> None:
        switch.apply(subject.config(FREE, FREE))
        self.seen(subject, switch, FREE, FREE)
        if subject.by_hand is None:
            return
        subject.by_hand(UNPROVISIONED + 1)
        changed = PortConfig(UNPROVISIONED + 1)
        self.seen(subject, switch, changed, FREE)
        switch.apply(subject.config(FREE, FREE))
        self.seen(subject, switch, FREE, FREE)

    def test_an_uplink_is_never_changed(self, subject: SwitchSubject, switch: ManagedSwitch) -> None:
        if not subject.uplinks:
            return
        before = switch.read().ports.get(subject.uplinks[0])
        config = subject.config(FREE, FREE)
        with pytest.raises(Rejected, match=subject.uplinks[0]):
            switch.apply(msgspec.structs.replace(config, ports={**config.ports, subject.uplinks[0]: FREE}))
        assert switch.read().ports.get(subject.uplinks[0]) == before

    def test_a_refusal_is_a_driver_error_in_words(self, subject: SwitchSubject, switch: ManagedSwitch) -> None:
        """From one VRF into another in one step: metal-core#102."""
        switch.apply(subject.config(FREE, FREE))
        self.seen(subject, switch, FREE, FREE)
        switch.apply(subject.config(IN_RED, FREE))
        self.seen(subject, switch, IN_RED, FREE)
        with pytest.raises(DriverError, match=subject.ports[0]):
            switch.apply(subject.config(IN_BLUE, FREE))
        assert _matches(switch.read().ports[subject.ports[0]], IN_RED)

    def seen(self, subject: SwitchSubject, switch: ManagedSwitch, *wanted: PortConfig) -> list[SwitchPort]:
        """The ports, once all are seen as wanted. Fails where they never are."""

        def holds(state: SwitchState) -> bool:
            found = [state.ports.get(name) for name in subject.ports]
            return all(
                port is not None and not port.unsettled and _matches(port, one)
                for port, one in zip(found, wanted, strict=False)
            )

        state = self.until(subject, switch, holds)
        return [state.ports[name] for name in subject.ports]

    def until(self, subject: SwitchSubject, switch: ManagedSwitch, holds: Callable[[SwitchState], bool]) -> SwitchState:
        """The first state of which it holds."""
        for _ in range(subject.patience):
            state = switch.read()
            if holds(state):
                return state
            subject.passes()
        pytest.fail(f"never so: {state}")


def _matches(port: SwitchPort, wanted: PortConfig) -> bool:
    is_member = (wanted.vlan is None and wanted.vrf is None) or (port.vlan, port.vrf) == (wanted.vlan, wanted.vrf)
    return is_member and wanted.admin in (None, port.admin)
