"""The same option has the same word, the same short form and the same variable in every command."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import click
import pytest

import cli

OWN_WORDS = {
    "--out": "what is written differs from command to command",
    "--yes": "discover asks no question; more addresses than usual must be meant there",
    "--refresh": "a plan observes unless told not to; the others read the store unless told to",
    "--at": "history takes a commit too",
    "--partition": "discover gives it to what it finds",
}
"""Options that mean another thing in another command, with the reason."""


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} ")
        else:
            yield f"{before}{name}", command


COMMANDS = dict(commands(cli.main))
OPTIONS: dict[str, dict[str, click.Option]] = defaultdict(dict)
for command_name, one in COMMANDS.items():
    for param in one.params:
        if isinstance(param, click.Option):
            OPTIONS[next(text for text in param.opts if text.startswith("--"))][command_name] = param


@pytest.mark.parametrize("option", sorted(OPTIONS.keys() - OWN_WORDS.keys()))
def test_an_option_is_spelled_alike_and_of_one_type(option: str) -> None:
    forms = {(*sorted(one.opts), one.is_flag, one.type.name) for one in OPTIONS[option].values()}
    assert len(forms) == 1, OPTIONS[option].keys()


@pytest.mark.parametrize("option", sorted(OPTIONS.keys() - OWN_WORDS.keys()))
def test_a_variable_means_the_same_wherever_it_is_read(option: str) -> None:
    """GROUNDSTATE_TIMEOUT was the time of a run for one command and of a connection for another."""
    shared = [one for one in OPTIONS[option].values() if one.envvar and option not in ("--output", "--concurrency")]
    ranges = {(getattr(one.type, "min", None), getattr(one.type, "max", None)) for one in shared}
    assert len(ranges) <= 1


@pytest.mark.parametrize("name", COMMANDS)
def test_a_help_page_begins_with_a_sentence_and_gives_examples(name: str) -> None:
    command = COMMANDS[name]
    text = command.help or ""
    assert text.split("\n")[0].rstrip()
    assert command.short_help
    assert "Examples:" in text or not [param for param in command.params if isinstance(param, click.Argument)]


@pytest.mark.parametrize("name", COMMANDS)
def test_what_prints_data_prints_json_too(name: str) -> None:
    formats = next((getattr(one.type, "choices", ()) for one in COMMANDS[name].params if one.name == "output"), None)
    assert formats is None or "json" in formats


def test_exceptions_are_needed() -> None:
    assert OWN_WORDS.keys() <= OPTIONS.keys()
