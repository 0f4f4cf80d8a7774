"""What the boot service is told of machines: which one asks, and what counts as proof."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from drivers.base import Disk, Inventory, PowerState
from drivers.bmc.fake.fake_faults import Fault, FaultKind
from reconciler.kinds.common.machine_facts import BootRequest, FactType, LifecycleFacts, MachineFacts, as_machine_facts
from reconciler.kinds.common.machine_inventory import Origin
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.model.values.boot_purpose import Purpose
from reconciler.observed.inventory_reader import in_band_keeper
from reconciler.services.boot.machines.machine_parts import MachineParts
from reconciler.services.boot.machines.provisioning import MachineProvisioning
from reconciler.services.provisioning_port import Install, ProvisioningUnavailable, Wipe
from tests.loop.world import START, World, declare, machine

UUID = "00000000-0000-4000-8000-00000000000a"
MAC, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
M1 = ResourceKey("Machine", "m1")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine whose BMC tells its UUID and whose document has its MAC; and another that tells nothing."""
    world = World(tmp_path)
    for name, uuid in (("m1", UUID), ("m2", None)):
        world.bmc(name).state = replace(world.bmc(name).state, uuid=uuid)
    world.commit(declare(machine("m1", macs=[MAC]), machine("m2")))
    world.run(5)
    return world


@pytest.fixture
def parts(world: World) -> MachineParts:
    return parts_of(world)


def parts_of(world: World) -> MachineParts:
    keep = in_band_keeper(world.store.inventories, lambda _event: None, world.now)
    return MachineParts(world.store.inventories, keep, world.now)


@pytest.fixture
def provisioning(world: World) -> MachineProvisioning:
    return lives_of(world)


def test_before_a_commit_is_in_force_each_machine_is_to_ask_again(tmp_path: Path) -> None:
    """A refusal would end an agent, and a script would send a machine to its disk."""
    new = lives_of(World(tmp_path))
    with pytest.raises(ProvisioningUnavailable):
        new.serves(M1, "10.77.0.1")
    with pytest.raises(ProvisioningUnavailable):
        new.find(UUID, [MAC])


@pytest.mark.parametrize(
    ("uuid", "macs", "found"),
    [
        (UUID, [MAC], M1),
        (UUID.upper(), [MAC.upper()], M1),
        (UUID, [], None),
        ("", [MAC], None),
        ("00000000-0000-4000-8000-0000000000ff", [MAC], None),
        (UUID, [OTHER], None),
        ("", [OTHER], None),
        ("", [], None),
    ],
)
def test_a_machine_is_known_by_what_its_bmc_and_its_document_say(
    provisioning: MachineProvisioning, uuid: str, macs: list[str], found: ResourceKey | None
) -> None:
    assert provisioning.find(uuid, macs) == found


@pytest.mark.parametrize(
    ("uuid", "macs", "discovered"),
    [
        ("00000000-0000-4000-8000-0000000000ff", ["52:54:00:00:00:ff"], True),
        ("00000000-0000-4000-8000-0000000000ff", ["52:54:00:00:00:ff", MAC], True),
        (UUID, ["52:54:00:00:00:ff"], False),
        ("00000000-0000-0040-8000-00000000000a", [], False),
        ("00000000-0000-4000-8000-0000000000ff", [MAC], False),
    ],
    ids=[
        "another",
        "with the same interface to its BMC",
        "with another card",
        "its UUID the other way round",
        "with another mainboard",
    ],
)
def test_what_may_be_a_declared_machine_is_not_discovered_and_switched_off(
    world: World, provisioning: MachineProvisioning, uuid: str, macs: list[str], discovered: bool
) -> None:
    boot = {
        "server": "10.77.0.1",
        "networks": [{"cidr": "10.77.0.0/24", "range": "10.77.0.2-10.77.0.9"}],
        "discovery": "Allow",
    }
    world.commit(declare(("Partition", "lab", {"boot": boot}), machine("m1", macs=[MAC]), revision="b" * 40))
    world.bmc("m1").state = replace(world.bmc("m1").state, power=PowerState.ON)
    world.run(600)
    assert provisioning.discovers("10.77.0.100", uuid, macs) is discovered
    assert not provisioning.discovers("10.78.0.100", uuid, macs)


def test_another_machine_with_the_uuid_of_one_that_is_off_is_discovered(
    world: World, provisioning: MachineProvisioning
) -> None:
    networks = [{"cidr": "10.77.0.0/24", "range": "10.77.0.2-10.77.0.9"}]
    boot = {"server": "10.77.0.1", "networks": networks, "discovery": "Allow"}
    world.commit(declare(("Partition", "lab", {"boot": boot}), machine("m1", macs=[MAC]), revision="b" * 40))
    assert provisioning.discovers("10.77.0.100", UUID, [OTHER])


def test_a_mac_that_an_agent_told_is_the_machines_too(
    world: World, provisioning: MachineProvisioning, parts: MachineParts
) -> None:
    parts.collected(
        ResourceKey("Machine", "m2"), {"link": [{"ifname": "eth0", "address": OTHER, "link_type": "ether"}]}
    )
    assert parts.machine_of(OTHER) == "m2"
    assert provisioning.find("", [OTHER]) == ResourceKey("Machine", "m2")


def test_a_bmc_that_claims_another_machines_uuid_and_mac_stops_no_start_of_it(
    world: World, provisioning: MachineProvisioning, parts: MachineParts
) -> None:
    world.bmc("m2").state = replace(world.bmc("m2").state, uuid=UUID)
    world.run(600)
    told = {"link": [{"ifname": "eth0", "address": MAC, "link_type": "ether"}]}
    parts.collected(ResourceKey("Machine", "m2"), told)
    assert provisioning.find(UUID, [MAC]) == M1


@pytest.mark.parametrize("restarted", [False, True])
def test_a_mac_is_not_enough_while_the_bmc_does_not_answer(world: World, restarted: bool) -> None:
    world.commit(declare(machine("m1", macs=[MAC], lifecycle={"mode": "Managed"}), revision="b" * 40))
    world.run(5)
    assert world.machine(M1).lifecycle.boot_request is not None
    world.bmc("m1").faults.add(Fault(FaultKind.UNREACHABLE, times=None))
    if restarted:
        world.restart()
    world.run(600)
    assert next(one for one in world.engine.observations("Machine") if one.key == M1).error is not None
    lives = lives_of(world)
    assert lives.find("", [MAC]) is None
    assert lives.find("00000000-0000-4000-8000-0000000000ff", [MAC]) is None
    assert lives.find(UUID, [MAC]) == M1
    assert not lives.discovers("10.77.0.100", UUID, ["52:54:00:00:00:ff"])


def test_only_addresses_of_the_partitions_boot_networks_are_served(
    world: World, provisioning: MachineProvisioning
) -> None:
    assert not provisioning.serves(M1, "10.77.0.100")
    networks = [{"cidr": "10.77.0.0/24", "range": "10.77.0.2-10.77.0.9"}]
    boot = {"server": "10.77.0.1", "networks": networks}
    world.commit(declare(("Partition", "lab", {"boot": boot}), machine("m1", macs=[MAC]), revision="b" * 40))
    for key in (M1, None):
        assert provisioning.serves(key, "10.77.0.100")
        assert provisioning.serves(key, "::ffff:10.77.0.100")
        assert not provisioning.serves(key, "10.78.0.100")
        assert not provisioning.serves(key, "no address")


def test_a_wipe_is_proved_for_every_disk_that_was_ever_found(world: World, parts: MachineParts) -> None:
    keep = world.store.inventories
    assert parts.unwiped("m1", "") == []
    keep.put(M1, Origin.IN_BAND, Inventory(disks=(Disk("/dev/sda", 1), Disk("/dev/sdb", 1))), START)
    assert parts.unwiped("m1", "sda 1 bytes: discard\nsdb 1 bytes: discard") == []
    assert parts.unwiped("m1", "sda 1 bytes: discard") == ["sdb"]
    keep.put(M1, Origin.IN_BAND, Inventory(disks=(Disk("/dev/sda", 1),)), START)
    assert parts.unwiped("m1", f"sda {'9' * 5000} bytes: discard") == ["sda", "sdb"]
    assert parts.unwiped("m1", "sda 1 bytes: discard") == ["sdb"], "it was there before"
    keep.accept(M1, Origin.IN_BAND)
    assert parts.unwiped("m1", "sda 1 bytes: discard") == []


def test_a_wipe_proves_nothing_of_what_a_disk_does_not_show_any_more(world: World, parts: MachineParts) -> None:
    world.store.inventories.put(M1, Origin.IN_BAND, Inventory(disks=(Disk("/dev/sda", 960, serial="A"),)), START)
    assert parts.unwiped("m1", "sda 960 bytes: overwrite") == []
    assert parts.unwiped("m1", "sda 0 bytes: no medium") == ["sda (serial A)"], "it failed after it was found"
    assert parts.unwiped("m1", "sda 480 bytes: overwrite") == ["sda (serial A)"]
    assert parts.unwiped("m1", "sda left alone: it is reached over a network") == []


def test_a_wipe_of_a_disk_is_none_of_another_that_had_its_name(world: World, parts: MachineParts) -> None:
    keep, first, second = world.store.inventories, ("A", "x", 960), ("B", "x", 960)
    replaced = ("C", "y", 120)

    def found(*disks: tuple[str, str, int]) -> Inventory:
        return Inventory(
            disks=tuple(Disk(f"/dev/sd{at}", size, m, s) for at, (s, m, size) in zip("ab", disks, strict=True))
        )

    keep.put(M1, Origin.IN_BAND, found(first, second), START)
    keep.put(M1, Origin.IN_BAND, found(first, replaced), START)
    assert parts.unwiped("m1", "sda 960 bytes: overwrite\nsdb 120 bytes: overwrite") == ["sdb (serial B)"]
    keep.put(M1, Origin.IN_BAND, found(second, first), START)
    assert parts.unwiped("m1", "sda 960 bytes: overwrite\nsdb 960 bytes: overwrite") == [], "they have changed names"


def test_a_disk_whose_serial_another_agent_tells_or_does_not_is_the_same(world: World, parts: MachineParts) -> None:
    keep, proof = world.store.inventories, "sda 960 bytes: overwrite"
    for disk in (Disk("/dev/sda", 960, "x"), Disk("/dev/sda", 960, "x_y", "A"), Disk("/dev/sda", 960)):
        keep.put(M1, Origin.IN_BAND, Inventory(disks=(disk,)), START)
        assert parts.unwiped("m1", proof) == []


def test_an_agent_is_told_what_may_be_on_the_disks_and_what_a_person_has_named(
    world: World,
) -> None:
    order = BootRequest("9-1", Purpose.WIPE, world.now(), registered_at=world.now())
    lifecycle = LifecycleFacts(claim="web", releasing_at=world.now(), boot_request=order, installs=("8-1", "9-1"))
    world.store.put_facts({M1: MachineFacts(lifecycle=lifecycle)})
    world.restart()
    world.commit(declare(machine("m1", macs=[MAC], lifecycle={"mode": "Managed", "request": "old-1 old-2"})))
    assert lives_of(world).work(M1) == Wipe(("m1-8-1", "m1-9-1", "old-1", "old-2"))


@pytest.mark.parametrize(
    ("lifecycle", "image", "disk", "size"),
    [({}, {}, "auto", 0), ({"installOn": "S4EVNF0M"}, {"diskSize": "8Gi"}, "S4EVNF0M", 8 << 30)],
)
def test_an_agent_is_told_which_disk_the_documents_want(
    world: World, lifecycle: dict[str, str], image: dict[str, str], disk: str, size: int
) -> None:
    order = BootRequest("9-1", Purpose.INSTALL, world.now(), registered_at=world.now())
    life = LifecycleFacts(inspected_at=START, claim="web", slot=0, claimed_at=START, boot_request=order)
    world.store.put_facts({M1: MachineFacts(project="shop", image="debian-12.0.1", lifecycle=life)})
    world.restart()
    root = {"url": "https://images.example/x", "checksum": "sha256:" + "0" * 64}
    version = {"os": "debian", "version": "12.0.1", "classification": "supported", "root": root}
    asked = {"project": "shop", "partitions": ["lab"], "machines": ["m1"], "image": "debian-12"}
    managed = machine("m1", lifecycle={"mode": "Managed", **lifecycle})
    world.commit(
        declare(
            ("Partition", "lab", {}),
            ("Tenant", "acme", {}),
            ("Project", "shop", {"tenant": "acme"}),
            ("Image", "debian-12.0.1", {**version, **image}),
            ("MachineClaim", "web", asked),
            managed,
        )
    )
    work = lives_of(world).work(M1)
    assert isinstance(work, Install)
    assert (work.disk, work.size) == (disk, size)


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ({"request": "one"}, {"request": "two"}, ("debian-12.0.1", "two")),
        ({}, {"request": "two"}, ("debian-12.0.1", "two")),
        ({"request": "one"}, {}, ("debian-12.0.1", None)),
        ({"request": "one"}, {"request": "one"}, ("debian-12.0.1", "one")),
    ],
)
def test_what_an_agent_wrote_is_what_it_got_and_not_what_the_boot_request_was_for(
    world: World, before: dict[str, str], after: dict[str, str], kept: tuple[str, str | None]
) -> None:
    """Else a claim that goes back to the former request would keep a machine with the other one's user data."""
    installing(world, before)
    lives = lives_of(world)
    world.commit(claimed(after))
    assert isinstance(lives.work(M1), Install)
    assert lives.report(M1, "9-1", FactType.WRITTEN, "sha256:0")
    written = as_machine_facts(world.engine.facts_of(M1)).lifecycle.written
    assert written is not None
    assert (written.image, written.document_request) == kept


def test_an_agent_that_asks_again_gets_the_same_image_and_that_is_what_it_wrote(world: World) -> None:
    """A new revision came while it was writing."""
    installing(world, {})
    lives = lives_of(world)
    first = lives.work(M1)
    facts = as_machine_facts(world.engine.facts_of(M1))
    world.store.put_facts({M1: replace(facts, image="debian-12.0.2")})
    world.restart()
    lives = lives_of(world)
    assert lives.work(M1) == first
    lives.report(M1, "9-1", FactType.WRITTEN, "sha256:0")
    written = as_machine_facts(world.engine.facts_of(M1)).lifecycle.written
    assert written is not None
    assert written.image == "debian-12.0.1"


def installing(world: World, claim: dict[str, str]) -> None:
    """An agent is at work for this claim."""
    order = BootRequest("9-1", Purpose.INSTALL, world.now(), claim.get("request"), registered_at=world.now())
    life = LifecycleFacts(inspected_at=START, claim="web", slot=0, claimed_at=START, boot_request=order)
    world.store.put_facts({M1: MachineFacts(project="shop", image="debian-12.0.1", lifecycle=life)})
    world.restart()
    world.commit(claimed(claim))


def claimed(claim: dict[str, str]) -> DesiredState:
    """The documents of a machine that a claim has."""
    root = {"url": "https://images.example/x", "checksum": "sha256:" + "0" * 64}
    image = {"os": "debian", "classification": "supported", "root": root}
    asked = {"project": "shop", "partitions": ["lab"], "machines": ["m1"], "image": "debian-12"}
    return declare(
        ("Partition", "lab", {}),
        ("Tenant", "acme", {}),
        ("Project", "shop", {"tenant": "acme"}),
        ("Image", "debian-12.0.1", {**image, "version": "12.0.1"}),
        ("Image", "debian-12.0.2", {**image, "version": "12.0.2"}),
        ("MachineClaim", "web", {**asked, **claim}),
        machine("m1", lifecycle={"mode": "Managed"}),
    )


def lives_of(world: World) -> MachineProvisioning:
    """Of the engine that runs now."""
    return MachineProvisioning(world.engine, lambda _keys: None, lambda *_: None, parts_of(world), world.now)
