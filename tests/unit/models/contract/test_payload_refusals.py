"""Payloads of agents and of the centre that must be refused, each error naming the field."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from models.contract import payload as p
from models.contract.errors import PayloadError
from models.contract.examples import examples
from models.contract.messages import Kind

READERS: dict[str, Callable[[Any], Any]] = {
    "data": p.record_from_json,
    "forecast": p.forecast_from_json,
    "alert": p.alert_from_json,
    "status": p.status_from_json,
    "risk": p.risk_from_json,
    "weather": p.weather_from_json,
    "enrol": p.enrolment_request_from_json,
    "enrolled": p.enrolment_from_json,
    "ack": lambda body: p.decode_ack(json.dumps(body).encode()),
    "rewind": lambda body: p.decode_rewind(json.dumps(body).encode()),
}
DELETED = object()
LEDGER_ROW: dict[str, Any] = {
    "day": "2024-01-17",
    "device": "roof",
    "poll_ms": 5000,
    "expected": 2,
    "have": 1,
    "thinned": 0,
    "lost": {"dead": 1},
}


def refusal(name: str, path: str, value: Any) -> PayloadError:
    """The error about the example of ``name`` with ``value`` at the dotted ``path``."""
    body: Any = json.loads(examples()[name])
    *outer, last = path.split("/")
    place = body
    for key in outer:
        place = place[key]
    if value is DELETED:
        del place[last]
    else:
        place[last] = value
    with pytest.raises(PayloadError) as caught:
        READERS[name](body)
    return caught.value


@pytest.mark.parametrize("name", READERS)
def test_an_unknown_key(name: str) -> None:
    error = refusal(name, "surprise", 1)
    assert str(error) in (
        "surprise: is not part of this payload",
        "surprise: unknown quantity; see docs/NOMENCLATURE.md",
    )


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("version", [0, 2, "1", True, None, [1]])
def test_a_schema_version_that_nobody_knows(name: str, version: Any) -> None:
    assert refusal(name, "v", version).field == "v"


@pytest.mark.parametrize("name", READERS)
def test_a_required_key_is_missing(name: str) -> None:
    # Without `probabilities` or `causes` a risk says nothing, but an empty object is one.
    for key in json.loads(examples()[name]):
        if name == "data" and key not in ("v", "timestamp", "device"):
            continue
        if name != "ack" and key in ("epoch", "seq"):
            continue
        if name == "status" and key == "ledger":  # agents from before there was one
            continue
        assert str(refusal(name, key, DELETED)) == f"{key}: is missing"


@pytest.mark.parametrize("name", ["risk", "weather", "enrol", "rewind"])
def test_a_journal_key_on_what_is_not_in_the_journal(name: str) -> None:
    assert str(refusal(name, "seq", 5)) == "seq: is not part of this payload"


@pytest.mark.parametrize("name", ["bundle", "series/ac_power/interval", "series/ac_power"])
def test_a_journal_key_in_an_inner_object(name: str) -> None:
    payload = "status" if name == "bundle" else "forecast"
    error = refusal(payload, f"{name}/epoch", "4f1d9c2ab07e6835")
    assert error.field == f"{name.replace('/', '.')}.epoch"


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        ("data", "acpower", 1, "acpower: unknown quantity"),
        ("data", "acpower", "text", "acpower: unknown quantity"),
        ("data", "temperature", 1, "temperature: unknown quantity"),
        ("data", "quality/acpower", "missing", "acpower: unknown quantity"),
        ("data", "ac_power", 10**400, "ac_power: is too large for a number"),
        ("data", "ac_power", -(10**400), "ac_power: is too large for a number"),
        ("data", "ac_power", True, "ac_power: must be a number, not 'True'"),
        ("data", "ac_power", "3240", "ac_power: must be a number, not '3240'"),
        ("data", "ac_power", None, "ac_power: must be a number, not 'None'"),
        ("data", "ac_power", [1], "ac_power: must be a number, not"),
        ("data", "ac_power", float("nan"), "ac_power: must be a finite number"),
        ("data", "ac_power", float("inf"), "ac_power: must be a finite number"),
        ("data", "quality", "good", "quality: must be an object"),
        (
            "data",
            "quality/ac_power",
            "fine",
            "quality.ac_power: unknown quality 'fine'; known: good",
        ),
        ("data", "quality/ac_power", ["good"], "quality.ac_power: unknown quality"),
        ("data", "quality/ac_power", "missing", "ac_power: a missing reading has no value"),
        ("data", "quality/ghi", "suspect", "ghi: a suspect reading needs a value"),
        (
            "data",
            "timestamp",
            "2024-01-17T12:00:00",
            "timestamp: not an ISO 8601 instant with a zone",
        ),
        ("data", "timestamp", 1705492800, "timestamp: must be a text"),
        ("data", "timestamp", "2024-02-30T12:00:00Z", "timestamp: not a possible instant"),
        ("data", "timestamp", "0001-01-01T00:00:00+01:00", "timestamp: not a possible instant"),
        ("data", "device", "bundles", "device: 'bundles' is reserved for model bundles"),
        ("data", "device", "Inverter 1", "device: 'Inverter 1' is not an identifier"),
        ("data", "device", "a" * 65, "device: "),
        ("data", "device", "", "device: '' is not an identifier"),
        ("forecast", "series", {}, "forecast: no series"),
        ("forecast", "series", [], "series: must be an object"),
        ("forecast", "series/sunshine", {}, "series.sunshine: unknown quantity"),
        ("forecast", "series/ac_power/unit", "kW", "series.ac_power.unit: must be W"),
        ("forecast", "series/ac_power/model", "", "series.ac_power: model must be a text of 1"),
        (
            "forecast",
            "series/ac_power/quantiles/0.5",
            [1, 0],
            "series.ac_power: forecast: quantiles c",
        ),
        ("forecast", "series/ac_power/quantiles/0.5", [1], "series.ac_power: forecast: 1 to 1000"),
        (
            "forecast",
            "series/ac_power/quantiles/0.5",
            [2750, None],
            "ac_power.quantiles.0.5[1]: must",
        ),
        (
            "forecast",
            "series/ac_power/quantiles/0.5",
            2750,
            "quantiles.0.5: must be a list of numbers",
        ),
        (
            "forecast",
            "series/ac_power/quantiles/0.5",
            DELETED,
            "ac_power.quantiles.0.5: is missing",
        ),
        (
            "forecast",
            "series/ac_power/quantiles/0.55",
            [1, 1],
            "quantiles.0.55: is not part of this",
        ),
        (
            "forecast",
            "series/ac_power/interval/nominal",
            1.2,
            "coverage.nominal must be between 0 and 1",
        ),
        (
            "forecast",
            "series/ac_power/interval/observed",
            None,
            "observed stands exactly when count",
        ),
        (
            "forecast",
            "series/ac_power/interval/count",
            -1,
            "interval.count: must be a whole number",
        ),
        (
            "forecast",
            "series/ac_power/interval/count",
            4032.5,
            "interval.count: must be a whole number",
        ),
        (
            "forecast",
            "series/ac_power/interval/state",
            "fine",
            "interval.state: must be one of: uncal",
        ),
        ("forecast", "step_minutes", 0, "step_minutes: must be a whole number from 1 to 1440"),
        ("forecast", "step_minutes", True, "step_minutes: must be a whole number from 1 to 1440"),
        ("forecast", "start", "2024-01-17T12:01:00Z", "must start on the grid of its own steps"),
        ("forecast", "weather_mode", "guessed", "weather_mode: must be one of: none, archived_nwp"),
        ("forecast", "bundle", 5, "bundle: must be a text of at most 200 characters"),
        ("alert", "code", "No answer", "code: 'No answer' is not an identifier"),
        ("alert", "severity", "mild", "severity: must be one of: info, warning, alarm"),
        ("alert", "text", "x" * 1001, "text: must be a text of at most 1000 characters"),
        ("alert", "text", "x\0", "text holds U+0000"),
        ("alert", "active", 1, "active: must be true or false"),
        ("status", "journal_epoch", "xyz", "epoch must be 16 lower-case hex digits"),
        ("status", "first_seq", 0, "first_seq: must be a whole number from 1"),
        ("status", "first_seq", 2**63, "first_seq: must be a whole number from 1"),
        ("status", "counters/records", -1, "counters.records: must be a whole number from 0"),
        ("status", "counters/records", 0.5, "counters.records: must be a whole number from 0"),
        ("status", "ledger", {}, "ledger: must be a list"),
        ("status", "ledger", [[]], "ledger[0]: must be an object"),
        (
            "status",
            "ledger",
            [LEDGER_ROW | {"expected": 3}],
            "ledger[0]: ledger of roof on 2024-01-17: 3 turns expected, but 1 had and 1 lost",
        ),
        (
            "status",
            "ledger",
            [LEDGER_ROW | {"lost": {"bored": 1}}],
            "ledger[0].lost: 'bored' is no",
        ),
        ("status", "ledger", [LEDGER_ROW | {"lost": {"dead": -1}}], "ledger[0].lost.dead: must be"),
        (
            "status",
            "ledger",
            [LEDGER_ROW | {"thinned": 2}],
            "ledger[0]: ledger of roof on 2024-01-",
        ),
        ("status", "ledger", [LEDGER_ROW | {"day": "2024-02-30"}], "ledger[0]: not a day"),
        ("status", "ledger", [LEDGER_ROW | {"day": 20240117}], "ledger[0].day: must be a text"),
        ("status", "ledger", [LEDGER_ROW] * 2, "ledger: a device stands twice on one day"),
        ("status", "bundle/state", "happy", "bundle.state: must be one of: none, staged"),
        (
            "risk",
            "probabilities/shortfall",
            1.01,
            "probabilities.shortfall must be between 0 and 1",
        ),
        ("risk", "probabilities/shortfall", None, "probabilities.shortfall: must be a number"),
        ("risk", "probabilities/Short fall", 0.1, "'Short fall' is not an identifier"),
        ("weather", "values/sunshine", [1.0, 1.0], "unknown quantity 'sunshine'"),
        ("weather", "values/ghi", [1.0], "values: 1 to 1000 steps wanted, the same everywhere"),
        ("weather", "values", {}, "values: 1 to 1000 steps wanted"),
        ("weather", "values/ghi", [1.0, "2"], "values.ghi[1]: must be a number, not '2'"),
        (
            "enrol",
            "certificate_request",
            "x" * 20_001,
            "certificate_request: must be a text of at most",
        ),
        ("ack", "epoch", "4F1D9C2AB07E6835", "epoch must be 16 lower-case hex digits"),
        ("ack", "through", -1, "through: must be a whole number from 0"),
        ("ack", "ranges", [[1, 2, 3]], "ranges: must be a list of lists of 2"),
        ("ack", "ranges", [[2, 1]], "ranges must ascend without overlap: [2, 1]"),
        ("ack", "ranges", [[1, 5], [5, 6]], "ranges must ascend without overlap: [5, 6]"),
        ("ack", "ranges", [[1, 5], [6.5, 7]], "ranges[1].first: must be a whole number"),
        ("rewind", "since", "yesterday", "since: not an ISO 8601 instant with a zone: 'yesterday'"),
        ("rewind", "reason", None, "reason: must be a text"),
    ],
)
def test_a_wrong_value(name: str, path: str, value: Any, message: str) -> None:
    assert message in str(refusal(name, path, value))


def test_a_record_that_holds_nothing() -> None:
    body = {"v": 1, "timestamp": "2024-01-17T12:00:00Z", "device": "inverter_1"}
    with pytest.raises(PayloadError, match="record of inverter_1 holds no readings"):
        p.record_from_json(body)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": DELETED}, "epoch: is missing"),
        ({"seq": DELETED}, "seq: is missing"),
        ({"seq": 0}, "seq: must be a whole number from 1"),
        ({"seq": "7"}, "seq: must be a whole number from 1"),
        ({"epoch": "0" * 15}, "epoch: epoch must be 16 lower-case hex digits"),
        ({"epoch": 7}, "epoch: must be a text"),
    ],
)
def test_a_live_entry_without_a_proper_key(change: dict[str, Any], message: str) -> None:
    body = json.loads(examples()["data"]) | change
    data = json.dumps({key: value for key, value in body.items() if value is not DELETED})
    with pytest.raises(PayloadError, match=f"^{message}"):
        p.decode_entry(data.encode(), Kind.RECORD)
