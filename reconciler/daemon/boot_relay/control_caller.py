"""Calls to the daemon that decides, from a process that does not have the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from reconciler import runtime
from reconciler.daemon.boot_relay.provisioning_calls import ProvisioningCall, value_of_reply
from reconciler.model.values.program_version import program_version
from reconciler.observed.relay.relay_messages import REPLIES, ControlCall, ControlReply
from reconciler.services.provisioning_port import ProvisioningUnavailable
from reconciler.store import Store
from reconciler.store.rows.relay_rows import RelayAnswer
from reconciler.store.sql.row_json import row_json

REPLY_SECONDS, SILENT_SECONDS = 10.0, 3.0
"""So long a reply is waited for; and while the last call got none. Clients of the boot service wait longer."""
_BUSY_SECONDS, _SLOW_SECONDS, _IDLE_SECONDS = 0.02, 0.2, 60.0
"""Between two looks for replies: at first, while no reply comes, and while none is waited for."""
_SLOW_AFTER = 2.0
_END_SECONDS = 2.0
"""So long the end of the thread is waited for, as the database may be away."""


class _Waiting:
    """A call without a reply so far."""

    __slots__ = ("over", "reply", "since")

    def __init__(self) -> None:
        self.over, self.since = runtime.flag(), runtime.monotonic()
        self.reply: ControlReply | None = None


class ControlCaller:
    """Runs from `start` to `end`. `asker`: the name of this process. `failed` is called, from its thread, with what
    makes it end. Threads may share it."""

    def __init__(self, store: Store, asker: str, failed: Callable[[BaseException], None]) -> None:
        self._store, self._asker, self._failed = store, asker, failed
        self._lock = runtime.lock()
        self._outbox: deque[RelayAnswer] = deque()
        self._waiting: dict[str, _Waiting] = {}
        self._is_silent = self._is_over = False
        self._stop, self._wake = runtime.flag(), runtime.flag()
        self._thread = runtime.thread(partial(runtime.reporting, self._run, self._ended), "control-calls")

    def start(self) -> None:
        """Begin to carry calls and replies."""
        self._thread.start()

    def end(self) -> None:
        """No reply is waited for any more."""
        self._close()
        self._thread.join(_END_SECONDS)

    def ask(self, call: ProvisioningCall) -> Any:
        """The value of the call. Raises ProvisioningUnavailable: it may be carried out or not."""
        id_, waiting = runtime.entropy(12).hex(), _Waiting()
        made = ControlCall(id_, self._asker, program_version(), msgspec.Raw(row_json(call).encode()))
        text = msgspec.json.encode(made).decode()
        with self._lock:
            if self._is_over:
                raise ProvisioningUnavailable("this daemon stops, or takes over; ask again")
            self._waiting[id_] = waiting
            self._outbox.append(RelayAnswer(text))
        self._wake.set()
        waiting.over.wait(SILENT_SECONDS if self._is_silent else REPLY_SECONDS)
        with self._lock:
            self._waiting.pop(id_, None)
        if waiting.reply is None:
            self._is_silent = True
            raise ProvisioningUnavailable("the daemon that decides does not answer; ask again")
        self._is_silent = False
        if waiting.reply.failure is not None:
            raise ProvisioningUnavailable(waiting.reply.failure)
        try:
            return value_of_reply(call, waiting.reply.value)
        except msgspec.MsgspecError as error:
            raise ProvisioningUnavailable(f"the reply of the daemon that decides cannot be read: {error}") from None

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            with self._lock:
                calls = [self._outbox.popleft() for _ in range(len(self._outbox))]
            self._store.relay.answer(calls)
            if self._waiting:
                self._take_replies()
            self._wake.wait(self._pause())

    def _pause(self) -> float:
        with self._lock:
            newest = max((one.since for one in self._waiting.values()), default=None)
        if newest is None:
            return _IDLE_SECONDS
        return _BUSY_SECONDS if runtime.monotonic() - newest < _SLOW_AFTER else _SLOW_SECONDS

    def _take_replies(self) -> None:
        for text in self._store.relay.replies(self._asker):
            try:
                reply = REPLIES.decode(text)
            except msgspec.MsgspecError:  # Of another version; its call is asked again.
                continue
            with self._lock:
                waiting = self._waiting.get(reply.id)
            if waiting is not None:
                waiting.reply = reply
                waiting.over.set()

    def _ended(self, error: BaseException) -> None:
        self._close()
        self._failed(error)

    def _close(self) -> None:
        with self._lock:
            self._is_over = True
            for one in self._waiting.values():
                one.over.set()
        self._stop.set()
        self._wake.set()
