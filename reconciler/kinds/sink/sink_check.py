"""What one EventSink must keep to beyond its schema. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from reconciler.kinds.common.field_types.bmc_access import CredentialRef
from reconciler.kinds.common.field_types.label_selector import Unmatched, parse_selector
from reconciler.kinds.common.kind import RuleFinding
from reconciler.kinds.sink.spec import EventSinkSpec, NatsSpec, WebhookSpec
from reconciler.model.event import EventReason
from reconciler.model.resource import Resource

_PLAIN = ("http", "nats")
_USERINFO = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@")
SOURCES = ("name", "env", "file", "exec")


def check_sink(resource: Resource[EventSinkSpec]) -> list[RuleFinding]:
    """Everything that is wrong with the sink alone."""
    spec = resource.spec
    found: list[RuleFinding] = []
    given = [name for name in ("webhook", "nats") if getattr(spec, name) is not None]
    if len(given) != 1:
        what = (
            f"an EventSink must have exactly one of webhook and nats, but this one has {' and '.join(given) or 'none'}"
        )
        hint = "keep one of them; each receiver has a document of its own" if given else "add one of them"
        found.append(RuleFinding("sink-target", "spec", what, hint))
    for name in given:
        found.extend(_target(getattr(spec, name), f"spec.{name}"))
    found.extend(_unknown_reasons(spec))
    try:
        parse_selector(spec.send.selector)
    except Unmatched as error:
        hint = "write key=value, key in (a,b), key or !key, joined by commas"
        found.append(RuleFinding("malformed-selector", "spec.send.selector", str(error), hint))
    return found


def _unknown_reasons(spec: EventSinkSpec) -> Iterator[RuleFinding]:
    for index, reason in enumerate(spec.send.reasons):
        if reason in (EventReason.UNKNOWN, EventReason.TEST):
            what, hint = f"no event in the ledger can be selected by the reason {reason}", "remove the reason"
            yield RuleFinding("sink-reason", f"spec.send.reasons.{index}", what, hint)


def _target(target: WebhookSpec | NatsSpec, path: str) -> Iterator[RuleFinding]:
    yield from _url(target.url, path, insecure=target.tls.insecure)
    if target.tls.ca_file and target.tls.insecure:
        yield RuleFinding("tls-trust", f"{path}.tls", "tls has caFile and insecure", "keep one of them")
    for name, field in (
        ("secret_ref", "secretRef"),
        ("previous_secret_ref", "previousSecretRef"),
        ("credential_ref", "credentialRef"),
    ):
        reference: CredentialRef | None = getattr(target, name, None)
        if reference is None:
            continue
        sources = [source for source in SOURCES if getattr(reference, source) is not None]
        if len(sources) != 1:
            said = " and ".join(sources) or "none of name, env, file and exec"
            hint = "give exactly one of name, env, file and exec"
            yield RuleFinding("credential-ref", f"{path}.{field}", f"{field} has {said}", hint)


def _url(url: str, path: str, *, insecure: bool) -> Iterator[RuleFinding]:
    where = f"{path}.url"
    if _USERINFO.match(url):  # The text is not shown, because it may hold a password.
        hint = "remove the user and the password; name the credentials in credentialRef or secretRef"
        yield RuleFinding("credentials-in-url", where, f"{where} holds a user or a password", hint)
        return
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        yield RuleFinding("sink-url", where, f"{where} cannot be used: {error}", "correct the host and the port")
        return
    if not host:
        yield RuleFinding("sink-url", where, f"{where} names no host", "write the host after //")
    elif parts.scheme in _PLAIN and not insecure and not is_loopback(host):
        safe = "https" if parts.scheme == "http" else "tls"
        what = f"{where} has no TLS, so anyone on the way can read and change events"
        hint = f"write {safe}://; only for a receiver without TLS, write tls: {{insecure: true}}"
        yield RuleFinding("sink-url", where, what, hint)


def is_loopback(host: str) -> bool:
    """Whether the host is this one, by its number or by the name `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
