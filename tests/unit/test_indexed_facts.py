"""Facts in groups: they are at every moment what going through all facts would find."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciler.kinds.claim.spec import all_holders
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts, claim_of_facts, project_of_facts
from reconciler.model.facts import NO_FACTS, IndexedFacts, ResourceFacts, grouped
from reconciler.model.resource import ResourceKey

GROUPS = (claim_of_facts, project_of_facts)
KEYS = st.sampled_from([ResourceKey("Machine", name) for name in "abcd"])
FACTS = st.one_of(
    st.just(NO_FACTS),
    st.builds(
        lambda claim, slot, project: MachineFacts(lifecycle=LifecycleFacts(claim=claim, slot=slot), project=project),
        st.sampled_from([None, "web", "db"]),
        st.integers(0, 3),
        st.sampled_from([None, "shop", "ware"]),
    ),
)
CHANGES = st.lists(st.tuples(KEYS, st.one_of(st.none(), FACTS)))


def apply_change(facts: dict[ResourceKey, ResourceFacts], key: ResourceKey, after: ResourceFacts | None) -> None:
    if after is not None:
        facts[key] = after
    elif key in facts:
        del facts[key]


@given(st.dictionaries(KEYS, FACTS), CHANGES)
def test_groups_follow_each_change(first: dict[ResourceKey, ResourceFacts], changes: list[Any]) -> None:
    plain, indexed = dict(first), IndexedFacts(first)
    kept = [grouped(indexed, of) for of in GROUPS]
    for key, after in changes:
        apply_change(plain, key, after)
        apply_change(indexed, key, after)
        assert kept == [grouped(plain, of) for of in GROUPS]
        assert all_holders(indexed) == all_holders(plain)
    assert indexed == plain


@given(st.dictionaries(KEYS, FACTS), CHANGES)
def test_a_copy_does_not_change_with_the_original(first: dict[ResourceKey, ResourceFacts], changes: list[Any]) -> None:
    indexed = IndexedFacts(first)
    before = dict(indexed)
    for key, after in changes:
        apply_change(indexed, key, after)
    assert grouped(before, claim_of_facts) == grouped(first, claim_of_facts)
