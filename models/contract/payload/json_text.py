"""JSON text <-> parsed values: the one canonical form, and a reader that believes nothing.

Size and depth are bounded before parsing; what Python's reader would let through although it is no
JSON or cannot be stored (NaN, 1e999, a key given twice, half a surrogate pair, U+0000) is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from ..checks import is_storable
from ..errors import ContractError, PayloadError
from ..fields import Json

MAX_PAYLOAD = 1_000_000
"""Largest payload in bytes, compressed or not, that is looked at."""
MAX_BATCH = 8_000_000
"""Largest batch after decompression."""
MAX_DEPTH = 8
JOURNAL_KEY = ("epoch", "seq")
"""Keys that name a journal entry; in the live form they stand beside the entry's own."""

_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
# Every match ends at the closing quote or at the end of the data, so the search stays linear.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_SUSPICIOUS_ESCAPE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")

_encoder = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
)


def canonical(value: Json) -> str:
    """The one text form of a JSON value: sorted keys, no blanks, no NaN.

    Raises ``ContractError`` for NaN, infinity and what is no JSON value.
    """
    try:
        return _encoder.encode(value)
    except (ValueError, TypeError) as error:
        raise ContractError(f"has no JSON form: {error}") from None


def parse_json(data: bytes, limit: int = MAX_PAYLOAD) -> dict[str, Any]:
    """The JSON object in ``data``. Raises ``PayloadError`` for anything else, NaN included."""
    if len(data) > limit:
        raise PayloadError(f"{len(data)} bytes, at most {limit} are accepted")
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check_depth(_STRING.sub(b"", data))
    try:
        value = _decoder.decode(data.decode("utf-8"))
    except PayloadError:
        raise
    except (ValueError, RecursionError) as error:
        raise PayloadError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise PayloadError("not a JSON object")
    if _SUSPICIOUS_ESCAPE.search(data) and not all(map(is_storable, _texts(value))):
        raise PayloadError("holds U+0000 or half a surrogate pair in a text")
    return value


def _check_depth(data_without_strings: bytes) -> None:
    depth = 0
    for byte in data_without_strings.translate(None, delete=_NOT_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > MAX_DEPTH:
            raise PayloadError(f"nested deeper than {MAX_DEPTH}")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)


def _refuse_constant(constant: str) -> float:
    raise PayloadError(f"{constant} is not JSON; leave the value out and name a quality")


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise PayloadError(f"{text[:40]} is too large for a number")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise PayloadError("stands twice in one object", name)
            seen.add(name)
    return result


_decoder = json.JSONDecoder(
    parse_float=_parse_float, parse_constant=_refuse_constant, object_pairs_hook=_no_duplicates
)
