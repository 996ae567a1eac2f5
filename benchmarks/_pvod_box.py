"""What the box of one PVOD plant has learned: a bias of the median, then honest intervals.

The shipped arithmetic of both, in the order of the agent; a box survives the change of its models.
"""

from __future__ import annotations

from benchmarks._pvod_tables import Table
from models.contract.timestamps import STEP_MS
from models.features.site import FloatArray
from models.forecasters.conformal import ConformalOffsets, calibrate_in_order
from models.forecasters.local_bias import LocalBias, correct_in_order


class Box:
    """One plant's. ``start``: offsets that a new box is given, ``(lead buckets, levels)``."""

    def __init__(self, start: FloatArray | None = None) -> None:
        self.bias, self.offsets = LocalBias(), ConformalOffsets(start)

    def publish(self, table: Table, quantiles: FloatArray) -> FloatArray:
        """Power [W] as published, ``(issues, levels, leads)``; each issue by outcomes before it."""
        leads, limit = table.leads, table.learned.limit_w
        corrected = correct_in_order(
            table.issues,
            quantiles,
            table.actual,
            table.hour_angle,
            step_ms=STEP_MS,
            leads=leads,
            limit=limit,
            state=self.bias,
        )
        return calibrate_in_order(
            table.issues,
            corrected,
            table.actual,
            table.clear,
            step_ms=STEP_MS,
            leads=leads,
            limit=limit,
            state=self.offsets,
        )

    def forecaster_changed(self) -> None:
        """Other models speak from now on."""
        self.bias.forecaster_changed()
        self.offsets.forecaster_changed()
