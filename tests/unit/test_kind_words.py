"""What resources and endpoints of each kind are called in messages."""

from __future__ import annotations

import pytest

from reconciler.kinds.kind_words import endpoints


@pytest.mark.parametrize(("kind", "words"), [("Machine", "BMCs"), ("Switch", "switches"), ("IPAddress", "ipaddresses")])
def test_endpoints_have_the_name_of_their_kind(kind: str, words: str) -> None:
    assert endpoints(kind) == words
