"""Which format a file is, by what its first lines say, never by its name.

A damaged file should still be recognised, so that the error can name the damaged line: any one of
the telling lines among the first three is enough.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from .errors import IntakeError
from .source_text import SourceText


class SourceFormat(StrEnum):
    """Formats that the intake reads."""

    NSRDB = "nsrdb"
    """NSRDB CSV: metadata names, metadata values, header, data. Typical years too."""
    TMY3 = "tmy3"
    """NREL TMY3 CSV: station line, header, data."""


_NSRDB_SIGNS = (
    re.compile(r"Source,Location ID,", re.I),
    re.compile(r"NSRDB,", re.I),
    re.compile(r"Year,Month,Day,Hour,Minute(,|$)", re.I),
)
_TMY3_SIGNS = (
    re.compile(r"Date \(MM/DD/YYYY\),Time \(HH:MM\)", re.I),
    re.compile(r'\d{6},"?[^",]+"?,[A-Z]{2},-?\d'),
)

KNOWN_FORMATS = (
    "NSRDB (a line 'Source,Location ID,...', a line of values, a header "
    "'Year,Month,Day,Hour,Minute,...') and TMY3 (a station line, a "
    "header 'Date (MM/DD/YYYY),Time (HH:MM),...')"
)


def sign_of(head: Sequence[str]) -> SourceFormat | None:
    """The format that one of the first three lines tells of; None when none does."""
    if any(sign.match(line) for line in head[:3] for sign in _TMY3_SIGNS):
        return SourceFormat.TMY3
    if any(sign.match(line) for line in head[:3] for sign in _NSRDB_SIGNS):
        return SourceFormat.NSRDB
    return None


def recognise(text: SourceText) -> SourceFormat:
    """Format of ``text``. Raises ``IntakeError`` naming the known formats when it is none."""
    if (found := sign_of(text.lines)) is not None:
        return found
    raise IntakeError(
        f"unknown format, begins with {text.lines[0][:60]!r}; known formats: {KNOWN_FORMATS}",
        file=text.file,
        line=1,
    )
