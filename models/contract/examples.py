"""One small example of every payload, made by the real encoders; shown in docs/protocol/mqtt.md."""

from __future__ import annotations

from .forecast import LEVELS, Coverage, CoverageState, Forecast, ForecastSeries, WeatherMode
from .ledger import DayLedger, Reason
from .messages import (
    Ack,
    Alert,
    Batch,
    BundleState,
    BundleStatus,
    Enrolment,
    EnrolmentRequest,
    Entry,
    EntryKey,
    Kind,
    Rewind,
    Risk,
    Severity,
    Status,
    Void,
    WeatherForecast,
)
from .payload import (
    RecordBlock,
    RecordForm,
    alert_to_json,
    canonical,
    encode_ack,
    encode_batch,
    encode_entry,
    encode_rewind,
    enrolment_request_to_json,
    enrolment_to_json,
    forecast_to_json,
    inflate_batch,
    record_to_json,
    risk_to_json,
    status_to_json,
    weather_to_json,
)
from .record import Quality, Reading, Record
from .timestamps import HOUR_MS, SECOND_MS, parse_iso8601

_EPOCH = "4f1d9c2ab07e6835"
_NOON = parse_iso8601("2024-01-17T12:00:00Z")
_LATER = _NOON + 90 * SECOND_MS

PLAIN_DEVICE = b'{"ghi":500,"temperature":25,"timestamp":"2024-01-17T12:00:00Z"}'
"""What a device without an agent may send."""

_RECORD = Record(
    "inverter_1",
    _NOON,
    {
        "ac_power": Reading(3240.5),
        "frequency": Reading(49.98),
        "dc_voltage": Reading(611.0, Quality.SUSPECT),
        "temp_inverter": Reading(None, Quality.MISSING),
    },
)
_FORECAST = Forecast(
    site="farm_7",
    issued_at=_LATER,
    start=_NOON,
    series={
        "ac_power": ForecastSeries(
            "xgboost",
            tuple((2000.0 + 1500 * level, 1900.0 + 1500 * level) for level in LEVELS),
            Coverage(0.9, 0.88, 4032, CoverageState.CALIBRATED),
        )
    },
    bundle="solar-2024.03",
    weather_mode=WeatherMode.ARCHIVED_NWP,
)
_ALERT = Alert(
    "inverter_1",
    _LATER,
    "no-answer",
    Severity.WARNING,
    "no answer on 192.168.1.20:502 since 11:58",
)
_STATUS = Status(
    "farm_7",
    _NOON,
    True,
    "0.1.0",
    _EPOCH,
    1041,
    BundleStatus(
        BundleState.ACTIVE, "solar-2024.03", 12, "solar-2024.04", "golden vector 3 differs"
    ),
    {"records": 86_400, "unacknowledged": 12, "device_timeouts": 3},
    (
        DayLedger(
            "2024-01-17",
            "inverter_1",
            5000,
            8640,
            4310,
            lost={Reason.ASLEEP: 4188, Reason.DEAD: 130, Reason.OFF: 12},
        ),
    ),
)


def _live(seq: int, kind: Kind, text: str) -> bytes:
    return encode_entry(Entry(EntryKey(_EPOCH, seq), kind, text))


def examples() -> dict[str, bytes]:
    """Bytes of an example by the name of its schema; the batch is shown inflated."""
    record, forecast = canonical(record_to_json(_RECORD)), canonical(forecast_to_json(_FORECAST))
    form, values = RecordForm.of(_RECORD)
    columns = [[value, value] for value in values]
    batch = Batch(
        _EPOCH,
        1041,
        (Entry(EntryKey(_EPOCH, 1043), Kind.ALERT, canonical(alert_to_json(_ALERT))),),
        (Void(1044, 1101, "thinned to 1 min"),),
        (RecordBlock(form, [1041, 1042], [_NOON, _LATER], columns),),
    )
    risk = Risk(
        "farm_7",
        _NOON,
        _NOON + 24 * HOUR_MS,
        {"shortfall": 0.18, "export-over-limit": 0.02},
        {"shortfall": "cloud from 14:00, high demand expected"},
    )
    weather = WeatherForecast(
        "farm_7",
        _NOON,
        _NOON,
        HOUR_MS,
        "example-nwp",
        {"ghi": (412.0, 388.5), "temp_air": (6.1, 6.4)},
    )
    request = EnrolmentRequest(
        "farm_7", "rpi4-100000003d1d1c36", "-----BEGIN CERTIFICATE REQUEST-----\n…", "7Q2K-M9XD"
    )
    answer = Enrolment(
        "farm_7",
        "-----BEGIN CERTIFICATE-----\n…",
        "-----BEGIN CERTIFICATE-----\n…",
        '{"signed":{"_type":"root"}}',
        '[site]\nname = "farm_7"\n',
    )
    return {
        "data": _live(1041, Kind.RECORD, record),
        "data-plain": PLAIN_DEVICE,
        "batch": inflate_batch(encode_batch(batch)),
        "ack": encode_ack(Ack(_EPOCH, 1101, ((1041, 1041), (1102, 1107)))),
        "rewind": encode_rewind(Rewind(_NOON, "centre restored from the backup of 11:00")),
        "forecast": _live(1102, Kind.FORECAST, forecast),
        "alert": _live(1103, Kind.ALERT, canonical(alert_to_json(_ALERT))),
        "risk": canonical(risk_to_json(risk)).encode(),
        "status": canonical(status_to_json(_STATUS)).encode(),
        "weather": canonical(weather_to_json(weather)).encode(),
        "enrol": canonical(enrolment_request_to_json(request)).encode(),
        "enrolled": canonical(enrolment_to_json(answer)).encode(),
    }
