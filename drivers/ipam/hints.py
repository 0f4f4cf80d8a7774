"""How a person proceeds after a refusal of the IPAM. Addresses and networks are declared as documents in git."""

from __future__ import annotations

CREATE_NETWORK = "apply the document of the network first"
ENLARGE_NETWORK = "remove IPAddress documents that are not needed, or add a prefix to spec.prefixes of the network"
HOW_TO_RELEASE_ADDRESS = "set deletionPolicy: Release, apply that, then remove the document"
ONE_ADDRESS = (
    "an owner has one address. Declare the new address in another document, or first release the old address "
    f"({HOW_TO_RELEASE_ADDRESS})"
)
RELEASE_ADDRESS = f"release the address ({HOW_TO_RELEASE_ADDRESS})"
RELEASE_ADDRESSES = f"release these addresses first ({HOW_TO_RELEASE_ADDRESS})"
RELEASE_NUMBER = "release that number first (remove the Number with deletionPolicy: Release, or `vrf` of the Network)"


def apply_again(kind: str, name: str) -> str:
    """How what is stored of a network or pool is written once more."""
    return f"a running daemon applies the document again; without a daemon, run `groundstate apply {kind}/{name}`"
