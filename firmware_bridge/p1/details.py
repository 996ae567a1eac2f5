"""What a telegram tells besides the contract's quantities: names, units and times for people. Pure.

Every line gives a reading or a detail, known or not: ``solar-edge read`` shows all that a meter
sends. Devices behind the meter (gas, water, heat) are named after their kind and their channel.
"""

from __future__ import annotations

import re

from models.contract.record import Quality

from ..values import Decoded, Detail
from . import obis
from .lines import DataLine
from .obis import Kind
from .telegram import Telegram
from .values import (
    Absent,
    Malformed,
    parse_identifier,
    parse_message,
    parse_number,
    parse_time,
)

_NEVER_READ = "1970-"
"""The year of the clock of an M-Bus device that has not been read yet."""
_OLD_READING_GROUPS = 7
_DIGITS = re.compile("[0-9]{1,3}")


def add_details(telegram: Telegram, decoded: Decoded, *, raw: bool = False) -> list[str]:
    """Add a detail for every line; returns what is in no known form, and why."""
    adder = _Adder(telegram, decoded, raw=raw)
    decoded.details["identification"] = Detail(telegram.identification)
    for line in telegram.lines:
        adder.add(line)
    for number, text in enumerate(telegram.unread, 1):
        adder.without(f"unread_line_{number}", f"no line of a telegram: {text[:60]!r}", text)
    return adder.malformed


class _Adder:
    def __init__(self, telegram: Telegram, decoded: Decoded, *, raw: bool) -> None:
        self.malformed: list[str] = []
        self._decoded, self._raw = decoded, raw
        self._kinds = _mbus_kinds(telegram)

    def add(self, line: DataLine) -> None:
        """The detail of one line."""
        code = line.code
        if code.medium == 0 and code.channel > 0:
            self._add_mbus(line, (code.what, code.how, code.tariff))
            return
        if obis.is_quantity(code):
            return  # the reading says it all
        meaning = obis.meaning_of(code)
        if meaning is None:
            self._add_unknown(line)
        else:
            self._add_as(meaning.kind, meaning.name, line)

    def without(self, name: str, reason: str, text: str, unit: str = "") -> None:
        """A detail that has no value."""
        self._put(name, Detail(None, unit, Quality.MISSING), text, reason)

    def _add_as(self, kind: Kind, name: str, line: DataLine) -> None:
        groups = line.groups
        if kind is Kind.NUMBER and len(groups) == 2 and "*" not in groups[0]:
            self._add_timed(name, line)
            return
        if len(groups) > 1 or kind is Kind.TEXT:
            self._put(name, Detail(_joined(groups)), line.text)
            return
        try:
            self._put(name, _parse(kind, groups[0]), line.text)
        except (Absent, Malformed) as error:
            self._failed(name, error, line)

    def _add_timed(self, name: str, line: DataLine) -> None:
        """A value and the moment it belongs to."""
        time_text, value_text = line.groups
        try:
            time = parse_time(time_text)
            self._put(f"{name}_time", Detail(time), line.text)
        except (Absent, Malformed) as error:
            self._failed(f"{name}_time", error, line)
            time = ""
        try:
            number, unit = parse_number(value_text)
        except (Absent, Malformed) as error:
            self._failed(name, error, line)
            return
        if time.startswith(_NEVER_READ):
            self.without(name, "its time is 1970: not read yet", line.text, unit)
            return
        self._put(name, Detail(float(number), unit), line.text)

    def _add_mbus(self, line: DataLine, key: tuple[int, int, int]) -> None:
        channel = line.code.channel
        name = f"{self._kinds.get(channel, 'mbus')}_{channel}"
        if key == obis.MBUS_TYPE:
            shown = self._kinds.get(channel, f"type {line.groups[0]}")
            self._put(f"mbus_{channel}_type", Detail(shown), line.text)
        elif key in obis.MBUS_READINGS and len(line.groups) == 2:
            self._add_timed(f"{name}_reading", line)
        elif key == obis.MBUS_OLD_READING and len(line.groups) == _OLD_READING_GROUPS:
            time, _, _, _, _, unit, value = line.groups
            old = DataLine(line.code, (time, f"{value}*{unit}"), line.text)
            self._add_timed(f"{name}_reading", old)
        elif key in obis.MBUS_IDENTIFIERS:
            self._add_as(Kind.IDENTIFIER, f"{name}_id", line)
        elif key == obis.MBUS_VALVE:
            self._add_as(Kind.NUMBER, f"{name}_valve", line)
        else:
            self._add_unknown(line)

    def _add_unknown(self, line: DataLine) -> None:
        code = line.code
        numbers = (code.medium, code.channel, code.what, code.how, code.tariff)
        name = "obis_" + "_".join(map(str, numbers))
        if len(line.groups) == 1 and "*" in line.groups[0]:
            try:
                self._put(name, _parse(Kind.NUMBER, line.groups[0]), line.text)
                return
            except (Absent, Malformed):
                pass  # nobody says that it is a number
        self._put(name, Detail(_joined(line.groups)), line.text)

    def _failed(self, name: str, error: Absent | Malformed, line: DataLine) -> None:
        self.without(name, str(error), line.text)
        if isinstance(error, Malformed):
            self.malformed.append(f"{line.code}: {error}")

    def _put(self, name: str, detail: Detail, text: str, reason: str = "") -> None:
        decoded = self._decoded
        first, count = name, 2
        while name in decoded.details:  # some meters have two identifiers, or a line twice
            name, count = f"{first}_{count}", count + 1
        decoded.details[name] = detail
        if reason:
            decoded.reasons[name] = reason
        if self._raw:
            decoded.raw[name] = text


def _parse(kind: Kind, text: str) -> Detail:
    if kind is Kind.NUMBER:
        number, unit = parse_number(text)
        return Detail(float(number), unit)
    if kind is Kind.TIME:
        return Detail(parse_time(text))
    shown = parse_message(text) if kind is Kind.MESSAGE else parse_identifier(text)
    return Detail(shown)


def _joined(groups: tuple[str, ...]) -> str:
    return groups[0] if len(groups) == 1 else "".join(f"({group})" for group in groups)


def _mbus_kinds(telegram: Telegram) -> dict[int, str]:
    """What hangs on each channel, as far as the telegram says so."""
    kinds: dict[int, str] = {}
    for line in telegram.lines:
        code = line.code
        if (code.what, code.how, code.tariff) == obis.MBUS_TYPE and _DIGITS.fullmatch(
            line.groups[0]
        ):
            kind = obis.MBUS_KINDS.get(int(line.groups[0]))
            if kind is not None:
                kinds[code.channel] = kind
    return kinds
