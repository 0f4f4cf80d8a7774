"""What the lab needs from the network, fetched before it goes into its private world, which has none.

All of it is kept in .cache/lab, and made again when what it is made from has changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from deploy.discovery import build
from tests.lab import leaf_image, os_image

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "lab"
VENV = CACHE / "venv"
IMAGE = CACHE / "image"
OS_IMAGE = CACHE / "os" / "os.raw.gz"
ROOT_ARCHIVE = CACHE / "os" / "root.tar.gz"
LEAF_IMAGE = CACHE / "leaf"
PACKAGES = ("sushy-tools>=2.2", "libvirt-python>=9", "bcrypt>=4.3")
FETCHED = ROOT / ".cache" / "discovery"
DPKG = Path("/var/lib/dpkg/status")


def prepare() -> None:
    """The emulator's environment, the discovery image, and images to install; by one of several that ask at once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _prepare()


def _prepare() -> None:
    _environment()
    if _changed(IMAGE, [*build.HERE.rglob("*.py"), *build.HERE.rglob("*.sh"), *map(build.HERE.joinpath, RECIPE), DPKG]):
        build.build(IMAGE, "cloud-amd64", FETCHED)
        _note(IMAGE)
    if _changed(OS_IMAGE.parent, [Path(os_image.__file__), build.HERE / "debian.py", DPKG]):
        os_image.build(OS_IMAGE, FETCHED)
        os_image.build_archive(ROOT_ARCHIVE, FETCHED)
        _note(OS_IMAGE.parent)
    leaf_sources = [Path(leaf_image.__file__), Path(os_image.__file__), *build.HERE.rglob("*.py"), DPKG]
    if _changed(LEAF_IMAGE, leaf_sources):
        leaf_image.build_leaf(LEAF_IMAGE, FETCHED)
        _note(LEAF_IMAGE)


RECIPE = ("agent", "init", "udhcpc.script")
_STAMPS: dict[Path, str] = {}


def _changed(made: Path, sources: list[Path]) -> bool:
    _STAMPS[made] = hashlib.sha256(b"".join(source.read_bytes() for source in sorted(sources))).hexdigest()
    stamp = made / "stamp"
    return not stamp.exists() or stamp.read_text() != _STAMPS[made]


def _note(made: Path) -> None:
    (made / "stamp").write_text(_STAMPS[made])


def _environment() -> None:
    """Made at the first call; takes a minute, and needs gcc and libvirt's headers."""
    ready = VENV / "ready"
    if ready.exists():
        return
    shutil.rmtree(VENV, ignore_errors=True)
    sys.stderr.write("Setting up the lab's environment in .cache/lab ...\n")
    venv.create(VENV, with_pip=True)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *PACKAGES]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"the lab's environment cannot be made: {done.stderr}")
    ready.touch()
