"""Archives of weather forecasts: only what was known at an issue reaches its features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from central.training.dataset import TrainingSite, draw_cases
from central.training.errors import TrainingDataError
from central.training.weather_archive import LATENCY_MS, WeatherArchive, read_weather_archive
from models.contract.timestamps import DAY_MS, HOUR_MS, STEP_MS, STEPS_PER_DAY
from models.features.site import Site, SiteSeries
from models.features.sky import Sky
from models.features.spec import FEATURES
from models.features.weather import WeatherSeries

SITE = Site(40.0, -105.0, dc_capacity_w=5000, ac_capacity_w=5000, tilt=30)
START = 1_717_200_000_000
DAYS = 14


def run(issued: int, pressure: float, hours: int = 54) -> WeatherSeries:
    """A run whose values tell which one it is."""
    return WeatherSeries(issued, {"pressure": np.full(hours, pressure)}, HOUR_MS)


@pytest.fixture(scope="module")
def site() -> TrainingSite:
    """Two weeks with a run each day at midnight UTC; its number is its pressure."""
    sky = Sky.over(SITE, START, DAYS * STEPS_PER_DAY)
    issued = np.array([START + day * DAY_MS for day in range(DAYS)])
    runs = tuple(run(int(when), float(day)) for day, when in enumerate(issued))
    series = SiteSeries(START, 0.5 * sky.power)
    return TrainingSite("one", SITE, series, weather=WeatherArchive(runs, issued))


def test_an_issue_sees_the_newest_run_that_had_arrived(site: TrainingSite) -> None:
    place = FEATURES.index("weather_pressure")
    cases = draw_cases(site, 9 * STEPS_PER_DAY, 11 * STEPS_PER_DAY, 8)
    assert len(cases.issues) == 24
    for issue, table in zip(cases.issues, cases.features, strict=True):
        now = site.series.start + issue * STEP_MS
        newest = (now - LATENCY_MS - START) // DAY_MS
        assert table[0, place] == newest
        # The last hours of the horizon lie beyond what that run says when it is old.
        reach = START + newest * DAY_MS + 54 * HOUR_MS
        known = now + np.arange(192) * STEP_MS < reach
        assert np.isfinite(table[:, place]).tolist() == known.tolist()


def test_before_the_first_run_nothing_is_known(site: TrainingSite) -> None:
    groups = {}
    for issues, weather in site.by_weather(np.arange(0, 100, 10)):
        groups |= {int(issue): weather for issue in issues}
    assert groups[0] is None
    assert groups[90] is not None


def test_a_recording_without_issue_times_is_known_at_once() -> None:
    sky = Sky.over(SITE, START, DAYS * STEPS_PER_DAY)
    archive = WeatherArchive.unknown_issue(run(START, 3.0, 24 * DAYS))
    one = TrainingSite("one", SITE, SiteSeries(START, sky.power), weather=archive)
    [(issues, weather)] = one.by_weather(np.arange(5))
    assert len(issues) == 5
    assert weather is not None
    assert weather.plain["pressure"][7 * STEPS_PER_DAY] == 3.0


def test_files_are_read_run_by_run(tmp_path: Path) -> None:
    times = pd.date_range("2024-06-01", periods=6, freq="h", tz="UTC")
    first = pd.DataFrame({"timestamp": times, "issued_at": times[0], "ghi": np.arange(6.0)})
    second = first.assign(timestamp=times + pd.Timedelta(hours=3), issued_at=times[3], ghi=9.0)
    holed = pd.concat([second, first]).drop(index=2)
    file = tmp_path / "weather.csv"
    holed.to_csv(file, index=False)
    archive = read_weather_archive(file)
    assert len(archive.runs) == 2
    assert archive.issued is not None
    assert np.isnan(archive.runs[0].values["ghi"][2])
    assert archive.runs[0].values["ghi"][3] == 3.0
    frame = first.drop(columns="issued_at")
    frame.to_parquet(tmp_path / "weather.parquet")
    assert read_weather_archive(tmp_path / "weather.parquet").issued is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ghi\n1\n", "no column 'timestamp'"),
        ("timestamp,sun\n2024-06-01,1\n", "no column with the name of a quantity"),
        ("timestamp,ghi\n2024-06-01T00:00Z,1\n2024-06-01T00:00Z,2\n", "no time twice"),
        ("timestamp,ghi\n2024-06-01T00:00Z,1\n,2\n", ":3: timestamp is empty"),
        ("timestamp,ghi\nyesterday,1\n", "timestamp"),
        (
            "timestamp,ghi\n2024-06-01T00:00Z,1\n2024-06-01T01:00Z,1\n2024-06-01T02:30Z,2\n",
            "unevenly",
        ),
    ],
)
def test_faulty_files_are_named(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "weather.csv"
    file.write_text(text)
    with pytest.raises(TrainingDataError, match=problem) as caught:
        read_weather_archive(file)
    assert "weather.csv" in str(caught.value)


def test_runs_without_order_are_refused() -> None:
    with pytest.raises(TrainingDataError, match="ascend"):
        WeatherArchive((run(START, 1.0), run(START, 2.0)), np.array([START, START]))
    with pytest.raises(TrainingDataError, match="need their issue times"):
        WeatherArchive((run(START, 1.0), run(START, 2.0)))
