"""What the box of one PVOD plant has learned: a bias of the median, then honest intervals.

The shipped arithmetic of both, in the order of the agent; a box survives the change of its models.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks._pvod_tables import Table
from central.training.initial_offsets import Outcomes, offsets_that_hold
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
        return self.calibrated(table, self.corrected(table, quantiles))

    def corrected(self, table: Table, quantiles: FloatArray) -> FloatArray:
        """After the bias alone."""
        return correct_in_order(
            table.issues,
            quantiles,
            table.actual,
            table.hour_angle,
            step_ms=STEP_MS,
            leads=table.leads,
            limit=table.learned.limit_w,
            state=self.bias,
        )

    def calibrated(self, table: Table, corrected: FloatArray) -> FloatArray:
        """What is published."""
        return calibrate_in_order(
            table.issues,
            corrected,
            table.actual,
            table.clear,
            step_ms=STEP_MS,
            leads=table.leads,
            limit=table.learned.limit_w,
            state=self.offsets,
        )

    def models_of_another_season(self) -> None:
        """Other models speak from now on, which have seen months more than the last ones.

        The offsets stay, as over any new bundle. The bias begins anew, where a week's retraining
        leaves half of it: kept, it was worse on most stretches inside the training span.
        """
        self.bias = LocalBias()
        self.offsets.forecaster_changed()


def boxes_before(befores: Sequence[Table], said: Sequence[FloatArray]) -> list[Box]:
    """The boxes of all plants when the test begins.

    Each has corrected and calibrated what the models of before ``said`` of its own plant; then the
    new ones arrive. A plant of which nothing was scored has a new box, which begins where the
    intervals of the others would have held, as a bundle would tell it.

    Args:
        befores: the months before the test of every plant that is tested
        said: quantiles [W] for those of them with anything to score, in their order; or nothing
    """
    if not said:
        return [Box() for _ in befores]
    told, old, outcomes = iter(said), {}, []
    for place, table in enumerate(befores):
        if table.scored.any():
            box = old[place] = Box()
            corrected = box.corrected(table, next(told))
            box.calibrated(table, corrected)
            box.models_of_another_season()
            limit, actual = table.learned.limit_w, table.actual
            outcomes.append(
                Outcomes.of(table.issues, table.leads, corrected, actual, table.clear, limit)
            )
    start = offsets_that_hold(outcomes)
    return [old[place] if place in old else Box(start) for place in range(len(befores))]
