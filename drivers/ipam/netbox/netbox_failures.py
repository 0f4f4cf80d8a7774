"""What went wrong between here and NetBox: by the types of the errors, as several libraries wrap each other's."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Iterator

import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

NONSENSE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What comes of reading an answer that is not as it should be."""


class NotConnected(requests.ConnectionError):
    """Nothing was sent: no connection came about."""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and all that it was made of: libraries put one error into another."""
    seen, todo = set[int](), deque([error])
    while todo:
        one = todo.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        # Not what was being handled meanwhile (`__context__`): that says nothing of this request.
        inside = (*one.args, getattr(one, "reason", None), one.__cause__)
        todo.extend(found for found in inside if isinstance(found, BaseException))


def is_made_of(error: BaseException, kind: type[BaseException] | tuple[type[BaseException], ...]) -> bool:
    """Whether it is, or was made of, such an error."""
    return any(isinstance(one, kind) for one in _causes(error))


def _distrust(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """What is wrong with the certificate; None where that was not the cause."""
    return next((one for one in _causes(error) if isinstance(one, ssl.SSLCertVerificationError)), None)


def is_before_sending(error: Exception) -> bool:
    """Whether it failed ahead of the request: no connection, or none with the right one."""
    return isinstance(error, requests.exceptions.ConnectTimeout | NotConnected) or _distrust(error) is not None


def words_of(error: Exception) -> str:
    """What went wrong on the way to NetBox, or with its answer, for people."""
    if is_made_of(error, (TimeoutError, requests.Timeout, ReadTimeoutError)):
        return "no answer in time"
    if isinstance(error, NotConnected):
        reason = getattr(error.args[0], "reason", error) if error.args else error
        return f"no connection: {str(reason).rpartition(': ')[2]}"
    if (distrust := _distrust(error)) is not None:
        why = distrust.verify_message
        return (
            f"the certificate is not trusted: {why}; with --ipam-ca-file, name the file of the CA that signed "
            "the certificate"
        )
    if isinstance(error, requests.ConnectionError | HTTPError):
        return "NetBox closed the connection before the answer was complete"
    if isinstance(error, NONSENSE) and not isinstance(error, ValueError):
        return "the answer is not from NetBox; check --ipam-url"
    return str(error) or type(error).__name__
