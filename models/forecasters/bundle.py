"""The forecaster that a bundle describes: compiled trees, the experts beside them, and their blend.

Decides how a bundle's files become one set of quantiles; the agent, the bundle's self-test and the
centre's gates all forecast through here. Whether the bundle may be trusted was decided before
(``models.bundle.trust``, python-tuf); calibration of the interval comes after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from models.bundle.manifest import MANIFEST_NAME, Manifest, ModelEntry, ModelKind
from models.bundle.manifest_json import decode_manifest
from models.bundle.names import (
    ANOMALY,
    DEMAND,
    GENERATION_LSTM,
    GENERATION_NEAR,
    GENERATION_NET,
    RISK,
)
from models.contract.errors import ContractError
from models.contract.forecast import LEVELS
from models.contract.timestamps import HORIZON_STEPS, STEP_MS, STEPS_PER_DAY, Instant
from models.features.build import FeatureArray, build_features, build_windows
from models.features.conditions import CONDITIONS, CONDITIONS_DIGEST
from models.features.demand_spec import DEMAND_FEATURES, demand_digest
from models.features.learned_site import LearnedSite
from models.features.risk_columns import RISK_COLUMNS, RISK_DIGEST
from models.features.site import FloatArray, Site, SiteSeries
from models.features.sky import Sky
from models.features.spec import ANCHOR, FEATURES, HISTORY_STEPS, KNOTS, current_spec
from models.features.weather import WeatherSeries
from models.runtimes.base import RuntimeLoadError
from models.runtimes.elf import current_cpu
from models.runtimes.feature_net import FeatureNet
from models.runtimes.tflite import TfliteRuntime
from models.runtimes.trees import QuantileTrees

from .blend import NEAR_STEPS, combine, knots_to_steps, to_power, with_near
from .outcomes import BUCKETS

QUANTITY = "ac_power"
NAME = "blend"
"""Model name of a forecast in which all experts may have a say."""


@dataclass(frozen=True)
class Columns:
    """What the rows of a task mean, and how many columns they have."""

    digest: str
    count: int


OTHER_TASKS: Mapping[str, Columns] = MappingProxyType(
    {
        DEMAND: Columns(demand_digest(), len(DEMAND_FEATURES)),
        ANOMALY: Columns(CONDITIONS_DIGEST, len(CONDITIONS)),
        RISK: Columns(RISK_DIGEST, len(RISK_COLUMNS)),
    }
)
"""Tasks beside the generation whose trees this program can run."""


class BundleForecaster:
    """A loaded bundle. Not for use by two threads at once."""

    def __init__(
        self,
        manifest: Manifest,
        trees: QuantileTrees,
        lstm: TfliteRuntime | None = None,
        net: FeatureNet | None = None,
        near: QuantileTrees | None = None,
        others: Mapping[str, QuantileTrees] = MappingProxyType({}),
    ) -> None:
        self.manifest, self._trees, self._near = manifest, trees, near
        self._lstm, self._net = lstm, net
        self._shares = {name: np.asarray(share) for name, share in manifest.shares.items()}
        self.others = others
        """Trees of the other tasks, by registry name; one that the bundle lacks is absent."""
        start = manifest.initial_offsets
        self.initial_offsets: FloatArray | None = np.array(start) if start else None
        """Where the calibration of a new site begins, ``(lead buckets, levels)``."""

    @classmethod
    def load(cls, directory: Path, cpu: str | None = None) -> BundleForecaster:
        """Load the models of an unpacked bundle for ``cpu`` (default: this machine's).

        Raises:
            RuntimeLoadError: a file is missing, damaged, of another CPU or of another feature spec.
        """
        manifest_file = directory / MANIFEST_NAME
        try:
            manifest = decode_manifest(manifest_file.read_bytes())
        except OSError as error:
            raise RuntimeLoadError(manifest_file, error.strerror or "cannot be read") from None
        except ContractError as error:
            raise RuntimeLoadError(manifest_file, str(error)) from None
        if manifest.features.digest != current_spec().digest:
            raise RuntimeLoadError(manifest_file, "trained on features this program does not make")
        if len(manifest.initial_offsets) not in (0, BUCKETS):
            raise RuntimeLoadError(
                manifest_file,
                f"initial_offsets: {len(manifest.initial_offsets)} lead buckets, not the {BUCKETS}"
                " that this program has",
            )
        cpu = cpu or current_cpu()
        trees: QuantileTrees | None = None
        near: QuantileTrees | None = None
        lstm: TfliteRuntime | None = None
        net: FeatureNet | None = None
        others: dict[str, QuantileTrees] = {}
        for name, model in manifest.models.items():
            paths = [directory / file.path for file in model.files_for(cpu)]
            other = OTHER_TASKS.get(name)
            if other is None and model.quantity != QUANTITY:
                continue  # a later agent will know what to do with it
            if not paths:
                raise RuntimeLoadError(manifest_file, f"{name} was not built for {cpu}")
            if other is not None:
                others[name] = _other_trees(manifest_file, name, model, other, paths)
            elif model.kind is ModelKind.QUANTILE_TREES and name != GENERATION_NEAR:
                trees = _generation_trees(manifest_file, name, model, paths)
            elif not max(manifest.shares.get(name, ()), default=0.0) > 0:
                continue  # it lost against the others everywhere
            elif name == GENERATION_NEAR:
                near = _near_trees(manifest_file, manifest, model, paths)
            elif model.kind is ModelKind.TFLITE_LSTM:
                lstm = TfliteRuntime(paths[0])
            elif model.kind is ModelKind.FEATURE_NET:
                net = FeatureNet.load(paths[0], feature_count=len(FEATURES), levels=LEVELS)
        if trees is None:
            raise RuntimeLoadError(manifest_file, f"holds no trees for {QUANTITY}")
        return cls(manifest, trees, lstm, net, near, others)

    def predict_normalised(self, features: FeatureArray, window: FeatureArray) -> FloatArray:
        """Clear-sky-index quantiles, ``(levels, HORIZON_STEPS)``.

        Args:
            features: ``build_features`` of one issue, ``(HORIZON_STEPS, len(FEATURES))``
            window: ``build_windows`` of the same issue, ``(WINDOW_STEPS, channels)``
        """
        anchor = features[:, ANCHOR, None]
        trees = self._trees.predict(features) + anchor
        others, shares = [], []
        if self._lstm is not None:
            knots = self._lstm.predict(window[None])[0].reshape(KNOTS, len(LEVELS))
            others.append(knots_to_steps(knots))
            shares.append(self._shares[GENERATION_LSTM])
        if self._net is not None:
            others.append(self._net.predict(features) + anchor)
            shares.append(self._shares[GENERATION_NET])
        if self._near is not None:
            near = self._near.predict(features[:NEAR_STEPS]) + anchor[:NEAR_STEPS]
            others.append(with_near(trees, near))
            shares.append(self._shares[GENERATION_NEAR])
        return combine(trees, others, shares).T

    def predict(
        self,
        site: Site,
        series: SiteSeries,
        weather: WeatherSeries | None = None,
        learned: LearnedSite | None = None,
        sky: Sky | None = None,
    ) -> FloatArray:
        """Power quantiles [W] issued at the end of ``series``, ``(levels, HORIZON_STEPS)``.

        ``learned`` takes the place of ``site`` where its own measurements have taught something;
        ``sky`` is what ``forecast_sky`` gives of them, if at hand.
        """
        if learned is not None:
            site = learned.site
        recent = series.window(len(series) - HISTORY_STEPS, len(series))
        if sky is None:
            sky = forecast_sky(site, series.end, learned)
        features = build_features(site, recent, [HISTORY_STEPS], sky=sky, weather=weather)[0]
        window = build_windows(site, recent, [HISTORY_STEPS], sky)[0]
        index = self.predict_normalised(features, window)
        clear = sky.power[HISTORY_STEPS : HISTORY_STEPS + HORIZON_STEPS]
        limit = learned.limit_w if learned else site.ac_capacity_w
        return to_power(index.T, clear, limit)


def forecast_sky(site: Site, issued: Instant, learned: LearnedSite | None = None) -> Sky:
    """The sky that a forecast at ``issued`` looks at: its history, its horizon and a day more."""
    start = issued - HISTORY_STEPS * STEP_MS
    reach = HISTORY_STEPS + HORIZON_STEPS + STEPS_PER_DAY
    return Sky.over(site, start, reach, learned=learned)


def _generation_trees(
    manifest_file: Path, name: str, model: ModelEntry, paths: Sequence[Path]
) -> QuantileTrees:
    if model.levels != LEVELS or len(paths) != len(LEVELS):
        raise RuntimeLoadError(manifest_file, f"{name} has not the levels {LEVELS}")
    return QuantileTrees.load(dict(zip(LEVELS, paths, strict=True)), feature_count=len(FEATURES))


def _near_trees(
    manifest_file: Path, manifest: Manifest, model: ModelEntry, paths: Sequence[Path]
) -> QuantileTrees:
    name = GENERATION_NEAR
    if model.kind is not ModelKind.QUANTILE_TREES:
        raise RuntimeLoadError(manifest_file, f"{name} is no tree model of quantiles")
    if any(manifest.shares[name][NEAR_STEPS:]):
        raise RuntimeLoadError(
            manifest_file, f"{name} has a share beyond its first {NEAR_STEPS} steps"
        )
    return _generation_trees(manifest_file, name, model, paths)


def _other_trees(
    manifest_file: Path, name: str, model: ModelEntry, columns: Columns, paths: Sequence[Path]
) -> QuantileTrees:
    if not model.kind.is_trees:
        raise RuntimeLoadError(manifest_file, f"{name} is no tree model but {model.kind}")
    if model.features != columns.digest:
        raise RuntimeLoadError(manifest_file, f"{name} reads columns this program does not make")
    return QuantileTrees.load(
        dict(zip(model.levels, paths, strict=True)), feature_count=columns.count
    )
