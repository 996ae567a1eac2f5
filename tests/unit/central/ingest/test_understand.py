"""Which messages are believed, and what they become. Everything a stranger may send is tried."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.ingest.understand import CHANNELS, quarantine_row, understand
from central.store.values import Group
from models.contract import topics
from models.contract.errors import ContractError, PayloadError, TopicError
from models.contract.messages import Entry, EntryKey, Kind, Risk, Void
from models.contract.payload import canonical, encode_entry, forecast_to_json, risk_to_json
from models.contract.timestamps import DAY_MS, format_iso8601
from tests.fleet_messages import (
    EPOCH,
    NOON,
    batch,
    forecast,
    forecast_entry,
    live,
    record_entry,
    status,
)

AGENT = "site_01"
RUNBOOK = b'{"ghi":500,"temperature":25,"timestamp":"2024-01-17T12:00:00Z"}'


def read(topic: str, payload: bytes, *, own: bool = False, retained: bool = False) -> Group:
    return understand(topic, payload, own=own, retained=retained, now=NOON).rows


def test_a_live_record_becomes_an_entry_with_device_and_time() -> None:
    entry = record_entry(7)
    (row,) = read("solar/site_01/data", live(entry)[0]).entries
    assert row[:7] == (AGENT, EPOCH, 7, "record", "inverter", NOON + 35_000, entry.digest)
    assert row.body == entry.body


def test_a_batch_gives_the_same_rows_as_its_entries_sent_live() -> None:
    entries = [record_entry(3), forecast_entry(4, AGENT), record_entry(9)]
    rows = read("solar/site_01/batch", batch(entries, 2, [Void(5, 8, "thinned")]))
    one_by_one = [
        read(f"solar/site_01/{channel}", payload).entries[0]
        for channel, payload in zip(("data", "forecast", "data"), live(*entries), strict=True)
    ]
    assert rows.entries == one_by_one
    assert [tuple(void) for void in rows.voids] == [(AGENT, EPOCH, 5, 8, "thinned")]
    assert rows.first_seqs == {(AGENT, EPOCH): 2}
    assert rows.ranges() == {(AGENT, EPOCH): ((3, 9),)}


def test_the_runbooks_plain_record_is_understood() -> None:
    understood = understand("solar/device_01/data", RUNBOOK, own=False, retained=False, now=NOON)
    assert understood.plain is not None
    assert understood.plain.value("temp_air") == 25
    (row,) = understood.rows.plain
    assert json.loads(row.body)["temp_air"] == 25


def test_a_plain_record_with_its_names_in_another_order_is_the_same_record() -> None:
    other = b'{ "timestamp":"2024-01-17T13:00:00+01:00", "temp_air":25.0, "ghi":500 }'
    digests = {read("solar/device_01/data", text).plain[0].digest for text in (RUNBOOK, other)}
    assert len(digests) == 1


def test_a_plain_record_from_the_far_future_is_refused_with_both_times() -> None:
    body = {"ghi": 1, "timestamp": format_iso8601(NOON + DAY_MS + 1)}
    with pytest.raises(PayloadError, match="ahead of the centre's clock"):
        read("solar/device_01/data", json.dumps(body).encode())


def test_a_birth_tells_the_state_and_the_start_of_the_epoch() -> None:
    rows = read("solar/site_01/status", status(AGENT, first_seq=12))
    assert rows.first_seqs == {(AGENT, EPOCH): 12}
    assert rows.statuses[0].forced
    assert rows.seen == {AGENT: NOON}


def test_a_death_or_a_retained_message_is_no_sign_of_life() -> None:
    assert read("solar/site_01/status", status(AGENT, online=False)).seen == {}
    assert read("solar/site_01/status", status(AGENT), retained=True).seen == {}


def test_a_status_in_anothers_name_is_refused() -> None:
    with pytest.raises(PayloadError, match="came from 'site_02'"):
        read("solar/site_02/status", status(AGENT))


def test_a_risk_is_kept_per_site() -> None:
    risk = Risk(AGENT, NOON, NOON + DAY_MS, {"shortfall": 0.2})
    (row,) = read("solar/site_01/risk", canonical(risk_to_json(risk)).encode()).risks
    assert (row.agent, row.site, row.issued_at) == (AGENT, AGENT, NOON)


def test_the_centres_own_forecast_is_not_taken_for_an_agents() -> None:
    echo = canonical(forecast_to_json(forecast("device_01"))).encode()
    assert read("solar/device_01/forecast", echo, own=True, retained=True) == Group()
    with pytest.raises(PayloadError, match="epoch"):
        read("solar/device_01/forecast", echo)


@pytest.mark.parametrize("channel", ["forecast", "status"])
def test_clearing_a_retained_message_says_nothing(channel: str) -> None:
    assert read(f"solar/site_01/{channel}", b"") == Group()


UNBELIEVABLE = {
    "not JSON": b"hello",
    "nothing": b"",
    "a list": b"[1,2]",
    "not UTF-8": b'{"ghi":\xff}',
    "NaN": b'{"ghi":NaN,"timestamp":"2024-01-17T12:00:00Z"}',
    "Infinity": b'{"ghi":-Infinity,"timestamp":"2024-01-17T12:00:00Z"}',
    "too large a number": b'{"ghi":1e999,"timestamp":"2024-01-17T12:00:00Z"}',
    "endless digits": b'{"ghi":' + b"9" * 5000 + b',"timestamp":"2024-01-17T12:00:00Z"}',
    "a text for a number": b'{"ghi":"500","timestamp":"2024-01-17T12:00:00Z"}',
    "a number for a time": b'{"ghi":500,"timestamp":1705492800}',
    "a time without a zone": b'{"ghi":500,"timestamp":"2024-01-17T12:00:00"}',
    "no time": b'{"ghi":500}',
    "no quantity": b'{"timestamp":"2024-01-17T12:00:00Z"}',
    "nothing known": b'{"volts":500,"timestamp":"2024-01-17T12:00:00Z"}',
    "twice the same key": b'{"ghi":1,"ghi":2,"timestamp":"2024-01-17T12:00:00Z"}',
    "deep nesting": b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "half a key": b'{"ghi":5,"seq":3,"timestamp":"2024-01-17T12:00:00Z"}',
    "a seq that is no number": b'{"epoch":"00112233445566aa","seq":"1"}',
    "seq zero": b'{"epoch":"00112233445566aa","seq":0}',
    "seq beyond 64 bits": b'{"epoch":"00112233445566aa","seq":99999999999999999999}',
    "an epoch that is none": b'{"epoch":"xyz","seq":1}',
    "half a surrogate pair": b'{"epoch":"00112233445566aa","seq":1,"note":"\\ud800"}',
    "another device's name": b'{"device":"other","ghi":5,"timestamp":"2024-01-17T12:00:00Z"}',
}


@pytest.mark.parametrize("what", UNBELIEVABLE)
def test_unbelievable_data_is_refused_with_a_reason(what: str) -> None:
    payload = UNBELIEVABLE[what]
    with pytest.raises((ContractError, UnicodeEncodeError)) as refusal:
        read("solar/device_01/data", payload)
    row = quarantine_row("solar/device_01/data", payload, refusal.value, NOON)
    assert row.reason
    row.reason.encode()


@pytest.mark.parametrize(
    "topic",
    [
        "solar/bundles/data",
        "solar/Site_01/data",
        "solar/site 01/data",
        "solar//data",
        f"solar/{'x' * 65}/data",
        "solar/site_01/nonsense",
        "solar/site_01/ack",
        "solar/site_01",
        "moon/site_01/data",
        "",
    ],
)
def test_topics_outside_the_contract_are_refused(topic: str) -> None:
    with pytest.raises((TopicError, ContractError)):
        read(topic, RUNBOOK)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-3], lambda b: b"XXXX" + b[4:], lambda b: b + b"x", lambda b: b[:4]]
)
def test_a_damaged_batch_is_refused_as_a_whole(damage: object) -> None:
    assert callable(damage)
    with pytest.raises(PayloadError, match="batch"):
        read("solar/site_01/batch", damage(batch([record_entry(1)])))


def test_an_entry_with_a_good_key_and_an_odd_body_is_kept_and_put_into_quarantine() -> None:
    odd = Entry(EntryKey(EPOCH, 5), Kind.RECORD, '{"future_field":1,"v":1}')
    for rows in (
        read("solar/site_01/data", encode_entry(odd)),
        read("solar/site_01/batch", batch([record_entry(4), odd])),
    ):
        row = rows.entries[-1]
        assert (row.seq, row.device, row.measured_at, row.body) == (5, None, None, odd.body)
        assert row.digest == odd.digest
        assert f"{EPOCH}:5" in rows.quarantine[0].topic
        assert (5, 5) in [(5, last) for _, last in rows.ranges()[(AGENT, EPOCH)]]


def test_quarantine_keeps_the_beginning_of_a_large_payload() -> None:
    row = quarantine_row("t", b"x" * 100_000, ValueError("r" * 9999), NOON)
    assert len(row.payload) == 4096
    assert len(row.reason) == 500


@given(
    st.sampled_from(CHANNELS),
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["timestamp", "epoch", "seq", "ghi", "v", "device", "quality"])
                    | st.text(max_size=5),
                    inner,
                    max_size=6,
                )
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_whatever_comes_is_understood_or_refused_by_contract(channel: str, payload: bytes) -> None:
    try:
        rows = read(topics.build(AGENT, channel), payload)
    except (ContractError, UnicodeEncodeError):
        return
    for entry in rows.entries:
        entry.body.encode()
