"""By which way a switch is reached, in words: where its secret goes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from drivers.base import Tls
from reconciler.kinds.common.access.access_rules import Access, AccessRules
from reconciler.kinds.switch.spec import SwitchSpec
from reconciler.model.plans.plan import digest
from reconciler.model.resource import DesiredState, ResourceKey
from reconciler.model.values.redact import redacted


def access_to_switch(spec: SwitchSpec, _desired: DesiredState) -> Access:
    """Its driver and address, as code asks for them that knows no switches."""
    return Access(spec.driver, spec.address, None, Tls(), spec.credential_ref)


def access_by_switch(desired: DesiredState) -> Mapping[ResourceKey, dict[str, str]]:
    """The way to each switch, by the path of the field."""
    return desired.derived("access to switches", _by_switch)


def _by_switch(desired: DesiredState) -> dict[ResourceKey, dict[str, str]]:
    return {switch.key: _words(switch.spec) for switch in desired.of_kind("Switch")}


def _words(spec: SwitchSpec) -> dict[str, str]:
    said = {
        "spec.driver": spec.driver,
        "spec.address": redacted(spec.address),
        "spec.hostKey": spec.host_key,
        "spec.credentialRef": _credential(msgspec.to_builtins(spec.credential_ref)),
    }
    return {path: word for path, word in said.items() if word}


def _credential(reference: Any) -> str | None:
    """`name leaf`; of a command its first word alone, because its arguments may hold what must be kept secret."""
    if not isinstance(reference, dict):
        return None
    return ", ".join(f"{name} {_word(value)}" for name, value in sorted(reference.items()) if value is not None) or None


def _word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"{value[0] if value else ''} with arguments {digest(value[1:])}"
    return str(value)


SWITCH_ACCESS = AccessRules(access_of=access_to_switch, words=access_by_switch, options=lambda _resources: ())
