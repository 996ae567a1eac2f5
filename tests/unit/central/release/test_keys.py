"""Private keys: who may read them, what is a key, and that none is ever overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from central.release.errors import ReleaseError
from central.release.keys import KeyDirectory


@pytest.fixture
def keys(tmp_path: Path) -> KeyDirectory:
    return KeyDirectory.create(tmp_path / "keys")


def test_each_safe_holds_its_keys_and_only_its_owner_reads_them(keys: KeyDirectory) -> None:
    files = sorted(path.relative_to(keys.directory) for path in keys.directory.rglob("*.pem"))
    assert [str(path) for path in files] == [
        "offline/root-1.pem",
        "offline/root-2.pem",
        "offline/targets-1.pem",
        "online/online-1.pem",
        "rings/canary-1.pem",
        "rings/fleet-1.pem",
    ]
    assert {(keys.directory / path).stat().st_mode & 0o777 for path in files} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in keys.directory.iterdir()} == {0o700}


def test_new_key_takes_the_next_number_and_the_old_one_stays(keys: KeyDirectory) -> None:
    before = keys.signers("root")
    fresh = keys.generate("root")
    after = keys.signers("root")
    assert list(after) == [*before, fresh.public_key.keyid]


def test_keys_are_not_made_over_old_ones(keys: KeyDirectory) -> None:
    with pytest.raises(ReleaseError, match=r"online-1\.pem exists|\.pem exists"):
        KeyDirectory.create(keys.directory)


def test_key_that_others_may_read_is_not_used(keys: KeyDirectory) -> None:
    path = keys.directory / "online" / "online-1.pem"
    path.chmod(0o640)
    with pytest.raises(ReleaseError, match=r"online-1.pem has mode 0640: .* chmod 600"):
        keys.signers("online")


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\n!\n"])
def test_file_that_is_no_key_is_named(keys: KeyDirectory, content: bytes) -> None:
    path = keys.directory / "rings" / "fleet-1.pem"
    path.write_bytes(content)
    with pytest.raises(ReleaseError, match=r"fleet-1.pem: is not an unencrypted PEM"):
        keys.signers("fleet")


def test_key_of_another_kind_is_named(keys: KeyDirectory) -> None:
    path = keys.directory / "rings" / "fleet-1.pem"
    other = generate_private_key(SECP256R1())
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ReleaseError, match=r"fleet-1.pem: is not an ed25519 key"):
        keys.signers("fleet")


def test_absent_keys_are_none(tmp_path: Path) -> None:
    assert KeyDirectory(tmp_path / "nothing").signers("root") == {}
