"""How what is remembered of a claim changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.kinds.claim.claim_records import record_claim_action
from reconciler.kinds.common.fact_rules import Occasion, Recorded
from reconciler.kinds.common.renamed_facts import ClaimFacts, RenamedFactRules
from reconciler.model.actions.action import Action
from reconciler.model.actions.record_actions import ClaimRecord
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import ResourceKey


class ClaimFactRules(RenamedFactRules):
    """The rules of MachineClaims."""

    facts_type = ClaimFacts

    def record(self, action: Action, facts: Mapping[ResourceKey, ResourceFacts], occasion: Occasion) -> Recorded:
        """Machines that it gets and releases."""
        if isinstance(action, ClaimRecord):
            return record_claim_action(action, facts, occasion.now, occasion.cause)
        return super().record(action, facts, occasion)
