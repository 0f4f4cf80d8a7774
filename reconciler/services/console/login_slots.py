"""Which logins may be under way at once, so that a few hostile networks do not keep all others out. No I/O.

OpenSSH drops newcomers at random when many logins are under way (sshd_config(5), MaxStartups), the legitimate ones
too. Here the network that has the most loses its oldest one. A network is known after a successful login. The logins of
known networks are not dropped, and a few places are for these networks alone.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Generic, TypeVar

KNOWN_NETWORKS = 4096
"""So many networks stay known; beyond these, the one whose last login is the oldest is forgotten."""
_Login = TypeVar("_Login")


class LoginSlots(Generic[_Login]):
    """`total`: logins at once, and `per_network` of one network. `for_known`: more of them, for known networks."""

    def __init__(self, total: int, per_network: int, for_known: int) -> None:
        self._total, self._per_network, self._for_known = total, per_network, for_known
        self._under_way: dict[_Login, str] = {}
        self._known: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._under_way)

    def has_place(self, network: str) -> bool:
        """Whether the network has fewer logins than one network may have."""
        return Counter(self._under_way.values())[network] < self._per_network

    def admit(self, login: _Login, network: str) -> tuple[bool, _Login | None]:
        """Whether the login may begin, and the one that is to be dropped for it."""
        counts = Counter(self._under_way.values())
        is_known = network in self._known
        dropped = None
        if counts[network] >= self._per_network:
            return False, None
        if len(self._under_way) >= self._total + (self._for_known if is_known else 0):
            dropped = self._victim(counts, -1 if is_known else counts[network])
            if dropped is None:
                return False, None
            del self._under_way[dropped]
        self._under_way[login] = network
        return True, dropped

    def _victim(self, counts: Counter[str], mine: int) -> _Login | None:
        """The oldest login of the unknown network that has the most, and more than the newcomer has."""
        others = {network: count for network, count in counts.items() if network not in self._known and count > mine}
        most = max(others, key=lambda network: others[network], default=None)
        return next((login for login, network in self._under_way.items() if network == most), None)

    def over(self, login: _Login) -> None:
        """The login succeeded or failed."""
        self._under_way.pop(login, None)

    def succeeded(self, network: str) -> None:
        """A login from there succeeded."""
        self._known[network] = None
        self._known.move_to_end(network)
        if len(self._known) > KNOWN_NETWORKS:
            self._known.popitem(last=False)
