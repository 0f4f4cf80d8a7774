"""Facts that an older program stored are read in today's form: what it wrote, byte by byte, and what they mean now."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from drivers.base import BootTarget, Disk, Inventory
from reconciler.kinds.common.machine_facts import (
    BootRequest,
    Inserted,
    LifecycleFacts,
    MachineFacts,
    Wiped,
    Written,
)
from reconciler.kinds.common.machine_inventory import Kept, Origin, StoredInventory
from reconciler.kinds.common.renamed_facts import AddressFacts, ClaimFacts
from reconciler.model.actions.ipam_actions import AcquireNumber, ReleaseNumber
from reconciler.model.facts import Applied, Failure, RecentWrites, ResourceFacts
from reconciler.model.outcome import ActionFailure
from reconciler.model.resource import ResourceKey
from reconciler.model.values.boot_purpose import LifecycleFailure, LifecycleFailureReason, Purpose
from reconciler.store import Store
from reconciler.store.sql.engines import parse_url
from reconciler.store.sql.migrate import SCRIPTS

AT, LATER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 5, tzinfo=UTC)

STORED = {
    ("Machine", "at-work"): """{"place":"https://bmc","once_done":"d1","disrupted_at":"2026-01-01T00:00:00Z",
        "project":"shop","image":"debian-12.0.1","labels":{"groundstate/size":"c1"},"access":{"spec.bmc.driver":"redfish"},
        "applied":{"fields":{"spec.power":"On"},"revision":"r","at":"2026-01-01T00:00:00Z"},
        "failures":{"spec.boot":{"reason":"Busy","message":"503","at":"2026-01-01T00:00:00Z","terminal":false,
            "attempts":2,"fingerprint":"f","retry_at":null}},
        "wishes":{"spec.power":{"goal":"g","times":["2026-01-01T00:00:00Z"]}},
        "life":{"inspected_at":"2026-01-01T00:00:00Z","claim":"web","slot":1,"claimed_at":"2026-01-01T00:00:00Z",
            "order":{"id":"7-1","purpose":"install","at":"2026-01-01T00:00:00Z","word":"again","media":"https://cd",
                "target":"Cd","uuid":"u"},
            "stopped_at":"2026-01-01T00:00:00Z","system":"u","attempts":1,"tried":"again",
            "served_at":"2026-01-01T00:00:00Z","registered_at":"2026-01-01T00:00:00Z",
            "heard_at":"2026-01-01T00:05:00Z","progress":"writing","asked":"first",
            "media":{"url":"https://cd","order":"7-1"},"installs":["7-1"]}}""",
    ("Machine", "failing"): """{"life":{"inspected_at":"2026-01-01T00:00:00Z","claim":"web","slot":0,
        "releasing_at":"2026-01-01T00:00:00Z","because":"commit 1a2b3c4",
        "written":{"image":"debian-12.0.1","checksum":"sha256:0","claim":"web","at":"2026-01-01T00:00:00Z",
            "word":"again","order":"6-1"},
        "wiped":{"at":"2026-01-01T00:00:00Z","proof":["sda: overwrite"]},
        "trouble":{"reason":"AgentSilent","message":"no report","at":"2026-01-01T00:00:00Z","final":true}}}""",
    ("Machine", "new"): """{"found_order":"d2","found_new":true,"joining":true}""",
    ("MachineClaim", "web"): """{"was":["www"],"deletion_policy":"Release"}""",
    ("IPAddress", "vip"): """{"was":["old"]}""",
    ("Network", "net"): """{"drift":{"spec.prefixes":"2026-01-01T00:00:00Z"}}""",
}
MEANT = {
    ("Machine", "at-work"): MachineFacts(
        place="https://bmc",
        once_done="d1",
        disrupted_at=AT,
        project="shop",
        image="debian-12.0.1",
        labels={"groundstate/size": "c1"},
        access={"spec.bmc.driver": "redfish"},
        applied=Applied({"spec.power": "On"}, "r", AT),
        failures={"spec.boot": Failure(ActionFailure.BUSY, "503", AT, False, 2, "f")},
        recent_writes={"spec.power": RecentWrites("g", (AT,))},
        lifecycle=LifecycleFacts(
            inspected_at=AT,
            claim="web",
            slot=1,
            claimed_at=AT,
            boot_request=BootRequest(
                "7-1", Purpose.INSTALL, AT, "again", "https://cd", BootTarget.CD, "u", AT, AT, LATER, "writing"
            ),
            stopped_at=AT,
            system="u",
            attempts=1,
            tried_request="again",
            heeded_request="first",
            media=Inserted("https://cd", "7-1"),
            installs=("7-1",),
        ),
    ),
    ("Machine", "failing"): MachineFacts(
        lifecycle=LifecycleFacts(
            inspected_at=AT,
            claim="web",
            slot=0,
            releasing_at=AT,
            release_cause="commit 1a2b3c4",
            written=Written("debian-12.0.1", "sha256:0", "web", AT, "again", "6-1"),
            wiped=Wiped(AT, ("sda: overwrite",)),
            failure=LifecycleFailure(LifecycleFailureReason.AGENT_SILENT, "no report", AT, final=True),
        )
    ),
    ("Machine", "new"): MachineFacts(found_order="d2", found_new=True, joining=True),
    ("MachineClaim", "web"): ClaimFacts(was=("www",), deletion_policy="Release"),
    ("IPAddress", "vip"): AddressFacts(was=("old",)),
    ("Network", "net"): ResourceFacts(drift={"spec.prefixes": AT}),
}
SENT = {
    "asn": """{"action":"take-number","key":{"kind":"Number","name":"asn"},"pool":"asns"}""",
    "vni": """{"action":"give-number-back","key":{"kind":"Number","name":"vni"},"pool":"asns","number":7}""",
}
IN_FLIGHT = """{"id":"%s","key":{"kind":"Number","name":"%s"},"action":%s,"sent_at":"2026-01-01T00:00:00Z",
    "deadline":"2026-01-01T00:05:00Z","by":"ada","cause":"a commit"}"""

KEPT = """{"machine":"m1","origin":"out-of-band","value":{"disks":[{"name":"a","size":1}]}}"""


@pytest.fixture
def older_store_url(empty_store_url: str) -> str:
    """A store as the last version before wrote it."""
    engine = create_engine(parse_url(empty_store_url))
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    row = text("INSERT INTO facts (kind, name, value) VALUES (:kind, :name, :value)")
    flight = text(
        "INSERT INTO in_flight (kind, name, action_id, epoch, value) VALUES ('Number', :name, :name, 1, :value)"
    )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0010")
        for (kind, name), value in STORED.items():
            connection.execute(row, {"kind": kind, "name": name, "value": value})
        connection.execute(text("INSERT INTO inventory VALUES ('m1', 'out-of-band', NULL, :value)"), {"value": KEPT})
        for name, action in SENT.items():
            connection.execute(flight, {"name": name, "value": IN_FLIGHT % (name, name, action)})
    engine.dispose()
    return empty_store_url


def test_what_an_older_program_remembered_is_remembered(older_store_url: str) -> None:
    store = Store.open(older_store_url)
    assert store.facts() == {ResourceKey(*name): facts for name, facts in MEANT.items()}
    store.close()


def test_the_inventories_of_an_older_program_are_of_machines(older_store_url: str) -> None:
    store = Store.open(older_store_url)
    of_machine = StoredInventory(Kept(Origin.OUT_OF_BAND, Inventory(disks=(Disk("a", 1),))))
    assert store.inventories.all() == {ResourceKey("Machine", "m1"): of_machine}
    store.close()


def test_what_an_older_program_sent_is_in_flight(older_store_url: str) -> None:
    store = Store.open(older_store_url)
    assert {key.name: type(flight.action) for key, flight in store.in_flight().items()} == {
        "asn": AcquireNumber,
        "vni": ReleaseNumber,
    }
    store.close()


def test_what_is_read_from_an_older_store_is_what_would_be_written(older_store_url: str) -> None:
    """Nothing of the old form stays beside the new one."""
    store = Store.open(older_store_url)
    with store.engine.connect() as connection:
        migrated = {(kind, name): value for kind, name, value in connection.execute(text("SELECT * FROM facts"))}
    store.put_facts(store.facts())
    with store.engine.connect() as connection:
        written = {(kind, name): value for kind, name, value in connection.execute(text("SELECT * FROM facts"))}
    store.close()
    for name, value in migrated.items():
        assert without_defaults(value) == without_defaults(written[name])


def without_defaults(value: str) -> object:
    def cleaned(one: object) -> object:
        if isinstance(one, dict):
            return {name: cleaned(part) for name, part in one.items() if part is not None}
        return one

    return cleaned(json.loads(value))


def test_who_may_read_the_inventories_may_read_them_afterwards(older_store_url: str) -> None:
    """The how-to grants SELECT on all tables to operators once, and not after each new version."""
    engine = create_engine(parse_url(older_store_url))
    if engine.dialect.name == "sqlite":
        pytest.skip("files have no such privileges")
    privileges = text("SELECT relacl::text FROM pg_class WHERE oid = 'inventory'::regclass")
    with engine.begin() as connection:
        connection.execute(text("GRANT SELECT ON inventory TO PUBLIC"))
        before = connection.execute(privileges).scalar_one()
    Store.open(older_store_url).close()
    with engine.begin() as connection:
        assert connection.execute(privileges).scalar_one() == before
    engine.dispose()
