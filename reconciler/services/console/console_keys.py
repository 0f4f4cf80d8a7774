"""Which key is let in: asyncssh's own check, one line of authorized_keys after the other, and which line it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import asyncssh

from reconciler.kinds.common.consoles.ssh_keys import KeyLine
from reconciler.kinds.console.grants import ConsoleGrant

NO_OPTIONS: dict[str, object] = {}
_FAR = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


class GrantedKeys(asyncssh.SSHAuthorizedKeys):
    """The keys of the grants, for one login. `taken`: the grant by which the last key was let in."""

    def __init__(self, grants: Iterable[ConsoleGrant], now: Callable[[], datetime], tries: int, most: int) -> None:
        super().__init__()
        self._grants, self._now, self._most = tuple(grants), now, most
        self.taken: ConsoleGrant | None = None
        self.fingerprint = ""
        self.principals: tuple[str, ...] = ()
        """The principals of the accepted certificate. They alone distinguish the users of one authority."""
        self.ends: datetime | None = None
        """When the certificate ends that was shown last; None: never, or it was a key."""
        self.tries = tries
        """Keys and certificates that were shown in this login; no key gets in beyond `most`."""

    def __bool__(self) -> bool:
        """Keys are asked for whether there are any or not, so that the answer is the same."""
        return True

    def validate(
        self,
        key: asyncssh.SSHKey,
        client_host: str,
        client_addr: str,
        cert_principals: Sequence[str] | None = None,
        ca: bool = False,
    ) -> dict[str, object] | None:
        """asyncssh's hook: the options of the line that lets this key in, or None."""
        self.tries += 1
        if not ca:
            self.ends = None
        if self.is_exhausted:
            return None
        if ca and not cert_principals:
            # A certificate without principals would be good for every name (sshd refuses it too).
            return None
        for grant in self._grants:
            line = _entry(grant) if grant.authority == ca and grant.holds(self._now()) else None
            options = line.validate(key, client_host, client_addr, cert_principals, ca) if line is not None else None
            if options is not None:
                self.taken, self.fingerprint = grant, key.get_fingerprint()
                self.principals = tuple(cert_principals or ())
                return dict(options)
        return None

    @property
    def is_exhausted(self) -> bool:
        """Whether this login has shown too many keys."""
        return self.tries > self._most

    def validate_x509(self, *_certificate: object) -> tuple[None, None]:
        """asyncssh's hook: X.509 certificates are not let in."""
        return None, None


def certificate_end(certificate: Any) -> datetime | None:
    """When an OpenSSH certificate ends; None: never."""
    seconds = int(certificate._valid_before)
    return datetime.fromtimestamp(seconds, UTC) if seconds < _FAR else None


def _entry(grant: ConsoleGrant) -> asyncssh.SSHAuthorizedKeys | None:
    """The line as asyncssh reads it, without what it does not know."""
    options = [f'{name}="{value}"' if value is not None else name for name, value in _known(grant.key)]
    if grant.authority and "cert-authority" not in grant.key.options:
        options.append("cert-authority")
    if grant.principals:
        options.append(f'principals="{",".join(grant.principals)}"')
    return _imported(" ".join([*([",".join(options)] if options else []), grant.key.key]))


@lru_cache(4096)
def _imported(line: str) -> asyncssh.SSHAuthorizedKeys | None:
    """Read once, and not for each key that a storm of logins shows."""
    try:
        return asyncssh.import_authorized_keys(line)
    except ValueError:
        return None


def _known(line: KeyLine) -> Iterable[tuple[str, str | None]]:
    return [(name, value) for name, value in line.options.items() if name != "expiry-time"]
