"""The HTTP surface over real sockets: the runbook's requests, and all that a client gets wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from central.service import Running
from models.contract.timestamps import HOUR_MS, format_iso8601, parse_iso8601
from tests.integration.central.conftest import Centre

SOLAR = "/api/v1/forecast/solar"
RUNBOOK = {"ghi": 500, "temperature": 25, "hour": 12, "system_capacity_kw": 5.0}
DEVICE = {
    "device_id": "solar_01",
    "device_type": "solar_inverter",
    "location": {"lat": 37.7749, "lng": -122.4194},
    "system_capacity_kw": 5.0,
    "mqtt_topic": "solar/solar_01/data",
}


@pytest.fixture(scope="module")
def api(filled: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=filled.api_url) as client:
        yield client


def test_the_runbooks_integration_check(centre: Centre) -> None:
    running = centre.running
    for url in (running.api_url, running.iot_url):
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        iot = httpx.get(f"{url}/api/iot/health")
        assert (iot.status_code, iot.json()["status"]) == (200, "ok")


def test_the_runbooks_prediction(api: httpx.Client) -> None:
    answer = api.post(SOLAR, json=RUNBOOK)
    assert answer.status_code == 200
    body = answer.json()
    assert body["prediction"] == pytest.approx(1.935)
    assert body["model"] == "pvwatts"
    assert isinstance(body["confidence"], float)
    assert body["timestamp"].endswith("T12:00:00Z")
    interval = body["interval"]
    assert interval["lower"] < body["prediction"] < interval["upper"]
    assert (interval["state"], interval["observed"]) == ("uncalibrated", None)
    assert api.get(SOLAR, params=RUNBOOK).json() == body


def test_the_runbooks_curl_without_a_content_type_is_answered_too(api: httpx.Client) -> None:
    # `curl -d` announces a form.
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = api.post(SOLAR, content=json.dumps(RUNBOOK), headers=headers)
    assert answer.json()["prediction"] == pytest.approx(1.935)


def test_night_gives_zero_and_no_negative_zero(api: httpx.Client) -> None:
    body = api.post(SOLAR, json=RUNBOOK | {"ghi": -5}).json()
    assert (body["prediction"], body["interval"]["lower"], body["interval"]["upper"]) == (0, 0, 0)


def test_a_site_is_answered_from_its_latest_forecast(api: httpx.Client) -> None:
    forecast = api.get("/api/v1/sites/site_01/forecast").json()
    step = forecast["quantiles"]["0.5"].index(max(forecast["quantiles"]["0.5"]))
    asked = parse_iso8601(forecast["start"]) + step * 15 * 60_000 + 60_000
    body = api.post(SOLAR, json={"site": "site_01", "timestamp": format_iso8601(asked)}).json()
    assert body["prediction"] == forecast["quantiles"]["0.5"][step]
    assert body["model"] == "solar_generation_xgboost"
    assert body["confidence"] == 0.88
    assert body["interval"]["lower"] == forecast["quantiles"]["0.05"][step]
    assert body["interval"]["state"] == "calibrated"
    noon = api.get(SOLAR, params={"site": "site_01", "hour": 12}).json()
    assert noon["timestamp"].endswith("T12:00:00Z")
    assert noon["prediction"] == pytest.approx(4.0, rel=0.01)


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ({"site": "nobody"}, 404, "no such site"),
        ({"site": "new_one"}, 404, "no forecast yet"),
        ({"site": "site_01", "timestamp": "2020-01-01T00:00:00Z"}, 404, "forecast covers"),
        ({"site": "site_01", "timestamp": "noon"}, 422, "timestamp"),
        ({"site": "site_01", "ghi": 5}, 422, "either a site or"),
        ({"site": "../etc"}, 422, "site"),
        ({"ghi": 500}, 422, "temperature, system_capacity_kw: required"),
        (RUNBOOK | {"ghi": "bright"}, 422, "body.ghi"),
        (RUNBOOK | {"ghi": 99999}, 422, "body.ghi"),
        (RUNBOOK | {"hour": 24}, 422, "body.hour"),
        (RUNBOOK | {"system_capacity_kw": 0}, 422, "body.system_capacity_kw"),
        (RUNBOOK | {"capacity": 5}, 422, "body.capacity"),
        ([], 422, "body"),
        (None, 422, "body"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(
    api: httpx.Client, request_: object, status: int, said: str
) -> None:
    answer = api.post(SOLAR, content=json.dumps(request_))
    assert answer.status_code == status
    assert said in answer.text


@pytest.mark.parametrize(
    "content",
    [
        b'{"ghi":NaN,"temperature":25,"hour":12,"system_capacity_kw":5}',
        b'{"ghi":Infinity,"temperature":25,"hour":12,"system_capacity_kw":5}',
        b'{"ghi":1e999,"temperature":25,"hour":12,"system_capacity_kw":5}',
        b'{"ghi":"\\ud800","temperature":25,"hour":12,"system_capacity_kw":5}',
        b'{"ghi":500',
        b"",
        b"\xff\xfe",
        b"[" * 4000,
    ],
)
def test_what_is_not_json_is_refused_in_json(api: httpx.Client, content: bytes) -> None:
    answer = api.post(SOLAR, content=content)
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]
    assert "NaN" not in answer.text


def test_a_large_request_is_refused_whether_it_is_announced_or_not(api: httpx.Client) -> None:
    announced = api.post(SOLAR, content=b"x" * 6000)
    assert (announced.status_code, "5000 bytes" in announced.text) == (413, True)

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    unannounced = api.post(SOLAR, content=chunks())
    assert unannounced.status_code == 413
    assert api.get("/health").status_code == 200


def test_a_client_that_lies_about_the_length_reaches_nothing(filled: Running) -> None:
    place = urlsplit(filled.api_url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as client:
        client.sendall(
            b"POST /api/v1/forecast/solar HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n{}"
        )
        assert b" 400 " in client.recv(1000).splitlines()[0]


def test_the_registry_does_what_the_runbook_says(api: httpx.Client, filled: Running) -> None:
    register = f"{filled.iot_url}/api/iot/devices/register"
    created = httpx.post(register, json=DEVICE)
    assert created.status_code == 201
    device = created.json()
    assert {name: device[name] for name in DEVICE} == DEVICE
    assert (device["status"], device["last_seen"]) == ("never_seen", None)
    assert httpx.post(register, json=DEVICE | {"system_capacity_kw": 6.5}).status_code == 200
    again = api.get("/api/iot/devices/solar_01").json()
    assert again["system_capacity_kw"] == 6.5
    everyone = api.get("/api/iot/devices").json()
    assert everyone["length"] == len(everyone["devices"]) == 3
    assert again in everyone["devices"]
    assert api.get("/api/iot/devices/solar_99").status_code == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device_id": "Solar 01"}, "device_id"),
        ({"device_id": "bundles", "mqtt_topic": None}, "reserved"),
        ({"mqtt_topic": "solar/other/data"}, "must be solar/solar_01/data"),
        ({"location": {"lat": 91, "lng": 0}}, "location.lat"),
        ({"location": {"lat": 1}}, "location.lng"),
        ({"system_capacity_kw": -1}, "system_capacity_kw"),
        ({"tilt_deg": 100}, "tilt_deg"),
        ({"password": "x"}, "password"),
    ],
)
def test_a_wrong_registration_is_refused_and_names_the_field(
    api: httpx.Client, change: dict[str, object], said: str
) -> None:
    answer = api.post("/api/iot/devices/register", json=DEVICE | change)
    assert answer.status_code == 422
    assert said in answer.text


def test_a_form_cannot_register_a_device(api: httpx.Client) -> None:
    headers = {"content-type": "text/plain"}
    answer = api.post("/api/iot/devices/register", content=json.dumps(DEVICE), headers=headers)
    assert answer.status_code == 422


def test_the_fleet_shows_power_bundle_and_refusal(api: httpx.Client) -> None:
    fleet = api.get("/api/v1/sites").json()
    sites = {site["id"]: site for site in fleet["sites"]}
    assert sites["site_01"]["online"]
    assert sites["site_01"]["capacity_kw"] == 5.0
    assert sites["site_01"]["bundle"]["active"] == "bundle-7"
    assert not sites["site_02"]["online"]
    assert sites["site_02"]["bundle"]["state"] == "refused"
    assert "LengthOrHashMismatchError" in sites["site_02"]["bundle"]["reason"]
    assert sites["device_01"]["kind"] == "plain_device"
    assert (sites["device_01"]["ghi"], sites["device_01"]["ac_power_kw"]) == (500, None)
    assert sites["new_one"]["kind"] == "registered"
    assert parse_iso8601(fleet["now"]) > 0


def test_recent_power_is_in_kw_on_the_quarter_hour(api: httpx.Client) -> None:
    recent = api.get("/api/v1/sites/site_01/recent", params={"hours": 24}).json()
    assert 94 <= len(recent["ac_power"]) <= 97
    assert all(parse_iso8601(start) % 900_000 == 0 for start, _ in recent["ac_power"])
    assert max(power for _, power in recent["ac_power"]) == pytest.approx(4.0, rel=0.01)
    assert api.get("/api/v1/sites/nobody/recent").status_code == 404
    assert api.get("/api/v1/sites/site_01/recent", params={"hours": 0}).status_code == 422
    assert api.get("/api/v1/sites/site_01/recent", params={"until": "now"}).status_code == 422


def test_the_forecast_that_was_current_at_a_time_can_be_asked_for(api: httpx.Client) -> None:
    latest = api.get("/api/v1/sites/site_01/forecast").json()
    before = format_iso8601(parse_iso8601(latest["issued_at"]) - HOUR_MS)
    asked = api.get("/api/v1/sites/site_01/forecast", params={"issued_before": before})
    assert asked.json()["issued_at"] < latest["issued_at"]
    first = api.get("/api/v1/sites/site_01/forecast", params={"issued_before": "2020-01-01T00:00Z"})
    assert first.json() == asked.json(), "none so old: the first one there is"
    assert len(latest["quantiles"]["0.5"]) == 192
    assert api.get("/api/v1/sites/nobody/forecast").status_code == 404


def test_health_tells_that_no_broker_answers(api: httpx.Client) -> None:
    answer = api.get("/api/iot/health")
    assert answer.status_code == 503
    assert answer.json()["mqtt_connected"] is False
    assert answer.json()["stored"]["entries"] > 100


def test_openapi_describes_the_runbooks_paths(api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    for path in (
        "/health",
        SOLAR,
        "/api/iot/health",
        "/api/iot/devices",
        "/api/iot/devices/register",
        "/api/iot/devices/{device_id}",
    ):
        assert path in paths
