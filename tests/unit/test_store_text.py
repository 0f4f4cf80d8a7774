"""Text that no database takes: it is written out, on SQLite and PostgreSQL alike, and keeps nothing from being written.

An unpaired surrogate comes from JSON (`"\\ud800"`) and from bytes of a command line that are no UTF-8
(python/cpython#79084). psycopg and sqlite3 raise UnicodeEncodeError for it, which is no error of a database.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from drivers.base import ErrorReason, Rejected, SystemState, Unreachable
from reconciler.kinds.common.machine_facts import LifecycleFacts, MachineFacts, as_machine_facts
from reconciler.model.event import Event, EventReason, EventType
from reconciler.model.facts import Applied
from reconciler.model.observation import Observation, ReadError
from reconciler.model.plans.override import Override
from reconciler.model.plans.pause import ResourcePause
from reconciler.model.resource import ResourceKey
from reconciler.store import Store

KEY = ResourceKey("Machine", "m1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ODD, SHOWN = "a\ud800b", "a\\ud800b"


def test_an_event(store: Store) -> None:
    store.append([Event(NOW, EventType.NORMAL, EventReason.HELD, ODD, KEY, by=ODD, about=(ODD,))] * 5)
    assert {entry.event.message for entry in store.events()} == {SHOWN}


def test_facts(store: Store) -> None:
    facts = MachineFacts(
        applied=Applied({"spec.boot": {ODD: [ODD, 1.5, None]}}, "r", NOW),
        lifecycle=LifecycleFacts(release_cause=ODD, installs=(ODD,)),
    )
    store.put_facts({KEY: facts})
    found = as_machine_facts(store.facts()[KEY])
    assert found.lifecycle.release_cause == SHOWN
    assert found.lifecycle.installs == (SHOWN,)
    assert found.applied is not None
    assert found.applied.fields == {"spec.boot": {SHOWN: [SHOWN, 1.5, None]}}
    assert found.applied.at == NOW


def test_observations(store: Store) -> None:
    other = ResourceKey("Machine", "m2")
    failed = Observation(other, NOW, error=ReadError(ErrorReason.UNREACHABLE, ODD))
    store.put_observations([Observation(KEY, NOW, SystemState(serial=ODD)), failed])
    found = {one.key: one for one in store.observations({"Machine": SystemState})}
    assert found[KEY].value.serial == SHOWN
    assert found[other].error == ReadError(ErrorReason.UNREACHABLE, SHOWN)


def test_what_people_write(store: Store) -> None:
    until = NOW + timedelta(hours=1)
    store.overrides.add(Override("o", "mass-removal", ODD, ODD, NOW, until))
    store.overrides.revoke("o", ODD, NOW)
    store.pauses.add(ResourcePause("p", ODD, ODD, NOW, until))
    (override,), (pause,) = store.overrides.all(), store.pauses.all()
    assert (override.reason, override.by, override.revoked_by) == (SHOWN, SHOWN, SHOWN)
    assert (pause.reason, pause.by) == (SHOWN, SHOWN)


@pytest.mark.parametrize("kind", [Rejected, Unreachable])
def test_the_error_of_a_driver(kind: type[Rejected]) -> None:
    assert str(kind(ODD)) == SHOWN
