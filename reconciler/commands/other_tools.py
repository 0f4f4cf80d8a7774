"""What other tools call the commands and options of this one, so that a habit of the fingers gets a useful answer."""

from __future__ import annotations

import difflib
from collections.abc import Collection

import click

_COMMANDS = {
    **dict.fromkeys(("log", "logs", "audit"), "events"),
    **dict.fromkeys(("diff", "check", "preview"), "plan"),
    **dict.fromkeys(("list", "ls"), "get"),
    **dict.fromkeys(("show", "inspect"), "describe"),
    **dict.fromkeys(("suspend", "cordon", "hold"), "pause"),
    **dict.fromkeys(("unpause", "unsuspend"), "resume"),
    **dict.fromkeys(("reboot", "reset", "cycle", "power-cycle", "powercycle", "rollout"), "restart"),
    **dict.fromkeys(("sync", "refresh", "look"), "reconcile"),
    **dict.fromkeys(("top", "info", "health", "cluster-info"), "status"),
    **dict.fromkeys(("daemon", "serve", "start"), "run"),
    **dict.fromkeys(("scan", "find", "import"), "discover"),
    **dict.fromkeys(("allow", "approve"), "override"),
    **dict.fromkeys(("lint", "fmt", "test"), "validate"),
    **dict.fromkeys(("rollback", "undo"), "rewind"),
    **dict.fromkeys(("kinds", "api-resources", "api-versions"), "explain"),
}

_IN_GIT = "change the document, commit the change, and see its effect with `groundstate plan`"
_ANSWERS = {
    **dict.fromkeys(("edit", "create", "patch", "label", "annotate", "set", "scale", "replace", "taint"), _IN_GIT),
    **dict.fromkeys(("power", "poweron", "poweroff", "on", "off", "stop", "shutdown"), f"for spec.power, {_IN_GIT}"),
    **dict.fromkeys(
        ("delete", "rm", "remove", "destroy", "prune"),
        "remove the document from git and commit; groundstate then removes a machine from its store, or "
        "releases an address",
    ),
    **dict.fromkeys(("wait", "watch"), "`groundstate get KIND/NAME -w` prints each change"),
    **dict.fromkeys(("config", "settings"), "`groundstate --help` shows where the settings file is"),
    **dict.fromkeys(("state", "output"), "`groundstate get -o json` prints what groundstate knows"),
    **dict.fromkeys(("ports", "port", "interfaces"), "`groundstate get ports` shows the ports of switches"),
    **dict.fromkeys(("ssh", "exec", "sol", "attach"), "`groundstate console MACHINE` opens the serial console"),
}
"""Commands of others that are none here."""

_OPTIONS = {
    **dict.fromkeys(
        ("-A", "-n", "--all-namespaces", "--namespace"), ("groundstate has no namespaces; leave the option out")
    ),
    **dict.fromkeys(
        ("-f", "--filename", "--file"),
        "documents come from git: commit the file, or use --work-tree to read the files on disk",
    ),
    **dict.fromkeys(("--for", "--field-selector"), "name the resource as KIND/NAME, or use -l and --status"),
    **dict.fromkeys(("--auto-approve", "--no-confirm", "--assume-yes"), "did you mean --yes?"),
    **dict.fromkeys(("--dry-run", "--dry", "--diff"), "`groundstate plan` shows what would be done, and sends nothing"),
    **dict.fromkeys(("--target", "--resource"), "name the resource as KIND/NAME, without an option"),
    **dict.fromkeys(("--follow", "--tail"), "did you mean --watch (-w), or --limit (-n)?"),
    **dict.fromkeys(("--context", "--kubeconfig", "--cluster"), "--repo and --store choose the fleet"),
    "--force": "`groundstate override GUARD` allows changes that a guard holds, for a limited time",
}
"""Options of others that are none here."""


def no_command(word: str, commands: Collection[str]) -> str:
    """That there is no such command, and what to use instead."""
    if word in _ANSWERS and not difflib.get_close_matches(word, commands, 1, 0.9):
        return f"there is no command {word!r}; {_ANSWERS[word]}"
    near = [_COMMANDS[word]] if word in _COMMANDS else difflib.get_close_matches(word, commands, 2, 0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else "`groundstate --help` lists all commands"
    return f"there is no command {word!r}; {hint}"


def no_option(error: click.NoSuchOption) -> click.UsageError:
    """The same for an option."""
    hint = _OPTIONS.get(error.option_name)
    return error if hint is None else click.UsageError(f"No such option {error.option_name!r}; {hint}", error.ctx)
