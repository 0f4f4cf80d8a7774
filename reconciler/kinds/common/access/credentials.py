"""Who may have which login: the decision, from the settings of the operator, never from a document."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec

from drivers.base import Peer
from reconciler.kinds.common.field_types.bmc_access import CREDENTIAL_NAME, CredentialRef
from reconciler.model.values.address_range import address_range, is_within

WHERE = "~/.config/groundstate/config.toml, or the file that --config names"
"""Where people may write what a document may not say."""


class CredentialScope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a login may go: `networks` (prefixes and ranges), the drivers, and `insecure` for plain http and unchecked
    certificates (within the networks)."""

    networks: tuple[str, ...]
    drivers: tuple[str, ...] = ("redfish",)
    insecure: bool = False


class Named(CredentialScope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A credential of the settings; exactly one of env, file and exec says where it comes from."""

    env: str | None = None
    file: str | None = None
    exec: tuple[str, ...] | None = None


class FromDocuments(CredentialScope, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What documents may name by themselves, as patterns with `*`: variables, absolute paths, whole command lines."""

    env: tuple[str, ...] = ()
    file: tuple[str, ...] = ()
    exec: tuple[str, ...] = ()


class Grants(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that documents may use of the host. `ca_files`: patterns of absolute paths beside the base's own.

    `bmc_networks`: where BMCs are reached, as prefixes and ranges, beside the networks that logins may go to.
    `console_lines`: where the console driver tcp may connect to. These are prefixes, ranges, and `unix:` with a pattern
    of absolute paths.
    """

    credentials: dict[str, Named] = {}
    document_credentials: FromDocuments | None = None
    ca_files: tuple[str, ...] = ()
    bmc_networks: tuple[str, ...] | None = None
    console_lines: tuple[str, ...] = ()


NO_GRANTS = Grants()


def grants_from(values: Mapping[str, Any]) -> Grants:
    """Read the settings' part of it. Raises ValueError with everything that is wrong, a line each."""
    try:
        found = msgspec.convert(values, Grants)
    except msgspec.ValidationError as error:
        raise ValueError(str(error).replace("Object", "It").replace("`$.", "`")) from None
    if wrong := [*_wrong_names(found), *_wrong_scopes(found)]:
        raise ValueError("\n".join(wrong))
    return found


_INTERPRETERS = re.compile(
    r"^(\S*/)?(sh|bash|dash|zsh|ksh|env|sudo|su|xargs|ssh|curl|wget|cat|perl|ruby|node|python\S*)( |$)"
)
"""Commands whose arguments are what matters."""


def too_broad(grants: Grants) -> list[str]:
    """Patterns in the settings that are broader than intended: a sentence each, for the author of the settings."""
    allowed, reported = grants.document_credentials, []
    scopes: dict[str, CredentialScope] = {f"credentials.{name}": one for name, one in grants.credentials.items()}
    if allowed is not None:
        scopes["document_credentials"] = allowed
        where = "document_credentials"
        reported += [
            _broad(f"{where}.exec", one, "run any command on this host") for one in allowed.exec if _any_command(one)
        ]
        reported += [
            _broad(f"{where}.file", one, ("send any file of this host to a BMC"))
            for one in allowed.file
            if _any_path(one)
        ]
        reported += [
            _broad(f"{where}.env", one, ("send any environment variable to a BMC"))
            for one in allowed.env
            if len(_before_star(one)) < 2
        ]
    reported += [
        _broad("ca_files", one, ("find out which files exist on this host"))
        for one in grants.ca_files
        if _any_path(one)
    ]
    for name, scope in scopes.items():
        reported += [
            _broad(f"{name}.networks", one, "send the login to nearly any host")
            for one in scope.networks
            if _any_network(one)
        ]
    reached = [one for one in grants.bmc_networks or () if _any_network(one)]
    return reported + [_broad("bmc_networks", one, "contact nearly any host") for one in reached]


def _any_network(network: str) -> bool:
    return address_range(network).size > (1 << 24 if ":" not in network else 1 << 112)


def _broad(where: str, pattern: str, harm: str) -> str:
    return (
        f"{where} has {_toml(pattern)}. With this pattern, a document can {harm}, even a document of a pull "
        "request that is planned here; write a narrower pattern"
    )


def _before_star(pattern: str) -> str:
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


def _any_command(pattern: str) -> bool:
    """Whether the command itself is open, or the arguments of one that runs them."""
    fixed = _before_star(pattern)
    return fixed != pattern and (" " not in fixed or _INTERPRETERS.match(fixed) is not None)


def _any_path(pattern: str) -> bool:
    """Whether it is open below fewer than two folders: `/etc/*` is, `/etc/groundstate/*` is not."""
    fixed = _before_star(pattern)
    return fixed != pattern and fixed.count("/") < 3


def _wrong_names(grants: Grants) -> list[str]:
    wrong = []
    for name, one in grants.credentials.items():
        if not re.match(CREDENTIAL_NAME, name):
            wrong.append(f"credentials.{name}: the name may have only letters, digits, - and _")
        given = [kind for kind in ("env", "file", "exec") if getattr(one, kind)]
        if len(given) != 1:
            wrong.append(
                f"credentials.{name} has {' and '.join(given) or 'none of env, file and exec'}; give exactly one of "
                "the three"
            )
    return wrong


def _wrong_scopes(grants: Grants) -> list[str]:
    scopes: dict[str, CredentialScope] = {f"credentials.{name}": one for name, one in grants.credentials.items()}
    if grants.document_credentials is not None:
        scopes["document_credentials"] = grants.document_credentials
    wrong = [
        f'{name}.networks is empty; write the networks to which the login may be sent, such as ["10.1.0.0/24"]'
        for name, one in scopes.items()
        if not one.networks
    ]
    networks = {f"{name}.networks": one.networks for name, one in scopes.items()}
    for name, texts in {**networks, "bmc_networks": grants.bmc_networks or ()}.items():
        for text in texts:
            try:
                address_range(text)
            except ValueError as error:
                wrong.append(f"{name}: {text!r}: {error}; write a prefix, or a range first-last")
    return wrong


# -- the decision ------------------------------------------------------------------------------------------------------


class LoginDestination(msgspec.Struct, frozen=True):
    """For whom a login is asked: the driver, the BMC's address as the document has it, and who is really connected."""

    driver: str
    address: str
    peer: Peer


def credential_refusal(grants: Grants, reference: CredentialRef, destination: LoginDestination) -> str | None:
    """Why the login may not be resolved and sent, and how to allow it; None: it may."""
    scope, label = _scope(grants, reference)
    if scope is None:
        return _unknown(grants, reference, destination)
    if destination.driver not in scope.drivers:
        drivers = _toml([*scope.drivers, destination.driver])
        return (
            f"the settings do not allow {label} for the driver {destination.driver}; nothing was sent. To allow it, "
            f"write drivers = {drivers} in {WHERE}"
        )
    return _out_of_bounds(scope, label, destination)


def foreseen_refusal(
    grants: Grants, reference: CredentialRef, driver: str, address: str, leads_to: Sequence[str], *, insecure: bool
) -> str | None:
    """What will be refused at each of the numbers that an address `leads_to`: nothing need reach them for that. Where
    one of them may have the login, or none is known, the peer of the open connection decides."""
    verified = not insecure and not address.lower().startswith("http://")
    said = [
        credential_refusal(grants, reference, LoginDestination(driver, address, Peer(number, verified)))
        for number in leads_to
    ]
    return said[0] if said and None not in said else None


def host_of(address: str) -> str:
    """The host in an address of a document, a name or a number; empty where it makes no sense."""
    try:
        return urlsplit(address if "://" in address else f"https://{address}").hostname or ""
    except ValueError:
        return ""


def number_of(host: str) -> str | None:
    """The host as the number that it is; None for a name, and for what only some resolvers take for a number."""
    try:
        return str(bare_address(host))
    except ValueError:
        return None


def source(grants: Grants, reference: CredentialRef) -> dict[str, Any]:
    """Where the login comes from, `{"env": ...}` or another; to be asked after `refusal` alone."""
    found: Any = grants.credentials[reference.name] if reference.name is not None else reference
    return {kind: value for kind in ("env", "file", "exec") if (value := getattr(found, kind)) is not None}


def _scope(grants: Grants, reference: CredentialRef) -> tuple[CredentialScope | None, str]:
    if reference.name is not None:
        return grants.credentials.get(reference.name), f"the credential {reference.name}"
    allowed = grants.document_credentials
    return (allowed if allowed and _may_name(allowed, reference) else None), "a credential that a document names itself"


def _may_name(allowed: FromDocuments, reference: CredentialRef) -> bool:
    if reference.env is not None:
        return any(fnmatchcase(reference.env, pattern) for pattern in allowed.env)
    if reference.file is not None:
        return matches(reference.file, allowed.file)
    return any(fnmatchcase(shlex.join(reference.exec or ()), pattern) for pattern in allowed.exec)


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    """Whether an absolute path is one of these; `..` in it leads nowhere."""
    return any(fnmatchcase(posixpath.normpath(path), pattern) for pattern in patterns)


def _out_of_bounds(scope: CredentialScope, label: str, destination: LoginDestination) -> str | None:
    if destination.peer.address is None:
        return None
    at = bare_address(destination.peer.address)
    if not is_within(at, scope.networks):
        networks = _toml([*scope.networks, single_address_network(at)])
        where = str(at) if str(at) in destination.address else f"{at}, the address of {destination.address}"
        return (
            f"the settings allow {label} only for {', '.join(scope.networks)}, not for {where}; nothing was "
            f"sent. If the address is right, write networks = {networks} in {WHERE}"
        )
    if not destination.peer.verified and not scope.insecure:
        return (
            f"{label} is not sent over plain http, nor with tls.insecure, which does not check the certificate. "
            f"Use https with tls.fingerprint or tls.caFile, or write insecure = true in {WHERE}"
        )
    return None


def _unknown(grants: Grants, reference: CredentialRef, destination: LoginDestination) -> str:
    network = destination.peer.address and single_address_network(bare_address(destination.peer.address))
    name, origin = _suggested(reference)
    drivers = "" if destination.driver == "redfish" else f", drivers = {_toml([destination.driver])}"
    line = f"credentials.{name} = {{{origin}, networks = {_toml([network or '127.0.0.0/8'])}{drivers}}}"
    if reference.name is not None:
        known = f" (the settings have {', '.join(sorted(grants.credentials))})" if grants.credentials else ""
        return f"the settings have no credential {name}{known}; nothing was sent. Write in {WHERE}: {line}"
    return (
        f"the document names a source of credentials ({origin.partition(' ')[0]}), which the settings do "
        f"not allow; nothing was sent. Give the credential a name. In {WHERE}: {line}; "
        f"and in the document: credentialRef: {{name: {name}}}"
    )


def _suggested(reference: CredentialRef) -> tuple[str, str]:
    """A command's arguments are not repeated: they may hold what is to be kept secret."""
    if reference.name is not None:
        return reference.name, 'env = "BMC"'
    if reference.env is not None:
        return reference.env.lower(), f"env = {_toml(reference.env)}"
    return "bmc", f"file = {_toml(reference.file)}" if reference.file is not None else 'exec = ["..."]'


def _toml(value: Any) -> str:
    """Strings and lists of them are written in TOML as in JSON."""
    return json.dumps(value)


@lru_cache(2**14)
def bare_address(address: str) -> IPv4Address | IPv6Address:
    """The address in the form in which it is compared: an IPv4-mapped address as IPv4, and without the zone."""
    found = ip_address(address.partition("%")[0])
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def single_address_network(address: IPv4Address | IPv6Address) -> str:
    """The network of this address alone, in CIDR form."""
    return f"{address}/{address.max_prefixlen}"
