"""The promises of Ipam and Pools the slow way: plain values, sets of addresses, and every rule by looking at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeVar

import msgspec

from drivers.base import (
    About,
    Allocation,
    Conflict,
    Exhausted,
    IntegerRange,
    IpamNetwork,
    Number,
    Prefix,
    Rejected,
    Usage,
)

AnyNetwork = IPv4Network | IPv6Network
Addresses = frozenset[str]
Value = TypeVar("Value")


class State(msgspec.Struct, frozen=True):
    """All that an IPAM and its pools hold. Each method gives the state after the call, or raises as the call does."""

    networks: dict[str, IpamNetwork] = {}
    held: dict[str, Allocation] = {}
    pools: dict[str, frozenset[int]] = {}
    numbers: dict[str, Number] = {}

    def put(self, name: str, wanted: IpamNetwork, lengths: Mapping[int, int]) -> State:
        """See Ipam.put_network."""
        before = self.networks.get(name)
        network = self._placed(name, wanted, lengths)
        same_place = before is not None and _scope(before) == _scope(network)
        declared = [ip_network(prefix.cidr) for prefix in wanted.prefixes]
        _refuse(any(_overlap(one, two) for i, one in enumerate(declared) for two in declared[i + 1 :]), "own overlap")
        old = [ip_network(prefix.cidr) for prefix in before.prefixes] if before else []
        for one in declared:
            _refuse(not (same_place and one in old) and not self._may_have(name, network, one), "not free")
        taken, prefixes = list(declared), list(wanted.prefixes)
        kept = {
            family: next((o for o in old if _is(o, family, length) and not any(_overlap(o, d) for d in declared)), None)
            for family, length in lengths.items()
        }
        staying = [one for one in kept.values() if one is not None and same_place]
        for family, length in sorted(lengths.items()):
            chosen = kept[family]
            if chosen is None or (chosen not in staying and not self._free(name, network, chosen, taken)):
                chosen = self._best(name, network, family, length, [*taken, *staying])
            taken.append(chosen)
            prefixes.append(Prefix(str(chosen)))
        network = msgspec.structs.replace(network, prefixes=tuple(prefixes))
        self._refuse_loss(name, network)
        networks = {**self.networks, name: network}
        for child in _below(networks, name):
            networks[child] = msgspec.structs.replace(networks[child], namespace=network.namespace)
        return msgspec.structs.replace(self, networks=networks)

    def drop(self, name: str) -> State:
        """See Ipam.drop_network."""
        _refuse(any(one.network == name for one in self.held.values()), "in use")
        _refuse(any(one.parent == name for one in self.networks.values()), "has children")
        return msgspec.structs.replace(self, networks=_without(self.networks, name))

    def acquire(self, name: str, owner: str, address: str | None, family: int | None, about: About) -> State:
        """See Ipam.acquire; where it goes is in `held`."""
        if owner in self.held:
            has = self.held[owner]
            asked = (name, address or has.address, family or ip_address(has.address).version)
            _refuse(asked != (has.network, has.address, ip_address(has.address).version), "holds another")
            return self
        network = self.networks.get(name)
        if network is None or network.container:
            raise Rejected(name)
        free = self.free(name, family if address is None else None)
        if address is None and not free:
            raise Exhausted(name)
        _refuse(address is not None and address not in free, "not to be had")
        got = Allocation(owner, name, address or free[0], about)
        return msgspec.structs.replace(self, held={**self.held, owner: got})

    def describe(self, owner: str, about: About) -> State:
        """See Ipam.describe."""
        _refuse(owner not in self.held, "holds nothing")
        said = msgspec.structs.replace(self.held[owner], about=about)
        return msgspec.structs.replace(self, held={**self.held, owner: said})

    def transfer(self, owner: str, to: str) -> State:
        """See Ipam.transfer."""
        if owner not in self.held or owner == to:
            return self
        _refuse(to in self.held, "holds another")
        moved = msgspec.structs.replace(self.held[owner], owner=to)
        return msgspec.structs.replace(self, held={**_without(self.held, owner), to: moved})

    def release(self, owner: str) -> State:
        """See Ipam.release."""
        return msgspec.structs.replace(self, held=_without(self.held, owner))

    def put_pool(self, pool: str, ranges: Iterable[IntegerRange]) -> State:
        """See Pools.put_pool."""
        numbers = frozenset(number for one in ranges for number in range(one.first, one.last + 1))
        _refuse(any(one.number not in numbers for one in self.numbers.values() if one.pool == pool), "held")
        return msgspec.structs.replace(self, pools={**self.pools, pool: numbers})

    def drop_pool(self, pool: str) -> State:
        """See Pools.drop_pool."""
        _refuse(any(one.pool == pool for one in self.numbers.values()), "held")
        return msgspec.structs.replace(self, pools=_without(self.pools, pool))

    def take(self, pool: str, owner: str, number: int | None, *, ephemeral: bool) -> State:
        """See Pools.take."""
        if owner in self.numbers:
            has = self.numbers[owner]
            _refuse((pool, has.number if number is None else number) != (has.pool, has.number), "holds another")
            return self
        if pool not in self.pools:
            raise Rejected(pool)
        free = self.pools[pool] - {one.number for one in self.numbers.values() if one.pool == pool}
        if number is None and not free:
            raise Exhausted(pool)
        _refuse(number is not None and number not in free, "not to be had")
        got = Number(owner, pool, min(free) if number is None else number, ephemeral)
        return msgspec.structs.replace(self, numbers={**self.numbers, owner: got})

    def give_back(self, owner: str) -> State:
        """See Pools.give_back."""
        return msgspec.structs.replace(self, numbers=_without(self.numbers, owner))

    def free(self, name: str, family: int | None = None) -> list[str]:
        """What a network can give, in the order in which it does."""
        taken = {one.address for one in self.held.values() if one.network == name}
        prefixes = [p for p in self.networks[name].prefixes if family in (None, ip_network(p.cidr).version)]
        every = [sorted(usable(prefix, container=False) - taken, key=ip_address) for prefix in prefixes]
        return [address for one in every for address in one]

    def usage(self) -> list[Usage]:
        """See Ipam.usage, without the blocks."""
        found = []
        for name, network in sorted(self.networks.items()):
            for prefix in network.prefixes:
                can = usable(prefix, container=network.container)
                used = {one.address for one in self.held.values() if one.network == name}
                used |= set().union(*(_addresses(one) for one in self._siblings("", name)))
                found.append(Usage(name, prefix.cidr, len(can), len(can & used)))
        return found

    def _placed(self, name: str, wanted: IpamNetwork, lengths: Mapping[int, int]) -> IpamNetwork:
        """In its parent's namespace, if it may be there at all and be what it is to be."""
        has_children = any(one.parent == name for one in self.networks.values())
        _refuse(has_children and not wanted.container, "has children")
        _refuse(wanted.container and any(one.network == name for one in self.held.values()), "holds addresses")
        if wanted.parent is None:
            _refuse(bool(lengths), "no parent")
            return wanted
        parent = self.networks.get(wanted.parent)
        if parent is None or not parent.container or wanted.parent in (name, *_below(self.networks, name)):
            raise Rejected("no parent for it")
        _refuse(wanted.namespace not in ("", parent.namespace), "another namespace")
        return msgspec.structs.replace(wanted, namespace=parent.namespace)

    def _may_have(self, name: str, network: IpamNetwork, one: AnyNetwork) -> bool:
        if network.parent is not None:
            return self._free(name, network, one, [])
        others = [(other, n) for other, n in self.networks.items() if other != name and _scope(n) == _scope(network)]
        return not any(_overlap(one, ip_network(p.cidr)) for _, other in others for p in other.prefixes)

    def _free(self, name: str, network: IpamNetwork, one: AnyNetwork, taken: Iterable[AnyNetwork]) -> bool:
        return any(_addresses(one) <= space for _, space in self._spaces(name, network, taken))

    def _spaces(
        self, name: str, network: IpamNetwork, taken: Iterable[AnyNetwork]
    ) -> Iterator[tuple[AnyNetwork, Addresses]]:
        """Each prefix of the parent, and what is free in it."""
        parent = str(network.parent)
        gone = frozenset().union(*(_addresses(one) for one in [*self._siblings(name, parent), *taken]))
        for prefix in self.networks[parent].prefixes:
            yield ip_network(prefix.cidr), usable(prefix, container=True) - gone

    def _siblings(self, name: str, parent: str) -> list[AnyNetwork]:
        children = [one for other, one in self.networks.items() if one.parent == parent and other != name]
        return [ip_network(prefix.cidr) for one in children for prefix in one.prefixes]

    def _best(
        self, name: str, network: IpamNetwork, family: int, length: int, taken: Iterable[AnyNetwork]
    ) -> AnyNetwork:
        """The smallest of the largest free blocks that fit; among equals the first prefix's, then the lowest."""
        found: list[tuple[int, int, int, AnyNetwork]] = []
        for position, (whole, space) in enumerate(self._spaces(name, network, taken)):
            for size in range(whole.prefixlen, length + 1) if whole.version == family else ():
                for block in whole.subnets(new_prefix=size):
                    larger = block.supernet(new_prefix=size - 1) if size > whole.prefixlen else None
                    if _addresses(block) <= space and (larger is None or not _addresses(larger) <= space):
                        found.append((-size, position, int(block.network_address), block))
        if not found:
            raise Exhausted(name)
        best = min(found)[3].subnets(new_prefix=length)
        return next(iter(best))  # type: ignore[return-value]  # a union of iterators is one of objects

    def _refuse_loss(self, name: str, network: IpamNetwork) -> None:
        spaces = [usable(prefix, container=network.container) for prefix in network.prefixes]
        addresses = [one.address for one in self.held.values() if one.network == name]
        _refuse(any(not any(address in space for space in spaces) for address in addresses), "an address would go")
        children = self._siblings("", name)
        _refuse(any(not any(_addresses(one) <= space for space in spaces) for one in children), "a child would go")


def usable(prefix: Prefix, *, container: bool) -> Addresses:
    """What of a prefix can be given out."""
    network = ip_network(prefix.cidr)
    ends = {str(network[0])} | ({str(network[-1])} if network.version == 4 else set())
    if container or network.prefixlen >= network.max_prefixlen - 1:
        ends = set()
    return _addresses(network) - ends - set().union(*(_addresses(ip_network(part)) for part in prefix.reserved))


def _addresses(network: AnyNetwork) -> Addresses:
    return frozenset(map(str, network))


def _overlap(one: AnyNetwork, other: AnyNetwork) -> bool:
    return bool(_addresses(one) & _addresses(other))


def _is(one: AnyNetwork, family: int, length: int) -> bool:
    return (one.version, one.prefixlen) == (family, length)


def _scope(network: IpamNetwork) -> tuple[str | None, str]:
    return network.parent, "" if network.parent is not None else network.namespace


def _below(networks: Mapping[str, IpamNetwork], name: str) -> Iterator[str]:
    for child, network in list(networks.items()):
        if network.parent == name:
            yield child
            yield from _below(networks, child)


def _without(values: Mapping[str, Value], name: str) -> dict[str, Value]:
    return {key: value for key, value in values.items() if key != name}


def _refuse(wrong: bool, why: str) -> None:
    if wrong:
        raise Conflict(why)
