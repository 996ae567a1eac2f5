"""Private keys: one PEM file each (ed25519, PKCS#8), mode 0600, in a directory per safe.

    offline/root-1.pem, root-2.pem    both sign every root; keep them off this machine
    offline/targets-1.pem             says which ring key is valid
    rings/canary-1.pem, fleet-1.pem   sign what a ring should run
    online/online-1.pem               signs snapshot and timestamp only

A key is never overwritten: replacing one adds the next number, and the metadata says which are
valid. So an interrupted replacement leaves an unused file, never a lost key. Losing one of the two
root keys ends the repository's ability to change its keys: copy ``offline/`` to two safes, then
remove it from this machine; weekly releases do not need it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner

from models.bundle.offer import RINGS

from .errors import ReleaseError

PLACES: Final = {
    "root": "offline",
    "targets": "offline",
    **dict.fromkeys(RINGS, "rings"),
    "online": "online",
}
"""Directory of each key's role, below the key directory."""
ROOT_THRESHOLD = 2


class KeyDirectory:
    """The private keys of one repository."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def create(cls, directory: Path) -> KeyDirectory:
        """Make the keys of a new repository. Raises ``ReleaseError`` where there are some."""
        keys = cls(directory)
        if found := sorted(directory.glob("*/*.pem")):
            raise ReleaseError(
                f"{found[0]} exists: keys are not made anew over old ones; use another directory"
            )
        for role in PLACES:
            for _ in range(ROOT_THRESHOLD if role == "root" else 1):
                keys.generate(role)
        return keys

    def generate(self, role: str) -> CryptoSigner:
        """Make the next key of ``role`` and keep it."""
        place = self.place(role)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        numbers = [number for number, _ in self._files(role)]
        path = place / f"{role}-{max(numbers, default=0) + 1}.pem"
        signer = CryptoSigner.generate_ed25519()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(signer.private_bytes)
            file.flush()
            os.fsync(file.fileno())
        return signer

    def signers(self, role: str) -> dict[str, CryptoSigner]:
        """Every key of ``role`` that is here, oldest first, by TUF key id; may be none.

        Raises:
            ReleaseError: a key file is readable by others, or is no ed25519 private key.
        """
        found = {}
        for _, path in self._files(role):
            signer = _load(path)
            found[signer.public_key.keyid] = signer
        return found

    def place(self, role: str) -> Path:
        """Directory that holds the keys of ``role``."""
        return self.directory / PLACES[role]

    def _files(self, role: str) -> list[tuple[int, Path]]:
        pattern = re.compile(rf"{role}-(\d+)\.pem", re.ASCII)
        place = self.place(role)
        names = place.iterdir() if place.is_dir() else ()
        return sorted(
            (int(match.group(1)), path) for path in names if (match := pattern.fullmatch(path.name))
        )


def _load(path: Path) -> CryptoSigner:
    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise ReleaseError(
                f"{path} has mode {mode:04o}: others may read this private key; run chmod 600, and"
                " replace the key if anyone did"
            )
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ReleaseError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError) as error:
        raise ReleaseError(f"{path}: is not an unencrypted PEM private key: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ReleaseError(f"{path}: is not an ed25519 key")
    return CryptoSigner(key)
