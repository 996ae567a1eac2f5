"""Runs and model versions in MLflow, kept in a database.

Aliases say what is what: ``challenger`` is the latest candidate, ``champion`` what was released
last, ``previous_champion`` what came before. The runbook's words Staging and Production stand as
the tag ``stage``, because MLflow's own stages are deprecated.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXPERIMENT = "solar-sharing"
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous_champion"


class RegistryError(RuntimeError):
    """The registry does not hold what was asked for."""


@dataclass(frozen=True)
class LoggedRun:
    """A run and the model versions made from it."""

    run_id: str
    versions: Mapping[str, str]


class ModelRegistry:
    """One tracking database and its artifact directory."""

    def __init__(self, directory: Path) -> None:
        """Open or create ``directory/mlflow.db`` and ``directory/artifacts``."""
        # Asked when it is imported: MLflow would report its use to its makers.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        logging.getLogger("alembic").setLevel(logging.WARNING)
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        directory.mkdir(parents=True, exist_ok=True)
        self.uri = f"sqlite:///{(directory / 'mlflow.db').resolve()}"
        artifacts = (directory / "artifacts").resolve()
        artifacts.mkdir(exist_ok=True)
        self._client = mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        self._experiment = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(EXPERIMENT, artifact_location=artifacts.as_uri())
        )

    def log(
        self,
        name: str,
        parameters: Mapping[str, Any],
        metrics: Mapping[str, float],
        artifacts: Path,
        models: Mapping[str, Path],
    ) -> LoggedRun:
        """Log one training run and register a version of each model as challenger.

        Args:
            name: what the run is called on screen
            parameters: settings and data, shown as text
            metrics: finite numbers
            artifacts: directory stored with the run
            models: registry name -> path of its files inside ``artifacts``
        """
        run = self._client.create_run(self._experiment, run_name=name)
        run_id = run.info.run_id
        for key, value in parameters.items():
            self._client.log_param(run_id, key, str(value)[:6000])
        for key, value in metrics.items():
            self._client.log_metric(run_id, _metric_name(key), value)
        self._client.log_artifacts(run_id, str(artifacts), "bundle")
        versions = {}
        for model, path in models.items():
            self._ensure_model(model)
            source = f"{run.info.artifact_uri}/bundle/{path.as_posix()}"
            version = self._client.create_model_version(model, source, run_id)
            self._client.set_model_version_tag(model, version.version, "stage", "Staging")
            self._client.set_registered_model_alias(model, CHALLENGER, version.version)
            versions[model] = str(version.version)
        self._client.set_terminated(run_id)
        return LoggedRun(run_id, versions)

    def promote(self, versions: Mapping[str, str]) -> None:
        """Make these versions champions; what was champion becomes ``previous_champion``."""
        for model, version in versions.items():
            before = self.aliases(model).get(CHAMPION)
            if before and before != version:
                self._client.set_registered_model_alias(model, PREVIOUS, before)
                self._client.set_model_version_tag(model, before, "stage", "Archived")
            self._client.set_registered_model_alias(model, CHAMPION, version)
            self._client.set_model_version_tag(model, version, "stage", "Production")

    def champion_metrics(self, model: str) -> dict[str, float] | None:
        """Metrics of the run behind the champion of ``model``; None before the first."""
        version = self.aliases(model).get(CHAMPION)
        if version is None:
            return None
        found = self._client.get_model_version(model, version)
        if found.run_id is None:
            raise RegistryError(f"{model} version {version} has no run; register it again")
        return dict(self._client.get_run(found.run_id).data.metrics)

    def aliases(self, model: str) -> dict[str, str]:
        """Alias -> version of ``model``; empty when it was never registered."""
        import mlflow

        try:
            found = self._client.get_registered_model(model)
        except mlflow.exceptions.MlflowException as error:
            # Anything else must not look like an empty registry: its champion would be forgotten.
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise RegistryError(f"{self.uri}: {error}") from error
            return {}
        return {alias: str(version) for alias, version in (found.aliases or {}).items()}

    def _ensure_model(self, model: str) -> None:
        import mlflow

        try:
            self._client.create_registered_model(model)
        except mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def _metric_name(name: str) -> str:
    """MLflow accepts letters, digits and ``_-./ :`` in names."""
    return "".join(c if c.isalnum() or c in "_-./ :" else "_" for c in name)
