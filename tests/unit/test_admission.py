"""What only the facts can tell against a desired state."""

from __future__ import annotations

import msgspec

from reconciler.kinds.catalogue.image import ImageSpec
from reconciler.kinds.claim.spec import MachineClaimSpec
from reconciler.kinds.common.field_types.bmc_access import system_address
from reconciler.kinds.common.kind import KindView
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts, machine_facts
from reconciler.kinds.machine.image_use import advise_on_images
from reconciler.kinds.machine.rules.machine_rules import MachineRules
from reconciler.kinds.machine.spec import LifecycleSpec, Mode
from reconciler.model.facts import Facts
from reconciler.model.resource import Resource
from reconciler.planning.admission import admit
from reconciler.planning.carry_over import carried_over, with_changes
from tests.unit.planning_worlds import NOW, desired, machine, resource
from tests.unit.planning_worlds import image as declared

OLD = "debian-12.0.20260101"


def image(name: str = OLD, **spec: object) -> Resource[ImageSpec]:
    return declared(name, **spec)


def facts(*names: str, image: str | None = OLD) -> Facts:
    return Facts({machine(name).key: MachineFacts(image=image) for name in names}, {})


def test_an_image_that_is_declared_may_be_in_use() -> None:
    assert admit(desired(machine("n1"), image()), facts("n1")) == ()


def test_an_image_that_goes_while_machines_have_it_is_refused_with_the_list_of_users() -> None:
    machines = [machine(f"n{i:02d}") for i in range(12)]
    [found] = admit(desired(*machines), facts(*(one.key.name for one in machines)))
    assert (found.code, found.summary) == (
        "image-in-use",
        f"Image {OLD} is no longer declared, but 12 machines use this image",
    )
    assert found.detail.startswith("Machine/n00 (n00.yaml:1), Machine/n01 (n01.yaml:1), ")
    assert found.detail.endswith(" and 2 more")
    assert str(found.source) == "n00.yaml:1:1"


def test_a_machine_that_goes_too_does_not_keep_its_image() -> None:
    assert admit(desired(machine("other")), facts("n1")) == ()


def test_a_machine_without_an_image_asks_for_none() -> None:
    assert admit(desired(machine("n1")), facts("n1", image=None)) == ()


HAS = MachineFacts(project="shop", image=OLD)


def test_a_machine_under_another_name_keeps_project_and_image() -> None:
    old, new = machine("old"), machine("new", project="shop", image="debian-12")
    new = msgspec.structs.replace(new, spec=msgspec.structs.replace(new.spec, bmc=old.spec.bmc))
    before = msgspec.structs.replace(HAS, place=system_address(old.spec.bmc))
    after = machine_facts(with_changes({}, carried_over(desired(new), {old.key: before}, NOW)), new.key)
    assert (after.project, after.image) == ("shop", OLD)


def test_an_image_is_warned_of_from_thirty_days_before_its_last() -> None:
    one = machine("m1", project="shop", image="debian-12")
    for expires, codes in (("2026-04-01", []), ("2026-03-31", ["image-expires"]), ("2026-02-28", ["image-expired"])):
        state = desired(one, image(expires=expires, classification="supported"))
        found = advise_on_images([one.key], state, {}, Facts({one.key: HAS}, {}), NOW)
        assert [told.code for told in found] == codes


def test_a_claimed_machine_under_another_name_is_refused_with_both_names() -> None:
    """hashicorp/terraform#18347: a rename is told as one."""
    old, new = machine("old"), machine("new")
    new = msgspec.structs.replace(new, spec=msgspec.structs.replace(new.spec, bmc=old.spec.bmc))
    before = msgspec.structs.replace(CLAIMED, place=system_address(old.spec.bmc))
    [found] = admit(desired(new), Facts({old.key: before}, {}))
    assert found.summary.startswith("Machine/old was renamed to Machine/new, but is still claimed by")


def test_a_free_machine_under_another_name_is_forgotten_as_that() -> None:
    old, new = machine("old"), machine("new")
    new = msgspec.structs.replace(new, spec=msgspec.structs.replace(new.spec, bmc=old.spec.bmc))
    state, before = desired(new), MachineFacts(place=system_address(old.spec.bmc))
    [forget] = MachineRules().removal(KindView(old.key, None, before, {}, state)).actions
    assert forget.reason.startswith("renamed to Machine/new")


CLAIMED = MachineFacts(project="shop", lifecycle=LifecycleFacts(claim="web", slot=2, claimed_at=NOW))
LEAVING = MachineFacts(project="shop", lifecycle=LifecycleFacts(claim="web", slot=2, claimed_at=NOW, releasing_at=NOW))
CLAIM = resource("MachineClaim", "web", MachineClaimSpec(project="shop", partitions=("p",), image="debian-12"))
MANAGED = machine("n1", lifecycle=LifecycleSpec(mode=Mode.OBSERVE))


def test_a_claimed_machine_stays_declared_and_names_its_claim_and_the_way_out() -> None:
    [found] = admit(desired(CLAIM), Facts({MANAGED.key: CLAIMED}, {}))
    assert (found.code, found.summary) == (
        "machine-claimed",
        "Machine/n1 is no longer declared, but is still claimed by MachineClaim/web (web.yaml:1), slot 2",
    )
    assert "in spec.without of MachineClaim/web, or remove the claim" in found.hint
    assert str(found.source) == "web.yaml:1:1"


def test_a_machine_on_its_way_back_stays_until_it_is_free_whatever_became_of_the_claim() -> None:
    [found] = admit(desired(), Facts({MANAGED.key: LEAVING}, {}))
    assert "being released by MachineClaim/web, slot 2" in found.summary
    assert "remove the document after the machine is wiped" in found.hint
    assert admit(desired(), Facts({MANAGED.key: MachineFacts(lifecycle=LifecycleFacts(inspected_at=NOW))}, {})) == ()


def test_a_machine_and_its_claim_do_not_go_in_one_commit() -> None:
    [found] = admit(desired(), Facts({MANAGED.key: CLAIMED}, {}))
    assert "remove MachineClaim/web in a separate commit" in found.hint


def test_a_claimed_machine_may_be_only_observed_for_a_while_but_keeps_its_life() -> None:
    assert admit(desired(CLAIM, MANAGED), Facts({MANAGED.key: CLAIMED}, {})) == ()
    [found] = admit(desired(CLAIM, machine("n1")), Facts({MANAGED.key: CLAIMED}, {}))
    assert found.summary.startswith("Machine/n1 no longer has spec.lifecycle")
