"""`groundstate validate` and `plan` of 2,000 networks and 100,000 addresses from a commit, whole processes.

    python bench/networks.py [--networks N] [--addresses N] [--runs N]

All is held in the IPAM already but for one address in a hundred, which the plan is to find; nothing of the repository
is known (cold). Validating is the first half of a plan. Exit 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.plan import environment_with, measure  # noqa: E402  the path is set above

SECONDS = 5.0
HEAD = "apiVersion: groundstate/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n"


def write(folder: Path, networks: int, addresses: int) -> None:
    """A parent, its children with a VRF each, and the addresses of each child in a file beside it."""
    each = addresses // networks
    (folder / "base.yaml").write_text(
        HEAD.format(kind="Tenant", name="acme")
        + "  description: x\n---\n"
        + HEAD.format(kind="Project", name="shop")
        + "  tenant: acme\n---\n"
        + HEAD.format(kind="Pool", name="vrfs")
        + '  ranges: ["1-131072"]\n---\n'
        + HEAD.format(kind="Network", name="tenants")
        + "  type: Super\n  prefixes: [{cidr: 10.0.0.0/8}]\n  childPrefixLength: {IPv4: 24}\n"
    )
    for number in range(networks):
        name = f"n{number:04d}"
        text = HEAD.format(kind="Network", name=name) + "  parent: tenants\n  project: shop\n  vrf: {pool: vrfs}\n"
        for one in range(each):
            text += "---\n" + HEAD.format(kind="IPAddress", name=f"{name}-{one:02d}") + f"  network: {name}\n"
        (folder / f"{name}.yaml").write_text(text)
    for command in (["init", "-q", "-b", "main"], ["add", "--all"], ["commit", "-q", "-m", "Declare it"]):
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@fleet.example"]
        subprocess.run(["git", *who, *command], cwd=folder, check=True)


def fill(store_file: Path, networks: int, addresses: int) -> None:
    """An IPAM in which all is as declared, but for every hundredth address."""
    from drivers.base import About, IntegerRange, IpamNetwork, IpamSettings, Prefix
    from drivers.registry import Registry
    from reconciler.store import Store

    store = Store.open(f"sqlite:///{store_file}")
    registry = Registry()
    ipam, pools = registry.open_ipam(IpamSettings(), store.engine), registry.open_pools(store.engine)
    pools.put_pool("vrfs", [IntegerRange(1, 131072)])
    ipam.put_network("tenants", IpamNetwork((Prefix("10.0.0.0/8"),), container=True))
    said, each = About(ephemeral=True, project="shop"), addresses // networks
    for number in range(networks):
        name = f"n{number:04d}"
        pools.acquire_number("vrfs", f"Network/{name}")
        ipam.put_network(name, IpamNetwork(parent="tenants", project="shop"), {4: 24})
        for one in range(each):
            if (number * each + one) % 100:
                ipam.acquire(name, f"IPAddress/{name}-{one:02d}", about=said)
    store.close()


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--networks", type=int, default=2_000)
    options.add_argument("--addresses", type=int, default=100_000)
    options.add_argument("--runs", type=int, default=3)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository, store = folder / "fleet", folder / "state.db"
        repository.mkdir()
        write(repository, arguments.networks, arguments.addresses)
        fill(store, arguments.networks, arguments.addresses)
        found: dict[str, list[tuple[float, float, float]]] = {"validate": [], "plan": []}
        for number in range(arguments.runs):
            for task, expected in (("validate", 0), ("plan", 2)):
                command = [sys.executable, str(ROOT / "cli.py"), task]
                command += ["--store", str(store)] if task == "plan" else []
                cold = environment_with(folder / f"cold-{task}-{number}")
                found[task].append(measure(command, repository, cold, expected))
    print(
        f"{arguments.networks:,} networks, {arguments.addresses:,} addresses, cold   wall s    CPU s      MiB   limit"
    )
    missed = 0
    for task, runs in found.items():
        wall, cpu, mib = (median(run[part] for run in runs) for part in range(3))
        held = wall <= SECONDS
        missed += not held
        print(f"  {task:<43} {wall:8.2f} {cpu:8.2f} {mib:8.0f}   {SECONDS} s: {'ok' if held else 'MISSED'}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
