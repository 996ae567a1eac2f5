"""Bytes of a file to numbered lines of text, with a fingerprint.

Decides how a file is unpacked (gzip by content, not by name) and decoded. Leaves every meaning of
the lines to ``recognise`` and the formats.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

from .errors import IntakeError

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class SourceText:
    """The lines of a file; line ``n`` of an editor is ``lines[n - 1]``."""

    file: str
    lines: list[str]
    sha256: str


def read_text(path: Path) -> SourceText:
    """Read ``path``, plain or gzip, UTF-8 with or without a byte-order mark.

    Raises:
        IntakeError: the file is missing, unreadable, a broken archive, empty, or not text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise IntakeError(f"cannot be read ({reason}); check the path", file=str(path)) from error
    if content.startswith(_GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise IntakeError(
                f"is a damaged gzip file ({error}); fetch it again", file=path.name
            ) from error
    return decode(content, path.name)


def decode(content: bytes, file: str) -> SourceText:
    """Text of ``content``. Raises ``IntakeError`` when it is empty or not UTF-8 text."""
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        raise IntakeError(
            "holds zero bytes, so it is not a text file; export it again as CSV",
            file=file,
            line=line,
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise IntakeError(
            f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8",
            file=file,
            line=line,
        ) from error
    lines = [line.rstrip("\r") for line in text.split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise IntakeError("is empty; export it again", file=file)
    return SourceText(file, lines, hashlib.sha256(content).hexdigest())
