"""What becomes of the branch on which found machines are proposed: what is added, what is taken away, and why. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from reconciler.kinds.common.field_types.bmc_access import same_bmc
from reconciler.kinds.machine.spec import MachineSpec
from reconciler.model.resource import Resource
from reconciler.model.values.system_uuid import byte_swapped_uuid
from reconciler.onboarding.discovery import Declared, FoundSystem, Proposal
from reconciler.onboarding.undeclared import UndeclaredMachine, forge_text

_LISTED = 20


class BranchFile(msgspec.Struct, frozen=True):
    """A file in which the branch differs from where it began. `machines`: the Machines in it; `only`: and nothing
    else is. `added`: it was not there at the beginning. `merged`: the followed branch has, or had, just this. `broken`:
    not all of it can be read."""

    path: str
    machines: tuple[Resource[MachineSpec], ...] = ()
    only: bool = False
    added: bool = True
    merged: bool = False
    broken: bool = False


class Branch(msgspec.Struct, frozen=True):
    """The branch as the remote has it; `tip` None: it has none. `merged`: all of it is in the followed branch.
    `deleted`: paths that a person deleted on it. `paths`: what is in the folder of found machines, there or in the
    followed branch."""

    tip: str | None = None
    merged: bool = False
    files: tuple[BranchFile, ...] = ()
    deleted: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()


class Start(StrEnum):
    """Where the next commit begins."""

    FOLLOWED = "followed"
    """There is no branch, or all of it was merged: from the followed branch."""
    ANEW = "anew"
    """What the branch holds was taken in by other commits. From the followed branch, with the old tip as its second
    parent, so that nothing has to be forced."""
    TIP = "tip"
    """The branch is open: new commits follow, and the commits of people stay."""


class Update(msgspec.Struct, frozen=True):
    """A commit to be made: files to be written, and paths to be taken away."""

    start: Start
    add: Mapping[str, str]
    remove: tuple[str, ...] = ()


def stale(branch: Branch, machines: Iterable[Resource[MachineSpec]], there: Declared) -> list[BranchFile]:
    """Files of the branch whose machines are all declared meanwhile, in other words: they would be declared twice.

    `machines`, `there`: what the followed branch declares.
    """
    systems: dict[str, set[str | None]] = {}
    for one in machines:
        systems.setdefault(same_bmc(one.spec.bmc.address), set()).add(one.spec.bmc.system_id)

    def is_declared(one: Resource[MachineSpec]) -> bool:
        ids = systems.get(same_bmc(one.spec.bmc.address), set())
        own = one.spec.bmc.system_id
        uuid = one.annotations.get("uuid", "").lower()
        is_known = bool({uuid, byte_swapped_uuid(uuid)} & there.uuids.keys()) or one.key.name in there.names
        return is_known or bool(ids & {own, None}) or (own is None and bool(ids))

    mine = (one for one in branch.files if one.added and one.only and one.machines and not one.merged)
    return [one for one in mine if all(map(is_declared, one.machines))]


def still_open(branch: Branch, gone: Collection[BranchFile]) -> list[BranchFile]:
    """Files of the branch that were not merged."""
    return [one for one in branch.files if not one.merged and one not in gone]


def is_finished(branch: Branch, gone: Collection[BranchFile]) -> bool:
    """Whether the branch held something, and all of it was taken in."""
    return bool(branch.files) and not still_open(branch, gone)


def undeclared_systems(found: Iterable[FoundSystem], there: Declared) -> list[FoundSystem]:
    """The found systems whose BMC is still not declared."""
    return [one for one in found if same_bmc(one.address) not in there.bmcs]


def proposal_paths(
    proposals: Sequence[Proposal], folder: str, branch: Branch, gone: Collection[BranchFile]
) -> dict[str, Proposal]:
    """Where each document goes: path -> proposal. One that people took away from the open branch is left out. So is one
    whose file cannot be read there, as people are working on that file. Nothing that is there is written over."""
    found: dict[str, Proposal] = {}
    taken = set(branch.paths)
    deleted = frozenset[str]() if is_finished(branch, gone) else branch.deleted
    broken = {one.path for one in branch.files if one.broken}
    for one in proposals:
        stem = f"{folder}/{one.name}" if folder else one.name
        path = next(path for path in _spellings(stem) if path not in taken)
        if path in deleted or f"{stem}.yaml" in broken:
            continue
        taken.add(path)
        found[path] = one
    return found


def _spellings(stem: str) -> Iterable[str]:
    yield f"{stem}.yaml"
    yield from (f"{stem}-{n}.yaml" for n in range(2, 1 << 20))


def update(branch: Branch, gone: Collection[BranchFile], add: Mapping[str, str]) -> Update | None:
    """The commit that brings the branch up to date; None when there is nothing to say."""
    removed = tuple(sorted(one.path for one in gone))
    if branch.tip is None or branch.merged:
        return Update(Start.FOLLOWED, add) if add else None
    if add and is_finished(branch, gone):
        return Update(Start.ANEW, add)
    return Update(Start.TIP, add, removed) if add or removed else None


def subject(added: int, removed: int) -> str:
    """The commit's first line."""
    said = [f"add {added} found machine{'' if added == 1 else 's'}"] if added else []
    said += (
        [f"leave out {'1 machine that is' if removed == 1 else f'{removed} machines that are'} already declared"]
        if removed
        else []
    )
    return ", ".join(said).capitalize() if len(said) < 2 else f"{said[0].capitalize()}, {said[1]}"


def proposal_message(this: Update, proposals: Sequence[Proposal], lone: Sequence[UndeclaredMachine]) -> str:
    """The commit's message, which forges offer as a pull request's text."""
    removed = len(this.remove) if this.start is Start.TIP else 0
    lines = [subject(len(this.add), removed), ""]
    if proposals:
        lines += ["groundstate sends nothing to these machines before they are adopted (lifecycle.mode Observe).", ""]
        lines += [f"- {_described(one)}" for one in proposals]
    if removed:
        lines += (
            ["", ("Already declared in other commits:"), ""]
            if proposals
            else ["Already declared in other commits:", ""]
        )
        lines += [f"- {path}" for path in this.remove]
    if lone:
        lines += [
            "",
            "Found by the boot service, without a matching BMC. A document needs the bmc.address of the machine,",
        ]
        lines += ["so a person must find that address:", ""]
        lines += [f"- {one}" for one in lone[:_LISTED]]
        lines += [f"- and {len(lone) - _LISTED} more"] if len(lone) > _LISTED else []
    return "\n".join(lines) + "\n"


def _described(one: Proposal) -> str:
    document = one.document
    said = document["metadata"].get("annotations", {})
    what = " ".join(forge_text(said[name]) for name in ("manufacturer", "model") if said.get(name))
    serial = f"serial {forge_text(said['serial'])}" if said.get("serial") else ""
    parts = [f"Machine/{one.name} at {document['spec']['bmc']['address']}", what, serial, *one.notes]
    return "; ".join(filter(None, parts))
