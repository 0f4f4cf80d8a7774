"""What only facts can tell against a desired state, and warn of."""

from __future__ import annotations

import msgspec

from reconciler.kinds.access import place
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.planning.admission import admit
from reconciler.planning.advice import on_images
from reconciler.planning.known import take_in
from tests.unit.planning_worlds import NOW, desired, image, machine

HAS = ResourceFacts(project="shop", image="debian-12.0.1")


def test_an_image_that_machines_have_cannot_go() -> None:
    fleet = [machine(f"m{n:02d}", project="shop", image="debian-12") for n in range(12)]
    facts = Facts({one.key: HAS for one in fleet}, {})
    assert admit(desired(image("debian-12.0.1"), *fleet), facts) == ()
    (found,) = admit(desired(image("debian-12.0.2"), *fleet), facts)
    names = ", ".join(f"Machine/m{n:02d}" for n in range(10))
    assert (found.code, str(found.source)) == ("image-in-use", "m00.yaml:1:1")
    assert found.summary == f"Image debian-12.0.1 is not declared any more, and 12 machines have it: {names} and 2 more"


def test_a_machine_that_goes_with_its_image_does_not_keep_it() -> None:
    assert admit(desired(machine("other")), Facts({machine("m1").key: HAS}, {})) == ()


def test_a_machine_under_another_name_keeps_project_and_image() -> None:
    old, new = machine("old"), machine("new", project="shop", image="debian-12")
    new = msgspec.structs.replace(new, spec=msgspec.structs.replace(new.spec, bmc=old.spec.bmc))
    before = {old.key: ResourceFacts(project="shop", image="debian-12.0.1", place=place(old.spec.bmc))}
    after = take_in(desired(new), before)[new.key]
    assert (after.project, after.image) == ("shop", "debian-12.0.1")


def test_an_image_is_warned_of_from_thirty_days_before_its_last() -> None:
    one = machine("m1", project="shop", image="debian-12")
    facts = Facts({one.key: HAS}, {})
    for expires, code in (("2026-04-01", []), ("2026-03-31", ["image-expires"]), ("2026-02-28", ["image-expired"])):
        state = desired(one, image("debian-12.0.1", expires=expires, classification="supported"))
        assert [told.code for told in on_images([one.key], state, facts, NOW)] == code
