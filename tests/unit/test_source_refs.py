"""What a ref means, and what a repository may do meanwhile: clashing names, ranges, moved and damaged repositories."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import watchfiles

from reconciler.desired.git import plumbing, remotes
from reconciler.desired.git.plumbing import SourceError, SourceUnavailable
from reconciler.desired.git.sources import watch
from reconciler.desired.git.sources.mirror import Mirror
from reconciler.desired.git.sources.open_source import open_source
from reconciler.desired.git.sources.source import DesiredSource
from reconciler.desired.load import load_state
from reconciler.model.resource import ResourceKey
from tests.unit.desired_worlds import PARTITION, TENANT, Git, machine


@pytest.fixture
def repository(tmp_path: Path) -> Git:
    made = Git(tmp_path / "fleet")
    made.commit({"partition.yaml": PARTITION, "m1.yaml": machine("m1")}, "first")
    made.commit({"tenant.yaml": TENANT}, "second")
    return made


def newest(repository: Git, ref: str | None = None) -> str:
    return open_source(repository.folder, ref).snapshot().revision.id


@pytest.mark.parametrize("name", ["main", "deadbeef", "release/1", "heads/x", "1234567"])
def test_a_branch_beats_a_tag_and_a_hash_of_the_same_name(repository: Git, name: str) -> None:
    """argoproj/argo-cd#25599: a pushed tag must not take the branch's place."""
    head = repository("rev-parse", "HEAD")
    if name != "main":
        repository("branch", name)
    repository("tag", name, "HEAD~1")
    assert newest(repository, name) == head
    assert newest(repository, f"{name}~1") == repository("rev-parse", "HEAD~1")


def test_a_remotes_branch_beats_a_tag(repository: Git) -> None:
    repository("update-ref", "refs/remotes/origin/main", "HEAD")
    repository("tag", "origin/main", "HEAD~1")
    assert newest(repository, "origin/main") == repository("rev-parse", "HEAD")


def test_a_full_hash_is_that_commit_whatever_a_branch_is_called(repository: Git) -> None:
    first = repository("rev-parse", "HEAD~1")
    repository("update-ref", f"refs/heads/{first}", "HEAD")
    assert newest(repository, first) == first


def test_head_is_head_whatever_a_tag_is_called(repository: Git) -> None:
    repository("update-ref", "refs/tags/HEAD", "HEAD~1")
    assert newest(repository, "HEAD") == newest(repository) == repository("rev-parse", "HEAD")


@pytest.mark.parametrize(
    "ref", ["main~1..main", "main~1...main", "..main", "main..", "..", "^main", "main^@", "main^!", "main^-", "HEAD^-1"]
)
def test_a_set_of_commits_is_refused_in_words(repository: Git, ref: str) -> None:
    with pytest.raises(SourceError, match="range of commits"):
        open_source(repository.folder, ref)
    source = open_source(repository.folder)
    with pytest.raises(SourceError):
        source.snapshot(ref)
    with pytest.raises(SourceError):
        source.moment(source.snapshot().revision, ref)


@pytest.mark.parametrize(
    "ref", ["", " ", "nope", "-x", "--all", "a b", "main:m1.yaml", "a\nb", "*", "@{nope}", ":/nope"]
)
def test_what_is_no_commit_is_said(repository: Git, ref: str) -> None:
    source = open_source(repository.folder, "main")
    with pytest.raises(SourceError):
        source.moment(source.snapshot().revision, ref)


# A repository that goes and comes


def _objects_of(repository: Git, *names: str) -> list[Path]:
    found = [repository("rev-parse", name) for name in names]
    return [repository.folder / ".git/objects" / one[:2] / one[2:] for one in found]


def _spoil(paths: list[Path]) -> None:
    for path in paths:
        path.chmod(0o600)
        path.write_bytes(b"junk")


BROKEN: dict[str, Callable[[Git], object]] = {
    "its commit": lambda repository: _spoil(_objects_of(repository, "HEAD")),
    "its folder": lambda repository: _spoil(_objects_of(repository, "HEAD^{tree}")),
    "an empty ref": lambda repository: (repository.folder / ".git/refs/heads/main").write_bytes(b""),
    "a ref that is no hash": lambda repository: (repository.folder / ".git/refs/heads/main").write_bytes(b"\0" * 40),
    "a detached HEAD": lambda repository: (repository.folder / ".git/HEAD").write_text("1" * 40 + "\n"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_damaged_is_not_said_to_be_absent(repository: Git, broken: str) -> None:
    source = open_source(repository.folder)
    BROKEN[broken](repository)
    with pytest.raises(SourceError, match=r"(?s)cannot be read.*git fsck"):
        source.snapshot()


def test_a_tag_of_a_file_is_said_to_be_one(repository: Git) -> None:
    repository("tag", "a-file", "HEAD:m1.yaml")
    with pytest.raises(SourceError, match="a-file names a file, not a commit"):
        open_source(repository.folder, "a-file").snapshot()


def test_a_repository_that_was_replaced_is_followed(repository: Git, tmp_path: Path) -> None:
    """kubernetes/git-sync#692: the link is turned to another worktree, and the old one is removed."""
    link = tmp_path / "link"
    for number in (1, 2):
        repository("worktree", "add", "-q", "--detach", str(tmp_path / f"w{number}"))
    link.symlink_to(tmp_path / "w1")
    committed, on_disk = open_source(link), open_source(link, work_tree=True)
    assert len(on_disk.snapshot().files) == len(committed.snapshot().files) == 3
    link.unlink()
    shutil.rmtree(tmp_path / "w1")
    for source in (committed, on_disk):
        with pytest.raises(SourceUnavailable):
            source.snapshot()
    (tmp_path / "w2" / "m2.yaml").write_text(machine("m2"))
    link.symlink_to(tmp_path / "w2")
    assert (len(committed.snapshot().files), len(on_disk.snapshot().files)) == (3, 4)


def test_another_clone_at_the_same_place_is_read(repository: Git, tmp_path: Path) -> None:
    source = open_source(repository.folder)
    repository.folder.rename(tmp_path / "old")
    with pytest.raises(SourceUnavailable, match="moved or removed"):
        source.snapshot()
    again = Git(repository.folder)
    newer = again.commit({"partition.yaml": PARTITION}, "anew")
    assert source.snapshot().revision.id == newer


def test_without_inotify_the_interval_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits of inotify are used up: watchfiles raises an error of its own, which is no OSError."""

    def refuses(*_: object, **__: object) -> Iterator[object]:
        yield from ()
        raise RuntimeError("OS file watch limit reached")

    monkeypatch.setattr(watchfiles, "watch", refuses)
    looks = watch.manifests(tmp_path, threading.Event(), 0.01, lambda: 0.0)
    assert "watch limit" in str(next(looks))
    assert next(looks) is None


# Mirrors


def mirrored(repository: Git, cache: Path, ref: str | None = None) -> DesiredSource:
    return open_source(f"file://{repository.folder}", ref, cache_dir=cache)


def folder_of(source: DesiredSource) -> Path:
    assert isinstance(source, Mirror)
    return source.git_dir


def _cut_packs(mirror: Path) -> None:
    for pack in mirror.glob("objects/pack/*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(pack.read_bytes()[:40])


def _empty_objects(mirror: Path) -> None:
    for path in mirror.glob("objects/??/*"):
        path.chmod(0o600)
        path.write_bytes(b"")


def _empty_refs(mirror: Path) -> None:
    (mirror / "packed-refs").unlink(missing_ok=True)
    (mirror / "refs/heads/main").write_bytes(b"")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "a stale lock of a ref": lambda mirror: (mirror / "refs/heads/main.lock").touch(),
    "a stale lock of HEAD": lambda mirror: (mirror / "HEAD.lock").touch(),
    "a stale lock of packed-refs": lambda mirror: (mirror / "packed-refs.lock").touch(),
    "cut packs": _cut_packs,
    "empty objects": _empty_objects,
    "empty refs": _empty_refs,
    "an empty HEAD": lambda mirror: (mirror / "HEAD").write_bytes(b""),
    "a broken config": lambda mirror: (mirror / "config").write_text("[core"),
    "no objects": lambda mirror: shutil.rmtree(mirror / "objects"),
}


def _a_file_instead(mirror: Path) -> None:
    shutil.rmtree(mirror)
    mirror.touch()


DAMAGE["a file in its place"] = _a_file_instead


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("moved", [False, True], ids=["nothing new", "a new commit"])
def test_a_damaged_mirror_is_made_anew(repository: Git, tmp_path: Path, damage: str, *, moved: bool) -> None:
    source = mirrored(repository, tmp_path / "cache")
    load_state(source.snapshot()).raise_for_errors()
    DAMAGE[damage](folder_of(source))
    if moved:
        repository.commit({"m2.yaml": machine("m2")})
    state = load_state(source.snapshot()).raise_for_errors()
    assert state.revision.id == repository("rev-parse", "HEAD")


def test_an_object_that_is_damaged_alone_is_had_anew(repository: Git, tmp_path: Path) -> None:
    source = mirrored(repository, tmp_path / "cache")
    blob = repository("rev-parse", "HEAD:m1.yaml")
    snapshot = source.snapshot()
    mirror = folder_of(source)
    for pack in mirror.glob("objects/pack/*.pack"):  # So that each object is a file.
        moved = pack.rename(mirror / pack.name)
        with moved.open("rb") as packed:
            subprocess.run(["git", "--git-dir", mirror, "unpack-objects", "-q"], stdin=packed, check=True)
    (mirror / "objects" / blob[:2] / blob[2:]).unlink()
    load_state(snapshot).raise_for_errors()


@pytest.mark.parametrize(
    ("said", "elsewhere"),
    [
        ("error: RPC failed; curl 56 GnuTLS recv error (-110)\nfatal: early EOF", True),
        ("fetch-pack: unexpected disconnect while reading sideband packet", True),
        ("remote: fatal: bad tree object 1f2e\nremote: aborting due to possible repository corruption", True),
        ("fatal: write error: No space left on device", True),
        ("error: object 1f2e: badTimezone: x\nfatal: fsck error in packed object", True),
        ("fatal: bad object refs/heads/main", False),
        ("error: packfile ./objects/pack/pack-1.pack cannot be accessed", False),
        ("fatal: mismatched algorithms: client sha1; server sha256", False),
    ],
)
def test_a_mirror_is_not_made_anew_for_what_is_not_its_fault(said: str, *, elsewhere: bool) -> None:
    """argoproj/argo-cd#13356: on a line that breaks, a whole new copy at each try would never arrive."""
    assert remotes.is_elsewhere(said) is elsewhere


def test_a_remote_that_goes_away_in_the_middle_leaves_the_mirror_as_it_was(
    repository: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = mirrored(repository, tmp_path / "cache")
    source.snapshot()
    before = folder_of(source).stat().st_ino
    tries: list[tuple[str, ...]] = []

    def cut(_git_dir: Path, *args: str, **_: object) -> None:
        tries.append(args)
        raise plumbing.GitFailed("fatal: the remote end hung up unexpectedly")

    monkeypatch.setattr(plumbing, "transfer", cut)
    with pytest.raises(SourceUnavailable, match="hung up"):
        source.snapshot()
    assert (len(tries), folder_of(source).stat().st_ino) == (1, before)


def test_what_an_ended_fetch_left_is_removed(repository: Git, tmp_path: Path) -> None:
    """argoproj/argo-cd#18831: each try that was ended left a tmp_pack behind."""
    source = mirrored(repository, tmp_path / "cache")
    source.snapshot()
    litter = [folder_of(source) / "objects/pack" / name for name in ("tmp_pack_a", "tmp_idx_b")]
    for path in litter:
        path.touch()
    source.snapshot()
    assert not any(path.exists() for path in litter)


def test_a_remote_of_sha256_hashes_is_read(tmp_path: Path) -> None:
    made = Git(tmp_path / "fleet", "--object-format=sha256")
    head = made.commit({"partition.yaml": PARTITION})
    found = load_state(mirrored(made, tmp_path / "cache").snapshot()).raise_for_errors()
    assert (len(head), found.revision.id) == (64, head)


@pytest.mark.parametrize("ref", ["refs/pull/7/merge", "pull/7/merge"])
def test_the_merge_of_a_pull_request_is_read(repository: Git, tmp_path: Path, ref: str) -> None:
    repository("update-ref", "refs/pull/7/merge", "HEAD~1")
    found = mirrored(repository, tmp_path / "cache", ref).snapshot()
    assert found.revision.id == repository("rev-parse", "HEAD~1")


@pytest.mark.parametrize("location", ["host:/srv/fleet.git", "alias:fleet.git", "bot@host:x", "[::1]:fleet"])
def test_hosts_and_aliases_of_ssh_are_remotes(location: str, tmp_path: Path) -> None:
    assert isinstance(open_source(location, cache_dir=tmp_path), Mirror)


@pytest.mark.parametrize("location", ["-oProxyCommand=x:y", "ext::sh -c true", "./a:b", "a/b:c"])
def test_what_only_looks_like_a_host_is_none(location: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        open_source(location, cache_dir=tmp_path)


def test_what_ssh_said_before_the_remote_fell_silent_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_SSH_COMMAND", "echo 'bastion: closed for the night' >&2; sleep 60;")
    monkeypatch.setenv("GIT_SSH_VARIANT", "ssh")
    monkeypatch.setattr(plumbing, "SILENCE", 2.0)
    with pytest.raises(SourceUnavailable, match=r"ssh://h/f cannot be reached; .*2 s; bastion: closed for the night"):
        open_source("ssh://h/f", cache_dir=tmp_path).snapshot()


def test_nothing_is_left_of_a_fetch_from_a_silent_remote(tmp_path: Path) -> None:
    """argoproj/argo-cd#3694, #20785: git's children stayed for as long as the remote kept silent."""
    Git(tmp_path / "here")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}/f.git"
        with pytest.raises(SourceUnavailable, match="no progress"):
            plumbing.transfer(tmp_path / "here/.git", "fetch", url, silence=0.5)
    for _ in range(100):  # What was killed goes when the machine gets to it.
        if not any(url.encode() in line for line in _command_lines()):
            return
        time.sleep(0.1)
    raise AssertionError([line for line in _command_lines() if url.encode() in line])


def _command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes()


# A shallow clone, and commits with odd dates


def test_where_a_shallow_clone_ends_nobody_is_named(repository: Git, tmp_path: Path) -> None:
    """bitrix24/b24jssdk#524: of a shallow clone every file was last changed by the boundary commit."""
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", f"file://{repository.folder}", str(tmp_path / "s")],
        check=True,
    )
    source = open_source(tmp_path / "s")
    state = load_state(source.snapshot()).raise_for_errors()
    assert source.shallow()
    assert source.commits_for(state, [ResourceKey("Machine", "m1"), ResourceKey("Tenant", "acme")]) == {}


def test_a_commit_whose_date_lies_is_found_in_its_place(repository: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = machine("m1", more="  power: On\n")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z")
    newest_change = repository.commit({"m1.yaml": changed}, "long ago, it says")
    source = open_source(repository.folder)
    state = load_state(source.snapshot()).raise_for_errors()
    key = ResourceKey("Machine", "m1")
    assert source.commits_for(state, [key])[key].sha == newest_change


def test_parents_by_a_graft_are_not_believed(repository: Git) -> None:
    """A clone's own word on which commit came before another (info/grafts) is not the commits'."""
    old = repository("rev-parse", "HEAD")
    new = repository("commit-tree", "HEAD^{tree}", "-m", "of no parent")
    (repository.folder / ".git/info").mkdir(exist_ok=True)
    (repository.folder / ".git/info/grafts").write_text(f"{new} {old}\n")
    assert open_source(repository.folder).descends(new, old) is False


def test_a_shallow_clone_tells_what_was_taken_back_to_where_it_reaches(repository: Git, tmp_path: Path) -> None:
    kept, lost = repository("rev-parse", "HEAD"), repository.commit({"x": "x"})
    subprocess.run(
        ["git", "clone", "-q", "--depth", "2", f"file://{repository.folder}", str(tmp_path / "s")],
        check=True,
    )
    clone = Git(tmp_path / "s")
    clone("reset", "-q", "--hard", kept)
    beside = clone.commit({"y": "y"})
    source = open_source(tmp_path / "s")
    assert source.shallow()
    assert [source.descends(new, lost) for new in (kept, beside)] == [False, False]


def test_descent_is_told_and_not_guessed(repository: Git, tmp_path: Path) -> None:
    first, second = repository("rev-parse", "HEAD~1"), repository("rev-parse", "HEAD")
    source = open_source(repository.folder)
    assert (source.descends(second, first), source.descends(first, second)) == (True, False)
    assert source.descends(second, "1" * 40) is False
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", f"file://{repository.folder}", str(tmp_path / "s")],
        check=True,
    )
    assert open_source(tmp_path / "s").descends(second, first) is None
