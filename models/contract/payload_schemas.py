"""JSON Schemas (draft 2020-12) of every payload, built from the contract.

A schema says what an encoder produces. The decoders check more than a schema can (quantiles that
cross, ranges that overlap, digests). Units and limits come from ``quantities``, words from the
enumerations, lengths from the values: nothing is stated twice.
"""

from __future__ import annotations

from . import messages as m
from .checks import MAX_LONG_TEXT, MAX_TEXT
from .forecast import (
    LEVELS,
    MAX_MODEL_NAME,
    MAX_STEP_MINUTES,
    MAX_STEPS,
    CoverageState,
    WeatherMode,
)
from .ledger import DAY_PATTERN, MAX_LEDGERS, MAX_POLL_MS, Reason
from .payload import MAX_PAYLOAD
from .payload.forecasts import level_key
from .payload.records import UNTRUSTED
from .quantities import QUANTITIES
from .record import Quality
from .schema_parts import (
    EPOCH,
    KEY,
    SEQ,
    VERSION,
    Schema,
    enum,
    identifier,
    instant,
    integer,
    journal_object,
    nullable,
    object_of,
    payload,
    quantity_text,
    share,
    text,
    value,
)


def _data() -> Schema:
    fixed: Schema = {
        "v": VERSION,
        "timestamp": instant("when the device was polled"),
        "device": identifier("the device that was polled"),
        **KEY,
    }
    quality: Schema = {
        "type": "object",
        "description": "quality of every quantity that is not good; missing ones stand only here",
        "propertyNames": {"enum": list(QUANTITIES)},
        "additionalProperties": enum(Quality, "quality word"),
        "minProperties": 1,
    }
    values = {name: value(quantity) for name, quantity in QUANTITIES.items()}
    body = object_of(
        {**fixed, "quality": quality, **_seldom(), **values},
        required=list(fixed),
        dependentRequired={"samples": ["window_s"], "window_s": ["samples"]},
    )
    body["minProperties"] = len(fixed) + 1
    return payload("data", "one poll of one device, sent by an agent", body)


def _seldom() -> Schema:
    """What a record says only when it is not one poll by a trusted clock."""
    return {
        "samples": integer("polls that this record stands for, thinned for want of room", 1),
        "window_s": integer("length of the window they lie in, from the timestamp on", 1, 86_400),
        "clock": {
            "const": UNTRUSTED,
            "description": "the timestamp is from a clock that nobody had set: not to be used",
        },
    }


def _data_plain() -> Schema:
    values: Schema = {}
    for name, quantity in QUANTITIES.items():
        values[name] = nullable(value(quantity))
        for alias in quantity.aliases:
            values[alias] = {**values[name], "description": f"other name of {name}"}
    quality: Schema = {
        "type": "object",
        "description": "quality of single quantities, by the name they stand under",
    }
    body = object_of(
        {
            "v": VERSION,
            "timestamp": instant("when it was measured"),
            "device": identifier("the name in the topic, if given at all"),
            "quality": quality,
            **values,
        },
        required=["timestamp"],
        anyOf=[{"required": [name]} for name in values] + [{"required": ["quality"]}],
    )
    body["additionalProperties"] = True
    return payload(
        "data-plain",
        "a record of a device without an agent; null is a missing value, unknown fields are "
        "reported and ignored, a value beyond what is possible is kept as suspect",
        body,
    )


def _batch() -> Schema:
    entry: Schema = {
        "type": "array",
        "prefixItems": [
            SEQ,
            enum(m.Kind, "what the entry is"),
            {
                "type": "string",
                "description": "JSON text of the entry without epoch and seq",
                "maxLength": MAX_PAYLOAD,
                "contentMediaType": "application/json",
            },
        ],
        "minItems": 3,
        "items": False,
    }
    void: Schema = {
        "type": "array",
        "prefixItems": [
            integer("first void seq", 1),
            integer("last void seq", 1),
            text("why these numbers will never come", shortest=1),
        ],
        "minItems": 3,
        "items": False,
    }
    fixed = {
        "v": VERSION,
        "epoch": EPOCH,
        "first_seq": integer("first number that this epoch ever used", 1),
        "entries": {"type": "array", "description": "ascending by seq", "items": entry},
        "voids": {"type": "array", "items": void},
    }
    records = {"type": "array", "description": "records, by their form", "items": _block()}
    body = object_of({**fixed, "records": records}, required=list(fixed))
    return payload("batch", "a run of backlog entries of one epoch, after decompression", body)


def _block() -> Schema:
    """Records of one form. What JSON Schema cannot say: every list is of one length."""
    steps = "whole numbers: the first, then each as difference from the one before"
    form = object_of(
        {
            "device": identifier("the device that was polled"),
            "names": {
                "type": "array",
                "description": "quantities that have a value, ascending; columns stand in order",
                "items": {"enum": list(QUANTITIES)},
            },
            "quality": {
                "type": "object",
                "description": "quality of what is not good, with or without a value",
                "propertyNames": {"enum": list(QUANTITIES)},
                "additionalProperties": enum(Quality, "quality word"),
            },
            **_seldom(),
        },
        required=["device", "names"],
    )
    column = {
        "description": "values: [f, v, ...] as they are; [d, decimals, first, difference, ...] or"
        " [m, decimals, middle, distance, ...] in units of 10**-decimals",
        "type": "array",
        "prefixItems": [{"enum": ["f", "d", "m"]}],
        "items": {"type": "number"},
        "minItems": 2,
    }
    whole = {"type": "array", "items": {"type": "integer"}, "minItems": 1}
    return object_of(
        {
            "form": {**form, "description": "what these records have in common"},
            "seqs": {**whole, "description": f"journal numbers; {steps}"},
            "times": {**whole, "description": f"ms since 1970; {steps}"},
            "columns": {"type": "array", "items": column},
        }
    )


def _ack() -> Schema:
    pair: Schema = {"type": "array", "items": SEQ, "minItems": 2, "maxItems": 2}
    ranges = "first and last committed seq, ascending, disjoint"
    through = "everything up to here is committed or void; 0 while the epoch's start is unknown"
    body = object_of(
        {
            "v": VERSION,
            "epoch": EPOCH,
            "through": integer(through),
            "ranges": {"type": "array", "description": ranges, "items": pair},
        }
    )
    return payload("ack", "journal entries that the centre has committed", body)


def _rewind() -> Schema:
    since = instant("send again everything measured since then that is still kept")
    body = object_of({"v": VERSION, "since": since, "reason": text("why")})
    return payload("rewind", "the centre lost data and asks for it again", body)


def _forecast() -> Schema:
    row: Schema = {"type": "array", "items": {"type": "number"}, "minItems": 1}
    row["maxItems"] = MAX_STEPS
    interval = object_of(
        {
            "nominal": share("coverage that the outermost quantiles promise"),
            "observed": nullable(share("coverage measured on this site; null before any")),
            "count": integer("actuals behind the measured coverage"),
            "state": enum(CoverageState, "how far the measured coverage can be trusted"),
        }
    )
    one = object_of(
        {
            "unit": {"type": "string"},
            "model": text("what made this series", MAX_MODEL_NAME, 1),
            "quantiles": object_of({level_key(level): row for level in LEVELS}),
            "interval": interval,
        }
    )
    series = {
        name: {
            "$ref": "#/$defs/series",
            "description": quantity_text(quantity),
            "properties": {"unit": {"const": quantity.unit}},
        }
        for name, quantity in QUANTITIES.items()
    }
    body = journal_object(
        {
            "v": VERSION,
            "site": identifier("the site that this is about"),
            "issued_at": instant("when the forecast was made"),
            "start": instant("start of step 0; step k covers [start + k steps, + 1 step)"),
            "step_minutes": integer("length of a step [min]", 1, MAX_STEP_MINUTES),
            "bundle": nullable(text("model bundle that took part, or null", shortest=1)),
            "weather_mode": enum(WeatherMode, "what was known of future weather"),
            "series": object_of(series, required=[], minProperties=1),
        }
    )
    description = "quantiles per step of one or more quantities, all with as many steps"
    return payload("forecast", description, body | {"$defs": {"series": one}})


def _status() -> Schema:
    bundle = object_of(
        {
            "state": enum(m.BundleState, "where the box stands with its bundle"),
            "active": nullable(text("bundle in use")),
            "release": integer("release counter of the bundle in use"),
            "refused": nullable(text("last bundle that was refused")),
            "reason": nullable(text("why it was refused", MAX_LONG_TEXT)),
        }
    )
    counters: Schema = {
        "type": "object",
        "propertyNames": {"maxLength": MAX_TEXT},
        "additionalProperties": integer("count"),
    }
    body = journal_object(
        {
            "v": VERSION,
            "agent": identifier("the agent"),
            "timestamp": instant("when this was written; a last will is written at connect"),
            "online": {"type": "boolean", "description": "false in the last will"},
            "version": text("version of the agent"),
            "journal_epoch": EPOCH,
            "first_seq": integer("first number of the epoch", 1),
            "bundle": bundle,
            "counters": counters,
        }
    )
    body["properties"]["ledger"] = {
        "type": "array",
        "description": "what became of every turn of devices on UTC days, so far on the last one",
        "items": _day_ledger(),
        "maxItems": MAX_LEDGERS,
    }
    return payload("status", "birth, death and health of an agent", body)


def _day_ledger() -> Schema:
    whys = {reason.value: integer(f"turns lost: {reason.value}", 1) for reason in Reason}
    return object_of(
        {
            "day": {"type": "string", "description": "UTC day", "pattern": f"^{DAY_PATTERN}$"},
            "device": identifier("whose turns"),
            "poll_ms": integer("time between two turns [ms]", 1, MAX_POLL_MS),
            "expected": integer("turns; equals have and all of lost together"),
            "have": integer("turns whose record the journal has"),
            "thinned": integer("of those stored: kept only in means"),
            "lost": object_of(whys, required=[]),
        }
    )


def _alert() -> Schema:
    body = journal_object(
        {
            "v": VERSION,
            "device": identifier("where"),
            "timestamp": instant("when it began or ended"),
            "code": identifier("which alert"),
            "severity": enum(m.Severity, "how much it matters"),
            "text": text("for a person", MAX_LONG_TEXT),
            "active": {"type": "boolean", "description": "false: it is right again"},
        }
    )
    return payload("alert", "something is wrong at a device, or right again", body)


def _risk() -> Schema:
    def by_name(values: Schema) -> Schema:
        names = identifier("name of the risk")
        return {"type": "object", "propertyNames": names, "additionalProperties": values}

    body = object_of(
        {
            "v": VERSION,
            "site": identifier("the site that this is about"),
            "issued_at": instant("when it was estimated"),
            "until": instant("end of the time it speaks of"),
            "probabilities": by_name(share("calibrated probability")),
            "causes": by_name(text("what drives it", MAX_LONG_TEXT)),
        }
    )
    return payload("risk", "calibrated probabilities of what may go wrong", body)


def _weather() -> Schema:
    values = {
        name: {
            "type": "array",
            "description": quantity_text(quantity),
            "items": {"type": "number"},
            "minItems": 1,
            "maxItems": MAX_STEPS,
        }
        for name, quantity in QUANTITIES.items()
    }
    body = object_of(
        {
            "v": VERSION,
            "site": identifier("the site that this is about"),
            "issued_at": instant("when the weather model was run"),
            "start": instant("start of step 0"),
            "step_minutes": integer("length of a step [min]", 1, MAX_STEP_MINUTES),
            "source": text("which weather model"),
            "values": object_of(values, required=[], minProperties=1),
        }
    )
    return payload("weather", "numerical weather forecast for one site", body)


def _enrol() -> Schema:
    body = object_of(
        {
            "v": VERSION,
            "agent": identifier("the name asked for"),
            "hardware": text("hardware identifier of the box"),
            "certificate_request": text("PKCS #10 request in PEM", m.MAX_CERTIFICATE),
            "token": text("one-time token of the operator"),
        }
    )
    return payload("enrol", "a new box asks to join", body)


def _enrolled() -> Schema:
    body = object_of(
        {
            "v": VERSION,
            "agent": identifier("the name given"),
            "certificate": text("certificate in PEM", m.MAX_CERTIFICATE),
            "ca_certificate": text("certificates to trust in PEM", m.MAX_CERTIFICATE_CHAIN),
            "tuf_root": text("trusted root metadata of the bundle repository", m.MAX_TUF_ROOT),
            "settings": text("settings of the site in TOML", m.MAX_SETTINGS),
        }
    )
    return payload("enrolled", "the centre's answer to a box that asked to join", body)


def schemas() -> dict[str, Schema]:
    """Every schema by the name of its file (``<name>.schema.json``)."""
    return {
        "data": _data(),
        "data-plain": _data_plain(),
        "batch": _batch(),
        "ack": _ack(),
        "rewind": _rewind(),
        "forecast": _forecast(),
        "alert": _alert(),
        "risk": _risk(),
        "status": _status(),
        "weather": _weather(),
        "enrol": _enrol(),
        "enrolled": _enrolled(),
    }
