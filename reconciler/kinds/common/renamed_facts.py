"""What is remembered of what can get another name: a claim, an address. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from reconciler.kinds.common.fact_rules import FactRules
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import DesiredState, Resource, ResourceKey

NAME = "metadata.name"
"""The path under which a rename is a change."""


class RenamedFacts(ResourceFacts, frozen=True, omit_defaults=True):
    """What is remembered of a resource whose document can say what it was called before."""

    was: tuple[str, ...] = ()
    """Its former names, the latest last, until what is held elsewhere has followed to the new name, and the rename is
    reported."""


def former(facts: ResourceFacts) -> tuple[str, ...]:
    """Its former names; none, of what cannot get another one."""
    return facts.was if isinstance(facts, RenamedFacts) else ()


class ClaimFacts(RenamedFacts, frozen=True, omit_defaults=True):
    """What is remembered of a MachineClaim. Which machines it has, those machines' facts say."""


class AddressFacts(RenamedFacts, frozen=True, omit_defaults=True):
    """What is remembered of an IPAddress. Which address it holds, the IPAM says."""


class RenamedFactRules(FactRules):
    """The rules of what can get another name."""

    facts_type: type[ResourceFacts] = RenamedFacts

    def declared(
        self, facts: ResourceFacts, resource: Resource[Any], desired: DesiredState, _now: datetime
    ) -> ResourceFacts:
        """A former name that is declared again belongs to its new document from now on."""
        names = former(facts)
        was = tuple(name for name in names if ResourceKey(resource.key.kind, name) not in desired.resources)
        return facts if was == names else msgspec.structs.replace(facts, was=was)

    def former_names(self, facts: ResourceFacts) -> tuple[str, ...]:
        """As they are remembered."""
        return former(facts)
