"""How what is remembered of a resource changes: by its document, by its actions, by observations. Pure.

Generic rooms ask a kind's rules, and know nothing of what the kind remembers. Here is what is so of every kind; a kind
that remembers more has rules of its own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import DesiredState, Resource, ResourceKey


class Slot(msgspec.Struct, frozen=True):
    """A numbered place of another resource, which one resource alone can have: a machine is in a claim's slot."""

    holder: ResourceKey
    number: int


class FactRules:
    """The rules of a kind that remembers nothing of its own. A method whose facts change nothing gives the very same
    object."""

    facts_type: type[ResourceFacts] = ResourceFacts
    takes_slots = False
    """It can be in a slot of another resource."""

    def first(self, _spec: Any, _new_store: bool) -> ResourceFacts:
        """What is remembered of a resource that was not known before, by its spec. `new_store`: no resource that guards
        count was known."""
        return self.facts_type()

    def declared(
        self, facts: ResourceFacts, _resource: Resource[Any], _desired: DesiredState, _now: datetime
    ) -> ResourceFacts:
        """What is remembered as soon as the document is in force, which is from `now` on."""
        return facts

    def removed(self, facts: ResourceFacts, _now: datetime) -> ResourceFacts:
        """What is remembered as soon as no document is in force, which is from `now` on."""
        return facts

    def moved(self, facts: ResourceFacts) -> ResourceFacts:
        """What stays when the endpoint is another than before."""
        return facts

    def slot(self, _facts: ResourceFacts) -> Slot | None:
        """The slot in which it is."""
        return None

    def leaves_slot(self, _facts: ResourceFacts) -> bool:
        """Whether it is being given back, so that it may be in none from now on."""
        return False

    def former_names(self, _facts: ResourceFacts) -> tuple[str, ...]:
        """The names that it had before, the latest last."""
        return ()
