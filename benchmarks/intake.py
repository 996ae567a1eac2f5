"""The intake on every recording: what goes through, how fast, and what it finds.

Each file of the folders named in ``FOLDERS`` is processed with one and with two workers; then the
labelled recordings and faults injected by seed are scored. Prints a table of the files, then one
line of JSON (also to ``--json FILE``). Exit code 1 when a file is lost, when the known clock faults
are not found, or when a good NSRDB file is suspected.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._intake_faults import FAULTS, RECORDINGS, Score, applies, clean
from benchmarks._recorded import data_dir
from central.intake import FileReport, judge_power, preprocess
from central.intake.series_parse import parse_series
from central.intake.series_rules import settle

FOLDERS = (
    "nsrdb",
    "hourly-weather",
    "uci-household",
    "pvdaq-50",
    "nrel-pv-quality",
    "rooftop-5min",
    "india-solar",
)
_MISTIMED = "nsrdb_tmy_41.57_-93.62_60min.csv"
_DAYLIGHT_SAVING = "ac_power_15min_2011-2012.csv.gz"
_LABELLED = (
    ("nrel-pv-quality/ac_power_inv_2173_stale_data.csv", "label_stale"),
    ("nrel-pv-quality/ac_power_inv_7539_outliers.csv", "label_outlier"),
)
_CAPACITY_KW = 5.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=data_dir(), help="recorded data")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--seeds", type=int, default=10, help="injections of each fault")
    arguments = parser.parse_args()
    figures = measure(arguments.data, arguments.seeds)
    text = json.dumps(figures, allow_nan=False)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    print(text)
    sys.exit(1 if figures["failures"] else 0)


def measure(data: Path, seeds: int) -> dict[str, Any]:
    """All figures."""
    began = time.perf_counter()
    timing: dict[str, dict[str, float]] = {}
    reports: list[FileReport] = []
    with tempfile.TemporaryDirectory() as directory:
        # All files in one directory, so that workers have something to share out.
        raw = Path(directory) / "raw"
        raw.mkdir()
        files = [path for folder in FOLDERS for path in sorted((data / folder).iterdir())]
        for path in files:
            (raw / path.name).symlink_to(path.resolve())
        for workers in (1, 2):
            start = time.perf_counter()
            reports = preprocess(
                raw,
                Path(directory) / f"out{workers}",
                capacity_kw=_CAPACITY_KW,
                workers=workers,
            )
            seconds = time.perf_counter() - start
            rows = sum(report.rows_in for report in reports)
            timing[f"workers_{workers}"] = {
                "seconds": round(seconds, 2),
                "rows": rows,
                "rows_per_s": round(rows / seconds),
            }
    for report in reports:
        print(_line(report))
    nsrdb = {path.name for path in (data / "nsrdb").iterdir()}
    labelled = {label: _score_labels(data / name, label) for name, label in _LABELLED}
    injected = injected_faults(data, seeds)
    return {
        "benchmark": "intake",
        "data": data.name,
        "files": {report.input: _outcome(report) for report in reports},
        "speed": timing,
        "labelled": labelled,
        "injected": injected,
        "seeds": seeds,
        "failures": _failures(reports, files, nsrdb),
        "seconds": round(time.perf_counter() - began, 1),
    }


def _failures(reports: list[FileReport], files: list[Path], nsrdb: set[str]) -> list[str]:
    found = []
    if len(reports) != len(files):
        found.append(f"{len(files)} files, {len(reports)} reports")
    for report in reports:
        if report.error is None and report.output is None:
            found.append(f"{report.input}: neither through nor refused")
        if report.input in nsrdb - {_MISTIMED} and (report.error or report.doubts):
            found.append(f"{report.input}: a good file is suspected: {report.doubts}")
        clock = report.quality.clock if report.quality else None
        if report.input == _MISTIMED and clock != "off":
            found.append(f"{report.input}: its clock is {clock}, not off")
        if report.input == _DAYLIGHT_SAVING and clock != "daylight_saving":
            found.append(f"{report.input}: its clock is {clock}, not daylight_saving")
    return found


def _outcome(report: FileReport) -> dict[str, Any]:
    if report.error is not None:
        return {"outcome": "refused", "reason": report.error, "seconds": report.seconds}
    quality = report.quality
    return {
        "outcome": "through",
        "source": report.kind,
        "format": report.source.format if report.source else None,
        "rows_in": report.rows_in,
        "retained_share": round(report.retained_share, 4),
        "columns": report.columns,
        "removed": report.removed,
        "flagged": quality.flagged if quality else {},
        "clock": quality.clock if quality else None,
        "doubts": list(report.doubts),
        "seconds": report.seconds,
    }


def _line(report: FileReport) -> str:
    if report.error is not None:
        return f"refused  {report.error}"
    flagged = report.quality.flagged if report.quality else {}
    return (
        f"through  {report.input}: {report.kind}, {report.rows_in} rows, "
        f"{report.retained_share:.1%} kept, removed {report.removed}, flagged {flagged}"
        + "".join(f"\n         ! {doubt}" for doubt in report.doubts)
    )


def _score_labels(path: Path, label: str) -> dict[str, float]:
    """Precision and recall against the labels of a recording."""
    file = settle(*parse_series(path), validate=True)
    (series,) = file.series
    found = judge_power(series.columns[file.source.main], series.step_seconds / 60)
    truth = series.columns[label] == 1
    judged = found.stuck if label == "label_stale" else found.outlier | found.impossible
    hits = int(np.count_nonzero(truth & judged))
    return {
        "labelled": int(truth.sum()),
        "found": int(judged.sum()),
        "recall": round(hits / int(truth.sum()), 4),
        "precision": round(hits / max(int(judged.sum()), 1), 4),
    }


def injected_faults(data: Path, seeds: int) -> dict[str, dict[str, float]]:
    """How many faults of each kind are found, of ``seeds`` in each recording."""
    scores: dict[str, list[Score]] = defaultdict(list)
    for name in RECORDINGS:
        recording = clean(data, name)
        for fault in FAULTS:
            if applies(fault, recording):
                for seed in range(seeds):
                    score = fault(recording, seed)
                    scores[score.fault].append(score)
    return {
        fault: {
            "injections": len(some),
            "found": sum(1 for score in some if score.found),
            "recall": round(float(np.mean([score.recall for score in some])), 4),
            "precision": round(float(np.mean([score.precision for score in some])), 4),
        }
        for fault, some in scores.items()
    }


if __name__ == "__main__":
    main()
