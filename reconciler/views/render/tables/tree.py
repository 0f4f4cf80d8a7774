"""The prefix tree: every network's prefixes in order of address, children under their parents, and how full each is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network

import msgspec

from drivers.base import IpamNetwork, Pool, Usage
from reconciler.views.render.words import Paint, clean, unpainted

BAR = 10
WIDEST = 3
_LEVELS = ((0.9, "red"), (0.7, "yellow"), (0.0, "green"))


class _Node(msgspec.Struct):
    """A prefix of a network, and the child prefixes in it."""

    network: str
    cidr: str
    size: int
    used: int
    word: str
    namespace: str
    free: tuple[tuple[int, int], ...] = ()
    children: list[_Node] = []


class TreeMarks(msgspec.Struct, frozen=True):
    """What the tree is drawn with."""

    full: str = "█"
    empty: str = "░"
    fork: str = "├─ "
    last: str = "└─ "
    rail: str = "│  "


ASCII = TreeMarks("#", ".", "|- ", "`- ", "|  ")


def tree(networks: Mapping[str, IpamNetwork], usage: Iterable[Usage]) -> list[_Node]:
    """The top-level prefixes by namespace, family and address; each child under the prefix that it is a part of."""
    nodes = sorted((_node(one, networks[one.network]) for one in usage if one.network in networks), key=_place)
    top: list[_Node] = []
    containers: dict[str, list[_Node]] = {}
    for node in nodes:
        if networks[node.network].parent is None:
            top.append(node)
            containers.setdefault(node.network, []).append(node)
    for node in nodes:
        parent = networks[node.network].parent
        if parent is not None:
            above = next((one for one in containers.get(parent, []) if _holds(one.cidr, node.cidr)), None)
            (above.children if above is not None else top).append(node)
    return top


def tree_lines(
    top: Iterable[_Node], *, paint: Paint = unpainted, marks: TreeMarks | None = None, depth: int | None = None
) -> Iterator[str]:
    """The tree for a terminal. `depth` 1 leaves the children out, counting them."""
    drawn = marks or TreeMarks()
    rows = list(_rows(top, drawn, depth))
    wide = max((len(label) for label, _ in rows), default=0)
    namespace = ""
    for label, node in rows:
        if node.namespace != namespace:
            namespace = node.namespace
            yield paint("bold", f"namespace {clean(namespace)}")
        yield f"{label.ljust(wide)}  {_filled(node, paint, drawn)}".rstrip()


def pool_lines(pools: Mapping[str, Pool], *, paint: Paint = unpainted, marks: TreeMarks | None = None) -> Iterator[str]:
    """The pools, each with how full it is."""
    drawn = marks or TreeMarks()
    rows = []
    for name, pool in sorted(pools.items()):
        spans = ", ".join(f"{one.first}-{one.last}" for one in pool.ranges)
        size = sum(one.last - one.first + 1 for one in pool.ranges)
        rows.append((f"{clean(name)}  {spans}", size, pool.held))
    wide = max((len(label) for label, _, _ in rows), default=0)
    for label, size, held in rows:
        yield f"{label.ljust(wide)}  {bar(held, size, paint, drawn)}  {held:,} of {size:,}"


def bar(used: int, size: int, paint: Paint = unpainted, marks: TreeMarks | None = None) -> str:
    """`███░░░░░░░  28 %`; what is not empty shows, and what is not full is not shown as full."""
    drawn = marks or TreeMarks()
    share = used / size if size else 0.0
    cells = 0 if not used else BAR if used >= size else min(BAR - 1, max(1, round(share * BAR)))
    percent = "100" if size and used >= size else f"{min(99, int(share * 100))}"
    colour = next(name for level, name in _LEVELS if share >= level)
    return f"{paint(colour, drawn.full * cells)}{drawn.empty * (BAR - cells)} {percent:>3} %"


def free_words(free: Iterable[tuple[int, int]]) -> str:
    """`1 x /17, 2 x /24`: the widest blocks; what is smaller is left out."""
    listed = list(free)
    reported = ", ".join(f"{number:,} x /{length}" for length, number in listed[:WIDEST]) or "nothing"
    return f"{reported} and smaller" if len(listed) > WIDEST else reported


def _node(one: Usage, network: IpamNetwork) -> _Node:
    word = "Super" if network.container else "Shared" if network.shared else ""
    return _Node(one.network, one.cidr, one.size, one.used, word, network.namespace, one.free_prefixes, [])


def _place(node: _Node) -> tuple[str, int, int, int]:
    network = ip_network(node.cidr)
    return node.namespace, network.version, int(network.network_address), network.prefixlen


def _holds(outer: str, inner: str) -> bool:
    one, other = ip_network(outer), ip_network(inner)
    return (
        one.version == other.version
        and one.prefixlen <= other.prefixlen
        and other.supernet(new_prefix=one.prefixlen) == one
    )


def _rows(nodes: Iterable[_Node], marks: TreeMarks, depth: int | None, rails: str = "") -> Iterator[tuple[str, _Node]]:
    listed = list(nodes)
    for index, node in enumerate(listed):
        end = index == len(listed) - 1
        branch = (rails[3:] + (marks.last if end else marks.fork)) if rails else ""
        yield f"{branch}{node.cidr}  {clean(node.network)}", node
        if depth is None or depth > 1:
            below = rails + ("   " if end or not rails else marks.rail) if rails else "   "
            yield from _rows(node.children, marks, None if depth is None else depth - 1, below)


def _filled(node: _Node, paint: Paint, marks: TreeMarks) -> str:
    said = f"{bar(node.used, node.size, paint, marks)}  "
    if node.word == "Super":
        number = len(node.children)
        children = "1 child" if number == 1 else f"{number:,} children"
        return f"{said}Super, {children}; free: {free_words(node.free)}"
    reported = f"{node.used:,} of {node.size:,}" if node.size < 10**15 else f"{node.used:,} held"
    return said + reported + (f"  {node.word}" if node.word else "")
