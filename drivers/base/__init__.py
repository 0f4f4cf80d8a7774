"""What a driver author reads: vocabulary, Protocols and errors. `from drivers.base import X` is the one door.

*A driver reads or sends, once, and returns or raises. It never sleeps, retries, or decides.* Waiting, retrying and
choosing are the reconciler's work, so that `plan` can show it. The words are Redfish's own (DSP0268, ComputerSystem).

errors.py         the errors and their reasons
backoff.py        how waits grow, and how long a refused login is left alone
bmc.py            what a BMC can do, by capability, and who opens it
endpoint.py       where a BMC is, and how it is trusted
console.py        the serial line of a machine, and who opens it
system_state.py   Redfish's words, and one look at a system
task.py           what a write returns, and the Task that carries it out
hardware.py       what is in a machine
mac_address.py    MAC addresses in one form
ipam.py           networks and addresses by owner
pools.py          numbers by owner
secret.py         credentials and their sources
switch.py         a switch and who opens it
switch_state.py   one look at a switch, and what is to be made true on it
event_sink.py     receivers of events
clean_text.py     text from others, made fit to be kept and shown
permit.py         whether a write may still leave
scheduling.py     locks, threads and the clock, which a simulation may replace
event_loop.py     coroutines, for consoles alone
known_secrets.py  text without the secrets that this process has read
"""

from drivers.base.protocols.bmc import Bmc as Bmc
from drivers.base.protocols.bmc import BmcDriver as BmcDriver
from drivers.base.protocols.bmc import BmcFinder as BmcFinder
from drivers.base.protocols.bmc import Boot as Boot
from drivers.base.protocols.bmc import FoundBmc as FoundBmc
from drivers.base.protocols.bmc import Indicator as Indicator
from drivers.base.protocols.bmc import InventorySource as InventorySource
from drivers.base.protocols.bmc import ListedSystems as ListedSystems
from drivers.base.protocols.bmc import Power as Power
from drivers.base.protocols.bmc import System as System
from drivers.base.protocols.bmc import Tasks as Tasks
from drivers.base.protocols.bmc import VirtualMedia as VirtualMedia
from drivers.base.protocols.bmc import with_all as with_all
from drivers.base.protocols.bmc_options import DriverOptions as DriverOptions
from drivers.base.protocols.bmc_options import options_type as options_type
from drivers.base.protocols.bmc_options import read_options as read_options
from drivers.base.protocols.console import MOST_UNSENT as MOST_UNSENT
from drivers.base.protocols.console import ConsoleBusy as ConsoleBusy
from drivers.base.protocols.console import ConsoleDriver as ConsoleDriver
from drivers.base.protocols.console import ConsoleEndpoint as ConsoleEndpoint
from drivers.base.protocols.console import Line as Line
from drivers.base.protocols.endpoint import Endpoint as Endpoint
from drivers.base.protocols.endpoint import Peer as Peer
from drivers.base.protocols.endpoint import Tls as Tls
from drivers.base.protocols.event_sink import EventSink as EventSink
from drivers.base.protocols.event_sink import OpenSink as OpenSink
from drivers.base.protocols.event_sink import SinkDelivery as SinkDelivery
from drivers.base.protocols.event_sink import SinkEndpoint as SinkEndpoint
from drivers.base.protocols.event_sink import SinkMessage as SinkMessage
from drivers.base.protocols.ipam import NO_ABOUT as NO_ABOUT
from drivers.base.protocols.ipam import About as About
from drivers.base.protocols.ipam import Allocation as Allocation
from drivers.base.protocols.ipam import Ipam as Ipam
from drivers.base.protocols.ipam import IpamNetwork as IpamNetwork
from drivers.base.protocols.ipam import IpamSettings as IpamSettings
from drivers.base.protocols.ipam import Prefix as Prefix
from drivers.base.protocols.ipam import Usage as Usage
from drivers.base.protocols.measured import BmcRequest as BmcRequest
from drivers.base.protocols.measured import MeasuredBmc as MeasuredBmc
from drivers.base.protocols.pools import IntegerRange as IntegerRange
from drivers.base.protocols.pools import Number as Number
from drivers.base.protocols.pools import Pool as Pool
from drivers.base.protocols.pools import Pools as Pools
from drivers.base.protocols.secret import Credential as Credential
from drivers.base.protocols.secret import LoginMemory as LoginMemory
from drivers.base.protocols.secret import RefusedLogin as RefusedLogin
from drivers.base.protocols.secret import SecretSource as SecretSource
from drivers.base.protocols.switch import ManagedSwitch as ManagedSwitch
from drivers.base.protocols.switch import SwitchDriver as SwitchDriver
from drivers.base.protocols.switch import SwitchEndpoint as SwitchEndpoint
from drivers.base.support.backoff import CREDENTIAL_CHECK as CREDENTIAL_CHECK
from drivers.base.support.backoff import REFUSED_LOGIN as REFUSED_LOGIN
from drivers.base.support.backoff import Backoff as Backoff
from drivers.base.support.clean_text import clean as clean
from drivers.base.support.clean_text import cleaned as cleaned
from drivers.base.support.clean_text import encodable as encodable
from drivers.base.support.clean_text import printable as printable
from drivers.base.support.clean_text import printable_lines as printable_lines
from drivers.base.support.clean_text import read_json as read_json
from drivers.base.support.errors import OUTSIDE_ERRORS as OUTSIDE_ERRORS
from drivers.base.support.errors import AuthenticationFailed as AuthenticationFailed
from drivers.base.support.errors import Busy as Busy
from drivers.base.support.errors import Conflict as Conflict
from drivers.base.support.errors import DriverError as DriverError
from drivers.base.support.errors import ErrorReason as ErrorReason
from drivers.base.support.errors import Exhausted as Exhausted
from drivers.base.support.errors import Forbidden as Forbidden
from drivers.base.support.errors import LeaseEnded as LeaseEnded
from drivers.base.support.errors import NoSuchTask as NoSuchTask
from drivers.base.support.errors import NoWorker as NoWorker
from drivers.base.support.errors import Rejected as Rejected
from drivers.base.support.errors import SecretUnavailable as SecretUnavailable
from drivers.base.support.errors import Unreachable as Unreachable
from drivers.base.support.errors import Unreadable as Unreadable
from drivers.base.support.errors import Unsupported as Unsupported
from drivers.base.support.known_secrets import NO_NAME as NO_NAME
from drivers.base.support.known_secrets import excerpt as excerpt
from drivers.base.support.known_secrets import hidden as hidden
from drivers.base.support.known_secrets import note_secrets as note_secrets
from drivers.base.support.permit import permitted_by as permitted_by
from drivers.base.support.permit import require_permit as require_permit
from drivers.base.values.hardware import ConsoleOffer as ConsoleOffer
from drivers.base.values.hardware import ConsoleUse as ConsoleUse
from drivers.base.values.hardware import Disk as Disk
from drivers.base.values.hardware import Gpu as Gpu
from drivers.base.values.hardware import Inventory as Inventory
from drivers.base.values.hardware import MemoryModule as MemoryModule
from drivers.base.values.hardware import Neighbour as Neighbour
from drivers.base.values.hardware import Nic as Nic
from drivers.base.values.hardware import Processor as Processor
from drivers.base.values.hardware import UnreadPart as UnreadPart
from drivers.base.values.mac_address import canonical_macs as canonical_macs
from drivers.base.values.mac_address import hardware_address as hardware_address
from drivers.base.values.mac_address import mac_address as mac_address
from drivers.base.values.mac_address import mac_fault as mac_fault
from drivers.base.values.switch_state import BgpPeer as BgpPeer
from drivers.base.values.switch_state import LinkState as LinkState
from drivers.base.values.switch_state import PortConfig as PortConfig
from drivers.base.values.switch_state import SwitchConfig as SwitchConfig
from drivers.base.values.switch_state import SwitchNeighbour as SwitchNeighbour
from drivers.base.values.switch_state import SwitchPort as SwitchPort
from drivers.base.values.switch_state import SwitchScope as SwitchScope
from drivers.base.values.switch_state import SwitchState as SwitchState
from drivers.base.values.switch_state import VrfConfig as VrfConfig
from drivers.base.values.system_state import BootEnabled as BootEnabled
from drivers.base.values.system_state import BootMode as BootMode
from drivers.base.values.system_state import BootOverride as BootOverride
from drivers.base.values.system_state import BootTarget as BootTarget
from drivers.base.values.system_state import IndicatorLED as IndicatorLED
from drivers.base.values.system_state import PowerState as PowerState
from drivers.base.values.system_state import ResetType as ResetType
from drivers.base.values.system_state import SystemState as SystemState
from drivers.base.values.system_state import is_image as is_image
from drivers.base.values.task import ACCEPTED as ACCEPTED
from drivers.base.values.task import Accepted as Accepted
from drivers.base.values.task import Task as Task
from drivers.base.values.task import TaskState as TaskState
