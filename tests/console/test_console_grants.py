"""Who may use which console, from documents and facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from drivers.console.ssh.ssh_dialects import DIALECTS
from reconciler.desired.rules.console_rules import check_consoles
from reconciler.kinds.catalogue.partition import PartitionSpec
from reconciler.kinds.claim.spec import ClaimConsole, MachineClaimSpec
from reconciler.kinds.common.consoles.console_fields import (
    SSH_DIALECTS,
    ConsoleAdmins,
    ConsoleHold,
    ConsoleRecord,
    MachineConsole,
    PartitionConsole,
    check_admins,
    check_console,
)
from reconciler.kinds.common.consoles.ssh_keys import check_console_keys, key_line
from reconciler.kinds.common.field_types.bmc_access import BmcDefaults, BmcSpec, CredentialRef
from reconciler.kinds.common.machine_facts import BootRequest, LifecycleFacts, MachineFacts
from reconciler.kinds.console.grants import (
    ADMIN,
    ConsoleGrant,
    MachineConsoleState,
    console_of,
    grants,
    machine_of_slot,
    tenancy,
)
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.resource import DesiredState, Resource, ResourceKey, Revision, Source
from reconciler.model.values.boot_purpose import Purpose

BARE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqfJtnBQnhnXqzqkV0Wl0Gx0Gx0Gx0Gx0Gx0Gx0Gx0G"
KEY = f"{BARE} ada@example"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOthErJtnBQnhnXqzqkV0Wl0Gx0Gx0Gx0Gx0Gx0Gx0Gx bob"
AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
CLAIMED = LifecycleFacts(claim="web", slot=2, claimed_at=AT)
RELEASING = msgspec.structs.replace(CLAIMED, releasing_at=AT + timedelta(hours=1))


def state(*resources: tuple[str, str, Any]) -> DesiredState:
    found = {
        ResourceKey(kind, name): Resource(ResourceKey(kind, name), spec, {}, {}, Source("x.yaml"))
        for kind, name, spec in resources
    }
    return DesiredState(Revision("1" * 40, "main", "."), found)


def claim(**spec: Any) -> MachineClaimSpec:
    return MachineClaimSpec(project="shop", partitions=("lab",), image="debian-12", ssh_keys=(KEY,), **spec)


def roles(found: tuple[ConsoleGrant, ...]) -> list[tuple[str, bool]]:
    return [(one.role, one.write) for one in found]


@pytest.mark.parametrize(
    ("lifecycle", "console", "comes"),
    [
        (CLAIMED, ClaimConsole.WRITE, [("web", True)]),
        (CLAIMED, ClaimConsole.WATCH, [("web", False)]),
        (CLAIMED, ClaimConsole.NONE, []),
        (RELEASING, ClaimConsole.WRITE, []),
        (LifecycleFacts(), ClaimConsole.WRITE, []),
        (msgspec.structs.replace(CLAIMED, claim="another"), ClaimConsole.WRITE, []),
    ],
)
def test_the_keys_of_a_claim_from_its_binding_until_its_release_begins(
    lifecycle: LifecycleFacts, console: ClaimConsole, comes: list[tuple[str, bool]]
) -> None:
    desired = state(("MachineClaim", "web", claim(console=console)))
    assert roles(grants(desired, lifecycle, ConsoleAdmins())) == comes


def test_admins_of_the_partition_always() -> None:
    admins = ConsoleAdmins(ssh_keys=(OTHER,), authority=KEY, principals=("console",))
    found = grants(state(), RELEASING, admins)
    assert roles(found) == [(ADMIN, True), (ADMIN, True)]
    assert [one.authority for one in found] == [False, True]
    assert found[1].principals == ("console",)


@pytest.mark.parametrize("option", ['command="/bin/sh"', 'environment="A=b"', 'restrict,Command="x"'])
def test_a_key_that_runs_something_is_let_in_nowhere(option: str) -> None:
    admins = ConsoleAdmins(ssh_keys=(f"{option} {KEY}",))
    assert grants(state(), LifecycleFacts(), admins) == ()
    assert [one.code for one in check_console_keys("spec", admins.ssh_keys)] == ["console-key"]


@pytest.mark.parametrize(
    ("written", "until"),
    [
        ("20300101", datetime(2030, 1, 1, tzinfo=UTC)),
        ("203001011234", datetime(2030, 1, 1, 12, 34, tzinfo=UTC)),
        ("20300101123456Z", datetime(2030, 1, 1, 12, 34, 56, tzinfo=UTC)),
    ],
)
def test_a_key_ends_at_its_expiry_time(written: str, until: datetime) -> None:
    line = key_line(f'from="10.0.0.0/8",expiry-time="{written}" {KEY}')
    assert line is not None
    grant = ConsoleGrant(line, ADMIN, True)
    assert grant.holds(until - timedelta(seconds=1))
    assert not grant.holds(until)
    assert not list(check_console_keys("spec", [f'expiry-time="{written}" {KEY}']))


@pytest.mark.parametrize("written", ["", "tomorrow", "20301301", "2030", "20300101T00"])
def test_an_expiry_time_that_cannot_be_read_has_passed_and_is_refused(written: str) -> None:
    text = f'expiry-time="{written}" {KEY}'
    line = key_line(text)
    assert line is not None
    assert not ConsoleGrant(line, ADMIN, True).holds(AT)
    assert [one.code for one in check_console_keys("spec", [text])] == ["console-key"]


def test_a_key_line_in_its_parts() -> None:
    line = key_line(f'restrict,from="10.0.0.0/8,!10.0.0.1",expiry-time="20300101" {KEY}')
    assert line is not None
    assert (line.key, line.comment) == (BARE, "ada@example")
    assert list(line.options) == ["restrict", "from", "expiry-time"]
    assert key_line('from="unclosed ' + KEY) is None
    assert key_line("-----BEGIN OPENSSH PRIVATE KEY-----") is None


def test_each_tenancy_has_a_name_of_its_own() -> None:
    again = msgspec.structs.replace(CLAIMED, claimed_at=AT + timedelta(days=1))
    names = [tenancy(one).name for one in (LifecycleFacts(), CLAIMED, RELEASING, again)]
    assert len(set(names)) == 4
    assert all("/" not in name for name in names)


def test_a_claim_and_slot_mean_the_machine_until_its_release_begins() -> None:
    held = [("r1-01", CLAIMED), ("r1-02", LifecycleFacts(claim="web.2", slot=0, claimed_at=AT))]
    assert machine_of_slot("web.2", held) == "r1-01"
    assert machine_of_slot("web.2.0", held) == "r1-02"
    for user in ("web.3", "web", "web.", ".2", "web.²", "other.2", "web." + "9" * 5000):
        assert machine_of_slot(user, held) is None
    assert machine_of_slot("web.2", [("r1-01", RELEASING)]) is None


def seen(
    own: MachineConsole | None, shared: PartitionConsole | None, facts: MachineFacts | None = None
) -> MachineConsoleState | None:
    machine = MachineSpec(partition="lab", bmc=BmcSpec(address="https://10.1.0.11:8443"), console=own)
    bmc = BmcDefaults(credential_ref=CredentialRef(name="bmc"))
    desired = state(("Partition", "lab", PartitionSpec(bmc=bmc, console=shared)), ("Machine", "m0", machine))
    found = desired.resources[ResourceKey("Machine", "m0")]
    return console_of(found, desired, facts or MachineFacts())


def test_a_machine_takes_from_its_partition_what_it_does_not_say() -> None:
    shared = PartitionConsole(driver="ipmi", cipher_suite=3, hold=ConsoleHold.ALWAYS, record=ConsoleRecord(keep="1Mi"))
    found = seen(MachineConsole(port=6230), shared)
    assert found is not None
    way = found.access
    assert (way.driver, way.address, way.port, way.cipher_suite) == ("ipmi", "10.1.0.11", 6230, 3)
    assert way.credential_ref == CredentialRef(name="bmc")
    assert (found.settings.hold, found.settings.keep) == (ConsoleHold.ALWAYS, 1 << 20)


def test_without_a_driver_there_is_no_console() -> None:
    assert seen(None, None) is None
    assert seen(MachineConsole(driver="none"), PartitionConsole(driver="ipmi")) is None
    found = seen(MachineConsole(driver="ipmi"), None)
    assert found is not None
    assert (found.access.cipher_suite, found.settings.hold) == (17, ConsoleHold.ORDERS)


def test_a_boot_request_is_the_order_under_way() -> None:
    request = BootRequest("7f3a", Purpose.INSTALL, AT)
    facts = MachineFacts(lifecycle=msgspec.structs.replace(CLAIMED, boot_request=request))
    found = seen(MachineConsole(driver="ipmi"), None, facts)
    assert found is not None
    assert "7f3a" in found.order


def test_what_a_schema_cannot_say() -> None:
    bad = [*check_admins("spec.console.admins", ConsoleAdmins(authority=KEY))]
    assert [(one.code, one.path) for one in bad] == [("console-authority", "spec.console.admins.authority")]
    bad = [*check_admins("spec.console.admins", ConsoleAdmins(principals=("x",)))]
    assert [one.code for one in bad] == ["console-authority"]
    bad = [*check_admins("a", ConsoleAdmins(ssh_keys=("-----BEGIN OPENSSH PRIVATE KEY-----",)))]
    assert [(one.code, one.path) for one in bad] == [("ssh-key", "a.sshKeys.0")]
    assert [one.code for one in check_console("spec.console", MachineConsole(cipher_suite=8))] == ["console-cipher"]
    assert not [*check_console("spec.console", MachineConsole(cipher_suite=3))]


HOST_KEY = BARE


@pytest.mark.parametrize(
    ("own", "shared", "missing"),
    [
        (MachineConsole(driver="ssh"), PartitionConsole(), ["dialect", "hostKey"]),
        (MachineConsole(), PartitionConsole(driver="ssh", dialect="dell"), ["hostKey"]),
        (MachineConsole(host_key=HOST_KEY), PartitionConsole(driver="ssh"), ["dialect"]),
        (MachineConsole(host_key=HOST_KEY), PartitionConsole(driver="ssh", dialect="sun"), ["dialect"]),
        (MachineConsole(host_key=HOST_KEY), PartitionConsole(driver="ssh", dialect="dell"), []),
        (MachineConsole(driver="ipmi"), PartitionConsole(driver="ssh"), []),
        (MachineConsole(driver="none"), PartitionConsole(driver="ssh"), []),
    ],
)
def test_a_console_over_ssh_needs_a_dialect_and_a_host_key(
    own: MachineConsole, shared: PartitionConsole, missing: list[str]
) -> None:
    machine = MachineSpec(partition="lab", bmc=BmcSpec(address="https://10.1.0.11"), console=own)
    found = check_consoles(state(("Partition", "lab", PartitionSpec(console=shared)), ("Machine", "m0", machine)))
    assert [(one.code, one.path[-1]) for one in found] == [("console-ssh", name) for name in missing]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (HOST_KEY, True),
        (f"{HOST_KEY} root@bmc", True),
        (f"10.1.0.11 {HOST_KEY}", False),
        (HOST_KEY.split()[1], False),
        (HOST_KEY.replace("ssh-ed25519", "ssh-rsa"), False),
        ("ssh-ed25519 AAAA", False),
        ("ssh-ed25519 AAA", False),
        ("", False),
    ],
)
def test_a_host_key_is_whole_and_without_a_host_name(text: str, is_one: bool) -> None:
    found = [one.code for one in check_console("spec.console", MachineConsole(host_key=text))]
    assert found == ([] if is_one else ["console-host-key"])


def test_every_dialect_of_the_driver_can_be_declared() -> None:
    assert set(SSH_DIALECTS) == set(DIALECTS)


def test_the_access_over_ssh_comes_from_machine_and_partition() -> None:
    own = MachineConsole(host_key=HOST_KEY, port=2200)
    found = seen(own, PartitionConsole(driver="ssh", dialect="direct"))
    assert found is not None
    access = found.access
    assert (access.driver, access.dialect, access.host_key, access.port) == ("ssh", "direct", HOST_KEY, 2200)
