"""What only the facts can tell against a desired state."""

from __future__ import annotations

import msgspec

from reconciler.kinds.access import place
from reconciler.kinds.image import ImageSpec
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.resource import Resource
from reconciler.planning.admission import admit
from reconciler.planning.advice import on_images
from reconciler.planning.known import take_in
from tests.unit.planning_worlds import NOW, desired, machine
from tests.unit.planning_worlds import image as declared

OLD = "debian-12.0.20260101"


def image(name: str = OLD, **spec: object) -> Resource[ImageSpec]:
    return declared(name, **spec)


def facts(*names: str, image: str | None = OLD) -> Facts:
    return Facts({machine(name).key: ResourceFacts(image=image) for name in names}, {})


def test_an_image_that_is_declared_may_be_in_use() -> None:
    assert admit(desired(machine("n1"), image()), facts("n1")) == ()


def test_an_image_that_goes_while_machines_have_it_is_refused_with_the_list_of_users() -> None:
    machines = [machine(f"n{i:02d}") for i in range(12)]
    [found] = admit(desired(*machines), facts(*(one.key.name for one in machines)))
    assert (found.code, found.summary) == (
        "image-in-use",
        f"Image {OLD} is not declared any more, and 12 machines have it",
    )
    assert found.detail.startswith("Machine/n00 (n00.yaml:1), Machine/n01 (n01.yaml:1), ")
    assert found.detail.endswith(" and 2 more")
    assert str(found.source) == "n00.yaml:1:1"


def test_a_machine_that_goes_too_does_not_keep_its_image() -> None:
    assert admit(desired(machine("other")), facts("n1")) == ()


def test_a_machine_without_an_image_asks_for_none() -> None:
    assert admit(desired(machine("n1")), facts("n1", image=None)) == ()


HAS = ResourceFacts(project="shop", image=OLD)


def test_a_machine_under_another_name_keeps_project_and_image() -> None:
    old, new = machine("old"), machine("new", project="shop", image="debian-12")
    new = msgspec.structs.replace(new, spec=msgspec.structs.replace(new.spec, bmc=old.spec.bmc))
    before = msgspec.structs.replace(HAS, place=place(old.spec.bmc))
    after = take_in(desired(new), {old.key: before})[new.key]
    assert (after.project, after.image) == ("shop", OLD)


def test_an_image_is_warned_of_from_thirty_days_before_its_last() -> None:
    one = machine("m1", project="shop", image="debian-12")
    for expires, codes in (("2026-04-01", []), ("2026-03-31", ["image-expires"]), ("2026-02-28", ["image-expired"])):
        state = desired(one, image(expires=expires, classification="supported"))
        found = on_images([one.key], state, Facts({one.key: HAS}, {}), NOW)
        assert [told.code for told in found] == codes
