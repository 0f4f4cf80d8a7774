"""What actions that the IPAM carries out leave behind, in what is remembered and in words. Pure."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from reconciler.kinds.common.fact_rules import FactRules
from reconciler.kinds.common.renamed_facts import AddressFacts, RenamedFactRules
from reconciler.kinds.ipam.ipaddress import AddressState
from reconciler.kinds.ipam.network import NetworkState
from reconciler.kinds.ipam.pool import NumberState
from reconciler.model.actions.action import Action
from reconciler.model.actions.ipam_actions import (
    Acquire,
    AcquireNumber,
    DescribeAddress,
    DropNetwork,
    DropPool,
    IpamAction,
    PutNetwork,
    PutPool,
    Release,
    ReleaseNumber,
    Transfer,
)
from reconciler.model.facts import ResourceFacts
from reconciler.model.observation import Observation
from reconciler.model.resource import Resource


class IpamFactRules(FactRules):
    """The rules of networks, pools and numbers."""

    def result(self, action: Action, value: Any) -> str:
        """The ledger says who got which address, prefix or number when."""
        match action, value:
            case Acquire(address=None), AddressState(address=given) if given:
                return str(given)
            case AcquireNumber(number=None), NumberState(number=number):
                return str(number)
            case AcquireNumber(number=None), NetworkState(vrf=vrf) if vrf is not None:
                return str(vrf.number)
            case PutNetwork(lengths=lengths), NetworkState(prefixes=prefixes) if lengths and prefixes:
                return ", ".join(prefix.cidr for prefix in prefixes)
            case _:
                return ""

    def repeatable(self, action: Action, value: Any) -> bool:
        """The owner of something asks once more, and gets the same; what gives something up is not repeated."""
        if not isinstance(action, IpamAction):
            return False
        match action:
            case Acquire() | DescribeAddress() | Transfer() | PutNetwork() | PutPool() | AcquireNumber():
                return True
            case Release() | ReleaseNumber() | DropNetwork() | DropPool():
                return False
            case _:
                assert_never(action)


class AddressFactRules(RenamedFactRules, IpamFactRules):
    """The rules of IPAddresses."""

    facts_type = AddressFacts

    def confirmed(
        self, action: Action, facts: ResourceFacts, seen: Observation, resource: Resource[Any] | None
    ) -> ResourceFacts:
        """What was held under a former name has followed."""
        if isinstance(action, Acquire | Transfer):
            return msgspec.structs.replace(facts, was=())
        return facts
