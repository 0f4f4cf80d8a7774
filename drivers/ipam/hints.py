"""How a person proceeds after a refusal of the IPAM. Addresses and networks are declared as documents in git."""

from __future__ import annotations

CREATE_NETWORK = "apply the document of the network first"
ENLARGE_NETWORK = "remove IPAddress documents that are not needed, or add a prefix to spec.prefixes of the network"
ONE_ADDRESS = (
    "one owner has one address. Remove the owner's document from git to release that address, or add another document"
)
RELEASE_ADDRESS = "release the address: remove the document of its owner from git"
RELEASE_ADDRESSES = "release these addresses first: remove their documents from git"


def apply_again(kind: str, name: str) -> str:
    """How what is stored of a network or pool is written once more."""
    return f"a running daemon applies the document again; without a daemon, run `groundstate apply {kind}/{name}`"
