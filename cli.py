"""The front door: registers the commands, reads the settings file, and hands over."""

from __future__ import annotations

import errno
import gc
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from reconciler.commands.crash_report import hide_credentials
from reconciler.commands.options import SETTINGS_FILE
from reconciler.commands.other_tools import no_command, no_option
from reconciler.commands.settings_files import Settings, read_settings
from reconciler.commands.termination import ended_in_order
from reconciler.kinds.common.access.credentials import too_broad

_COMMANDS = {
    "init": "reconciler.commands.repository.init_command:init_command",
    "discover": "reconciler.commands.onboarding.discover_command:discover_command",
    "adopt": "reconciler.commands.onboarding.adopt_command:adopt_command",
    "validate": "reconciler.commands.reports.info_commands:validate_command",
    "plan": "reconciler.commands.plan_command:plan_command",
    "apply": "reconciler.commands.apply_command:apply_command",
    "run": "reconciler.commands.serving.run_command:run_command",
    "reconcile": "reconciler.commands.requests.reconcile_command:reconcile_command",
    "rewind": "reconciler.commands.requests.rewind_command:rewind_command",
    "override": "reconciler.commands.requests.override_command:override_command",
    "pause": "reconciler.commands.requests.pause_commands:pause_command",
    "resume": "reconciler.commands.requests.pause_commands:resume_command",
    "drain": "reconciler.commands.requests.drain_commands:drain_command",
    "uncordon": "reconciler.commands.requests.drain_commands:uncordon_command",
    "restart": "reconciler.commands.requests.restart_command:restart_command",
    "sink": "reconciler.commands.requests.sink_command:sink_group",
    "status": "reconciler.commands.reports.status_command:status_command",
    "get": "reconciler.commands.reports.get_commands:get_resources_command",
    "describe": "reconciler.commands.reports.get_commands:describe_command",
    "events": "reconciler.commands.reports.events_command:events_command",
    "history": "reconciler.commands.reports.history_command:history_command",
    "ipam": "reconciler.commands.reports.ipam_commands:ipam_group",
    "console": "reconciler.commands.console_command:console_group",
    "boot": "reconciler.commands.serving.boot_commands:boot_group",
    "explain": "reconciler.commands.reports.info_commands:explain_command",
    "inventory": "reconciler.commands.reports.inventory_command:inventory_command",
    "explain-size": "reconciler.commands.reports.explain_size_command:explain_size_command",
    "explain-guard": "reconciler.commands.reports.explain_guard_command:explain_guard_command",
    "explain-placement": "reconciler.commands.reports.placement_commands:explain_placement_command",
    "capacity": "reconciler.commands.reports.placement_commands:capacity_command",
    "schema": "reconciler.commands.reports.info_commands:schema_command",
    "bmc-sim": "reconciler.commands.serving.bmc_sim_command:bmc_sim_command",
    "demo": "reconciler.commands.repository.demo_command:demo_command",
    "simulate": "reconciler.commands.reports.simulate_command:simulate_command",
    "version": "reconciler.commands.reports.info_commands:version_command",
    "completion": "reconciler.commands.reports.info_commands:completion_command",
}
_SUMMARIES = {
    "init": "Begin a repository of desired state.",
    "discover": "Find BMCs; write Machine documents for them.",
    "adopt": "Change machines from lifecycle.mode Observe to Managed.",
    "validate": "Check the desired state; show every problem.",
    "plan": "Show what apply would do.",
    "apply": "Apply the plan: make the fleet match git.",
    "run": "Run the daemon: keep the fleet matching git.",
    "reconcile": "Ask the daemon to observe and reconcile resources now.",
    "rewind": "Accept a branch that was reset by a forced push.",
    "override": "Override a guard for a limited time.",
    "pause": "Send no changes to some or all resources, until `resume`.",
    "resume": "End a pause.",
    "drain": "Hand the work of a host's daemon to another host.",
    "uncordon": "Let the daemons of a drained host work again.",
    "restart": "Restart a machine: one power cycle, if the guards allow it.",
    "sink": "Test an event sink, or send it events once more.",
    "status": "Show whether the daemon is alive, its revision, and which changes wait.",
    "get": "List declared resources with their last observed state. Contacts no BMC.",
    "describe": "Show everything about a resource.",
    "events": "Show events from the audit ledger.",
    "history": "Show which commit changed a resource, by whom.",
    "ipam": "Show, check, export and import prefixes, addresses and numbers.",
    "console": "Connect to a machine's serial console; show recordings.",
    "boot": "Print DHCP configurations for network boot.",
    "explain": "Explain a kind, or a field of a kind.",
    "inventory": "Show a machine's hardware inventory, and what changed.",
    "explain-size": "Compare a machine's inventory with every Size.",
    "explain-guard": "Show which guards hold a resource, and until when.",
    "explain-placement": "Show, machine by machine, whether a claim could get it.",
    "capacity": "Count machines by partition and size: total, free, reserved.",
    "schema": "Print a kind's JSON Schema.",
    "bmc-sim": "Serve simulated BMCs that misbehave on order.",
    "demo": "Run groundstate on a simulated fleet.",
    "simulate": "Run the daemon on a simulated fleet in which things go wrong.",
    "version": "Print versions.",
    "completion": "Print a shell's completion script.",
}


_LONGEST_PLACE = 200
"""Characters of a path that an error shows: one that is too long for the system would hide what is wrong."""

# 2 means "there are changes" here, and a script must not take a mistyped option for that.
click.UsageError.exit_code = 1


class Commands(click.Group):
    """Imports a command when it is called for: `--help` and completion stay quick."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Say it in words when what is printed cannot be written: `> plan.md` on a full disk. Print no credentials."""
        hide_credentials()
        # A command lives for seconds and makes many small values; looking for cycles among them is half of a plan's
        # time. Also while a command's modules are imported, which is a tenth of a small one's.
        gc.disable()
        try:
            with ended_in_order():
                return super().main(*args, **kwargs)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG):
                raise
            place = str(error.filename or "standard output")
            shown = place if len(place) <= _LONGEST_PLACE else f"{place[:_LONGEST_PLACE]}..."
            click.echo(f"error: {shown}: {error.strerror}", err=True)
            # What is left in its buffer would be tried once more at the end, and fail once more.
            sys.stdout = None
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        """Answer habits of other tools."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            raise no_option(error) from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they are first needed."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import it."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _SUMMARIES[name]) for name in _COMMANDS])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Give the command its part of the settings file. `help plan` is `plan --help`."""
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
            if len(args) == 1:
                click.echo(ctx.get_help())
                ctx.exit()
        if args and not args[0].startswith("-") and args[0] not in _COMMANDS and not ctx.resilient_parsing:
            raise click.UsageError(no_command(args[0], _COMMANDS), ctx)
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and name is not None:
            settings = read_settings(ctx.meta["settings_file"])
            ctx.meta["grants"], ctx.meta["settings_base"] = settings.grants, settings.base
            for reported in too_broad(settings.grants):
                click.echo(f"warning: {reported}", err=True)
            ctx.default_map = {name: self._settings(ctx, command, settings)}
        return name, command, rest

    def _settings(self, ctx: click.Context, command: click.Command, settings: Settings) -> dict[str, Any]:
        if isinstance(command, click.Group):
            return {name: self._settings(ctx, one, settings) for name, one in command.commands.items()}
        return settings.of(command, lambda: self._every(ctx))

    def _every(self, ctx: click.Context) -> Iterator[click.Command]:
        for name in _COMMANDS:
            command = self.get_command(ctx, name)
            yield from command.commands.values() if isinstance(command, click.Group) else filter(None, [command])


def _note_settings(ctx: click.Context, _param: click.Parameter, value: Path | None) -> None:
    ctx.meta["settings_file"] = value


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="GROUNDSTATE_CONFIG",
    callback=_note_settings,
    expose_value=False,
    help=(
        f"Settings file, in place of ~/.config/groundstate/config.toml and of {SETTINGS_FILE} in the current "
        "directory or at the top of the repository."
    ),
)
@click.version_option(None, "-V", "--version", package_name="groundstate", message="%(prog)s %(version)s")
def main() -> None:
    """Declarative GitOps reconciler for bare metal.

    Git says what the metal should be; groundstate plans the difference and walks the fleet there, one safe step at a
    time.

    \b
    Begin with:
      groundstate demo       see it at work on a simulated fleet, nothing to configure
      groundstate init       begin a repository of your own
    """


if __name__ == "__main__":
    main(prog_name="groundstate")
