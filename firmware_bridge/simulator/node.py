"""Frames of a simulated sensor node. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..sensor_node.frame import FIELDS, NodeFrame, encode_frame

_SUPPLY_VOLTS = 3.3
_INT16, _UINT16 = (-0x8000, 0x7FFF), (0, 0xFFFF)


def build_node_frame(
    values: Mapping[str, float], sequence: int, uptime: int, *, node: int = 1, status: int = 0
) -> bytes:
    """The frame of a node that measures ``values`` (base units, by quantity).

    What it has no sensor for is left out; what goes beyond a field stays at its end, as an analogue
    input does.
    """
    measured = {"supply_voltage": _SUPPLY_VOLTS, **values}
    numbers: dict[str, int] = {}
    for kind in FIELDS.values():
        if kind.name in measured:
            lowest, highest = _INT16 if kind.code == "h" else _UINT16
            steps = round(measured[kind.name] * kind.per_unit)
            numbers[kind.name] = min(max(steps, lowest), highest)
    return encode_frame(NodeFrame(node, sequence, uptime, status, numbers))
