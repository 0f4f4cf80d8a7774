"""What `get machineclaims` shows."""

from __future__ import annotations

from datetime import datetime

from reconciler.kinds.common.column import NOTHING, Column, ResourceView, spec_column


def _placed(view: ResourceView, _: datetime) -> str:
    return str(sum(1 for one in view.machines if one.phase != "Releasing"))


def _running(view: ResourceView, _: datetime) -> str:
    return str(sum(1 for one in view.machines if one.phase == "Running"))


def _machines(view: ResourceView, _: datetime) -> str:
    return ",".join(one.machine for one in view.machines) or NOTHING


def _partitions(view: ResourceView, _: datetime) -> str:
    return ",".join(view.resource.spec.partitions) if view.resource else NOTHING


CLAIM_COLUMNS = (
    spec_column("project", "PROJECT"),
    spec_column("size", "SIZE"),
    spec_column("count", "WANTED"),
    Column("PLACED", _placed),
    Column("RUNNING", _running),
    spec_column("image", "IMAGE", wide=True),
    Column("PARTITIONS", _partitions, wide=True),
    Column("MACHINES", _machines, wide=True),
)
