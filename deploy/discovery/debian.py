"""What comes from Debian: programs with their libraries as installed here, and packages that are only unpacked."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

MISSING = "{what} is missing: {hint}"


class Missing(Exception):
    """Something that the image is made of is not on this machine; says what, and how to get it."""


def run(*command: object, environment: Mapping[str, str] | None = None) -> str:
    """Its output. Raises Missing when there is no such program or it fails."""
    words = [str(word) for word in command]
    if shutil.which(words[0]) is None:
        raise Missing(MISSING.format(what=words[0], hint="install the Debian package that has it"))
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise Missing(f"`{' '.join(words)}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def libraries(program: Path) -> list[str]:
    """Every library that the loader would bring in, by the path under which it looks; none for a static program."""
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    lost = re.findall(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE)
    if lost:
        raise Missing(f"{program} needs {', '.join(lost)}, which this machine lacks; reinstall the package it is from")
    return sorted(set(re.findall(r"(/\S+) \(0x", done.stdout)))


def packages_of(paths: Iterable[Path]) -> dict[str, str]:
    """Versions by package of everything that these files are from. A file of no package is left out."""
    spellings = {spelling for path in paths for spelling in _spellings(path)}
    if not spellings:
        return {}
    # It fails when one is unknown, as one spelling of each always is.
    found = subprocess.run(["dpkg-query", "-S", *sorted(spellings)], capture_output=True, text=True, check=False)
    names = {name for line in found.stdout.splitlines() for name in line.rpartition(": ")[0].split(", ")}
    if not names:
        return {}
    lines = run("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *sorted(names)).splitlines()
    return dict(sorted((package, version) for package, _, version in (line.partition(" ") for line in lines)))


def _spellings(path: Path) -> set[str]:
    """dpkg knows a file under /lib or under /usr/lib, whichever its package said."""
    text = str(path)
    return {text, text.removeprefix("/usr") if text.startswith("/usr/") else f"/usr{text}"}


def latest_kernel(flavour: str) -> str:
    """The package that `linux-image-FLAVOUR` stands for now."""
    meta = f"linux-image-{flavour}"
    found = re.findall(r"Depends: (linux-image-\S+)", run("apt-cache", "depends", meta))
    if not found:
        raise Missing(MISSING.format(what=meta, hint="apt knows no such package; run apt-get update"))
    return str(found[0])


def unpacked(package: str, cache: Path) -> tuple[Path, str]:
    """The package's files in a directory below `cache`, and its version; fetched by apt at the first call."""
    version = _candidate(package)
    root = cache / f"{package}_{version.replace(':', '_')}"
    if not root.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        fetched = _fetched(package, version, cache)
        partial = root.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        run("dpkg-deb", "-x", fetched, partial)
        partial.rename(root)
    return root, version


def _candidate(package: str) -> str:
    found = re.search(r"Candidate: (\S+)", run("apt-cache", "policy", package))
    if found is None or found[1] == "(none)":
        raise Missing(MISSING.format(what=package, hint="apt knows no such package; run apt-get update"))
    return found[1]


def _fetched(package: str, version: str, cache: Path) -> Path:
    name = f"{package}_{version.replace(':', '%3a')}_*.deb"
    if not list(cache.glob(name)):
        command: Sequence[str] = ["apt-get", "download", "-q", f"{package}={version}"]
        done = subprocess.run(command, cwd=cache, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing(f"{package} {version} cannot be fetched: {done.stderr.strip()}")
    return next(cache.glob(name))
