"""Notices changes of files: by watchfiles where the operating system reports them, else at an interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from reconciler import runtime

TICK_MILLISECONDS = 250


def refs(
    git_dir: Path, common_dir: Path, stop: runtime.Flag, interval: float, jitter: Callable[[], float]
) -> Iterator[str | None]:
    """Yield soon after the start, after a commit, checkout, fetch or push moved a ref, and every interval."""

    def wanted(path: str) -> bool:
        name = path.rpartition("/")[2]
        return not name.endswith(".lock") and (name in ("HEAD", "packed-refs") or "/refs/" in path)

    while not stop.is_set():
        # Not recursive: `objects` alone has 256 folders, and every write to it would wake us.
        folders = _ref_folders(git_dir, common_dir)
        for note in _changes(folders, wanted, stop, interval, jitter, recursive=False):
            yield note
            if _ref_folders(git_dir, common_dir) != folders:
                break


def manifests(folder: Path, stop: runtime.Flag, interval: float, jitter: Callable[[], float]) -> Iterator[str | None]:
    """Yield soon after the start, after a manifest under the folder changed, and every interval."""
    top = str(folder)

    def wanted(path: str) -> bool:
        return path.endswith((".yaml", ".yml")) and "/." not in path.removeprefix(top)

    while not stop.is_set():
        yield from _changes([folder], wanted, stop, interval, jitter, recursive=True)


def _changes(
    folders: list[Path],
    wanted: Callable[[str], bool],
    stop: runtime.Flag,
    interval: float,
    jitter: Callable[[], float],
    *,
    recursive: bool,
) -> Iterator[str | None]:
    import watchfiles

    # At once: nobody tells what happened after the last look and before the watch was set up.
    due = 0.0
    ticks = watchfiles.watch(
        *folders,
        watch_filter=lambda _change, path: wanted(path),
        debounce=200,
        rust_timeout=TICK_MILLISECONDS,
        yield_on_timeout=True,
        stop_event=stop,
        raise_interrupt=False,
        recursive=recursive,
    )
    try:
        for changes in ticks:
            if stop.is_set():
                return
            if changes or runtime.monotonic() >= due:
                yield None
                due = runtime.monotonic() + interval + jitter()
    except (OSError, RuntimeError) as error:  # watchfiles raises a RuntimeError of its own for what inotify refuses.
        # Where a folder went away there is nothing to tell: the interval remains.
        if all(folder.is_dir() for folder in folders):
            yield (
                f"the operating system cannot watch the files ({error}), so the repository is read every {interval:g} s"
            )
        if not stop.wait(interval + jitter()):
            yield None


def _ref_folders(git_dir: Path, common_dir: Path) -> list[Path]:
    try:
        below = [path for path in (common_dir / "refs").rglob("*") if path.is_dir()]
    except OSError:  # It is being replaced.
        below = []
    return sorted({git_dir, common_dir, common_dir / "refs", *below})
