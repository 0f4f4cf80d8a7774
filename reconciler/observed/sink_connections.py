"""How the receivers of events are reached: the driver, its secrets, and what documents may use of the host for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drivers.base import EventSink, Peer, SinkEndpoint
from reconciler.kinds.common.access.credentials import LoginDestination
from reconciler.kinds.common.field_types.bmc_access import CredentialRef
from reconciler.kinds.sink.spec import EventSinkSpec, NatsSpec
from reconciler.observed.connections import Connections, Login


def sink_opener(connections: Connections) -> Callable[[str, EventSinkSpec], EventSink]:
    """What opens the receiver of a sink's document; it connects to nothing yet. It raises DriverError."""
    return lambda _name, spec: connections.sink(spec.driver, sink_endpoint(connections, spec))


def sink_endpoint(connections: Connections, spec: EventSinkSpec) -> SinkEndpoint:
    """The document in the driver's form. Raises Rejected for a file that documents may not name."""
    target = spec.target
    tls = connections.trusted(target.tls.trust())
    if isinstance(target, NatsSpec):
        login = target.credential_ref
        credential = None if login is None else Login(connections, login, target.url, spec.driver)
        return SinkEndpoint(target.url, tls, stream=target.stream, credential=credential)
    references = [one for one in (target.secret_ref, target.previous_secret_ref) if one is not None]
    return SinkEndpoint(target.url, tls, secrets=_Secrets(connections, references, target.url, spec.driver))


@dataclass(frozen=True, slots=True)
class _Secrets:
    """The secrets of signatures, read at each call, so that a changed one needs no restart. They are not sent, so it
    does not matter which address the receiver has."""

    connections: Connections
    references: Sequence[CredentialRef]
    address: str
    driver: str

    def __call__(self) -> list[str]:
        """Raises AuthenticationFailed, such as SecretUnavailable."""
        destination = LoginDestination(self.driver, self.address, Peer(None))
        return [self.connections.secret_text(one, destination) for one in self.references]
