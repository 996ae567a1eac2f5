"""A delimited text file as a stream of blocks: lines counted, ragged lines found, nothing kept.

Decides what a row is (a line that is not blank) and whether it has as many cells as the header.
A file of any size passes through in blocks of a few megabytes; rows never become Python objects,
their line numbers and faults are arrays. Leaves the meaning of the cells to ``series_file``.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from .errors import IntakeError
from .table import BoolArray, IntArray

Octets = npt.NDArray[np.uint8]
_GZIP_MAGIC = b"\x1f\x8b"
_BLOCK_BYTES = 4 << 20
_LONGEST_LINE = 1 << 16
_NEWLINE, _RETURN, _QUOTE = 10, 13, 34
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """Some rows of a file, in order."""

    text: bytes
    """One line per row, ready for a CSV parser; ragged rows are empty cells."""
    lines: IntArray
    """Line number in the file of each row."""
    ragged: BoolArray
    """Rows that have not as many cells as the header."""
    cells: IntArray
    """How many cells each row has."""


class TextStream:
    """The lines of a plain or gzip file, read once from front to back."""

    def __init__(self, path: Path) -> None:
        self.file = path.name
        self._digest = hashlib.sha256()
        self._path = path
        self._line = 0
        try:
            raw = path.open("rb")
        except OSError as error:
            reason = error.strerror or str(error)
            raise IntakeError(
                f"cannot be read ({reason}); check the path", file=str(path)
            ) from error
        packed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        self._raw: IO[bytes] = raw
        self._stream: IO[bytes] = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if packed else raw
        self._rest = b""

    @property
    def sha256(self) -> str:
        """Of what has been read so far, unpacked."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        self._raw.close()

    def head(self, lines: int) -> list[str]:
        """The first lines as text; what follows comes from :meth:`blocks`, the head included."""
        while self._rest.count(b"\n") < lines:
            more = self._read(1 << 16)
            if not more:
                break
            self._rest += more
            self._refuse_long_line(self._rest, first_line=1)
        text = self._decode(self._rest, first_line=1)
        return [line.rstrip("\r") for line in text.removeprefix("\ufeff").split("\n")[:lines]]

    def blocks(self, *, skip: int, separator: str, width: int) -> Iterator[Block]:
        """Everything after the first ``skip`` lines. ``separator`` may be a space: then any run of
        white space separates."""
        for chunk in self._chunks():
            first = self._line + 1
            self._line += chunk.count(b"\n")
            if self._line <= skip:
                continue
            self._decode(chunk, first_line=first)
            above = max(skip - first + 1, 0)
            rows = chunk.split(b"\n", above)[-1]
            block = _block(rows, first + above, separator, width)
            if block.lines.size:
                yield block

    def _chunks(self) -> Iterator[bytes]:
        """Whole lines, each with its newline."""
        rest, self._rest = self._rest, b""
        while True:
            more = self._read(_BLOCK_BYTES)
            rest += more
            if not more:
                if rest.strip():
                    yield rest if rest.endswith(b"\n") else rest + b"\n"
                return
            end = rest.rfind(b"\n") + 1
            self._refuse_long_line(rest, first_line=self._line + 1)
            if end:
                yield rest[:end]
                rest = rest[end:]

    def _read(self, size: int) -> bytes:
        try:
            content = self._stream.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise IntakeError(
                f"is a damaged gzip file ({error}); fetch it again", file=self.file
            ) from error
        self._digest.update(content)
        return content

    def _refuse_long_line(self, content: bytes, *, first_line: int) -> None:
        """Only the last line of ``content``, which nothing has ended yet."""
        if len(content) - content.rfind(b"\n") > _LONGEST_LINE:
            raise IntakeError(
                "has a line of more than 64 kB, so it is no table; export it again as CSV",
                file=self.file,
                line=first_line + content.count(b"\n"),
            )

    def _decode(self, content: bytes, *, first_line: int) -> str:
        if b"\0" in content:
            raise IntakeError(
                "holds zero bytes, so it is not a text file; export it again as CSV",
                file=self.file,
                line=first_line + content[: content.index(b"\0")].count(b"\n"),
            )
        # A head may end in the middle of a character.
        whole = content[: content.rfind(b"\n") + 1] or content
        try:
            return whole.decode("utf-8")
        except UnicodeDecodeError as error:
            raise IntakeError(
                f"byte 0x{whole[error.start]:02x} is not UTF-8; save the file as UTF-8",
                file=self.file,
                line=first_line + whole[: error.start].count(b"\n"),
            ) from error


def _block(chunk: bytes, first_line: int, separator: str, width: int) -> Block:
    if separator == " ":
        chunk = re.sub(rb"(?m)^[ \t]+|[ \t\r]+$", b"", chunk)
        chunk = re.sub(rb"[ \t]+", b",", chunk)
        separator = ","
    octets = np.frombuffer(chunk, dtype=np.uint8)
    ends = np.flatnonzero(octets == _NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    marks = np.cumsum(octets == ord(separator), dtype=np.int64)
    torn = _with_stray_returns(octets, starts, ends)
    if (octets == _QUOTE).any():
        quotes = np.cumsum(octets == _QUOTE)
        before = np.repeat(quotes[starts] - (octets[starts] == _QUOTE), ends - starts + 1)
        nth = quotes - before
        marks = np.cumsum((octets == ord(separator)) & (nth % 2 == 0), dtype=np.int64)
        torn |= _with_stray_quotes(octets, nth, ends, ord(separator))
    cells = marks[ends] - marks[starts] + (octets[starts] == ord(separator)) + 1
    content = ends - starts - ((ends > starts) & (octets[np.maximum(ends - 1, 0)] == _RETURN))
    rows = np.flatnonzero(content > 0)
    lines = first_line + rows
    ragged = (cells[rows] != width) | torn[rows]
    if ragged.any():
        # Lines of nothing but white space are blank, too.
        odd = np.flatnonzero(ragged)
        empty = [row for row in odd if not chunk[starts[rows[row]] : ends[rows[row]]].strip()]
        rows, ragged = np.delete(rows, empty), np.delete(ragged, empty)
        lines = first_line + rows
    if ragged.any() or rows.size < ends.size:
        chunk = _repaired(chunk, starts[rows], ends[rows], ragged, torn[rows], separator, width)
    return Block(chunk, lines.astype(np.int64), ragged, cells[rows])


def _with_stray_returns(octets: Octets, starts: IntArray, ends: IntArray) -> BoolArray:
    """Lines with a carriage return in their middle, which a CSV parser takes for a line end."""
    returns = np.flatnonzero(octets == _RETURN)
    stray = returns[octets[returns + 1] != _NEWLINE]
    torn = np.zeros(starts.size, dtype=np.bool_)
    torn[np.searchsorted(ends, stray)] = True
    return torn


def _with_stray_quotes(octets: Octets, nth: IntArray, ends: IntArray, separator: int) -> BoolArray:
    """Lines in which a quote is neither at the edge of a cell nor doubled, or is never closed."""
    places = np.flatnonzero(octets == _QUOTE)
    opening = nth[places] % 2 == 1
    before = octets[np.maximum(places - 1, 0)]
    begins = np.isin(before, (separator, _NEWLINE, _QUOTE)) | (places == 0)
    finishes = np.isin(octets[places + 1], (separator, _NEWLINE, _RETURN, _QUOTE))
    torn = nth[ends] % 2 == 1
    torn[np.searchsorted(ends, places[np.where(opening, ~begins, ~finishes)])] = True
    return np.asarray(torn)


def _repaired(
    chunk: bytes,
    starts: IntArray,
    ends: IntArray,
    ragged: BoolArray,
    torn: BoolArray,
    separator: str,
    width: int,
) -> bytes:
    """The rows alone. Ragged ones become empty cells; rows that are only longer by empty cells at
    their end are cut, and are ragged no more (``ragged`` is corrected in place)."""
    mark, padding = separator.encode(), f"{separator} \r\n".encode()
    rows = []
    for row, (start, end) in enumerate(zip(starts, ends, strict=True)):
        line = chunk[start : end + 1]
        if ragged[row]:
            bare = line.rstrip(padding)
            cells = bare.count(mark) + 1
            ragged[row] = torn[row] or cells > width or line.count(mark) + 1 < width
            line = (b"" if ragged[row] else bare + mark * (width - cells)) or mark * (width - 1)
            line += b"\n"
        rows.append(line)
    return b"".join(rows)
