"""Which resources a person means."""

from __future__ import annotations

import pytest

from reconciler.kinds.common.field_types.label_selector import Unmatched
from reconciler.kinds.selectors import select
from reconciler.model.resource import ResourceKey
from tests.unit.planning_worlds import desired, machine

DECLARED = desired(*(machine(name) for name in ("r12-01", "r12-02", "web")))
NETWORK, ADDRESS = ResourceKey("Network", "net"), ResourceKey("IPAddress", "web")
OTHERS = (NETWORK, ADDRESS)


def names(*targets: str) -> list[str]:
    return sorted(str(key) for key in select(targets, "", DECLARED, OTHERS))


EVERYTHING = ["IPAddress/web", "Machine/r12-01", "Machine/r12-02", "Machine/web", "Network/net"]


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        ("", EVERYTHING),
        ("all", EVERYTHING),
        ("machine/web all", EVERYTHING),
        ("machine r12-01", ["Machine/r12-01"]),
        ("machines r12-01 r12-02", ["Machine/r12-01", "Machine/r12-02"]),
        ("machine r12-*", ["Machine/r12-01", "Machine/r12-02"]),
        ("machine r12-01 network", ["Machine/r12-01", "Network/net"]),
        ("machine r12-01 network net", ["Machine/r12-01", "Network/net"]),
        ("network machine r12-01", ["Machine/r12-01", "Network/net"]),
        ("machine r12-01 ip/web", ["IPAddress/web", "Machine/r12-01"]),
        ("machine,ip web", ["IPAddress/web", "Machine/web"]),
        ("machine/web,ip/web", ["IPAddress/web", "Machine/web"]),
        ("network/net,machine/web,r12-01", ["Machine/r12-01", "Machine/web", "Network/net"]),
        ("machine,network", ["Machine/r12-01", "Machine/r12-02", "Machine/web", "Network/net"]),
        ("sizes", []),
    ],
)
def test_kinds_and_names(targets: str, found: list[str]) -> None:
    assert names(*targets.split()) == found


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ("r12-01", "'r12-01' is not a kind; did you mean machine/r12-01?"),
        ("web", "did you mean ipaddress/web or machine/web?"),
        ("machins", "did you mean machines?"),
        ("xyzzy", "kinds are tenants, "),
        ("machine/web r12-01", "did you mean machine/r12-01?"),
        ("all r12-01", "did you mean machine/r12-01?"),
        ("machine r12-03", "no Machine is named 'r12-03'; did you mean r12-0"),
        ("machine netwrks", "no Machine is named 'netwrks'; did you mean networks?"),
        ("machine xyzzy", "list them with `groundstate get machines`"),
        ("all/web", "'all' is not a kind"),
    ],
)
def test_what_there_is_not_is_answered_with_what_there_is(targets: str, said: str) -> None:
    with pytest.raises(Unmatched) as refused:
        names(*targets.split())
    assert said in str(refused.value)
