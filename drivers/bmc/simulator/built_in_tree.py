"""The documents of the built-in profiles: one rack server, in the shape that the BMC of each vendor gives it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from drivers.bmc.simulator.redfish_tree import ROOT_PATH, RedfishObject

_TARGETS = ["None", "Pxe", "Cd", "Hdd", "BiosSetup", "UefiHttp"]
_DIMMS, _DISKS, _NICS = 8, 2, 2
_OK = {"State": "Enabled", "Health": "OK"}


class ServerShape(msgspec.Struct, frozen=True):
    """What differs between vendors. `resets_by_info`: the ResetType values are in an ActionInfo document.
    `settings_have_boot`: the boot override of the next start is in the Settings resource. `media_at_system`: the
    virtual drives are below the ComputerSystem, and not below the Manager."""

    manufacturer: str = "Contoso"
    model: str = "Rack 2U"
    product: str = "Contoso BMC"
    system: str = "1"
    manager: str = "1"
    chassis: str = "1"
    resets: tuple[str, ...] = ("On", "ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "Nmi")
    resets_by_info: bool = False
    settings_have_boot: bool = False
    media_at_system: bool = True
    location_led: bool = False
    expands: bool = True
    sku: bool = False


def built_in_documents(shape: ServerShape) -> dict[str, RedfishObject]:
    """Every document of the service, by path."""
    found = dict(_service(shape))
    found |= dict(_system(shape))
    found |= dict(_parts(f"{ROOT_PATH}/Systems/{shape.system}"))
    found |= dict(_around(shape))
    for path, document in found.items():
        document["@odata.id"] = path
        document.setdefault("Id", path.rpartition("/")[2])
        document.setdefault("Name", document["Id"])
    return found


def _ref(path: str) -> dict[str, str]:
    return {"@odata.id": path}


def _collection(*paths: str) -> RedfishObject:
    return {"Members": [_ref(path) for path in paths], "Members@odata.count": len(paths)}


def _service(shape: ServerShape) -> Iterator[tuple[str, RedfishObject]]:
    rooms = ("Systems", "Chassis", "Managers", "SessionService", "AccountService", "UpdateService")
    yield (
        ROOT_PATH,
        {
            "@odata.type": "#ServiceRoot.v1_15_0.ServiceRoot",
            "Name": "Root Service",
            "RedfishVersion": "1.15.0",
            "Vendor": shape.manufacturer,
            "Product": shape.product,
            "ProtocolFeaturesSupported": {
                "ExpandQuery": {"NoLinks": shape.expands, "Levels": shape.expands, "MaxLevels": 1}
            },
            **{name: _ref(f"{ROOT_PATH}/{name}") for name in rooms},
            "Tasks": _ref(f"{ROOT_PATH}/TaskService"),
            "Links": {"Sessions": _ref(f"{ROOT_PATH}/SessionService/Sessions")},
        },
    )
    for name, member in (("Systems", shape.system), ("Chassis", shape.chassis), ("Managers", shape.manager)):
        yield f"{ROOT_PATH}/{name}", _collection(f"{ROOT_PATH}/{name}/{member}")
    yield (
        f"{ROOT_PATH}/SessionService",
        {"SessionTimeout": 1800, "Sessions": _ref(f"{ROOT_PATH}/SessionService/Sessions")},
    )
    yield f"{ROOT_PATH}/AccountService", {"AccountLockoutThreshold": 5, "AccountLockoutDuration": 300}
    yield f"{ROOT_PATH}/UpdateService", {"ServiceEnabled": False}
    yield f"{ROOT_PATH}/TaskService", {"Tasks": _ref(f"{ROOT_PATH}/TaskService/Tasks")}


def _system(shape: ServerShape) -> Iterator[tuple[str, RedfishObject]]:
    path = f"{ROOT_PATH}/Systems/{shape.system}"
    rooms = ("Processors", "Memory", "Storage", "EthernetInterfaces", "Bios")
    led: RedfishObject = {"LocationIndicatorActive": False} if shape.location_led else {"IndicatorLED": "Off"}
    action: RedfishObject = {"target": f"{path}/Actions/ComputerSystem.Reset"}
    if shape.resets_by_info:
        action["@Redfish.ActionInfo"] = f"{path}/ResetActionInfo"
        parameter = {"Name": "ResetType", "Required": True, "AllowableValues": list(shape.resets)}
        yield f"{path}/ResetActionInfo", {"Parameters": [parameter]}
    else:
        action["ResetType@Redfish.AllowableValues"] = list(shape.resets)
    boot = {
        "BootSourceOverrideEnabled": "Disabled",
        "BootSourceOverrideMode": "UEFI",
        "BootSourceOverrideTarget": "None",
    }
    document: dict[str, Any] = {
        "@odata.type": "#ComputerSystem.v1_20_0.ComputerSystem",
        "Name": "System",
        "SystemType": "Physical",
        "PowerState": "Off",
        "Manufacturer": shape.manufacturer,
        "Model": shape.model,
        "SerialNumber": "SIM000000",
        "UUID": "5a1f0000-0000-4000-8000-000000000000",
        "BiosVersion": "1.0.0",
        "Status": {**_OK, "HealthRollup": "OK"},
        "Boot": {**boot, "BootSourceOverrideTarget@Redfish.AllowableValues": _TARGETS},
        "ProcessorSummary": {"Count": 2, "Model": "Simulated CPU 16c"},
        "MemorySummary": {"TotalSystemMemoryGiB": 32 * _DIMMS},
        "Links": {
            "Chassis": [_ref(f"{ROOT_PATH}/Chassis/{shape.chassis}")],
            "ManagedBy": [_ref(f"{ROOT_PATH}/Managers/{shape.manager}")],
        },
        "Actions": {"#ComputerSystem.Reset": action},
        **led,
        **({"SKU": "SIM0000"} if shape.sku else {}),
        **{name: _ref(f"{path}/{name}") for name in rooms},
        **({"VirtualMedia": _ref(f"{path}/VirtualMedia")} if shape.media_at_system else {}),
    }
    if shape.settings_have_boot:
        document["@Redfish.Settings"] = {"SettingsObject": _ref(f"{path}/Settings")}
        yield f"{path}/Settings", {"Boot": dict(boot)}
    yield path, document


def _parts(system: str) -> Iterator[tuple[str, RedfishObject]]:
    cpus = [f"{system}/Processors/CPU{number}" for number in (1, 2)]
    yield f"{system}/Processors", _collection(*cpus)
    for path in cpus:
        cores = {"TotalCores": 16, "TotalThreads": 32}
        yield path, {"ProcessorType": "CPU", "Model": "Simulated CPU 16c", "Status": dict(_OK), **cores}
    dimms = [f"{system}/Memory/DIMM{number}" for number in range(1, _DIMMS + 1)]
    yield f"{system}/Memory", _collection(*dimms)
    for path in dimms:
        yield path, {"CapacityMiB": 32768, "MemoryDeviceType": "DDR5", "Status": dict(_OK)}
    disks = [f"{system}/Storage/1/Drives/nvme{number}" for number in range(_DISKS)]
    yield f"{system}/Storage", _collection(f"{system}/Storage/1")
    yield f"{system}/Storage/1", {"Drives": [_ref(path) for path in disks], "Status": dict(_OK)}
    for path in disks:
        size = {"CapacityBytes": 1_920_383_410_176, "MediaType": "SSD", "Protocol": "NVMe"}
        yield path, {"Model": "Simulated NVMe", **size, "Status": dict(_OK)}
    nics = [f"{system}/EthernetInterfaces/NIC{number}" for number in range(1, _NICS + 1)]
    yield f"{system}/EthernetInterfaces", _collection(*nics)
    for number, path in enumerate(nics, start=1):
        yield path, {"MACAddress": f"02:00:00:00:00:{number:02x}", "SpeedMbps": 25000, "Status": dict(_OK)}
    attributes = {"BootMode": "Uefi", "LogicalProc": "Enabled", "SriovGlobalEnable": "Disabled"}
    pending = {"SettingsObject": _ref(f"{system}/Bios/Settings")}
    yield f"{system}/Bios", {"Attributes": dict(attributes), "@Redfish.Settings": pending}
    yield f"{system}/Bios/Settings", {"Attributes": {}}


def _around(shape: ServerShape) -> Iterator[tuple[str, RedfishObject]]:
    """The chassis, the manager, and the virtual drives of whichever has them."""
    system, manager = f"{ROOT_PATH}/Systems/{shape.system}", f"{ROOT_PATH}/Managers/{shape.manager}"
    led: RedfishObject = {"LocationIndicatorActive": False} if shape.location_led else {"IndicatorLED": "Off"}
    yield (
        f"{ROOT_PATH}/Chassis/{shape.chassis}",
        {"ChassisType": "RackMount", "Model": shape.model, "PowerState": "Off", **led, "Status": dict(_OK)},
    )
    at_manager = {} if shape.media_at_system else {"VirtualMedia": _ref(f"{manager}/VirtualMedia")}
    yield (
        manager,
        {
            "@odata.type": "#Manager.v1_19_0.Manager",
            "ManagerType": "BMC",
            "Model": shape.product,
            "FirmwareVersion": "1.0.0",
            "Actions": {"#Manager.Reset": {"target": f"{manager}/Actions/Manager.Reset"}},
            **at_manager,
        },
    )
    drives = f"{system if shape.media_at_system else manager}/VirtualMedia"
    drive = f"{drives}/Cd"
    yield drives, _collection(drive)
    yield (
        drive,
        {
            "MediaTypes": ["CD", "DVD"],
            "ConnectedVia": "NotConnected",
            "Image": None,
            "Inserted": False,
            "WriteProtected": True,
            "Actions": {
                f"#VirtualMedia.{name}": {"target": f"{drive}/Actions/VirtualMedia.{name}"}
                for name in ("InsertMedia", "EjectMedia")
            },
        },
    )
