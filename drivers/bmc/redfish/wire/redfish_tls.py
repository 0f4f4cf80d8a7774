"""How a BMC's certificate is trusted, with one SSLContext for all BMCs of the same trust.

urllib3 loads the CA store again for every connection: about 17 ms of CPU and 0.85 MiB each.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from functools import lru_cache
from pathlib import Path

from drivers.base import Tls, Unreachable
from drivers.base.support import scheduling

CONNECT_SECONDS = 5.0
HANDSHAKE_SECONDS = 10.0
"""iDRACs of four years need more than five (siderolabs/omni-infra-provider-bare-metal#8)."""
_OLD = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:DHE+AES:RSA+AES:!aNULL:!eNULL:!aDSS:@SECLEVEL=0"
"""Still with a certificate and with AES: ansible-collections/community.general#8555."""
_TOO_OLD = (
    *("HANDSHAKE_FAILURE", "NO_SHARED_CIPHER", "KEY_TOO_SMALL", "KEY_TOO_WEAK", "MD_TOO_WEAK", "INSUFFICIENT_SECURITY"),
    *("WRONG_SIGNATURE_TYPE", "UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "VERSION_TOO_LOW", "LEGACY_RENEGOTIATION"),
)

_LEGACY_SERVER = 0x4
"""SSL_OP_LEGACY_SERVER_CONNECT, which Python names since 3.12."""

_making = scheduling.lock()


def context_for(tls: Tls) -> ssl.SSLContext:
    """The shared context; a CA file that was replaced makes a new one. Raises Unreachable for an unusable CA file."""
    # Without the lock, every thread that connects before the first context is made would make one of its own.
    if tls.insecure or tls.fingerprint:
        with _making:
            return _context(None, 0, verify=False, old=tls.insecure or tls.old_ciphers)
    try:
        stamp = Path(tls.ca_file).stat().st_mtime_ns if tls.ca_file else 0
        with _making:
            return _context(tls.ca_file, stamp, verify=True, old=tls.old_ciphers)
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, ssl.SSLError):
            reason = "the file contains no PEM certificate"
        raise Unreachable(f"bmc.tls.caFile {tls.ca_file} cannot be used: {reason}") from None


def check_pin(connection: socket.socket, tls: Tls) -> None:
    """To be called after the handshake, before a byte of a credential is sent. Raises Unreachable."""
    if not tls.fingerprint or not isinstance(connection, ssl.SSLSocket):
        return
    seen = fingerprint(connection)
    if seen != tls.fingerprint.lower():
        raise Unreachable(
            f"the fingerprint of the certificate is {seen}, but bmc.tls.fingerprint is {tls.fingerprint}. If the "
            "BMC got a new certificate, correct bmc.tls.fingerprint; if not, check that bmc.address is the right BMC"
        )


def fingerprint(connection: ssl.SSLSocket) -> str:
    """As `Tls.fingerprint` has it."""
    return "sha256:" + hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest()


OLD_CIPHERS = "Set bmc.tls.oldCiphers: true for this BMC, or renew the BMC's firmware or certificate"


def is_too_old(error: Exception) -> bool:
    """Whether the two sides agree on no cipher, or a key is too short for today's."""
    return isinstance(error, ssl.SSLError) and any(word in (error.reason or "") for word in _TOO_OLD)


def distrust(error: ssl.SSLCertVerificationError, host: str, port: int) -> str:
    """Why the certificate was not trusted, and the three ways out, with the fingerprint that was seen."""
    if "too weak" in error.verify_message or "too small" in error.verify_message:
        return f"the certificate is refused: {error.verify_message}. {OLD_CIPHERS}"
    seen, why = _seen(host, port), error.verify_message.rstrip(".")
    pin = f"fingerprint to pin the certificate{f' (seen: {seen})' if seen else ''}, or insecure: true"
    if "mismatch" in why:
        # Its authority is trusted; only the name is another one.
        return (
            f"the certificate is not trusted: {why}. Set bmc.address to a name in the certificate, or bmc.tls to {pin}"
        )
    ways = f"set caFile to the authority that signed the certificate, or {pin}"
    return f"the certificate is not trusted: {why}. In bmc.tls, {ways}"


@lru_cache(maxsize=64)
def _context(ca_file: str | None, _stamp: int, *, verify: bool, old: bool) -> ssl.SSLContext:
    if verify:
        context = ssl.create_default_context(cafile=ca_file)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if old:
        context.set_ciphers(_OLD)
        # TLS 1.0, and what OpenSSL 3 refuses to servers without RFC 5746 (iDRAC 7, Supermicro X9).
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.options |= _LEGACY_SERVER
    return context


def _seen(host: str, port: int) -> str | None:
    """A verified handshake that failed does not show the certificate, so it takes another, on which nothing is sent."""
    try:
        with (
            socket.create_connection((host, port), CONNECT_SECONDS) as plain,
            _context(None, 0, verify=False, old=True).wrap_socket(plain) as connection,
        ):
            return fingerprint(connection)
    except OSError:
        return None
