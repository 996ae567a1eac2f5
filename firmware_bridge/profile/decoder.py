"""Blocks of registers to values: the hot path of every poll.

A block's numbers come out of one ``struct`` call; what each of them means was worked out when the
profile was loaded. A value that is not good gets a reason. Judges each value by itself alone: what
needs memory (slopes, counters, waking up) is ``plausibility``'s matter.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from operator import itemgetter

from models.contract.quantities import QUANTITIES
from models.contract.record import Quality, Reading, good_reading
from models.contract.units import to_base

from ..poll_plan import Block
from ..registers import REGISTER_TYPES, RegisterType, decode_clock, decode_text, in_order
from ..values import Decoded, Detail
from .scaling import Scaling
from .schema import CLOCK, Derived, ProfileFile, Register

_Row = tuple[
    "Field", str, frozenset[float], float, float, float, float, float, float
]  # fmt: skip
MISSING = Reading(None, Quality.MISSING)
_OF_THOSE_THERE = ("mean", "total", "first")
"""Rules that leave out what is not there; of the others nothing may be missing."""


class Field:
    """One register, ready to be read out of a block."""

    __slots__ = (
        "codes",
        "highest",
        "kind",
        "lowest",
        "not_there",
        "register",
        "scaling",
        "start",
        "stop",
    )

    def __init__(self, file: ProfileFile, register: Register, base: int) -> None:
        self.register = register
        width = 1 if file.is_bytewise else 2
        self.start = (register.address - base) * width
        self.stop = self.start + file.span_of(register) * width
        self.kind = REGISTER_TYPES.get(register.type)
        self.not_there = self._not_there(file)
        # A detail keeps the unit that its document gives it; only quantities have base units.
        unit = register.unit if register.quantity else ""
        self.scaling = Scaling.of(register.scale, register.offset, unit)
        self.lowest, self.highest = self._limits()
        self.codes = {int(text, 0): value for text, value in (register.codes or {}).items()} or None

    def _limits(self) -> tuple[float, float]:
        """Values within are believed: the quantity's limits, the profile's, and no number that is
        the first or last its type can hold, which is what a device sends that has nothing to say
        (unsigned zero is a number)."""
        register, kind = self.register, self.kind
        if register.detail or kind is None:
            return -math.inf, math.inf
        quantity = QUANTITIES[register.quantity]
        lowest = quantity.lowest if register.lowest is None else register.lowest
        highest = quantity.highest if register.highest is None else register.highest
        if not kind.is_integer or register.not_there == ():
            return lowest, highest
        is_signed = kind.code.islower()
        last = kind.span / 2 - 1 if is_signed else kind.span - 1
        inside = [self.scaling.value(last - 1)]
        if is_signed:
            inside.append(self.scaling.value(-last))
        if register.scale > 0:
            highest = min(highest, inside[0])
            lowest = max(lowest, inside[1]) if is_signed else lowest
        else:
            lowest = max(lowest, inside[0])
            highest = min(highest, inside[1]) if is_signed else highest
        return lowest, highest

    def row(self) -> _Row:
        """What the hot path needs, in one tuple; limits that nothing meets send a number to
        :func:`_add`."""
        scaling = self.scaling
        plain = bool(self.register.quantity) and self.codes is None
        lowest, highest = (self.lowest, self.highest) if plain else (math.inf, -math.inf)
        arithmetic = (scaling.offset, scaling.times, scaling.over, scaling.shift)
        return (self, self.register.name, self.not_there, *arithmetic, lowest, highest)

    def why_not(self, number: float, value: float) -> str:
        """Why a value outside the limits is not believed."""
        kind = self.kind
        if kind is not None and kind.is_integer:
            last = kind.span / 2 - 1 if kind.code.islower() else kind.span - 1
            if number in (last, -last - 1):
                return f"{number:.0f} is the largest number that {kind.name} holds"
        return f"{value:g} is outside {self.lowest:g} to {self.highest:g}"

    def _not_there(self, file: ProfileFile) -> frozenset[float]:
        if self.kind is None:
            return frozenset()
        raw = self.register.not_there
        if raw is None:
            raw = file.not_there.get(self.kind.name, ())
        return frozenset(_number(pattern, self.kind) for pattern in raw)


class BlockDecoder:
    """Reads the registers of ``fields`` out of the bytes of one block."""

    def __init__(self, file: ProfileFile, block: Block, registers: Sequence[Register]) -> None:
        self.block, self.registers = block, tuple(registers)
        width = 1 if file.is_bytewise else 2
        fields = [Field(file, register, block.address) for register in registers]
        # What another order than the usual one needs: the block's bytes in a new order.
        order = list(range(block.count * width))
        layout, at = ">", 0
        self._fields: list[Field] = []
        self._texts = [field for field in fields if field.kind is None]
        self._twins: list[Field] = []  # read from the same bytes as another
        for field in sorted(fields, key=lambda field: field.start):
            if field.kind is None:
                continue
            if field.start < at:
                self._twins.append(field)
                continue
            layout += f"{field.start - at}x{field.kind.code}"
            at = field.stop if file.is_bytewise else field.start + field.kind.size
            self._fields.append(field)
            if field.register.order != "ABCD":
                places = bytes(range(field.kind.size))
                order[field.start : at] = [
                    field.start + place for place in in_order(places, field.register.order)
                ]
        self._rows = [field.row() for field in self._fields]
        self._struct = struct.Struct(layout)
        self._reorder = itemgetter(*order) if order != list(range(len(order))) else None
        self._size = len(order) if self._reorder else self._struct.size

    def decode(self, data: bytes, into: Decoded, *, raw: bool = False) -> None:
        """Add what ``data`` holds. Data that ends early leaves the values beyond it missing."""
        if len(data) >= self._size:
            ordered = bytes(self._reorder(data)) if self._reorder else data
            numbers = self._struct.unpack_from(ordered)
            readings = into.readings
            for row, number in zip(self._rows, numbers, strict=True):
                field, name, not_there, offset, times, over, shift, lowest, highest = row
                # NaN is within no limits, and neither is a row that needs more than arithmetic.
                value = (number + offset) * times / over + shift
                if lowest <= value <= highest and number not in not_there:
                    readings[name] = good_reading(value)
                else:
                    _add(into, field, number)
        else:
            self._decode_singly(data, self._fields, into)
        if self._twins:
            self._decode_singly(data, self._twins, into)
        for field in self._texts:
            _add_text(into, field, data[field.start : field.stop])
        if raw:
            for field in (*self._fields, *self._twins, *self._texts):
                into.raw[field.register.name] = data[field.start : field.stop].hex()

    def _decode_singly(self, data: bytes, fields: Sequence[Field], into: Decoded) -> None:
        for field in fields:
            assert field.kind is not None
            piece = data[field.start : field.start + field.kind.size]
            if len(piece) < field.kind.size:
                _without(into, field.register, "the reply ends before it")
                continue
            layout = ">" + field.kind.code
            number = struct.unpack(layout, in_order(piece, field.register.order))[0]
            _add(into, field, number)


def withhold(registers: Sequence[Register], into: Decoded) -> None:
    """Take back values whose ``needs`` was read and has no value: they mean nothing then."""
    for register in registers:
        if not register.needs or not _is_in(into, register.name):
            continue
        needed = _part(into, register.needs)
        if needed is not None and needed.value is None:
            _without(into, register, f"{register.needs} says that there is none")


def derive(rules: Sequence[Derived], into: Decoded) -> None:
    """Add the values that follow from others in ``into``; those of which nothing is there stay out.

    A value computed from a suspect one is suspect.
    """
    for rule in rules:
        parts = [_part(into, name) for name in rule.of]
        if all(part is None for part in parts):
            continue
        there = [part for part in parts if part is not None and part.value is not None]
        if not there or (rule.rule not in _OF_THOSE_THERE and len(there) < len(rule.of)):
            asleep = any(part is not None and part.quality is Quality.ASLEEP for part in parts)
            lost = next(
                name
                for name, part in zip(rule.of, parts, strict=True)
                if part is None or part.value is None
            )
            quality = Quality.ASLEEP if asleep else Quality.MISSING
            _put(into, rule, None, quality, f"{lost} is not there")
            continue
        value = _compute(rule.rule, [part.value for part in there if part.value is not None])
        suspect = next(
            (
                name
                for name, part in zip(rule.of, parts, strict=True)
                if part is not None and part.value is not None and part.quality is not Quality.GOOD
            ),
            None,
        )
        quality = Quality.GOOD if suspect is None else Quality.SUSPECT
        _put(into, rule, value, quality, f"follows from {suspect}" if suspect else "")


def _compute(rule: str, values: Sequence[float]) -> float:
    if rule == "difference":
        return values[0] - values[1]
    if rule == "product":
        product = 1.0
        for value in values:
            product *= value
        return product
    if rule == "first":
        return values[0]
    if rule == "magnitude":
        return abs(values[0])
    total = sum(values)
    return total / len(values) if rule == "mean" else total


def _part(decoded: Decoded, name: str) -> Reading | None:
    reading = decoded.readings.get(name)
    if reading is not None:
        return reading
    detail = decoded.details.get(name)
    if detail is None:
        return None
    if isinstance(detail.value, str) or detail.value is None:
        return Reading(None, Quality.MISSING)
    return Reading(detail.value, detail.quality)


def _put(into: Decoded, rule: Derived, value: float | None, quality: Quality, reason: str) -> None:
    if rule.detail:
        into.details[rule.detail] = Detail(value, rule.unit, quality)
    else:
        based = None if value is None else to_base(value, rule.unit or QUANTITIES[rule.name].unit)
        if based is not None and quality is Quality.GOOD:
            limits = QUANTITIES[rule.name]
            if not limits.lowest <= based <= limits.highest:
                quality, reason = Quality.SUSPECT, f"{based:g} is outside {limits.limits}"
        into.readings[rule.quantity] = Reading(based, quality)
    if reason and quality is not Quality.GOOD:
        into.reasons[rule.name] = reason


def _add(into: Decoded, field: Field, number: float) -> None:
    register = field.register
    if number in field.not_there or number != number:  # noqa: PLR0124  # only NaN differs from itself
        _without(into, register, "the device says that there is no value")
        return
    if field.codes is not None:
        coded = field.codes.get(int(number))
        if coded is None:
            _without(into, register, f"code {int(number):#x} has no known meaning")
        elif register.detail:
            into.details[register.detail] = Detail(coded, register.unit)
        else:
            into.readings[register.quantity] = Reading(coded)
        return
    scaling = field.scaling
    value = (number + scaling.offset) * scaling.times / scaling.over + scaling.shift
    if register.detail:
        into.details[register.detail] = Detail(value, register.unit)
        return
    if field.lowest <= value <= field.highest:
        into.readings[register.quantity] = Reading(value)
        return
    if math.isinf(value):
        _without(into, register, "the device sends infinity")
        return
    into.readings[register.quantity] = Reading(value, Quality.SUSPECT)
    into.reasons[register.quantity] = field.why_not(number, value)


def _add_text(into: Decoded, field: Field, raw: bytes) -> None:
    register = field.register
    if register.type != CLOCK:
        into.details[register.detail] = Detail(decode_text(raw))
        return
    text = decode_clock(raw) if len(raw) == field.stop - field.start else None
    if text is None:
        _without(into, register, "no such time")
    else:
        into.details[register.detail] = Detail(text)


def _is_in(decoded: Decoded, name: str) -> bool:
    return name in decoded.readings or name in decoded.details


def _without(into: Decoded, register: Register, reason: str) -> None:
    if register.detail:
        into.details[register.detail] = Detail(None, register.unit, Quality.MISSING)
    else:
        into.readings[register.quantity] = MISSING
    into.reasons[register.name] = reason


def _number(pattern: int, kind: RegisterType) -> float:
    number: float = struct.unpack(">" + kind.code, pattern.to_bytes(kind.size, "big"))[0]
    return number


def decode_blocks(
    decoders: Sequence[BlockDecoder],
    blocks: Mapping[Block, bytes],
    guarded: Sequence[Register],
    rules: Sequence[Derived],
    *,
    raw: bool = False,
) -> Decoded:
    """Everything that ``blocks`` hold, by the decoders made for them."""
    decoded = Decoded()
    for decoder in decoders:
        data = blocks.get(decoder.block)
        if data is not None:
            decoder.decode(data, decoded, raw=raw)
    withhold(guarded, decoded)
    derive(rules, decoded)
    return decoded
