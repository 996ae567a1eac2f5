"""A device without an agent, with the commands of the runbook; the centre starts its own broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from models.contract.payload import forecast_from_json
from models.contract.timestamps import parse_iso8601
from tests.environments import ROOT
from tests.integration.loop.running import Loop, Weather, change, left_behind, open_loop, wait_for

RECORD = '{"ghi":500,"temperature":25,"timestamp":"2024-01-17T12:00:00Z"}'
DATA, FORECAST = "solar/device_01/data", "solar/device_01/forecast"
SCHEMA = json.loads((ROOT / "docs/protocol/forecast.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def loop(tmp_path: Path, weather: Weather) -> Iterator[Loop]:
    """A centre with its own broker, on the wall clock; no agent."""
    with open_loop(tmp_path / "loop", weather) as made:
        anchor = f'clock_anchor = "{made.place.anchor}"\n'
        change(made.place.central_config, (anchor, ""), ('embedded = "no"', 'embedded = "yes"'))
        made.start_centre()
        yield made


def publish(loop: Loop, message: str) -> None:
    command = [
        "mosquitto_pub",
        "-h",
        "127.0.0.1",
        "-p",
        str(loop.ports.broker),
        "-t",
        DATA,
        "-m",
        message,
    ]
    subprocess.run(command, check=True, timeout=20)


def stored(loop: Loop) -> dict[str, int]:
    return dict(loop.get("/api/iot/health")["stored"])


def test_one_mosquitto_pub_gets_a_forecast_by_the_published_schema(loop: Loop) -> None:
    publish(loop, RECORD)
    answer = loop.retained(FORECAST)
    Draft202012Validator(SCHEMA).validate(answer)
    assert forecast_from_json(answer).issued_at == parse_iso8601("2024-01-17T12:00:00Z")

    assert loop.get("/health") == {"status": "ok"}
    asked = "site=device_01&timestamp=2024-01-17T12:20:00Z"
    of_device = loop.get(f"/api/v1/forecast/solar?{asked}")
    of_weather = loop.get("/api/v1/forecast/solar?ghi=500&temperature=25&system_capacity_kw=5")
    for found in (of_device, of_weather):
        assert {"prediction", "model", "confidence", "timestamp"} <= found.keys()
        assert 0.5 < found["prediction"] < 5
        assert 0 < found["confidence"] <= 1
    median = answer["series"]["ac_power"]["quantiles"]["0.5"][0]
    assert of_device["prediction"] == pytest.approx(median / 1000)
    assert of_device["timestamp"] == "2024-01-17T12:15:00Z"


def test_unreadable_payloads_are_kept_aside_and_the_next_good_one_is_answered(loop: Loop) -> None:
    for message in ("sunny", '{"ghi":NaN,"timestamp":"2024-01-17T12:00:00Z"}', '{"ghi":1e999}'):
        publish(loop, message)
    wait_for(lambda: stored(loop)["quarantine"] == 3, "three messages in quarantine")
    assert loop.get("/health") == {"status": "ok"}
    publish(loop, RECORD)
    assert loop.retained(FORECAST)["site"] == "device_01"
    assert stored(loop)["plain_records"] == 1


def test_a_killed_broker_of_the_centres_own_is_started_again(loop: Loop) -> None:
    publish(loop, RECORD)
    loop.retained(FORECAST)
    before = broker_pid(loop)
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: broker_pid(loop) not in (0, before), "another broker")
    wait_for(lambda: loop.get("/api/iot/health")["status"] == "ok", "the centre is connected again")
    publish(loop, RECORD.replace("12:00", "13:00"))
    wait_for(lambda: stored(loop)["plain_records"] == 2, "the next record")
    assert loop.services.stop("centre") == 0
    wait_for(lambda: not left_behind(loop.place.root), "nothing left behind")


def broker_pid(loop: Loop) -> int:
    """Process id of the centre's mosquitto; 0 when there is none."""
    config = str(loop.place.central_data / "broker" / "mosquitto.conf")
    found = [line for line in left_behind(Path(config)) if "setpriv" not in line]
    return int(found[0].split()[0]) if found else 0
