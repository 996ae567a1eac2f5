"""One full cycle on what a box really has: the wheel with the edge extra and nothing else."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from models.contract.messages import Kind
from tests.integration.loop.running import Weather, open_loop

NOT_ON_A_BOX = (
    "pandas", "scipy", "pvlib", "tensorflow", "tf_keras", "keras", "xgboost", "treelite",
    "tl2cgen", "mlflow", "cryptography", "sklearn", "pyarrow", "matplotlib", "fastapi",
)  # fmt: skip
ONE_CYCLE = Path(__file__).with_name("one_cycle.py")


@pytest.mark.timeout(600)  # the environment may have to be downloaded
def test_reads_journals_forecasts_with_a_bundle_and_delivers_without_any_heavy_library(
    tmp_path: Path, weather: Weather, candidate_bundle: Path, edge_python: Path
) -> None:
    with open_loop(tmp_path / "loop", weather) as loop:
        loop.edge_program = str(edge_python.with_name("solar-edge"))
        loop.trust_centre()
        loop.broker.start()
        loop.start_centre()
        loop.start_site()
        released = loop.release(candidate_bundle)

        said = loop.services.run(
            str(edge_python), "-I", str(ONE_CYCLE), str(loop.place.edge_config), *NOT_ON_A_BOX
        )

        found = json.loads(said.splitlines()[-1])
        assert found["bundle"] == released["bundle"]
        assert Path(found["agent"]).is_relative_to(edge_python.parents[1]), "not the checkout"
        assert {"numpy", "pymodbus", "paho", "tuf", "tflite_runtime"} <= set(found["imported"])
        assert set(found["imported"]) & set(NOT_ON_A_BOX) == set()
        assert found["importable"] == []
        kinds = Counter((e.entry.kind, e.device) for e in loop.journal.entries())
        assert kinds[Kind.RECORD, "inverter"] > 5
        assert kinds[Kind.RECORD, "meter"] > 5
        with closing(sqlite3.connect(loop.place.edge_data / "state.sqlite")) as state:
            (intervals,) = state.execute("SELECT count(*) FROM intervals").fetchone()
        assert intervals > 5
        acknowledged = loop.journal.counts()["acknowledged"]
        assert acknowledged > 0
