"""Numbers of thousands of digits, which `int` refuses with a ValueError, are wrong in words everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from drivers.base import excerpt
from reconciler.kinds.common.field_types.bmc_address import address_fault, canonical_address

DIGITS = "9" * 5000


@pytest.fixture
def fleet(tmp_path: Path) -> list[str]:
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / "sink.yaml").write_text(
        "apiVersion: groundstate/v1\nkind: EventSink\nmetadata: {name: ops}\n"
        "spec: {webhook: {url: 'https://hooks.example/x', secretRef: {name: ops}}}\n"
    )
    return ["--repo", str(tmp_path / "fleet"), "--work-tree", "--store", f"sqlite:///{tmp_path / 'facts.db'}"]


@pytest.mark.parametrize("digits", [DIGITS, "0" * 5000 + "1", "9" * 19], ids=["nines", "zeros", "19 digits"])
def test_a_replay_after_an_endless_number_is_refused(fleet: list[str], digits: str) -> None:
    done = CliRunner().invoke(main, ["sink", "replay", "ops", "--after", digits, *fleet])
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert f"a number of {len(digits)} digits" in done.output


@pytest.mark.parametrize("since", ["999999d", "999999d" * 2000])
def test_a_time_before_the_year_1_is_refused(fleet: list[str], since: str) -> None:
    done = CliRunner().invoke(main, ["sink", "replay", "ops", "--after", since, *fleet])
    assert (done.exit_code, type(done.exception)) == (1, SystemExit)
    assert "before the year 1" in excerpt(done.output, 1000)


@pytest.mark.parametrize("port", [DIGITS, "²", "0" * 5000 + "1"], ids=["nines", "two", "zeros"])
def test_an_endless_port_of_a_bmc_is_none(port: str) -> None:
    assert address_fault(f"bmc-1:{port}") is not None
    assert canonical_address(f"bmc-1:{port}")
