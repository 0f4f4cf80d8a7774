"""The side of the daemon that decides: it carries out what the boot services of other daemons ask for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import msgspec

from drivers.base import OUTSIDE_ERRORS
from reconciler import runtime
from reconciler.daemon.boot_relay.provisioning_calls import PROVISIONING_CALLS, carried_out
from reconciler.model.values.program_version import program_version
from reconciler.observed.relay.relay_messages import ControlCall, ControlReply
from reconciler.services.provisioning_port import Provisioning, ProvisioningUnavailable
from reconciler.store import Store
from reconciler.store.rows.relay_rows import RelayReply
from reconciler.store.sql.row_json import row_json
from reconciler.store.sql.store_errors import StoreError

_THREADS = 8
"""A report waits for the disk, and many wait together."""


class CalledProvisioning:
    """Carries out calls in threads of its own, for the process that has the store under `epoch`. `failed` is called
    with what a call failed for that is no error of the store; it may raise StoreError."""

    def __init__(
        self, store: Store, epoch: int, provisioning: Provisioning, failed: Callable[[str, BaseException], None]
    ) -> None:
        self._store, self._epoch, self._provisioning, self._failed = store, epoch, provisioning, failed
        self._pool = runtime.pool(_THREADS, "boot-call")

    def take(self, call: ControlCall) -> None:
        """Carry out the call, and reply."""
        with suppress(RuntimeError):  # It was closed; the other daemon asks again.
            self._pool.submit(self._reply_to, call)

    def close(self) -> None:
        """Finish what is in hand."""
        self._pool.shutdown(cancel_futures=True)

    def _reply_to(self, call: ControlCall) -> None:
        reply = msgspec.json.encode(self._reply(call)).decode()
        with suppress(StoreError):  # What ends this daemon is noticed elsewhere; the other daemon asks again.
            self._store.relay.reply(self._epoch, [RelayReply(call.asker, reply)])

    def _reply(self, call: ControlCall) -> ControlReply:
        if call.version != program_version():
            why = f"the daemon that decides has version {program_version()}, and {call.asker} has {call.version}"
            return ControlReply(call.id, failure=f"{why}; install the same version on both hosts")
        try:
            made = PROVISIONING_CALLS.decode(call.call)
            value = row_json(carried_out(made, self._provisioning))
            return ControlReply(call.id, msgspec.Raw(value.encode()))
        except ProvisioningUnavailable as error:
            return ControlReply(call.id, failure=str(error))
        except StoreError as error:
            return ControlReply(call.id, failure=f"the daemon that decides cannot use the store: {error}")
        except OUTSIDE_ERRORS as error:  # it is this call's alone
            with suppress(StoreError):
                self._failed(f"a call of the boot service of {call.asker}", error)
            return ControlReply(call.id, failure="the daemon that decides met a bug, which its events name")
