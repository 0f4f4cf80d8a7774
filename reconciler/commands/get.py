"""`groundstate get`, `describe` and `events`: what is declared, what was last seen, and what happened."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import click
import msgspec

from drivers.base import clean, printable
from reconciler.commands.options import (
    filter_options,
    guard_options_of,
    option,
    output_option,
    policy_options,
    where_from,
    where_options,
)
from reconciler.commands.printing import dump, print_table
from reconciler.commands.workspace import (
    derived_labels,
    exit_in_words,
    facts_in_force,
    facts_of,
    facts_under,
    fail,
    now,
    observed_types,
    on_terminal,
    open_desired_source,
    open_store,
    policy_of,
    read_or_exit,
)
from reconciler.kinds import INVENTORIED, KINDS
from reconciler.kinds.claim.spec import ClaimedMachine, all_holders, display_key, of_claim
from reconciler.kinds.common.column import ClaimSlot, ResourceView
from reconciler.kinds.common.defect import defect
from reconciler.kinds.common.inventory import NO_INVENTORY, MachineInventory
from reconciler.kinds.machine.labels import AGGREGATE
from reconciler.kinds.machine.lifecycle import claim_spec, phase
from reconciler.kinds.machine.spec import managed
from reconciler.model.event import Event, EventType
from reconciler.model.facts import NO_FACTS, Facts
from reconciler.model.observation import INTERNAL
from reconciler.model.outcome import Condition, Status
from reconciler.model.plan import Change, Unknown
from reconciler.model.resource import DesiredState, Resource, ResourceKey
from reconciler.onboarding.inventory_comparison import inventory_conditions, labels_from_inventories
from reconciler.operations.where import Where
from reconciler.planning.override_scope import covers
from reconciler.planning.planner import plan, universe
from reconciler.planning.policy import CommandLimits
from reconciler.planning.selectors import select
from reconciler.store import LedgerEntry, Store
from reconciler.views.columns import columns, short_age
from reconciler.views.conditions import conditions, status_word
from reconciler.views.render.words import override_words as words_of


@click.command("get", short_help="List resources and how they are.")
@filter_options
@where_options
@policy_options
@output_option("table", "wide", "json", "yaml", "name", default="table")
def get_resources_command(targets: tuple[str, ...], selector: str, output: str, **values: Any) -> None:
    """List what is declared beside what the daemon, or the last plan that was applied, saw of it. Asks no BMC.

    \b
    Examples:
      groundstate get machines
      groundstate get machine r12-01 r12-02
      groundstate get machine/r12-01 -o yaml
      groundstate get machines -l rack=r12 -o wide
      groundstate get overrides
    """
    asked, where = guard_options_of(values), where_from(values)
    if targets in (("overrides",), ("override",)):
        if selector:
            raise click.UsageError("overrides have no labels; leave --selector out")
        from reconciler.commands.override import show_overrides

        with exit_in_words():
            show_overrides(where, output)
        return
    with exit_in_words():
        views = read_views(where, asked, targets, selector)
    match output:
        case "name":
            for view in views:
                click.echo(view.key)
        case "json" | "yaml":
            click.echo(dump([_document(view) for view in views], output))
        case _:
            _tables(views, wide=output == "wide")


@click.command("describe", short_help="Everything about a resource.")
@filter_options
@where_options
@policy_options
@output_option("text", "json", "yaml", default="text")
def describe_command(targets: tuple[str, ...], selector: str, output: str, **values: Any) -> None:
    """Show a resource's spec, what was last seen, its conditions, what is remembered, and its newest events.

    \b
    Examples:
      groundstate describe machine/r12-01
    """
    if not targets and not selector:
        raise click.UsageError("name what to describe, such as machine/r12-01")
    asked, where = guard_options_of(values), where_from(values)
    with exit_in_words():
        views = read_views(where, asked, targets, selector)
        store = open_store(where)
        try:
            facts = facts_of(store)
            told = [(view, [entry.event for entry in _newest(store, 10, view.key)]) for view in views]
            inventories = store.inventories.all({view.key.name for view in views})
        finally:
            store.close()
    if output != "text":
        found = [_document(view) | {"events": msgspec.to_builtins(events)} for view, events in told]
        click.echo(dump(found, output))
        return
    known = {view.key: inventories.get(view.key.name, NO_INVENTORY) for view in views}
    click.echo("\n\n".join(_described(view, events, facts, known[view.key]) for view, events in told))


@click.command("events", short_help="What happened: the audit ledger.")
@filter_options
@where_options
@option("--limit", "-n", default=50, type=click.IntRange(1, 100_000), help="How many, the newest.")
@option("--watch", "-w", is_flag=True, help="Go on, printing new ones as they come.")
@output_option("table", "json", default="table")
def events_command(
    targets: tuple[str, ...], selector: str, limit: int, watch: bool, output: str, **values: Any
) -> None:
    """List events, oldest first, from the append-only ledger.

    \b
    Examples:
      groundstate events -n 20
      groundstate events machine/r12-01 --watch
    """
    where = where_from(values)
    with exit_in_words():
        keys = None
        store = open_store(where)
        try:
            if watch and store.copied is not None:
                fail(
                    "--watch would show nothing new of a copy; `groundstate apply` or `run` brings the store up to date"
                )
            if targets or selector:
                desired = read_or_exit(open_desired_source(where), store)
                keys = select(
                    targets, selector, desired, facts_of(store).resources, lambda: derived_labels(store, desired)
                )
            _follow(store, keys, limit, output, watch=watch)
        except KeyboardInterrupt:
            pass
        finally:
            store.close()


def _follow(store: Store, keys: set[ResourceKey] | None, limit: int, output: str, *, watch: bool) -> None:
    entries = _newest(store, limit, None) if keys is None else _newest_of(store, keys, limit)
    newest = _newest(store, 1, None)
    seen, at = store.last_event(), newest[-1].event.latest if newest else now()
    while True:
        for entry in entries:
            click.echo(_event_line(entry.event, output))
        if not watch:
            return
        time.sleep(1.0)
        repeated, fresh = store.repeats(at, seen), store.events(since_seq=seen)
        seen = max((entry.seq for entry in fresh), default=seen)
        at = max((entry.event.latest for entry in (*repeated, *fresh)), default=at)
        entries = [entry for entry in (*repeated, *fresh) if keys is None or entry.event.key in keys]


def _newest(store: Store, limit: int, key: ResourceKey | None) -> list[LedgerEntry]:
    """The newest events, oldest first."""
    return store.events(key, limit=limit, newest_first=True)[::-1]


def _newest_of(store: Store, keys: set[ResourceKey], limit: int) -> list[LedgerEntry]:
    found = [entry for key in keys for entry in _newest(store, limit, key)]
    return sorted(found, key=lambda entry: (entry.event.latest, entry.seq))[-limit:]


def read_views(where: Where, asked: CommandLimits, targets: Iterable[str], selector: str) -> list[ResourceView]:
    """The chosen resources with what the store knows of them, in the kinds' order."""
    store = open_store(where)
    try:
        desired = read_or_exit(open_desired_source(where), store)
        facts = facts_in_force(desired, facts_under(store, desired))
        observed = {one.key: one for one in store.observations(observed_types())}
        chosen = select(targets, selector, desired, universe(desired, facts), lambda: derived_labels(store, desired))
        inventories = store.inventories.all({key.name for key in chosen if key.kind in INVENTORIED})
        judge, _ = policy_of(store, asked)
    finally:
        store.close()
    labels = labels_from_inventories(desired, inventories)
    at = now()
    planned = plan(desired, observed, facts, at, judge)
    found: dict[ResourceKey, Change | Unknown] = {change.key: change for change in planned.changes}
    found |= {item.key: item for item in planned.unknown}
    order = list(KINDS)
    views, holders = [], all_holders(facts.resources)

    def view(key: ResourceKey) -> ResourceView:
        resource = desired.resources.get(key)
        states = conditions(key, desired, observed, facts, at, found.get(key))
        if key.kind in INVENTORIED:
            known = inventories.get(key.name, NO_INVENTORY)
            states = (*states, *inventory_conditions(resource, known, desired))
        machines = _machines(holders.get(key.name, ()), facts, resource) if key.kind == "MachineClaim" else ()
        derived = labels.get(key, {})
        return ResourceView(
            key,
            resource,
            observed.get(key),
            status_word(states),
            states,
            derived,
            machines,
            _phase(key, desired, facts),
            tuple(one for one in planned.overrides if covers(one, key, desired, facts)),
        )

    for key in sorted(chosen, key=lambda key: (order.index(key.kind), key.name)):
        try:
            views.append(view(key))
        except Exception as error:  # noqa: BLE001  what is odd about one hides no other
            odd = Condition("Ready", Status.UNKNOWN, INTERNAL, f"it cannot be shown, which is {defect(error)}")
            views.append(ResourceView(key, desired.resources.get(key), None, "Unknown", (odd,), {}))
    return views


def _phase(key: ResourceKey, desired: DesiredState, facts: Facts) -> str | None:
    resource, remembered = desired.resources.get(key), facts.resources.get(key, NO_FACTS)
    if key.kind != "Machine" or resource is None or not managed(resource.spec):
        return None
    return str(phase(remembered, claim_spec(remembered, desired)))


def _machines(held: tuple[ClaimedMachine, ...], facts: Facts, claim: Resource[Any] | None) -> tuple[ClaimSlot, ...]:
    lives = (facts.resources[ResourceKey("Machine", one.machine)] for one in held)
    spec = claim.spec if claim is not None else None
    return tuple(
        ClaimSlot(one.slot, one.machine, str(phase(life, spec))) for one, life in zip(held, lives, strict=True)
    )


def _tables(views: list[ResourceView], *, wide: bool) -> None:
    if not views:
        click.echo("No resources found.", err=True)
    for one in dict.fromkeys(one for view in views for one in view.overrides):
        click.echo(clean(f"note: {words_of(one)}"), err=True)
    at = now()
    for index, kind in enumerate(dict.fromkeys(view.key.kind for view in views)):
        if index:
            click.echo()
        found = {name.removeprefix(AGGREGATE) for view in views for name in view.derived if name.startswith(AGGREGATE)}
        shown = columns(kind, wide=wide, aggregates=sorted(found))
        rows = [[column.cell(view, at) for column in shown] for view in views if view.key.kind == kind]
        print_table([column.title for column in shown], rows, narrow=not wide)


def _document(view: ResourceView) -> dict[str, Any]:
    seen = view.observation
    status: dict[str, Any] = {"conditions": [msgspec.to_builtins(one) for one in view.conditions]}
    if view.phase is not None:
        status["phase"] = view.phase
    if seen is not None:
        status["observedAt"] = msgspec.to_builtins(seen.taken_at)
        if seen.error is not None:
            status["error"] = msgspec.to_builtins(seen.error)
        elif seen.value is not None:
            status["observed"] = msgspec.to_builtins(seen.value)
    found: dict[str, Any] = {"apiVersion": "groundstate/v1", "kind": view.key.kind, "metadata": {"name": view.key.name}}
    if view.resource is not None:
        for name in ("labels", "annotations"):
            if value := dict(getattr(view.resource, name)):
                found["metadata"][name] = value
        found["spec"] = msgspec.to_builtins(view.resource.spec)
        if view.derived:
            status["labels"] = dict(view.derived)
        status["source"] = str(view.resource.source)
    if view.overrides:
        status["overrides"] = [msgspec.to_builtins(one) for one in view.overrides]
    if view.machines:
        status["machines"] = [msgspec.to_builtins(one) for one in view.machines]
    return found | {"status": status}


def _described(view: ResourceView, events: list[Event], facts: Facts, known: MachineInventory) -> str:
    at = now()
    document = _document(view)
    lines = [str(view.key), f"Status:      {view.status}"]
    if view.phase is not None:
        lines.append(f"Phase:       {view.phase}")
    if view.resource is not None:
        lines += [f"Source:      {view.resource.source}", "Spec:", _indented(document["spec"])]
    if (meant := of_claim(view.key)) is not None:
        lines.append(f"For:         {meant}; {view.key} has no document of its own")
    if view.machines:
        lines.append("Machines:")
        lines += [f"  slot {one.slot}  {one.machine}  {one.phase}" for one in view.machines]
    seen = view.observation
    if seen is not None:
        lines.append(f"Seen:        {short_age(seen.taken_at, at)} ago")
        lines.append(_indented(document["status"].get("observed") or document["status"].get("error") or {}))
    if view.derived:
        lines += ["Labels of its inventory:", *(f"  {name}={clean(text)}" for name, text in view.derived.items())]
    for kept in known.all:
        taken = (
            f"{short_age(kept.taken_at, at)} ago; `groundstate inventory` shows it" if kept.taken_at else "not read yet"
        )
        lines.append(f"Inventory:   {kept.origin}, {taken}")
    lines += [f"In force:    {clean(words_of(one))}" for one in view.overrides]
    lines.append("Conditions:")
    lines += [f"  {one.type}={one.status}  {one.reason}: {clean(one.message)}" for one in view.conditions]
    if flight := facts.in_flight.get(view.key):
        lines.append(f"In flight:   {flight.action.name}, sent {short_age(flight.sent_at, at)} ago by {flight.by}")
    if remembered := facts.resources.get(view.key):
        lines += ["Remembered:", _indented(msgspec.to_builtins(remembered))]
    lines.append("Events:" if events else "Events:      none")
    lines += [
        f"  {short_age(event.latest, at):>4} ago  {event.reason}: {clean(event.message)}{event.times}"
        for event in events
    ]
    return "\n".join(_clean(line) for text in lines for line in text.split("\n"))


def _clean(line: str) -> str:
    """A line whose indentation counts."""
    bare = line.lstrip(" ")
    return line[: len(line) - len(bare)] + printable(bare)


def _indented(value: object) -> str:
    return "\n".join("  " + line for line in dump(value, "yaml").splitlines())


def _event_line(event: Event, output: str) -> str:
    if output == "json":
        return msgspec.json.encode(event).decode()
    at: datetime = event.at
    who = f"  [{clean(event.by)}]" if event.by else ""
    whose = display_key(event.key) if event.key is not None else "fleet"
    line = f"{at:%Y-%m-%d %H:%M:%S}Z  {event.type:<7}  {clean(whose)}  {event.reason}: {clean(event.message)}"
    line += f"{event.times}{who}"
    colour = "yellow" if event.type is EventType.WARNING and on_terminal(sys.stdout) else None
    return click.style(line, fg=colour) if colour else line
