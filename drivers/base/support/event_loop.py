"""The door to asyncio, for drivers and services that hold many open lines.

No other module imports it, because the import is slow.

Clocks, waiting and tasks of coroutines come from here alone. So a test gives another event loop, and with it another
time. The reconciler's door to the same is `reconciler/async_runtime.py`.
"""

from __future__ import annotations

import asyncio
from asyncio import FIRST_COMPLETED as FIRST_COMPLETED
from asyncio import AbstractEventLoop as AbstractEventLoop
from asyncio import CancelledError as CancelledError
from asyncio import DatagramProtocol as DatagramProtocol
from asyncio import DatagramTransport as DatagramTransport
from asyncio import IncompleteReadError as IncompleteReadError
from asyncio import Runner as Runner
from asyncio import StreamReader as StreamReader
from asyncio import StreamWriter as StreamWriter
from asyncio import TimerHandle as TimerHandle
from asyncio import create_task as create_task
from asyncio import gather as gather
from asyncio import open_connection as open_connection
from asyncio import open_unix_connection as open_unix_connection
from asyncio.sslproto import SSLProtocol as SSLProtocol

AsyncFlag = asyncio.Event
ByteProtocol = asyncio.Protocol
AsyncFuture = asyncio.Future
AsyncTask = asyncio.Task
new_event_loop = asyncio.new_event_loop
running_loop = asyncio.get_running_loop
run_from_thread = asyncio.run_coroutine_threadsafe
pause = asyncio.sleep
time_limit = asyncio.timeout
in_thread = asyncio.to_thread
wait_for_tasks = asyncio.wait
