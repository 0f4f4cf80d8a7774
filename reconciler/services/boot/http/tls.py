"""The certificate of the agent API. Machines trust its public key, which the boot script names, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID

from reconciler.services.boot.boot_settings import BootError

FILE = "boot-tls.pem"
_CERTIFICATE_LIFETIME = timedelta(days=3650)
RENEWED = timedelta(days=365)
"""The time before its end at which a certificate is made again, for the same key."""


class TlsIdentity(msgspec.Struct, frozen=True):
    """PEM files of certificate and key (the same file, where it is our own). Also `sha256//` and the base64 of the
    public key's SHA-256, as `curl --pinnedpubkey` takes it."""

    cert: Path
    key: Path
    pin: str


def given_identity(cert: Path, key: Path) -> TlsIdentity:
    """A certificate that the operator made. Raises BootError."""
    try:
        certificate = x509.load_pem_x509_certificate(cert.read_bytes())
    except (OSError, ValueError) as error:
        raise BootError(f"--boot-cert {cert}: cannot be read as a PEM certificate: {error}") from error
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise BootError(f"--boot-key {key}: cannot be read as a PEM key without a password: {error}") from error
    if _spki(private.public_key()) != _spki(certificate.public_key()):
        raise BootError(f"--boot-key {key} is not the key of --boot-cert {cert}; give a certificate and its key")
    return TlsIdentity(cert, key, pin(certificate))


def own_tls_identity(folder: Path, address: str, now: datetime) -> TlsIdentity:
    """Our own, made at the first call; the key stays the same whatever becomes of the certificate. Raises BootError."""
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        private = _key_of(path)
        certificate = _certificate_of(path) if private is not None else None
        if private is None or certificate is None or not _serves(certificate, address, now):
            private = private or ec.generate_private_key(ec.SECP256R1())
            certificate = _signed(private, address, now)
            _write(path, private, certificate)
    except (OSError, ValueError, TypeError) as error:
        hint = (
            "move the file away, and groundstate makes a new file; installations that are running must then be "
            "started again"
        )
        raise BootError(f"{path}: the boot service's certificate cannot be read or made: {error}; {hint}") from error
    return TlsIdentity(path, path, pin(certificate))


def pin(certificate: x509.Certificate) -> str:
    """The public key's digest in curl's form."""
    return "sha256//" + base64.b64encode(hashlib.sha256(_spki(certificate.public_key())).digest()).decode()


def _spki(public: object) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    encoded: bytes = public.public_bytes(serialization.Encoding.DER, form)  # type: ignore[attr-defined]  # of any kind
    return encoded


def _key_of(path: Path) -> CertificateIssuerPrivateKeyTypes | None:
    if not path.exists():
        return None
    found = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise ValueError("the key in the file is not an elliptic-curve key, so groundstate did not make this key")
    return found


def _certificate_of(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _serves(certificate: x509.Certificate, address: str, now: datetime) -> bool:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return _name(address) in names and now < certificate.not_valid_after_utc - RENEWED


def _name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        return x509.DNSName(address)


def _signed(key: CertificateIssuerPrivateKeyTypes, address: str, now: datetime) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "groundstate boot service")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks of machines without a battery may stand at any time, and these do not look; people's tools do.
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _CERTIFICATE_LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_name(address)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _write(path: Path, key: CertificateIssuerPrivateKeyTypes, certificate: x509.Certificate) -> None:
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(pem + certificate.public_bytes(serialization.Encoding.PEM))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
