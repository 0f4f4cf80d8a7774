"""How a machine is reached, where that is another way than the one in force: a login would go there."""

from __future__ import annotations

import msgspec

from reconciler.model.resource import ResourceKey, Source


class AccessChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """Address, driver, credential and trust, by path (`spec.bmc.address`) and in words. `before`: the way in force;
    empty: none is known, as the machine is new to the store."""

    key: ResourceKey
    """The resource."""
    before: dict[str, str]
    """The fields of the former access, by path; empty: it is new."""
    after: dict[str, str]
    """The fields from now on, by path."""
    source: Source | None = None
    """Where it is declared."""

    @property
    def is_new(self) -> bool:
        """Whether no way in was known."""
        return not self.before

    @property
    def differences(self) -> tuple[tuple[str, str | None, str | None], ...]:
        """What differs: path, before, after."""
        paths = dict.fromkeys([*self.after, *self.before])
        pairs = ((path, self.before.get(path), self.after.get(path)) for path in paths)
        return tuple((path, was, to) for path, was, to in pairs if was != to)
