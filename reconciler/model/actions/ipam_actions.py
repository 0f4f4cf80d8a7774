"""What an IPAM carries out: networks, addresses, pools and numbers."""

from __future__ import annotations

from typing import ClassVar

from drivers.base import NO_ABOUT, About, IntegerRange, IpamNetwork
from reconciler.model.actions.action_base import ActionBase, Disruption


class PutNetwork(ActionBase, frozen=True, tag="put-network"):
    """Make the network in the IPAM be exactly this. `lengths`: for each family, the length of a prefix that the IPAM
    is to choose from the parent."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.prefixes"
    network: IpamNetwork
    """What it is to be."""
    lengths: tuple[tuple[int, int], ...] = ()
    """The lengths of the prefixes to acquire from the parent, by family."""

    @property
    def detail(self) -> str:
        """The prefixes, or the parent from which they come."""
        return ", ".join(prefix.cidr for prefix in self.network.prefixes) or f"of {self.network.parent}"


class DropNetwork(ActionBase, frozen=True, tag="drop-network"):
    """Take an empty network out of the IPAM."""

    disruption: ClassVar[Disruption] = Disruption.DESTRUCTIVE


class Acquire(ActionBase, frozen=True, tag="acquire"):
    """Acquire `address`, or the lowest free one of `family`, for the resource."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.address"
    network: str
    """The network to acquire from."""
    address: str | None = None
    """The address; None: any."""
    family: int | None = None
    """4 or 6; None: any."""
    about: About = NO_ABOUT
    """What the IPAM keeps beside it."""

    @property
    def detail(self) -> str:
        """The address, or the network that it is of."""
        return self.address or self.network


class DescribeAddress(ActionBase, frozen=True, tag="describe-address"):
    """Change what the IPAM says about the address that the resource holds."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec"
    about: About
    """What the IPAM is to keep beside the address."""


class Release(ActionBase, frozen=True, tag="release"):
    """Release the address that the resource holds."""

    path: ClassVar[str] = "spec.address"
    undoes: ClassVar[tuple[str, ...]] = ("spec.address", "spec.network", "spec")
    disruption: ClassVar[Disruption] = Disruption.DESTRUCTIVE
    address: str
    """The address, for people."""

    @property
    def detail(self) -> str:
        """The address."""
        return self.address


class Transfer(ActionBase, frozen=True, tag="transfer"):
    """What the IPAM holds for the owner `was` belongs to the resource from now on: the address does not change."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "metadata.name"
    was: str
    """The owner until now."""
    address: str
    """The address, for people."""

    @property
    def detail(self) -> str:
        """The address."""
        return self.address


class PutPool(ActionBase, frozen=True, tag="put-pool"):
    """Make the pool be exactly these numbers."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.ranges"
    ranges: tuple[IntegerRange, ...]
    """The numbers that it is to have."""


class DropPool(ActionBase, frozen=True, tag="drop-pool"):
    """Forget a pool of which nothing is held."""

    disruption: ClassVar[Disruption] = Disruption.DESTRUCTIVE


class AcquireNumber(ActionBase, frozen=True, tag="acquire-number"):
    """Take `number`, or the lowest free one, of a pool for the resource."""

    disruption: ClassVar[Disruption] = Disruption.NONE
    path: ClassVar[str] = "spec.number"
    pool: str
    """The pool to acquire from."""
    number: int | None = None
    """The number; None: any."""
    ephemeral: bool = False
    """It goes with its owner."""

    @property
    def detail(self) -> str:
        """The pool."""
        return self.pool


class ReleaseNumber(ActionBase, frozen=True, tag="release-number"):
    """Release the number that the resource holds."""

    path: ClassVar[str] = "spec.number"
    undoes: ClassVar[tuple[str, ...]] = ("spec.number", "spec.pool")
    disruption: ClassVar[Disruption] = Disruption.DESTRUCTIVE
    pool: str
    """The pool, for people."""
    number: int
    """The number, for people."""

    @property
    def detail(self) -> str:
        """The pool."""
        return self.pool


class AcquireVrf(AcquireNumber, frozen=True, tag="acquire-vrf"):
    """Take the number of a network's VRF, which is also its VNI."""

    path: ClassVar[str] = "spec.vrf"


class ReleaseVrf(ReleaseNumber, frozen=True, tag="release-vrf"):
    """Release the number of a network's VRF."""

    path: ClassVar[str] = "spec.vrf"
    undoes: ClassVar[tuple[str, ...]] = ("spec.vrf",)


AddressAction = Acquire | DescribeAddress | Release | Transfer


NetworkAction = PutNetwork | DropNetwork | AcquireVrf | ReleaseVrf


PoolAction = PutPool | DropPool


NumberAction = AcquireNumber | ReleaseNumber


IpamAction = AddressAction | NetworkAction | PoolAction | NumberAction
"""Actions that the IPAM carries out."""
