"""FRR on a switch: what it runs, what a new configuration would change, and the reload."""

from __future__ import annotations

from drivers.base import BgpPeer, Busy, Rejected, SwitchConfig, Unreadable, excerpt, read_json
from drivers.switch.frr_config import frr_config, kept_sections
from drivers.switch.frr_state import bgp_peers, reload_lines, same_statements, vnis
from drivers.switch.ssh_shell import SwitchShell

CANDIDATE = "/etc/frr/groundstate.conf"
"""Where a new configuration is checked, before anything is changed."""
_RELOAD = "/usr/lib/frr/frr-reload.py"
_SHOWN = 600


class FrrShell:
    """`inside`: what runs a command where FRR is, such as `docker exec -i bgp` on SONiC."""

    def __init__(self, shell: SwitchShell, inside: tuple[str, ...] = ()) -> None:
        self._shell, self._inside = shell, inside
        self.where = shell.where

    async def peers(self) -> tuple[BgpPeer, ...] | None:
        """The sessions of BGP. None: FRR does not run, so they are not known."""
        asked = await self._shell.run(*self._inside, "vtysh", "-c", "show bgp vrf all summary json")
        clock = await self._shell.run("date", "+%s", plain=True)
        if asked.status or not clock.output.strip().isdigit():
            return None
        return bgp_peers(self._json(asked.output, "show bgp vrf all summary json"), int(clock.output))

    async def vnis(self) -> dict[str, int]:
        """The VNI of each VRF that FRR knows one of; empty where FRR does not run."""
        asked = await self._shell.run(*self._inside, "vtysh", "-c", "show vrf vni json")
        return {} if asked.status else vnis(self._json(asked.output, "show vrf vni json"))

    async def running(self) -> str | None:
        """The configuration that runs. None: FRR does not run."""
        asked = await self._shell.run(*self._inside, "vtysh", "-c", "show running-config")
        return None if asked.status else asked.output.decode(errors="replace")

    async def is_saved(self) -> bool | None:
        """Whether FRR would start with what it runs."""
        running = await self.running()
        stored = await self._shell.run(*self._inside, "cat", "/etc/frr/frr.conf")
        if running is None or stored.status:
            return None
        return same_statements(running, stored.output.decode(errors="replace"))

    async def prepare(self, config: SwitchConfig, members: dict[str, str], *, routed: bool = True) -> bool:
        """Whether FRR runs something else. Then the configuration is put beside the one that runs, and FRR has checked
        it. Raises Rejected with FRR's words, and nothing is changed."""
        if config.asn is None or config.loopback is None:
            raise Rejected(f"{self.where}: the routing of the switch needs spec.asn and spec.loopback")
        running = await self.running()
        if running is None:
            raise Rejected(f"{self.where}: FRR does not answer on the switch, so its routing cannot be changed")
        text = frr_config(config, members, routed=routed, kept=kept_sections(running, config))
        if same_statements(text, running):
            return False
        write = ("sh", "-c", f"cat > {CANDIDATE}")
        written = await self._shell.run(*self._inside, *write, said=text)
        if written.status:
            raise Rejected(f"{self.where}: {CANDIDATE} cannot be written: {written.words}")
        checked = await self._shell.run(*self._inside, "vtysh", "-C", "-f", CANDIDATE)
        if checked.status:
            raise Rejected(f"{self.where}: FRR refuses the configuration, and nothing was changed: {checked.words}")
        return True

    async def changes(self) -> tuple[str, ...]:
        """What a reload would change: a line each, those to delete with `no`. Raises Rejected."""
        tested = await self._shell.run(*self._inside, _RELOAD, "--test", "--stdout", CANDIDATE)
        if tested.status:
            raise Rejected(f"{self.where}: frr-reload cannot compare the configurations: {tested.words}")
        return reload_lines(tested.output.decode(errors="replace"))

    async def reload(self) -> None:
        """Make the checked configuration the running one, and save it. Raises Busy: a part may be done.

        A reload that failed was taken for done at metal-stack (metal-core#108). So FRR is asked for what it runs then.
        """
        done = await self._shell.run(*self._inside, _RELOAD, "--reload", "--stdout", CANDIDATE, writes=True)
        wanted = await self._shell.run(*self._inside, "cat", CANDIDATE)
        left: tuple[str, ...] = ()
        if not same_statements(wanted.output.decode(errors="replace"), await self.running() or ""):
            left = await self.changes()
        if done.status or left:
            why = f"still differs: {'; '.join(left)}" if left else done.words
            what = f"FRR was not reloaded in full, and no port was changed: {excerpt(why, _SHOWN)}"
            hint = "If this stays so, compare with `vtysh -c 'show running-config'` on the switch"
            raise Busy(f"{self.where}: {what}. groundstate tries again. {hint}")

    def _json(self, output: bytes, command: str) -> object:
        try:
            return read_json(output)
        except ValueError as error:
            raise Unreadable(f"{self.where}: `{command}` printed no JSON: {error}") from error
