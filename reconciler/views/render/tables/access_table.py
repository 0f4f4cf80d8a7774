"""The new destinations of logins, for people: changed access in full, new access a line each, many equal ones as a sum.

A sum leaves out no network and no domain, so that an odd address among hundreds has a line of its own. All of them are
in the JSON form.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, ip_address, ip_network
from urllib.parse import urlsplit

from reconciler.model.plans.access import AccessChange
from reconciler.views.render import words
from reconciler.views.render.ranges import fold

_ADDRESS, _SYSTEM, _DRIVER, _OPTIONS = ".address", ".systemId", ".driver", ".options"
_CREDENTIAL, _PIN, _CA = ".credentialRef", ".tls.fingerprint", ".tls.caFile"
_INSECURE, _OLD = ".tls.insecure", ".tls.oldCiphers"
_KNOWN = (_ADDRESS, _SYSTEM, _DRIVER, _OPTIONS, _CREDENTIAL, _PIN, _CA, _INSECURE, _OLD)
"""The ends of the paths that have words of their own, below whatever field a kind keeps its endpoint in."""
_TRUST = {
    _INSECURE: "any certificate (insecure)",
    _PIN: "certificate pinned",
    _CA: "caFile {}",
    _OLD: "old ciphers accepted",
}
_MOST = 24
"""Addresses, or ranges of them, in one entry; of more, the networks and domains are shown with their numbers."""
_SHOWN = len("sha256:") + 12


def alike_access(access: Iterable[AccessChange], *, apart: bool = False) -> list[list[AccessChange]]:
    """Groups of what differs in the same way, those that are known first. Of new machines, what their addresses, their
    pins and their systems are left aside. `apart`: each alone."""
    groups: dict[object, list[AccessChange]] = {}
    for one in sorted(access, key=lambda change: change.is_new):
        same = (_driver(one), _credential(one), _kind_of_trust(one), _others(one)) if one.is_new else one.differences
        groups.setdefault(one.key if apart else (one.key.kind, one.is_new, same), []).append(one)
    return list(groups.values())


def on_a_line(change: AccessChange, *, full: bool = False) -> str:
    """Address, driver, credential and trust of a new machine: `10.1.0.11, redfish, credential name bmc, pinned ...`."""
    return ", ".join(
        filter(None, (_place(change), _driver(change), _credential(change), _trust(change, full=full), _others(change)))
    )


def in_common(group: list[AccessChange]) -> str:
    """The same of many, but for what is each machine's own."""
    return ", ".join(
        filter(None, (_driver(group[0]), _credential(group[0]), _kind_of_trust(group[0]), _others(group[0])))
    )


def places(group: list[AccessChange]) -> list[str]:
    """Their addresses as ranges; where those are too many, the networks and the domains, each with its number."""
    every = fold(filter(None, map(_place, group)))
    if len(every) <= _MOST:
        return [words.clean(one) for one in every]
    counted: dict[str, list[str]] = {}
    for one in group:
        counted.setdefault(_around(_said(one, _ADDRESS) or ""), []).append(_place(one))
    return [
        words.clean(f"{where} ({len(found):,})" if len(found) > 1 else found[0]) for where, found in counted.items()
    ]


def _place(change: AccessChange) -> str:
    system = _said(change, _SYSTEM)
    return (_said(change, _ADDRESS) or "") + (f" system {system}" if system else "")


def _driver(change: AccessChange) -> str:
    return _said(change, _DRIVER) or ""


def _credential(change: AccessChange) -> str:
    said = _said(change, _CREDENTIAL)
    return f"credential {said}" if said else ""


def _trust(change: AccessChange, *, full: bool) -> str:
    pin = _said(change, _PIN)
    if pin is None:
        return _kind_of_trust(change)
    return f"pinned to {pin}" if full or len(pin) <= _SHOWN else f"pinned to {pin[:_SHOWN]}..."


def _kind_of_trust(change: AccessChange) -> str:
    found = ((_said(change, end), said) for end, said in _TRUST.items())
    return ", ".join(said.format(value) for value, said in found if value is not None)


def _others(change: AccessChange) -> str:
    """What a kind says of its access by paths that have no words here, path by path."""
    return ", ".join(f"{path} {value}" for path, value in change.after.items() if not path.endswith(_KNOWN))


def _said(change: AccessChange, end: str) -> str | None:
    """The value of the path that ends so."""
    for path, value in change.after.items():
        if path.endswith(end):
            return value
    return None


def _around(address: str) -> str:
    """The network of a number, or the domain of a name, with scheme and port where they are given."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname or "", f":{parts.port}" if parts.port else ""
    except ValueError:
        return address
    scheme = f"{parts.scheme}://" if parts.scheme else ""
    try:
        number = ip_address(host)
    except ValueError:
        _, dot, domain = host.partition(".")
        return f"{scheme}*.{domain}{port}" if dot else address
    length = 24 if isinstance(number, IPv4Address) else 64
    return f"{scheme}{ip_network((number, length), strict=False)}{port}"


def is_first_sight(access: Iterable[AccessChange], total: int) -> bool:
    """Whether each machine of the fleet is new, so that nothing can be known to have moved."""
    found = list(access)
    return 0 < total <= len(found) and all(one.is_new for one in found)


def lines_of(group: list[AccessChange]) -> Iterator[str]:
    """The differences of machines that are known, `path: before -> after`."""
    for path, was, to in group[0].differences:
        yield f"{path}: {words.value_words(was)} -> {words.value_words(to)}"
