"""What only the facts can tell against a desired state."""

from __future__ import annotations

from reconciler.kinds.image import Artifact, ImageSpec
from reconciler.model.facts import Facts, ResourceFacts
from reconciler.model.resource import Resource
from reconciler.planning.admission import admit
from tests.unit.planning_worlds import desired, machine, resource

OLD = "debian-12.0.20260101"


def image(name: str = OLD) -> Resource[ImageSpec]:
    root = Artifact(url="https://images.example/x", checksum="sha256:" + "0" * 64)
    return resource("Image", name, ImageSpec(os="debian", version=name.removeprefix("debian-"), root=root))


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
