"""Quotas: how many machines, addresses and networks a project, and all projects of a tenant together, may have. Pure.

What a project has stays its own whatever its quota becomes. What is new goes in order of key, as far as there is room;
whichever limit is reached first counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from reconciler.kinds.image import stands_at
from reconciler.kinds.living import is_held
from reconciler.model.action import Bind
from reconciler.model.facts import NO_FACTS, Facts
from reconciler.model.observation import ObservedState
from reconciler.model.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, Resource, ResourceKey

COUNTED = {"Machine": "machines", "IPAddress": "addresses", "Network": "networks"}
"""The kinds that are counted, and the field of Quotas for each."""

_ONE = {"machines": "machine", "addresses": "address", "networks": "network"}

NAMED = 3
"""How many of those that take up a quota are named."""


class Limit(msgspec.Struct, frozen=True):
    """At most `most` of what `field` counts. `whose`: `project shop`; `said`: where; `way_out`: the edit that raises
    it."""

    most: int
    field: str
    whose: str
    said: str
    way_out: str


class Group(msgspec.Struct, frozen=True):
    """All of one kind that the projects of one tenant are declared to have, by project, each in order of name."""

    kind: str
    members: Mapping[str, tuple[ResourceKey, ...]]
    limits: Mapping[str, Limit]
    """By project, where it has one."""
    tenant: Limit | None

    @property
    def crowded(self) -> bool:
        """Whether more is declared than may be."""
        total = sum(map(len, self.members.values()))
        if self.tenant is not None and total > self.tenant.most:
            return True
        return any(len(self.members[name]) > limit.most for name, limit in self.limits.items())


class Account(msgspec.Struct, frozen=True):
    """What of a limit is taken up: by what is established, or was let in before."""

    limit: Limit
    users: list[ResourceKey]

    @property
    def full(self) -> bool:
        """Whether nothing more may come."""
        return len(self.users) >= self.limit.most

    @property
    def said(self) -> str:
        """How much it has and may have, and where that stands."""
        limit = self.limit
        what = _ONE[limit.field] if len(self.users) == 1 else limit.field
        return f"{limit.whose} has {len(self.users)} {what} and may have {limit.most} ({limit.said})"


def over_quota(desired: DesiredState, observed: ObservedState, facts: Facts) -> Mapping[ResourceKey, Hold]:
    """A hold for each machine, address and network that is new and beyond a limit.

    While no more is declared than may be, which is the usual case and is worked out once a desired state, this costs
    nothing; otherwise it costs a pass over what the tenant in question has of that kind.
    """
    return {
        key: hold
        for group in desired.derived("crowded groups", _crowded)
        for key, hold in _beyond(group, observed, facts)
    }


def exceeded(desired: DesiredState, observed: ObservedState, facts: Facts) -> Iterator[Account]:
    """The limits of which more is taken up already than they allow: they were lowered."""
    for group in desired.derived("crowded groups", _crowded):
        tenant, projects, _ = _accounts(group, observed, facts)
        yield from (
            one for one in (*projects.values(), *([tenant] if tenant else ())) if len(one.users) > one.limit.most
        )


def _beyond(group: Group, observed: ObservedState, facts: Facts) -> Iterator[tuple[ResourceKey, Hold]]:
    tenant, projects, new = _accounts(group, observed, facts)
    for key, project in new:
        accounts = [account for account in (projects.get(project), tenant) if account is not None]
        full = next((account for account in accounts if account.full), None)
        if full is not None:
            yield key, _hold(full, key)
        else:
            for account in accounts:
                account.users.append(key)


def _accounts(
    group: Group, observed: ObservedState, facts: Facts
) -> tuple[Account | None, dict[str, Account], list[tuple[ResourceKey, str]]]:
    """The accounts of tenant and projects with what is established in them, and what is new, in order of key."""
    tenant = Account(group.tenant, []) if group.tenant is not None else None
    projects = {name: Account(limit, []) for name, limit in group.limits.items()}
    new: list[tuple[ResourceKey, str]] = []
    for project, keys in group.members.items():
        for key in keys:
            if not _established(key, observed, facts):
                new.append((key, project))
                continue
            for account in (projects.get(project), tenant):
                if account is not None:
                    account.users.append(key)
    return tenant, projects, sorted(new)


def _established(key: ResourceKey, observed: ObservedState, facts: Facts) -> bool:
    """Whether it is there, or may be: a machine that is bound; what the IPAM holds; what is under way; and what could
    not be looked at, so that nothing new takes its place."""
    if key.kind == "Machine":
        return facts.resources.get(key, NO_FACTS).project is not None
    seen = observed.get(key)
    return key in facts.in_flight or seen is None or seen.error is not None or is_held(seen.value)


def _hold(account: Account, key: ResourceKey) -> Hold:
    limit, users = account.limit, sorted(account.users)
    said = ", ".join(user.name for user in users[:NAMED])
    more = f" and {len(users) - NAMED} more" if len(users) > NAMED else ""
    reason = account.said
    return Hold(
        HoldKind.GUARD,
        "quota",
        f"{reason}: {said}{more}" if users else reason,
        limit.way_out,
        Bind.path if key.kind == "Machine" else None,
    )


# -- what is declared --------------------------------------------------------------------------------------------------


def _crowded(desired: DesiredState) -> list[Group]:
    return [group for group in _groups(desired) if group.crowded]


def _groups(desired: DesiredState) -> Iterator[Group]:
    for kind, field in COUNTED.items():
        tenants: dict[str, dict[str, list[ResourceKey]]] = {}
        for resource in desired.of_kind(kind):
            name = project_of(resource, desired)
            project = desired.resources.get(ResourceKey("Project", name)) if name is not None else None
            if project is not None:
                members = tenants.setdefault(project.spec.tenant, {})
                members.setdefault(project.key.name, []).append(resource.key)
        for tenant, projects in tenants.items():
            limits = {name: limit for name in projects if (limit := _project_limit(name, field, desired)) is not None}
            found = {name: tuple(keys) for name, keys in projects.items()}
            yield Group(kind, found, limits, _tenant_limit(tenant, field, desired))


def project_of(resource: Resource[Any], desired: DesiredState) -> str | None:
    """Whose it is: as it says, or an address as its network says."""
    project: str | None = resource.spec.project
    if project is None and resource.key.kind == "IPAddress":
        network = desired.resources.get(ResourceKey("Network", resource.spec.network))
        project = network.spec.project if network is not None else None
    return project


def _project_limit(name: str, field: str, desired: DesiredState) -> Limit | None:
    project = desired.resources[ResourceKey("Project", name)]
    tenant = desired.resources.get(ResourceKey("Tenant", project.spec.tenant))
    own = getattr(project.spec.quotas, field, None)
    if own is not None:
        return _limit(project, f"spec.quotas.{field}", own, field, f"project {name}")
    most = getattr(tenant.spec.project_quotas, field, None) if tenant is not None else None
    if most is None or tenant is None:
        return None
    found = _limit(tenant, f"spec.projectQuotas.{field}", most, field, f"project {name}")
    return msgspec.structs.replace(found, way_out=f"{found.way_out}, or give {project.key} its own spec.quotas.{field}")


def _tenant_limit(name: str, field: str, desired: DesiredState) -> Limit | None:
    tenant = desired.resources.get(ResourceKey("Tenant", name))
    most = getattr(tenant.spec.quotas, field, None) if tenant is not None else None
    return (
        _limit(tenant, f"spec.quotas.{field}", most, field, f"tenant {name}")
        if tenant is not None and most is not None
        else None
    )


def _limit(resource: Resource[Any], path: str, most: int, field: str, whose: str) -> Limit:
    where = stands_at(resource)
    return Limit(most, field, whose, f"{path}, {where}", f"raise {path} of {resource.key} ({where}), or remove some")
