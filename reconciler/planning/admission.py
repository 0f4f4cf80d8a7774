"""What the facts alone can forbid in a desired state: the removal of something in use. Pure.

The rules between documents see documents alone; here a revision is compared with what earlier revisions allocated. A
revision that is refused here is refused whole, like one with a broken document.
"""

from __future__ import annotations

from reconciler.kinds import KINDS
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.facts import Facts
from reconciler.model.resource import DesiredState


def admit(desired: DesiredState, facts: Facts) -> tuple[Diagnostic, ...]:
    """Every reason to refuse the state, none when it may take force; each kind says its own."""
    admits = (kind.admit for kind in KINDS.values() if kind.admit is not None)
    return tuple(found for admit_kind in admits for found in admit_kind(desired, facts))
