"""Networks, and addresses by owner: what an IPAM driver promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec


class Prefix(msgspec.Struct, frozen=True, order=True):
    """A CIDR prefix of a network, and what in it is reserved and never allocated: addresses, ranges `a-b` or CIDRs.

    The network and broadcast addresses of an IPv4 prefix shorter than /31 are reserved. So is the subnet-router anycast
    address of an IPv6 prefix shorter than /127 (RFC 4291 2.6.1). They are never allocated, and need no naming."""

    cidr: str
    """The prefix, such as 10.0.0.0/24."""
    reserved: tuple[str, ...] = ()
    """Addresses, ranges `a-b` or prefixes in it that are never allocated."""


class IpamNetwork(msgspec.Struct, frozen=True, omit_defaults=True):
    """A network as the IPAM has it, or is to have it.

    `prefixes` are in the order in which addresses are taken. `parent`: the container whose prefixes these are parts of.
    `namespace`: within one, no two networks overlap, a parent and its children apart; a child is in its parent's.
    `container`: child prefixes are taken from it, and no addresses. `shared` and `project` (its owner's name) are kept
    and shown; they decide nothing here.
    """

    prefixes: tuple[Prefix, ...] = ()
    """Its prefixes, in the order in which addresses are acquired."""
    parent: str | None = None
    """The network from which the prefixes are; None: it has no parent."""
    namespace: str = ""
    """Within one, no two networks overlap, a parent and its children apart."""
    container: bool = False
    """Child prefixes are acquired from the network, and no addresses."""
    shared: bool = False
    """Kept and shown; it decides nothing here."""
    project: str = ""
    """The project that it belongs to."""


class About(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """The description of an address, beside its owner. `ephemeral`: it goes with its owner; without one it has
    leaked."""

    ephemeral: bool = False
    """The address goes with its owner."""
    dns_name: str = ""
    """Its name in the DNS; empty: none."""
    tags: tuple[str, ...] = ()
    """Tags for people."""
    project: str = ""
    """The project that it belongs to."""


NO_ABOUT = About()


class Allocation(msgspec.Struct, frozen=True, order=True):
    """An address that an owner holds."""

    owner: str
    network: str
    address: str
    about: About = NO_ABOUT


class Usage(msgspec.Struct, frozen=True, order=True):
    """How full a prefix is: of `size` addresses that can be allocated, `used` are held, or lie in child prefixes.

    `free_prefixes`, of a container: (length, how many) of the largest free blocks that make up the rest, shortest
    length first.
    """

    network: str
    """The network's name."""
    cidr: str
    """The prefix."""
    size: int
    """How many addresses can be acquired in all."""
    used: int
    """How many of them are held, or in child prefixes."""
    free_prefixes: tuple[tuple[int, int], ...] = ()
    """Of a container: the length and the number of the largest free blocks, shortest length first."""


class Ipam(Protocol):
    """Networks, and addresses by owner. Every call is one transaction: done whole or not at all, also under many
    processes."""

    def put_network(self, network: str, wanted: IpamNetwork, lengths: Mapping[int, int] = {}) -> IpamNetwork:
        """Make the network exactly this; return the result. Idempotent.

        `lengths`: the lengths of the prefixes that the IPAM chooses for a child from its parent, by family (4 or 6),
        beside the wanted prefixes. Of the free blocks that fit the smallest, and of these the lowest (best fit). One of
        that family and length that the network has already is kept.

        Raises Conflict when prefixes overlap within the namespace, or when a child's prefix is not free in its parent
        (naming the holder). Also when it is not within the parent. Also when a prefix (or a part that becomes reserved)
        would go that holds an allocation or a child. Also when what has children would stop being a container. Then
        nothing changes. Exhausted when the parent has no free block of that length, saying what is free. Rejected when
        the parent is not known or is no container, or for a prefix or a length that cannot be."""

    def drop_network(self, network: str) -> None:
        """Forget the network; a child's prefixes are free in the parent again. Absent is success. Raises Conflict,
        naming them, while it holds allocations or children."""

    def network(self, network: str) -> IpamNetwork | None:
        """The network, or None when it is not known."""

    def networks(self) -> dict[str, IpamNetwork]:
        """Every network."""

    def usage(self, network: str | None = None) -> list[Usage]:
        """How full each prefix is, of one network or of all, in the networks' order of names and theirs of prefixes."""

    def acquire(
        self,
        network: str,
        owner: str,
        *,
        address: str | None = None,
        family: int | None = None,
        about: About = NO_ABOUT,
    ) -> str:
        """Return the address that owner holds, or give it the lowest free one (of `family` 4 or 6), or `address`.

        The same owner gets the same answer, and its description does not change. Raises Conflict when the owner holds
        another address or network than asked, or `address` is held by another (named), reserved or outside. Exhausted
        when nothing is free, saying how much there is. Rejected when the network is unknown or a container.
        """

    def describe(self, owner: str, about: About) -> None:
        """Change the description of the address that the owner holds. Raises Conflict when it holds none."""

    def transfer(self, owner: str, to: str) -> None:
        """What owner holds, `to` holds from now on, with its description, and the first owner holds nothing. Absent is
        success. Raises Conflict when `to` holds another already; then nothing changes."""

    def release(self, owner: str) -> None:
        """Free what owner holds. Absent is success."""

    def holding(self, owner: str) -> Allocation | None:
        """What owner holds."""

    def check(self) -> list[str]:
        """Every rule of its own that does not hold, each in a sentence with the names and a hint; [] without errors.
        Changes nothing."""

    def rebuild(self) -> None:
        """Compute again what follows from the declared and held values, such as the free space; `check` says when this
        is needed. Nothing that is held changes. Raises Unsupported where nothing is kept that follows from the rest."""

    def list(self, *, network: str | None = None) -> list[Allocation]:
        """All allocations, or a network's, by owner."""


class IpamSettings(msgspec.Struct, frozen=True):
    """Which IPAM, and what it takes to reach it.

    `token`: a reference, never the token itself. `ca_file` "": the system's CAs. `fleet`: whose objects these are in an
    IPAM that others use too. `insecure`: the token may go over plain http to another host.
    """

    name: str = "embedded"
    url: str = ""
    token: str = ""
    ca_file: str = ""
    fleet: str = "groundstate"
    insecure: bool = False
