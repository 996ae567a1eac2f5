"""Metrics: read back by Prometheus' own parser, nothing left out, nothing without end."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_agent.devices.acquisition import DeviceCounters
from edge_agent.journal.journal import Journal, JournalSettings
from edge_agent.status import metrics as module
from edge_agent.status.exposition import Exposition
from edge_agent.status.metrics import DeviceMetrics, LineMetrics, MetricsSource, metrics_text
from edge_agent.supervision import Usage, WorkerReport
from edge_agent.supervision.worker import State as WorkerState
from edge_agent.uplink.mqtt_client import MqttSettings
from edge_agent.uplink.uplink import Uplink, UplinkSettings
from firmware_bridge import State
from models.contract.clock import SystemClock
from models.contract.messages import Status
from models.contract.timestamps import HOUR_MS
from tests.unit.edge_agent.status.site import NOON, RECORDS, snapshot

LINE = '/dev/serial/by-id/a"b\\c\nd'


def source() -> MetricsSource:
    shown = snapshot()
    return MetricsSource(
        "0.1.0",
        NOON + HOUR_MS,
        devices=[
            DeviceMetrics("roof", "well", vars(DeviceCounters(polls=7, failures=1))),
            DeviceMetrics("meter", "dead", vars(DeviceCounters(polls=9))),
        ],
        lines=[LineMetrics(LINE, 1.25, 16, 1, {"timeout": 3})],
        records=RECORDS,
        journal=dict.fromkeys(module.JOURNAL_GAUGES | module.JOURNAL_COUNTERS, 5),
        uplink=dict.fromkeys(module.UPLINK_COUNTERS, 6),
        connected=True,
        last_ack_s=4.5,
        forecast=shown.forecast,
        forecast_failures=2,
        bundle=shown.status.bundle,
        clock=shown.clock,
        workers=[WorkerReport("uplink", WorkerState.RUNNING, True, 3, "", 0.25)],
        usage=Usage(90_000_000, 33),
        ledger=shown.status.ledger,
        alerts_active=1,
    )


def parsed(text: str) -> dict[tuple[str, ...], float]:
    """Samples by name and label values; the parser raises for what Prometheus would refuse."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_reads_every_value_back() -> None:
    found = parsed(metrics_text(source()))
    for key, value in {
        ("solar_edge_info", "0.1.0"): 1,
        ("solar_edge_value", "roof", "ac_power", "W", "good"): 3210.0,
        ("solar_edge_value", "roof", "dc_power", "W", "suspect"): 3300.0,
        ("solar_edge_value", "meter", "grid_power", "W", "good"): -1234.0,
        ("solar_edge_record_age_seconds", "roof"): 3604.0,
        ("solar_edge_device_polls_total", "roof"): 7,
        ("solar_edge_device_failed_polls_total", "roof"): 1,
        ("solar_edge_device_state", "meter", "dead"): 1,
        ("solar_edge_device_state", "meter", "well"): 0,
        ("solar_edge_line_requests_total", LINE): 16,
        ("solar_edge_line_busy_seconds_total", LINE): 1.25,
        ("solar_edge_line_faults_total", LINE, "timeout"): 3,
        ("solar_edge_journal_pending_entries",): 5,
        ("solar_edge_uplink_acknowledged_entries_total",): 6,
        ("solar_edge_connected",): 1,
        ("solar_edge_last_ack_age_seconds",): 4.5,
        ("solar_edge_forecast_age_seconds",): 3600.0,
        ("solar_edge_forecast_coverage_ratio", "ac_power"): 0.88,
        ("solar_edge_bundle_release",): 7,
        ("solar_edge_bundle_state", "active"): 1,
        ("solar_edge_clock_trusted",): 1,
        ("solar_edge_loop_age_seconds", "uplink"): 0.25,
        ("solar_edge_loop_restarts_total", "uplink"): 3,
        ("solar_edge_resident_memory_bytes",): 90_000_000,
        ("solar_edge_open_fds",): 33,
        ("solar_edge_turns_lost_today", "roof", "asleep"): 3600,
        ("solar_edge_alerts_active",): 1,
    }.items():
        assert found[key] == value, key
    assert not [key for key in found if "temp_inverter" in key], "no value, no sample"


def test_every_family_has_help_type_and_a_name_that_follows_the_conventions() -> None:
    for family in text_string_to_metric_families(metrics_text(source())):
        assert family.documentation.endswith("."), family.name
        assert family.type in ("counter", "gauge"), family.name
        assert family.name.startswith("solar_edge_")
        is_total = all(sample.name.endswith("_total") for sample in family.samples)
        assert is_total == (family.type == "counter"), family.name
        for wrong in ("_ms", "_percent", "_kw", "_minutes"):
            assert wrong not in family.name


def test_an_agent_that_has_just_started_has_metrics_too() -> None:
    found = parsed(metrics_text(MetricsSource("0.1.0", NOON)))
    assert found["solar_edge_connected",] == 0
    assert ("solar_edge_last_ack_age_seconds",) not in found
    assert not [name for name, *_ in found if "forecast_age" in name or "clock" in name]


def test_no_counter_of_the_agent_is_left_out(tmp_path: Path) -> None:
    """A counter that is added must be named here too, or it would silently not be seen."""

    async def uplink_counts(journal: Journal) -> dict[str, int]:
        def status(online: bool) -> Status:
            return Status("farm", NOON, online, "0.1.0", journal.epoch, journal.first_seq)

        uplink = Uplink("farm", journal, MqttSettings("127.0.0.1"), UplinkSettings(), status=status)
        return uplink.counts()

    journal = Journal(tmp_path / "journal.sqlite", JournalSettings(), SystemClock())
    try:
        known = module.JOURNAL_GAUGES | module.JOURNAL_COUNTERS
        assert set(known) == set(journal.counts())
        assert set(module.UPLINK_COUNTERS) == set(asyncio.run(uplink_counts(journal)))
    finally:
        journal.close()
    assert set(module.DEVICE_COUNTERS) == set(vars(DeviceCounters()))
    assert set(module.DEVICE_STATES) == {state.value for state in State}


def test_names_that_prometheus_refuses_and_repeated_families_are_mistakes() -> None:
    out = Exposition("x")
    out.gauge("good_name", "Text.", 1)
    for name in ("good_name", "Bad-Name", "a b"):
        with pytest.raises(ValueError):
            out.gauge(name, "Text.", 1)
    with pytest.raises(ValueError):
        out.gauge("other", "Text.", 1, {"no-label": "x"})


def test_numbers_that_are_none_are_written_as_prometheus_reads_them() -> None:
    out = Exposition("x")
    values = {"a": math.inf, "b": -math.inf, "c": math.nan, "d": 1e-300, "e": 2**60}
    out.family("gauge", "g", "A\nb\\c.", [({"of": name}, value) for name, value in values.items()])
    found = parsed(out.text())
    assert math.isnan(found.pop(("x_g", "c")))
    assert found == {("x_g", name): value for name, value in values.items() if name != "c"}
