"""A sensor node's frame to quantities of the contract and details. Pure."""

from __future__ import annotations

from models.contract.quantities import QUANTITIES
from models.contract.record import Quality, Reading

from ..settings import DeviceIdentity
from ..values import Decoded, Detail
from .frame import FIELDS, VERSION, FieldKind, NodeFrame, Status

_DETAIL_UNITS = {"supply_voltage": "V"}
_KNOWN_STATUS = sum(Status)


def decode_frame(frame: NodeFrame, *, raw: bool = False) -> Decoded:
    """Everything that ``frame`` tells. A value whose sensor the node calls faulty is missing."""
    decoded = Decoded()
    for kind in FIELDS.values():
        number = frame.values.get(kind.name)
        if number is not None:
            _add(decoded, kind, number, Status(frame.status & _KNOWN_STATUS))
            if raw:
                decoded.raw[kind.name] = kind.layout.pack(number).hex()
        elif kind.fault and frame.status & kind.fault:
            _without(decoded, kind.name)
    details = decoded.details
    details["node"] = Detail(float(frame.node))
    details["sequence"] = Detail(float(frame.sequence))
    details["uptime"] = Detail(float(frame.uptime_s), "s")
    details["status"] = Detail(_status_text(frame.status))
    for number, piece in frame.unknown.items():
        details[f"field_{number}"] = Detail(piece.hex())
    return decoded


def identify_frame(frame: NodeFrame, device: str) -> DeviceIdentity:
    """What a node says it is."""
    return DeviceIdentity(
        device=device,
        profile="sensor-node",
        manufacturer="solar-sharing",
        model="sensor node",
        serial_number=str(frame.node),
        version=f"protocol {VERSION}",
    )


def _add(decoded: Decoded, kind: FieldKind, number: int, status: Status) -> None:
    value = number / kind.per_unit
    if kind.name not in QUANTITIES:
        decoded.details[kind.name] = Detail(value, _DETAIL_UNITS[kind.name])
        return
    if status & kind.fault:
        _without(decoded, kind.name)
        return
    limits = QUANTITIES[kind.name]
    if limits.lowest <= value <= limits.highest:
        decoded.readings[kind.name] = Reading(value)
        return
    decoded.readings[kind.name] = Reading(value, Quality.SUSPECT)
    decoded.reasons[kind.name] = f"{value:g} is outside {limits.limits}"


def _without(decoded: Decoded, name: str) -> None:
    decoded.readings[name] = Reading(None, Quality.MISSING)
    decoded.reasons[name] = "the node says that its sensor is faulty"


def _status_text(status: int) -> str:
    names = [flag.name.lower() for flag in Status if flag.name and status & flag]
    unknown = status & ~_KNOWN_STATUS
    if unknown:
        names.append(f"unknown {unknown:#06x}")
    return ", ".join(names) or "ok"
