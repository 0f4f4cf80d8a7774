"""The Redfish driver on simulated BMCs without sockets: each request is a call. For tests, and for virtual time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from drivers.base import Peer, Tls, Unreachable, require_permit
from drivers.bmc.redfish.redfish import RedfishDriver
from drivers.bmc.redfish.wire.quick_answer import PlainHeaders
from drivers.bmc.redfish.wire.redfish_http import REQUEST_SECONDS, BmcAddress, RedfishConnection, Reply
from drivers.bmc.simulator.bmc_messages import RedfishRequest
from drivers.bmc.simulator.fleet.simulated_fleet import SimulatedDelivery, SimulatedFleet

FIRST_PORT = 8001
MEMORY_HOST = "bmc.invalid"


def memory_driver(
    fleet: SimulatedFleet, now: Callable[[], float], passes: Callable[[float], None] = lambda _seconds: None
) -> RedfishDriver:
    """The Redfish driver, each of whose connections leads to a BMC of the fleet. `now`: the clock of the fleet in
    seconds. `passes`: called with the seconds that an answer takes."""
    return RedfishDriver(connect=partial(MemoryConnection, fleet, now, passes))


def memory_address(number: int) -> str:
    """The address of BMC `number` of a fleet, from 0."""
    return f"https://{MEMORY_HOST}:{FIRST_PORT + number}"


class MemoryConnection(RedfishConnection):
    """A connection to the BMC that the port numbers."""

    __slots__ = ("_fleet", "_now", "_number", "_passes")

    def __init__(
        self,
        fleet: SimulatedFleet,
        now: Callable[[], float],
        passes: Callable[[float], None],
        address: BmcAddress,
        tls: Tls,
        seconds: float = REQUEST_SECONDS,
        connects: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(address, tls, seconds, connects)
        self._fleet, self._now, self._passes = fleet, now, passes
        self._number = address.port - FIRST_PORT

    def peer(self) -> Peer:
        """See RedfishConnection."""
        if self._connects is not None:
            self._connects("127.0.0.1")
        if not (self.address.host == MEMORY_HOST and 0 <= self._number < len(self._fleet.bmcs)):
            raise Unreachable(f"{self.address.url}: no connection: there is no such simulated BMC")
        return Peer("127.0.0.1", verified=True)

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        to: Peer | None = None,
        seconds: float | None = None,
    ) -> Reply:
        """See RedfishConnection."""
        self.peer()
        if method != "GET":
            require_permit()
        lower = {name.lower(): value for name, value in headers.items()}
        with self._fleet.lock:
            delivery = self._fleet.answer(self._number, RedfishRequest(method, path, lower, body or b""), self._now())
        return self._received(method, delivery, seconds or self.seconds)

    def close(self) -> None:
        """See RedfishConnection."""

    def _received(self, method: str, delivery: SimulatedDelivery, longest: float) -> Reply:
        sent, url, response = method != "GET", self.address.url, delivery.response
        if response is None and (delivery.resets or delivery.closes):
            raise Unreachable(f"{url}: the BMC closed the connection before the answer was complete", maybe_sent=sent)
        if response is None or delivery.seconds > longest:
            self._passes(longest)
            words = f"no answer within {longest:g} s; for a slow BMC raise bmc.timeoutSeconds"
            raise Unreachable(f"{url}: {words}", maybe_sent=sent)
        self._passes(delivery.seconds)
        if delivery.most is not None and delivery.most < len(response.body) and response.status < 400:
            raise Unreachable(
                f"{url}: the answer ended early: the BMC or a proxy closed the connection", maybe_sent=sent
            )
        named = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, PlainHeaders(named), response.body)
