"""Checks that values of the contract make of themselves, so that whatever can be built can travel.

``decode(encode(x)) == x`` needs the same limits on both sides: decoders read them from here too.
"""

from __future__ import annotations

import math
import numbers
import re

from .errors import ContractError

MAX_TEXT = 200
"""Characters of a short text: names, versions, reasons."""
MAX_LONG_TEXT = 1000
"""Characters of a text written for a person."""
MAX_COUNT = 2**63 - 1
"""Largest whole number that travels: what SQLite and PostgreSQL can hold."""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether ``text`` is Unicode that UTF-8 and every database can hold.

    Half surrogate pairs have no UTF-8 form, and PostgreSQL stores no U+0000.
    """
    return _UNSTORABLE.search(text) is None


def check_text(text: object, field: str, longest: int = MAX_TEXT, *, shortest: int = 0) -> None:
    """Raise ``ContractError`` naming ``field`` unless ``text`` is storable and not too long."""
    if not isinstance(text, str) or not shortest <= len(text) <= longest:
        raise ContractError(f"{field} must be a text of {shortest} to {longest} characters")
    if not is_storable(text):
        raise ContractError(f"{field} holds U+0000 or half a surrogate pair")


def clip_text(text: str, longest: int = MAX_TEXT) -> str:
    """``text`` made to pass :func:`check_text`: for texts of others, such as an exception's."""
    clean = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def check_count(count: int, field: str, lowest: int = 0, highest: int = MAX_COUNT) -> None:
    """Raise ``ContractError`` naming ``field`` unless ``count`` is a whole number within limits."""
    if type(count) is not int or not lowest <= count <= highest:
        raise ContractError(f"{field} must be a whole number from {lowest} to {highest}")


def finite_number(value: object) -> float:
    """``value`` as a finite float without a negative zero: one number, one text.

    Takes any real number, NumPy's scalars included. Raises ``ContractError`` for NaN, infinity,
    integers beyond the range of a float, booleans and everything that is no number.
    """
    if type(value) is not float and (
        isinstance(value, bool) or not isinstance(value, numbers.Real)
    ):
        raise ContractError(f"must be a number, not {str(value)[:40]!r}")
    try:
        result = float(value)
    except OverflowError:
        raise ContractError("is too large for a number") from None
    if not math.isfinite(result):
        raise ContractError(f"must be a finite number, not {result}")
    return result + 0.0
