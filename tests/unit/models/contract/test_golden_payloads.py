"""Payloads of every released version stay readable, and today's encoders still write them.

The files under tests/golden/payloads/v1 were written without this code. What each one means is
stated here in plain values (instants in milliseconds), one payload per test.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.contract import messages as m
from models.contract import payload as p
from models.contract.forecast import Coverage, CoverageState, Forecast, ForecastSeries, WeatherMode
from models.contract.payload_schemas import schemas
from models.contract.record import Quality, Reading, Record

FOLDER = Path(__file__).parents[3] / "golden" / "payloads" / "v1"
NOON = 1_705_492_800_000  # 2024-01-17T12:00:00Z
EPOCH = "0123456789abcdef"

RECORD = Record(
    "inverter_1",
    NOON + 250,
    {
        "ac_power": Reading(3240.5, Quality.CLIPPED),
        "frequency": Reading(49.98),
        "grid_power": Reading(-1200),
        "ac_energy": Reading(123_456_789),
        "dc_voltage": Reading(611.25, Quality.SUSPECT),
        "temp_inverter": Reading(None, Quality.MISSING),
        "temp_cell": Reading(None, Quality.ASLEEP),
    },
)
ALERT = m.Alert(
    "inverter_1",
    NOON + 90_000,
    "no-answer",
    m.Severity.WARNING,
    "no answer — “timeout”\nsince 11:58",
    True,
)
FORECAST = Forecast(
    site="farm_7",
    issued_at=NOON + 90_000,
    start=NOON,
    series={
        "ac_power": ForecastSeries(
            "xgboost",
            (
                (0.0, 10.5),
                (0.0, 20.5),
                (0.0, 30.5),
                (1.5, 40.5),
                (2.5, 50.5),
                (2.5, 60.5),
                (1e6, 1e16),
            ),
            Coverage(0.9, 0.88, 4032, CoverageState.CALIBRATED),
        ),
        "load_power": ForecastSeries("persistence", ((300.0, 300.0),) * 7),
    },
    bundle="solar-2024.03",
    weather_mode=WeatherMode.ARCHIVED_NWP,
    step_ms=900_000,
)
STATUS = m.Status(
    "farm_7",
    NOON,
    False,
    "0.1.0",
    EPOCH,
    7,
    m.BundleStatus(
        m.BundleState.REFUSED, "solar-2024.03", 12, "solar-2024.04", "golden vector 3 differs"
    ),
    {"records": 86_400, "epoch": 4},
)
RISK = m.Risk(
    "farm_7",
    NOON,
    NOON + 86_400_000,
    {"shortfall": 0.18, "export-over-limit": 0},
    {"shortfall": "cloud from 14:00"},
)
WEATHER = m.WeatherForecast(
    "farm_7",
    1_705_471_200_000,
    NOON,
    3_600_000,
    "example-nwp",
    {"ghi": (412, 388.5), "temp_air": (-6.1, 0)},
)
PEM = "-----BEGIN CERTIFICATE-----\n"
REQUEST = m.EnrolmentRequest(
    "farm_7",
    "rpi4-1000",
    "-----BEGIN CERTIFICATE REQUEST-----\nMIH=\n-----END CERTIFICATE REQUEST-----\n",
    "7Q2K-M9XD",
)
ENROLMENT = m.Enrolment(
    "farm_7", f"{PEM}MIH=\n", f"{PEM}MII=\n", '{"signed":{}}', '[site]\nname = "farm_7"\n'
)


def golden(name: str) -> bytes:
    return (FOLDER / name).read_bytes().removesuffix(b"\n")


@pytest.mark.parametrize(
    ("name", "value", "to_json", "from_json"),
    [
        ("status", STATUS, p.status_to_json, p.status_from_json),
        ("risk", RISK, p.risk_to_json, p.risk_from_json),
        ("weather", WEATHER, p.weather_to_json, p.weather_from_json),
        ("enrol", REQUEST, p.enrolment_request_to_json, p.enrolment_request_from_json),
        ("enrolled", ENROLMENT, p.enrolment_to_json, p.enrolment_from_json),
    ],
)
def test_a_message_of_version_1_is_read_and_written_as_then(
    name: str, value: Any, to_json: Callable[[Any], Any], from_json: Callable[[Any], Any]
) -> None:
    sent = golden(f"{name}.json")
    assert from_json(p.parse_json(sent)) == value
    assert p.canonical(to_json(value)).encode() == sent


@pytest.mark.parametrize(
    ("name", "kind", "seq", "value", "to_json", "from_json"),
    [
        ("data", "record", 2**63 - 1, RECORD, p.record_to_json, p.record_from_json),
        ("forecast", "forecast", 2, FORECAST, p.forecast_to_json, p.forecast_from_json),
        ("alert", "alert", 3, ALERT, p.alert_to_json, p.alert_from_json),
    ],
)
def test_a_journal_entry_of_version_1_is_read_and_written_as_then(
    name: str,
    kind: str,
    seq: int,
    value: Any,
    to_json: Callable[[Any], Any],
    from_json: Callable[[Any], Any],
) -> None:
    sent = golden(f"{name}.json")
    entry = p.decode_entry(sent, m.Kind(kind))
    assert entry.key == m.EntryKey(EPOCH, seq)
    assert from_json(p.entry_body(entry)) == value
    assert from_json(p.parse_json(sent)) == value
    assert p.encode_entry(m.Entry(entry.key, entry.kind, p.canonical(to_json(value)))) == sent


def test_a_batch_of_version_1_is_read_and_written_as_then() -> None:
    sent = golden("batch.bin")
    batch = p.decode_batch(sent)
    assert (batch.epoch, batch.first_seq) == (EPOCH, 1)
    assert [(e.key.seq, e.kind) for e in batch.entries] == [(1, "record"), (3, "alert")]
    assert p.record_from_json(p.entry_body(batch.entries[0])) == RECORD
    assert p.alert_from_json(p.entry_body(batch.entries[1])) == ALERT
    assert batch.voids == (m.Void(2, 2, "thinned to 15 min"), m.Void(4, 9, "lost"))
    # Compressed bytes depend on the build of zlib; what is inside does not.
    assert zlib.decompress(p.encode_batch(batch)[4:]) == zlib.decompress(sent[4:])


def test_digests_of_version_1_entries_are_what_a_centre_has_stored() -> None:
    record, alert = p.decode_batch(golden("batch.bin")).entries
    assert record.digest.hex() == "96ea9b05d92265057ff000103f40241627f201aced8b16919322e02d3540534c"
    assert alert.digest.hex() == "ed195a0497ef2dcc5d0ff13b4fc89f1e559eb305fa54425dddd9a00491016d68"
    assert p.decode_entry(golden("data.json"), m.Kind.RECORD).digest == record.digest


def test_an_acknowledgement_of_version_1_is_read_and_written_as_then() -> None:
    ack = m.Ack(EPOCH, 1101, ((1041, 1041), (1102, 1107)))
    assert p.decode_ack(golden("ack.json")) == ack
    assert p.encode_ack(ack) == golden("ack.json")


def test_a_rewind_of_version_1_is_read_and_written_as_then() -> None:
    rewind = m.Rewind(NOON, "restored from a backup")
    assert p.decode_rewind(golden("rewind.json")) == rewind
    assert p.encode_rewind(rewind) == golden("rewind.json")


def test_a_plain_device_of_version_1_is_read_as_then() -> None:
    body = p.parse_json(golden("data-plain.json"))
    assert p.plain_record_from_json(body, "device_01") == p.PlainRecord(
        Record(
            "device_01",
            NOON,
            {
                "ghi": Reading(500.0),
                "temp_air": Reading(25.0),
                "wind_speed": Reading(None, Quality.MISSING),
                "pressure": Reading(3.0, Quality.SUSPECT),
            },
        ),
        ignored=("firmware",),
    )


def test_no_payload_is_without_a_golden_file() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(schemas())
