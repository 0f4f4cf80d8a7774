"""How a resource that groundstate only observes is taken over. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec


class Adoption(msgspec.Struct, frozen=True):
    """The value in the document that says so: at `path`, from `observed` to `managed`.

    Why not, and how to proceed, or None: `spec_refusal` by the spec, `observed_refusal` by the observed value.
    """

    path: tuple[str, ...]
    observed: str
    managed: str
    spec_refusal: Callable[[Any], str | None]
    observed_refusal: Callable[[Any], str | None]
