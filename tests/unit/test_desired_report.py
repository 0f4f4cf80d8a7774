"""Diagnostics as people and machines get them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from reconciler import commands, desired, kinds, onboarding, operations, placement, planning
from reconciler.desired.report import REPORT_FORMATS, render_diagnostics
from reconciler.desired.rules.diagnostic_codes import DIAGNOSTICS
from reconciler.model.diagnostic import Diagnostic, Severity
from reconciler.model.resource import Source

ERROR = Diagnostic(
    "unknown-field",
    Severity.ERROR,
    "unknown field 'pwoer' in spec",
    Source("racks/r 1.yaml", 7, 3),
    detail="a, b: 100%",
    hint="did you mean power?",
    snippet="  pwoer: On",
)
WARNING = Diagnostic("symlink", Severity.WARNING, "a symbolic link is not followed", Source("link"))
PLACELESS = Diagnostic("too-many-files", Severity.ERROR, "more than 100,000 manifests")


def test_text_has_place_code_what_why_what_to_do_and_the_line() -> None:
    assert render_diagnostics("text", [ERROR, WARNING, PLACELESS], files=3, resources=1) == (
        "racks/r 1.yaml:7:3: unknown-field: unknown field 'pwoer' in spec; a, b: 100%; did you mean power?\n"
        "  7 |   pwoer: On\n"
        "    |   ^\n"
        "link:1:1: warning: symlink: a symbolic link is not followed\n"
        "too-many-files: more than 100,000 manifests\n"
        "2 errors and 1 warning in 3 files, 1 resource.\n"
    )


@pytest.mark.parametrize(
    ("diagnostics", "last"),
    [
        ([], "Valid: 3 files, 1 resource."),
        ([WARNING], "Valid: 3 files, 1 resource (1 warning)."),
        ([ERROR], "1 error in 3 files, 1 resource."),
    ],
)
def test_text_ends_with_a_count_and_its_denominator(diagnostics: list[Diagnostic], last: str) -> None:
    assert render_diagnostics("text", diagnostics, files=3, resources=1).splitlines()[-1] == last


def test_colour_is_there_only_when_asked_for() -> None:
    assert "\x1b" not in render_diagnostics("text", [ERROR, WARNING], files=1, resources=1)
    tinted = render_diagnostics("text", [ERROR, WARNING], files=1, resources=1, color=True)
    assert "\x1b[31munknown-field\x1b[0m" in tinted
    assert "\x1b[33msymlink\x1b[0m" in tinted


def test_json_says_whether_it_is_valid_and_everything_that_is_known() -> None:
    assert json.loads(render_diagnostics("json", [ERROR], files=3, resources=1)) == {
        "format_version": "1.0",
        "valid": False,
        "files_checked": 3,
        "resources": 1,
        "errors": 1,
        "warnings": 0,
        "diagnostics": [
            {
                "code": "unknown-field",
                "severity": "error",
                "summary": "unknown field 'pwoer' in spec",
                "source": {"file": "racks/r 1.yaml", "line": 7, "column": 3},
                "detail": "a, b: 100%",
                "hint": "did you mean power?",
                "snippet": "  pwoer: On",
            }
        ],
    }
    assert json.loads(render_diagnostics("json", [WARNING], files=3, resources=1))["valid"] is True


def test_github_gets_one_escaped_line_an_annotation() -> None:
    lines = render_diagnostics("github", [ERROR, WARNING, PLACELESS], files=3, resources=1).splitlines()
    assert lines == [
        f"::error file=racks/r 1.yaml,line=7,col=3,title=unknown-field::{ERROR.summary}; a, b: 100%25; {ERROR.hint}",
        "::warning file=link,line=1,col=1,title=symlink::a symbolic link is not followed",
        "::error title=too-many-files::more than 100,000 manifests",
        "2 errors and 1 warning in 3 files, 1 resource.",
    ]


def test_github_properties_cannot_be_broken_out_of() -> None:
    odd = Diagnostic("x", Severity.ERROR, "a\n::set-env name=PATH::/evil", Source("a,b:c\n.yaml"))
    (line, _) = render_diagnostics("github", [odd], files=1, resources=0).splitlines()
    assert line == "::error file=a%2Cb%3Ac%0A.yaml,line=1,col=1,title=x::a ::set-env name=PATH::/evil"


def test_sarif_has_rules_and_places() -> None:
    log = json.loads(render_diagnostics("sarif", [ERROR, WARNING, PLACELESS], files=3, resources=1))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["symlink", "too-many-files", "unknown-field"]
    assert run["tool"]["driver"]["rules"][0]["shortDescription"]["text"] == DIAGNOSTICS["symlink"]
    assert [result["level"] for result in run["results"]] == ["error", "warning", "error"]
    assert run["results"][0]["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "racks/r%201.yaml"},
                "region": {"startLine": 7, "startColumn": 3},
            }
        }
    ]
    assert "locations" not in run["results"][2]


def test_junit_has_a_case_a_file_and_one_for_the_others() -> None:
    odd = Diagnostic("x", Severity.ERROR, "a <b> & \x1b[2J", Source("racks/r 1.yaml"))
    suite = ElementTree.fromstring(render_diagnostics("junit", [ERROR, odd, WARNING], files=9, resources=5).encode())  # noqa: S314
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    first, second, others = suite.findall("testcase")
    failure = first.find("failure")
    assert failure is not None
    assert (first.get("name"), failure.get("type")) == ("racks/r 1.yaml", "unknown-field")
    assert r"a <b> & \x1b[2J" in (failure.text or "")
    assert second.find("failure") is None
    assert "a symbolic link" in (second.findtext("system-out") or "")
    assert others.get("name") == "7 other files, 5 resources"


@pytest.mark.parametrize("name", REPORT_FORMATS)
def test_nothing_wrong_is_said_in_every_format(name: str) -> None:
    assert render_diagnostics(name, [], files=1, resources=2).endswith("\n")


MADE = re.compile(
    r'(?:Problem|(?:Rule)?Finding|Diagnostic|YamlFault|_fault|_abandon|_refuse)\(\s*(?:event, |path, )?"([a-z0-9-]+)"'
)


def test_the_table_of_codes_is_whole_and_has_no_more() -> None:
    rooms = (commands, desired, onboarding, operations, placement, planning)
    assert {code for text in sources(*rooms) for code in MADE.findall(text)} <= set(DIAGNOSTICS)
    # The codes of a kind's own checks are documented at the kind.
    places = sources(*rooms, kinds)
    assert [code for code in DIAGNOSTICS if not any(f'"{code}"' in text for text in places)] == []


def sources(*packages: ModuleType) -> list[str]:
    """The texts of their modules, apart from those that read files of faults: `validate` reads none."""
    found = [path for one in packages for path in Path(one.__path__[0]).rglob("*.py")]
    paths = [path for path in found if "simulation" not in path.parts]
    return [path.read_text("utf-8") for path in paths if path.name != "diagnostic_codes.py"]
