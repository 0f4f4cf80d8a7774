"""What an error of NATS means. Pure."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from drivers.base import AuthenticationFailed, DriverError, Forbidden, Rejected, SinkEndpoint, Unreachable, excerpt

SHOWN = 300
WRONG_LAST_ID = 10070
"""The server's code for another last message id than expected: the message before is not in the stream."""
TOO_LARGE = 10054
"""The server's code for a message beyond `max_msg_size` of the stream."""
_OTHER_STREAM = 10060


def error_code(error: BaseException | None) -> int | None:
    """The number of an error of JetStream."""
    code = getattr(error, "err_code", None)
    return code if isinstance(code, int) else None


def nats_words(error: BaseException) -> str:
    """What the server said; empty for a time-out. nats-py raises errors of Python for answers that it cannot read."""
    if isinstance(error, TypeError | LookupError | AttributeError | ValueError | RecursionError):
        return excerpt(f"the answer of the server cannot be read ({type(error).__name__}: {error})", SHOWN)
    if isinstance(error, TimeoutError) and not str(error):
        return ""
    said = getattr(error, "description", None) or str(error) or type(error).__name__
    return excerpt(str(said), SHOWN)


def nats_failure(
    endpoint: SinkEndpoint, error: BaseException, heard: Sequence[BaseException] = (), late: str = "", event: str = ""
) -> DriverError:
    """The error in the words of the server, and of what was heard beside it. `late` says what a time-out means.
    `event`: the id of the event that was not taken; empty before any was sent."""
    if isinstance(error, DriverError):
        return error
    said = "; ".join(dict.fromkeys(filter(None, map(nats_words, (*heard, error)))))
    words, low, code = f"{endpoint.address}: {said}", said.lower(), error_code(error)
    about = f" (event {event})" if event else ""
    if isinstance(error, ssl.SSLCertVerificationError) or "certificate verify failed" in low:
        return Unreachable(f"{words}; set tls.caFile to the authority that signed the certificate")
    if "authorization violation" in low or "authorization failed" in low:
        return AuthenticationFailed(f"{words}; check the user and password of credentialRef")
    if "permissions violation" in low:
        return Forbidden(f"{words}; allow the user to publish to gs.> and to subscribe to _INBOX.>")
    if "no response from stream" in low:
        return Rejected(
            f"{words}. No stream takes the subjects gs.>; create the stream {endpoint.stream}, or correct its subjects"
        )
    if code == _OTHER_STREAM:
        return Rejected(
            f"{words}. Another stream than {endpoint.stream} takes the subjects gs.>; correct spec.nats.stream, or the "
            "subjects of the streams"
        )
    if code == TOO_LARGE or "maximum payload" in low:
        return too_large(endpoint, event, said)
    if code is not None:
        return Rejected(f"{words}{about}")
    if not said:
        words = f"{endpoint.address}: {late}"
    return Unreachable(words, maybe_sent=bool(event))


def too_large(endpoint: SinkEndpoint, event: str, said: str) -> Rejected:
    """The server takes the event in no form, and with it none of those that follow."""
    return Rejected(
        f"{endpoint.address}: the event {event} is too large: {said}. Raise max_payload of the server, or max_msg_size "
        f"of the stream {endpoint.stream}"
    )
