"""Certificates for tests: an authority and what it signs, with any time of validity."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Writes ``NAME.crt`` and ``NAME.key`` into a directory; its own are called ``ca``."""

    def __init__(self, directory: Path, name: str = "ca", *, days: float = 3650) -> None:
        self.directory, self.name = directory, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._write(name, self._key, days, is_authority=True)

    def issue(self, name: str, *, days: float = 365, since_days: float = 1) -> Path:
        """A certificate that began ``since_days`` ago and holds for ``days`` from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        self._write(name, key, days, since_days=since_days)
        return self.directory / f"{name}.crt"

    def _write(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        days: float,
        *,
        since_days: float = 1,
        is_authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
                             x509.NameAttribute(NameOID.COMMON_NAME, name)])  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if is_authority else self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=since_days))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        (self.directory / f"{name}.crt").write_bytes(certificate.public_bytes(pem))
        key_file = self.directory / f"{name}.key"
        key_file.touch(mode=0o600)
        key_file.write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return certificate
