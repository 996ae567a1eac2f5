"""What a history file may bring into training, and up to when."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from central.store import open_store
from central.store.values import EntryRow, Group
from central.training.errors import TrainingDataError
from central.training.histories import read_history, training_sites
from central.training.settings import SiteTable
from models.contract.payload import canonical, record_to_json
from models.contract.timestamps import STEP_MS, format_iso8601
from tests.fleet_messages import EPOCH, record

START = 1_672_531_200_000
TABLE = SiteTable("one", 36.1, -79.9, 6000.0, 5000.0, history="history.csv")
HEADER = "timestamp,ac_power,ghi,temp_air"


def write(folder: Path, *rows: str) -> Path:
    file = folder / "history.csv"
    lines = [f"{format_iso8601(START + k * STEP_MS)},{row}" for k, row in enumerate(rows)]
    file.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return file


def test_sensors_that_the_box_may_not_have_do_not_train(tmp_path: Path) -> None:
    """A weather file's irradiance is no sensor of the site: the agent would forecast without."""
    write(tmp_path, "1,2,3", "4,5,6")
    (site,) = training_sites((TABLE,), None, START + 9 * STEP_MS, tmp_path)
    assert site.series.ghi is None
    assert site.series.temp_air is None
    np.testing.assert_array_equal(site.series.ac_power, [1, 4])


def test_nothing_at_or_after_the_limit_is_used(tmp_path: Path) -> None:
    write(tmp_path, "1,2,3", "4,5,6", "7,8,9")
    (site,) = training_sites((TABLE,), None, START + 2 * STEP_MS + 1, tmp_path)
    assert site.series.end == START + 2 * STEP_MS


def test_a_limit_before_the_history_leaves_no_site(tmp_path: Path) -> None:
    write(tmp_path, "1,2,3")
    assert not training_sites((TABLE,), None, START - 1000 * STEP_MS, tmp_path)


def test_telemetry_continues_the_history_and_wins_where_both_know(tmp_path: Path) -> None:
    write(tmp_path, "1,,", "2,,")
    store = open_store(f"sqlite:///{tmp_path}/central.sqlite")
    measured = [record(20.0, START + STEP_MS), record(40.0, START + 3 * STEP_MS)]
    store.commit(
        Group(
            entries=[
                EntryRow(
                    "one", EPOCH, seq, "record", one.device, one.measured_at, bytes([seq]) * 32,
                    canonical(record_to_json(one)), START,
                )
                for seq, one in enumerate(measured, 1)
            ]
        )
    )  # fmt: skip
    with store.read() as queries:
        (site,) = training_sites((TABLE,), queries, START + 9 * STEP_MS, tmp_path)
    store.close()
    assert site.series.start == START
    np.testing.assert_array_equal(site.series.ac_power, [1, 20, np.nan, 40])


def test_infinity_in_a_file_is_unknown(tmp_path: Path) -> None:
    series = read_history(write(tmp_path, "inf,2,3", "4,,6", "-inf,,"))
    np.testing.assert_array_equal(series.ac_power, [np.nan, 4, np.nan])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "has no column 'timestamp'"),
        (f"{HEADER}\n", "holds no rows"),
        (f"{HEADER}\n2023-01-01T00:00:00Z,x,1,1\n", "history.csv: "),
        (f"{HEADER}\n2023-01-01T00:07:00Z,1,1,1\n", "history.csv:2: is not on the 15-minute grid"),
        (f"{HEADER}\n,1,1,1\n", "history.csv:2: is not on the 15-minute grid"),
        (f"{HEADER}\n" + 2 * "2023-01-01T00:00:00Z,1,1,1\n", "an interval stands twice"),
    ],
)
def test_a_wrong_file_is_named_with_its_fault(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "history.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(TrainingDataError, match=message):
        read_history(file)
