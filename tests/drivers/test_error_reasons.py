"""What a BMC answers decides the reason of the error, and the reason decides what follows: as one table."""

from __future__ import annotations

from email.message import Message

import pytest

from drivers import base
from drivers.base import DriverError, ErrorReason, Rejected, SecretUnavailable
from drivers.bmc.redfish.wire.redfish_errors import error_of_reply
from drivers.bmc.redfish.wire.redfish_http import Reply
from drivers.registry import Registry
from reconciler.model.retry import POLICIES, retry_policy
from reconciler.observed.backend import read_failure_of

COMES_BACK = "waits", 5.0
SELDOM = "comes back", 900.0
FOR_GOOD = "for good", 300.0

ANSWERS = {
    301: (ErrorReason.REJECTED, FOR_GOOD),
    400: (ErrorReason.REJECTED, FOR_GOOD),
    401: (ErrorReason.AUTHENTICATION_FAILED, SELDOM),
    403: (ErrorReason.AUTHENTICATION_FAILED, SELDOM),
    404: (ErrorReason.REJECTED, FOR_GOOD),
    405: (ErrorReason.REJECTED, FOR_GOOD),
    409: (ErrorReason.BUSY, COMES_BACK),
    410: (ErrorReason.REJECTED, FOR_GOOD),
    412: (ErrorReason.BUSY, COMES_BACK),
    422: (ErrorReason.REJECTED, FOR_GOOD),
    423: (ErrorReason.BUSY, COMES_BACK),
    428: (ErrorReason.BUSY, COMES_BACK),
    429: (ErrorReason.BUSY, COMES_BACK),
    500: (ErrorReason.UNREACHABLE, COMES_BACK),
    501: (ErrorReason.UNSUPPORTED, FOR_GOOD),
    502: (ErrorReason.UNREACHABLE, COMES_BACK),
    503: (ErrorReason.BUSY, COMES_BACK),
    504: (ErrorReason.UNREACHABLE, COMES_BACK),
}


@pytest.mark.parametrize(("status", "follows"), ANSWERS.items(), ids=[str(status) for status in ANSWERS])
def test_an_http_status_has_a_reason_and_what_follows_from_it(
    status: int, follows: tuple[ErrorReason, tuple[str, float]]
) -> None:
    """BMCs that answered 403 were asked again after 60 s, which locks the account, and those that answered 404 too."""
    error = error_of_reply("GET", "/redfish/v1/Systems/1", "https://bmc.example", Reply(status, Message(), b"{}"))
    reason = read_failure_of(error).reason
    policy = retry_policy(reason)
    lived_with = "waits" if policy.passing else "for good" if policy.terminal else "comes back"
    assert (reason, (lived_with, policy.wait.first)) == follows


def test_each_reason_but_that_of_a_defect_is_the_reason_of_one_public_error() -> None:
    classes = [one for one in vars(base).values() if isinstance(one, type) and issubclass(one, DriverError)]
    own = [one for one in classes if "reason" in vars(one) and one is not DriverError] + [DriverError]
    assert sorted(one.reason for one in own) == sorted(set(ErrorReason) - {ErrorReason.INTERNAL})


def test_each_reason_has_its_policy() -> None:
    assert set(POLICIES) == set(ErrorReason)


def test_a_driver_s_own_error_inherits_the_reason_of_what_it_is_one_of() -> None:
    class Ipmi0xC9(Rejected):
        """A completion code."""

    assert read_failure_of(Ipmi0xC9("parameter out of range")).reason == ErrorReason.REJECTED


def test_a_secret_that_cannot_be_read_is_no_login_that_was_refused() -> None:
    """A credential source that was away for a minute kept machines from being read for 15, like a locked account."""
    with pytest.raises(SecretUnavailable) as raised:
        Registry().secret({"env": "GROUNDSTATE_NO_SUCH_LOGIN"})
    policy = retry_policy(read_failure_of(raised.value).reason)
    assert (policy.terminal, policy.wait.longest) == (False, 30.0)
