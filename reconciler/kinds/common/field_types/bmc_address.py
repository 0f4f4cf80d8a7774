"""What is wrong with the text of a BMC's address, before a connection is made, and which texts are one address.
Pure."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from functools import lru_cache

_URL = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_HOST = re.compile(r"^(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^\[\]:/?#]*))(?::(?P<port>[^/?#]*))?(?P<rest>[/?#].*)?$")
_PLAIN = re.compile(r"(?:https?://)?(?P<host>[a-z0-9-]+(?:\.[a-z0-9-]+)+)(?::(?P<port>[1-9][0-9]{0,3}))?/?")
"""Dots, digits and lower case in ASCII, as nearly every address is written; a number without dots is not among them."""
_NUMBERS = re.compile(r"^[0-9.]*\.[0-9.]*$")
_ONE_NUMBER = re.compile(r"^(?:0[xX][0-9A-Fa-f]+|[0-9]+)$")
_SCHEMES = ("http", "https")
_STANDARD_PORTS = (None, 80, 443)
"""Without a port it is one of these two, which one host has for one BMC."""
_MOST_PORT = 65535
_PORT = re.compile(r"[0-9]{1,9}")
IN_BRACKETS = "write an IPv6 address in brackets, such as [2001:db8::12]"


def address_fault(address: str) -> tuple[str, str] | None:
    """What is wrong and how to mend it; None for a host, host:port or https URL. No name is resolved."""
    url = _URL.match(address)
    if url and url["scheme"].lower() not in _SCHEMES:
        return (
            f"{url['scheme']}:// is not allowed in the address of a BMC",
            "write https://HOST or the host alone; bmc.driver chooses the protocol",
        )
    text = address[url.end() :] if url else address
    if _is_number(text.partition("%")[0], ipaddress.IPv6Address):
        return (f"the IPv6 address {text} has no brackets", IN_BRACKETS)
    parts = _HOST.match(text)
    if parts is None:
        return (
            "the text is neither a host nor host:port",
            IN_BRACKETS if ":" in text else "write host, host:port or https://host",
        )
    return _host_fault(parts["v6"], parts["host"] or "") or _port_fault(parts["port"]) or _rest_fault(parts["rest"])


# A reconcile asks for the address of its own BMC several times.
@lru_cache(2**16)
def canonical_address(address: str) -> str:
    """The one form of all spellings of an address: `bmc1`, `10.1.0.3:8443`, `[2001:db8::12]`.

    The scheme, the standard ports, the case, a dot or a slash at the end, and a login make no difference. An IPv6
    address has several forms, and so has its zone. It can stand for an IPv4 address, and a name can be in Punycode. No
    name is resolved. A text that is no address is returned in lower case.
    """
    plain = _PLAIN.fullmatch(address)
    if plain is not None:
        # A whole fleet is gone through in every plan, and the general form takes ten times as long.
        host, port = plain["host"], plain["port"]
        return host if port is None or int(port) in _STANDARD_PORTS else f"{host}:{port}"
    return _canonical_of_any(address)


def _canonical_of_any(address: str) -> str:
    text = address.strip().lower()
    url = _URL.match(text)
    text = re.split(r"[/?#]", text[url.end() :] if url else text, maxsplit=1)[0].rpartition("@")[2]
    if _is_number(text.partition("%")[0], ipaddress.IPv6Address):
        text = f"[{text}]"
    parts = _HOST.match(text)
    if parts is None or _port_fault(parts["port"]):
        return text
    host = _canonical_v6(parts["v6"]) if parts["v6"] is not None else _canonical_host(parts["host"])
    port = int(parts["port"]) if parts["port"] else None
    return host if port in _STANDARD_PORTS else f"{host}:{port}"


def can_be_one_host(one: str, other: str) -> bool:
    """Whether two different addresses can lead to one BMC. Their ports are equal, and at least one address is a name,
    or they are of two families. Two numbers of one family are two hosts. Two ports of one host lead to two BMCs:
    through a port-forwarding gateway, or simulated ones."""
    (host, port), (other_host, other_port) = map(_host_and_port, (canonical_address(one), canonical_address(other)))
    families = _family(host), _family(other_host)
    return port == other_port and (None in families or families[0] is not families[1])


def _host_and_port(canonical: str) -> tuple[str, str]:
    host, colon, port = canonical.rpartition(":")
    return (host, port) if colon and not canonical.endswith("]") else (canonical, "")


def _family(host: str) -> type[ipaddress.IPv4Address | ipaddress.IPv6Address] | None:
    """None: a name."""
    if host.startswith("["):
        return ipaddress.IPv6Address
    return ipaddress.IPv4Address if _is_number(host, ipaddress.IPv4Address) else None


def _canonical_v6(text: str) -> str:
    number, _, zone = text.replace("%25", "%", 1).partition("%")
    if not _is_number(number, ipaddress.IPv6Address):
        return f"[{text}]"
    found = ipaddress.IPv6Address(number)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return f"[{found}%{zone}]" if zone else f"[{found}]"


def _canonical_host(host: str) -> str:
    """Resolvers read a single number as an IPv4 address: `0x0a010003`."""
    name = unicodedata.normalize("NFKC", host).rstrip(".")
    if _ONE_NUMBER.match(name) and (number := int(name, 0 if name.startswith("0x") else 10)) < 2**32:
        return str(ipaddress.IPv4Address(number))
    try:
        return name.encode("idna").decode() if not name.isascii() else name
    except UnicodeError:
        return name


def _host_fault(v6: str | None, host: str) -> tuple[str, str] | None:
    if v6 is not None:
        number, _, zone = v6.replace("%25", "%", 1).partition("%")
        if not _is_number(number, ipaddress.IPv6Address) or ("%" in v6 and not zone):
            return (f"[{v6}] is not an IPv6 address", "correct the address; only IPv6 addresses have brackets")
        return None
    if not host:
        return ("the text has no host", "write host, host:port or https://host")
    if _NUMBERS.match(host) and not _is_number(host, ipaddress.IPv4Address):
        return (f"{host} is not an IPv4 address", "write four numbers from 0 to 255, without leading zeros")
    return None


def _port_fault(port: str | None) -> tuple[str, str] | None:
    if port is None or (_PORT.fullmatch(port) and 0 < int(port) <= _MOST_PORT):
        return None
    return (f"{port or 'nothing'} is not a port", f"write a port from 1 to {_MOST_PORT}, or leave the port out")


def _rest_fault(rest: str | None) -> tuple[str, str] | None:
    if rest is None or rest == "/":
        return None
    return (
        f"{rest} follows the host",
        "remove the path; groundstate finds the path itself. If the BMC has several systems, name one in bmc.systemId",
    )


def _is_number(text: str, kind: type[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
