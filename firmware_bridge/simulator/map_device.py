"""A simulated device whose map stands in a profile file: any of them, as registers.

Puts the values of a moment into registers by the profile's own types, orders and scales: what the
profile says is what is sent. Whether the profile is right is not for a simulator to tell;
recordings of real devices are (``sources`` with the status ``verified``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from ..profile import Profile
from ..profile.decoder import Field
from ..profile.schema import IdentityCode, IdentityText, Register
from ..registers import REGISTER_TYPES, encode_number, encode_text
from .server import IllegalRead

_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS = 1, 2
_TEXTS = {"model": "Simulated", "serial_number": "SIM-0001", "version": "1.0"}

Values = Callable[[], Mapping[str, float]]
"""Values of this moment, by quantity or detail, base units (details: as sent)."""


class MapDevice:
    """A ``SimulatedDevice`` after ``profile``."""

    def __init__(self, profile: Profile, values: Values) -> None:
        self._profile, self._values = profile, values
        file = profile.file
        self._fields = [Field(file, register, 0) for register in file.registers]
        self._coded = {f.register.name: tuple(f.codes.values()) for f in self._fields if f.codes}
        self._width = 1 if file.is_bytewise else 2
        self._functions = {file.function_of(register) for register in file.registers}
        if file.identity is not None:
            self._functions.update(file.function_of(text) for text in file.identity.texts)
            if file.identity.code is not None:
                self._functions.add(file.function_of(file.identity.code))

    def read(self, function: int, address: int, count: int, *, nonsense: bool) -> list[int]:
        """See ``SimulatedDevice.read``."""
        if function not in self._functions:
            raise IllegalRead(_ILLEGAL_FUNCTION)
        data, known = self.image(function, address, count, nonsense=nonsense)
        bridge = self._profile.file.requests.bridge if self._profile.file.requests else 0
        longest_gap = gap = 0
        for place in known:
            gap = 0 if place else gap + 1
            longest_gap = max(longest_gap, gap)
        # One register behind the map belongs to what a device with gaps answers for, too.
        if longest_gap > bridge or not any(known):
            raise IllegalRead(_ILLEGAL_ADDRESS)
        return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]

    def image(
        self, function: int, address: int, count: int, *, nonsense: bool = False
    ) -> tuple[bytes, list[bool]]:
        """Bytes of ``count`` addresses from ``address``, and which of them are in the map."""
        data = bytearray(count * self._width)
        known = [False] * count
        values = dict(self._values())
        self._fill_parts(values)
        for field in self._fields:
            register = field.register
            if self._profile.file.function_of(register) != function:
                continue
            raw = self._encode(field, values, nonsense=nonsense)
            self._place(data, known, register.address - address, raw)
        identity = self._profile.file.identity
        if identity is not None:
            for text in identity.texts:
                if self._profile.file.function_of(text) == function:
                    raw = self._identity_text(text)
                    self._place(data, known, text.address - address, raw)
            if (
                identity.code is not None
                and self._profile.file.function_of(identity.code) == function
            ):
                raw = _identity_code(identity.code)
                self._place(data, known, identity.code.address - address, raw)
        return bytes(data), known

    def _place(self, data: bytearray, known: list[bool], at: int, raw: bytes) -> None:
        """Put ``raw`` at address ``at``; what lies outside ``data`` is cut off."""
        for i, byte in enumerate(raw):
            place = at * self._width + i
            if 0 <= place < len(data):
                data[place] = byte
                known[place // self._width] = True

    def _encode(self, field: Field, values: Mapping[str, float], *, nonsense: bool) -> bytes:
        register = field.register
        if register.is_text:
            return encode_text("", field.stop - field.start)
        kind = REGISTER_TYPES[register.type]
        if nonsense:
            return self._absent(field)
        value = values.get(register.name, 0.0)
        if field.codes is not None:
            raw_number = next((raw for raw, code in field.codes.items() if code == value), 0)
            number = float(raw_number)
        else:
            number = field.scaling.number(value)
        if not kind.is_integer:
            return encode_number(number, kind, register.order)
        signed = kind.code.islower()
        lowest = -kind.span / 2 if signed else 0.0
        highest = lowest + kind.span - 1
        whole = round(min(max(number, lowest), highest))
        if number > highest and register.quantity.endswith("energy"):
            whole = int(number % kind.span)
        return encode_number(whole, kind, register.order)

    def _absent(self, field: Field) -> bytes:
        kind = REGISTER_TYPES[field.register.type]
        if not kind.is_integer:
            return encode_number(math.nan, kind, field.register.order)
        if field.not_there:
            return encode_number(next(iter(field.not_there)), kind, field.register.order)
        return b"\xff" * kind.size

    def _fill_parts(self, values: dict[str, float]) -> None:
        """Values of the details that a quantity is computed from."""
        for rule in reversed(self._profile.file.derived):
            if rule.name not in values:
                continue
            value = values[rule.name]
            parts = [name for name in rule.of if name not in values]
            if rule.rule == "product":
                self._fill_factors(values, value, rule.of)
            elif rule.rule == "difference" and len(parts) == 2:
                values[rule.of[0]], values[rule.of[1]] = max(value, 0.0), max(-value, 0.0)
            else:
                for name in parts:
                    values[name] = value / len(rule.of) if rule.rule in ("sum", "total") else value
        for field in self._fields:
            if field.register.needs and field.register.name in values:
                needed = field.register.needs
                values.setdefault(needed, next(filter(None, self._coded.get(needed, ())), 1.0))

    def _fill_factors(self, values: dict[str, float], product: float, of: Sequence[str]) -> None:
        """Signs to those that have codes, the rest of ``product`` to the first of the others."""
        rest = product
        for name in of:
            if name not in values and (codes := self._coded.get(name)):
                fitting = [code for code in codes if code and (code < 0) == (rest < 0)]
                values[name] = next(iter(fitting), codes[0])
            rest /= values.get(name) or 1.0
        for name in of:
            if name not in values:
                values[name], rest = rest, 1.0

    def _identity_text(self, text: IdentityText) -> bytes:
        file = self._profile.file
        shown = {"manufacturer": file.manufacturer, **_TEXTS}[text.field]
        return encode_text(shown, text.count * self._width)


def _identity_code(code: IdentityCode) -> bytes:
    return encode_number(code.values[0], REGISTER_TYPES[code.type], code.order)


__all__ = ["MapDevice", "Register", "Values"]
