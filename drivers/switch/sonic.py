"""The driver `sonic`: CONFIG_DB through SSH to the unix socket of redis, and FRR in its container.

What is done is seen in STATE_DB and ASIC_DB, never in CONFIG_DB. No real SONiC was seen: the driver is held against
redis behind sshd, with an orchagent of the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

import asyncssh
from msgspec import Meta
from msgspec.structs import replace

from drivers.base import (
    Busy,
    DriverOptions,
    ManagedSwitch,
    Rejected,
    SwitchConfig,
    SwitchEndpoint,
    SwitchScope,
    SwitchState,
    Unreachable,
    Unreadable,
    clean,
    excerpt,
    read_json,
    require_permit,
)
from drivers.base.support import scheduling
from drivers.base.support.event_loop import gather, pause
from drivers.switch.frr_shell import FrrShell
from drivers.switch.legal_steps import complete, refuse_unsafe
from drivers.switch.resp import MOST_ITEMS, RedisError, RedisReply, reply, request, table
from drivers.switch.sonic_changes import RowChange, SonicSteps, is_released, sonic_steps
from drivers.switch.sonic_tables import SonicTables, Table, is_saved, sonic_state
from drivers.switch.ssh_shell import SwitchShell, in_session, ssh_address

_APPL, _ASIC, _COUNTERS, _CONFIG, _STATE = "0", "1", "2", "4", "6"
"""Numbers of the databases (database_config.json of SONiC)."""
_CONFIG_TABLES = (
    *("PORT", "VLAN", "VLAN_MEMBER", "VLAN_INTERFACE", "INTERFACE", "VRF", "VXLAN_TUNNEL", "VXLAN_TUNNEL_MAP"),
    *("SUPPRESS_VLAN_NEIGH", "DEVICE_METADATA"),
)
_STATE_TABLES = ("VLAN_MEMBER_TABLE", "INTERFACE_TABLE", "VRF_TABLE")
_ASIC_OBJECTS = ("VLAN", "VLAN_MEMBER", "BRIDGE_PORT", "ROUTER_INTERFACE")
_RELEASE_TRIES, _RELEASE_SECONDS = 100, 0.1
"""How often, and how many seconds apart, it is asked whether the chip has released the ports that move."""
_MOST_ROWS = MOST_ITEMS
_STORED = "/etc/sonic/config_db.json"
_VERSION = re.compile(r"^build_version:\s*['\"]?(?P<name>[^'\"\n]+)", re.MULTILINE)


class SonicOptions(DriverOptions, frozen=True):
    """What only this driver knows."""

    socket: Annotated[str, Meta(pattern="^/", description="The unix socket of redis on the switch.")] = (
        "/var/run/redis/redis.sock"
    )
    frr_container: Annotated[str, Meta(description="The container in which FRR runs; empty: on the switch itself.")] = (
        "bgp"
    )


class SonicSwitches:
    """See SwitchDriver. A connection ends with its call, so there is nothing else to close."""

    options_type = SonicOptions

    def __init__(self) -> None:
        self._closed = scheduling.flag()

    def open(self, endpoint: SwitchEndpoint) -> ManagedSwitch:
        """See SwitchDriver."""
        ssh_address(endpoint.address)
        return SonicSwitch(endpoint, self._closed)

    def close(self) -> None:
        """See SwitchDriver."""
        self._closed.set()


class SonicSwitch:
    """See ManagedSwitch."""

    def __init__(self, endpoint: SwitchEndpoint, closed: scheduling.Flag) -> None:
        self._endpoint, self._closed = endpoint, closed
        self._options = endpoint.options if isinstance(endpoint.options, SonicOptions) else SonicOptions()

    def read(self) -> SwitchState:
        """See ManagedSwitch."""
        self._open()

        async def work(shell: SwitchShell) -> SwitchState:
            redis = await Redis.connect(shell, self._options.socket)
            tables, version, saved = await gather(
                redis.tables(), shell.run("cat", "/etc/sonic/sonic_version.yml", plain=True), _stored(shell)
            )
            found = _VERSION.search(version.output.decode(errors="replace"))
            state = sonic_state(tables, clean(found["name"]) if found else None, is_saved(tables, saved))
            return replace(state, peers=await self._frr(shell).peers())

        return in_session(self._endpoint, work)

    def check(self, config: SwitchConfig) -> tuple[str, ...]:
        """See ManagedSwitch."""
        self._open()

        async def work(shell: SwitchShell) -> tuple[str, ...]:
            redis = await Redis.connect(shell, self._options.socket)
            steps, is_routing_new = await self._prepared(shell, redis, config)
            routing = await self._frr(shell).changes() if is_routing_new else ()
            return (*(" ".join(change.words()) for change in steps.all()), *routing)

        return in_session(self._endpoint, work)

    def apply(self, config: SwitchConfig) -> None:
        """See ManagedSwitch."""
        self._open()

        async def work(shell: SwitchShell) -> None:
            redis = await Redis.connect(shell, self._options.socket)
            steps, is_routing_new = await self._prepared(shell, redis, config)
            await redis.write(steps.create)
            if is_routing_new:
                await self._frr(shell).reload()
            await redis.write(steps.leave)
            await _released(redis, config, steps)
            await redis.write(steps.join)
            await redis.write(steps.remove)
            await _save(shell, redis)

        in_session(self._endpoint, work)

    async def _prepared(self, shell: SwitchShell, redis: Redis, config: SwitchConfig) -> tuple[SonicSteps, bool]:
        """What is to be written, and whether FRR is to be reloaded. Nothing is changed yet. Raises Rejected."""
        tables = await redis.tables()
        state = sonic_state(tables, None, None)
        # A VRF that the managers have not made yet is there all the same for what comes next.
        asked = {name: None for name, _ in tables.rows("VRF")}
        refuse_unsafe(shell.where, config, replace(state, vrfs={**asked, **state.vrfs}))
        tunnels = [name for name, _ in tables.rows("VXLAN_TUNNEL")]
        if len(tunnels) != 1 and any(vrf.vlan is not None for vrf in config.vrfs.values()):
            raise Rejected(
                f"{shell.where}: VRFs with a VNI need one row in VXLAN_TUNNEL, and the switch has {len(tunnels)}"
            )
        steps = sonic_steps(config, tables, tunnels[0] if len(tunnels) == 1 else None)
        if config.scope is not SwitchScope.ALL:
            return steps, False
        return steps, await self._frr(shell).prepare(config, complete(config, state))

    def _frr(self, shell: SwitchShell) -> FrrShell:
        container = self._options.frr_container
        return FrrShell(shell, ("docker", "exec", "-i", container) if container else ())

    def _open(self) -> None:
        if self._closed.is_set():
            raise Unreachable(f"{self._endpoint.address}: the driver is closed")


async def _released(redis: Redis, config: SwitchConfig, steps: SonicSteps) -> None:
    """Wait until the chip has released the ports that move. The step after it would crash swss (metal-core#102)."""
    left = steps.moving
    for _ in range(_RELEASE_TRIES):
        tables = await redis.tables() if left else SonicTables()
        left = tuple(port for port in left if not is_released(port, config, tables))
        if not left:
            return
        await pause(_RELEASE_SECONDS)
    raise Unreachable(
        f"{redis.where}: orchagent has not taken {', '.join(left)} out of the old VLAN or VRF within "
        f"{_RELEASE_TRIES * _RELEASE_SECONDS:.0f} s, so the ports are in neither. The next apply continues",
        maybe_sent=True,
    )


async def _save(shell: SwitchShell, redis: Redis) -> None:
    if is_saved(await redis.tables(), await _stored(shell)):
        return
    saved = await shell.run("config", "save", "-y", writes=True)
    if saved.status:
        raise Busy(f"{shell.where}: the configuration is in force, but `config save` failed: {saved.words}")


async def _stored(shell: SwitchShell) -> object:
    """What the switch would start with. None: there is no such file, or it is no JSON."""
    found = await shell.run("cat", _STORED)
    try:
        return None if found.status else read_json(found.output)
    except ValueError:
        return None


class Redis:
    """The databases of a switch."""

    def __init__(self, shell: SwitchShell, reader: Any, writer: Any) -> None:
        self._shell, self._reader, self._writer = shell, reader, writer
        self.where = shell.where
        self._number = "0"

    @classmethod
    async def connect(cls, shell: SwitchShell, socket: str) -> Redis:
        """Raises Unreachable where sshd or the socket refuses."""
        try:
            reader, writer = await shell.connection.open_unix_connection(socket, encoding=None)
        except asyncssh.ChannelOpenError as error:
            raise Unreachable(
                f"{shell.where}: redis cannot be reached at {socket}: {excerpt(error.reason, 200)}. sshd of the switch "
                "must allow AllowStreamLocalForwarding, and the user must be in the group redis"
            ) from error
        return cls(shell, reader, writer)

    async def tables(self) -> SonicTables:
        """All that is read."""
        asic = (f"ASIC_STATE:SAI_OBJECT_TYPE_{name}:*" for name in _ASIC_OBJECTS)
        config = await self._rows(_CONFIG, (f"{name}|*" for name in _CONFIG_TABLES))
        appl = await self._rows(_APPL, ("PORT_TABLE:*", "LLDP_ENTRY_TABLE:*"))
        state = await self._rows(_STATE, (f"{name}|*" for name in _STATE_TABLES))
        chip = await self._rows(_ASIC, asic)
        (names,) = await self._ask(_COUNTERS, [("HGETALL", "COUNTERS_PORT_NAME_MAP")])
        if not any(key.startswith("PORT|") for key in config):
            raise Unreadable(f"{self.where}: CONFIG_DB has no ports")
        return SonicTables(config, appl, state, chip, table(names))

    async def write(self, changes: tuple[RowChange, ...]) -> None:
        """All of them in one transaction, or none. Raises Rejected."""
        if not changes:
            return
        require_permit()
        self._shell.writes = True
        commands = [("MULTI",), *(change.words() for change in changes), ("EXEC",)]
        answers = await self._ask(_CONFIG, commands, strict=False)
        done = answers[-1]
        wrong = next((one for one in answers if isinstance(one, RedisError)), None)
        if wrong is None and isinstance(done, list):
            wrong = next((one for one in done if isinstance(one, RedisError)), None)
        if wrong is not None or not isinstance(done, list):
            raise Rejected(f"{self.where}: redis refused to write CONFIG_DB: {excerpt(str(wrong or done), 200)}")

    async def _rows(self, database: str, patterns: Iterable[str]) -> Table:
        found = await self._ask(database, [("KEYS", pattern) for pattern in patterns])
        keys = sorted({key for one in found if isinstance(one, list) for key in one if isinstance(key, str)})
        if len(keys) > _MOST_ROWS:
            raise Unreadable(f"{self.where}: database {database} has {len(keys)} rows, which is more than is read")
        rows = await self._ask(database, [("HGETALL", key) for key in keys], strict=False)
        return {key: table(row) for key, row in zip(keys, rows, strict=True) if isinstance(row, list)}

    async def _ask(self, database: str, commands: list[tuple[str, ...]], *, strict: bool = True) -> list[RedisReply]:
        """The answers, in order. Raises Unreadable for what is no answer, and if `strict` for a refusal."""
        all_commands = [("SELECT", database), *commands]
        try:
            self._writer.write(b"".join(request(*command) for command in all_commands))
            selected, *answers = [await reply(self._reader) for _ in all_commands]
        except (EOFError, RedisError) as error:
            raise Unreachable(f"{self.where}: redis: {error}", maybe_sent=self._shell.writes) from error
        refused = next((one for one in (selected, *answers) if isinstance(one, RedisError)), None)
        if refused is not None and (strict or refused is selected):
            raise Unreadable(f"{self.where}: redis refused to read: {excerpt(str(refused), 200)}")
        return answers
