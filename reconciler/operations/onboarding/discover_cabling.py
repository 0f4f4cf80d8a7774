"""Proposing the cabling of declared switches from the latest observations and inventories in the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from reconciler.kinds import INVENTORIED
from reconciler.kinds.switch.shown.cabling_proposal import CablingProposal, propose_cabling
from reconciler.model.resource import API_VERSION, Resource
from reconciler.operations.onboarding.deliver_proposals import write_documents
from reconciler.operations.stored_facts import observed_types, state_and_facts
from reconciler.operations.where import Where
from reconciler.operations.workspace import Workspace


def discover_cabling(where: Where, out: str | None, remark: Callable[[str], None]) -> dict[str, str]:
    """The changed Switch documents as YAML, by name, once they are in the folder `out`, if it is given. `remark` gets
    each change. No switch and no BMC is contacted. Raises OperationError."""
    from reconciler.desired.manifest.manifests import dump_yaml

    with Workspace(where) as at, at.store() as store:
        desired, _ = state_and_facts(at, store)
        seen = {one.key: one for one in store.observations(observed_types())}
        known = store.inventories.all({key for key in desired.resources if key.kind in INVENTORIED})
        found = list(propose_cabling(desired, seen, known))
        for text in (*at.notes, *(text for one in found for text in (*one.changes, *one.refused))):
            remark(text)
        texts = {
            one.switch.name: dump_yaml(_document(desired.resources[one.switch], one)) for one in found if one.changes
        }
    if not texts:
        remark("no cabling to propose: what LLDP reports is declared, or nothing is reported")
    elif out is not None:
        write_documents(texts, Path(out), remark)
    return texts


def _document(switch: Resource[Any], proposal: CablingProposal) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": switch.key.name}
    metadata |= {name: dict(of) for name in ("labels", "annotations") if (of := getattr(switch, name))}
    spec = msgspec.to_builtins(msgspec.structs.replace(switch.spec, ports=proposal.ports))
    return {"apiVersion": API_VERSION, "kind": switch.key.kind, "metadata": metadata, "spec": spec}
