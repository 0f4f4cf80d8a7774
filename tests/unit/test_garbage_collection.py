"""When Python looks for cycles among a command's values."""

from __future__ import annotations

import gc

import click
import pytest
from click.testing import CliRunner

import cli


def test_none_is_sought_while_a_command_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its modules stay for as long as the process: looking through them finds nothing, and takes a tenth of the CPU."""
    sought = list[bool]()

    def imported(_group: cli.Commands, _context: click.Context, _name: str) -> click.Command:
        sought.append(gc.isenabled())
        return click.Command("version", callback=lambda: None)

    monkeypatch.setattr(cli.Commands, "get_command", imported)
    was_enabled = gc.isenabled()
    gc.enable()
    try:
        assert CliRunner().invoke(cli.main, ["version"]).exit_code == 0
    finally:
        (gc.enable if was_enabled else gc.disable)()
    assert sought
    assert not any(sought)
