"""What `solar-edge status` reads back is what the agent wrote."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from edge_agent.status.status_file import NoStatus, StatusFile, read_snapshot
from edge_agent.status.status_view import status_view
from models.contract.forecast import LEVELS, Forecast, ForecastSeries
from models.contract.messages import BundleState, BundleStatus, Status
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import HORIZON_STEPS

NOW = 1_687_996_800_000


def write(directory: Path) -> tuple[Status, Forecast, Record]:
    bundle = BundleStatus(BundleState.ACTIVE, "2026-01-01-r7", 7, "2026-01-02-r8", "wrong CPU")
    status = Status("farm", NOW, True, "0.1.0", "0" * 16, 1, bundle, {"journal_rows": 12})
    quantiles = tuple((float(level * 5000),) * HORIZON_STEPS for level in LEVELS)
    forecast = Forecast("farm", NOW, NOW, {"ac_power": ForecastSeries("blend", quantiles)}, "b")
    record = Record(
        "inverter", NOW, {"ac_power": Reading(1234.5), "dc_power": Reading(None, Quality.ASLEEP)}
    )
    file = StatusFile(directory)
    file.note(record)
    file.write(status, forecast)
    return status, forecast, record


def test_the_snapshot_comes_back_whole(tmp_path: Path) -> None:
    status, forecast, record = write(tmp_path)
    snapshot = read_snapshot(tmp_path)
    assert (snapshot.status, snapshot.forecast, snapshot.records) == (status, forecast, (record,))
    assert snapshot.age_s < 60


def test_the_screen_names_bundle_refusal_and_values(tmp_path: Path) -> None:
    write(tmp_path)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(status_view(read_snapshot(tmp_path)))
    text = console.export_text()
    for part in ("2026-01-01-r7", "refused 2026-01-02-r8: wrong CPU", "1,234.5", "- (asleep)"):
        assert part in text
    assert "2.50" in text  # the median in kW


@pytest.mark.parametrize("content", [None, "", "{}", '{"status": 3, "forecast": null}'])
def test_no_status_says_why(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "status.json").write_text(content)
    with pytest.raises(NoStatus, match=r"status\.json"):
        read_snapshot(tmp_path)


def test_an_old_snapshot_says_how_old(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "status.json"
    stamp = path.stat().st_mtime - 3600
    os.utime(path, (stamp, stamp))
    assert 3590 < read_snapshot(tmp_path).age_s < 3700
