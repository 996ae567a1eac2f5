"""JSON that must not get in: NaN, infinity, duplicate keys, too deep, too large, unstorable."""

from __future__ import annotations

import contextlib
import json
import time

import pytest

from models.contract.errors import ContractError, PayloadError
from models.contract.payload import MAX_DEPTH, MAX_PAYLOAD, canonical, parse_json


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinity(constant: str) -> None:
    with pytest.raises(PayloadError, match=f"^{constant} is not JSON; leave the value out"):
        parse_json(f'{{"ghi":{constant}}}'.encode())


@pytest.mark.parametrize("number", ["1e999", "-1E400", f"{'9' * 400}.0"])
def test_a_number_that_python_would_read_as_infinity(number: str) -> None:
    with pytest.raises(PayloadError, match="is too large for a number"):
        parse_json(f'{{"ghi":{number}}}'.encode())


def test_an_integer_of_more_digits_than_python_reads() -> None:
    with pytest.raises(PayloadError, match="not JSON"):
        parse_json(b'{"ghi":' + b"9" * 5000 + b"}")


def test_a_key_that_stands_twice_is_named() -> None:
    with pytest.raises(PayloadError, match="stands twice in one object") as refusal:
        parse_json(b'{"ghi":1,"temp_air":2,"ghi":1}')
    assert refusal.value.field == "ghi"


def test_a_key_that_stands_twice_deep_inside() -> None:
    with pytest.raises(PayloadError, match="b: stands twice"):
        parse_json(b'{"a":[{"b":1,"b":1}]}')


def test_the_same_key_written_once_with_an_escape() -> None:
    with pytest.raises(PayloadError, match="ghi: stands twice"):
        parse_json(rb'{"ghi":1,"\u0067hi":2}')


def test_the_deepest_that_is_read_and_one_deeper() -> None:
    inner = MAX_DEPTH - 1
    assert parse_json(b'{"a":' + b"[" * inner + b"]" * inner + b"}")
    with pytest.raises(PayloadError, match=f"^nested deeper than {MAX_DEPTH}"):
        parse_json(b'{"a":' + b"[" * (inner + 1) + b"]" * (inner + 1) + b"}")


def test_brackets_in_texts_count_as_depth() -> None:
    body = {"text": "[" * 100 + '"' + "{" * 100 + "\\", "more": ["]]]]"] * 20}
    assert parse_json(json.dumps(body).encode()) == body


def test_closing_brackets_in_a_text_hide_depth() -> None:
    hidden = json.dumps("]" * 500 + '\\"').encode()
    with pytest.raises(PayloadError, match="nested deeper"):
        parse_json(b'{"a":' + hidden + b',"b":' + b"[" * 100 + b"]" * 100 + b"}")


@pytest.mark.parametrize("deep", [b"[" * 500_000, b'{"a":' * 100_000])
def test_depth_that_would_exhaust_the_stack(deep: bytes) -> None:
    with pytest.raises(PayloadError, match="nested deeper"):
        parse_json(deep)


@pytest.mark.parametrize(
    "slow",
    [
        b'{"' + b'\\"' * 499_000,
        b"[[[[[[[[[" + b'"' * 999_000,
        b'{"a":[[[[[[[[[' + b'\\"' * 490_000,
        b'{"a":[' + b'"[",' * 240_000 + b"1]}",
        b"{" + b",".join(b'"%d":1' % n for n in range(90_000)) + b',"0":1}',
    ],
    ids=["open text", "quotes", "escapes", "many texts", "late duplicate"],
)
def test_a_payload_made_to_take_long(slow: bytes) -> None:
    assert len(slow) <= MAX_PAYLOAD
    started = time.process_time()
    with contextlib.suppress(PayloadError):
        parse_json(slow)
    assert time.process_time() - started < 5


def test_one_byte_too_many() -> None:
    fits = b'{"a":"' + b"x" * (MAX_PAYLOAD - 8) + b'"}'
    assert len(fits) == MAX_PAYLOAD
    assert len(parse_json(fits)["a"]) == MAX_PAYLOAD - 8
    with pytest.raises(PayloadError, match="1000001 bytes, at most 1000000"):
        parse_json(fits + b" ")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b'{"a":1,}',
        b"{'a':1}",
        b"hello",
        b'{"a":01}',
        b'"\xff"',
        b"{}\x00",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        b'{"a":"\n"}',
        b"// x\n{}",
    ],
)
def test_what_is_not_json(data: bytes) -> None:
    with pytest.raises(PayloadError, match=r"^not JSON"):
        parse_json(data)


@pytest.mark.parametrize("data", [b"null", b"[]", b"1", b'"ghi"', b"true"])
def test_json_that_is_no_object(data: bytes) -> None:
    with pytest.raises(PayloadError, match=r"^not a JSON object"):
        parse_json(data)


@pytest.mark.parametrize(
    "data",
    [rb'{"a":"\ud800"}', rb'{"\uDFFF":1}', rb'{"a":["\udc00\ud800"]}', rb'{"a":"x\u0000"}'],
)
def test_text_that_no_database_can_store(data: bytes) -> None:
    with pytest.raises(PayloadError, match=r"U\+0000 or half a surrogate pair"):
        parse_json(data)


@pytest.mark.parametrize(
    ("data", "text"),
    [(rb'{"a":"\ud83d\ude00"}', "😀"), (rb'{"a":"\\u0000\\ud800"}', r"\u0000\ud800")],
)
def test_text_that_only_looks_unstorable(data: bytes, text: str) -> None:
    assert parse_json(data) == {"a": text}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {"a": {1, 2}}])
def test_what_has_no_canonical_form(value: object) -> None:
    with pytest.raises(ContractError, match="has no JSON form"):
        canonical(value)  # type: ignore[arg-type]


def test_canonical_text_sorts_keys_and_keeps_letters() -> None:
    assert canonical({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'


def test_an_error_message_as_long_as_the_payload() -> None:
    with pytest.raises(PayloadError) as refusal:
        parse_json(b'{"' + b"k" * 400_000 + b'":1,"' + b"k" * 400_000 + b'":1}')
    assert len(str(refusal.value)) < 1000
