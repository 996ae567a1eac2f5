"""From a real weather file to the power series of a site: what the device simulator replays.

Read in this order: ``plant`` (what stands there), ``quarter_hours`` (weather on the 15-minute
grid), ``chain`` (weather to power), ``load`` (what the household uses), ``series`` (all of it,
written down).

    from central.site_series import run_site_series
    summary = run_site_series(Path("nsrdb_2013.csv"), Path("series.csv"), dc_capacity_w=6000)
"""

from .load import RecordedHousehold, SyntheticHousehold, read_household
from .plant import PlantDescription, SiteSeriesError, plant_at
from .series import (
    SeriesSummary,
    compute_site_series,
    history_intervals,
    run_site_series,
    write_history,
    write_series,
)

__all__ = [
    "PlantDescription",
    "RecordedHousehold",
    "SeriesSummary",
    "SiteSeriesError",
    "SyntheticHousehold",
    "compute_site_series",
    "history_intervals",
    "plant_at",
    "read_household",
    "run_site_series",
    "write_history",
    "write_series",
]
