"""What can be done: a closed union of values. One Action is one request to the outside, sent at most once."""

from __future__ import annotations

from reconciler.model.actions.action_base import Forget, SetValue, SetValueDisruptively
from reconciler.model.actions.bmc_actions import BmcAction
from reconciler.model.actions.ipam_actions import IpamAction
from reconciler.model.actions.record_actions import MachineRecord, RecordAction

MachineAction = BmcAction | MachineRecord | Forget
"""All that is done with machines."""


Action = BmcAction | IpamAction | RecordAction | SetValue | SetValueDisruptively | Forget
