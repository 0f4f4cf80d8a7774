"""What the tests of desired state share: documents, snapshots in memory, and real git repositories."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha1
from pathlib import Path

from reconciler.desired.manifest.manifest_files import ManifestFile
from reconciler.model.diagnostic import Diagnostic
from reconciler.model.resource import Revision

HEAD = "apiVersion: groundstate/v1\n"
PARTITION = HEAD + "kind: Partition\nmetadata: {name: p1}\nspec: {}\n"
TENANT = HEAD + "kind: Tenant\nmetadata: {name: acme}\nspec: {}\n"


def machine(name: str, address: str = "", more: str = "", partition: str = "p1") -> str:
    """A machine's document; `more` is appended to its spec."""
    return (
        f"{HEAD}kind: Machine\nmetadata:\n  name: {name}\nspec:\n  partition: {partition}\n"
        f"  bmc:\n    address: {address or name}\n{more}"
    )


def network(name: str, *prefixes: str) -> str:
    """A network's document; each prefix is a flow mapping's inside."""
    items = "".join(f"    - {{{prefix}}}\n" for prefix in prefixes)
    return f"{HEAD}kind: Network\nmetadata: {{name: {name}}}\nspec:\n  prefixes:\n{items}"


def address(name: str, of: str, more: str) -> str:
    """An IPAddress's document."""
    return f"{HEAD}kind: IPAddress\nmetadata: {{name: {name}}}\nspec:\n  network: {of}\n  {more}\n"


class MemorySnapshot:
    """Files that are nowhere. `asked` keeps the paths that were read, in order."""

    def __init__(self, files: Mapping[str, str | bytes]) -> None:
        self.contents = {p: text.encode() if isinstance(text, str) else text for p, text in files.items()}
        self.files = tuple(
            ManifestFile(p, sha1(data).hexdigest(), len(data))  # noqa: S324
            for p, data in sorted(self.contents.items())
        )
        self.revision = Revision(id="worktree:0", ref="work tree", repository="memory")
        self.diagnostics: tuple[Diagnostic, ...] = ()
        self.asked: list[str] = []

    def read(self, files: Sequence[ManifestFile]) -> Iterator[tuple[ManifestFile, bytes]]:
        """Each file with its contents."""
        for file in files:
            self.asked.append(file.path)
            yield file, self.contents[file.path]


class Git:
    """A real repository, apart from the user's own settings."""

    def __init__(self, folder: Path, *init: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self("init", "-q", "-b", "main", *init)

    def __call__(self, *args: str, stdin: bytes = b"", when: str = "2026-01-02T03:04:05+00:00") -> str:
        """Run git; its output without the last line break."""
        who = {f"GIT_{role}_{part}": "Ada" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        settings = who | {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when, "GIT_CONFIG_GLOBAL": os.devnull}
        command = ["git", "-C", str(self.folder), "-c", "protocol.file.allow=always", "-c", "gc.auto=0", *args]
        done = subprocess.run(command, input=stdin, capture_output=True, check=True, env=os.environ | settings)
        return done.stdout.decode(errors="replace").rstrip("\n")

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Put files into the work tree."""
        for path, data in files.items():
            place = self.folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data.encode() if isinstance(data, str) else data)

    def commit(
        self, files: Mapping[str, str | bytes], subject: str = "change", when: str = "2026-01-02T03:04:05Z"
    ) -> str:
        """Commit files; the commit's hash."""
        self.write(files)
        self("add", "--all")
        self("commit", "-q", "--allow-empty", "-m", subject, when=when)
        return self("rev-parse", "HEAD")

    def blob(self, data: bytes) -> str:
        """Store an object; its id."""
        return self("hash-object", "-w", "--stdin", stdin=data)

    def commit_tree(self, *entries: tuple[str, bytes, str]) -> str:
        """A commit on main of a tree of (mode, name, object id) as it stands, however odd."""
        raw = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(blob) for mode, name, blob in entries)
        tree = self("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=raw)
        commit = self("commit-tree", tree, "-m", "odd")
        self("update-ref", "refs/heads/main", commit)
        return commit
