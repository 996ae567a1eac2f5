"""Reading a certificate by hand gives what OpenSSL gives, and no bytes do harm."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.doctor.certificates import parse_der, read_certificates
from tests.unit.edge_agent.doctor.authority import Authority


def handshake_says(authority: Authority, name: str) -> dict[str, object]:
    """What the standard library tells of a certificate it has verified, over memory alone."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(authority.directory / f"{name}.crt", authority.directory / f"{name}.key")
    client = ssl.create_default_context(cafile=str(authority.directory / "ca.crt"))
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(a, b, server_hostname="127.0.0.1"),
        server.wrap_bio(b, a, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = ends[0].getpeercert()
    assert found is not None
    return dict(found)


# 2060 has a time of another form than 2030.
@pytest.mark.parametrize("days", [1, 400, 15_000])
def test_names_and_times_are_those_of_openssl(tmp_path: Path, days: int) -> None:
    authority = Authority(tmp_path, days=20_000)
    authority.issue("farm-7", days=days)
    ours = read_certificates(tmp_path / "farm-7.crt")[0]
    theirs = handshake_says(authority, "farm-7")
    assert ours.common_name == "farm-7"
    assert ours.not_after == ssl.cert_time_to_seconds(str(theirs["notAfter"]))
    assert ours.not_before == ssl.cert_time_to_seconds(str(theirs["notBefore"]))
    assert ours.days_left(ours.not_after - 86_400) == 1.0


def test_what_the_openssl_program_makes_is_read_too(tmp_path: Path) -> None:
    for kind in ("rsa:2048", "ed25519"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", kind, "-nodes", "-days", "7", "-subj",
             "/O=Düne/CN=größe", "-utf8", "-keyout", tmp_path / "k", "-out", tmp_path / "c"],
            check=True, capture_output=True,
        )  # fmt: skip
        (found,) = read_certificates(tmp_path / "c")
        assert found.common_name == "größe"
        assert found.not_after - found.not_before == 7 * 86_400


# The referee has an opinion on the serial numbers of some.
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_every_authority_that_this_system_trusts_can_be_read() -> None:
    bundle = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
    found = read_certificates(bundle)
    referee = x509.load_pem_x509_certificates(bundle.read_bytes())
    assert [one.not_after for one in found] == [
        one.not_valid_after_utc.timestamp() for one in referee
    ]


def test_a_file_without_a_certificate_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    with pytest.raises(ValueError, match="no certificate in PEM form"):
        read_certificates(tmp_path / "empty")


@given(st.binary(max_size=200))
def test_noise_is_a_value_error_and_nothing_else(noise: bytes) -> None:
    with pytest.raises(ValueError):
        parse_der(noise)


@given(st.data())
def test_a_damaged_certificate_is_read_or_refused(data: st.DataObject) -> None:
    der = bytearray(_DER)
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(der)[: data.draw(st.integers(0, len(der)))]
    for damaged in (bytes(der), cut):
        try:
            parse_der(damaged)
        except ValueError:
            continue


def _example() -> bytes:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as name:
        return ssl.PEM_cert_to_DER_cert(Authority(Path(name)).issue("farm-7").read_text())


_DER = _example()
