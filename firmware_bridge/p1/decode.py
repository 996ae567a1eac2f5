"""A telegram to quantities of the contract, and to details for people. Pure.

Powers and energies at the connection point come in two registers by direction; the contract has one
power, import positive. A value that cannot be had is missing with its reason and the others stand,
except in a telegram without a CRC: there a value in no known form means that bytes were damaged,
perhaps others too that still look right, and nothing of it is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from models.contract.quantities import QUANTITIES
from models.contract.record import Quality, Reading

from ..errors import Fault, TransientDeviceError
from ..settings import DeviceIdentity
from ..values import Decoded
from .details import add_details
from .lines import Code, DataLine
from .obis import ANY_TARIFF, ELECTRICITY
from .telegram import Telegram
from .values import Absent, Malformed, in_base

_SIGNED_MAKERS = ("ESY",)
"""EasyMeter's two-way meters send one power with a sign; it has an export register beside it."""
_MAKERS = {
    "ESY": "EasyMeter",
    "ISK": "Iskraemeco",
    "KFM": "Kaifa",
    "KMP": "Kamstrup",
    "LGF": "Landis+Gyr",
    "LGZ": "Landis+Gyr",
    "SAG": "Sagemcom",
}

Key = tuple[int, int, int]
Rule = Callable[[Sequence[Decimal]], Decimal]


class _Part:
    """The value of one line, or why it has none."""

    def __init__(self, key: Key, lines: Sequence[DataLine], base_unit: str) -> None:
        self.text = " ".join(dict.fromkeys(line.text for line in lines))
        self.value: Decimal | None = None
        self.reason = ""
        self.is_malformed = False
        self.is_signed = False
        name = ".".join(map(str, key))
        if len({line.groups for line in lines}) > 1:
            self.reason = f"{name} stands there twice, with different values"
            self.is_malformed = True
            return
        groups = lines[0].groups
        try:
            if len(groups) != 1:
                raise Malformed(f"{len(groups)} values instead of one")
            self.value = in_base(groups[0], base_unit)
            self.is_signed = groups[0][0] in "+-"
        except (Absent, Malformed) as error:
            self.reason = f"{name}: {error}"
            self.is_malformed = isinstance(error, Malformed)


def decode_telegram(telegram: Telegram, *, raw: bool = False) -> Decoded:
    """Everything that ``telegram`` tells.

    Raises:
        TransientDeviceError: It has no CRC and a value in no known form.
    """
    decoder = _Decoder(telegram, raw=raw)
    decoder.add_readings()
    damaged = decoder.malformed + add_details(telegram, decoder.decoded, raw=raw)
    if damaged and not telegram.has_crc:
        raise TransientDeviceError(
            f"telegram has a damaged value ({damaged[0]}), and no checksum", fault=Fault.MALFORMED
        )
    return decoder.decoded


class _Decoder:
    def __init__(self, telegram: Telegram, *, raw: bool) -> None:
        self.decoded = Decoded()
        self.malformed: list[str] = []
        self._raw = raw
        self._lines = _electric_lines(telegram.lines)
        maker = telegram.identification[:3].upper()
        self._signs = maker in _SIGNED_MAKERS and any(key[:2] == (2, 8) for key in self._lines)

    def add_readings(self) -> None:
        """All quantities that the telegram has lines for."""
        self._add_net("grid_power", (1, 7, 0), (2, 7, 0), (16, 7, 0))
        self._add_energy("grid_import_energy", 1)
        self._add_energy("grid_export_energy", 2)
        for phase in range(3):
            self._add_phase(f"l{phase + 1}", 20 * phase)
        self._add_over_phases("ac_voltage", (12, 7, 0), _mean_of_live)
        self._add_over_phases("ac_current", (90, 7, 0), _sum)
        if "ac_current" not in self.decoded.readings:
            self._add("ac_current", (11, 7, 0))
        self._add("frequency", (14, 7, 0))
        self._add("power_factor", (13, 7, 0))
        # Reactive power is "import" where the site takes it; the contract counts what it injects.
        self._add_both("reactive_power", (4, 7, 0), (3, 7, 0), -1)
        self._add_both("apparent_power", (9, 7, 0), (10, 7, 0), 1)

    # -- one quantity each

    def _add(self, name: str, key: Key) -> None:
        part = self._part(name, key)
        if part is not None:
            self._put(name, [part], lambda values: values[0])

    def _add_phase(self, line: str, step: int) -> None:
        self._add(f"ac_voltage_{line}", (32 + step, 7, 0))
        self._add(f"ac_current_{line}", (31 + step, 7, 0))
        keys = [(what + step, 7, 0) for what in (21, 22, 36)]
        self._add_net(f"grid_power_{line}", keys[0], keys[1], keys[2])

    def _add_net(self, name: str, bought: Key, sold: Key, net: Key) -> None:
        """Import minus export; one of them alone, or a register that has a sign."""
        into, out = self._part(name, bought), self._part(name, sold)
        if into is not None and out is not None:
            self._put(name, [into, out], lambda values: values[0] - values[1])
            return
        whole = self._part(name, net)
        if whole is not None:
            self._put(name, [whole], lambda values: values[0])
            return
        alone = into or out
        if alone is None:
            return
        self._put(name, [alone], lambda values: values[0] if into else 0 - values[0])
        # Without its counterpart a register that knows no sign shows 0 for the other direction.
        if alone.value == 0 and not (self._signs or alone.is_signed):
            missing, other = ("import", "2.7.0") if into else ("export", "1.7.0")
            self._suspect(
                name, f"0 may hide the other direction: only {missing} is sent, no {other}"
            )

    def _add_energy(self, name: str, what: int) -> None:
        """The total register, or the sum of those by tariff."""
        total = self._part(name, (what, 8, 0))
        parts = [self._part(name, (what, 8, tariff)) for tariff in range(1, 10)]
        there = [total] if total is not None else [part for part in parts if part is not None]
        if there:
            self._put(name, there, _sum)

    def _add_over_phases(self, name: str, total: Key, rule: Rule) -> None:
        """What the meter sends for all phases together, or else what follows from each."""
        if total in self._lines:
            self._add(name, total)
            return
        step = {"ac_voltage": 32, "ac_current": 31}[name]
        parts = [self._part(name, (step + 20 * phase, 7, 0)) for phase in range(3)]
        there = [part for part in parts if part is not None]
        if there:
            self._put(name, there, rule)

    def _add_both(self, name: str, first: Key, second: Key, sign: int) -> None:
        one, two = self._part(name, first), self._part(name, second)
        if one is not None and two is not None:
            self._put(name, [one, two], lambda values: values[0] + sign * values[1])

    # -- what they share

    def _part(self, name: str, key: Key) -> _Part | None:
        lines = self._lines.get(key)
        return None if lines is None else _Part(key, lines, QUANTITIES[name].unit)

    def _put(self, name: str, parts: Sequence[_Part], rule: Rule) -> None:
        decoded = self.decoded
        if self._raw:
            decoded.raw[name] = " ".join(part.text for part in parts)
        self.malformed += [part.reason for part in parts if part.is_malformed]
        values = [part.value for part in parts if part.value is not None]
        if len(values) < len(parts):
            decoded.readings[name] = Reading(None, Quality.MISSING)
            decoded.reasons[name] = next(part.reason for part in parts if part.reason)
            return
        value, limits = float(rule(values)), QUANTITIES[name]
        decoded.readings[name] = Reading(value)
        if not limits.lowest <= value <= limits.highest:
            self._suspect(name, f"{value:g} is outside {limits.limits}")

    def _suspect(self, name: str, reason: str) -> None:
        value = self.decoded.readings[name].value
        self.decoded.readings[name] = Reading(value, Quality.SUSPECT)
        self.decoded.reasons[name] = reason


def _sum(values: Sequence[Decimal]) -> Decimal:
    return sum(values, Decimal(0))


def _mean_of_live(volts: Sequence[Decimal]) -> Decimal:
    """A phase at 0 V is not connected, or out; the others tell the grid's voltage."""
    live = [value for value in volts if value > 0]
    return _sum(live) / len(live) if live else Decimal(0)


def _electric_lines(lines: Sequence[DataLine]) -> dict[Key, list[DataLine]]:
    """Lines of the meter's own electricity, by what, how and tariff."""
    electric = [line for line in lines if line.code.medium == ELECTRICITY]
    # A meter may number its first measurement 1; others are sub-meters then.
    channel = min((line.code.channel for line in electric if _is_total(line.code)), default=0)
    by_key: dict[Key, list[DataLine]] = {}
    for line in electric:
        code = line.code
        if code.channel == channel:
            tariff = 0 if code.tariff == ANY_TARIFF else code.tariff
            by_key.setdefault((code.what, code.how, tariff), []).append(line)
    return by_key


def _is_total(code: Code) -> bool:
    return code.what in (1, 2, 16) and code.how in (7, 8)


def identify_telegram(telegram: Telegram, device: str) -> DeviceIdentity:
    """What a meter says it is."""
    decoded = decode_telegram(telegram)

    def text(*names: str) -> str:
        found = (decoded.details[name].value for name in names if name in decoded.details)
        return next((value for value in found if isinstance(value, str) and value), "")

    version, fluvius = text("version_dsmr"), text("version_fluvius")
    if version.isdigit() and len(version) == 2:
        version = f"DSMR {version[0]}.{version[1]}"
    return DeviceIdentity(
        device=device,
        profile="dsmr-p1",
        manufacturer=_MAKERS.get(telegram.identification[:3].upper(), ""),
        model=telegram.identification,
        serial_number=text("equipment_id", "serial_number", "device_name", "equipment_number"),
        version=version or (f"e-MUCS {fluvius}" if fluvius else ""),
    )
