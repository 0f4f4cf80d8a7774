"""BMCs with ciphers and keys that today's TLS refuses: refused in words, and taken where a document says so."""

from __future__ import annotations

import ssl
import threading
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from drivers.base import Tls, Unreachable
from drivers.bmc.redfish.redfish import RedfishDriver
from drivers.bmc.redfish.wire import redfish_tls
from drivers.bmc.redfish.wire.redfish_http import parse_bmc_address
from drivers.bmc.redfish.wire.redfish_tls import context_for
from tests.drivers.bmc_servers import RedfishServer, endpoint, service


def _weak(directory: Path, kind: str) -> tuple[ssl.SSLContext, Path]:
    """A server as old BMCs are, and the authority that vouches for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    if kind == "short key":
        key = rsa.generate_private_key(65537, 1024)  # noqa: S505  as old BMCs have
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bmc")])
        begin = datetime(2020, 1, 1, tzinfo=UTC)
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        made = made.serial_number(1).not_valid_before(begin).not_valid_after(begin + timedelta(days=36500))
        made = made.add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        signed = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        plain = serialization.NoEncryption()
        both = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain) + signed
        (directory / "bmc.pem").write_bytes(both)
        (directory / "own.pem").write_bytes(signed)
        context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0")
        context.load_cert_chain(directory / "bmc.pem")
        return context, directory / "own.pem"
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.RSA)
    if kind.startswith("TLS"):
        context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, kind)
        context.set_ciphers("ALL:@SECLEVEL=0")
    else:
        context.set_ciphers(f"{kind}:@SECLEVEL=0")
    leaf.configure_cert(context)
    authority.cert_pem.write_to_path(directory / "own.pem")
    return context, directory / "own.pem"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("kind", ["AES256-SHA", "AES256-GCM-SHA384", "short key", "TLSv1", "TLSv1_1"])
def test_old_ciphers_and_short_keys_are_taken_where_that_is_said(
    driver: RedfishDriver, tmp_path: Path, kind: str
) -> None:
    """ansible-collections/community.general#8555."""
    context, authority = _weak(tmp_path, kind)
    with RedfishServer(context, service()) as server:
        trusting = Tls(ca_file=str(authority))
        with pytest.raises(Unreachable, match=r"tls\.oldCiphers: true"):
            driver.open(endpoint(server, trusting)).read()
        assert not server.requests
        for tls in (msgspec.structs.replace(trusting, old_ciphers=True), Tls(insecure=True)):
            assert driver.open(endpoint(server, tls)).read().power == "On"


@pytest.mark.parametrize("kind", ["AES256-SHA", "short key"])
def test_a_bmc_with_old_ciphers_is_found(driver: RedfishDriver, tmp_path: Path, kind: str) -> None:
    context, _ = _weak(tmp_path, kind)
    with RedfishServer(context, service()) as server:
        found = driver.probe(server.address, Tls(), 5.0)
    assert found is not None
    assert (found.address, found.sure, found.trusted) == (server.address, True, False)


def test_a_certificate_for_another_name_asks_for_no_other_authority(driver: RedfishDriver, tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("bmc.example").configure_cert(context)
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    with RedfishServer(context, service()) as server, pytest.raises(Unreachable) as raised:
        driver.open(endpoint(server, Tls(ca_file=str(tmp_path / "ca.pem")))).read()
    assert "Set bmc.address to a name in the certificate, or bmc.tls to fingerprint" in str(raised.value)
    assert "caFile" not in str(raised.value)


@pytest.mark.parametrize("written", ["[fe80::1%25eth0]", "https://[fe80::1%eth0]:8443"])
def test_a_certificate_has_the_address_without_its_zone(written: str) -> None:
    """RFC 6874, 1: a zone means nothing to the other side."""
    assert parse_bmc_address(written, Tls()).certified == "fe80::1"


def test_threads_that_connect_at_once_share_one_context(monkeypatch: pytest.MonkeyPatch) -> None:
    made, others = list[ssl.SSLContext](), list[threading.Thread]()
    tls = Tls(fingerprint="sha256:" + "0" * 64)

    @lru_cache
    def slowly_made(*_: object, **__: bool) -> ssl.SSLContext:
        if not others:
            others.append(threading.Thread(target=context_for, args=(tls,)))
            others[0].start()
            others[0].join(0.1)  # It waits for this context, and does not end before.
        made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return made[-1]

    monkeypatch.setattr(redfish_tls, "_context", slowly_made)

    context_for(tls)
    others[0].join()

    assert len(made) == 1
