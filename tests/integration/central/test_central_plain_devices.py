"""A plain device of the runbook: one record in, one forecast out."""

from __future__ import annotations

import json
import shutil
import subprocess

import httpx
import pytest

from central.broker import Broker
from models.contract.forecast import LEVELS, Forecast
from models.contract.payload import forecast_from_json
from models.contract.timestamps import HORIZON_STEPS, format_iso8601, parse_iso8601
from tests.integration.central.conftest import Centre, Fleet, persistent_session_exists, wait_for

RECORD = '{"ghi":500,"temperature":25,"timestamp":"2024-01-17T12:00:00Z"}'
DATA, FORECAST = "solar/device_01/data", "solar/device_01/forecast"


def answer(fleet: Fleet, count: int = 1) -> Forecast:
    return forecast_from_json(json.loads(fleet.wait_on(FORECAST, count)[-1]))


def test_the_runbooks_mosquitto_pub_gets_a_forecast(centre: Centre, fleet: Fleet) -> None:
    program = shutil.which("mosquitto_pub")
    if program is None:
        pytest.skip("mosquitto_pub (Debian package mosquitto-clients) is not installed")
    fleet.subscribe(FORECAST)
    mqtt = centre.settings.mqtt
    subprocess.run(
        [program, "-h", mqtt.host, "-p", str(mqtt.port), "-t", DATA, "-m", RECORD], check=True
    )
    assert answer(fleet).site == "device_01"


def test_the_forecast_has_48_hours_of_seven_quantiles_and_is_retained(
    centre: Centre, fleet: Fleet
) -> None:
    fleet.subscribe(FORECAST)
    fleet.publish(DATA, RECORD.encode())
    forecast = answer(fleet)
    series = forecast.series["ac_power"]
    assert len(series.quantiles) == len(LEVELS)
    assert len(series.median) == HORIZON_STEPS
    assert forecast.issued_at == parse_iso8601("2024-01-17T12:00:00Z")
    assert format_iso8601(forecast.start) == "2024-01-17T12:15:00Z"
    assert series.model == "smart_persistence(default-site)"
    assert 500 < series.median[0] < 5000, "noon at the assumed site under half a clear sky"
    assert max(series.median[40:60]) == 0, "the night after it"
    kept = fleet.retained(FORECAST)
    assert kept is not None
    assert forecast_from_json(json.loads(kept)) == forecast


def test_more_sun_means_a_higher_forecast(centre: Centre, fleet: Fleet) -> None:
    fleet.subscribe("solar/+/forecast")
    for name, ghi in (("dim", 100), ("bright", 500)):
        body = {"ghi": ghi, "temperature": 5, "timestamp": "2024-01-17T12:00:00Z"}
        fleet.publish(f"solar/{name}/data", json.dumps(body).encode())
    dim, bright = (
        forecast_from_json(json.loads(fleet.wait_on(f"solar/{name}/forecast")[0]))
        for name in ("dim", "bright")
    )
    assert bright.series["ac_power"].median[0] > 3 * dim.series["ac_power"].median[0]


def test_a_registered_devices_place_and_size_are_used(centre: Centre, fleet: Fleet) -> None:
    declared = {
        "device_id": "device_01",
        "device_type": "solar_inverter",
        "location": {"lat": 37.7749, "lng": -122.4194},
        "system_capacity_kw": 50.0,
        "mqtt_topic": DATA,
    }
    url = f"{centre.running.iot_url}/api/iot/devices/register"
    assert httpx.post(url, json=declared).status_code == 201
    fleet.subscribe(FORECAST)
    # 20:00 UTC is noon in San Francisco; at the assumed site the sun is down.
    body = {"ghi": 500, "temperature": 15, "timestamp": "2024-01-17T20:00:00Z"}
    fleet.publish(DATA, json.dumps(body).encode())
    series = answer(fleet).series["ac_power"]
    assert series.model == "smart_persistence"
    assert series.median[0] > 10_000


def test_a_repeat_or_an_older_record_does_not_replace_a_newer_forecast(
    centre: Centre, fleet: Fleet
) -> None:
    fleet.subscribe(FORECAST)
    newer = RECORD.replace("12:00", "13:00").encode()
    fleet.publish(DATA, newer)
    first = answer(fleet)
    centre.stop()
    again = Centre(centre.settings)
    running = again.start()
    fleet.publish(DATA, RECORD.encode(), newer)
    fleet.publish("solar/other/data", RECORD.encode())
    fleet.subscribe("solar/other/forecast")
    fleet.wait_on("solar/other/forecast")
    assert running.ingest.counters.plain_records == 2
    kept = fleet.retained(FORECAST)
    assert kept is not None
    assert forecast_from_json(json.loads(kept)) == first
    again.stop()


def test_many_devices_at_once_are_all_answered(centre: Centre, fleet: Fleet) -> None:
    names = [f"device_{number:03}" for number in range(50)]
    fleet.subscribe("solar/+/forecast")
    for name in names:
        fleet.client.publish(f"solar/{name}/data", RECORD.encode(), 1)
    for name in names:
        fleet.wait_on(f"solar/{name}/forecast")
    with centre.running.store.read() as ask:
        assert ask.counts()["plain_forecasts"] == 50


def test_a_bad_record_gets_no_forecast_and_the_next_good_one_does(
    centre: Centre, fleet: Fleet
) -> None:
    fleet.subscribe(FORECAST)
    fleet.publish(DATA, b'{"ghi":"bright"}', b'{"ghi":500,"timestamp":"noon"}', b"\xff\xfe")
    fleet.publish(DATA, RECORD.encode())
    answer(fleet)
    assert wait_for(lambda: centre.running.ingest.counters.quarantined) == 3
    assert len(fleet.on(FORECAST)) == 1


def test_the_broker_keeps_the_centres_session_while_it_is_away(
    centre: Centre, broker: Broker
) -> None:
    centre.stop()
    broker.stop()
    broker.start()
    assert persistent_session_exists(broker, centre.settings.mqtt.client_id)
