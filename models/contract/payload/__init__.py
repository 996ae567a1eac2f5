"""Values <-> bytes. Decoding believes nothing: fields are checked, NaN and unknown keys refused.

``decode(encode(x)) == x`` holds for every value of the contract (tests/property). Bytes are UTF-8
JSON that a person can read with ``mosquitto_sub``; only ``batch`` is compressed. Size and depth are
bounded before parsing. A decoder raises ``PayloadError`` or returns a value, whatever the bytes.

What is stored and sent as a journal entry (records, forecasts, alerts, status) has ``X_to_json``
and ``X_from_json``: ``canonical(X_to_json(x))`` is the entry's body, and ``X_from_json(
parse_json(data))`` reads it back, with or without the journal key beside it. One file per family:
``json_text``, ``records``, ``forms``, ``blocks``, ``forecasts``, ``journal``, ``messages``; import
from here.
"""

from .blocks import RecordBlock
from .forecasts import (
    forecast_from_json,
    forecast_to_json,
)
from .forms import RecordForm, form_from_json, form_to_json
from .journal import (
    decode_ack,
    decode_batch,
    decode_entry,
    decode_rewind,
    encode_ack,
    encode_batch,
    encode_entry,
    encode_rewind,
    entry_body,
    inflate_batch,
)
from .json_text import (
    MAX_BATCH,
    MAX_DEPTH,
    MAX_PAYLOAD,
    canonical,
    parse_json,
)
from .messages import (
    alert_from_json,
    alert_to_json,
    enrolment_from_json,
    enrolment_request_from_json,
    enrolment_request_to_json,
    enrolment_to_json,
    risk_from_json,
    risk_to_json,
    status_from_json,
    status_to_json,
    weather_from_json,
    weather_to_json,
)
from .records import (
    PlainRecord,
    plain_record_from_json,
    record_from_json,
    record_to_json,
)

__all__ = [
    "MAX_BATCH",
    "MAX_DEPTH",
    "MAX_PAYLOAD",
    "PlainRecord",
    "RecordBlock",
    "RecordForm",
    "alert_from_json",
    "alert_to_json",
    "canonical",
    "decode_ack",
    "decode_batch",
    "decode_entry",
    "decode_rewind",
    "encode_ack",
    "encode_batch",
    "encode_entry",
    "encode_rewind",
    "enrolment_from_json",
    "enrolment_request_from_json",
    "enrolment_request_to_json",
    "enrolment_to_json",
    "entry_body",
    "forecast_from_json",
    "forecast_to_json",
    "form_from_json",
    "form_to_json",
    "inflate_batch",
    "parse_json",
    "plain_record_from_json",
    "record_from_json",
    "record_to_json",
    "risk_from_json",
    "risk_to_json",
    "status_from_json",
    "status_to_json",
    "weather_from_json",
    "weather_to_json",
]
