"""Where a bundle lets calibration begin, and offsets that would be laid on the wrong leads."""

from __future__ import annotations

import pytest

from models.contract.forecast import LEVELS
from models.forecasters.bundle import BundleForecaster
from models.forecasters.outcomes import BUCKETS
from models.runtimes.base import RuntimeLoadError
from tests.bundles import Bundles

ROW = tuple(0.1 * level for level in LEVELS)


def test_the_offsets_of_the_manifest_are_handed_on(bundles: Bundles) -> None:
    start = BundleForecaster.load(bundles.make(initial_offsets=(ROW,) * BUCKETS)).initial_offsets
    assert start is not None
    assert start.shape == (BUCKETS, len(LEVELS))
    assert BundleForecaster.load(bundles.make()).initial_offsets is None


def test_offsets_of_other_lead_buckets_are_refused(bundles: Bundles) -> None:
    with pytest.raises(RuntimeLoadError, match="initial_offsets: 8 lead buckets, not the 9"):
        BundleForecaster.load(bundles.make(initial_offsets=(ROW,) * (BUCKETS - 1)))
