"""Which orientation to believe: the form's, another one, or two planes.

The form is a good place to begin: an orientation near it that explains the cloudless intervals is
kept unless one elsewhere explains them much better. Two planes must be clearly better than one,
because two explain anything a little better.
"""

from __future__ import annotations

import numpy as np

from ._learned_fit import Clear, Fit, Likely, refine, search, search_pairs, start_at
from ._learned_plane import AEROSOLS, lean, orientation
from ._learned_size import USUAL_YIELD
from .site import Site

_MUCH_BETTER = 0.75
"""Share of the loss near the form's orientation below which another one is believed."""
_PAIR_BETTER = 0.7
"""Share of the loss of one plane below which two are believed."""
_PAIR_APART, _PAIR_TILT, _PAIR_SHARE = 60.0, 8.0, 0.2
_PAIR_CLEAR_DAYS, _PAIR_INTERVALS = 10, 150


def choose_orientation(declared: Site, clear: Clear, peak: float, two: bool) -> Fit:
    """The planes that the cloudless intervals speak for, the form's if they say nothing.

    Args:
        declared: the form
        clear: cloudless intervals
        peak: power [W] that is 1 there
        two: whether there is enough to go by for two planes
    """
    scale = USUAL_YIELD * declared.dc_capacity_w / peak
    said = lean(declared.tilt, declared.azimuth)[:, None]
    form = Likely(scale, said)
    near = min(
        (refine(clear, start_at(clear, said, number), form) for number in range(len(AEROSOLS))),
        key=lambda fit: fit.cost,
    )
    best = near
    count = len(clear.power)
    for start in search(clear.part(np.arange(0, count, 2)))[:4]:
        azimuth = orientation(start.leans[:, 0])[1]
        likely = Likely(scale, lean(declared.tilt, azimuth)[:, None])  # wrong side, same roof
        other = refine(clear, start, likely)
        if other.cost < _MUCH_BETTER * near.cost and other.cost < best.cost:
            best = other
    few = count < _PAIR_INTERVALS or len(np.unique(clear.day)) < _PAIR_CLEAR_DAYS
    if few or not two:
        return best
    pairs = [
        refine(clear, start)
        for start in search_pairs(clear.part(np.arange(0, count, 3)), best.aerosol)[:2]
    ]
    pair = min(pairs, key=lambda fit: fit.cost)
    return pair if pair.cost < _PAIR_BETTER * best.cost and _is_roof(pair) else best


def _is_roof(pair: Fit) -> bool:
    """Two planes that really face apart, neither of them tiny."""
    (tilt_1, azimuth_1), (tilt_2, azimuth_2) = (orientation(pair.leans[:, n]) for n in (0, 1))
    apart = abs((azimuth_1 - azimuth_2 + 180.0) % 360.0 - 180.0)
    share = float(pair.scales.min() / pair.scales.sum())
    return min(tilt_1, tilt_2) >= _PAIR_TILT and apart >= _PAIR_APART and share >= _PAIR_SHARE
