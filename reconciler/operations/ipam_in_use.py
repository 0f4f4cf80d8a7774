"""Which IPAM a store belongs to: the one that commands on this store have written to.

An IPAM that was named by mistake, or was not named, is empty. A plan against it would acquire each prefix and each
address again, as if the present ones did not exist. Machines that run have those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.kinds import KINDS
from reconciler.kinds.common.kind import IPAM
from reconciler.operations.operation_error import OperationError

if TYPE_CHECKING:
    from drivers.base import IpamSettings
    from reconciler.store import Store

IPAM_IN_USE = "ipam_in_use"
"""In `meta`: the words of `ipam_words`."""


def ipam_words(settings: IpamSettings) -> str:
    """The IPAM in words: `embedded`, or `netbox with the fleet groundstate`. Its URL may change; its content not."""
    return f"{settings.name} with the fleet {settings.fleet}" if settings.url else settings.name


def require_ipam_in_use(settings: IpamSettings, store: Store) -> None:
    """Raise OperationError if the settings name another IPAM than before, and the store has facts of the former IPAM.
    The other facts are read only if the two differ."""
    before, now = store.get_meta(IPAM_IN_USE), ipam_words(settings)
    if before is None or before == now or not any(KINDS[key.kind].backend == IPAM for key in store.facts()):
        return
    raise OperationError(
        f"this store was used with the IPAM {before}, but the settings name the IPAM {now}. With another IPAM, "
        "groundstate would acquire all prefixes and addresses again. Nothing was done. To keep the IPAM, correct the "
        "settings (--ipam, GROUNDSTATE_IPAM, or ipam in the settings file). To change the IPAM, run `groundstate ipam "
        "export --out ipam.yaml` with the old settings, and `groundstate ipam import ipam.yaml` with the new ones"
    )


def note_ipam_in_use(settings: IpamSettings, store: Store) -> None:
    """Keep which IPAM is written to."""
    now = ipam_words(settings)
    if store.get_meta(IPAM_IN_USE) != now:
        store.put_meta(IPAM_IN_USE, now)
