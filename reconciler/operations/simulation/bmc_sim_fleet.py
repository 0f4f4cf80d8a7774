"""The folder that `groundstate bmc-sim --write-fleet` makes: a repository of the simulated machines, and its
settings."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from drivers.bmc.simulator.fleet.simulated_fleet import machine_name
from reconciler.desired.git.branches.new_repository import begin_with_commit
from reconciler.desired.git.plumbing import SourceError
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.simulation.bmc_sim import BmcSim

_LOGIN, _VARIABLE = "sim", "GROUNDSTATE_SIM_BMC"
_PER_RACK = 40
_PARTITION = """\
apiVersion: groundstate/v1
kind: Partition
metadata: {{name: sim}}
spec:
  bmc: {{driver: redfish, credentialRef: {{name: sim}}, tls: {{fingerprint: "{fingerprint}"}}}}
"""
_MACHINE = """\
apiVersion: groundstate/v1
kind: Machine
metadata: {{name: {name}}}
spec:
  partition: sim
  rack: {rack}
  bmc: {{address: "{address}", systemId: {system}}}
  power: On
"""


class WrittenFleet(msgspec.Struct, frozen=True):
    """`repository`: where the machines are declared. `environment`: a file for a shell, with all that the commands
    need."""

    repository: Path
    environment: Path


def write_fleet(sim: BmcSim, folder: Path) -> WrittenFleet:
    """Write the folder, which must not exist or must be empty. Raises OperationError."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if any(folder.iterdir()):
            raise OperationError(f"--write-fleet {folder}: the folder is not empty; name another folder")
        repository = folder.absolute() / "fleet"
        files = dict(_documents(sim))
        for name, text in files.items():
            file = repository / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        begin_with_commit(repository, sorted(files), "Declare the simulated machines", "bmc-sim", "bmc-sim@localhost")
        settings = folder.absolute() / "config.toml"
        networks = json.dumps(["127.0.0.0/8" if sim.listen.network is not None else _network(sim.listen.host)])
        _write_private(settings, f'credentials.{_LOGIN} = {{env = "{_VARIABLE}", networks = {networks}}}\n')
        environment = folder.absolute() / "env"
        _write_private(environment, "".join(_exports(sim, repository, settings)))
    except OSError as error:
        why = f"--write-fleet {folder}: the folder cannot be written: {error.strerror or error}"
        raise OperationError(why, FailureReason.UNAVAILABLE) from error
    except SourceError as error:
        raise OperationError(f"--write-fleet {folder}: {error}", FailureReason.UNAVAILABLE) from error
    return WrittenFleet(repository, environment)


def _documents(sim: BmcSim) -> Iterator[tuple[str, str]]:
    yield "partition.yaml", _PARTITION.format(fingerprint=sim.fingerprint)
    places = sim.fleet.profile.tree.systems
    racks: dict[str, list[str]] = {}
    for number in range(len(sim.fleet.bmcs)):
        rack = f"r{number // _PER_RACK + 1:03}"
        for place in places:
            system = place.path.rpartition("/")[2]
            name = machine_name(number) if len(places) == 1 else f"{machine_name(number)}-{system.lower()}"
            document = _MACHINE.format(name=name, rack=rack, address=sim.listen.url(number), system=json.dumps(system))
            racks.setdefault(rack, []).append(document)
    for rack, documents in racks.items():
        yield f"racks/{rack}.yaml", "---\n".join(documents)


def _exports(sim: BmcSim, repository: Path, settings: Path) -> Iterator[str]:
    values = {
        "GROUNDSTATE_REPO": str(repository),
        "GROUNDSTATE_CONFIG": str(settings),
        f"{_VARIABLE}_USERNAME": sim.login.username,
        f"{_VARIABLE}_PASSWORD": sim.login.password,
    }
    for name, value in values.items():
        quoted = value.replace("'", "'\\''")
        yield f"export {name}='{quoted}'\n"


def _network(host: str) -> str:
    return "127.0.0.0/8" if host in ("localhost", "") or host.startswith("127.") else host


def _write_private(file: Path, text: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as opened:
        opened.write(text)
