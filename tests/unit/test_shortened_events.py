"""An event that a receiver refuses as too large."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from reconciler.model.event import Event, EventReason, EventType
from reconciler.views.cloud_event import SHORT_MESSAGE, sink_message

AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("character", ["x", "ü", "\U0001f600", '"'])
def test_the_short_form_is_the_same_event_with_the_beginning_of_its_message(character: str) -> None:
    message = character * 2_000_000
    sent = sink_message("f1", 7, Event(AT, EventType.WARNING, EventReason.REVISION_REFUSED, message))
    assert sent.short is not None
    assert len(sent.short) < 4096
    whole, short = json.loads(sent.body), json.loads(sent.short)
    assert short.pop("shortened") is True
    assert short["data"].pop("message").startswith(character * SHORT_MESSAGE + "... (the first 500 of 2000000 char")
    assert whole["data"].pop("message") == message
    assert short == whole


def test_an_event_of_the_usual_size_has_none() -> None:
    sent = sink_message("f1", 7, Event(AT, EventType.WARNING, EventReason.REVISION_REFUSED, "x" * SHORT_MESSAGE))
    assert sent.short is None
    assert "shortened" not in json.loads(sent.body)
