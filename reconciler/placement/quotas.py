"""Quotas: how many machines, addresses and networks a project, and all projects of a tenant together, may have. Pure.

What a project has stays its own whatever its quota becomes. What is new goes in order of key, as far as there is room;
whichever limit is reached first counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from reconciler.kinds.catalogue.image import stands_at
from reconciler.kinds.claim.spec import display_key
from reconciler.kinds.common.machine_facts import claim_of_facts, machine_facts, project_of_facts
from reconciler.kinds.ipam.allocation.occupancy import is_held
from reconciler.model import counting
from reconciler.model.actions.record_actions import Bind
from reconciler.model.facts import Facts, grouped
from reconciler.model.observation import ObservedState
from reconciler.model.plans.plan import Hold, HoldKind
from reconciler.model.resource import DesiredState, Resource, ResourceKey

_COUNTED = {"Machine": "machines", "IPAddress": "addresses", "Network": "networks"}
"""The kinds that are counted, and the field of Quotas for each."""

_ONE = {"machines": "machine", "addresses": "address", "networks": "network"}

_NAMED = 3
"""How many of those that take up a quota are named."""


class _QuotaLimit(msgspec.Struct, frozen=True):
    """At most `most` of what `field` counts. `whose`: `project shop`; `said`: where; `hint`: the edit that raises
    it."""

    most: int
    field: str
    owner: str
    said: str
    hint: str


class _TenantGroup(msgspec.Struct, frozen=True):
    """All of one kind that the projects of one tenant are declared to have, by project, each in order of name.

    `crowded`: more is declared than may be, what claims ask for among it.
    """

    kind: str
    members: Mapping[str, tuple[ResourceKey, ...]]
    limits: Mapping[str, _QuotaLimit]
    """By project, where it has one."""
    tenant: _QuotaLimit | None
    crowded: bool


class Account(msgspec.Struct, frozen=True):
    """What of a limit is taken up: by what is established, or was let in before."""

    limit: _QuotaLimit
    users: list[ResourceKey]

    @property
    def full(self) -> bool:
        """Whether nothing more may come."""
        return len(self.users) >= self.limit.most

    @property
    def said(self) -> str:
        """How much it has and may have, and where that stands."""
        return self._said_with("")

    @property
    def said_with_names(self) -> str:
        """The same, with the names of the first users."""
        names = [display_key(user).partition("/")[2] for user in sorted(self.users)]
        return self._said_with(f" ({counting.listed_names(names, _NAMED)})" if names else "")

    def _said_with(self, names: str) -> str:
        limit = self.limit
        what = _ONE[limit.field] if len(self.users) == 1 else limit.field
        return f"{limit.owner} has {len(self.users)} {what}{names}; the limit is {limit.most} ({limit.said})"


def over_quota(desired: DesiredState, observed: ObservedState, facts: Facts) -> Mapping[ResourceKey, Hold]:
    """A hold for each machine, address and network that is new and beyond a limit.

    While no more is declared than may be, which is the usual case and is worked out once a desired state, this costs
    nothing. Otherwise it costs a pass over what the tenant in question has of that kind. Machines of claims that are on
    their way back count, whatever is declared."""
    return {
        key: hold for group in _to_judge(desired, facts) for key, hold in _let_in(group, observed, facts)[2].items()
    }


def exceeded(desired: DesiredState, observed: ObservedState, facts: Facts) -> Iterator[Account]:
    """The limits of which more is taken up already than they allow: they were lowered."""
    for group in _to_judge(desired, facts):
        tenant, projects, _ = _accounts(group, observed, facts)
        yield from (
            one for one in (*projects.values(), *([tenant] if tenant else ())) if len(one.users) > one.limit.most
        )


def machine_accounts(desired: DesiredState, observed: ObservedState, facts: Facts) -> Mapping[str, tuple[Account, ...]]:
    """The accounts that a machine of a project counts in, by project, with what is established in them. After that come
    those that wait to be bound by name."""
    found: dict[str, tuple[Account, ...]] = {}
    for group in desired.derived("limited groups", _limited):
        if group.kind == "Machine":
            tenant, projects, _ = _let_in(group, observed, facts)
            for project in group.members:
                accounts = (projects.get(project), tenant)
                found[project] = tuple(account for account in accounts if account is not None)
    return found


def quota_hold(account: Account) -> Hold:
    """The message when the quota is used up."""
    return Hold(HoldKind.GUARD, "quota", account.said_with_names, account.limit.hint)


def _let_in(
    group: _TenantGroup, observed: ObservedState, facts: Facts
) -> tuple[Account | None, dict[str, Account], dict[ResourceKey, Hold]]:
    """The accounts once what is new came in, as far as there was room, and a hold for each that found none."""
    tenant, projects, new = _accounts(group, observed, facts)
    holds = {}
    for key, project in new:
        accounts = [account for account in (projects.get(project), tenant) if account is not None]
        full = next((account for account in accounts if account.full), None)
        if full is not None:
            path = Bind.path if key.kind == "Machine" else None
            holds[key] = msgspec.structs.replace(quota_hold(full), path=path)
        else:
            for account in accounts:
                account.users.append(key)
    return tenant, projects, holds


def _accounts(
    group: _TenantGroup, observed: ObservedState, facts: Facts
) -> tuple[Account | None, dict[str, Account], list[tuple[ResourceKey, str]]]:
    """The accounts of tenant and projects with what is established in them, and what is new, in order of key."""
    tenant = Account(group.tenant, []) if group.tenant is not None else None
    projects = {name: Account(limit, []) for name, limit in group.limits.items()}
    new: list[tuple[ResourceKey, str]] = []
    claimed = _claimed(facts) if group.kind == "Machine" else {}
    for project, keys in group.members.items():
        given = claimed.get(project, ())
        there = [key for key in keys if _established(key, observed, facts)]
        new += [(key, project) for key in keys if not _established(key, observed, facts)]
        for account in (projects.get(project), tenant):
            if account is not None:
                account.users.extend(dict.fromkeys((*there, *given)))
    return tenant, projects, sorted(new)


def _claimed(facts: Facts) -> dict[str, list[ResourceKey]]:
    """The machines that claims have got, by project; those being released among them."""
    found: dict[str, list[ResourceKey]] = {}
    for machines in grouped(facts.resources, claim_of_facts).values():
        for key, one in machines.items():
            if (project := project_of_facts(one)) is not None:
                found.setdefault(project, []).append(key)
    return found


def _established(key: ResourceKey, observed: ObservedState, facts: Facts) -> bool:
    """Whether it is there, or may be: a machine that is bound. What the IPAM holds. What is under way. And what could
    not be observed, so that nothing new takes its place."""
    if key.kind == "Machine":
        return machine_facts(facts.resources, key).project is not None
    seen = observed.get(key)
    return key in facts.in_flight or seen is None or seen.error is not None or is_held(seen.value)


# -- what is declared --------------------------------------------------------------------------------------------------


def _to_judge(desired: DesiredState, facts: Facts) -> list[_TenantGroup]:
    groups = desired.derived("limited groups", _limited)
    if any(group.kind == "Machine" and not group.crowded for group in groups):
        claims = bool(grouped(facts.resources, claim_of_facts))
        return [group for group in groups if group.crowded or (claims and group.kind == "Machine")]
    return [group for group in groups if group.crowded]


def _limited(desired: DesiredState) -> list[_TenantGroup]:
    return [group for group in _groups(desired) if group.tenant is not None or group.limits]


def _groups(desired: DesiredState) -> Iterator[_TenantGroup]:
    for kind, field in _COUNTED.items():
        asked = _asked(desired) if kind == "Machine" else {}
        for tenant, projects in _members(kind, desired).items():
            limits = {name: limit for name in projects if (limit := _project_limit(name, field, desired)) is not None}
            most = _tenant_limit(tenant, field, desired)
            counts = {name: len(keys) + asked.get(name, 0) for name, keys in projects.items()}
            crowded = most is not None and sum(counts.values()) > most.most
            crowded = crowded or any(counts[name] > limit.most for name, limit in limits.items())
            yield _TenantGroup(kind, {name: tuple(keys) for name, keys in projects.items()}, limits, most, crowded)


def _members(kind: str, desired: DesiredState) -> dict[str, dict[str, list[ResourceKey]]]:
    """By tenant and project. Machines may come to any project by claims, so that all are there for them."""
    tenants: dict[str, dict[str, list[ResourceKey]]] = {}
    for project in desired.of_kind("Project") if kind == "Machine" else ():
        tenants.setdefault(project.spec.tenant, {}).setdefault(project.key.name, [])
    for resource in desired.of_kind(kind):
        name = project_of(resource, desired)
        found = desired.resources.get(ResourceKey("Project", name)) if name is not None else None
        if found is not None:
            tenants.setdefault(found.spec.tenant, {}).setdefault(found.key.name, []).append(resource.key)
    return tenants


def _asked(desired: DesiredState) -> dict[str, int]:
    found: dict[str, int] = {}
    for claim in desired.of_kind("MachineClaim"):
        found[claim.spec.project] = found.get(claim.spec.project, 0) + claim.spec.count
    return found


def project_of(resource: Resource[Any], desired: DesiredState) -> str | None:
    """Whose it is: as it says, or an address as its network says."""
    project: str | None = resource.spec.project
    if project is None and resource.key.kind == "IPAddress":
        network = desired.resources.get(ResourceKey("Network", resource.spec.network))
        project = network.spec.project if network is not None else None
    return project


def _project_limit(name: str, field: str, desired: DesiredState) -> _QuotaLimit | None:
    project = desired.resources[ResourceKey("Project", name)]
    tenant = desired.resources.get(ResourceKey("Tenant", project.spec.tenant))
    own = getattr(project.spec.quotas, field, None)
    if own is not None:
        return _limit(project, f"spec.quotas.{field}", own, field, f"project {name}")
    most = getattr(tenant.spec.project_quotas, field, None) if tenant is not None else None
    if most is None or tenant is None:
        return None
    found = _limit(tenant, f"spec.projectQuotas.{field}", most, field, f"project {name}")
    return msgspec.structs.replace(found, hint=f"{found.hint}, or give {project.key} its own spec.quotas.{field}")


def _tenant_limit(name: str, field: str, desired: DesiredState) -> _QuotaLimit | None:
    tenant = desired.resources.get(ResourceKey("Tenant", name))
    most = getattr(tenant.spec.quotas, field, None) if tenant is not None else None
    return (
        _limit(tenant, f"spec.quotas.{field}", most, field, f"tenant {name}")
        if tenant is not None and most is not None
        else None
    )


def _limit(resource: Resource[Any], path: str, most: int, field: str, owner: str) -> _QuotaLimit:
    where = stands_at(resource)
    return _QuotaLimit(
        most,
        field,
        owner,
        f"{path}, {where}",
        f"raise {path} of {resource.key} ({where}), or remove some of these {field}",
    )
