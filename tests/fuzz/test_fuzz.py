"""A short run of every fuzz target, the same each time; `./dev fuzz` is the long one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS


# jmespath takes what is no JSON between backticks for a text, and says that it will not for ever.
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize("name", TARGETS)
def test_what_others_say_costs_no_more_than_promised(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=100, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def run(data: st.DataObject) -> None:
        target.run(data.draw(target.inputs, label=name))

    run()
