"""What the BMCs of each vendor say over SSH, and what they want to hear, as data. Pure.

Sources, vendor by vendor (none of the vendors publishes all of it):

dell    Dell DRAC 5 User's Guide, "Using the connect com2 Serial Command", and iDRAC User's Guide, "Communicating with
        iDRAC through serial connection using SSH". iDRAC6 to 8 prompt `/admin1->`, iDRAC9 `racadm>>`. A session of a
        PowerEdge R750: the login is by keyboard-interactive, and the line begins with "Connected to Serial Device 2.
        To end type: ^\\".
hpe     HPE iLO 5 Scripting and Command Line Guide, "Virtual Serial Port support". Sessions of an iLO 3 show "Virtual
        Serial Port Active: COM2", "Virtual Serial Port is currently in use by another session." and `stop
        /system1/oemhp_vsp1`, which ends that other session. ConMan sends ESC Ctrl-B for a break.
lenovo  Lenovo XClarity Controller User's Guide, "console command". The SR650 V4 has other words (dsx-ai-factory/
        infra-controller#2919): `console start` in place of `console 1`. What a taken line is called is not documented.
esc (   MS-VUVP 2.2.1: ESC ( hands a serial port to the service processor. The iLO and the XCC follow this.
conserver  console(1): Ctrl-E c begins its commands, and Ctrl-E c | runs a program on the host of its client.
"""

from __future__ import annotations

import re
from enum import Enum

import msgspec


class SshDialect(msgspec.Struct, frozen=True):
    """How a line is opened in an SSH session, and left.

    `prompt`: of the BMC's own shell; empty where the session itself is the line. `commands`: open the line. A later one
    is tried where the BMC does not know the one before. `opened`: what the BMC says then; empty where it says nothing.
    `frees`: commands that take the line from another session; none where the BMC has no such command. `leave`: the keys
    that end the line. `leaves`: those that must never be typed (see Line). `break_keys`: stand for a break; None: the
    break is one of SSH (RFC 4335). Patterns are for text without terminal control.
    """

    name: str
    prompt: str = ""
    commands: tuple[str, ...] = ()
    opened: str = ""
    frees: tuple[str, ...] = ()
    leave: bytes = b""
    leaves: tuple[bytes, ...] = ()
    break_keys: bytes | None = None


DIALECTS = {
    one.name: one
    for one in (
        SshDialect(
            "dell",
            r"(/admin1[^>\s]{0,80}->|racadm>>)",
            ("console com2", "connect com2"),
            r"Connected to Serial Device[^\r\n]*",
            (),
            b"\x1c",
            (b"\x1c",),
            b"",
        ),
        SshDialect(
            "hpe",
            r"(</[^>\r\n]{0,80}>)?hpiLO->",
            ("vsp",),
            r"Virtual Serial Port active[^\r\n]*",
            ("stop /system1/oemhp_vsp1",),
            b"\x1b(",
            (b"\x1b(",),
            b"\x1b\x02",
        ),
        SshDialect(
            "lenovo",
            r"system>",
            ("console 1", "console start"),
            "",
            ("console kill 1", "console kill"),
            b"\x1b(",
            (b"\x1b(",),
            b"",
        ),
        SshDialect("conserver", leave=b"\x05c.", leaves=(b"\x05c",)),
        SshDialect("direct"),
    )
}
"""By name. `direct`: the session is the line, as on port 2200 of OpenBMC, or on a terminal server."""

_CURSOR = re.compile(rb"\x1b\[[0-9;]*[A-HJKSTdf]|\x1b[DEM]")
_TERMINAL_CONTROL = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-Z]|[=>78cHNOZ])|\x00"
)
_TAKEN = re.compile(
    r"(?i)\b(in use|already (active|open|connected)|another (user|session)|is busy|too many sessions"
    r"|maximum number of)\b"
)
_UNKNOWN = re.compile(
    r"(?i)(unknown|invalid|unrecognized|illegal) (sub)?(command|verb|target|argument|option|parameter)"
    r"|command not (recognized|found|supported)|extraneous arguments|syntax error"
)


class ShellAnswer(Enum):
    """What the BMC answered."""

    OPENED = "opened"
    TAKEN = "taken"
    UNKNOWN = "unknown"
    PROMPT = "prompt"


def plain(said: bytes) -> str:
    """The text without colours. A movement of the cursor begins a line."""
    return _TERMINAL_CONTROL.sub(b"", _CURSOR.sub(b"\n", said)).decode("ascii", errors="replace")


def ends_with_prompt(dialect: SshDialect, text: str) -> bool:
    """Whether the text ends with the prompt of the BMC's shell, at the begin of a line."""
    return bool(dialect.prompt) and re.search(rf"(^|[\r\n])[ \t]*{dialect.prompt}[ \t]*\Z", text) is not None


def has_prompt(dialect: SshDialect, text: str) -> bool:
    """Whether a line of the text begins with the prompt of the BMC's shell."""
    return bool(dialect.prompt) and re.search(rf"[\r\n][ \t]*{dialect.prompt}", text) is not None


def shell_answer(dialect: SshDialect, text: str) -> ShellAnswer | None:
    """What the text after a command means; None: nothing yet. What comes first counts: after the line is open, the
    machine may print anything."""
    patterns = [(ShellAnswer.TAKEN, _TAKEN), (ShellAnswer.UNKNOWN, _UNKNOWN)]
    if dialect.opened:
        patterns.append((ShellAnswer.OPENED, re.compile(dialect.opened, re.IGNORECASE)))
    found = [(match.start(), answer) for answer, pattern in patterns if (match := pattern.search(text)) is not None]
    if found:
        return min(found, key=lambda one: one[0])[1]
    return ShellAnswer.PROMPT if ends_with_prompt(dialect, text) else None


def of_the_machine(dialect: SshDialect, said: bytes) -> bytes:
    """What the machine has said already, when the line was opened with these bytes."""
    found = re.search(dialect.opened.encode(), said, re.IGNORECASE) if dialect.opened else None
    return said[found.end() :] if found is not None else said


def last_line(dialect: SshDialect, text: str, command: str) -> str:
    """The last line that says something: no prompt, and not the echo of the command."""
    lines = [re.sub(rf"^[ \t]*{dialect.prompt}", "", one).strip() for one in re.split(r"[\r\n]+", text)]
    return next((one[:200] for one in reversed(lines) if one and one != command), "")
