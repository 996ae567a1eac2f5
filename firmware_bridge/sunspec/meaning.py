"""Which SunSpec point is which quantity of the contract, and what a whole device says.

Tables first: a row names a model's point and a quantity. What no table names is a detail. An
inverter and a meter behind one unit both know voltages: with the role ``any`` the inverter's count,
and of the meter only what the connection point alone knows.

Sign: SunSpec leaves the sign of a meter's power to the installation. Import positive is what most
meters show (Fronius, Kostal); SolarEdge's show export positive, and their profile says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from models.contract.quantities import QUANTITIES
from models.contract.record import WITHOUT_VALUE, Quality, Reading

from ..profile.schema import SunSpecOptions
from ..values import Decoded, Detail
from .definitions import Definition, definition
from .layout import HEADER_SIZE, Placed
from .points import decode_point, model_layout

OFF, SLEEPING = 1.0, 2.0
"""Operating states (``St``) in which an inverter gives no values because there is no sun."""
_TOLERANCE = 0.1  # of the power factor; small powers are coarse
_PERCENT = 100.0

_PHASES = {"A": "l1", "B": "l2", "C": "l3"}
_INVERTER_POINTS = {
    "A": "ac_current", "W": "ac_power", "Hz": "frequency", "VA": "apparent_power",
    "VAr": "reactive_power", "PF": "power_factor", "WH": "ac_energy", "DCA": "dc_current",
    "DCV": "dc_voltage", "DCW": "dc_power", "TmpCab": "temp_inverter", "St": "inverter_state",
    "PPVphAB": "ac_voltage_l1_l2", "PPVphBC": "ac_voltage_l2_l3", "PPVphCA": "ac_voltage_l3_l1",
    **{f"Aph{p}": f"ac_current_{line}" for p, line in _PHASES.items()},
    **{f"PhVph{p}": f"ac_voltage_{line}" for p, line in _PHASES.items()},
}  # fmt: skip
_DER_POINTS = {
    "W": "ac_power", "VA": "apparent_power", "Var": "reactive_power", "PF": "power_factor",
    "A": "ac_current", "LNV": "ac_voltage", "Hz": "frequency", "TotWhInj": "ac_energy",
    "TmpAmb": "temp_air", "TmpCab": "temp_inverter", "InvSt": "inverter_state",
    "VL1L2": "ac_voltage_l1_l2", "VL2L3": "ac_voltage_l2_l3", "VL3L1": "ac_voltage_l3_l1",
    **{f"WL{n}": f"ac_power_l{n}" for n in (1, 2, 3)},
    **{f"AL{n}": f"ac_current_l{n}" for n in (1, 2, 3)},
    **{f"VL{n}": f"ac_voltage_l{n}" for n in (1, 2, 3)},
}  # fmt: skip
_METER_POINTS = {
    "A": "ac_current", "PhV": "ac_voltage", "Hz": "frequency", "W": "grid_power",
    "VA": "apparent_power", "TotWhImp": "grid_import_energy", "TotWhExp": "grid_export_energy",
    "PhVphAB": "ac_voltage_l1_l2", "PhVphBC": "ac_voltage_l2_l3", "PhVphCA": "ac_voltage_l3_l1",
    **{f"Aph{p}": f"ac_current_{line}" for p, line in _PHASES.items()},
    **{f"PhVph{p}": f"ac_voltage_{line}" for p, line in _PHASES.items()},
    **{f"Wph{p}": f"grid_power_{line}" for p, line in _PHASES.items()},
}  # fmt: skip
_MPPT_POINTS = {"DCA": "dc_current", "DCV": "dc_voltage", "DCW": "dc_power"}

INVERTERS = (101, 102, 103, 111, 112, 113)
DER = 701
METERS = (201, 202, 203, 204, 211, 212, 213, 214)
MPPT, DER_DC = 160, 714
TABLES: dict[int, dict[str, str]] = {
    **dict.fromkeys(INVERTERS, _INVERTER_POINTS),
    DER: _DER_POINTS,
    **dict.fromkeys(METERS, _METER_POINTS),
    MPPT: {
        f"module[{n}].{point}": f"{quantity}_{n}"
        for n in range(1, 25)
        for point, quantity in _MPPT_POINTS.items()
    },
    DER_DC: {"DCW": "dc_power", "DCA": "dc_current"}
    | {
        f"Prt[{n}].{point}": f"{quantity}_{n}"
        for n in range(1, 25)
        for point, quantity in _MPPT_POINTS.items()
    },
    124: {"ChaState": "battery_soc", "InBatV": "battery_voltage"},
    713: {"SoC": "battery_soc", "SoH": "battery_soh"},
    802: {"SoC": "battery_soc", "SoH": "battery_soh", "V": "battery_voltage"},
    302: {
        "repeating[1].GHI": "ghi", "repeating[1].POAI": "poa_global",
        "repeating[1].DFI": "dhi", "repeating[1].DNI": "dni",
    },
    303: {"temp[1].TmpBOM": "temp_module"},
    307: {
        "TmpAmb": "temp_air", "RH": "relative_humidity", "Pres": "pressure",
        "WndSpd": "wind_speed", "WndDir": "wind_direction",
    },
    308: {"GHI": "ghi", "TmpBOM": "temp_module", "TmpAmb": "temp_air", "WndSpd": "wind_speed"},
}  # fmt: skip
_FACTORS = {(307, "Pres"): 100.0}
"""From a point's unit to the base unit: hectopascals."""
_AT_THE_CONNECTION = frozenset(name for name in _METER_POINTS.values() if name.startswith("grid_"))
_ENUM_FROM_ZERO = 1.0
"""Model 701 counts its states from 0 where the older models count from 1."""

_USUAL = SunSpecOptions()


@dataclass(frozen=True)
class ModelImage:
    """One model's registers, header included."""

    definition: Definition
    image: bytes

    @property
    def number(self) -> int:
        return self.definition.number


def choose(numbers: Sequence[tuple[int, int]], options: SunSpecOptions) -> list[int]:
    """Which of a device's models are read: positions in ``numbers`` (model, device of the chain).

    The inverter and what stands beside it; the meter that ``options`` ask for; weather.
    """
    meters = [i for i, (number, _) in enumerate(numbers) if number in METERS]
    meter = meters[options.instance - 1 : options.instance]
    if options.role == "meter":
        return meter
    inverters = [i for i, (number, _) in enumerate(numbers) if number in (*INVERTERS, DER)]
    # A device may describe itself by the old models and by 701: one of them is enough.
    chosen = inverters[:1]
    beside = {numbers[i][1] for i in chosen} or {0}
    others = [
        i
        for i, (number, device) in enumerate(numbers)
        if number in TABLES and number not in (*INVERTERS, DER, *METERS) and device in beside
    ]
    if options.role == "inverter":
        meter = []
    return sorted({*chosen, *others, *meter})


def decode_device(
    models: Sequence[ModelImage],
    options: SunSpecOptions = _USUAL,
    *,
    daylight: bool | None = None,
    details: bool = False,
    raw: bool = False,
) -> Decoded:
    """What the models of a device say.

    Args:
        models: Those that were chosen.
        options: Role and sign.
        daylight: Whether the sun is up, if the caller knows. A value that is not there is *asleep*
            when the inverter says that it sleeps or is off, but *missing* in daylight.
        details: Also what is no quantity of the contract.
        raw: Also what the device sent.
    """
    decoded = Decoded()
    has_inverter = any(model.number in (*INVERTERS, DER) for model in models)
    for model in models:
        part = _decode_model(model, details=details, raw=raw)
        if model.number in METERS:
            if options.export_positive:
                _turn_round(part)
            if has_inverter and options.role == "any":
                _keep_connection_point(part)
        for name in [name for name in part.readings if name in decoded.readings]:
            if decoded.readings[name].value is not None:
                del part.readings[name]  # the more particular model came first
                part.reasons.pop(name, None)
        decoded.update(part)
    _mean_voltage(decoded)
    _total_dc_power(decoded)
    _judge_power_factor(decoded)
    _asleep(decoded, daylight)
    return decoded


def _decode_model(model: ModelImage, *, details: bool, raw: bool) -> Decoded:
    decoded = Decoded()
    image, number = model.image, model.number
    if _has_counts(number):
        quantities, others = _rows_of(model.definition, image)
    else:
        quantities, others = _rows_by_length(number, len(image), image[:4])
    for placed, name, factor in quantities:
        value, reason = decode_point(image, placed)
        measured = value * factor if isinstance(value, float) else None
        if measured is not None and name == "inverter_state" and number == DER:
            measured += _ENUM_FROM_ZERO
        _put(decoded, name, measured, reason)
        if raw:
            decoded.raw[name] = image[2 * placed.offset : 2 * placed.end].hex()
    if details:
        for placed in others:
            value, reason = decode_point(image, placed)
            name = f"model{number}_{_plain(placed.path)}"
            quality = Quality.GOOD if value is not None else Quality.MISSING
            decoded.details[name] = Detail(value, placed.point.unit, quality)
            if reason:
                decoded.reasons[name] = reason
            if raw:
                decoded.raw[name] = image[2 * placed.offset : 2 * placed.end].hex()
    return decoded


_Row = tuple[Placed, str, float]


@lru_cache(maxsize=256)
def _rows_by_length(
    number: int, size: int, header: bytes
) -> tuple[tuple[_Row, ...], tuple[Placed, ...]]:
    """:func:`_rows_of` for models whose layout follows from their length alone: made once."""
    known = definition(number)
    assert known is not None
    return _rows_of(known, header + bytes(size - len(header)))


def _rows_of(known: Definition, image: bytes) -> tuple[tuple[_Row, ...], tuple[Placed, ...]]:
    """Points that are quantities, and those that are details."""
    table = TABLES.get(known.number, {})
    quantities: list[_Row] = []
    others: list[Placed] = []
    for placed in model_layout(known, image):
        if placed.offset < HEADER_SIZE or placed.point.type in ("pad", "sunssf"):
            continue
        name = table.get(placed.path)
        if name is None:
            others.append(placed)
            continue
        factor = _FACTORS.get((known.number, placed.path), 1.0)
        # The old models tell the power factor in percent, by the specification.
        if name == "power_factor" and known.number in INVERTERS:
            factor = 1.0 / _PERCENT
        quantities.append((placed, name, factor))
    return tuple(quantities), tuple(others)


@lru_cache(maxsize=256)
def _has_counts(number: int) -> bool:
    """Whether a count point tells how often a group of the model repeats."""
    known = definition(number)
    groups = list(known.top.groups) if known is not None else []
    while groups:
        group = groups.pop()
        if isinstance(group.count, str):
            return True
        groups += group.groups
    return False


def _put(decoded: Decoded, name: str, value: float | None, reason: str) -> None:
    if value is None:
        decoded.readings[name] = Reading(None, Quality.MISSING)
        decoded.reasons[name] = reason or "the device gives none"
        return
    limits = QUANTITIES[name]
    if limits.lowest <= value <= limits.highest:
        decoded.readings[name] = Reading(value)
        return
    decoded.readings[name] = Reading(value, Quality.SUSPECT)
    decoded.reasons[name] = f"{value:g} is outside {limits.limits}"


def _turn_round(part: Decoded) -> None:
    for name, reading in part.readings.items():
        if name.startswith("grid_power") and reading.value is not None:
            part.readings[name] = Reading(-reading.value, reading.quality)


def _keep_connection_point(part: Decoded) -> None:
    for name in [name for name in part.readings if name not in _AT_THE_CONNECTION]:
        del part.readings[name]
        part.reasons.pop(name, None)


def _mean_voltage(decoded: Decoded) -> None:
    """The mean of the phases that are there, where the device tells only phases."""
    known = decoded.readings.get("ac_voltage")
    phases = [decoded.readings.get(f"ac_voltage_l{n}") for n in (1, 2, 3)]
    if (known is not None and known.value is not None) or all(p is None for p in phases):
        return
    volts = [
        p.value for p in phases if p is not None and p.value is not None
        and p.quality is Quality.GOOD and p.value > 0
    ]  # fmt: skip
    if volts:
        decoded.readings["ac_voltage"] = Reading(sum(volts) / len(volts))
        decoded.reasons.pop("ac_voltage", None)
    else:
        decoded.readings["ac_voltage"] = Reading(None, Quality.MISSING)
        decoded.reasons["ac_voltage"] = "no phase voltage is there"


def _total_dc_power(decoded: Decoded) -> None:
    """The sum of the inputs, where the inverter model has no total."""
    total = decoded.readings.get("dc_power")
    if total is not None and total.value is not None:
        return
    inputs = [r for n, r in decoded.readings.items() if n.startswith("dc_power_")]
    values = [r.value for r in inputs if r.value is not None and r.quality is Quality.GOOD]
    if values and len(values) == len(inputs):
        decoded.readings["dc_power"] = Reading(sum(values))
        decoded.reasons.pop("dc_power", None)


def _judge_power_factor(decoded: Decoded) -> None:
    """Some inverters send the plain factor instead of percent. Power and apparent power of the
    same reply tell: where they contradict the value it is suspect."""
    factor = decoded.readings.get("power_factor")
    power, apparent = (_value(decoded, name) for name in ("ac_power", "apparent_power"))
    if factor is None or factor.value is None or not power or not apparent:
        return
    expected = min(abs(power / apparent), 1.0)
    if abs(abs(factor.value) - expected) > _TOLERANCE:
        decoded.readings["power_factor"] = Reading(factor.value, Quality.SUSPECT)
        decoded.reasons["power_factor"] = f"its powers make {expected:.2f}"


def _value(decoded: Decoded, name: str) -> float | None:
    reading = decoded.readings.get(name)
    return None if reading is None else reading.value


def _asleep(decoded: Decoded, daylight: bool | None) -> None:
    if _value(decoded, "inverter_state") not in (OFF, SLEEPING) or daylight:
        return
    for name, reading in decoded.readings.items():
        if reading.value is None and reading.quality in WITHOUT_VALUE:
            decoded.readings[name] = Reading(None, Quality.ASLEEP)
            decoded.reasons[name] = "the inverter says that it sleeps"


def _plain(path: str) -> str:
    """``module[2].DCA`` as a detail's name: ``module2_dca``."""
    return path.replace("[", "").replace("].", "_").replace(".", "_").lower()
