"""`groundstate bmc-sim`: simulated BMCs over HTTPS, and a repository in which their machines are declared."""

from __future__ import annotations

import resource
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec

from drivers.base import Credential
from drivers.bmc.simulator.bmc_profile import PROFILES, BmcProfile, built_in_profile, recorded_profile
from drivers.bmc.simulator.fleet.bmc_server import BmcServer, ListenAddress
from drivers.bmc.simulator.fleet.recorded_tree import read_recorded_tree
from drivers.bmc.simulator.fleet.self_signed import self_signed
from drivers.bmc.simulator.fleet.simulated_fleet import SimulatedFleet
from drivers.bmc.simulator.simulated_system import PowerLag
from reconciler import async_runtime, runtime
from reconciler.operations.operation_error import FailureReason, OperationError
from reconciler.operations.simulation.bmc_rules_file import read_rules

_FILES_BESIDE = 64
"""Open files of the process that are no sockets of BMCs."""
_HOST, _TRIES = "127.0.0.1", 20


class BmcSimOptions(msgspec.Struct, frozen=True):
    """How BMCs are simulated. `profile`: the name of a built-in one, or the folder of a recorded tree. `password` None:
    a new one. `answer_seconds`, `power_seconds`: in place of those of the profile."""

    machines: int = 1
    profile: str = "generic"
    listen: str = "127.0.0.1:8001"
    rules: Path | None = None
    seed: int = 0
    username: str = "operator"
    password: str | None = None
    answer_seconds: float | None = None
    power_seconds: float | None = None


class BmcSim(msgspec.Struct, frozen=True):
    """Simulated BMCs that are ready to be served. `fingerprint`: of their certificate, as `bmc.tls` pins it."""

    fleet: SimulatedFleet
    login: Credential
    listen: ListenAddress
    context: ssl.SSLContext
    fingerprint: str


def prepare_bmcs(options: BmcSimOptions) -> BmcSim:
    """Make the BMCs. Raises OperationError."""
    try:
        listen = ListenAddress.parse(options.listen)
    except ValueError as error:
        raise OperationError(f"--listen: {error}") from error
    if options.machines > listen.most:
        raise OperationError(
            f"--listen {options.listen} has room for {listen.most} BMCs, and --machines is {options.machines}; "
            "give a lower port, or a larger network such as 127.1.0.0/16:8443"
        )
    login = Credential(options.username, options.password or runtime.entropy(16).hex())
    fleet = SimulatedFleet(_profile(options), options.machines, login, options.seed)
    for rule in read_rules(options.rules) if options.rules is not None else []:
        fleet.add_rule(rule)
    host = "127.0.0.1" if listen.network is not None else listen.host
    context, fingerprint = self_signed(host, runtime.now())
    return BmcSim(fleet, login, listen, context, fingerprint)


def serve_bmcs(sim: BmcSim, is_ready: Callable[[], object], ends: async_runtime.AsyncFlag | None = None) -> None:
    """Serve the BMCs until the process is interrupted or `ends` is set. `is_ready`: called in the event loop when all
    of them listen. Raises OperationError where an address cannot be had."""
    _open_files(len(sim.fleet.bmcs), sim.listen)
    server = BmcServer(sim.fleet, sim.listen, sim.context, runtime.monotonic)

    async def serve() -> None:
        try:
            await server.start()
        except OSError as error:
            raise OperationError(
                f"the simulated BMCs cannot listen: {error}; choose another address with --listen",
                FailureReason.UNAVAILABLE,
            ) from error
        is_ready()
        await (ends or async_runtime.AsyncFlag()).wait()

    try:
        with async_runtime.Runner() as runner, suppress(async_runtime.CancelledError):
            runner.run(serve())
    finally:
        server.close()


@contextmanager
def bmcs_in_thread(options: BmcSimOptions) -> Iterator[BmcSim]:
    """Serve BMCs on free ports of this host until the end of the block. Raises OperationError."""
    sim = prepare_bmcs(msgspec.structs.replace(options, listen=f"{_HOST}:{_free_ports(options.machines)}"))
    started, ends = runtime.future(), async_runtime.AsyncFlag()
    serve = partial(serve_bmcs, sim, lambda: started.set_result(async_runtime.running_loop()), ends)
    thread = runtime.thread(partial(runtime.reporting, serve, started.set_exception), "bmc-sim")
    thread.start()
    loop: async_runtime.AbstractEventLoop = started.result()
    try:
        yield sim
    finally:
        loop.call_soon_threadsafe(ends.set)
        thread.join()


def _free_ports(count: int) -> int:
    """The first of `count` ports in a row that nothing listens at. Another process may take one in the next moment."""
    for _ in range(_TRIES):
        with ExitStack() as probes, suppress(OSError, OverflowError):
            first: int = probes.enter_context(socket.create_server((_HOST, 0))).getsockname()[1]
            for port in range(first + 1, first + count):
                probes.enter_context(socket.create_server((_HOST, port)))
            return first
    raise OperationError(
        f"the simulated BMCs find no {count} free ports in a row on {_HOST}; try again", FailureReason.UNAVAILABLE
    )


def _profile(options: BmcSimOptions) -> BmcProfile:
    if options.profile in PROFILES:
        profile = built_in_profile(options.profile)
    elif Path(options.profile).is_dir():
        profile = _recorded(Path(options.profile))
    else:
        raise OperationError(
            f"--profile {options.profile}: there is no such profile and no such folder; the profiles are "
            f"{', '.join(PROFILES)}"
        )
    if options.answer_seconds is not None:
        profile = msgspec.structs.replace(profile, answer_seconds=options.answer_seconds)
    if options.power_seconds is not None:
        lag = PowerLag(options.power_seconds, options.power_seconds)
        profile = msgspec.structs.replace(profile, lag=lag)
    return profile


def _recorded(folder: Path) -> BmcProfile:
    try:
        return recorded_profile(folder.name, read_recorded_tree(folder))
    except (OSError, ValueError) as error:
        raise OperationError(
            f"--profile {folder}: the folder is not a recorded Redfish tree: {error}; each document must be the "
            "index.json of a folder"
        ) from error


def _open_files(machines: int, listen: ListenAddress) -> None:
    """Let the process have as many open files as it may. Raises OperationError where they do not suffice to listen."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if listen.network is None and most != resource.RLIM_INFINITY and machines + _FILES_BESIDE > most:
        raise OperationError(
            f"a port for each of {machines} BMCs needs more open files than the {most} of this process; raise the "
            "limit (ulimit -n), or give each BMC an address with --listen 127.1.0.0/16:8443"
        )
