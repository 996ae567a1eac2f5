"""The named questions, on a store filled as ingest fills it."""

from __future__ import annotations

import numpy as np
import pytest

from central.store import Store
from central.store.values import EntryRow, Group, PlainRow, RegisteredSite
from models.contract.payload import canonical, forecast_to_json, record_to_json
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import DAY_MS, STEP_MS
from models.features.intervals import Interval, IntervalBuilder, Role, site_interval
from tests.fleet_messages import EPOCH, NOON, forecast, record

AGENT = "site_01"


def entries(records: list[Record], first: int = 1) -> list[EntryRow]:
    return [
        EntryRow(
            AGENT,
            EPOCH,
            seq,
            "record",
            value.device,
            value.measured_at,
            seq.to_bytes(32, "big"),
            canonical(record_to_json(value)),
            NOON,
        )
        for seq, value in enumerate(records, first)
    ]


def commit(store: Store, *records: Record, first: int = 1) -> None:
    store.commit(Group(entries=entries(list(records), first)))


def test_records_come_back_as_they_went_in_within_the_asked_time(store: Store) -> None:
    values = [record(100.0, NOON + k * 1000) for k in range(5)]
    commit(store, *values)
    with store.read() as ask:
        assert list(ask.records(AGENT, NOON + 1000, NOON + 4000)) == values[1:4]
        assert list(ask.records(AGENT, NOON, NOON + 4000, device="meter")) == []
        assert list(ask.records("site_02", NOON, NOON + 4000)) == []


def test_power_is_the_mean_per_device_and_the_sum_over_devices(store: Store) -> None:
    commit(
        store,
        record(1000.0, NOON, "east"),
        record(2000.0, NOON + 60_000, "east"),
        record(300.0, NOON, "west"),
        record(600.0, NOON + STEP_MS, "west"),
        Record("meter", NOON, {"grid_power": Reading(5000.0)}),
    )
    with store.read() as ask:
        means = ask.power_means(AGENT, NOON, NOON + DAY_MS)
    # What one inverter alone gave in the second interval is not what the site gave.
    assert means == [(NOON, 1800.0)]


def test_only_good_power_counts_and_a_sleeping_inverter_gives_none(store: Store) -> None:
    commit(
        store,
        record(1000.0, NOON),
        record(9e6, NOON + 1, quality=Quality.SUSPECT),
        record(None, NOON + 2, quality=Quality.MISSING),
        record(3000.0, NOON + 3, quality=Quality.CURTAILED),
        record(5000.0, NOON + 4, quality=Quality.CLIPPED),
        record(None, NOON + STEP_MS, quality=Quality.ASLEEP),
        record(None, NOON + 2 * STEP_MS, quality=Quality.MISSING),
    )
    with store.read() as ask:
        means = ask.power_means(AGENT, NOON, NOON + DAY_MS)
    assert means == [(NOON, 1000.0), (NOON + STEP_MS, 0.0)]


def test_the_centre_aggregates_as_the_agent_does(store: Store) -> None:
    """Trainer and agent must mean the same by the power of a site."""
    random = np.random.default_rng(3)
    qualities = [Quality.GOOD] * 4 + [Quality.SUSPECT, Quality.CURTAILED, Quality.ASLEEP]
    records = []
    for number in range(120):
        quality = qualities[random.integers(len(qualities))]
        device = ("east", "west")[random.integers(2)]
        instant = NOON + int(random.integers(8 * STEP_MS))
        power = float(random.integers(5000))
        if not (device == "west" and number > 100):
            records.append(record(power, instant, device, quality))
    commit(store, *records)
    builder = IntervalBuilder(late_ms=DAY_MS)
    for one in records:
        builder.add(one)
    rows: dict[int, list[Interval]] = {}
    for interval in builder.complete(NOON + DAY_MS):
        rows.setdefault(interval.start, []).append(interval)
    roles = {"east": Role.INVERTER, "west": Role.INVERTER}
    site = {start: site_interval(row, roles).get("ac_power") for start, row in rows.items()}
    with store.read() as ask:
        means = dict(ask.power_means(AGENT, NOON, NOON + DAY_MS))
    known = {start: power for start, power in site.items() if power is not None}
    assert 0 < len(known) < 9
    assert means == pytest.approx(known)


def test_latest_record_is_the_newest_by_time_of_measurement_not_of_arrival(store: Store) -> None:
    commit(store, record(2.0, NOON + 1000))
    commit(store, record(1.0, NOON), first=2)
    with store.read() as ask:
        (latest,) = ask.latest_records()
    assert latest.record.value("ac_power") == 2.0


def test_a_record_from_a_clock_that_ran_ahead_does_not_stay_the_newest(store: Store) -> None:
    commit(store, record(2.0, NOON + 400 * DAY_MS))
    commit(store, record(1.0, NOON), first=2)
    with store.read() as ask:
        (latest,) = ask.latest_records()
    assert latest.record.measured_at == NOON


def test_forecasts_of_agents_and_of_plain_devices_are_found_alike(store: Store) -> None:
    issued = [forecast("device_01", NOON + k * STEP_MS, 100.0 * (k + 1)) for k in range(3)]
    for one in issued:
        store.keep_plain_forecast(one)
    row = EntryRow(
        AGENT,
        EPOCH,
        1,
        "forecast",
        AGENT,
        NOON,
        b"d",
        canonical(forecast_to_json(forecast(AGENT))),
        NOON,
    )
    store.commit(Group(entries=[row]))
    with store.read() as ask:
        assert ask.latest_forecast("device_01") == issued[2]
        assert ask.latest_forecast("device_01", NOON + STEP_MS) == issued[1]
        assert ask.latest_forecast("device_01", NOON - 1) is None
        assert ask.earliest_forecast("device_01", NOON + 1) == issued[1]
        assert ask.forecasts_issued("device_01", NOON, NOON + 2 * STEP_MS) == issued[:2]
        assert ask.latest_forecast(AGENT) == forecast(AGENT)
        assert ask.latest_forecast("nobody") is None


def test_a_plain_devices_forecast_is_replaced_within_the_same_quarter_hour(store: Store) -> None:
    store.keep_plain_forecast(forecast("device_01", NOON, 100.0))
    newer = forecast("device_01", NOON + 60_000, 200.0)
    store.keep_plain_forecast(newer)
    with store.read() as ask:
        assert ask.forecasts_issued("device_01", 0, NOON * 2) == [newer]


def test_irradiance_means_leave_out_what_is_not_good(store: Store) -> None:
    def plain(at: int, **readings: Reading) -> PlainRow:
        body = canonical(record_to_json(Record("device_01", at, readings)))
        return PlainRow("device_01", at, at.to_bytes(32, "big"), body, NOON)

    store.commit(
        Group(
            plain=[
                plain(NOON, ghi=Reading(400.0), temp_air=Reading(20.0)),
                plain(NOON + 60_000, ghi=Reading(600.0)),
                plain(NOON + 120_000, ghi=Reading(1900.0, Quality.SUSPECT)),
                plain(NOON + STEP_MS, ac_power=Reading(700.0)),
            ]
        )
    )
    with store.read() as ask:
        means = ask.irradiance_means("device_01", NOON, NOON + DAY_MS)
    assert [tuple(mean) for mean in means] == [
        (NOON, None, 500.0, 20.0),
        (NOON + STEP_MS, 700.0, None, None),
    ]


def test_registering_again_replaces_what_was_declared_but_not_when(store: Store) -> None:
    site = RegisteredSite("solar_01", "solar_inverter", 37.7, -122.4, 5000.0, NOON)
    assert store.register(site)
    moved = RegisteredSite("solar_01", "solar_inverter", 40.0, 3.0, 6000.0, NOON + 5)
    assert not store.register(moved)
    with store.read() as ask:
        assert ask.sites() == [
            RegisteredSite("solar_01", "solar_inverter", 40.0, 3.0, 6000.0, NOON)
        ]
        assert ask.site("solar_02") is None
        assert ask.is_known("solar_01")
        assert not ask.is_known("solar_02")
        assert ask.counts()["sites"] == 1


def test_a_reader_sees_one_state_while_others_commit(store: Store) -> None:
    commit(store, record(1.0, NOON))
    with store.read() as ask:
        before = ask.counts()["entries"]
        commit(store, record(2.0, NOON + 1), first=2)
        assert ask.counts()["entries"] == before == 1
    with store.read() as ask:
        assert ask.counts()["entries"] == 2


def test_nothing_can_be_written_through_a_reader(store: Store) -> None:
    with (
        pytest.raises(Exception, match="readonly"),
        store._database.read() as connection,
    ):
        connection.execute("DELETE FROM entries")
