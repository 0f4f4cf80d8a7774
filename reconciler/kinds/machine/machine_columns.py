"""What `get machines` shows."""

from __future__ import annotations

from datetime import datetime

from drivers.base import SystemState
from reconciler.kinds.common.column import NOTHING, Column, ResourceView, label_column, observed_column, spec_column
from reconciler.kinds.common.mac_vendor import mac_vendors
from reconciler.kinds.common.machine_inventory import SIZE_LABEL


def _boot(state: SystemState) -> str | None:
    if state.boot is None or state.boot.enabled is None:
        return None
    return f"{state.boot.target}/{state.boot.enabled}" if state.boot.enabled != "Disabled" else "Disabled"


def _model(view: ResourceView, _: datetime) -> str:
    """What the BMC says, or else who made the declared network cards."""
    seen = view.observation.value if view.observation else None
    said = seen.model or seen.manufacturer if isinstance(seen, SystemState) else None
    cards = mac_vendors(view.resource.spec.macs) if said is None and view.resource else ""
    return said or (f"cards of {cards}" if cards else NOTHING)


MACHINE_COLUMNS = (
    spec_column("partition", "PARTITION"),
    spec_column("rack", "RACK"),
    spec_column("power", "DECLARED"),
    observed_column("POWER", lambda state: state.power),
    observed_column("BOOT", _boot, wide=True),
    observed_column("LED", lambda state: state.indicator, wide=True),
    Column("PHASE", lambda view, _: view.phase or NOTHING),
    observed_column("HEALTH", lambda state: state.health, wide=True),
    Column("MODEL", _model, wide=True),
    spec_column("size", "SIZE", wide=True),
    label_column(SIZE_LABEL, "FITS"),
    Column("BMC", lambda view, _: view.resource.spec.bmc.address if view.resource else NOTHING, wide=True),
)
