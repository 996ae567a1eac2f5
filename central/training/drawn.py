"""What one training draws from its sites, once for every step of it, by the span of the issues.

Decides how much of it each site and span gives. How it is drawn, and where the spans lie, is
``dataset``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.contract.timestamps import HORIZON_STEPS
from models.forecasters.blend import NEAR_STEPS

from .dataset import (
    Cases,
    Rows,
    Spans,
    TrainingSite,
    Windows,
    concatenate_rows,
    draw_cases,
    draw_rows,
    draw_windows,
)
from .presets import Preset

_LEAST_STOP_WINDOWS = 200


@dataclass(frozen=True, eq=False)
class SpanRows:
    """Tree rows of one kind."""

    train: Rows
    stop: Rows
    late: Rows
    """Of the spans that weigh and judge: for the last fit."""

    @property
    def everything(self) -> Rows:
        """Of all spans."""
        return concatenate_rows([self.train, self.stop, self.late])

    @classmethod
    def draw(
        cls,
        site: TrainingSite,
        spans: Spans,
        rows: int,
        random: np.random.Generator,
        steps: int = HORIZON_STEPS,
    ) -> SpanRows:
        """About ``rows`` for the first span, in proportion for the others; leads < ``steps``."""
        cut = spans.of(site)
        late = (cut["blend"][0], cut["test"][1])
        late_share = (late[1] - late[0]) / (cut["train"][1] - cut["train"][0])
        stop_rows = int(rows * spans.stop / spans.train * 2)
        return cls(
            draw_rows(site, *cut["train"], rows, random, steps),
            draw_rows(site, *cut["stop"], stop_rows, random, steps),
            draw_rows(site, *late, int(rows * late_share), random, steps),
        )

    @classmethod
    def together(cls, parts: Sequence[SpanRows]) -> SpanRows:
        """Of all sites."""
        return cls(
            concatenate_rows([one.train for one in parts]),
            concatenate_rows([one.stop for one in parts]),
            concatenate_rows([one.late for one in parts]),
        )


@dataclass(frozen=True, eq=False)
class Drawn:
    """Everything drawn from the sites."""

    rows: SpanRows
    near: SpanRows
    """Of the first hour's leads alone."""
    train_windows: Windows
    stop_windows: Windows
    blend_cases: list[Cases]
    test_cases: list[Cases]

    @classmethod
    def draw(
        cls, sites: Sequence[TrainingSite], preset: Preset, random: np.random.Generator
    ) -> Drawn:
        """Equal parts of every site."""
        count = len(sites)
        windows = preset.windows // count
        # From a stream of their own, so that the other models stay what they are without them.
        (near_random,) = random.spawn(1)
        rows, near, train, stop, blend, test = [], [], [], [], [], []
        for site in sites:
            cut: Mapping[str, tuple[int, int]] = preset.spans.of(site)
            rows.append(SpanRows.draw(site, preset.spans, preset.rows // count, random))
            near.append(
                SpanRows.draw(
                    site, preset.spans, preset.near_rows // count, near_random, NEAR_STEPS
                )
            )
            train.append(draw_windows(site, *cut["train"], windows, random))
            stop.append(
                draw_windows(site, *cut["stop"], max(_LEAST_STOP_WINDOWS, windows // 4), random)
            )
            blend.append(draw_cases(site, *cut["blend"], preset.case_every))
            test.append(draw_cases(site, *cut["test"], preset.case_every))
        return cls(
            SpanRows.together(rows),
            SpanRows.together(near),
            _concatenate_windows(train),
            _concatenate_windows(stop),
            blend,
            test,
        )


def _concatenate_windows(parts: Sequence[Windows]) -> Windows:
    return Windows(
        np.concatenate([one.past for one in parts]),
        np.concatenate([one.target for one in parts]),
        np.concatenate([one.weight for one in parts]),
    )
