"""Documents to resources, and what is said about those that are wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.desired.manifest.manifests import Marked, dump_yaml, masked_line, parse_manifest
from reconciler.desired.manifest.yaml_reader import read_documents
from reconciler.desired.report import render_diagnostics
from reconciler.desired.rules.diagnostic_codes import DIAGNOSTICS
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.resource import ResourceKey, Source
from tests.unit.desired_worlds import HEAD, PARTITION, machine

HOSTILE = Path(__file__).parent / "hostile"
GOOD = machine("web-1", "10.0.0.1", "  power: On\n")


def spec(text: str, kind: str = "Machine") -> str:
    """A document of four lines and a spec that starts on the fifth."""
    return f"{HEAD}kind: {kind}\nmetadata: {{name: x}}\nspec:\n{text}"


def test_a_document_becomes_a_resource_that_knows_its_place() -> None:
    found = parse_manifest("a/f.yaml", f"# note\n---\n{GOOD}".encode())
    (resource,) = found.resources
    assert not found.broken
    assert resource.key == ResourceKey("Machine", "web-1")
    assert resource.source == Source("a/f.yaml", 3, 1)
    assert isinstance(resource.spec, MachineSpec)
    assert (resource.spec.power, resource.spec.bmc.address) == ("On", "10.0.0.1")


def test_good_documents_of_a_file_with_others_are_kept() -> None:
    found = parse_manifest("f.yaml", f"{PARTITION}---\na: [\n---\n{GOOD}---\nkind: X\n".encode())
    assert found.broken
    assert [str(resource.key) for resource in found.resources] == ["Partition/p1", "Machine/web-1"]


BMC = "  partition: p\n  bmc: {address: a}\n"

TABLE = [
    ("- 1\n", ["1:1 not-a-mapping"]),
    ("text\n", ["1:1 not-a-mapping"]),
    ("a: 1\n", ["1:1 unknown-api-version"]),
    ("apiVersion: v1\nkind: machine\n", ["1:13 unknown-api-version", "2:7 unknown-kind"]),
    (f"{HEAD}kind: [Machine]\n", ["2:1 unknown-kind"]),
    (f"{HEAD}kind: Tenant\n", ["1:1 missing-field", "1:1 missing-field"]),
    (f"{HEAD}kind: Tenant\nmetadata: {{name: x}}\nspec:\n", ["4:1 empty-value"]),
    (spec("  partition: p\n  bmc:\n    adress: a\n"), ["6:3 missing-field", "7:5 unknown-field"]),
    (spec(BMC + "  power: on\n"), ["7:10 not-allowed"]),
    (spec(BMC + "  power: true\n"), ["7:10 not-allowed"]),
    (spec(BMC + "  power:\n"), ["7:3 empty-value"]),
    (spec(BMC + "  rack: 1.10\n"), ["7:9 wrong-type"]),
    (spec(BMC + "  rack: ''\n"), ["7:3 out-of-range"]),
    (spec(BMC + "  shutdown: {timeoutSeconds: '300'}\n"), ["7:30 wrong-type"]),
    (spec(BMC + "  shutdown: {timeoutSeconds: 300.0}\n"), ["7:30 wrong-type"]),
    (spec(BMC + "  shutdown: {timeoutSeconds: 9}\n"), ["7:30 out-of-range"]),
    (spec(BMC + "  macs: 52:54:00:12:34:56\n"), ["7:9 wrong-type"]),
    (spec(BMC + "  macs:\n  - 52:54:00:12:34\n"), ["8:5 malformed-value"]),
    (spec("  prefixes:\n  - cidr: 10.0.0.1/24\n", "Network"), ["6:11 malformed-value"]),
    (spec("  ranges: []\n", "Pool"), ["5:3 out-of-range"]),
    (spec("  constraints: [{type: core, min: 3GB, max: 4}]\n", "Size"), ["5:24 not-allowed", "5:35 malformed-value"]),
    (spec(BMC + "  boot: {enabled: Once}\n"), ["7:19 boot-without-target"]),
    (spec("  partition: p\n  bmc:\n    address: a\n    credentialRef: {env: X, file: y}\n"), ["8:5 credential-ref"]),
    (spec("  bmc: {credentialRef: {}}\n", "Partition"), ["5:9 credential-ref"]),
    (spec("  bmc: {tls: {insecure: true, caFile: x}}\n", "Partition"), ["5:9 tls-trust"]),
    (spec("  partition: p\n  bmc: {address: 'https://root:calvin@10.0.0.1'}\n"), ["6:18 credentials-in-url"]),
    (f"{HEAD}kind: Tenant\nmetadata:\n  name: |\n    x\nspec: {{}}\n", ["4:9 malformed-value"]),
    ("\u00e9: [\n".encode("latin-1"), ["1:1 not-utf-8"]),
]


@pytest.mark.parametrize(("text", "expected"), TABLE, ids=lambda value: str(value)[-40:])
def test_what_is_wrong_is_said_where_it_stands(text: str | bytes, expected: list[str]) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    found = Marked("f.yaml", data).diagnose()
    assert parse_manifest("f.yaml", data).broken
    assert [f"{d.source.line}:{d.source.column} {d.code}" for d in found if d.source] == expected


def test_what_people_read(update_golden: bool) -> None:
    """`hostile/bad.txt` is the golden text."""
    found = Marked("bad.yaml", (HOSTILE / "bad.yaml").read_bytes()).diagnose()
    if update_golden:
        (HOSTILE / "bad.txt").write_text(render_diagnostics("text", found, files=1, resources=0), "utf-8")
    assert render_diagnostics("text", found, files=1, resources=0) == (HOSTILE / "bad.txt").read_text("utf-8")
    assert {diagnostic.code for diagnostic in found} <= {*DIAGNOSTICS, "boot-without-target", "request-without-once"}


def test_every_problem_of_every_document_is_found_at_once() -> None:
    text = f"a: [\n---\n{spec('  partition: 1', 'Machine')}\n  x: 1\n---\nb: 1\nb: 2\n"
    codes = [diagnostic.code for diagnostic in Marked("f.yaml", text.encode()).diagnose()]
    assert codes == ["yaml-syntax", "missing-field", "wrong-type", "unknown-field", "duplicate-key"]
    assert set(codes) <= set(DIAGNOSTICS)


def test_the_offending_line_is_shown() -> None:
    (diagnostic,) = Marked("f.yaml", spec(BMC + "  power: on # the lab\n").encode()).diagnose()
    assert diagnostic.snippet == "  power: on # the lab"


@pytest.mark.parametrize(
    "line",
    [
        "    password: hunter2",
        "    bmcPassword: 'hunter2'",
        '    "api-key": "hunter2"',
        "    credentialRef: {env: 'hunter-2'}",
        "    credentialRef: {exec: hunter2}",
        "    credentialRef: hunter2",
        "    credentialRef:\n      env: hunter2 x",
        "    credentialRef:\n      fiel: hunter2",
        "    credentialRef:\n      env: X\n      secret: hunter2",
        "    token: hunter2",
        "    tls: https://root:hunter2@host",
    ],
)
def test_what_may_be_a_credential_is_never_shown(line: str) -> None:
    found = Marked("f.yaml", spec(f"  partition: p\n  bmc:\n    address: a\n{line}\n").encode()).diagnose()
    assert found
    assert not re.search("hunter-?2", repr(found))


def test_a_shown_line_moves_no_cursor() -> None:
    assert masked_line("a:\t\x1b[2J") == "a: \N{REPLACEMENT CHARACTER}[2J"


def test_names_that_broken_documents_claim_are_known() -> None:
    text = f"{HEAD}kind: Partition\nmetadata: {{name: p1}}\nspec: {{plaec: x}}\n---\n- 1\n"
    assert Marked("f.yaml", text.encode()).claimed() == {ResourceKey("Partition", "p1")}


PIECES = st.sampled_from(
    [
        "",
        "~",
        "1",
        "1.0",
        "true",
        "x",
        "[]",
        "{}",
        "[1]",
        "{a: b}",
        "'x'",
        "On",
        "10.0.0.0/8",
        "&a 1",
        "*a",
        "'",
        "\t",
        '"\\n"',
    ]
)


@given(st.lists(st.tuples(st.integers(0, 12), PIECES), min_size=1, max_size=4))
def test_the_quick_way_and_the_careful_way_agree(edits: list[tuple[int, str]]) -> None:
    lines = (GOOD + "  macs: ['52:54:00:12:34:56']\n  shutdown:\n    timeoutSeconds: 30\n").splitlines()
    for at, piece in edits:
        key, _, _ = lines[at % len(lines)].partition(":")
        lines[at % len(lines)] = f"{key}: {piece}"
    data = "\n".join(lines).encode()
    assert parse_manifest("f.yaml", data).broken == bool(Marked("f.yaml", data).diagnose())


@given(
    st.recursive(
        st.booleans()
        | st.integers(-(10**9), 10**9)
        | st.sampled_from(["On", "no", "010", "12:30", "1.10", "~", "a: b"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=8,
    )
)
def test_what_is_written_is_read_back(value: Any) -> None:
    shared = {"one": value, "other": value}
    (document,) = read_documents(dump_yaml(shared))
    assert document.faults == []
    assert document.value == shared


WHOLE = (
    "apiVersion: groundstate/v1\nkind: Machine\nmetadata: {name: m1}\nspec:\n  partition: lab\n  bmc: {address: m1}\n"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            WHOLE + WHOLE,
            "7:1 a second document begins here: write `---` on a line of its own before the second document",
        ),
        (
            WHOLE.replace("  bmc", "<<<<<<< HEAD\n  bmc") + "=======\n>>>>>>> other\n",
            (
                "6:1 the file has a conflict marker: keep the right lines of both sides, and remove the lines with the "
                "markers"
            ),
        ),
        (
            WHOLE + "  shutdown: {timeoutSeconds: 10m}\n",
            "7:30 spec.shutdown.timeoutSeconds must be a whole number, and is text: write 600",
        ),
        (
            "services:\n  web: {}\n",
            "1:1 this is not a groundstate document: apiVersion and kind are missing: --path",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\n",
            "1:13 this is not a groundstate document: apiVersion is 'v1': --path",
        ),
        (
            WHOLE.replace("address: m1", "address: m1, password: hunter2"),
            "6:22 'password' must not be in a document: git must hold no login: the settings file",
        ),
    ],
    ids=["pasted twice", "a merge", "a time span", "compose", "kubernetes", "a password"],
)
def test_what_was_meant_is_said_where_a_slip_is_well_known(text: str, said: str) -> None:
    (found,) = Marked("m.yaml", text.encode()).diagnose()
    place, _, hint = said.rpartition(": ")
    at = found.source
    assert at is not None
    assert f"{at.line}:{at.column} {found.summary}" == place
    assert hint in found.hint
    assert "hunter2" not in f"{found}"
