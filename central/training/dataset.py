"""Training data: site histories on the 15-minute grid, cut into four disjoint chronological spans.

Rows are drawn where a cloudless sky would give power; targets are clear-sky indices (for trees:
minus the anchor) weighted by clear-sky power, so that the loss counts watts. The embargo between
spans is a whole horizon, so no target of one span lies within the horizon of an issue of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from models.contract.timestamps import (
    HORIZON_STEPS,
    STEP_MS,
    STEPS_PER_DAY,
    Instant,
    format_iso8601,
)
from models.features.build import FeatureArray, build_features, build_windows
from models.features.learned_site import learn_site
from models.features.learned_sky import learned_sky
from models.features.site import FloatArray, IntArray, Site, SiteSeries
from models.features.sky import Sky, clear_sky_index
from models.features.spec import (
    ANCHOR,
    HISTORY_STEPS,
    KNOT_STEPS,
    KNOTS,
    WINDOW_CHANNELS,
    WINDOW_STEPS,
)
from models.features.weather import SkyWeather

from .errors import TrainingDataError
from .weather_archive import WeatherArchive

MIN_DAYS = 60
"""Less history than this trains nothing worth shipping."""
LEADS_PER_ISSUE = 16
LEAST_DAYLIGHT = 24
"""Known daylight intervals, six hours, without which a span teaches or judges nothing."""
NO_WEATHER_SHARE = 0.2
"""Share of what is drawn that is shown without its weather forecast: one may fail to come."""
COLD_SHARE = 0.1
"""Share of issues seen as a young site sees them, so that the models know missing days."""


@dataclass(frozen=True, eq=False)
class TrainingSite:
    """One site's history. ``resolution_minutes`` is that of the recording behind the grid."""

    name: str
    site: Site
    series: SiteSeries
    resolution_minutes: int = 15
    weather: WeatherArchive | None = None
    """Forecasts of the weather as they were known at the time."""
    declared: Site | None = None
    """What the form says, where ``site`` is what was learned; scores are shares of its capacity."""
    learned_sky: Sky | None = None
    """Over the series, one horizon and a day more; the plain one of ``site`` unless given."""

    @cached_property
    def sky(self) -> Sky:
        """The cloudless sky over the series, one horizon and a day more."""
        if self.learned_sky is not None:
            return self.learned_sky
        return Sky.over(self.site, self.series.start, self.reach, self.series.step_ms)

    @property
    def reach(self) -> int:
        """Intervals that ``sky`` spans."""
        return len(self.series) + HORIZON_STEPS + STEPS_PER_DAY

    @property
    def capacity_w(self) -> float:
        """What errors are shares of."""
        return (self.declared or self.site).ac_capacity_w

    def learn(self, until: int, every_days: int) -> TrainingSite:
        """The same as its box sees it: learned from its measurements, again and again.

        What does not change from day to day is learned from the intervals before ``until``.
        """
        once = learn_site(self.site, self.series.window(0, until))
        sky = learned_sky(self.site, self.series, self.reach, base=once.site, every_days=every_days)
        return replace(self, site=once.site, declared=self.site, learned_sky=sky)

    def by_weather(self, issues: IntArray) -> Iterator[tuple[IntArray, SkyWeather | None]]:
        """``issues`` grouped by the weather forecast that was known at them."""
        if self.weather is None:
            yield issues, None
        else:
            yield from self.weather.by_run(self.site, self.series, self.sky, issues)


@dataclass(frozen=True)
class Spans:
    """Shares of the history, in order; between them an embargo of one horizon."""

    train: float = 0.70
    stop: float = 0.08
    blend: float = 0.10
    test: float = 0.12

    def cut(self, length: int) -> dict[str, tuple[int, int]]:
        """First and last issue (exclusive) of each span for a series of ``length`` intervals."""
        names = ("train", "stop", "blend", "test")
        edges = np.cumsum([0.0, self.train, self.stop, self.blend, self.test])
        usable = length - HISTORY_STEPS
        if usable < MIN_DAYS * STEPS_PER_DAY:
            raise TrainingDataError(
                f"{length / STEPS_PER_DAY:.0f} days of history; at least "
                f"{MIN_DAYS + HISTORY_STEPS // STEPS_PER_DAY} are needed"
            )
        cuts = {}
        for name, (low, high) in zip(names, pairwise(edges / edges[-1]), strict=True):
            first = HISTORY_STEPS + int(low * usable)
            last = HISTORY_STEPS + int(high * usable) - HORIZON_STEPS
            cuts[name] = (first, last)
        return cuts

    def of(self, site: TrainingSite) -> dict[str, tuple[int, int]]:
        """``cut`` for ``site``. Raises ``TrainingDataError`` naming it and the span at fault."""
        try:
            cuts = self.cut(len(site.series))
        except TrainingDataError as error:
            raise TrainingDataError(f"{site.name}: {error}") from None
        known = np.isfinite(clear_sky_index(site.series.ac_power, site.sky))
        for name, (first, last) in cuts.items():
            if known[first : last + HORIZON_STEPS].sum() < LEAST_DAYLIGHT:
                begin, end = (site.series.start + step * STEP_MS for step in (first, last))
                raise TrainingDataError(
                    f"{site.name}: hardly any power measured in daylight between"
                    f" {format_iso8601(begin)} and {format_iso8601(end)} (span {name!r})"
                )
        return cuts


@dataclass(frozen=True, eq=False)
class Rows:
    """Tree rows: ``features`` (n, F), ``weight`` (n,), ``target`` (n,): index minus its anchor."""

    features: FeatureArray
    target: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True, eq=False)
class Windows:
    """LSTM examples: ``past`` (n, WINDOW_STEPS, C); ``target``/``weight`` (n, KNOTS)."""

    past: FeatureArray
    target: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.past)


@dataclass(frozen=True, eq=False)
class Cases:
    """Whole forecasts to be made and judged: everything per issue and lead of one site."""

    site: TrainingSite
    issues: IntArray
    features: FeatureArray
    windows: FeatureArray
    clear: FloatArray
    actual: FloatArray
    """Measured power [W], NaN outside daylight or where unknown; (issues, HORIZON_STEPS)."""


def draw_rows(
    site: TrainingSite,
    first: int,
    last: int,
    rows: int,
    random: np.random.Generator,
    steps: int = HORIZON_STEPS,
) -> Rows:
    """About ``rows`` pairs of issue and lead from issues in ``[first, last)``, in daylight.

    Of each issue some of the leads below ``steps``; all of them where they are few.
    """
    # Roughly half of all targets are night and fall away.
    wanted = max(1, min(last - first, int(rows / min(LEADS_PER_ISSUE, steps) * 2.2)))
    issues = np.sort(random.choice(np.arange(first, last), size=wanted, replace=False))
    sky = site.sky
    young = random.random(len(issues)) < COLD_SHARE
    parts = []
    for chunk, weather in site.by_weather(issues[~young]):
        for some in np.array_split(chunk, max(1, len(chunk) // 400)):
            # One set of leads per chunk keeps the features vectorised; near ones are drawn more
            # often.
            shown = None if random.random() < NO_WEATHER_SHARE else weather
            leads = _draw_leads(random, steps)
            parts.append(_rows_of(site.site, site.series, some, leads, sky, shown))
    for issue in issues[young]:
        # A site that has only been measured for a few hours or days: its past is cut off.
        begin = issue - int(random.integers(0, HISTORY_STEPS))
        window = site.series.window(issue - HISTORY_STEPS, issue + HORIZON_STEPS)
        window.ac_power[: begin - issue + HISTORY_STEPS] = np.nan
        local = sky.part(issue - HISTORY_STEPS, issue + HORIZON_STEPS + STEPS_PER_DAY)
        here = np.array([HISTORY_STEPS])
        parts.append(_rows_of(site.site, window, here, _draw_leads(random, steps), local))
    features, index, clear = (np.concatenate(column) for column in zip(*parts, strict=True))
    weight = clear / site.site.ac_capacity_w
    change = index - features[:, ANCHOR]
    return Rows(features, change.astype(np.float32), weight.astype(np.float32))


def _draw_leads(random: np.random.Generator, steps: int) -> IntArray:
    if steps <= LEADS_PER_ISSUE:
        return np.arange(steps)
    return np.unique((steps * random.random(LEADS_PER_ISSUE) ** 2).astype(np.int64))


def _rows_of(
    site: Site,
    series: SiteSeries,
    issues: IntArray,
    leads: IntArray,
    sky: Sky,
    weather: SkyWeather | None = None,
) -> tuple[FeatureArray, FloatArray, FloatArray]:
    """Features, index and clear-sky power of the pairs with a known daylight target."""
    table = build_features(site, series, issues, leads, sky, weather)
    csi = clear_sky_index(series.ac_power, sky)
    target = issues[:, None] + leads
    index = csi[np.minimum(target, len(csi) - 1)]
    usable = np.isfinite(index) & (target < len(csi))
    return table[usable], index[usable], sky.power[target][usable]


def draw_windows(
    site: TrainingSite, first: int, last: int, count: int, random: np.random.Generator
) -> Windows:
    """``count`` LSTM examples from issues in ``[first, last)``; one target an hour."""
    issues = np.sort(
        random.choice(np.arange(first, last), size=min(count, last - first), replace=False)
    )
    sky = site.sky
    power = site.series.ac_power
    target = issues[:, None] + np.arange(HORIZON_STEPS)
    inside = target < len(power)
    known = power[np.minimum(target, len(power) - 1)]
    usable = inside & np.isfinite(known) & sky.daylight[target]
    shape = (len(issues), KNOTS, KNOT_STEPS)
    energy = np.where(usable, np.nan_to_num(known), 0.0).reshape(shape).sum(axis=2)
    clear = np.where(usable, sky.power[target], 0.0).reshape(shape).sum(axis=2)
    index = np.clip(energy / np.maximum(clear, 1e-9), 0.0, 1.6)
    weight = clear / KNOT_STEPS / site.site.ac_capacity_w
    return Windows(
        _some_young(build_windows(site.site, site.series, issues, sky), random),
        np.where(clear > 0, index, 0.0).astype(np.float32),
        weight.astype(np.float32),
    )


def _some_young(past: FeatureArray, random: np.random.Generator) -> FeatureArray:
    """``COLD_SHARE`` of the windows begin unmeasured, up to the whole day."""
    young = random.random(len(past)) < COLD_SHARE
    unknown = np.where(young, random.integers(1, WINDOW_STEPS + 1, len(past)), 0)
    hidden = np.arange(WINDOW_STEPS) < unknown[:, None]
    for name in ("csi", "known"):
        past[:, :, WINDOW_CHANNELS.index(name)][hidden] = 0.0
    return past


def draw_cases(site: TrainingSite, first: int, last: int, every: int) -> Cases:
    """Every ``every``-th issue in ``[first, last)`` with all leads."""
    issues = np.arange(first, last, every)
    sky = site.sky
    power = site.series.ac_power
    target = issues[:, None] + np.arange(HORIZON_STEPS)
    known = np.where(target < len(power), power[np.minimum(target, len(power) - 1)], np.nan)
    features = [
        (some, build_features(site.site, site.series, some, sky=sky, weather=weather))
        for some, weather in site.by_weather(issues)
    ]
    table = np.concatenate([rows for _, rows in features])
    order = np.argsort(np.concatenate([some for some, _ in features]), kind="stable")
    return Cases(
        site=site,
        issues=issues,
        features=table[order],
        windows=build_windows(site.site, site.series, issues, sky),
        clear=sky.power[target],
        actual=np.where(sky.daylight[target], known, np.nan),
    )


def fingerprint(sites: Sequence[TrainingSite]) -> str:
    """SHA-256 over everything that trains: names, geometry, times and values."""
    digest = hashlib.sha256()
    for one in sorted(sites, key=lambda site: site.name):
        digest.update(repr((one.name, one.site, one.series.start, len(one.series))).encode())
        runs = one.weather.runs if one.weather else ()
        weather = (run.values[name] for run in runs for name in sorted(run.values))
        sensors = (one.series.ac_power, one.series.temp_air, one.series.ghi, one.series.dhi)
        for values in (*sensors, *weather):
            digest.update(b"-" if values is None else values.astype("<f8").tobytes())
    return digest.hexdigest()


def training_span(sites: Sequence[TrainingSite]) -> tuple[Instant, Instant]:
    """From the first interval to the end of the last one that any model saw."""
    return min(one.series.start for one in sites), max(one.series.end for one in sites)


def describe(sites: Sequence[TrainingSite]) -> list[dict[str, object]]:
    """What the run log says about the data."""
    return [
        {
            "site": one.name,
            "from": format_iso8601(one.series.start),
            "to": format_iso8601(one.series.end),
            "days": len(one.series) / STEPS_PER_DAY,
            "known_share": float(np.isfinite(one.series.ac_power).mean()),
            "resolution_minutes": one.resolution_minutes,
        }
        for one in sites
    ]


def concatenate_rows(parts: Sequence[Rows]) -> Rows:
    """All of them, one after the other."""
    return Rows(
        np.concatenate([one.features for one in parts]),
        np.concatenate([one.target for one in parts]),
        np.concatenate([one.weight for one in parts]),
    )
