"""The reconciler's door to asyncio: what services with many open connections use of it. See
`drivers/base/support/event_loop.py`."""

from __future__ import annotations

from drivers.base.support.event_loop import FIRST_COMPLETED as FIRST_COMPLETED
from drivers.base.support.event_loop import AbstractEventLoop as AbstractEventLoop
from drivers.base.support.event_loop import AsyncFlag as AsyncFlag
from drivers.base.support.event_loop import AsyncFuture as AsyncFuture
from drivers.base.support.event_loop import AsyncTask as AsyncTask
from drivers.base.support.event_loop import CancelledError as CancelledError
from drivers.base.support.event_loop import Runner as Runner
from drivers.base.support.event_loop import TimerHandle as TimerHandle
from drivers.base.support.event_loop import create_task as create_task
from drivers.base.support.event_loop import gather as gather
from drivers.base.support.event_loop import in_thread as in_thread
from drivers.base.support.event_loop import run_from_thread as run_from_thread
from drivers.base.support.event_loop import running_loop as running_loop
from drivers.base.support.event_loop import time_limit as time_limit
from drivers.base.support.event_loop import wait_for_tasks as wait_for_tasks
