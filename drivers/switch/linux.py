"""The drivers `linux` and `linux-bridged`: a host with FRR, bridges, VRFs and lldpd, which is what Cumulus Linux is.

The unprovisioned VLAN is one of the bridge that filters VLANs, or on a host without such a bridge a bridge named
`vlanN`. A VRF is a device of the kernel, or for `linux-bridged` a bridge of the VRF's name. What `ip` sets is lost when
the host restarts. A port is in no bridge and no VRF then, until groundstate puts it right.
"""

from __future__ import annotations

from drivers.base import (
    ManagedSwitch,
    SwitchConfig,
    SwitchEndpoint,
    SwitchScope,
    SwitchState,
    Unreachable,
    Unreadable,
    read_json,
)
from drivers.base.support import scheduling
from drivers.base.support.event_loop import gather
from drivers.switch.frr_shell import FrrShell
from drivers.switch.legal_steps import complete, refuse_unsafe
from drivers.switch.linux_commands import port_commands, vrf_commands
from drivers.switch.linux_state import LinuxLinks, linux_links, lldp_name, lldp_neighbours, os_version
from drivers.switch.ssh_shell import SwitchShell, in_session, ssh_address


class LinuxSwitches:
    """See SwitchDriver. A connection ends with its call, so there is nothing else to close.

    `routed`: a VRF is a device of the kernel, and each of its machines is routed and speaks BGP. Without: a VRF is a
    bridge, so that its machines share a segment, which EVPN stretches to other switches.
    """

    def __init__(self, *, routed: bool = True) -> None:
        self._routed = routed
        self._closed = scheduling.flag()

    def open(self, endpoint: SwitchEndpoint) -> ManagedSwitch:
        """See SwitchDriver."""
        ssh_address(endpoint.address)
        return LinuxSwitch(endpoint, self._closed, routed=self._routed)

    def close(self) -> None:
        """See SwitchDriver."""
        self._closed.set()


def bridged_switches() -> LinuxSwitches:
    """The driver named `linux-bridged`."""
    return LinuxSwitches(routed=False)


class LinuxSwitch:
    """See ManagedSwitch."""

    def __init__(self, endpoint: SwitchEndpoint, closed: scheduling.Flag, *, routed: bool) -> None:
        self._endpoint, self._closed, self._routed = endpoint, closed, routed

    def read(self) -> SwitchState:
        """See ManagedSwitch."""
        self._open()
        return in_session(self._endpoint, _read)

    def check(self, config: SwitchConfig) -> tuple[str, ...]:
        """See ManagedSwitch."""
        self._open()

        async def work(shell: SwitchShell) -> tuple[str, ...]:
            have, is_routing_new = await self._prepared(shell, config)
            commands = [*vrf_commands(config, have, routed=self._routed), *port_commands(config, have)]
            routing = await FrrShell(shell).changes() if is_routing_new else ()
            return (*(" ".join(command) for command in commands), *routing)

        return in_session(self._endpoint, work)

    def apply(self, config: SwitchConfig) -> None:
        """See ManagedSwitch."""
        self._open()

        async def work(shell: SwitchShell) -> None:
            have, is_routing_new = await self._prepared(shell, config)
            await shell.script(vrf_commands(config, have, routed=self._routed))
            if is_routing_new:
                await FrrShell(shell).reload()
            await shell.script(port_commands(config, have))

        in_session(self._endpoint, work)

    async def _prepared(self, shell: SwitchShell, config: SwitchConfig) -> tuple[LinuxLinks, bool]:
        """The devices as they are, and whether FRR is to be reloaded. Raises Rejected for what must not or cannot be;
        nothing is changed then."""
        have = await _links(shell)
        management = have.management(await _reached_at(shell))
        state = SwitchState(ports=have.ports(), vrfs=have.vrfs(), management=management)
        refuse_unsafe(shell.where, config, state)
        if config.scope is not SwitchScope.ALL:
            return have, False
        return have, await FrrShell(shell).prepare(config, complete(config, state), routed=self._routed)

    def _open(self) -> None:
        if self._closed.is_set():
            raise Unreachable(f"{self._endpoint.address}: the driver is closed")


async def _read(shell: SwitchShell) -> SwitchState:
    frr = FrrShell(shell)
    have, management, lldp, chassis, release = await gather(
        _links(shell),
        _reached_at(shell),
        shell.run("lldpcli", "-f", "json0", "show", "neighbors", "details"),
        shell.run("lldpcli", "-f", "json0", "show", "chassis"),
        shell.run("cat", "/etc/os-release", plain=True),
    )
    known, peers, saved = await gather(frr.vnis(), frr.peers(), frr.is_saved())
    return SwitchState(
        system=None if chassis.status else lldp_name(_json(shell, chassis.output, "lldpcli show chassis")),
        version=os_version(release.output.decode(errors="replace")),
        ports=have.ports(),
        vrfs={name: vni if vni is not None else known.get(name) for name, vni in have.vrfs().items()},
        open_vrfs=have.open_vrfs(),
        management=have.management(management),
        neighbours=None if lldp.status else lldp_neighbours(_json(shell, lldp.output, "lldpcli show neighbors")),
        peers=peers,
        saved=saved,
    )


async def _reached_at(shell: SwitchShell) -> str:
    """The IP address of the host to which this session was connected (sshd(8), SSH_CONNECTION); empty: not known."""
    said = await shell.run("printenv", "SSH_CONNECTION", plain=True)
    words = said.output.decode(errors="replace").split()
    return words[2] if not said.status and len(words) == 4 else ""


async def _links(shell: SwitchShell) -> LinuxLinks:
    links = await shell.run("ip", "-j", "-d", "address", "show", plain=True)
    vlans = await shell.run("bridge", "-j", "vlan", "show", plain=True)
    refusals = {}
    for family in ("-4", "-6"):
        command = ("ip", "-j", "-N", family, "route", "show", "table", "all", "type", "unreachable")
        routes = await shell.run(*command, plain=True)
        if not routes.status:  # A kernel without IPv6 has none of its routes, and can get none.
            refusals[family] = _json(shell, routes.output or b"[]", " ".join(command))
    if links.status:
        raise Unreadable(f"{shell.where}: `ip -j -d address show` failed: {links.words}")
    found = linux_links(
        _json(shell, links.output, "ip -j -d address show"),
        [] if vlans.status or not vlans.output.strip() else _json(shell, vlans.output, "bridge -j vlan show"),
        refusals,
    )
    if not found.links:
        raise Unreadable(f"{shell.where}: `ip -j -d address show` printed no devices")
    return found


def _json(shell: SwitchShell, output: bytes, command: str) -> object:
    try:
        return read_json(output)
    except ValueError as error:
        raise Unreadable(f"{shell.where}: `{command}` printed no JSON: {error}") from error
