"""The weekly round: histories and telemetry -> candidate -> registry -> verdict -> signed release.

Each step is also a command of its own; this file only puts them in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from central.messaging import Messaging
from central.registry.mlflow_registry import LoggedRun, ModelRegistry
from central.registry.promotion import Judged, Verdict, judge
from central.release.publish import publish_repository
from central.release.release import ReleaseReport, open_repository, release_bundle
from central.settings import CentralSettings
from central.store import open_store
from central.training.demand_homes import demand_homes
from central.training.histories import training_sites
from central.training.pipeline import Candidate, train
from central.training.presets import PRESETS
from models.bundle.manifest import Manifest, ModelEntry
from models.bundle.manifest_json import decode_manifest, encode_manifest
from models.bundle.names import GENERATION_TREES
from models.contract.forecast import WeatherMode
from models.contract.timestamps import Instant

CONNECT_S = 15.0
"""How long publishing waits for the broker."""


class RetrainError(RuntimeError):
    """A step that could not be done; says which and what to do."""


@dataclass(frozen=True)
class Retrained:
    """What a round came to. ``release`` is None when the verdict kept the candidate back."""

    candidate: Candidate
    run: LoggedRun
    verdict: Verdict
    release: ReleaseReport | None


def train_candidate(
    settings: CentralSettings,
    now: Instant,
    base: Path,
    *,
    telemetry: bool = True,
    progress: Callable[[str], None] = lambda text: None,
    stage: Callable[[str], None] = lambda text: None,
) -> Candidate:
    """Train on everything known until ``now`` (domain time)."""
    mode = settings.training.weather_mode
    weather = mode is not WeatherMode.NONE
    store = open_store(settings.store_url) if telemetry else None
    try:
        if store is not None:
            with store.read() as queries:
                sites = training_sites(settings.sites, queries, now, base, weather=weather)
                homes = demand_homes(settings.sites, queries, now, base)
        else:
            sites = training_sites(settings.sites, None, now, base, weather=weather)
            homes = demand_homes(settings.sites, None, now, base)
    finally:
        if store is not None:
            store.close()
    return train(
        sites,
        PRESETS[settings.training.preset],
        settings.work_dir,
        now,
        homes=homes,
        weather_mode=mode,
        cpus=settings.training.cpus,
        progress=progress,
        stage=stage,
    )


def register(settings: CentralSettings, candidate: Candidate) -> tuple[LoggedRun, Verdict]:
    """Log the candidate and judge it against the champion; promotes nothing yet."""
    registry = ModelRegistry(settings.registry_dir)
    manifest = candidate.manifest
    champion = registry.champion_metrics(GENERATION_TREES)
    run = registry.log(
        name=manifest.bundle_id,
        parameters={
            "preset": settings.training.preset.value,
            "weather_mode": manifest.weather_mode.value,
            "training_fingerprint": manifest.training.fingerprint,
            "feature_digest": manifest.features.digest,
            "sites": candidate.report["sites"],
        },
        metrics=dict(manifest.metrics),
        artifacts=candidate.directory,
        models={name: _place(model) for name, model in manifest.models.items()},
    )
    score = candidate.scores["all"]
    judged = Judged(score.skill, score.skill_low, score.coverage_90, manifest.weather_mode)
    return run, judge(judged, _judged(champion, manifest))


def release(settings: CentralSettings, bundle: Path, ring: str) -> ReleaseReport:
    """Number, pack, sign and publish ``bundle``."""
    report = _sign(settings, bundle, ring)
    publish(settings)
    return report


def _sign(settings: CentralSettings, bundle: Path, ring: str) -> ReleaseReport:
    repository = open_repository(settings.repository_dir, settings.keys_dir)
    report = release_bundle(bundle, ring, repository)
    settings.released_dir.mkdir(parents=True, exist_ok=True)
    ledger = settings.released_dir / f"{report.manifest.bundle_id}.json"
    ledger.write_bytes(encode_manifest(report.manifest))
    return report


def released_manifests(settings: CentralSettings) -> list[Manifest]:
    """What was ever released, oldest first."""
    found = [decode_manifest(file.read_bytes()) for file in settings.released_dir.glob("*.json")]
    return sorted(found, key=lambda manifest: manifest.release)


def publish(settings: CentralSettings) -> int:
    """Bring the repository to the broker as retained messages; returns how many were sent.

    Snapshot and timestamp are signed anew: they expire after days, and boxes then take no release.
    """
    repository = open_repository(settings.repository_dir, settings.keys_dir)
    repository.renew_online()
    messaging = Messaging(settings.mqtt, client_id="solar-central-release")
    messaging.start()
    try:
        if not messaging.wait_connected(CONNECT_S):
            raise RetrainError(
                f"no MQTT broker at {settings.mqtt.host}:{settings.mqtt.port} within"
                f" {CONNECT_S:g} s; the release is signed, `solar-central release --publish-only`"
                " sends it later"
            )
        renewed = publish_repository(
            repository,
            lambda topic, payload, *, retain: messaging.publish(topic, payload, retain=retain),
        )
    finally:
        messaging.stop()
    return renewed


def retrain(
    settings: CentralSettings,
    now: Instant,
    base: Path,
    *,
    progress: Callable[[str], None] = lambda text: None,
    stage: Callable[[str], None] = lambda text: None,
) -> Retrained:
    """All of it. A candidate that is not promoted is kept in the registry as challenger."""
    candidate = train_candidate(settings, now, base, progress=progress, stage=stage)
    stage("register")
    run, verdict = register(settings, candidate)
    if not verdict.promote:
        return Retrained(candidate, run, verdict, None)
    stage("release")
    report = _sign(settings, candidate.directory, settings.release.ring)
    # Signed is released: without a broker it is sent later, and is the champion all the same.
    ModelRegistry(settings.registry_dir).promote(run.versions)
    publish(settings)
    return Retrained(candidate, run, verdict, report)


def _place(model: ModelEntry) -> Path:
    """Where a model lies inside the bundle: its folder of libraries, or its one file."""
    first = next(iter(model.files.values()))[0]
    return Path(first.path).parent if model.kind.is_trees else Path(first.path)


def _judged(metrics: dict[str, float] | None, manifest: Manifest) -> Judged | None:
    if metrics is None:
        return None
    missing = {"skill", "skill_low", "coverage_90"} - metrics.keys()
    if missing:
        raise RetrainError(
            f"the champion's run lacks {', '.join(sorted(missing))}; give the alias 'champion' to a"
            " version that a retraining made"
        )
    return Judged(
        metrics["skill"], metrics["skill_low"], metrics["coverage_90"], manifest.weather_mode
    )
