"""Inverters of one file against each other: at the same moment they see the same sun."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .series import SeriesFile
from .table import BoolArray

_WEAK = 0.95
_MOST_NAMED = 5


def shares_of_capacity(file: SeriesFile) -> pd.DataFrame:
    """Power of each series over its capacity, by stamp. Tops that are nearly alike are taken for
    inverters of one size, so that a weak one does not excuse itself by its low top."""
    main = file.source.main
    frame = pd.DataFrame(
        {one.name: pd.Series(one.columns[main], index=one.index) for one in file.series}
    )
    top = frame.quantile(0.99)
    usual = float(top.median())
    if not usual > 0:
        return frame * 0.0
    alike = (top > 0.6 * usual) & (top < 1.25 * usual)
    return frame / top.mask(alike, usual)


def below_peers(file: SeriesFile, shares: pd.DataFrame) -> dict[str, BoolArray]:
    """Where a series gives less than half of what the others do."""
    usual = shares.median(axis="columns")
    lit = (usual > 0.1).to_numpy()
    below = shares.lt(0.5 * usual, axis="index").to_numpy(dtype=np.bool_) & lit[:, None]
    table = pd.DataFrame(below, index=shares.index, columns=shares.columns)
    return {
        one.name: table[one.name].reindex(one.index).to_numpy(dtype=np.bool_) for one in file.series
    }


def weak_series(shares: pd.DataFrame) -> list[str]:
    """Series that gave at least 5 % less than the median of their peers at the same moments."""
    usual = shares.median(axis="columns")
    weak = []
    for name in shares.columns:
        both = shares[name].notna() & (usual > 0)
        total = float(usual[both].sum())
        share = float(shares.loc[both, name].sum()) / total if total else 1.0
        if share < _WEAK:
            weak.append((share, str(name)))
    return [
        f"{name} gave {1 - share:.0%} less than the median of its peers"
        for share, name in sorted(weak)[:_MOST_NAMED]
    ]
