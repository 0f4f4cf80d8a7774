"""What only one driver knows: `bmc.options` of a document, as a type of the driver's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from drivers.base.support import scheduling
from drivers.base.support.errors import Rejected

_ONE_BY_ONE = scheduling.lock()
"""Where several threads are the first to read a type, the process crashes (msgspec 0.22)."""


class DriverOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What a driver's options inherit from: fields in snake_case, in documents in camelCase. Each is documented by
    `Annotated[..., Meta(description=...)]`, which is what a message about it says. Never a credential. Fields without a
    default come first; with `kw_only=True` on the class, they stand in any order."""


def options_type(driver: object) -> type[DriverOptions] | None:
    """The `options_type` of a driver, or of its class; None for a driver without options."""
    found = getattr(driver, "options_type", None)
    return found if isinstance(found, type) and issubclass(found, DriverOptions) else None


def read_options(driver: object, name: str, said: Mapping[str, Any]) -> DriverOptions | None:
    """The options as the driver's own struct, with defaults for options that are left out; None for a driver without
    options. Raises Rejected for what does not fit; `name`: the driver's, for the message."""
    wanted = options_type(driver)
    if wanted is None:
        if said:
            raise Rejected(f"driver {name} has no options; remove bmc.options")
        return None
    try:
        with _ONE_BY_ONE:
            return msgspec.convert(dict(said), wanted)
    except msgspec.ValidationError as error:
        raise Rejected(f"bmc.options do not fit driver {name}: {error}; correct bmc.options in the document") from None
