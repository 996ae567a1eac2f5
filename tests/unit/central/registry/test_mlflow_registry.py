"""The registry's database, when it is new, used and broken."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from central.registry.mlflow_registry import ModelRegistry, RegistryError


def test_a_broken_database_does_not_look_like_a_registry_without_a_champion(
    tmp_path: Path,
) -> None:
    registry = ModelRegistry(tmp_path)
    artifacts = tmp_path / "bundle"
    artifacts.mkdir()
    (artifacts / "model").write_bytes(b"1")
    assert registry.champion_metrics("trees") is None
    run = registry.log("first", {}, {"skill": 0.3}, artifacts, {"trees": Path("model")})
    registry.promote(run.versions)
    again = registry.log("second", {}, {"skill": 0.4}, artifacts, {"trees": Path("model")})
    assert registry.aliases("trees") == {"champion": "1", "challenger": "2"}
    assert registry.champion_metrics("trees") == {"skill": 0.3}
    registry.promote(again.versions)
    registry.promote(again.versions)  # once more changes nothing
    assert registry.aliases("trees")["previous_champion"] == "1"
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("ALTER TABLE registered_models RENAME TO gone")
    with pytest.raises(RegistryError, match=r"mlflow\.db"):
        registry.champion_metrics("trees")
