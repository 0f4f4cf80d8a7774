"""Tenant and Project: who owns what, and how much of it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from reconciler.kinds.fields import Quotas, Spec, Text, reference


class TenantSpec(Spec, frozen=True, kw_only=True):
    """A customer or department that owns projects."""

    description: Annotated[Text, Meta(description="What the tenant is, for people.")] | None = None
    quotas: Annotated[Quotas, Meta(description="The limits that its projects start from.")] | None = None


class ProjectSpec(Spec, frozen=True, kw_only=True):
    """A piece of work of one tenant; machines, networks and addresses belong to projects."""

    tenant: Annotated[str, reference("Tenant", "The Tenant that owns the project.")]
    description: Annotated[Text, Meta(description="What the project is for.")] | None = None
    quotas: Annotated[Quotas, Meta(description="The project's limits; they replace the tenant's.")] | None = None
