"""Public SSH keys as lines of authorized_keys: their form, and the options that stand before a key. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from reconciler.kinds.common.kind import RuleFinding

SshKey = Annotated[
    str, Meta(max_length=16384, description=("A public SSH key, in one line, as in an OpenSSH .pub file."))
]
_PUBLIC_KEY = re.compile(
    # A line of authorized_keys: options may stand before the key, and a comment after it.
    r"(?P<options>[^\n]+ )?(?P<key>(ssh-(ed25519|rsa)|ecdsa-sha2-nistp(256|384|521)"
    r"|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)[ \t]+[A-Za-z0-9+/]+={0,2})([ \t](?P<comment>[^\n]*))?\n?"
)
_OPTION = re.compile(r'(?P<name>[A-Za-z0-9-]+)(?:="(?P<value>(?:[^"\\]|\\.)*)")?(?:,|$)')
_REPEATED = ("environment", "permitlisten", "permitopen")
"""Options that may stand before a key more than once."""
_EXPIRY = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?Z?")
ACTING = ("command", "environment")
"""Options that decide what a login runs. A console runs nothing, so a key with one of them is not meant for it."""
_FORWARDING = ("agent-forwarding", "port-forwarding", "pty", "user-rc", "x11-forwarding")
HONOURED = {
    *("cert-authority", "expiry-time", "from", "no-touch-required", "principals", "restrict"),
    *_FORWARDING,
    *(f"no-{name}" for name in _FORWARDING),
    *("permitlisten", "permitopen", "tunnel"),
}
"""Options that hold here, those included that allow or forbid what a console never does (sshd(8))."""


class KeyLine(msgspec.Struct, frozen=True):
    """A line of authorized_keys. `key` is type and base64, `options` in the order of the line."""

    key: str
    options: dict[str, str | None]
    comment: str = ""

    @property
    def acting(self) -> tuple[str, ...]:
        """Those of ACTING that it has."""
        return tuple(name for name in ACTING if name in self.options)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Its options of which it is not known, or cannot be checked, what they demand: sshd refuses such a key too."""
        return tuple(name for name in self.options if name not in HONOURED and name not in ACTING)

    @property
    def is_usable(self) -> bool:
        """Whether it can be let in to a console."""
        return not self.acting and not self.unknown

    @property
    def until(self) -> datetime | None:
        """When the key ends (`expiry-time`, sshd(8)); None: never. Without `Z` the time is UTC here too, as the
        document does not say in which place it was meant. A time that cannot be read has passed."""
        if "expiry-time" not in self.options:
            return None
        found = _EXPIRY.fullmatch(self.options["expiry-time"] or "")
        try:
            if found is None:
                return _LONG_AGO
            year, month, day, hour, minute, second = (int(part) for part in found.groups(default="0"))
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            return _LONG_AGO


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def key_line(text: str) -> KeyLine | None:
    """The line in its parts; None for what is no line of authorized_keys, options that cannot be read included."""
    found = _PUBLIC_KEY.fullmatch(text)
    if found is None:
        return None
    options = _options((found["options"] or "").strip())
    if options is None:
        return None
    return KeyLine(" ".join(found["key"].split()), options, (found["comment"] or "").strip())


def _options(text: str) -> dict[str, str | None] | None:
    options: dict[str, str | None] = {}
    place = 0
    while place < len(text):
        found = _OPTION.match(text, place)
        if found is None or not found[0]:
            return None
        name = found["name"].lower()
        if name in options and name not in _REPEATED:
            return None
        options[name] = found["value"]
        place = found.end()
    return options


def check_public_keys(path: str, keys: Iterable[str]) -> Iterator[RuleFinding]:
    """What is no public key."""
    for index, key in enumerate(keys):
        if _PUBLIC_KEY.fullmatch(key) is None:
            what = "the key is a private key" if "PRIVATE KEY" in key else "a login needs the public key"
            hint = "paste the line from the .pub file" + (
                "; treat the private key as compromised" if "PRIVATE" in key else ""
            )
            yield RuleFinding("ssh-key", f"{path}.{index}", f"not a public SSH key: {what}", hint)


def check_console_keys(path: str, keys: Iterable[str]) -> Iterator[RuleFinding]:
    """Public keys that cannot be let in to consoles, because of their options."""
    for index, text in enumerate(keys):
        line = key_line(text)
        if line is None:
            if _PUBLIC_KEY.fullmatch(text) is not None:
                what = "the options before the key cannot be read"
                yield RuleFinding("console-key", f"{path}.{index}", what, 'write each once, as name or name="value"')
            continue
        for name in line.acting:
            what = f"a key with {name}= cannot be used for consoles, where nothing is run"
            yield RuleFinding("console-key", f"{path}.{index}", what, f"remove {name}=, or use another key")
        for name in line.unknown:
            what = f"the option {name} cannot be checked at a console"
            yield RuleFinding("console-key", f"{path}.{index}", what, f"remove {name}, or use another key")
        if line.until == _LONG_AGO:
            what = "expiry-time cannot be read"
            yield RuleFinding("console-key", f"{path}.{index}", what, 'write expiry-time="YYYYMMDD[HHMM[SS]]Z"')
