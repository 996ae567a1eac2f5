"""What `solar-edge status` reads back is what the agent wrote."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from edge_agent.status.status_file import (
    ClockState,
    DeviceState,
    NoStatus,
    Snapshot,
    StatusFile,
    read_snapshot,
)
from edge_agent.status.status_view import status_view
from models.contract.forecast import LEVELS, Forecast, ForecastSeries
from models.contract.ledger import DayLedger, Reason
from models.contract.messages import BundleState, BundleStatus, Status
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import HORIZON_STEPS

NOW = 1_687_996_800_000


def write(directory: Path) -> Snapshot:
    bundle = BundleStatus(BundleState.ACTIVE, "2026-01-01-r7", 7, "2026-01-02-r8", "wrong CPU")
    day = DayLedger("2023-06-29", "inverter", 5000, 12, 10, 0, {Reason.DEAD: 2})
    status = Status("farm", NOW, True, "0.1.0", "0" * 16, 1, bundle, {"journal_rows": 12}, (day,))
    quantiles = tuple((float(level * 5000),) * HORIZON_STEPS for level in LEVELS)
    forecast = Forecast("farm", NOW, NOW, {"ac_power": ForecastSeries("blend", quantiles)}, "b")
    record = Record(
        "inverter", NOW, {"ac_power": Reading(1234.5), "dc_power": Reading(None, Quality.ASLEEP)}
    )
    snapshot = Snapshot(
        status,
        forecast,
        (record,),
        0.0,
        ClockState(False, "no time service has synchronised the clock", 7),
        {"inverter": DeviceState("dead", "no answer within 1 s")},
        connected=True,
        last_ack_s=2.6,
    )
    StatusFile(None, directory).write(snapshot)
    return snapshot


def test_the_snapshot_comes_back_whole(tmp_path: Path) -> None:
    written = write(tmp_path)
    snapshot = read_snapshot(None, tmp_path)
    assert snapshot.age_s < 60
    assert replace(snapshot, age_s=0.0) == written


def test_the_screen_names_bundle_refusal_and_values(tmp_path: Path) -> None:
    write(tmp_path)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(status_view(read_snapshot(None, tmp_path)))
    text = console.export_text()
    for part in (
        "2026-01-01-r7",
        "refused 2026-01-02-r8: wrong CPU",
        "1,234.5",
        "- (asleep)",
        "not trusted: no time service has synchronised the clock; 7 entries wait",
        "connected, acknowledged 3 s ago",
        "no answer within 1 s",
        "83.3 %",
    ):
        assert part in text, part
    assert "2.50" in text  # the median in kW


@pytest.mark.parametrize("content", [None, "", "{}", '{"status": 3, "forecast": null}'])
def test_no_status_says_why(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "status.json").write_text(content)
    with pytest.raises(NoStatus, match=r"status\.json"):
        read_snapshot(None, tmp_path)


def test_an_old_snapshot_says_how_old(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "status.json"
    stamp = path.stat().st_mtime - 3600
    os.utime(path, (stamp, stamp))
    assert 3590 < read_snapshot(None, tmp_path).age_s < 3700


def test_a_directory_in_memory_is_not_used_or_used_when_it_is_not_there(tmp_path: Path) -> None:
    run_dir, data_dir = tmp_path / "run", tmp_path / "data"
    data_dir.mkdir()
    snapshot = write(data_dir)
    StatusFile(run_dir, data_dir).write(snapshot)
    assert not run_dir.exists()
    run_dir.mkdir()
    assert read_snapshot(run_dir, data_dir).status == snapshot.status  # of an older agent
    StatusFile(run_dir, data_dir).write(replace(snapshot, connected=False))
    assert not read_snapshot(run_dir, data_dir).connected
