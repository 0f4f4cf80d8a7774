"""Tenant and Project: who owns what, and how much of it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from reconciler.kinds.common.field_types.fields import Quotas, Spec, Text, reference_field

Owners = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=253)], ...],
    Meta(description="Who is responsible: mail addresses or groups.", examples=[["web@acme.example"]]),
]


class TenantQuotas(Quotas, frozen=True, kw_only=True):
    """The limits for all projects of the tenant together."""

    projects: Annotated[int, Meta(ge=0, description="Maximum number of projects.")] | None = None


class TenantSpec(Spec, frozen=True, kw_only=True):
    """A customer or department that owns projects."""

    description: Annotated[Text, Meta(description="What the tenant is, for people.")] | None = None
    owners: Owners = ()
    quotas: (
        Annotated[
            TenantQuotas,
            Meta(description="The limits for all projects of the tenant together, and for the number of projects."),
        ]
        | None
    ) = None
    project_quotas: (
        Annotated[Quotas, Meta(description="The limits of each project that has no quota of its own.")] | None
    ) = None


class ProjectSpec(Spec, frozen=True, kw_only=True):
    """A project of one tenant. Machines, networks and addresses belong to projects."""

    tenant: Annotated[str, reference_field("Tenant", "The Tenant that owns the project.")]
    description: Annotated[Text, Meta(description="What the project is for.")] | None = None
    owners: Owners = ()
    quotas: (
        Annotated[
            Quotas,
            Meta(
                description="The limits of the project. Each replaces the same limit of the tenant's `projectQuotas`; "
                "the tenant's `quotas` still apply."
            ),
        ]
        | None
    ) = None
