"""What groundstate writes to git: the bytes that git itself would write, and nothing that settings or hooks add."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.desired.git.branches.commit_branch import commit_on_branch
from reconciler.desired.git.branches.new_repository import begin_repository, begin_with_commit, is_in_repository
from reconciler.desired.git.branches.proposal_branch import ProposalBranch
from reconciler.desired.git.commit_objects import Identity, commit_writer, identity_of
from reconciler.desired.git.plumbing import SourceError
from reconciler.desired.git.sources.open_source import open_source
from reconciler.onboarding.proposal import Start, Update
from reconciler.operations.operation_error import OperationError
from reconciler.operations.repository.init_repository import init_repository
from tests.unit.desired_worlds import PARTITION, Git

HOOKS = [
    *("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "post-checkout", "pre-push"),
    *("reference-transaction", "post-index-change", "post-rewrite"),
]
FILES = {"machines/a.yaml": "a: 1\nb: ä\n"}


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Where every program that must not run leaves its name."""
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def program(place: Path, marks: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\ntouch '{marks}/{place.name}'\nexit 1\n")
    place.chmod(0o755)
    return place


@pytest.fixture
def person(tmp_path: Path, marks: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose git settings sign, filter, hook and edit whatever they can."""
    home, folder = tmp_path / "home", tmp_path / "programs"
    for name in HOOKS:
        program(folder / "hooks" / name, marks)
        program(folder / "template/hooks" / name, marks)
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\nname = Ada\nemail = ada@fleet.example\nsigningKey = 0123456789ABCDEF\n"
        f"[gpg]\nprogram = {program(folder / 'gpg', marks)}\n"
        "[commit]\ngpgSign = true\n[tag]\ngpgSign = true\n[push]\ngpgSign = true\n"
        f"[core]\nautocrlf = true\nhooksPath = {folder / 'hooks'}\neditor = {program(folder / 'editor', marks)}\n"
        f"fsmonitor = {program(folder / 'fsmonitor', marks)}\n"
        f"[init]\ntemplateDir = {folder / 'template'}\ndefaultBranch = trunk\n[i18n]\ncommitEncoding = latin1\n"
        f'[filter "all"]\nclean = {program(folder / "clean", marks)}\nrequired = true\n'
    )
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return home


@pytest.fixture
def fleet(tmp_path: Path, marks: Path, person: Path) -> Git:
    """A repository with hooks of its own, all files of which a filter is named for."""
    git = Git(tmp_path / "fleet", "--template=")
    git.commit({"partition.yaml": PARTITION})
    git.commit({".gitattributes": "* text eol=crlf filter=all\n"})
    for name in HOOKS:
        program(git.folder / ".git/hooks" / name, marks)
    return git


def raw(git: Git, *words: str) -> bytes:
    return subprocess.run(["git", "-C", git.folder, *words], capture_output=True, check=True).stdout


def test_a_commit_on_a_branch_runs_nothing_and_is_as_it_was_given(fleet: Git, marks: Path) -> None:
    commit = commit_on_branch(fleet.folder, "found", "HEAD", FILES, "Füge sie hinzu\n")
    assert [one.name for one in marks.iterdir()] == []
    assert raw(fleet, "cat-file", "blob", "found:machines/a.yaml") == FILES["machines/a.yaml"].encode()
    said = raw(fleet, "cat-file", "commit", str(commit)).decode()
    assert "gpgsig" not in said
    assert "encoding" not in said
    assert said.endswith("\n\nFüge sie hinzu\n")
    assert "author Ada <ada@fleet.example> " in said


def test_a_proposal_runs_nothing_here(fleet: Git, marks: Path, tmp_path: Path) -> None:
    remote = Git(tmp_path / "remote.git", "--bare", "--template=")
    remote("config", "core.hooksPath", "/dev/null")  # What runs there is the remote's.
    fleet("-c", "core.hooksPath=/dev/null", "remote", "add", "origin", str(remote.folder))
    fleet("-c", "core.hooksPath=/dev/null", "push", "--quiet", "--no-signed", "origin", "main")
    for one in marks.iterdir():
        one.unlink()
    source = open_source(fleet.folder)
    branch = ProposalBranch(source, "found", "machines")  # type: ignore[arg-type]
    followed = source.snapshot().revision
    made = branch.go_on(followed, branch.fetch(followed), Update(Start.FOLLOWED, FILES, ()), "Add it\n")
    assert [one.name for one in marks.iterdir()] == []
    assert remote("rev-parse", "found") == made
    assert raw(remote, "cat-file", "blob", "found:machines/a.yaml") == FILES["machines/a.yaml"].encode()


def test_a_repository_for_the_demo_has_nothing_of_a_person_s_settings(
    tmp_path: Path, marks: Path, person: Path
) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "a.yaml").write_text("a: 1\n")
    begin_with_commit(folder, ["a.yaml"], "Begin", "Bob", "bob@fleet.example")
    assert [one.name for one in marks.iterdir()] == []
    assert not (folder / ".git/hooks").exists()
    said = subprocess.run(
        ["git", "-C", folder, "log", "--format=%an %cn %D %GK", "--name-only"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"GIT_CONFIG_GLOBAL": os.devnull},
    ).stdout
    assert said.split() == ["Bob", "Bob", "HEAD", "->", "main", "a.yaml"]


def test_a_repository_for_a_person_is_begun_as_their_settings_say(tmp_path: Path, person: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    assert not is_in_repository(folder)
    begin_repository(folder)
    assert (folder / ".git/HEAD").read_text() == "ref: refs/heads/trunk\n"
    assert (folder / ".git/hooks/pre-commit").exists()
    (folder / "inner").mkdir()
    assert is_in_repository(folder / "inner")


def test_a_calling_git_does_not_lead_it_elsewhere(fleet: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a hook, where GIT_DIR names the repository that the hook is of."""
    monkeypatch.setenv("GIT_DIR", str(fleet.folder / ".git"))
    folder = tmp_path / "own"
    folder.mkdir()
    assert not is_in_repository(folder)
    begin_repository(folder)
    assert (folder / ".git").is_dir()
    assert os.environ["GIT_DIR"] == str(fleet.folder / ".git")


@pytest.mark.parametrize("name", ["$HOME", "~", "a b", "-x", "ü"])
def test_a_folder_is_taken_by_its_name(
    tmp_path: Path, person: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """GitPython would put a variable's value into the name, and take ~ for the home."""
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    assert not is_in_repository(Path(name))
    begin_repository(Path(name))
    assert (tmp_path / name / ".git/HEAD").is_file()
    assert is_in_repository(Path(name))
    assert not (person / ".git").exists()


@pytest.mark.parametrize("inner", [".", "objects"])
@pytest.mark.parametrize("bare", [True, False])
def test_nothing_is_written_among_git_s_own_files(tmp_path: Path, bare: bool, inner: str) -> None:
    git = ["git", "init", "--quiet", *(["--bare"] if bare else []), str(tmp_path / "r")]
    subprocess.run(git, check=True)
    folder = tmp_path / "r" / ("." if bare else ".git") / inner
    before = sorted(folder.iterdir())
    with pytest.raises(OperationError, match=r"holds git's own files.*name another folder"):
        init_repository(folder)
    assert sorted(folder.iterdir()) == before


def test_where_git_refuses_to_begin_a_repository_no_document_is_written(tmp_path: Path, person: Path) -> None:
    (person / ".gitconfig").write_text("[init]\ndefaultBranch = no name\n")
    with pytest.raises(OperationError, match=r"invalid branch name"):
        init_repository(tmp_path / "fleet")
    assert {one.name for one in (tmp_path / "fleet").iterdir()} <= {".git"}


def test_settings_that_git_cannot_read_are_named(tmp_path: Path) -> None:
    """And git is not said to be missing."""
    (tmp_path / "config").write_text("[broken\n")
    said = "from pathlib import Path\nfrom reconciler.desired.git.branches.new_repository import begin_repository\n"
    said += "from reconciler.desired.git.plumbing import SourceError\n"
    said += "try: begin_repository(Path('.'))\nexcept SourceError as error: print(error)\n"
    environment = os.environ | {"GIT_CONFIG_GLOBAL": str(tmp_path / "config"), "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, env=environment)
    assert "bad config line 1" in done.stdout
    assert "install git" not in done.stdout


def test_without_git_it_is_said_so(tmp_path: Path) -> None:
    said = "from pathlib import Path\nfrom reconciler.desired.git.branches.new_repository import begin_repository\n"
    said += "from reconciler.desired.git.plumbing import SourceError\n"
    said += "try: begin_repository(Path('.'))\nexcept SourceError as error: print(error)\n"
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "git cannot be run; install git\n"


def test_a_home_without_a_name_is_refused_in_words(fleet: Git, person: Path) -> None:
    (person / ".gitconfig").write_text("[user]\nuseConfigOnly = true\n")
    with pytest.raises(SourceError, match=r"git does not know who commits.*git config --global user.name"):
        commit_on_branch(fleet.folder, "found", "HEAD", FILES, "Add it\n")
    with pytest.raises(subprocess.CalledProcessError):
        fleet("rev-parse", "--verify", "--quiet", "found")


@pytest.mark.parametrize("name", ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"])
def test_a_date_that_is_none_is_refused_by_its_name(
    fleet: Git, person: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whoever reads of `user.name` instead looks in the wrong place."""
    monkeypatch.setenv(name, "nonsense")
    with pytest.raises(SourceError, match=f"git cannot date the commit.*{name}") as refused:
        commit_on_branch(fleet.folder, "found", "HEAD", FILES, "Add it\n")
    assert "user.name" not in str(refused.value)
    with pytest.raises(SourceError, match=name):
        identity_of(fleet.folder / ".git", {})


def test_a_repository_without_a_commit_is_refused_with_what_to_do(tmp_path: Path, person: Path) -> None:
    begin_repository(tmp_path / "new")
    with pytest.raises(SourceError, match=r"HEAD is not a commit of this repository; .*commit once first"):
        commit_on_branch(tmp_path / "new", "found", "HEAD", FILES, "Add it\n")


def test_a_branch_that_stands_for_another_one_is_refused(fleet: Git) -> None:
    """The commit would be on the other branch, which a work tree may have."""
    fleet("symbolic-ref", "refs/heads/found", f"refs/heads/{fleet('branch', '--show-current').strip()}")
    before = fleet("rev-parse", "HEAD")
    with pytest.raises(SourceError, match="found is a symbolic ref to refs/heads/"):
        commit_on_branch(fleet.folder, "found", "HEAD", FILES, "Add it\n")
    assert fleet("rev-parse", "HEAD") == before


# -- beside others -----------------------------------------------------------------------------------------------------


def test_an_index_that_is_locked_is_in_nobody_s_way(fleet: Git) -> None:
    lock = fleet.folder / ".git/index.lock"
    lock.touch()
    assert commit_on_branch(fleet.folder, "found", "HEAD", FILES, "Add it\n")
    assert lock.exists()


def test_a_branch_that_is_locked_stays_as_it_is(fleet: Git) -> None:
    (fleet.folder / ".git/refs/heads/found.lock").touch()
    with pytest.raises(SourceError, match="nothing was committed on found"):
        commit_on_branch(fleet.folder, "found", "HEAD", FILES, "Add it\n")


def test_of_many_at_once_none_undoes_another(fleet: Git) -> None:
    def commit(number: int) -> str | None:
        try:
            return commit_on_branch(fleet.folder, "found", "HEAD", {f"machines/m{number}.yaml": "a: 1\n"}, "Add it\n")
        except SourceError:
            return None  # The branch had moved meanwhile.

    with ThreadPoolExecutor(6) as pool:
        made = [number for number, one in enumerate(pool.map(commit, range(12))) if one is not None]
    held = set(fleet("ls-tree", "-r", "--name-only", "found", "machines/").split())
    assert made
    assert held == {f"machines/m{number}.yaml" for number in made}


def test_a_shared_repository_stays_open_to_the_group(tmp_path: Path, person: Path) -> None:
    shared = Git(tmp_path / "shared", "--shared=group", "--template=")
    shared("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", "commit", "-q", "--allow-empty", "-m", "x")
    before = os.umask(0o077)
    try:
        commit_on_branch(shared.folder, "found", "HEAD", FILES, "Add it\n")
    finally:
        os.umask(before)
    folders = [one for one in (shared.folder / ".git/objects").iterdir() if len(one.name) == 2]
    assert {one.stat().st_mode & 0o070 for one in folders} == {0o070}


def test_objects_that_have_other_names_are_read_and_not_written(tmp_path: Path, person: Path) -> None:
    other = Git(tmp_path / "other", "--object-format=sha256", "--template=")
    other("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", "commit", "-q", "--allow-empty", "-m", "x")
    with pytest.raises(SourceError, match=r"object format sha256.*commit the files yourself"):
        commit_on_branch(other.folder, "found", "HEAD", FILES, "Add it\n")


# -- the same bytes as git's -------------------------------------------------------------------------------------------

paths = st.lists(st.sampled_from(["a", "a.b", "a-b", "a0", "b", "ä", "z z"]), min_size=1, max_size=3).map("/".join)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Git:
    """A tree of everything that git knows: a folder, a program, a link, a submodule, a name that is no UTF-8."""
    git = Git(tmp_path_factory.mktemp("odd") / "repo", "--template=")
    blob = git.blob(b"x\n")
    first = git.commit({"q/inner": "1\n"})
    tree = git("rev-parse", f"{first}^{{tree}}:q")
    git.commit_tree(
        ("100755", b"program", blob),
        ("40000", b"q", tree),
        ("120000", b"r", blob),
        ("160000", b"s", first),
        ("100644", b"t\xe4", blob),
    )
    return git


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(paths, st.text(max_size=9).filter(lambda t: t.isprintable()), max_size=5))
def test_a_tree_is_the_one_that_git_makes(odd: Git, files: dict[str, str], tmp_path: Path) -> None:
    kept = {path: text for path, text in files.items() if not any(other.startswith(f"{path}/") for other in files)}
    with commit_writer(odd.folder / ".git") as writer:
        made = writer.tree_with("main", kept)
        emptied = writer.tree_with("main", {"q/inner": None, "nothing/here": None})
    index = {"GIT_INDEX_FILE": str(tmp_path / "index")}

    def git(*words: str, stdin: bytes = b"") -> str:
        command = ["git", "-C", str(odd.folder), *words]
        return (
            subprocess.run(command, input=stdin, capture_output=True, check=True, env=os.environ | index)
            .stdout.decode()
            .strip()
        )

    git("read-tree", "main")
    for path, text in kept.items():
        git(
            "update-index",
            "--add",
            "--cacheinfo",
            f"100644,{git('hash-object', '-w', '--stdin', stdin=text.encode())},{path}",
        )
    assert made == git("write-tree")
    git("read-tree", "main")
    git("rm", "--cached", "-q", "q/inner")
    assert emptied == git("write-tree")


@pytest.mark.parametrize("zone", ["+0000", "+0530", "-0330", "+1245", "-1100"])
def test_a_commit_is_the_one_that_git_makes(odd: Git, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ada Ünal")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ada@fleet.example")
        monkeypatch.setenv(f"GIT_{who}_DATE", f"1767225600 {zone}")
    main, tree, other = odd("rev-parse", "main", "main^{tree}", "main:s").split()
    who_ = subprocess.run(["git", "var", "GIT_AUTHOR_IDENT"], capture_output=True, check=True, text=True).stdout.strip()
    with commit_writer(odd.folder / ".git") as writer:
        made = writer.commit(tree, [main, other], "Add ä\n\n- one\n", Identity(who_, who_))
    command = ["git", "-C", str(odd.folder), "commit-tree", "-p", main, "-p", other, tree]
    git = (
        subprocess.run(command, input="Add ä\n\n- one\n".encode(), capture_output=True, check=True)
        .stdout.decode()
        .strip()
    )
    assert made == git


@pytest.mark.parametrize("path", ["q", "program/x", ".git/config", "../x", "a//b"])
def test_a_path_that_cannot_be_is_refused_in_words(odd: Git, path: str) -> None:
    with pytest.raises(SourceError), commit_writer(odd.folder / ".git") as writer:
        writer.tree_with("main", {path: "x\n"})
