"""Whatever bytes arrive: a decoder gives a value or a ``PayloadError``, and a settings file gives
settings or a ``SettingsError`` that knows the line."""

from __future__ import annotations

import copy
import json
import math
import tomllib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from models.contract import payload as p
from models.contract.errors import PayloadError, SettingsError
from models.contract.examples import examples
from models.contract.messages import Kind
from models.contract.payload.journal import BATCH_MAGIC
from models.contract.settings import parse_settings
from models.contract.toml_lines import key_lines

EXAMPLES = examples()


def _entry(kind: Kind, from_json: Callable[[Any], Any]) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> Any:
        entry = p.decode_entry(data, kind)
        assert entry.digest
        return from_json(p.entry_body(entry))

    return decode


DECODERS: dict[str, Callable[[bytes], Any]] = {
    "data": _entry(Kind.RECORD, p.record_from_json),
    "data-plain": lambda data: p.plain_record_from_json(p.parse_json(data), "device_01"),
    "batch": p.decode_batch,
    "ack": p.decode_ack,
    "rewind": p.decode_rewind,
    "forecast": _entry(Kind.FORECAST, p.forecast_from_json),
    "alert": _entry(Kind.ALERT, p.alert_from_json),
    "risk": lambda data: p.risk_from_json(p.parse_json(data)),
    "status": lambda data: p.status_from_json(p.parse_json(data)),
    "weather": lambda data: p.weather_from_json(p.parse_json(data)),
    "enrol": lambda data: p.enrolment_request_from_json(p.parse_json(data)),
    "enrolled": lambda data: p.enrolment_from_json(p.parse_json(data)),
}
every_decoder = pytest.mark.parametrize("name", DECODERS)


def gives_a_value_or_a_payload_error(name: str, data: bytes) -> None:
    said = "a value"
    try:
        assert DECODERS[name](data) is not None
    except PayloadError as error:
        said = str(error)
    assert 0 < len(said) < 1000  # whatever was sent, a log line stays a line


def packed(name: str, text: bytes) -> bytes:
    return BATCH_MAGIC + zlib.compress(text) if name == "batch" else text


@every_decoder
@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
@example(b"")
@example(b"null")
@example(b"\xff\xfe{")
@example(b"\xef\xbb\xbf{}")
@example(b'{"v":1e999}')
@example(b'{"v":NaN}')
@example(b'{"a":"\\ud800"}')
def test_any_bytes(name: str, data: bytes) -> None:
    gives_a_value_or_a_payload_error(name, data)
    gives_a_value_or_a_payload_error(name, packed(name, data))
    gives_a_value_or_a_payload_error(name, BATCH_MAGIC + data)


wrong_values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 2**63, 10**400, -(10**4000), 0.5, 1e308, "", "x" * 5000, [], {}])
    | st.sampled_from(["bundles", "NaN", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:00"])
    | st.sampled_from([[[]], [None], [[1, 2, 3]], [["1", "record", "{}"]], {"epoch": 1}, "\0"])
    | st.sampled_from([float("nan"), float("inf"), "\ud800", {"\udfff": 1}])
)


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """The example of ``name`` with one to three places replaced, removed or added."""
    body = json.loads(EXAMPLES[name])
    for _ in range(draw(st.integers(1, 3))):
        place: Any = body
        while isinstance(place, (dict, list)) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            if draw(st.booleans()) or not isinstance(place[key], (dict, list)):
                break
            place = place[key]
        if not isinstance(place, (dict, list)) or not place:
            continue
        action = draw(st.sampled_from(["replace", "remove", "add"]))
        wrong = copy.deepcopy(draw(wrong_values))
        if action == "replace":
            place[key] = wrong
        elif action == "remove":
            del place[key]
        elif isinstance(place, dict):
            place[draw(st.sampled_from(["epoch", "v", "x", "ghi", ""]))] = wrong
        else:
            place.append(wrong)
    return packed(name, json.dumps(body).encode())


@every_decoder
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_damaged_payload(name: str, data: st.DataObject) -> None:
    gives_a_value_or_a_payload_error(name, data.draw(damaged(name)))


@every_decoder
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_payload_that_was_cut_or_has_a_flipped_byte(name: str, data: st.DataObject) -> None:
    whole = packed(name, EXAMPLES[name])
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(PayloadError):
        DECODERS[name](cut)
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytes([whole[at] ^ data.draw(st.integers(1, 255))])
    gives_a_value_or_a_payload_error(name, whole[:at] + flipped + whole[at + 1 :])


@dataclass(frozen=True)
class Bus:
    port: int = 1


@dataclass(frozen=True)
class Site:
    name: str
    latitude: float = 0.0
    buses: tuple[Bus, ...] = ()
    note: str | None = None


TOML_PARTS = st.sampled_from(
    [
        *("name", "latitude", "buses", "port", "note", "=", "#", " ", "\n", "\\", "\0"),
        *("[", "]", "[[", "]]", "{", "}", ",", ".", '"""'),
        *("1", "-0.5", "inf", "nan", "true", "'a'", '"b"', "2024-01-01"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(TOML_PARTS, max_size=25).map("".join) | st.text(max_size=40))
@example("name = 'a'\n[[buses]]\nport = 1\n[[buses]]\nport = 2")
@example("[" * 5000)
@example("name = " + "[" * 5000)
@example("name = " + "9" * 5000)
@example(f"name = 'a'\nlatitude = 1{'0' * 400}")
def test_any_settings_text(text: str) -> None:
    try:
        site = parse_settings(text, Site, file="site.toml")
    except SettingsError as error:
        site, said = Site("none"), str(error)
    else:
        said = "site.toml: good"
    assert said.startswith("site.toml")
    assert math.isfinite(site.latitude)


VALUES = st.sampled_from(
    [
        "1",
        "2024-01-01 10:00:00",
        "'= 1'",
        '"[x]\\" # ="',
        '"""\nk0 = 1\n[t]\n"""',
        "'''a'b\n[[t]]'''",
        "[\n 1, # [c]\n 2,\n]",
        "[['a'], [{ z = 1 }]]",
        "{ a = 1, b.c = [1, 2], 'd e' = { f = 2 } }",
    ]
)
HEADERS = st.sampled_from(
    ["[t]", "[t.u]", "[ t . 'v.w' ]", "[[t.list]]", "[[t.list.inner]]", "[[l]]"]
)
KEYS = st.sampled_from(["k{0}", "k.m{0}", '"q.{0}" . r', "'s {0}'"])


@st.composite
def toml_documents(draw: st.DrawFn) -> str:
    """Texts of keys, tables and comments; not all of them are valid."""
    lines = []
    for number in range(draw(st.integers(1, 8))):
        key = draw(KEYS).format(number)
        pair = f"{draw(st.sampled_from(['', '  ']))}{key} = {draw(VALUES)}"
        lines.append(draw(st.sampled_from(["", "# [t] k = 1", pair, pair, draw(HEADERS)])))
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines)


@settings(max_examples=200, deadline=None)
@given(toml_documents())
def test_every_key_of_a_valid_toml_text_has_the_line_it_stands_on(text: str) -> None:
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    found = key_lines(text)
    lines = text.splitlines()
    paths = list(_paths(tree, ()))
    assert set(paths) == set(found)
    for path in paths:
        name = path[-1]
        if isinstance(name, str):
            assert name in lines[found[path] - 1]


def _paths(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, dict):
        items: Any = value.items()
    else:
        items = enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from _paths(inner, (*path, name))
