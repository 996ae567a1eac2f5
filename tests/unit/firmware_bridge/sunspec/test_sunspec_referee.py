"""Every official model, seeded values: pysunspec2's bytes decode to them here, and ours there."""

from __future__ import annotations

import math
import random
import string
import struct
from pathlib import Path
from typing import Any

import pytest
import sunspec2.device as referee
import sunspec2.mdef as referee_definitions
from sunspec2.file.client import FileClientDevice

from firmware_bridge.errors import DeviceError
from firmware_bridge.sunspec.definitions import Definition, definition, known_models
from firmware_bridge.sunspec.points import decode_model, encode_model, factor_of, model_layout

INSTANCES = 2


def build(number: int, chance: random.Random) -> referee.Model:
    """A model of the referee with repeated groups twice and every point filled."""
    counts = count_points(definition(number))
    sized = referee.Model(number, data=blank(number, counts))
    fill(sized, chance, counts)
    return sized


def count_points(model: Definition | None) -> set[str]:
    assert model is not None
    found: set[str] = set()

    def look(group: Any) -> None:
        for sub in group.groups:
            if isinstance(sub.count, str):
                found.add(sub.count)
            look(sub)

    look(model.top)
    return found


def blank(number: int, counts: set[str]) -> bytes:
    """A model of the right size with its counts set; made by ours, sized by the definition."""
    model = definition(number)
    assert model is not None
    names = {group.name for group in model.top.groups}
    values: dict[str, Any] = {name: float(INSTANCES) for name in counts}
    return encode_model(model, values, instances=dict.fromkeys(names, INSTANCES))


def fill(group: Any, chance: random.Random, counts: set[str]) -> None:
    for name, point in group.points.items():
        if name not in ("ID", "L") or not isinstance(group, referee.Model):
            fill_point(name, point, chance, counts)
    for sub in group.groups.values():
        for one in sub if isinstance(sub, list) else [sub]:
            fill(one, chance, counts)


def fill_point(name: str, point: Any, chance: random.Random, counts: set[str]) -> None:
    kind = point.pdef["type"]
    if kind == "pad":
        return
    if name in counts:
        point.value = INSTANCES
    elif kind == "sunssf":
        point.value = chance.randint(-4, 4)
    elif kind == "string":
        size = min(2 * point.pdef["size"], 12)
        point.value = "".join(chance.choices(string.ascii_letters, k=size))
    elif kind == "ipaddr":
        point.value = chance.randint(1, 2**32 - 2)
    elif kind == "ipv6addr":
        point.value = "20010DB8:00000000:00000000:00000001"
    elif kind == "eui48":
        point.value = ":".join(f"{chance.randint(0, 254):02X}" for _ in range(6))
    elif kind.startswith("float"):
        number = chance.uniform(-1e6, 1e6)
        point.value = struct.unpack(">f", struct.pack(">f", number))[0]
    else:
        bits = 8 * 2 * point.pdef["size"]
        signed = kind.startswith("int")
        low, high = (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (1, 2**bits - 2)
        point.value = chance.randint(max(low, -(2**53)), min(high, 2**53))


def flat(group: Any, prefix: str = "") -> dict[str, Any]:
    """Path -> the referee's value, scale factors applied."""
    found: dict[str, Any] = {}
    for name, point in group.points.items():
        if point.pdef["type"] != "pad":
            found[prefix + name] = (referees_value(point), point.pdef["type"])
    for name, sub in group.groups.items():
        if isinstance(sub, list):
            for i, one in enumerate(sub, 1):
                found |= flat(one, f"{prefix}{name}[{i}].")
        else:
            found |= flat(sub, f"{prefix}{name}.")
    return found


def referees_value(point: Any) -> Any:
    """The referee applies constant factors only to what came from bytes: applied here instead."""
    factor = point.pdef.get("sf")
    if isinstance(factor, int) and point.value is not None:
        return point.value * 10.0**factor
    return point.cvalue


def same(ours: Any, theirs: Any, kind: str) -> bool:
    if theirs is None or ours is None:
        return theirs is None and ours is None
    if kind == "eui48":
        return str(ours).upper() == str(theirs).upper()
    if kind in ("ipaddr", "ipv6addr"):
        return isinstance(ours, str)
    if isinstance(theirs, str):
        return ours == theirs
    return math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-12)


@pytest.mark.parametrize("number", known_models())
def test_what_pysunspec2_encodes_is_decoded_and_the_other_way_round(number: int) -> None:
    model = definition(number)
    assert model is not None
    compared = 0
    for seed in range(3):
        theirs = build(number, random.Random(1000 * number + seed))
        data = theirs.get_mb()
        expected = flat(theirs)
        ours = decode_model(model, data)
        assert set(ours) == set(expected)
        for path, (value, kind) in expected.items():
            assert same(ours[path], value, kind), (path, ours[path], value)
            compared += 1
        names = {group.name for group in model.top.groups}
        again = encode_model(model, ours, instances=dict.fromkeys(names, INSTANCES))
        back = flat(referee.Model(number, data=again))
        assert set(back) == set(expected)
        for path, (value, kind) in expected.items():
            assert same(back[path][0], value, kind) or kind in ("ipaddr", "ipv6addr"), path
    assert compared >= 3


@pytest.mark.parametrize("name", ["device_1547.json", "inverter_123.json"])
def test_the_alliances_device_files_decode_as_the_referee_reads_them(
    data_dir: Path, name: str
) -> None:
    device = FileClientDevice(str(data_dir / "devices" / "sunspec-device-files" / name))
    device.scan()
    compared = 0
    for models in [value for key, value in device.models.items() if isinstance(key, int)]:
        for theirs in models:
            model = definition(theirs.model_id)
            assert model is not None
            image = theirs.get_mb()
            # The referee gives the bare number where the device has no factor; we give nothing.
            lost = {p.path for p in model_layout(model, image) if factor_of(image, p) is None}
            for path, (value, kind) in flat(theirs).items():
                ours = decode_model(model, image).get(path)
                if path in lost:
                    assert ours is None
                    continue
                if value is None or kind in ("ipaddr", "ipv6addr", "eui48") or path in ("ID", "L"):
                    continue
                if kind.startswith("acc") and value == 0:
                    assert ours is None
                    continue
                assert same(ours, value, kind), (path, ours, value)
                compared += 1
    assert compared > 50


def test_there_is_a_definition_for_each_of_the_referees_models() -> None:
    assert len(known_models()) >= 110
    assert referee_definitions.TYPE_ACC32 == "acc32"


@pytest.mark.parametrize("number", [1, 103, 160, 203, 701, 705, 803])
def test_a_model_cut_anywhere_gives_what_is_there_and_no_crash(number: int) -> None:
    model = definition(number)
    assert model is not None
    data = build(number, random.Random(number)).get_mb()
    whole = decode_model(model, data)
    for size in range(len(data)):
        try:
            part = decode_model(model, data[:size])
        except DeviceError:
            continue
        for path, value in part.items():
            assert value is None or value == whole[path]
