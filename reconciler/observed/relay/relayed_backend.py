"""A backend whose endpoints are partly reached by other daemons, which are asked through the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Protocol

from drivers.base import Accepted, Inventory, NoWorker, Task, Unsupported
from reconciler.kinds.kind_shards import attended_partitions, shard_of
from reconciler.model.actions.action import Action
from reconciler.model.facts import ResourceFacts
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.observed.backend import Backend, EndpointBackend, ReadsInventory
from reconciler.observed.relay.relay_messages import EndpointCall, InventoryCall, SendCall, TaskCall, observe_call

Carrier = Callable[[EndpointCall], Any]
"""Has another daemon carry out a call, and returns the value of the answer. Raises DriverError."""


class Relay(Protocol):
    """Knows who reaches which endpoint. May be shared by threads."""

    def reaching(self, key: ResourceKey, desired: DesiredState) -> AbstractContextManager[Carrier | None]:
        """None: this process reaches the endpoint itself, and no other one does until the context is left. Raises
        NoWorker."""


class DirectReach:
    """Implements Relay for a process that asks no other one: it reaches all but the partitions that have daemons of
    their own."""

    @contextmanager
    def reaching(self, key: ResourceKey, desired: DesiredState) -> Iterator[Carrier | None]:
        """Raises NoWorker for such a partition."""
        shard = shard_of(desired.resources.get(key))
        if shard is not None and shard.partition in attended_partitions(desired):
            raise NoWorker(
                f"partition {shard.partition} has daemons of its own (spec.ownWorkers), and only these reach {key}. "
                f"Commit the change; a daemon that was started with `groundstate run --partitions {shard.partition}` "
                "carries it out. Such daemons need a store on PostgreSQL"
            )
        yield None


class RelayedBackend(EndpointBackend):
    """Implements Backend and ReadsInventory, over the backend of this process."""

    def __init__(self, relay: Relay, local: Backend, now: Callable[[], datetime]) -> None:
        super().__init__(now)
        self._local, self._relay = local, relay

    def observe(self, key: ResourceKey, desired: DesiredState, facts: ResourceFacts) -> Any:
        """The current state, read by the daemon that reaches the endpoint. Raises DriverError, such as NoWorker."""
        with self._relay.reaching(key, desired) as carry:
            return self._local.observe(key, desired, facts) if carry is None else carry(observe_call(facts))

    def send(self, action: Action, desired: DesiredState) -> Accepted:
        """Send one request, once. Raises DriverError: Unreachable that was perhaps sent, where the other daemon was
        lost before it answered."""
        with self._relay.reaching(action.key, desired) as carry:
            if carry is None:
                return self._local.send(action, desired)
            accepted: Accepted = carry(SendCall(action))
            return accepted

    def task(self, handle: str, key: ResourceKey, desired: DesiredState) -> Task:
        """The Task of an action. Raises DriverError."""
        with self._relay.reaching(key, desired) as carry:
            if carry is None:
                return self._local.task(handle, key, desired)
            task: Task = carry(TaskCall(handle))
            return task

    def inventory(self, key: ResourceKey, desired: DesiredState) -> Inventory:
        """What is in the resource. Raises DriverError; Unsupported where the backend reads no inventories."""
        with self._relay.reaching(key, desired) as carry:
            if carry is not None:
                found: Inventory = carry(InventoryCall())
                return found
            if not isinstance(self._local, ReadsInventory):
                raise Unsupported(f"there is no inventory of a {key.kind}")
            return self._local.inventory(key, desired)
