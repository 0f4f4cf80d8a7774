"""Rules by which simulated BMCs misbehave: which requests a rule matches, and what it does to the answer. Pure.

The same struct is read from a file of rules and from the API of `groundstate bmc-sim`."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from enum import StrEnum
from fnmatch import translate
from functools import lru_cache
from re import Pattern
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from drivers.bmc.simulator.bmc_messages import RedfishRequest


class FaultEffect(StrEnum):
    """What a rule does."""

    STATUS = "status"
    LATENCY = "latency"
    DROP = "drop"
    RESET = "reset"
    TRUNCATE = "truncate"
    MERGE = "merge"
    REPLACE = "replace"
    LIE_POWER = "lie-power"
    EXPIRE_SESSION = "expire-session"
    LOCK_ACCOUNT = "lock-account"
    REBOOT_BMC = "reboot-bmc"


RulePattern = Annotated[str, Meta(min_length=1, max_length=500)]


class RequestMatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The requests that a rule matches. `*` in a text stands for any characters. In a path it stands for any but a
    slash, and `**` stands for any."""

    machine: Annotated[RulePattern, Meta(description="The machine's name.", examples=["m00001", "m0000*"])] = "*"
    method: Annotated[str, Meta(description="The HTTP method.", pattern="^(GET|POST|PATCH|DELETE|PUT)$")] | None = None
    path: Annotated[
        RulePattern, Meta(description="The path.", examples=["/redfish/v1/Systems/*", "**/ComputerSystem.Reset"])
    ] = "**"
    body: (
        Annotated[RulePattern, Meta(description="The body of the request, as text.", examples=["*GracefulShutdown*"])]
        | None
    ) = None


class FaultRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"):
    """One rule: it has `do` or `fault`, and not both."""

    match: Annotated[RequestMatch, Meta(description="The requests that the rule matches.")] = RequestMatch()
    do: Annotated[FaultEffect, Meta(description="What happens to a matching request.")] | None = None
    fault: (
        Annotated[
            str, Meta(description="The id of a preset, in place of `do`.", examples=["F01"], pattern="^F[0-9]+[a-f]?$")
        ]
        | None
    ) = None
    status: (
        Annotated[int, Meta(description="The status of the answer, for `status` and `replace`.", ge=200, le=599)] | None
    ) = None
    message: Annotated[str, Meta(description="The message of an error, for `status`.", max_length=500)] | None = None
    message_id: Annotated[str, Meta(description="The MessageId of an error, for `status`.", max_length=200)] | None = (
        None
    )
    carries_out: Annotated[
        bool | None,
        Meta(
            description=(
                "Whether a write still has its effect. By default, it has none with `status`, `drop` and `reset`, and "
                "has it with the others."
            )
        ),
    ] = None
    seconds: (
        Annotated[
            float,
            Meta(
                description="For `latency`: seconds until the answer. For `reboot-bmc`: seconds away.", ge=0, le=86400
            ),
        ]
        | None
    ) = None
    bytes: Annotated[int, Meta(description="For `truncate`: bytes of the body that are sent.", ge=0)] | None = None
    document: Annotated[
        Any, Meta(description="For `merge`: the JSON merge patch. For `replace`: the body, as JSON or as text.")
    ] = None
    headers: Annotated[
        dict[str, str], Meta(description="Headers of the answer that are set. An empty text removes a header.")
    ] = {}
    power: Annotated[str, Meta(description="For `lie-power`: the PowerState that is shown.", max_length=100)] | None = (
        None
    )
    times: Annotated[int, Meta(description="How many requests it strikes. Without it: every one.", ge=1)] | None = None
    probability: Annotated[float, Meta(description="How likely it strikes a matching request.", gt=0, le=1)] = 1.0

    @property
    def has_effect(self) -> bool:
        """Whether a write that the rule strikes still has its effect."""
        if self.carries_out is not None:
            return self.carries_out
        return self.do not in (FaultEffect.STATUS, FaultEffect.DROP, FaultEffect.RESET)


NEEDS = {
    FaultEffect.STATUS: "status",
    FaultEffect.LATENCY: "seconds",
    FaultEffect.TRUNCATE: "bytes",
    FaultEffect.REPLACE: "document",
    FaultEffect.LIE_POWER: "power",
}
"""The field that an effect cannot do without."""


def missing_field(rule: FaultRule) -> tuple[str, str] | None:
    """What is wrong with the fields of a rule together: the field, and why; None: nothing."""
    if (rule.do is None) == (rule.fault is None):
        return "do", "a rule has either `do` or `fault`"
    needed = NEEDS.get(rule.do) if rule.do is not None else None
    if needed is not None and getattr(rule, needed) is None:
        return needed, f"a rule that does `{rule.do}` needs `{needed}`"
    if rule.do is FaultEffect.MERGE and rule.document is None and not rule.headers:
        return "document", "a rule that does `merge` needs `document` or `headers`"
    if rule.do is FaultEffect.MERGE and not isinstance(rule.document, dict | None):
        return "document", "the `document` of a `merge` is a mapping"
    return None


def strike(
    rules: Mapping[int, FaultRule], machine: str, request: RedfishRequest, seed: str
) -> tuple[Mapping[int, FaultRule], tuple[FaultRule, ...]]:
    """The rules that are left after a request, by their ids, and those that struck it, in their order. `seed`: decides
    whether a rule with a probability strikes; another one for each request."""
    struck, left = [], dict(rules)
    for number, rule in rules.items():
        if not _matches(rule.match, machine, request):
            continue
        if rule.probability < 1 and zlib.crc32(f"{seed} {number}".encode()) / 2**32 >= rule.probability:
            continue
        struck.append(rule)
        if rule.times is not None:
            left[number] = replace(rule, times=rule.times - 1)
            if rule.times == 1:
                del left[number]
    return (left if struck else rules), tuple(struck)


def _matches(match: RequestMatch, machine: str, request: RedfishRequest) -> bool:
    return (
        match.method in (None, request.method)
        and (match.machine == "*" or bool(_pattern(match.machine).match(machine)))
        and (match.path == "**" or bool(_path_pattern(match.path).match(request.place)))
        and (match.body is None or bool(_pattern(match.body).match(request.body.decode(errors="replace"))))
    )


@lru_cache(maxsize=4096)
def _pattern(glob: str) -> Pattern[str]:
    return re.compile(translate(glob))


@lru_cache(maxsize=4096)
def _path_pattern(glob: str) -> Pattern[str]:
    parts = (re.escape(part).replace(r"\*", "[^/]*") for part in glob.split("**"))
    return re.compile(f"{'.*'.join(parts)}\\Z")
