"""A recorded Redfish tree in a folder: one `index.json` in the folder of each path, as DMTF's mockups are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from drivers.bmc.simulator.redfish_tree import ROOT_PATH

_INDEX = "index.json"
_MOST_DOCUMENTS = 50_000


def read_recorded_tree(folder: Path) -> dict[str, dict[str, Any]]:
    """The documents by path. The service root is in the folder itself, or in `redfish/v1` below it. Documents that are
    no JSON objects are left out, as real BMCs have some. Raises OSError, ValueError."""
    root = next((one for one in (folder / "redfish" / "v1", folder) if (one / _INDEX).is_file()), None)
    if root is None:
        raise ValueError(f"neither {folder / _INDEX} nor {folder / 'redfish' / 'v1' / _INDEX} is a file")
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(root.rglob(_INDEX)):
        if len(found) >= _MOST_DOCUMENTS:
            raise ValueError(f"there are more than {_MOST_DOCUMENTS:,} documents")
        try:
            document = json.loads(file.read_bytes())
        except ValueError:
            continue
        if isinstance(document, dict):
            place = file.parent.relative_to(root).as_posix()
            found[ROOT_PATH if place == "." else f"{ROOT_PATH}/{place}"] = document
    return found
