"""A run of records of one form, column by column: how a week of backlog becomes small and quick.

Numbers of one quantity differ little from poll to poll. A column is kept as whole numbers of a
decimal place, as differences from the number before or from the middle, whichever is smaller; what
has no short decimal form stays as it is. Everything is still JSON, and exact: the same floats come
back, so the body of a record has one digest, whichever way it travelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from ..checks import MAX_COUNT, finite_number
from ..errors import ContractError, PayloadError
from ..fields import Fields, Json, checked
from ..messages import Entry, EntryKey, Kind
from ..timestamps import Instant, check_instant
from .forms import RecordForm, form_from_json, form_to_json

_DECIMALS = range(6)
"""Decimal places that are tried; 5 hold every resolution of the devices we know."""
_EXACT = 2**53
"""Whole numbers up to here are floats without loss."""
_LOOK = 16
"""Numbers that decide which decimal place is tried first."""


@dataclass(frozen=True)
class RecordBlock:
    """Records of one form, ascending by ``seqs``. ``columns[k]`` holds the values of
    ``form.names[k]``, finite floats; all columns are as long as ``seqs`` and ``times``."""

    form: RecordForm
    seqs: Sequence[int]
    times: Sequence[Instant]
    columns: Sequence[Sequence[float]]

    def __post_init__(self) -> None:
        length = len(self.seqs)
        if not length or len(self.times) != length or len(self.columns) != len(self.form.names):
            raise ContractError("a block needs as many times as seqs, and a column for each name")
        if any(len(column) != length for column in self.columns):
            raise ContractError("the columns of a block must be of one length")
        if self.seqs[0] < 1 or self.seqs[-1] > MAX_COUNT:
            raise ContractError(f"seqs must be from 1 to {MAX_COUNT}")
        if any(one >= other for one, other in pairwise(self.seqs)):
            raise ContractError("seqs of a block must ascend")
        check_instant(min(self.times))
        check_instant(max(self.times))

    def __len__(self) -> int:
        return len(self.seqs)

    def bodies(self) -> Iterator[str]:
        """Canonical body of each record."""
        if not self.columns:
            yield from (self.form.body(at, ()) for at in self.times)
            return
        body = self.form.body
        for at, values in zip(self.times, zip(*self.columns, strict=True), strict=True):
            yield body(at, values)

    def entries(self, epoch: str) -> Iterator[Entry]:
        """The same as journal entries."""
        for seq, body in zip(self.seqs, self.bodies(), strict=True):
            yield Entry(EntryKey(epoch, seq), Kind.RECORD, body)

    def head(self, count: int) -> RecordBlock:
        """The first ``count`` records, at least one."""
        columns = [column[:count] for column in self.columns]
        return RecordBlock(self.form, self.seqs[:count], self.times[:count], columns)


def block_to_json(block: RecordBlock) -> dict[str, Json]:
    """``{form, seqs, times, columns}``, every list shortened as :func:`pack_numbers` does."""
    return {
        "form": form_to_json(block.form),
        "seqs": _differences(block.seqs),
        "times": _differences(block.times),
        "columns": [pack_numbers(column) for column in block.columns],
    }


def block_from_json(body: Any, path: str) -> RecordBlock:
    """Strict inverse of :func:`block_to_json`; ``path`` names it in errors."""
    if not isinstance(body, dict):
        raise PayloadError("must be an object", path)
    fields = Fields(body, path)
    form = form_from_json(fields.mapping("form"), f"{path}.form")
    seqs = _sums(fields.array("seqs"), f"{path}.seqs")
    times = _sums(fields.array("times"), f"{path}.times")
    columns = [
        unpack_numbers(column, f"{path}.columns[{index}]")
        for index, column in enumerate(fields.array("columns"))
    ]
    fields.finish()
    return checked(lambda: RecordBlock(form, seqs, times, columns), path)


def pack_numbers(values: Sequence[float]) -> list[Json]:
    """Finite floats, exactly, in the shortest of three ways; the first item says which.

    ``["f", v, ...]`` as they are; ``["d", decimals, first, difference, ...]`` each from the one
    before; ``["m", decimals, middle, distance, ...]`` each from the middle. The latter two in units
    of ``10**-decimals``.
    """
    found = _whole_numbers(values)
    if found is None:
        return ["f", *values]
    decimals, numbers = found
    steps = [after - before for before, after in pairwise(numbers)]
    middle = sorted(numbers)[len(numbers) // 2]
    distances = [number - middle for number in numbers]
    if sum(map(abs, steps)) <= sum(map(abs, distances)):
        return ["d", decimals, numbers[0], *steps]
    return ["m", decimals, middle, *distances]


def unpack_numbers(packed: Any, path: str) -> list[float]:
    """Inverse of :func:`pack_numbers`. Raises ``PayloadError`` for anything else."""
    if not isinstance(packed, list) or len(packed) < 2:
        raise PayloadError("must be a list with numbers in it", path)
    if packed[0] == "f":
        return checked(lambda: [finite_number(value) for value in packed[1:]], path)
    way, decimals = packed[:2]
    if way not in ("d", "m") or type(decimals) is not int or decimals not in _DECIMALS:
        raise PayloadError("must begin with f, or with d or m and 0 to 5 decimals", path)
    numbers = packed[2:]
    _check_whole(numbers, path)
    if way == "d":
        numbers = list(accumulate(numbers))
    else:
        middle = numbers[0]
        numbers = [middle + distance for distance in numbers[1:]]
    if not numbers or max(numbers) > _EXACT or min(numbers) < -_EXACT:
        raise PayloadError("must hold numbers that a float can keep exactly", path)
    scale = 10**decimals
    return [number / scale for number in numbers]


def _whole_numbers(values: Sequence[float]) -> tuple[int, list[int]] | None:
    """The fewest decimals with which every value is a whole number of units, and these numbers."""
    if max(values) > _EXACT / 10 or min(values) < -_EXACT / 10:
        return None
    for decimals in _DECIMALS:
        scale = 10**decimals
        # IEEE division rounds correctly, so equal here means the same float at the other end.
        if any(round(value * scale) / scale != value for value in values[:_LOOK]):
            continue
        numbers = [round(value * scale) for value in values]
        if max(numbers) > _EXACT or min(numbers) < -_EXACT:
            return None
        if [number / scale for number in numbers] == list(values):
            return decimals, numbers
    return None


def _differences(numbers: Sequence[int]) -> list[Json]:
    steps = (after - before for before, after in pairwise(numbers))
    return [numbers[0], *steps]


def _sums(steps: list[Any], path: str) -> list[int]:
    _check_whole(steps, path)
    return list(accumulate(steps))


def _check_whole(numbers: list[Any], path: str) -> None:
    # Booleans are whole numbers to Python and not to us.
    if not numbers or set(map(type, numbers)) != {int}:
        raise PayloadError("must be a list of whole numbers", path)
    if max(numbers) > MAX_COUNT or min(numbers) < -MAX_COUNT:
        raise PayloadError(f"holds a number beyond {MAX_COUNT}", path)
