"""What FRR says of itself, as values. Pure: nothing odd that it prints raises."""

from __future__ import annotations

from datetime import UTC, datetime

from drivers.base import BgpPeer, clean

NEVER_CONVERGES = {
    "no hostname",
    "frr defaults",
    "ip forwarding",
    "ipv6 forwarding",
    "no ipv6 forwarding",
    "service integrated-vtysh-config",
    "no service integrated-vtysh-config",
    "no bgp ebgp-requires-policy",
}
"""Beginnings of lines that `frr-reload --test` names each time, though nothing differs (seen with FRR 8.4.4)."""
_FRAMES = {"!", "end", "exit", "exit-vrf", "exit-address-family"}
_HEADS = (
    *("Building configuration", "Current configuration", "frr version", "frr defaults", "hostname", "log "),
    *("ip forwarding", "ipv6 forwarding", "service integrated-vtysh-config"),
)
"""Statements that say nothing about what is wanted, or that FRR does not print."""
_FAMILIES = ("ipv4Unicast", "ipv6Unicast", "l2VpnEvpn")


def bgp_peers(answer: object, now: int) -> tuple[BgpPeer, ...]:
    """The neighbours of `show bgp vrf all summary json`, each once, although it is in several address families. `now`:
    seconds since 1970, by the switch's clock."""
    found: dict[tuple[str, str], BgpPeer] = {}
    for vrf, families in _items(answer):
        for family in _FAMILIES:
            for name, peer in _items(dict(_items(dict(_items(families)).get(family))).get("peers")):
                one = _peer(name, vrf, dict(_items(peer)), now)
                before = found.get((vrf, name))
                if before is None or before.state == "Established":
                    found[(vrf, name)] = one
    return tuple(found[key] for key in sorted(found))


def _peer(name: str, vrf: str, peer: dict[str, object], now: int) -> BgpPeer:
    state = peer.get("state")
    milliseconds = peer.get("peerUptimeMsec")
    is_timed = isinstance(milliseconds, int) and 0 < milliseconds < now * 1000
    since = datetime.fromtimestamp(now - milliseconds // 1000, UTC) if is_timed else None  # type: ignore[operator]
    said = clean(state) if isinstance(state, str) and state else "Unknown"
    return BgpPeer(clean(name), said, since, None if vrf == "default" else clean(vrf))


def vnis(answer: object) -> dict[str, int]:
    """The VNIs of `show vrf vni json`, by VRF."""
    rows = dict(_items(answer)).get("vrfs")
    found = {}
    for row in rows if isinstance(rows, list) else []:
        name, vni = dict(_items(row)).get("vrf"), dict(_items(row)).get("vni")
        if isinstance(name, str) and isinstance(vni, int) and vni > 0:
            found[clean(name)] = vni
    return found


def reload_lines(text: str) -> tuple[str, ...]:
    """What `frr-reload --test --stdout` would change, one line for each statement, with what it stands in before it."""
    lines: list[str] = []
    deleting = False
    block: list[str] = []
    for line in [*text.splitlines(), "Lines To"]:
        begins = not line.startswith(" ")
        if begins and block:
            lines.append(_joined(block, deleting))
            block = []
        if line.startswith("Lines To"):
            deleting = "Delete" in line
        elif line.strip() and not line.startswith("="):
            block.append(line.strip())
    return tuple(line for line in lines if not any(line.startswith(known) for known in NEVER_CONVERGES))


def same_statements(one: str, other: str) -> bool:
    """Whether two configurations say the same, in whatever order of their sections. No means that only `frr-reload`
    knows, as versions of FRR write differently."""
    return _statements(one) == _statements(other)


def _statements(text: str) -> set[tuple[str, str, str]]:
    """Each statement with its section and address family."""
    found = set()
    section = family = ""
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line in _FRAMES or line.startswith(_HEADS):
            continue
        if not raw.startswith(" "):
            section, family = line, ""
        elif line.startswith("address-family "):
            family = line
        elif line == "exit-address-family":
            family = ""
        found.add((section, family, line))
    return found


def _joined(block: list[str], deleting: bool) -> str:
    inner = " / ".join(block)
    return f"no {inner.removeprefix('no ')}" if deleting and not inner.startswith("no ") else inner


def _items(value: object) -> list[tuple[str, object]]:
    return [(str(key), one) for key, one in value.items()] if isinstance(value, dict) else []
