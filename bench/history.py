"""`groundstate history` of one document among 10,000 commits, beside `git log -- FILE` in the same repository.

    python bench/history.py [--commits N] [--runs N]

Every hundredth commit changes the document; it stands in a file with forty others, which the other commits change.
Exit 1 when the limit is missed.
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

RATIO = 7.0
"""How many times as long as git itself, which need not read what is in the files."""


def write(folder: Path, commits: int) -> None:
    """A history, by git's fast import."""
    folder.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
    said = [0] * 41
    parts: list[bytes] = []
    for number in range(commits):
        said[0 if number % 100 == 0 else 1 + number % 40] = number
        text = "---\n".join(
            f"apiVersion: groundstate/v1\nkind: Tenant\nmetadata: {{name: t{n:02d}}}\nspec: {{description: v{v}}}\n"
            for n, v in enumerate(said)
        ).encode()
        who = f"Ada <ada@fleet.example> {1_700_000_000 + number * 60} +0000"
        parts.append(
            f"commit refs/heads/main\ncommitter {who}\ndata 6\nchange\nM 100644 inline tenants.yaml\n".encode()
            + f"data {len(text)}\n".encode()
            + text
        )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=b"".join(parts), check=True)
    subprocess.run(["git", "reset", "-q", "--hard", "main"], cwd=folder, check=True)


def main() -> int:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("--commits", type=int, default=10_000)
    options.add_argument("--runs", type=int, default=3)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repository = folder / "fleet"
        write(repository, arguments.commits)
        ours = [sys.executable, str(ROOT / "cli.py"), "history", "tenant/t00", "--no-events", "-n", "100000"]
        git = ["git", "--no-pager", "log", "-p", "--", "tenants.yaml"]
        environment = environment_with(folder / "cache")
        times: dict[str, list[float]] = {"ours": [], "git": []}
        for _ in range(arguments.runs):
            times["ours"].append(measure(ours, repository, environment, 0)[0])
            times["git"].append(measure(git, repository, environment, 0)[0])
    mine, peer = median(times["ours"]), median(times["git"])
    held = mine <= RATIO * peer
    asked = arguments.commits // 100
    print(f"{arguments.commits:,} commits to one file of 41 documents, {asked:,} of them to the one asked for")
    print(f"  groundstate history   {mine:6.2f} s")
    print(
        f"  git log -p -- FILE    {peer:6.2f} s   ratio {mine / peer:.1f}, limit {RATIO}: {'ok' if held else 'MISSED'}"
    )
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
