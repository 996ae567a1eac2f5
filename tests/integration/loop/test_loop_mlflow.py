"""What a training logged can be looked at: by the command, by MLflow's own page and client."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from central.registry.mlflow_registry import EXPERIMENT, ModelRegistry
from central.training.candidate import LSTM, TREES
from models.bundle.archive import read_manifest
from tests.integration.loop.running import CENTRAL, Weather, open_loop


@pytest.mark.timeout(300)  # MLflow takes its time to start on a busy machine
def test_runs_and_versions_are_on_mlflows_page(
    tmp_path: Path, weather: Weather, candidate_bundle: Path
) -> None:
    with open_loop(tmp_path / "loop", weather) as loop:
        manifest = read_manifest(candidate_bundle)
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

        def ask(path: str, body: dict[str, object]) -> str:
            request = urllib.request.Request(
                f"{page}/api/2.0/mlflow/{path}",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                return str(answer.read().decode())

        experiments = json.loads(ask("experiments/search", {"max_results": 10}))["experiments"]
        (ours,) = (one for one in experiments if one["name"] == EXPERIMENT)
        runs = json.loads(ask("runs/search", {"experiment_ids": [ours["experiment_id"]]}))["runs"]
        assert [one["info"]["run_id"] for one in runs] == [run.run_id]
        versions = ask("model-versions/search", {})
        assert "solar_generation_lstm" in versions
        assert "solar_generation_xgboost" in versions


def _opens(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200 and b"<html" in answer.read()
    except OSError:
        return False
