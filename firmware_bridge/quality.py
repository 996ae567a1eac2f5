"""How far a decoded value may be believed, judged by itself alone.

Slope, rollover of counters and comparison with the sun need memory and belong to later stages.
"""

from __future__ import annotations

import math

from models.contract.quantities import quantity
from models.contract.record import Quality, Reading

MISSING = Reading(None, Quality.MISSING)


def judge(name: str, value: float | None) -> Reading:
    """Reading of quantity ``name`` (base unit): missing without a finite value, suspect outside the
    quantity's physical limits (the value is kept), else good."""
    if value is None or not math.isfinite(value):
        return MISSING
    limits = quantity(name)
    if not limits.lowest <= value <= limits.highest:
        return Reading(value, Quality.SUSPECT)
    return Reading(value)
