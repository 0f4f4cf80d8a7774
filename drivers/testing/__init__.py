"""The conformance suites, for whoever writes a driver: a class to inherit from, run with pytest.

bmc_conformance.py     of BMC drivers, by capability
ipam_conformance.py    of IPAMs; its parts: ipam_networks.py, ipam_addresses.py, ipam_children.py
pools_conformance.py   of pools of numbers
secret_conformance.py  of sources of credentials

Shown in docs/architecture.md, "Add a driver". Nothing of groundstate imports this; it needs pytest, which groundstate
does not install.
"""

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{suite}"
        for suite in (
            "bmc_conformance",
            "ipam_addresses",
            "ipam_children",
            "ipam_conformance",
            "ipam_networks",
            "pools_conformance",
            "secret_conformance",
        )
    )
)
