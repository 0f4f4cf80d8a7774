"""Which resources are meant: `machine/r12-01`, `machine r12-01 r12-02`, `machines`, `ip/web-*`, `all`, and label
selectors as kubectl knows them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from reconciler.kinds import INVENTORIED, KINDS, find_kind
from reconciler.kinds.common.field_types.label_selector import Requirement, Unmatched, parse_selector
from reconciler.kinds.common.machine_inventory import is_derived
from reconciler.model.resource import DesiredState, ResourceKey

ALL = "all"

Derived = Mapping[ResourceKey, Mapping[str, str]]
"""Labels that stand in no document, by resource."""


def select(
    targets: Iterable[str],
    selector: str,
    desired: DesiredState,
    others: Iterable[ResourceKey] = (),
    derived: Callable[[], Derived] | None = None,
) -> set[ResourceKey]:
    """The keys that targets and selector mean; no targets, or `all`: all kinds. `others` are known but not declared.

    `derived` gives the labels that stand in no document (kinds.machine_labels); it is asked when the selector names
    such a label. Without it there are none.

    As in kubectl, a word that is no kind is a name when it follows a bare kind, or another such name.

    Raises Unmatched for a target, or a selector, that matches nothing, naming the nearest.
    """
    keys = {*desired.resources, *others}
    wanted = _wanted(targets, keys)
    found = keys if not wanted else set()
    for kind, pattern in wanted:
        matches = {key for key in keys if key.kind == kind and fnmatchcase(key.name, pattern)}
        if not matches and pattern != "*":
            raise Unmatched(_nothing(kind, pattern, keys))
        found = found | matches
    requirements = parse_selector(selector)
    if not requirements:
        return found
    more = derived() if derived is not None and any(is_derived(r.key) for r in requirements) else {}
    chosen = {key for key in found if all(r.accepts(_labels(key, desired, more)) for r in requirements)}
    if not chosen:
        raise Unmatched(_unselected(selector, requirements, found, desired, more))
    return chosen


def is_selected(
    targets: Iterable[str], selector: str, key: ResourceKey, desired: DesiredState, derived: Mapping[str, str]
) -> bool:
    """Whether targets and selector mean this one resource. `derived`: its labels that stand in no document.

    Raises Unmatched for what can mean nothing: a word that is no kind, or no selector.
    """
    wanted = _wanted(targets, {key})
    if wanted and not any(key.kind == kind and fnmatchcase(key.name, pattern) for kind, pattern in wanted):
        return False
    requirements = parse_selector(selector)
    if requirements and key not in desired.resources:
        return False  # Its labels are not known any more, and `rack!=r1` must not take in what has none.
    labels = _labels(key, desired, {key: derived})
    return all(requirement.accepts(labels) for requirement in requirements)


def names_kind(targets: Iterable[str], kind: str) -> bool:
    """Whether a target says this kind by name, which `all` does not."""
    words = [part for target in targets for part in target.partition("/")[0].split(",")]
    return any(found is not None and found.name == kind for found in map(find_kind, words))


def filter_words(targets: Iterable[str], selector: str) -> str:
    """The filter as a person wrote it."""
    return " ".join([*targets, *([f"-l {selector}"] if selector else [])])


def _labels(key: ResourceKey, desired: DesiredState, derived: Derived) -> Mapping[str, str]:
    resource = desired.resources.get(key)
    declared = resource.labels if resource else {}
    if key.kind not in INVENTORIED:
        return declared
    own = {name: text for name, text in declared.items() if not is_derived(name)}
    return {**own, **derived.get(key, {})}


def _wanted(targets: Iterable[str], keys: set[ResourceKey]) -> list[tuple[str, str]]:
    """Kinds, each with a pattern of names."""
    groups: list[tuple[list[str], list[str]]] = []
    names: list[str] | None = None
    for target in _each(targets):
        word, slash, name = target.partition("/")
        parts = word.split(",")
        if target.lower() == ALL:
            names = None
            groups.append((list(KINDS), []))
        elif names is not None and not slash and not any(map(find_kind, parts)):
            names += filter(None, target.split(","))
        else:
            names = None if slash else []
            groups.append(([_kind(part, target, keys) for part in parts], name.split(",") if names is None else names))
    return [(kind, pattern) for kinds, patterns in groups for kind in kinds for pattern in patterns or ["*"]]


def _each(targets: Iterable[str]) -> Iterator[str]:
    """Each target. `machine/r1,network/shop` are two, and `machine/r1,r2` is one."""
    for target in targets:
        if target.count("/") < 2:
            yield target
            continue
        kind = ""
        for part in target.split(","):
            kind = part.partition("/")[0] if "/" in part else kind
            yield part if "/" in part or not kind else f"{kind}/{part}"


def kinds_in_order(targets: Iterable[str]) -> list[str]:
    """Every kind: those that the targets name first, in the order in which they are named."""
    words = [part for target in _each(targets) for part in target.partition("/")[0].split(",")]
    named = [kind.name for kind in map(find_kind, words) if kind is not None]
    return list(dict.fromkeys([*named, *KINDS]))


_ELSEWHERE = {
    **dict.fromkeys(("node", "nodes", "host", "hosts", "server", "servers", "systems"), "machines"),
    **dict.fromkeys(("subnet", "subnets", "vlan", "vlans", "prefixes"), "networks"),
    **dict.fromkeys(("flavor", "flavors", "flavour", "types"), "sizes"),
    **dict.fromkeys(("site", "sites", "zone", "zones", "region"), "partitions"),
    **dict.fromkeys(("os", "oses"), "images"),
    **dict.fromkeys(("policy", "policies", "pdb"), "guards"),
    **dict.fromkeys(("event", "logs"), "`groundstate events`"),
    "events": "`groundstate events`",
    "status": "`groundstate status`",
    "inventory": "`groundstate inventory`",
}
"""What other tools call these, and what is listed by a command of its own."""


def _kind(word: str, target: str, keys: Iterable[ResourceKey]) -> str:
    if kind := find_kind(word):
        return kind.name
    plurals = [kind.plural for kind in KINDS.values()]
    near = [f"{key.kind.lower()}/{key.name}" for key in sorted(keys) if key.name == target]
    if not near and (elsewhere := _ELSEWHERE.get(word.lower())):
        near = [elsewhere]
    near = near or difflib.get_close_matches(word.lower(), plurals, 1, 0.65)
    hint = f"did you mean {' or '.join(near)}?" if near else f"kinds are {', '.join(plurals)}"
    raise Unmatched(f"{word!r} is not a kind; {hint}")


def _nothing(kind: str, pattern: str, keys: Iterable[ResourceKey]) -> str:
    names = [key.name for key in keys if key.kind == kind]
    near = difflib.get_close_matches(pattern, names, 1, 0.5)
    near = near or difflib.get_close_matches(pattern.lower(), [one.plural for one in KINDS.values()], 1, 0.8)
    hint = f"; did you mean {near[0]}?" if near else f"; list them with `groundstate get {KINDS[kind].plural}`"
    return f"no {kind} is named {pattern!r}{hint}"


def _unselected(
    selector: str,
    requirements: tuple[Requirement, ...],
    found: set[ResourceKey],
    desired: DesiredState,
    derived: Derived,
) -> str:
    """A slip of a label's name, or of its value, is the usual reason."""
    labels = [_labels(key, desired, derived) for key in found]
    keys = {name for one in labels for name in one}
    for part in requirements:
        if not part.negated and part.key not in keys:
            near = difflib.get_close_matches(part.key, sorted(keys), 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else "list resources with `groundstate get`"
            return f"-l {selector} matches nothing: no resource has the label {part.key!r}; {hint}"
    values = {part.key: sorted({one[part.key] for one in labels if part.key in one}) for part in requirements}
    reported = "; ".join(f"{name} is {shortened_list(some)}" for name, some in values.items() if some)
    return f"-l {selector} matches nothing; {reported or 'list resources with `groundstate get`'}"


def shortened_list(values: list[str], most: int = 8) -> str:
    """`a, b and 3 more`."""
    return ", ".join(values[:most]) + (f" and {len(values) - most} more" if len(values) > most else "")
