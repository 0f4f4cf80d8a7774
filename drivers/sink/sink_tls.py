"""How the certificate of a receiver is checked."""

from __future__ import annotations

import ssl

from drivers.base import SinkEndpoint, Unreachable


def tls_context(endpoint: SinkEndpoint) -> ssl.SSLContext:
    """By the CA file, or else by the system's authorities. Raises Unreachable for an unusable CA file."""
    try:
        context = ssl.create_default_context(cafile=endpoint.tls.ca_file)
    except OSError as error:
        why = "the file contains no PEM certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise Unreachable(f"tls.caFile {endpoint.tls.ca_file} cannot be used: {why}") from None
    if endpoint.tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
