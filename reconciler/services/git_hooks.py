"""What a git server sends when a branch was pushed. Nothing of it is believed but that it knows the secret."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

MOST_BYTES = 25 * 1024 * 1024
"""The largest request of GitHub. It is read in parts, and not kept."""
SIGNED_BY = ("X-Hub-Signature-256", "X-Gitea-Signature", "X-Forgejo-Signature")
"""Headers with the HMAC-SHA256 of the body in hex, with or without `sha256=` before it."""
TOKEN = "X-Gitlab-Token"  # noqa: S105  the name of a header
"""GitLab sends the secret itself."""

HookSecrets = Mapping[str, Callable[[], str]]
"""By the name of the hook, what gives its secret; that raises SecretUnavailable."""
NO_HOOKS: HookSecrets = MappingProxyType({})


def body_length(said: str) -> int | None:
    """Bytes of the body by its Content-Length; None for a length that is none, or beyond the limit."""
    if not re.fullmatch(r"[0-9]{1,12}", said, re.ASCII):
        return None
    return length if (length := int(said)) <= MOST_BYTES else None


def is_authentic(secret: str, headers: Mapping[str, str], body: Iterable[bytes]) -> bool:
    """Whether the sender knows the secret, by the signature of GitHub, Gitea or Forgejo, or the token of GitLab. The
    body is read to its end in any case. Compared in constant time."""
    key = secret.encode()
    digest = hmac.new(key, digestmod=hashlib.sha256)
    for part in body:
        digest.update(part)
    wanted = digest.hexdigest().encode()
    shown = [_latin(headers[name]).removeprefix(b"sha256=") for name in SIGNED_BY if headers.get(name)]
    if shown:
        return all(hmac.compare_digest(one.strip().lower(), wanted) for one in shown)
    return hmac.compare_digest(_latin(headers.get(TOKEN) or ""), key)


def _latin(text: str) -> bytes:
    return text.encode("latin-1", "replace")
