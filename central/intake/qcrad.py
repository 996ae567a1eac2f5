"""Limits and closure of irradiance: pass, fail, or not tested.

The physically possible and closure tests of QCRad (Long & Shi, Open Atmos. Sci. J. 2, 2008) and of
the BSRN (Long & Dutton, 2002). A test says nothing outside its domain (closure needs light enough
and the sun above 93 degrees of zenith), so there are three states and not two.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .table import FloatArray

States = npt.NDArray[np.int8]
PASS, UNTESTED, FAIL = 1, 0, -1
_LEAST_LIGHT = 50.0
_LOWEST = -4.0


def qcrad(
    ghi: FloatArray | None,
    dni: FloatArray | None,
    dhi: FloatArray | None,
    zenith: FloatArray,
    dni_extra: FloatArray,
    *,
    spread_minutes: float = 0.0,
) -> dict[str, States]:
    """State of each row, by test.

    ``spread_minutes`` is what a row stands for: zero for instants, the interval for means, within
    which the sun may have been higher than at its middle.
    """
    # The sun moves by 15 degrees an hour; the most favourable instant of the interval counts.
    slack = spread_minutes / 2 * 0.25
    highest = np.maximum(np.cos(np.radians(np.maximum(zenith - slack, 0.0))), 0.0)
    tests: dict[str, States] = {}
    ceilings = (
        ("ghi_limit", ghi, 1.5 * dni_extra * highest**1.2 + 100.0),
        ("dhi_limit", dhi, 0.95 * dni_extra * highest**1.2 + 50.0),
        ("dni_limit", dni, dni_extra),
    )
    for name, values, ceiling in ceilings:
        if values is not None:
            tests[name] = _limits(values, ceiling)
    if ghi is None or dni is None or dhi is None:
        return tests
    cosine = np.maximum(np.cos(np.radians(zenith)), 0.0)
    total = dni * cosine + dhi
    high, low = zenith < 75.0, (zenith >= 75.0) & (zenith < 93.0)
    # Within a long interval near the horizon the middle says little about the mean.
    testable = np.isfinite(total) & np.isfinite(ghi) & (total > _LEAST_LIGHT)
    testable &= high | (low & (slack < 1.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        quotient = np.where(testable, ghi / total, 1.0)
        share = np.where(testable & (ghi > _LEAST_LIGHT), dhi / ghi, 0.0)
    good = np.where(high, np.abs(quotient - 1) <= 0.08, np.abs(quotient - 1) <= 0.15)
    tests["closure"] = _states(testable, good)
    tests["diffuse_share"] = _states(testable, share < np.where(high, 1.05, 1.10))
    return tests


def _limits(values: FloatArray, ceiling: FloatArray) -> States:
    with np.errstate(invalid="ignore"):
        return _states(np.isfinite(values), (values >= _LOWEST) & (values <= ceiling))


def _states(tested: npt.NDArray[np.bool_], good: npt.NDArray[np.bool_]) -> States:
    return np.where(tested, np.where(good, PASS, FAIL), UNTESTED).astype(np.int8)


def count(tests: dict[str, States]) -> dict[str, dict[str, int]]:
    """Rows by test and state, for reports."""
    return {
        name: {
            "passed": int(np.count_nonzero(states == PASS)),
            "failed": int(np.count_nonzero(states == FAIL)),
            "untested": int(np.count_nonzero(states == UNTESTED)),
        }
        for name, states in tests.items()
    }
