"""A seal at the end of a model file: damage is found before native code sees it.

TFLite reads a model without verifying it and **crashes the process** on a truncated or bit-rotten
one (measured on tflite-runtime 2.14: 32 of 41 damaged copies ended in SIGSEGV), and `dlopen` of a
cut library can end in SIGBUS. An SD card does both to files. So the converters append
`MAGIC + SHA-256(everything before)` and the runtimes refuse a file whose seal does not fit.
FlatBuffers and ELF both ignore trailing bytes, so a sealed file still opens in any tool.

A seal proves that a file is whole, never who made it: that is the bundle's signature.
"""

from __future__ import annotations

import hashlib

from models.runtimes.base import RuntimeLoadError

MAGIC = b"solar-seal-v1\n\0\0"
_DIGEST_SIZE = hashlib.sha256().digest_size
_TRAILER_SIZE = len(MAGIC) + _DIGEST_SIZE


def seal(content: bytes) -> bytes:
    """`content` with its seal appended. `unseal(seal(x)) == x`."""
    return content + MAGIC + hashlib.sha256(content).digest()


def unseal(data: bytes, source: object) -> bytes:
    """The content of a sealed file.

    Args:
        data: the whole file.
        source: path or label, for the error.

    Raises:
        RuntimeLoadError: no seal (truncated, or not made by our converters), or a broken one.
    """
    content, trailer = data[:-_TRAILER_SIZE], data[-_TRAILER_SIZE:]
    if len(trailer) < _TRAILER_SIZE or not trailer.startswith(MAGIC):
        raise RuntimeLoadError(
            source,
            f"no seal at the end of its {len(data)} bytes: the file is cut short or was not "
            "written by the solar-central converters; fetch the bundle again",
        )
    if hashlib.sha256(content).digest() != trailer[len(MAGIC) :]:
        raise RuntimeLoadError(
            source, "its content does not match its seal: the file is damaged; fetch it again"
        )
    return content
