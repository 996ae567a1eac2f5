"""What a training logged can be looked at: by the command, by MLflow's own page and client."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pytest

from central.registry.mlflow_registry import EXPERIMENT, ModelRegistry
from models.bundle.archive import read_manifest
from models.bundle.names import GENERATION_LSTM as LSTM
from models.bundle.names import GENERATION_TREES as TREES
from models.contract.forecast import LEVELS
from models.forecasters.outcomes import BUCKETS
from tests.integration.loop.running import CENTRAL, Loop, Weather, left_behind, open_loop, wait_for


@pytest.mark.timeout(300)  # MLflow takes its time to start on a busy machine
def test_runs_and_versions_are_on_mlflows_page(
    tmp_path: Path, weather: Weather, candidate_bundle: Path
) -> None:
    with open_loop(tmp_path / "loop", weather) as loop:
        manifest = read_manifest(candidate_bundle)
        offsets = np.array(manifest.initial_offsets)  # a new site begins with what was learned here
        assert offsets.shape == (BUCKETS, len(LEVELS))
        assert offsets.any()
        registry = ModelRegistry(loop.place.central_data / "mlflow")
        run = registry.log(
            "tiny candidate",
            {"training_fingerprint": manifest.training.fingerprint},
            manifest.metrics,
            candidate_bundle,
            {TREES: Path("trees"), LSTM: Path(manifest.models[LSTM].files_for("x86_64")[0].path)},
        )
        registry.promote(run.versions)
        shown = json.loads(loop.central("register", "--json"))
        assert shown["aliases"][TREES] == {"challenger": "1", "champion": "1"}

        port = loop.ports.api  # free, because no centre is running
        config = str(loop.place.central_config)
        loop.services.start("ui", CENTRAL, "ui", "--port", str(port), "--config", config)
        page = f"http://127.0.0.1:{port}"
        loop.services.wait("MLflow's page", lambda: _opens(f"{page}/"), 120)

        client = mlflow.MlflowClient(page, page)
        (ours,) = client.search_experiments(filter_string=f"name = '{EXPERIMENT}'")
        (logged,) = client.search_runs([ours.experiment_id])
        assert (logged.info.run_id, logged.info.run_name) == (run.run_id, "tiny candidate")
        assert logged.data.metrics["skill"] == pytest.approx(manifest.metrics["skill"])
        for model in (TREES, LSTM):
            assert client.get_model_version_by_alias(model, "champion").run_id == run.run_id

        assert len(_of_mlflow(loop)) <= 3, "no job runners beside the page"
        loop.services.stop("ui")
        wait_for(lambda: not _of_mlflow(loop), "nothing left behind")


def _of_mlflow(loop: Loop) -> list[str]:
    """The page's processes, by the database that all of them are told."""
    return left_behind(loop.place.central_data / "mlflow")


def _opens(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200 and b"<html" in answer.read()
    except OSError:
        return False
