"""Reading revisions of real repositories, and work trees on disk."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Iterator
from hashlib import sha1
from pathlib import Path
from queue import Empty, Queue

import pytest

from reconciler.desired.git import plumbing
from reconciler.desired.git.plumbing import SourceError, SourceUnavailable
from reconciler.desired.git.sources.open_source import open_source
from reconciler.desired.git.sources.source import DesiredSource, Snapshot
from reconciler.desired.load import load_state
from reconciler.desired.manifest import manifest_files
from reconciler.model.resource import ResourceKey
from tests.unit.desired_worlds import PARTITION, TENANT, Git, machine


@pytest.fixture
def repository(tmp_path: Path) -> Git:
    made = Git(tmp_path / "fleet")
    made.commit({"partition.yaml": PARTITION, "racks/r1.yml": machine("m1"), "README.md": "x"}, "first")
    return made


def paths(snapshot: Snapshot) -> list[str]:
    return [file.path for file in snapshot.files]


def contents(snapshot: Snapshot) -> dict[str, bytes]:
    return {file.path: data for file, data in snapshot.read(snapshot.files)}


def refused(snapshot: Snapshot) -> list[tuple[str, str]]:
    return [(d.source.file, d.code) for d in snapshot.diagnostics if d.source]


# Revisions


def test_a_commit_is_read_as_it_was_committed(repository: Git) -> None:
    repository.write({"racks/r1.yml": "changed: and not committed"})
    snapshot = open_source(repository.folder).snapshot()
    assert contents(snapshot) == {"partition.yaml": PARTITION.encode(), "racks/r1.yml": machine("m1").encode()}
    revision = snapshot.revision
    assert revision.commit is not None
    assert (revision.id, revision.ref, revision.repository) == (
        repository("rev-parse", "HEAD"),
        "main",
        str(repository.folder),
    )
    assert (revision.commit.author, revision.commit.subject) == ("Ada", "first")
    assert revision.commit.at.isoformat() == "2026-01-02T03:04:05+00:00"


def test_sizes_are_known_before_contents(repository: Git) -> None:
    snapshot = open_source(repository.folder).snapshot()
    assert [file.size for file in snapshot.files] == [len(PARTITION), len(machine("m1"))]


def test_hidden_paths_and_other_files_are_no_manifests(repository: Git) -> None:
    hidden = {".github/ci.yaml": "x", ".pre-commit-config.yaml": "x", "a/.b/c.yaml": "x"}
    repository.commit({**hidden, "groundstate.toml": "", "notes.yaml.txt": ""})
    for work_tree in (False, True):
        snapshot = open_source(repository.folder, work_tree=work_tree).snapshot()
        assert paths(snapshot) == ["partition.yaml", "racks/r1.yml"]
        assert snapshot.diagnostics == ()


@pytest.mark.parametrize("name", ["branch", "tag", "commit", "short", "annotated", "HEAD~1"])
def test_a_ref_is_a_branch_a_tag_or_a_commit(repository: Git, name: str) -> None:
    first = repository("rev-parse", "HEAD")
    repository("branch", "branch")
    repository("tag", "tag")
    repository("tag", "-a", "-m", "x", "annotated")
    repository.commit({"tenant.yaml": TENANT})
    ref = {"commit": first, "short": first[:9]}.get(name, name)
    revision = open_source(repository.folder, ref).snapshot().revision
    assert (revision.id, revision.ref) == (first, ref)


def test_a_commit_can_be_read_again_later(repository: Git) -> None:
    source = open_source(repository.folder)
    first = source.snapshot()
    repository.commit({"tenant.yaml": TENANT})
    assert paths(source.snapshot()) != paths(first)
    assert paths(source.snapshot(first.revision.id)) == paths(first)


def test_a_detached_head_is_called_head(repository: Git) -> None:
    repository("checkout", "-q", "--detach")
    assert open_source(repository.folder).snapshot().revision.ref == "HEAD"


def test_any_folder_of_a_repository_will_do_and_is_what_is_read(repository: Git) -> None:
    for work_tree in (False, True):
        assert paths(open_source(repository.folder / "racks", work_tree=work_tree).snapshot()) == ["racks/r1.yml"]
        assert paths(open_source(repository.folder, path="./racks/", work_tree=work_tree).snapshot()) == [
            "racks/r1.yml"
        ]


def test_a_bare_repository_and_a_second_work_tree_are_repositories(repository: Git, tmp_path: Path) -> None:
    repository("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    repository("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    bare, side = open_source(tmp_path / "bare.git").snapshot(), open_source(tmp_path / "side").snapshot()
    assert paths(bare) == paths(side) == ["partition.yaml", "racks/r1.yml"]
    assert (bare.revision.ref, side.revision.ref) == ("main", "side")


def test_what_a_calling_git_left_in_the_environment_does_not_count(
    repository: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Git(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.folder / "index"))
    assert len(open_source(repository.folder).snapshot().files) == 2


def test_a_bare_repository_has_no_work_tree_to_read(repository: Git, tmp_path: Path) -> None:
    repository("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    with pytest.raises(SourceError, match="is a bare repository; a bare repository has no work tree"):
        open_source(tmp_path / "bare.git", work_tree=True)


def test_a_user_who_forbids_bare_repositories_still_reads_their_own(
    repository: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "gitconfig"
    settings.write_text("[safe]\n\tbareRepository = explicit\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    assert len(open_source(repository.folder).snapshot().files) == 2
    assert len(remote(repository, tmp_path / "cache").snapshot().files) == 2


# Errors


def why_not(make: Callable[[], object]) -> SourceError:
    with pytest.raises(SourceError) as caught:
        make()
    return caught.value


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    error = why_not(lambda: open_source(tmp_path))
    assert error.what == f"{tmp_path} is not in a git repository"
    assert "git init" in error.hint


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    error = why_not(lambda: open_source(tmp_path / "nowhere"))
    assert str(error) == f"{tmp_path}/nowhere is not a directory; the directory does not exist; check the path"


def test_a_repository_without_commits(tmp_path: Path) -> None:
    error = why_not(open_source(Git(tmp_path).folder).snapshot)
    assert str(error) == (
        f"{tmp_path} has no commits; the repository has no commit yet; commit the desired state, or use --work-tree"
    )


def test_a_head_that_has_no_commits_beside_branches_that_have(repository: Git) -> None:
    repository("symbolic-ref", "HEAD", "refs/heads/new")
    error = why_not(open_source(repository.folder).snapshot)
    assert "HEAD names new" in error.what
    assert error.hint == "choose a ref: main"


@pytest.mark.parametrize(
    ("ref", "hint"),
    [("mian", "did you mean main?"), ("zzz", "this repository has main"), ("--help", "this repository has")],
)
def test_an_unknown_ref_names_the_nearest(repository: Git, ref: str, hint: str) -> None:
    error = why_not(open_source(repository.folder, ref).snapshot)
    assert f"no branch, tag or commit {ref!r}" in error.what
    assert hint in error.hint


def test_a_folder_that_the_commit_has_not(repository: Git) -> None:
    assert "has no folder 'rakcs'" in why_not(open_source(repository.folder, path="rakcs").snapshot).what
    assert "has no folder 'README.md'" in why_not(open_source(repository.folder, path="README.md").snapshot).what
    assert "leads out" in why_not(lambda: open_source(repository.folder, path="../x")).what


def test_a_repository_of_another_user(repository: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    error = why_not(lambda: open_source(repository.folder))
    assert error.why == "the folder belongs to another user"
    assert "safe.directory" in error.hint


def test_objects_that_are_missing(repository: Git) -> None:
    snapshot = open_source(repository.folder).snapshot()
    blob = snapshot.files[0].blob_id
    (repository.folder / ".git/objects" / blob[:2] / blob[2:]).unlink()
    assert "git fsck" in why_not(lambda: list(snapshot.read(snapshot.files))).hint
    assert "git fsck" in why_not(open_source(repository.folder).snapshot).hint


# What a tree may hold


def test_links_and_submodules_are_refused_and_the_rest_is_read(repository: Git) -> None:
    target = repository.blob(b"/etc/passwd")
    for mode, entry in (("120000", "evil.yaml"), ("120000", "link"), ("160000", "sub"), ("120000", ".dot.yaml")):
        blob = target if mode == "120000" else "1" * 40
        repository("update-index", "--add", "--cacheinfo", f"{mode},{blob},{entry}")
    repository("commit", "-q", "-m", "odd")
    snapshot = open_source(repository.folder).snapshot()
    assert paths(snapshot) == ["partition.yaml", "racks/r1.yml"]
    assert [(d.source.file, d.code, str(d.severity)) for d in snapshot.diagnostics if d.source] == [
        ("evil.yaml", "symlink", "error"),
        ("link", "symlink", "warning"),
        ("sub", "submodule", "error"),
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"caf\xe9.yaml", "caf\\xe9.yaml"),
        (b"a\nb.yaml", "a\\nb.yaml"),
        (b"a\x1b[2J.yaml", "a\\x1b[2J.yaml"),
        (b"a\\b.yaml", "a\\\\b.yaml"),
        (b"../up.yaml", "../up.yaml"),
        (b"x/../../up.yaml", "x/../../up.yaml"),
        ("a\u2028b.yaml".encode(), "a\\u2028b.yaml"),
    ],
)
def test_odd_names_are_refused_and_the_rest_is_read(repository: Git, name: bytes, shown: str) -> None:
    good = repository.blob(PARTITION.encode())
    repository.commit_tree(("100644", b"good.yaml", good), ("100644", name, good))
    snapshot = open_source(repository.folder).snapshot()
    assert paths(snapshot) == ["good.yaml"]
    assert refused(snapshot) == [(shown, "odd-file-name")]


def test_a_name_twice_in_a_tree_is_refused(repository: Git) -> None:
    one, two = repository.blob(PARTITION.encode()), repository.blob(TENANT.encode())
    repository.commit_tree(("100644", b"a.yaml", one), ("100644", b"a.yaml", two))
    snapshot = open_source(repository.folder).snapshot()
    assert refused(snapshot) == [("a.yaml", "odd-file-name")]


def test_names_of_other_languages_are_no_odd_names(repository: Git) -> None:
    repository.commit({"b\u00e2ti 1/\u6a5f\u68b0.yaml": TENANT})
    snapshot = open_source(repository.folder).snapshot()
    assert "b\u00e2ti 1/\u6a5f\u68b0.yaml" in paths(snapshot)
    assert snapshot.diagnostics == ()


def test_a_file_that_lies_too_deep(repository: Git) -> None:
    repository.commit(
        {"/".join(["d"] * manifest_files.MAX_FOLDERS) + "/a.yaml": TENANT, "/".join("d" * 33) + "/b.yaml": TENANT}
    )
    snapshot = open_source(repository.folder).snapshot()
    assert [code for _, code in refused(snapshot)] == ["path-too-deep"]
    assert len(snapshot.files) == 3


def test_a_blob_that_is_too_large_is_refused_by_its_size_alone(repository: Git) -> None:
    size = 20 << 20
    header = b"blob %d\0" % size
    blob = sha1(header + bytes(size), usedforsecurity=False).hexdigest()
    place = repository.folder / ".git/objects" / blob[:2] / blob[2:]
    place.parent.mkdir(exist_ok=True)
    # The object is cut after its header: whoever asks for more than the size fails.
    place.write_bytes(zlib.compress(header + bytes(size), 9)[:64])
    repository("update-index", "--add", "--cacheinfo", f"100644,{blob},bomb.yaml")
    repository("commit", "-q", "-m", "bomb")
    snapshot = open_source(repository.folder).snapshot()
    assert refused(snapshot) == [("bomb.yaml", "file-too-large")]
    assert len(contents(snapshot)) == 2


def test_too_many_files_and_too_many_bytes(repository: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.commit({f"t{n}.yaml": TENANT.replace("acme", f"a{n}") for n in range(5)})
    monkeypatch.setattr(manifest_files, "MAX_FILES", 3)
    snapshot = open_source(repository.folder).snapshot()
    assert len(snapshot.files) == 3
    assert [code for _, code in refused(snapshot)] == ["too-many-files"]
    monkeypatch.setattr(manifest_files, "MAX_MANIFEST_BYTES", len(PARTITION))
    assert len(open_source(repository.folder).snapshot().files) == 1


def test_a_tree_that_names_itself_over_and_over_is_given_up(repository: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = repository("mktree", stdin=b"100644 blob %s\ta\n" % repository.blob(b"x").encode())
    for _ in range(8):
        tree = repository("mktree", stdin=b"".join(b"040000 tree %s\td%d\n" % (tree.encode(), n) for n in range(10)))
    repository("update-ref", "refs/heads/main", repository("commit-tree", tree, "-m", "bomb"))
    monkeypatch.setattr("reconciler.desired.git.sources.commit_snapshot.MAX_ENTRIES", 1000)
    assert "more than 1,000 files" in why_not(open_source(repository.folder).snapshot).what


# Work trees


def test_a_work_tree_is_what_lies_on_disk(repository: Git) -> None:
    source = open_source(repository.folder, work_tree=True)
    first = source.snapshot()
    assert contents(first) == contents(open_source(repository.folder).snapshot())
    assert first.files == open_source(repository.folder).snapshot().files
    assert first.revision.id.startswith("worktree:")
    assert first.revision.commit is None
    repository.write({"racks/r1.yml": machine("m9")})
    assert source.snapshot().revision.id != first.revision.id
    assert contents(first)["racks/r1.yml"] == machine("m1").encode()


def test_a_work_tree_need_not_be_in_a_repository(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TENANT)
    assert paths(open_source(tmp_path, work_tree=True).snapshot()) == ["a.yaml"]


def test_on_disk_the_same_things_are_refused(repository: Git) -> None:
    top = repository.folder
    (top / "evil.yaml").symlink_to("/etc/passwd")
    (top / "link").symlink_to("racks")
    (top / "sub/.git").mkdir(parents=True)
    (top / "sub/a.yaml").write_text("x: 1")
    (top / "large.yaml").write_bytes(bytes(manifest_files.MAX_FILE + 1))
    os.mkfifo(top / "pipe.yaml")
    Path(os.fsdecode(os.fsencode(top) + b"/caf\xe9.yaml")).write_text("x: 1")
    snapshot = open_source(top, work_tree=True).snapshot()
    assert paths(snapshot) == ["partition.yaml", "racks/r1.yml"]
    assert dict(refused(snapshot)) == {
        "evil.yaml": "symlink",
        "link": "symlink",
        "sub": "submodule",
        "large.yaml": "file-too-large",
        "pipe.yaml": "not-a-file",
        "caf\\xe9.yaml": "odd-file-name",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(repository: Git) -> None:
    (repository.folder / "partition.yaml").chmod(0)
    assert refused(open_source(repository.folder, work_tree=True).snapshot()) == [("partition.yaml", "unreadable-file")]


# History


def last(source: DesiredSource, *keys: str) -> dict[str, str]:
    """The subject of the last commit that changed each document."""
    state = load_state(source.snapshot()).raise_for_errors()
    found = source.commits_for(state, map(ResourceKey.parse, keys))
    return {str(key): commit.subject for key, commit in found.items()}


def test_the_last_commit_that_touched_each_path(repository: Git) -> None:
    repository.commit({"tenant.yaml": TENANT}, "second", "2026-02-01T00:00:00Z")
    repository("checkout", "-q", "-b", "side")
    repository.commit({"racks/r1.yml": machine("m2")}, "on the side", "2026-02-02T00:00:00Z")
    repository("checkout", "-q", "main")
    repository.commit({"partition.yaml": PARTITION + "# x\n"}, "on main", "2026-02-03T00:00:00Z")
    repository("merge", "-q", "--no-ff", "-m", "merge", "side", when="2026-02-04T00:00:00Z")
    source = open_source(repository.folder)
    assert last(source, "Tenant/acme", "Machine/m2", "Partition/p1", "Machine/nowhere") == {
        "Tenant/acme": "second",
        "Machine/m2": "on the side",
        "Partition/p1": "on main",
    }
    assert last(source) == {}


def test_a_merge_counts_for_what_it_changed_itself(repository: Git) -> None:
    repository("checkout", "-q", "-b", "side")
    repository.commit({"partition.yaml": PARTITION + "# side\n"}, "side", "2026-02-01T00:00:00Z")
    repository("checkout", "-q", "main")
    repository.commit({"partition.yaml": PARTITION + "# main\n"}, "main", "2026-02-02T00:00:00Z")
    repository("merge", "-q", "--no-ff", "--no-commit", "-s", "ours", "side")
    repository.commit({"partition.yaml": PARTITION + "# both\n"}, "settled", "2026-02-03T00:00:00Z")
    source = open_source(repository.folder)
    assert last(source, "Partition/p1") == {"Partition/p1": "settled"}


def test_a_path_with_odd_characters_is_found_in_history(repository: Git) -> None:
    repository.commit({"b\u00e2ti 1/a.yaml": TENANT}, "spaced")
    source = open_source(repository.folder)
    assert last(source, "Tenant/acme") == {"Tenant/acme": "spaced"}


def test_among_several_documents_of_a_file_the_commit_that_changed_each_is_found(repository: Git) -> None:
    both = TENANT + "---\n" + TENANT.replace("acme", "other")
    repository.commit({"tenants.yaml": both}, "both")
    repository.commit({"tenants.yaml": "# a word\n" + both.replace("spec: {}", "spec: {description: x}", 1)}, "first")
    source = open_source(repository.folder)
    assert last(source, "Tenant/acme", "Tenant/other") == {"Tenant/acme": "first", "Tenant/other": "both"}


# Remotes


def remote(repository: Git, cache: Path, ref: str | None = None, path: str = "") -> DesiredSource:
    return open_source(f"file://{repository.folder}", ref, path, cache_dir=cache)


def test_a_remote_is_fetched_by_each_snapshot(repository: Git, tmp_path: Path) -> None:
    source = remote(repository, tmp_path / "cache")
    first = source.snapshot()
    assert (paths(first), first.revision.ref) == (["partition.yaml", "racks/r1.yml"], "main")
    newer = repository.commit({"tenant.yaml": TENANT}, "second")
    assert source.snapshot().revision.id == newer
    assert last(source, "Tenant/acme") == {"Tenant/acme": "second"}
    assert load_state(source.snapshot()).raise_for_errors().revision.id == newer


def test_a_remote_follows_its_default_branch_and_forced_pushes(repository: Git, tmp_path: Path) -> None:
    source = remote(repository, tmp_path / "cache")
    source.snapshot()
    repository("commit", "-q", "--amend", "-m", "amended")
    assert source.snapshot().revision.id == repository("rev-parse", "HEAD")
    repository("branch", "-m", "main", "trunk")
    assert source.snapshot().revision.ref == "trunk"


def test_a_remote_that_is_down_keeps_what_was_fetched(repository: Git, tmp_path: Path) -> None:
    source = remote(repository, tmp_path / "cache", "main")
    known = source.snapshot()
    moved = repository.folder.rename(tmp_path / "away")
    with pytest.raises(SourceUnavailable, match="cannot be fetched"):
        source.snapshot()
    assert paths(source.snapshot(known.revision.id)) == paths(known)
    moved.rename(repository.folder)
    assert source.snapshot().revision == known.revision


def test_a_cache_folder_that_cannot_be_written(repository: Git, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert (
        why_not(remote(repository, tmp_path / "file").snapshot).hint == "set another cache folder with XDG_CACHE_HOME"
    )


def test_a_remote_needs_a_cache_folder(repository: Git) -> None:
    assert "no cache folder is known" in why_not(lambda: open_source("https://git.example/fleet.git")).why


@pytest.mark.parametrize(
    "url", ["ext::sh -c true", "http://git.example/x", "fd::3", "rsync://git.example/x", "git://g.example/x"]
)
def test_other_ways_to_fetch_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        open_source(url, cache_dir=tmp_path)


@pytest.mark.parametrize("scheme", ["git", "http"])
def test_a_transport_that_proves_nothing_is_refused_in_words(scheme: str, tmp_path: Path) -> None:
    refused = why_not(lambda: open_source(f"{scheme}://git.example/fleet.git", cache_dir=tmp_path))
    assert "does not authenticate the server" in refused.why
    assert refused.hint == "use https, ssh or file"


def test_a_setting_of_git_cannot_lead_to_such_a_transport(repository: Git, tmp_path: Path) -> None:
    """`url.git://....insteadOf = https://` in a user's or a folder's settings."""
    assert "git" not in plumbing.PROTOCOLS.split(":")
    repository("config", "url.git://127.0.0.1:1/.insteadOf", "https://git.example/")
    with pytest.raises(plumbing.GitFailed, match="transport 'git' not allowed"):
        plumbing.run(repository.folder / ".git", "ls-remote", "https://git.example/fleet")


@pytest.mark.parametrize(
    "location", ["git@git.example:team/fleet.git", "ssh://git@git.example/fleet", "https://git.example/x"]
)
def test_remotes_are_opened_without_touching_the_network(location: str, tmp_path: Path) -> None:
    assert open_source(location, cache_dir=tmp_path).location


def test_a_password_in_a_url_is_in_no_message_and_no_argument(tmp_path: Path) -> None:
    url = "https://bot:hunter2@127.0.0.1:1/fleet.git"
    source = open_source(url, cache_dir=tmp_path)
    error = why_not(source.snapshot)
    assert isinstance(error, SourceUnavailable)
    assert "hunter2" not in repr(error) + str(error) + source.location
    bare, environment = plumbing.split_credentials("https://bot:hunter%202@git.example/fleet.git")
    assert bare == "https://git.example/fleet.git"
    assert (environment["GROUNDSTATE_GIT_USERNAME"], environment["GROUNDSTATE_GIT_PASSWORD"]) == ("bot", "hunter 2")
    assert why_not(lambda: open_source("https://bot:hunter2@git.example/x")).args[0].count("hunter2") == 0


def test_git_is_handed_the_password_by_a_helper_that_it_understands(tmp_path: Path) -> None:
    Git(tmp_path)
    _, environment = plumbing.split_credentials("https://bot:hunter%202@git.example/fleet.git")
    asked = b"protocol=https\nhost=git.example\n\n"
    said = plumbing.run(tmp_path / ".git", "credential", "fill", extra=environment, stdin=asked).decode()
    assert "username=bot" in said.splitlines()
    assert "password=hunter 2" in said.splitlines()


# Watching


class Watched:
    """A source that is watched in a thread; `ticks` holds a token for each time it said something may be new."""

    def __init__(self, source: DesiredSource, interval: float) -> None:
        self.ticks: Queue[None] = Queue()
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(source, interval), daemon=True)
        self._thread.start()

    def _run(self, source: DesiredSource, interval: float) -> None:
        for _ in source.watch(self.stop, interval, lambda: 0.0):
            self.ticks.put(None)

    def told(self) -> bool:
        """Whether something is said, in time."""
        try:
            self.ticks.get(timeout=20.0)
        except Empty:
            return False
        return True

    def end(self) -> bool:
        """Whether it ended when it was told to."""
        self.stop.set()
        self._thread.join(10)
        return not self._thread.is_alive()


@pytest.fixture
def watch() -> Iterator[Callable[[DesiredSource, float], Watched]]:
    begun: list[Watched] = []

    def begin(source: DesiredSource, interval: float) -> Watched:
        begun.append(Watched(source, interval))
        return begun[-1]

    yield begin
    assert all(watched.end() for watched in begun)


Begin = Callable[[DesiredSource, float], Watched]


def test_a_commit_is_noticed(repository: Git, watch: Begin) -> None:
    watched = watch(open_source(repository.folder), 600.0)
    assert watched.told(), "what came before the watch was set up is looked for"
    repository.commit({}, "again")
    assert watched.told()


def test_a_push_to_a_bare_repository_on_a_new_branch_is_noticed(repository: Git, watch: Begin, tmp_path: Path) -> None:
    repository("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    watched = watch(open_source(tmp_path / "bare.git"), 600.0)
    assert watched.told()
    repository("push", "-q", str(tmp_path / "bare.git"), "main:refs/heads/team/one")
    assert watched.told()
    assert watched.told(), "the new folder is watched too, from now on"
    repository("push", "-q", str(tmp_path / "bare.git"), "main:refs/heads/team/two")
    assert watched.told()


def test_an_edit_in_a_work_tree_is_noticed(repository: Git, watch: Begin) -> None:
    watched = watch(open_source(repository.folder, work_tree=True), 600.0)
    assert watched.told()
    repository.write({"racks/r1.yml": machine("m2")})
    assert watched.told()


def test_a_folder_that_went_away_is_asked_for_every_interval(repository: Git, watch: Begin, tmp_path: Path) -> None:
    watched = watch(open_source(repository.folder, work_tree=True), 0.05)
    assert watched.told()
    repository.folder.rename(tmp_path / "elsewhere")
    assert all(watched.told() for _ in range(3))


@pytest.mark.parametrize("kind", ["commit", "work tree", "remote"])
def test_without_a_sign_it_is_looked_at_every_interval(
    repository: Git, watch: Begin, tmp_path: Path, kind: str
) -> None:
    source = (
        remote(repository, tmp_path) if kind == "remote" else open_source(repository.folder, work_tree=kind != "commit")
    )
    watched = watch(source, 0.05)
    assert all(watched.told() for _ in range(3))
