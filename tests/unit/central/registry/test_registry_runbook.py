"""Registering by the runbook's words, in a real MLflow database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from central.evaluation import MLflowHelper
from central.registry.mlflow_registry import LoggedRun, ModelRegistry, RegistryError


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> ModelRegistry:
    """One for all tests, because a new database takes MLflow seconds; each has its own model."""
    return ModelRegistry(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="module")
def run(registry: ModelRegistry, tmp_path_factory: pytest.TempPathFactory) -> LoggedRun:
    """A run with a file ``bundle/lstm.tflite``, not yet registered."""
    artifacts = tmp_path_factory.mktemp("bundle")
    (artifacts / "lstm.tflite").write_bytes(b"model")
    return registry.log("training", {}, {"skill": 0.3}, artifacts, {})


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return "".join(c if c.isalnum() else "_" for c in request.node.name)


@pytest.fixture
def register(registry: ModelRegistry, run: LoggedRun, name: str) -> Callable[..., str]:
    def call(stage: str = "Staging", path: str = "bundle/lstm.tflite") -> str:
        return MLflowHelper.register_model_to_registry(
            run_id=run.run_id,
            model_uri=f"runs:/{run.run_id}/{path}",
            model_name=name,
            stage=stage,
            registry=registry,
        )

    return call


def tag(registry: ModelRegistry, name: str, version: str) -> str:
    client = mlflow.MlflowClient(tracking_uri=registry.uri, registry_uri=registry.uri)
    return client.get_model_version(name, version).tags["stage"]


def test_staging_is_the_challenger_and_production_the_champion(
    registry: ModelRegistry, name: str, register: Callable[..., str]
) -> None:
    first = register("Production")
    assert registry.aliases(name) == {"challenger": first, "champion": first}
    second = register("Staging")
    assert registry.aliases(name) == {"challenger": second, "champion": first}
    assert (tag(registry, name, first), tag(registry, name, second)) == ("Production", "Staging")
    third = register("Production", "bundle")  # a directory
    assert registry.aliases(name)["previous_champion"] == first
    assert (tag(registry, name, first), tag(registry, name, third)) == ("Archived", "Production")
    assert registry.champion_metrics(name) == {"skill": 0.3}


def test_the_version_points_to_the_file_of_the_run(
    registry: ModelRegistry, name: str, register: Callable[..., str]
) -> None:
    version = register()
    client = mlflow.MlflowClient(tracking_uri=registry.uri, registry_uri=registry.uri)
    source = client.get_model_version(name, version).source
    assert source is not None
    assert Path(source.removeprefix("file://")).read_bytes() == b"model"


def test_a_directory_will_do_for_a_registry(
    registry: ModelRegistry, run: LoggedRun, name: str
) -> None:
    directory = Path(registry.uri.removeprefix("sqlite:///")).parent
    MLflowHelper.register_model_to_registry(
        run.run_id, f"runs:/{run.run_id}/bundle", name, registry=directory
    )
    assert registry.aliases(name) == {"challenger": "1"}


@pytest.mark.parametrize(
    ("stage", "path", "complaint"),
    [
        ("production", "bundle", "stage 'production': must be one of Staging, Production"),
        ("Staging", "bundle/gru.tflite", "has logged no 'bundle/gru.tflite'; there is bundle/lstm"),
        ("Staging", "nothing", "has logged no 'nothing'; there is bundle"),
        ("Staging", "", "a path in that run"),
        ("Staging", "../../secrets", "a path in that run"),
    ],
)
def test_what_does_not_exist_is_not_registered(
    registry: ModelRegistry,
    register: Callable[..., str],
    name: str,
    stage: str,
    path: str,
    complaint: str,
) -> None:
    with pytest.raises(RegistryError, match=complaint):
        register(stage, path)
    assert registry.aliases(name) == {}


def test_the_address_must_name_the_run(registry: ModelRegistry, run: LoggedRun, name: str) -> None:
    for uri in ("runs:/other/bundle", "models:/lstm/1", "bundle"):
        with pytest.raises(RegistryError, match=f"must be runs:/{run.run_id}/PATH"):
            MLflowHelper.register_model_to_registry(run.run_id, uri, name, registry=registry)
    with pytest.raises(RegistryError, match="run 0123"):
        MLflowHelper.register_model_to_registry("0123", "runs:/0123/x", name, registry=registry)
