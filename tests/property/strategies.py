"""Hypothesis strategies for every value of the contract, and how each one travels.

``WIRES`` lists, per payload, the values, their encoder and their decoder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from models.contract import messages as m
from models.contract import payload as p
from models.contract.checks import MAX_COUNT, MAX_LONG_TEXT, MAX_TEXT
from models.contract.forecast import (
    LEVELS,
    MAX_MODEL_NAME,
    MAX_STEP_MINUTES,
    Coverage,
    CoverageState,
    Forecast,
    ForecastSeries,
    WeatherMode,
)
from models.contract.ledger import MAX_POLL_MS, DayLedger, Reason
from models.contract.quantities import QUANTITIES
from models.contract.record import MAX_SAMPLES, WITHOUT_VALUE, Quality, Reading, Record
from models.contract.timestamps import MINUTE_MS
from models.contract.topics import BUNDLES

FIRST_INSTANT = -62_135_596_800_000  # 0001-01-01T00:00:00Z
LAST_INSTANT = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z

identifiers = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=64).filter(
    lambda name: name != BUNDLES
)
instants = st.integers(FIRST_INSTANT, LAST_INSTANT)
epochs = st.text("0123456789abcdef", min_size=16, max_size=16)
seqs = st.integers(1, MAX_COUNT)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**308), 10**308)
shares = st.floats(0, 1) | st.sampled_from([0, 1])
quantity_names = st.sampled_from(sorted(QUANTITIES))


def texts(longest: int = MAX_TEXT, shortest: int = 0) -> st.SearchStrategy[str]:
    """Texts that may travel: any Unicode but U+0000 and half surrogate pairs."""
    letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    short = st.text(letters, min_size=shortest, max_size=min(longest, 30))
    return short | st.sampled_from(["[" * 20, '\\"}]', "é" * min(longest, MAX_LONG_TEXT)])


readings = st.builds(
    Reading, numbers, st.sampled_from([q for q in Quality if q is not Quality.MISSING])
) | st.builds(Reading, st.none(), st.sampled_from(sorted(WITHOUT_VALUE)))
some_readings = st.dictionaries(quantity_names, readings, min_size=1, max_size=5)
whole_seconds = st.integers(1, 86_400).map(lambda seconds: 1000 * seconds)
polls = st.builds(Record, identifiers, instants, some_readings)
records = polls | st.builds(
    Record,
    identifiers,
    instants,
    some_readings,
    st.integers(1, MAX_SAMPLES),
    whole_seconds,
    st.booleans(),
)


@st.composite
def coverages(draw: st.DrawFn) -> Coverage:
    """Measured coverage, or none yet."""
    count = draw(st.integers(0, MAX_COUNT))
    observed = draw(shares) if count else None
    return Coverage(draw(shares), observed, count, draw(st.sampled_from(CoverageState)))


@st.composite
def forecast_series(draw: st.DrawFn, steps: int) -> ForecastSeries:
    """Sorted quantiles over ``steps`` steps."""
    columns = [
        sorted(draw(st.lists(numbers, min_size=len(LEVELS), max_size=len(LEVELS))))
        for _ in range(steps)
    ]
    rows = tuple(tuple(column[i] for column in columns) for i in range(len(LEVELS)))
    return ForecastSeries(draw(texts(MAX_MODEL_NAME, 1)), rows, draw(coverages()))


@st.composite
def forecasts(draw: st.DrawFn) -> Forecast:
    """Forecasts of up to two quantities over a few steps of any length."""
    steps = draw(st.integers(1, 3))
    step_ms = draw(st.integers(1, MAX_STEP_MINUTES)) * MINUTE_MS
    first, last = -(-FIRST_INSTANT // step_ms), LAST_INSTANT // step_ms
    series = st.dictionaries(quantity_names, forecast_series(steps), min_size=1, max_size=2)
    return Forecast(
        draw(identifiers),
        draw(instants),
        draw(st.integers(first, last)) * step_ms,
        draw(series),
        draw(st.none() | texts(shortest=1)),
        draw(st.sampled_from(WeatherMode)),
        step_ms,
    )


bundle_states = st.builds(
    m.BundleStatus,
    st.sampled_from(m.BundleState),
    st.none() | texts(),
    st.integers(0, MAX_COUNT),
    st.none() | texts(),
    st.none() | texts(MAX_LONG_TEXT),
)


@st.composite
def day_ledgers(draw: st.DrawFn) -> DayLedger:
    """A device's day whose sum is right."""
    have = draw(st.integers(0, MAX_COUNT // 10))
    turns = st.integers(0, MAX_COUNT // 10)
    lost = draw(st.dictionaries(st.sampled_from(Reason), turns))
    return DayLedger(
        draw(st.dates().map(str)),
        draw(identifiers),
        draw(st.integers(1, MAX_POLL_MS)),
        have + sum(lost.values()),
        have,
        draw(st.integers(0, have + lost.get(Reason.ASLEEP, 0))),
        lost,
    )


statuses = st.builds(
    m.Status,
    identifiers,
    instants,
    st.booleans(),
    texts(),
    epochs,
    seqs,
    bundle_states,
    st.dictionaries(
        texts() | st.sampled_from(["epoch", "seq"]), st.integers(0, MAX_COUNT), max_size=3
    ),
    st.lists(day_ledgers(), max_size=3, unique_by=lambda row: (row.device, row.day)).map(tuple),
)
alerts = st.builds(
    m.Alert,
    identifiers,
    instants,
    identifiers,
    st.sampled_from(m.Severity),
    texts(MAX_LONG_TEXT),
    st.booleans(),
)
risks = st.builds(
    m.Risk,
    identifiers,
    instants,
    instants,
    st.dictionaries(identifiers, shares, max_size=3),
    st.dictionaries(identifiers, texts(MAX_LONG_TEXT), max_size=3),
)


@st.composite
def weather_forecasts(draw: st.DrawFn) -> m.WeatherForecast:
    """Weather of up to three quantities over a few steps."""
    steps = draw(st.integers(1, 4))
    row = st.lists(numbers, min_size=steps, max_size=steps).map(tuple)
    return m.WeatherForecast(
        draw(identifiers),
        draw(instants),
        draw(instants),
        draw(st.integers(1, MAX_STEP_MINUTES)) * MINUTE_MS,
        draw(texts()),
        draw(st.dictionaries(quantity_names, row, min_size=1, max_size=3)),
    )


enrolment_requests = st.builds(
    m.EnrolmentRequest, identifiers, texts(), texts(m.MAX_CERTIFICATE), texts()
)
enrolments = st.builds(
    m.Enrolment,
    identifiers,
    texts(m.MAX_CERTIFICATE),
    texts(m.MAX_CERTIFICATE_CHAIN),
    texts(m.MAX_TUF_ROOT),
    texts(m.MAX_SETTINGS),
)


def bodies(kind: m.Kind) -> st.SearchStrategy[str]:
    """Canonical bodies of journal entries of ``kind``."""
    values: dict[m.Kind, st.SearchStrategy[Any]] = {
        m.Kind.RECORD: records.map(p.record_to_json),
        m.Kind.FORECAST: forecasts().map(p.forecast_to_json),
        m.Kind.ALERT: alerts.map(p.alert_to_json),
        m.Kind.STATUS: statuses.map(p.status_to_json),
    }
    return values[kind].map(p.canonical)


def entries(kind: m.Kind) -> st.SearchStrategy[m.Entry]:
    """Journal entries of ``kind``."""
    return st.builds(m.Entry, st.builds(m.EntryKey, epochs, seqs), st.just(kind), bodies(kind))


def _pairs(ends: list[int]) -> tuple[m.SeqRange, ...]:
    return tuple(zip(ends[::2], ends[1::2], strict=False))


seq_ranges = st.lists(seqs, max_size=8, unique=True).map(sorted).map(_pairs) | st.lists(
    st.integers(1, 40), max_size=8
).map(m.to_ranges)
voids = st.builds(
    lambda a, b, reason: m.Void(min(a, b), max(a, b), reason), seqs, seqs, texts(shortest=1)
)


@st.composite
def blocks(draw: st.DrawFn, first_seq: int = 1) -> p.RecordBlock:
    """A few records of one form, with numbers of few decimals or of many."""
    form = p.RecordForm.of(draw(records))[0]
    held = sorted(draw(st.lists(st.integers(first_seq, MAX_COUNT), min_size=1, unique=True)))
    times = [draw(instants) for _ in held]
    places = draw(st.integers(0, 8))
    some = st.floats(-1e6, 1e6).map(lambda value: round(value, places) + 0.0)
    floats = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0)
    column = st.lists(draw(st.sampled_from([some, floats])), min_size=len(held), max_size=len(held))
    return p.RecordBlock(form, held, times, [draw(column) for _ in form.names])


@st.composite
def batches(draw: st.DrawFn) -> m.Batch:
    """Up to three entries of any kind with some blocks of records and void ranges."""
    epoch = draw(epochs)
    first, *used = sorted(draw(st.lists(seqs, min_size=1, max_size=4, unique=True)))
    kinds = st.sampled_from(m.Kind)
    held = tuple(
        m.Entry(m.EntryKey(epoch, seq), kind, draw(bodies(kind)))
        for seq, kind in ((seq, draw(kinds)) for seq in used)
    )
    gone = tuple(draw(st.lists(voids, min_size=0 if held else 1, max_size=2)))
    runs = tuple(draw(st.lists(blocks(first), max_size=2)))
    return m.Batch(epoch, first, held, gone, runs)


acks = st.builds(m.Ack, epochs, st.integers(0, MAX_COUNT), seq_ranges)
rewinds = st.builds(m.Rewind, instants, texts())


@dataclass(frozen=True)
class Wire:
    """One payload: its schema's name, its values, value -> bytes, bytes -> value."""

    name: str
    values: st.SearchStrategy[Any]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]

    def __str__(self) -> str:
        return self.name


def _journal(kind: m.Kind) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    return p.encode_entry, lambda data: p.decode_entry(data, kind)


def _text(
    to_json: Callable[[Any], Any], from_json: Callable[[Any], Any]
) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    return (
        lambda value: p.canonical(to_json(value)).encode(),
        lambda data: from_json(p.parse_json(data)),
    )


ENTRY_WIRES = (
    Wire("data", entries(m.Kind.RECORD), *_journal(m.Kind.RECORD)),
    Wire("forecast", entries(m.Kind.FORECAST), *_journal(m.Kind.FORECAST)),
    Wire("alert", entries(m.Kind.ALERT), *_journal(m.Kind.ALERT)),
    Wire("status", entries(m.Kind.STATUS), *_journal(m.Kind.STATUS)),
)
"""Live journal entries, with their key beside the body."""

BODY_WIRES = (
    Wire("record body", records, *_text(p.record_to_json, p.record_from_json)),
    Wire("forecast", forecasts(), *_text(p.forecast_to_json, p.forecast_from_json)),
    Wire("alert", alerts, *_text(p.alert_to_json, p.alert_from_json)),
    Wire("status", statuses, *_text(p.status_to_json, p.status_from_json)),
)
"""What stands inside a journal entry; all but the record also travel without a key."""

OTHER_WIRES = (
    Wire("batch", batches(), p.encode_batch, p.decode_batch),
    Wire("ack", acks, p.encode_ack, p.decode_ack),
    Wire("rewind", rewinds, p.encode_rewind, p.decode_rewind),
    Wire("risk", risks, *_text(p.risk_to_json, p.risk_from_json)),
    Wire("weather", weather_forecasts(), *_text(p.weather_to_json, p.weather_from_json)),
    Wire(
        "enrol",
        enrolment_requests,
        *_text(p.enrolment_request_to_json, p.enrolment_request_from_json),
    ),
    Wire("enrolled", enrolments, *_text(p.enrolment_to_json, p.enrolment_from_json)),
)

WIRES = ENTRY_WIRES + BODY_WIRES + OTHER_WIRES
