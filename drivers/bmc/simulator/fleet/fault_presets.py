"""Faults of real BMCs by their ids, each as rules for simulated ones. Pure.

An id names one fault in all of the project, such as in `drivers/bmc/fake/fake_faults.py`. What a rule cannot say
exactly strikes a few times instead: a BMC that refuses for some seconds refuses the first requests."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from drivers.bmc.simulator.fleet.fault_rules import FaultRule

_SYSTEM, _RESETS = "/redfish/v1/Systems/*", "**/Actions/ComputerSystem.Reset"
_BOOT, _LOGIN, _TASK = {"method": "PATCH", "path": _SYSTEM, "body": "*Boot*"}, "**/Sessions", "**/Tasks/*"


class FaultPreset(msgspec.Struct, frozen=True):
    """`what`: what the BMC does. `seen`: BMCs that do it, with the report."""

    id: str
    what: str
    seen: str
    rules: tuple[FaultRule, ...]


def _preset(number: str, what: str, seen: str, *rules: dict[str, Any]) -> FaultPreset:
    return FaultPreset(number, what, seen, tuple(msgspec.convert(rule, FaultRule) for rule in rules))


def _on(**match: str) -> dict[str, str]:
    return match


_PRESETS = (
    _preset(
        "F01",
        "shows Off for a moment, and refuses On because the system is on already",
        "Dell iDRAC9 (dellemc-openmanage-ansible-modules#132)",
        {"match": _on(method="GET", path=_SYSTEM), "do": "lie-power", "power": "Off", "times": 1},
        {
            "match": _on(method="POST", path=_RESETS, body='*"On"*'),
            "do": "status",
            "status": 409,
            "messageId": "IDRAC.2.8.PSU501",
            "message": "Server is already powered ON.",
            "carriesOut": True,
        },
    ),
    _preset(
        "F02",
        "refuses On for some time after a power-off",
        "Dell iDRAC10 (LP 2162995)",
        {
            "match": _on(method="POST", path=_RESETS, body='*"On"*'),
            "do": "status",
            "status": 409,
            "messageId": "ActionParameterValueConflict",
            "message": "The action conflicts with the state of the system.",
            "times": 3,
        },
    ),
    _preset(
        "F03",
        "refuses a Reset because the system is not ready",
        "HPE iLO (ansible-ilo#1)",
        {
            "match": _on(method="POST", path=_RESETS),
            "do": "status",
            "status": 400,
            "messageId": "iLO.2.14.InvalidOperationForSystemState",
            "message": "The operation was not successful due to the current power state.",
            "times": 2,
        },
    ),
    _preset(
        "F04",
        "accepts a GracefulShutdown, and the system stays on",
        "HPE (apache/cloudstack#12921)",
        {"match": _on(method="POST", path=_RESETS, body="*GracefulShutdown*"), "do": "status", "status": 204},
    ),
    _preset(
        "F05",
        "offers fewer ResetTypes than others",
        "Dell 14G (quadsproject/badfish#66)",
        {
            "match": _on(method="GET", path=_SYSTEM),
            "do": "merge",
            "document": {
                "Actions": {"#ComputerSystem.Reset": {"ResetType@Redfish.AllowableValues": ["On", "ForceOff"]}}
            },
        },
    ),
    _preset(
        "F07",
        "shows PowerState Off for a system that is on",
        "ASRock Rack (tinkerbell/pbnj#127)",
        {"match": _on(method="GET", path=_SYSTEM), "do": "lie-power", "power": "Off"},
    ),
    _preset(
        "F08",
        "shows PowerState Off for minutes after a power-on",
        "OpenBMC (openbmc/openbmc#804)",
        {"match": _on(method="GET", path=_SYSTEM), "do": "lie-power", "power": "Off", "times": 12},
    ),
    _preset(
        "F10",
        "shows a PowerState that Redfish does not have",
        "IBM bmcweb (bmcweb#221)",
        {"match": _on(method="GET", path=_SYSTEM), "do": "lie-power", "power": "Starting", "times": 12},
    ),
    _preset(
        "F13",
        "accepts a boot override, and does not keep it",
        "Supermicro AS-1015CS (bmclib#459)",
        {"match": _BOOT, "do": "status", "status": 200},
    ),
    _preset(
        "F16",
        "refuses a boot override that does not have all three fields",
        "AMI, ASRock Rack (Ironic release note)",
        {
            "match": _BOOT,
            "do": "status",
            "status": 400,
            "messageId": "PropertyMissing",
            "message": "The property BootSourceOverrideMode is required and is missing.",
            "times": 1,
        },
    ),
    _preset(
        "F18",
        "refuses a boot override while the system starts",
        "HPE iLO (LP 2136275)",
        {
            "match": _BOOT,
            "do": "status",
            "status": 400,
            "messageId": "iLO.2.14.UnableToModifyDuringSystemPOST",
            "message": "Unable to modify while the system is in POST.",
            "times": 3,
        },
    ),
    _preset(
        "F19",
        "carries out a boot override, and answers 400",
        "Dell 13G (community.general#5091)",
        {"match": _BOOT, "do": "status", "status": 400, "message": "Unable to complete.", "carriesOut": True},
    ),
    _preset(
        "F22",
        "shows no BootSourceOverrideMode",
        "various (Ironic release note)",
        {
            "match": _on(method="GET", path=_SYSTEM),
            "do": "merge",
            "document": {"Boot": {"BootSourceOverrideMode": None}},
        },
    ),
    _preset(
        "F23",
        "refuses a Continuous boot override",
        "various (OpenStack story 2007733)",
        {
            "match": {**_BOOT, "body": "*Continuous*"},
            "do": "status",
            "status": 400,
            "messageId": "PropertyValueNotInList",
            "message": "The value Continuous is not in the list of acceptable values.",
        },
    ),
    _preset(
        "F28a",
        "answers 412 with the ETag just read",
        "Lenovo XCC (community.general#11261)",
        {"match": _on(method="PATCH"), "do": "status", "status": 412, "messageId": "PreconditionFailed", "times": 1},
    ),
    _preset(
        "F33",
        "gives an empty ETag",
        "Dell iDRAC9 (sushy release note)",
        {"match": _on(method="GET"), "do": "merge", "headers": {"ETag": '""'}},
    ),
    _preset(
        "F34",
        "has no session left",
        "Dell iDRAC (gofish#75)",
        {
            "match": _on(method="POST", path=_LOGIN),
            "do": "status",
            "status": 503,
            "messageId": "IDRAC.2.8.RAC0218",
            "message": "The maximum number of user sessions is reached.",
            "times": 3,
        },
    ),
    _preset(
        "F36",
        "names no Location for a new session",
        "OpenBMC (openbmc#3353)",
        {"match": _on(method="POST", path=_LOGIN), "do": "merge", "headers": {"Location": ""}},
    ),
    _preset(
        "F39",
        "ends the session early",
        "Dell iDRAC8 (check_redfish#90)",
        {"match": _on(method="GET", path=_SYSTEM), "do": "expire-session", "times": 1},
    ),
    _preset(
        "F42",
        "locks the account",
        "OpenBMC (ibm-openbmc/openbmc#90)",
        {"match": _on(method="GET", path=_SYSTEM), "do": "lock-account", "seconds": 300, "times": 1},
    ),
    _preset(
        "F43",
        "wants the password changed first",
        "several (glpi-helper-scripts#94)",
        {
            "match": _on(path="/redfish/v1/Systems**"),
            "do": "status",
            "status": 403,
            "messageId": "PasswordChangeRequired",
            "message": "The password must be changed before the account can be used.",
        },
    ),
    _preset(
        "F44",
        "answers with two JSON documents in one",
        "Dell iDRAC (check_redfish#151)",
        {
            "match": _on(method="GET", path=_SYSTEM),
            "do": "replace",
            "document": '{"error": {"message": "licence"}}{"Id": "1"}',
            "times": 3,
        },
    ),
    _preset(
        "F46",
        "answers with something that is not JSON",
        "Lenovo XCC, in a recording",
        {"match": _on(method="GET", path="**/Memory**"), "do": "replace", "document": '{"Id": "DIMM1", "Capac'},
    ),
    _preset(
        "F47",
        "is busy for some seconds",
        "Dell iDRAC (sushy release note)",
        {
            "match": _on(method="GET", path=_SYSTEM),
            "do": "status",
            "status": 503,
            "messageId": "IDRAC.2.8.SYS518",
            "message": "Unable to access the data sources.",
            "times": 5,
        },
    ),
    _preset(
        "F48",
        "answers every request with 504 and a web page",
        "Dell iDRAC (metal-operator#448)",
        {
            "match": _on(path="/redfish/v1/Systems**"),
            "do": "replace",
            "status": 504,
            "document": "<html>Gateway Timeout</html>",
            "carriesOut": False,
        },
    ),
    _preset(
        "F49",
        "restarts",
        "any (xcat-core#3310)",
        {"match": _on(method="GET", path=_SYSTEM), "do": "reboot-bmc", "seconds": 60, "times": 1},
    ),
    _preset("F50", "takes requests, and does not answer", "any (Ironic release note)", {"do": "drop"}),
    _preset(
        "F52",
        "does not know a Task that it just made",
        "Dell (sushy release note)",
        {
            "match": _on(method="GET", path=_TASK),
            "do": "status",
            "status": 404,
            "messageId": "ResourceMissingAtURI",
            "times": 2,
        },
    ),
    _preset(
        "F55",
        "accepts a Reset with a Task that ends Completed and Critical",
        "Dell (metal-operator#453)",
        {
            "match": _on(method="POST", path=_RESETS),
            "do": "status",
            "status": 202,
            "headers": {"Location": "/redfish/v1/TaskService/Tasks/JID_1"},
        },
        {
            "match": _on(method="GET", path=_TASK),
            "do": "replace",
            "status": 200,
            "document": {
                "@odata.id": "/redfish/v1/TaskService/Tasks/JID_1",
                "Id": "JID_1",
                "TaskState": "Completed",
                "TaskStatus": "Critical",
                "Messages": [{"Message": "Unable to complete the job."}],
            },
        },
    ),
    _preset(
        "F58a",
        "shows empty MAC addresses",
        "several (sushy release note)",
        {"match": _on(method="GET", path="**/EthernetInterfaces/*"), "do": "merge", "document": {"MACAddress": ""}},
    ),
    _preset(
        "F60",
        "does not name the Manager of a system",
        "Huawei, Cray EX (sushy release note)",
        {"match": _on(method="GET", path=_SYSTEM), "do": "merge", "document": {"Links": {"ManagedBy": None}}},
    ),
    _preset(
        "F64a",
        "accepts an eject, and keeps the image inserted",
        "several (Ironic release note)",
        {"match": _on(method="POST", path="**/VirtualMedia.EjectMedia"), "do": "status", "status": 204},
    ),
    _preset(
        "F65d",
        "inserts an image only with TransferProtocolType",
        "Cisco, Nokia (Ironic)",
        {
            "match": _on(method="POST", path="**/VirtualMedia.InsertMedia"),
            "do": "status",
            "status": 400,
            "messageId": "ActionParameterMissing",
            "message": "The parameter TransferProtocolType is missing.",
            "times": 1,
        },
    ),
)
PRESETS = {one.id: one for one in _PRESETS}


def preset_rules(given: FaultRule) -> list[FaultRule]:
    """The rules of the preset that `given` names, for its machines, as often and as likely as it says. Raises
    KeyError."""
    return [
        replace(
            rule,
            match=replace(rule.match, machine=given.match.machine),
            times=given.times or rule.times,
            probability=given.probability,
        )
        for rule in PRESETS[given.fault or ""].rules
    ]
