"""Resources of several kinds in words: each kind by its own noun. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.kinds import KINDS
from reconciler.kinds.common.kind import UNNAMED_LOCK
from reconciler.model.counting import count


def noun(kinds: Iterable[str]) -> str:
    """What one of these is called: `machine`; `resource` where there are several kinds, or none."""
    found = set(kinds)
    return found.pop().lower() if len(found) == 1 else "resource"


def nouns(kinds: Iterable[str]) -> str:
    """What these are called: `machines`, or `machines and switches`; `resources` where there is no kind."""
    found = set(kinds)
    return " and ".join(kind.plural for kind in KINDS.values() if kind.name in found) or "resources"


def counted(numbers: Mapping[str, int]) -> str:
    """How many there are of each kind, in the order of kinds: `8 machines and 2 switches`; empty for none."""
    found = ((KINDS[name], numbers.get(name, 0)) for name in KINDS)
    return " and ".join(count(number, kind.name.lower(), kind.plural) for kind, number in found if number)


def endpoints(kind: str) -> str:
    """What the endpoints of a kind are called: `BMCs`, or `switches`."""
    found = KINDS[kind]
    return found.plural if found.lock_name in (UNNAMED_LOCK, found.name.lower()) else f"{found.lock_name}s"
