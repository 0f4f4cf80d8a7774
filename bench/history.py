"""`groundstate history` of one document among 10,000 commits beside `git log -p -- FILE`, and the blame of a plan.

    python bench/history.py [--commits N] [--runs N]

Every hundredth commit changes the document; it stands in a file with forty others, which the other commits change. For
the blame a tenth as many commits each change one of 1,000 machines in one file, and the plan asks who changed each.
Exit 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.plan import environment_with, measure  # noqa: E402  the path is set above

RATIO = 5.0
"""How many times as long as git itself, which need not read what is in the files."""
BLAME_SECONDS = 1.0
"""What the search for causes may add to a plan, however long the history: a warm plan of 10,000 machines has 0.7 s."""
MACHINE = """\
apiVersion: groundstate/v1
kind: Machine
metadata: {{name: m{n:03d}}}
spec:
  partition: lab
  bmc: {{driver: fake, address: m{n:03d}}}
  power: {power}
"""
PARTITION = "apiVersion: groundstate/v1\nkind: Partition\nmetadata: {name: lab}\nspec: {}\n---\n"


def write(folder: Path, texts: Iterable[str]) -> None:
    """A history of one file, by git's fast import: a commit for each text."""
    folder.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
    parts: list[bytes] = []
    for number, text in enumerate(texts):
        data = text.encode()
        who = f"Ada <ada@fleet.example> {1_700_000_000 + number * 60} +0000"
        head = f"commit refs/heads/main\ncommitter {who}\ndata 6\nchange\nM 100644 inline fleet.yaml\n"
        parts.append(f"{head}data {len(data)}\n".encode() + data)
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=b"".join(parts), check=True)
    subprocess.run(["git", "reset", "-q", "--hard", "main"], cwd=folder, check=True)


def tenants(commits: int) -> Iterator[str]:
    """The file of forty-one documents, version by version."""
    said = [0] * 41
    for number in range(commits):
        said[0 if number % 100 == 0 else 1 + number % 40] = number
        yield "---\n".join(
            f"apiVersion: groundstate/v1\nkind: Tenant\nmetadata: {{name: t{n:02d}}}\nspec: {{description: v{v}}}\n"
            for n, v in enumerate(said)
        )


def machines(commits: int) -> Iterator[str]:
    """The file of 1,000 machines, version by version."""
    power = ["Off"] * 1_000
    for number in range(commits):
        power[number % 900] = "On" if number % 1_800 < 900 else "Off"
        yield PARTITION + "---\n".join(MACHINE.format(n=n, power=one) for n, one in enumerate(power))


def blame(repository: Path) -> float:
    """Seconds until every machine has its commit."""
    from reconciler.desired.git.sources.open_source import open_source
    from reconciler.desired.load import load_state

    source = open_source(repository)
    state = load_state(source.snapshot()).raise_for_errors()
    begun = time.perf_counter()
    source.commits_for(state, [key for key in state.resources if key.kind == "Machine"])
    return time.perf_counter() - begun


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--commits", type=int, default=10_000)
    options.add_argument("--runs", type=int, default=3)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository = folder / "fleet"
        write(repository, tenants(arguments.commits))
        write(folder / "machines", machines(arguments.commits // 10))
        ours = [sys.executable, str(ROOT / "cli.py"), "history", "tenant/t00", "--no-events", "-n", "100000"]
        git = ["git", "--no-pager", "log", "-p", "--", "fleet.yaml"]
        environment = environment_with(folder / "cache")
        times: dict[str, list[float]] = {"ours": [], "git": [], "blame": []}
        for _ in range(arguments.runs):
            times["ours"].append(measure(ours, repository, environment, 0)[0])
            times["blame"].append(blame(folder / "machines"))
            times["git"].append(measure(git, repository, environment, 0)[0])
    mine, peer = median(times["ours"]), median(times["git"])
    held, seconds = mine <= RATIO * peer, median(times["blame"])
    asked = arguments.commits // 100
    print(f"{arguments.commits:,} commits to one file of 41 documents, {asked:,} of them to the one asked for")
    print(f"  groundstate history   {mine:6.2f} s")
    print(
        f"  git log -p -- FILE    {peer:6.2f} s   ratio {mine / peer:.1f}, limit {RATIO}: {'ok' if held else 'MISSED'}"
    )
    verdict = "ok" if seconds <= BLAME_SECONDS else "MISSED"
    print(f"{arguments.commits // 10:,} commits to one file of 1,000 machines")
    print(f"  who changed each      {seconds:6.2f} s   limit {BLAME_SECONDS} s: {verdict}")
    return 0 if held and seconds <= BLAME_SECONDS else 1


if __name__ == "__main__":
    raise SystemExit(main())
