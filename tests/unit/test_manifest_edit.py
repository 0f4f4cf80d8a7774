"""One value of a document is changed, and every other byte of the file stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.desired.manifest.edit import CannotEdit, replace_file, set_value
from reconciler.model.resource import ResourceKey

PATH = ("spec", "lifecycle", "mode")
KEY = ResourceKey("Machine", "m1")
PLAIN = """\
# Found in hall 3
apiVersion: groundstate/v1
kind: Machine
metadata: {name: m1}   # ours
spec:
  partition: p1
  bmc:   {address: "10.0.0.1"}
  lifecycle:
    # Observe until Ada has seen it
    mode: Observe      # Observe, for now
"""
LINE = 2


def edited(text: str, line: int = LINE, key: ResourceKey = KEY) -> str:
    return set_value("m.yaml", text.encode(), key, line, PATH, "Observe", "Managed").decode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("    mode: Observe ", "    mode: Managed "),
        ('    mode: "Observe" ', '    mode: "Managed" '),
        ("    mode: 'Observe' ", "    mode: 'Managed' "),
        ("    mode:\n      Observe ", "    mode:\n      Managed "),
        ("    {request: größer, mode: Observe} ", "    {request: größer, mode: Managed} "),
    ],
)
def test_the_value_alone_is_changed_however_it_is_written(before: str, after: str) -> None:
    assert edited(PLAIN.replace("    mode: Observe ", before)) == PLAIN.replace("    mode: Observe ", after)


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_line_ends_and_a_byte_order_mark_stay(ends: str) -> None:
    text = "\ufeff" + PLAIN.replace("\n", ends)
    assert edited(text) == text.replace("mode: Observe", "mode: Managed")


def test_of_several_documents_the_one_on_that_line_is_changed() -> None:
    text = f"{PLAIN}---\n{PLAIN.replace('m1', 'm2')}"
    second = PLAIN.count("\n") + 1 + LINE
    assert edited(text, second, ResourceKey("Machine", "m2")) == (
        f"{PLAIN}---\n{PLAIN.replace('m1', 'm2').replace('mode: Observe', 'mode: Managed')}"
    )


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("    mode: Observe", "    mode: >-\n      Observe\n    #"),
        PLAIN.replace("    mode: Observe", '    mode: "Obs\\u0065rve"'),
        PLAIN.replace("    mode: Observe", "    mode: Managed"),
        PLAIN.replace("    mode: Observe", "    request: x"),
        PLAIN.replace("kind: Machine", "kind: [Machine"),
        "\n\n" + PLAIN,
    ],
    ids=["a block", "an escape", "another value", "no value", "not readable", "another line"],
)
def test_what_cannot_be_changed_in_place_is_left_alone(text: str) -> None:
    with pytest.raises(CannotEdit):
        edited(text)


def test_a_file_is_replaced_with_its_permissions_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(b"a")
    path.chmod(0o640)
    replace_file(path, b"b")
    assert path.read_bytes() == b"b"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]
