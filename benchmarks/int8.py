"""What the int8 form of the LSTM loses against the trained one, on both interpreters of the box.

Trains the LSTM (preset ``full``, or ``small`` with ``--small``) on a plant under recorded weather
(NSRDB, Fort Collins 2018; without recordings the typical year that pvlib carries), converts it as a
release does and compares the pinball loss on windows of the last span: Keras, tflite-runtime and,
where a Python 3.13 is at hand, ai-edge-litert. Prints one JSON line. Limit: 1 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._recorded import data_dir
from central.intake.tmy3 import bundled_weather_file
from central.site_series import run_site_series
from central.training.convert_lstm import convert_lstm
from central.training.dataset import TrainingSite, Windows, draw_windows
from central.training.histories import read_history
from central.training.lstm import fit_lstm
from central.training.lstm_parity import MOST_LOST, run_on_box_interpreter, weighted_pinball
from central.training.presets import PRESETS, Preset, PresetName
from tests.environments import REQUIREMENTS, find_python, make_environment

RECORDING = "nsrdb/nsrdb_psm3_40.53_-105.06_2018_30min.csv.gz"
TEST_WINDOWS = 3_000


def main(arguments: list[str]) -> int:
    """Measure and print; 1 when an interpreter loses more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="the small preset, a minute")
    parser.add_argument("--json", type=Path, help="also write the result here")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    preset = PRESETS[PresetName.SMALL if options.small else PresetName.FULL]
    with tempfile.TemporaryDirectory(prefix="int8-") as name:
        work = Path(name)
        site = _site(work)
        test, model, converted = _trained(site, preset)
        keras = np.asarray(model.predict(test.past, verbose=0))
        result: dict[str, Any] = {
            "windows": len(test.past),
            "limit": MOST_LOST,
            "int8_bytes": len(converted),
            "pinball_float": weighted_pinball(keras, test.target, test.weight),
            "interpreters": {},
        }
        pythons: list[Path | None] = [None]
        if (newer := find_python("3.13")) is not None:
            pythons.append(make_environment(work / "py313", newer, REQUIREMENTS / "edge-py313.txt"))
        for python in pythons:
            answers, interpreter = run_on_box_interpreter(converted, test.past, python)
            loss = weighted_pinball(answers, test.target, test.weight)
            result["interpreters"][interpreter] = {
                "pinball_int8": loss,
                "lost": loss / result["pinball_float"] - 1.0,
            }
    lost = [one["lost"] for one in result["interpreters"].values()]
    result |= {
        "within_limit": max(lost) <= MOST_LOST,
        "both_interpreters": len(lost) == 2,
        "wall_s": round(time.monotonic() - began, 1),
    }
    text = json.dumps(result)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0 if result["within_limit"] else 1


def _site(work: Path) -> TrainingSite:
    weather = data_dir() / RECORDING
    weather = weather if weather.is_file() else bundled_weather_file()
    history = work / "history.csv"
    summary = run_site_series(weather, work / "series.csv", history_file=history)
    plant = summary.plant
    site = plant.site()
    return TrainingSite(weather.name, site, read_history(history), summary.source_minutes)


def _trained(site: TrainingSite, preset: Preset) -> tuple[Windows, Any, bytes]:
    """Windows of the last span, the trained model, and its int8 form."""
    random = np.random.default_rng(preset.seed)
    cut = preset.spans.of(site)
    train = draw_windows(site, *cut["train"], preset.windows, random)
    stop = draw_windows(site, *cut["stop"], preset.windows // 4, random)
    test = draw_windows(site, *cut["test"], TEST_WINDOWS, random)
    model = fit_lstm(train, stop, preset.lstm, lambda text: print(text, file=sys.stderr))
    return test, model, convert_lstm(model, train.past)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
