"""A switch with the databases of SONiC: a real redis behind a real sshd, and an orchagent of ours, on a leaf.

What CONFIG_DB asks for takes effect late, in STATE_DB and ASIC_DB, and in Open vSwitch: so pings prove it. The double
is strict where SONiC is fragile: one VRF exchanged for another, or a port that goes into a VLAN while it has a router
interface, ends it for good, as swss crashes (metal-core#102). `docker` and `config` are scripts: no container runs.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

from tests.switch.leaf import PROGRAMS, Leaf, missing, until

SONIC_PROGRAMS = {
    **PROGRAMS,
    "redis-server": "redis-server",
    "redis-cli": "redis-tools",
    "ovs-vsctl": "openvswitch-switch",
    "ovs-vswitchd": "openvswitch-switch",
}
APPL, ASIC, COUNTERS, CONFIG, STATE = 0, 1, 2, 4, 6
SOCKET = "/run/redis/redis.sock"
NOWHERE = 4095
"""The tag of a port that is in no VLAN and no VRF: no other port has one like it, as it is trunked to nothing."""
_OBJECT = "ASIC_STATE:SAI_OBJECT_TYPE_"

_CONFIG_SAVE = f"""#!/usr/bin/python3
import json, subprocess, sys
assert sys.argv[1:] == ["save", "-y"], sys.argv
def ask(*words):
    command = ["redis-cli", "-s", "{SOCKET}", "-n", "{CONFIG}", "--json", *words]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
found = {{}}
for key in ask("KEYS", "*"):
    table, _, row = key.partition("|")
    if row:
        found.setdefault(table, {{}})[row] = ask("HGETALL", key)
open("/etc/sonic/config_db.json", "w").write(json.dumps(found))
"""
_DOCKER = """#!/bin/sh
# docker exec -i bgp COMMAND...
shift 3
exec "$@"
"""


def sonic_missing() -> str:
    """Why none can run here; empty where it can."""
    return missing(SONIC_PROGRAMS)


class Database:
    """A client of redis, as plain as can be."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._link: socket.socket | None = None
        self._file: BufferedReader | None = None

    def ask(self, number: int, *words: str) -> object:
        """The answer to one command."""
        with self._lock:
            if self._link is None or self._file is None:
                self._link = socket.socket(socket.AF_UNIX)
                self._link.connect(self._path)
                self._file = self._link.makefile("rb")
            self._send("SELECT", str(number))
            self._send(*words)
            self._read(self._file)
            return self._read(self._file)

    def table(self, number: int, pattern: str) -> dict[str, dict[str, str]]:
        """The rows whose key is like this."""
        keys = self.ask(number, "KEYS", pattern)
        assert isinstance(keys, list)
        return {key: self.row(number, key) for key in sorted(keys)}

    def row(self, number: int, key: str) -> dict[str, str]:
        """The fields of a row."""
        words = self.ask(number, "HGETALL", key)
        assert isinstance(words, list)
        return dict(zip(words[::2], words[1::2], strict=True))

    def put(self, number: int, key: str, **fields: str) -> None:
        """Write a row."""
        self.ask(number, "HSET", key, *(word for pair in fields.items() for word in pair))

    def close(self) -> None:
        """Hang up."""
        if self._link is not None and self._file is not None:
            self._file.close()
            self._link.close()

    def _send(self, *words: str) -> None:
        assert self._link is not None
        encoded = [word.encode() for word in words]
        self._link.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))

    def _read(self, file: BufferedReader) -> object:
        line = file.readline()
        mark, rest = line[:1], line[1:-2].decode()
        if mark == b"$":
            return file.read(int(rest) + 2)[:-2].decode() if int(rest) >= 0 else None
        if mark == b"*":
            return [self._read(file) for _ in range(int(rest))]
        return int(rest) if mark == b":" else rest


class Orchagent:
    """Makes of CONFIG_DB what STATE_DB, ASIC_DB and Open vSwitch have. `delay`: seconds by which it is late.
    `crashed`: why it does nothing any more. `stuck`: it does not let go of ports."""

    def __init__(self, leaf: Leaf, database: Database) -> None:
        self._leaf, self._database = leaf, database
        self.delay = 0.2
        self.crashed = ""
        self.stuck = False
        self._vrf: dict[str, str] = {}
        self._vlan: dict[str, int] = {}
        self._tags: dict[str, int] = {}
        self._seen: object = None
        self._since = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        done: object = None
        while not self._ended.wait(0.02):
            config = self._database.table(CONFIG, "*|*")
            if config != self._seen:
                self._seen, self._since = config, time.monotonic()
            if config != done and time.monotonic() - self._since >= self.delay and not self.crashed and not self.stuck:
                self._settle(config)
                done = config

    def _settle(self, config: dict[str, dict[str, str]]) -> None:
        vlans = {key.partition("|")[2] for key in config if key.startswith("VLAN|")}
        vrfs = {key.partition("|")[2] for key in config if key.startswith("VRF|")}
        self._objects("VLAN", {vlan: {"SAI_VLAN_ATTR_VLAN_ID": vlan[4:]} for vlan in vlans})
        self._states("VLAN_TABLE", vlans)
        self._states("VRF_TABLE", vrfs)
        ports = [key.partition("|")[2] for key in config if key.startswith("PORT|")]
        for number, port in enumerate(ports):
            self._port(port, number, config, vrfs)

    def _port(self, port: str, number: int, config: dict[str, dict[str, str]], vrfs: set[str]) -> None:
        members = [key.split("|")[1] for key in config if key.startswith("VLAN_MEMBER|") and key.endswith(f"|{port}")]
        vlan = int(members[0][4:]) if members else None
        row = config.get(f"INTERFACE|{port}")
        vrf = (row or {}).get("vrf_name")
        before = self._vrf.get(port)
        if before and vrf and before != vrf:
            self.crashed = f"{port}: from {before} straight into {vrf}"
        if (before and vlan is not None) or (self._vlan.get(port) is not None and vrf):
            self.crashed = f"{port}: it was not free"
        if vrf and vrf not in vrfs:
            self.crashed = f"{port}: there is no {vrf}"
        if self.crashed:
            return
        object_id = f"oid:0x10000000000{number:02x}"
        self._database.ask(COUNTERS, "HSET", "COUNTERS_PORT_NAME_MAP", port, object_id)
        self._bridge(port, object_id, vlan)
        self._route(port, object_id, vrf)
        self._link(port, config[f"PORT|{port}"])
        self._tag(port, vlan, vrf)

    def _bridge(self, port: str, object_id: str, vlan: int | None) -> None:
        kept = {f"Vlan{vlan}|{port}"} if vlan is not None else set()
        for key in self._database.table(STATE, f"VLAN_MEMBER_TABLE|*|{port}"):
            self._database.ask(STATE, "DEL", key)
        for key in kept:
            self._database.put(STATE, f"VLAN_MEMBER_TABLE|{key}", state="ok")
        bridge_port, member = f"{_OBJECT}BRIDGE_PORT:oid:bp-{port}", f"{_OBJECT}VLAN_MEMBER:oid:vm-{port}"
        if vlan is None:
            self._database.ask(ASIC, "DEL", bridge_port, member)
        else:
            self._database.put(ASIC, bridge_port, SAI_BRIDGE_PORT_ATTR_PORT_ID=object_id)
            self._database.put(
                ASIC,
                member,
                SAI_VLAN_MEMBER_ATTR_BRIDGE_PORT_ID=f"oid:bp-{port}",
                SAI_VLAN_MEMBER_ATTR_VLAN_ID=f"oid:Vlan{vlan}",
                SAI_VLAN_MEMBER_ATTR_VLAN_TAGGING_MODE="SAI_VLAN_TAGGING_MODE_UNTAGGED",
            )
            self._vlan[port] = vlan
        if vlan is None:
            self._vlan.pop(port, None)

    def _route(self, port: str, object_id: str, vrf: str | None) -> None:
        interface = f"{_OBJECT}ROUTER_INTERFACE:oid:rif-{port}"
        if vrf is None:
            self._vrf.pop(port, None)
            self._database.ask(ASIC, "DEL", interface)
            self._database.ask(STATE, "DEL", f"INTERFACE_TABLE|{port}")
            return
        self._vrf[port] = vrf
        self._database.put(STATE, f"INTERFACE_TABLE|{port}", vrf=vrf)
        self._database.put(ASIC, interface, SAI_ROUTER_INTERFACE_ATTR_PORT_ID=object_id)

    def _link(self, port: str, row: dict[str, str]) -> None:
        admin = row.get("admin_status", "down")
        self._leaf.run("ip", "link", "set", port, admin)
        fields = {"alias": row.get("alias", port), "mtu": row.get("mtu", "9100"), "oper_status": admin}
        self._database.put(APPL, f"PORT_TABLE:{port}", admin_status=admin, **fields)

    def _tag(self, port: str, vlan: int | None, vrf: str | None) -> None:
        """A VRF is a VLAN of its own in the chip, from 3000 on."""
        tag = vlan if vlan is not None else NOWHERE
        if vrf is not None:
            tag = self._tags.setdefault(vrf, 3000 + len(self._tags))
        if tag == NOWHERE:
            self._leaf.run("ovs-vsctl", "--if-exists", "del-port", "chip", port)
        else:
            self._leaf.run(
                "ovs-vsctl", "--may-exist", "add-port", "chip", port, "--", "set", "port", port, f"tag={tag}"
            )

    def _objects(self, kind: str, wanted: dict[str, dict[str, str]]) -> None:
        for key in self._database.table(ASIC, f"{_OBJECT}{kind}:*"):
            if key.rpartition(":")[2] not in wanted:
                self._database.ask(ASIC, "DEL", key)
        for name, fields in wanted.items():
            self._database.put(ASIC, f"{_OBJECT}{kind}:oid:{name}", **fields)

    def _states(self, table: str, wanted: set[str]) -> None:
        for key in self._database.table(STATE, f"{table}|*"):
            if key.partition("|")[2] not in wanted:
                self._database.ask(STATE, "DEL", key)
        for name in wanted:
            self._database.put(STATE, f"{table}|{name}", state="ok")


class SonicLeaf(Leaf):
    """A leaf with `database` and `orchagent`."""

    database: Database
    orchagent: Orchagent

    def start_redis(self) -> None:
        """redis on its unix socket, with a CONFIG_DB as a new switch has it."""
        self.write("/usr/local/sbin/docker", _DOCKER, "755")
        self.write("/usr/local/sbin/config", _CONFIG_SAVE, "755")
        self.write("/etc/sonic/sonic_version.yml", "build_version: 'double.of.202505'\n")
        settings = (
            "--port",
            "0",
            "--unixsocket",
            SOCKET,
            "--save",
            "",
            "--daemonize",
            "yes",
            "--logfile",
            "/run/r.log",
        )
        self.run("redis-server", *settings)
        until(lambda: self.is_there(SOCKET), "redis")
        self.database = Database(f"/proc/{self.pid}/root{SOCKET}")
        self.database.put(CONFIG, "DEVICE_METADATA|localhost", hostname=self.name)
        self.database.put(CONFIG, "VXLAN_TUNNEL|vtep", src_ip="10.0.0.11")
        for number, port in enumerate(self.ports):
            fields = {"alias": f"Eth1/{number + 1}", "lanes": str(number * 4), "admin_status": "up", "mtu": "9100"}
            self.database.put(CONFIG, f"PORT|{port}", **fields)

    def start_chip(self) -> None:
        """Open vSwitch in user space, which needs nothing of the kernel, and the orchagent."""
        schema = "/usr/share/openvswitch/vswitch.ovsschema"
        folder = "/run/openvswitch"
        self.run("mkdir", "-p", folder, "/etc/openvswitch", "/var/log/openvswitch")
        self.run("ovsdb-tool", "create", f"{folder}/conf.db", schema)
        server = ("ovsdb-server", f"{folder}/conf.db", f"--remote=punix:{folder}/db.sock", "--no-chdir")
        self.run(*server, f"--pidfile={folder}/ovsdb.pid", "--detach", f"--log-file={folder}/ovsdb.log")
        self.run("ovs-vsctl", "--no-wait", "init")
        daemon = ("ovs-vswitchd", f"unix:{folder}/db.sock", "--no-chdir")
        self.run(*daemon, f"--pidfile={folder}/vswitchd.pid", "--detach", f"--log-file={folder}/vswitchd.log")
        self.run("ovs-vsctl", "add-br", "chip", "--", "set", "bridge", "chip", "datapath_type=netdev")
        self.orchagent = Orchagent(self, self.database)
        self.orchagent.start()
        until(lambda: bool(self.database.row(APPL, f"PORT_TABLE:{self.ports[-1]}")), "orchagent")


@contextmanager
def running_sonic_leaf(
    name: str = "leaf01", ports: tuple[str, ...] = ("Ethernet0", "Ethernet4", "Ethernet8", "Ethernet12")
) -> Iterator[SonicLeaf]:
    """A leaf with all of it, whose ports are cabled to machines `m1`, `m2` and so on."""
    with SonicLeaf(name, ports) as leaf:
        leaf.start_frr()
        leaf.start_redis()
        for number, port in enumerate(ports, 1):
            leaf.add_machine(f"m{number}", port, f"10.9.0.{number}/24")
        leaf.start_chip()
        try:
            yield leaf
        finally:
            leaf.orchagent.stop()
            leaf.database.close()
