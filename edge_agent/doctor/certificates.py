"""Who a certificate names and until when it holds, read without a library.

The standard library tells this only of certificates that it has verified in a handshake, so an
expired one would not say when it expired. A certificate is nested (tag, length, content); the few
fields wanted here lie at fixed places (RFC 5280, 4.1). Trust is never decided from what is read
here: OpenSSL does that.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_VERSION = 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_COMMON_NAME = bytes((0x55, 0x04, 0x03))  # 2.5.4.3
_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True)
class CertificateInfo:
    """What is said of a certificate; real time, seconds since 1970."""

    common_name: str
    not_before: float
    not_after: float

    def days_left(self, now: float) -> float:
        """Days until it expires; negative after that."""
        return (self.not_after - now) / 86_400


def read_certificates(file: Path) -> list[CertificateInfo]:
    """All certificates of a PEM file. Raises ``OSError``, ``ValueError``."""
    text = file.read_text(encoding="ascii", errors="replace")
    blocks = [part.partition(_END)[0] for part in text.split(_BEGIN)[1:]]
    if not blocks:
        raise ValueError("holds no certificate in PEM form")
    return [parse_der(ssl.PEM_cert_to_DER_cert(f"{_BEGIN}{block}{_END}\n")) for block in blocks]


def parse_der(der: bytes) -> CertificateInfo:
    """One certificate. Raises ``ValueError`` when it is none."""
    try:
        ((_, certificate),) = _elements(der)
        (_, to_be_signed), *_ = _elements(certificate)
        fields = list(_elements(to_be_signed))
        if fields[0][0] == _VERSION:
            del fields[0]
        # serial number, signature algorithm, issuer, validity, subject, ...
        (_, validity), (_, subject) = fields[3], fields[4]
        (first_tag, first), (last_tag, last) = _elements(validity)
        name = _common_name(subject)
        return CertificateInfo(name, _time(first_tag, first), _time(last_tag, last))
    except (IndexError, TypeError) as error:
        raise ValueError(f"is no certificate ({error})") from None


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(data):
        tag, length, place = data[place], data[place + 1], place + 2
        if length & 0x80:
            size = length & 0x7F
            length, place = int.from_bytes(data[place : place + size]), place + size
        if place + length > len(data):
            raise ValueError("is cut short")
        yield tag, data[place : place + length]
        place += length


def _common_name(subject: bytes) -> str:
    for _, relative in _elements(subject):
        for _, pair in _elements(relative):
            (_, kind), (_, value) = _elements(pair)
            if kind == _COMMON_NAME:
                return value.decode("utf-8", errors="replace")
    return ""


def _time(tag: int, content: bytes) -> float:
    text = content.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year; 50 and above are of the last century
        text = ("19" if text >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("has a time of an unknown form")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
