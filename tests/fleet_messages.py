"""What agents and plain devices send, as values and bytes, for tests of the centre."""

from __future__ import annotations

from collections.abc import Sequence

from models.contract.forecast import Forecast, ForecastSeries
from models.contract.messages import Batch, BundleStatus, Entry, EntryKey, Kind, Status, Void
from models.contract.payload import (
    canonical,
    encode_batch,
    encode_entry,
    forecast_to_json,
    record_to_json,
    status_to_json,
)
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import STEP_MS, parse_iso8601

EPOCH = "00112233445566aa"
NOON = parse_iso8601("2026-06-01T12:00:00Z")


def record(
    power: float | None = 1000.0,
    at: int = NOON,
    device: str = "inverter",
    quality: Quality = Quality.GOOD,
) -> Record:
    return Record(device, at, {"ac_power": Reading(power, quality)})


def record_entry(
    seq: int, power: float = 1000.0, at: int | None = None, epoch: str = EPOCH
) -> Entry:
    measured_at = NOON + seq * 5000 if at is None else at
    body = canonical(record_to_json(record(power, measured_at)))
    return Entry(EntryKey(epoch, seq), Kind.RECORD, body)


def forecast(
    site: str, issued_at: int = NOON, watts: float = 1000.0, model: str = "solar_generation_xgboost"
) -> Forecast:
    start = issued_at - issued_at % STEP_MS + STEP_MS
    shares = (0.5, 0.6, 0.8, 1.0, 1.2, 1.3, 1.4)
    rows = tuple(tuple(watts * share for _ in range(192)) for share in shares)
    series = {"ac_power": ForecastSeries(model, rows)}
    return Forecast(site, issued_at, start, series, bundle="bundle-7")


def forecast_entry(seq: int, site: str, issued_at: int = NOON, watts: float = 1000.0) -> Entry:
    body = canonical(forecast_to_json(forecast(site, issued_at, watts)))
    return Entry(EntryKey(EPOCH, seq), Kind.FORECAST, body)


def status(
    agent: str,
    at: int = NOON,
    *,
    online: bool = True,
    first_seq: int = 1,
    bundle: BundleStatus | None = None,
) -> bytes:
    value = Status(agent, at, online, "0.1.0", EPOCH, first_seq, bundle or BundleStatus())
    return canonical(status_to_json(value)).encode()


def live(*entries: Entry) -> list[bytes]:
    return [encode_entry(entry) for entry in entries]


def batch(entries: Sequence[Entry], first_seq: int = 1, voids: Sequence[Void] = ()) -> bytes:
    return encode_batch(Batch(EPOCH, first_seq, tuple(entries), tuple(voids)))
