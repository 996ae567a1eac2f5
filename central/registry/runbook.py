"""``MLflowHelper``: registering a model of a run by the words of the owner's runbook.

MLflow's stages are deprecated, so Staging becomes the alias ``challenger``, Production ``champion``
(what was champion becomes ``previous_champion``); the word itself stands as the tag ``stage``.
Production here changes names in the registry only: boxes get what ``solar-central release`` signs.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from .mlflow_registry import CHALLENGER, ModelRegistry, RegistryError

STAGES = ("Staging", "Production")


class MLflowHelper:
    """Registers models that a run has logged."""

    @staticmethod
    def register_model_to_registry(
        run_id: str,
        model_uri: str,
        model_name: str,
        stage: str = "Staging",
        registry: ModelRegistry | Path | None = None,
    ) -> str:
        """Make a version of ``model_name`` from what ``run_id`` logged, and return its number.

        Args:
            model_uri: ``runs:/RUN_ID/path`` within that run
            stage: ``Staging`` or ``Production``
            registry: or its directory; default: the one of the centre's default settings
        Raises:
            RegistryError: the run, the path in it or the stage does not exist.
        """
        if stage not in STAGES:
            raise RegistryError(f"stage {stage!r}: must be one of {', '.join(STAGES)}")
        path = _path_in_run(run_id, model_uri)
        if registry is None:
            from central.settings import load_central_settings

            registry = load_central_settings(None).registry_dir
        if isinstance(registry, Path):
            registry = ModelRegistry(registry)
        version = _create_version(registry, run_id, path, model_name)
        if stage == "Production":
            registry.promote({model_name: version})
        return version


def _path_in_run(run_id: str, model_uri: str) -> str:
    prefix = f"runs:/{run_id}/"
    path = model_uri.removeprefix(prefix)
    if path == model_uri or not path.strip("/") or ".." in PurePosixPath(path).parts:
        raise RegistryError(f"model_uri {model_uri!r}: must be {prefix}PATH, a path in that run")
    return path.strip("/")


def _create_version(registry: ModelRegistry, run_id: str, path: str, model_name: str) -> str:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=registry.uri, registry_uri=registry.uri)
    try:
        run = client.get_run(run_id)
        parent = str(PurePosixPath(path).parent)
        siblings = client.list_artifacts(run_id, None if parent == "." else parent)
    except mlflow.exceptions.MlflowException as error:
        raise RegistryError(f"run {run_id}: {error} ({registry.uri})") from error
    if path not in [one.path for one in siblings]:
        there = ", ".join(one.path for one in siblings) or "nothing"
        raise RegistryError(f"run {run_id}: has logged no {path!r}; there is {there}")
    try:
        client.create_registered_model(model_name)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise RegistryError(f"{model_name}: {error}") from error
    source = f"{run.info.artifact_uri}/{path}"
    version = str(client.create_model_version(model_name, source, run_id).version)
    client.set_model_version_tag(model_name, version, "stage", "Staging")
    client.set_registered_model_alias(model_name, CHALLENGER, version)
    return version
