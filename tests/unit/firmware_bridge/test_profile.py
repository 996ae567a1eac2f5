"""A profile that cannot be right is refused when it is loaded, with file, line and key named."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest

from firmware_bridge.errors import PermanentDeviceError
from firmware_bridge.poll_plan import Block
from firmware_bridge.profile import Profile, known_profiles, load_profile, parse_profile
from firmware_bridge.registers import REGISTER_TYPES
from firmware_bridge.simulator.map_device import MapDevice
from models.contract.record import Quality

GOOD = """name = "a-meter"
manufacturer = "Somebody"
model = "One"
kind = "meter"
protocol = "modbus"
[[sources]]
name = "manual"
status = "documented"
[requests]
function = 4
longest = 80
bridge = 0
[groups]
slow = 300
[not_there]
uint16 = [0xFFFF]
[identity]
quantity = "frequency"
lowest = 40
highest = 70
[[registers]]
quantity = "frequency"
address = 10
type = "uint16"
unit = "Hz"
scale = 0.01
[[registers]]
quantity = "grid_power"
address = 20
type = "float32"
unit = "kW"
[[registers]]
quantity = "grid_import_energy"
address = 30
type = "uint32"
unit = "kWh"
scale = 0.1
group = "slow"
[[registers]]
quantity = "inverter_state"
address = 40
type = "uint16"
[registers.codes]
0x0 = 1
0x200 = 4
[[registers]]
detail = "name_of_meter"
address = 100
type = "text"
count = 4
"""
FAST = Block(4, 10, 1)


def decode(profile: Profile, data: dict[int, bytes]) -> dict[str, float | None]:
    """Values from register data by address."""
    blocks = [(Block(4, at, len(raw) // 2), raw) for at, raw in data.items()]
    decoded = profile.decode_recording(blocks)
    return {name: reading.value for name, reading in decoded.readings.items()}


def test_all_profiles_of_the_package_load_and_plan() -> None:
    assert len(known_profiles()) >= 30
    for name in known_profiles():
        profile = load_profile(name)
        assert profile.name == name
        if profile.has_registers:
            assert profile.poll_plan(frozenset({""})).blocks


@pytest.mark.parametrize("name", [n for n in known_profiles() if load_profile(n).has_registers])
def test_what_a_profile_encodes_it_decodes(name: str) -> None:
    """Every register comes back through type, order, scale, unit and codes."""
    profile = load_profile(name)
    sent = _plausible_values(profile)
    device = MapDevice(profile, lambda: sent)
    replies = {}
    for block in profile.whole_plan.blocks:
        data, known = device.image(block.function, block.address, block.count)
        assert any(known)
        replies[block] = data
    decoded = profile.whole_plan.decode(replies)
    assert decoded.readings
    checked = 0
    for register in profile.file.registers:
        reading = decoded.readings.get(register.quantity)
        if reading is None or register.name not in sent:
            continue
        assert reading.value is not None, f"{register.name}: {decoded.reasons[register.name]}"
        kind = REGISTER_TYPES[register.type]
        step = abs(register.scale) * 1000 if kind.is_integer else abs(sent[register.name]) * 1e-6
        assert reading.value == pytest.approx(sent[register.name], abs=max(step, 1e-6))
        checked += 1
    assert checked


def _plausible_values(profile: Profile) -> dict[str, float]:
    values = {}
    for register in profile.file.registers:
        if not register.quantity:
            continue
        if register.codes:
            values[register.quantity] = next(iter(register.codes.values()))
        elif register.quantity == "frequency":
            values[register.quantity] = 50.0
        elif register.quantity.startswith("temp"):
            values[register.quantity] = 21.0
        elif register.quantity == "power_factor":
            values[register.quantity] = 1.0
        else:
            lowest = register.lowest if register.lowest is not None else 0.0
            values[register.quantity] = max(60.0, lowest)
    return values


def test_slow_values_are_asked_for_only_when_due() -> None:
    profile = parse_profile(GOOD, "x.toml")
    fast = profile.poll_plan(frozenset({""})).blocks
    slow = profile.poll_plan(frozenset({"", "slow"})).blocks
    assert Block(4, 30, 2) in slow
    assert Block(4, 30, 2) not in fast
    assert Block(4, 100, 4) not in slow  # a detail: for people only
    assert Block(4, 100, 4) in profile.whole_plan.blocks


def test_values_are_scaled_and_brought_to_base_units() -> None:
    profile = parse_profile(GOOD, "x.toml")
    values = decode(profile, {10: struct.pack(">H", 4998), 20: struct.pack(">f", -1.5)})
    assert values["frequency"] == 49.98  # to the last digit
    assert values["grid_power"] == -1500.0
    energy = decode(profile, {30: struct.pack(">I", 123_457)})
    assert energy["grid_import_energy"] == 12_345_700.0


@pytest.mark.parametrize("order", ["ABCD", "CDAB", "BADC", "DCBA"])
def test_words_and_bytes_in_any_order(order: str) -> None:
    text = GOOD.replace('type = "float32"', f'type = "float32"\norder = "{order}"')
    profile = parse_profile(text, "x.toml")
    raw = struct.pack(">f", 12.25)
    swapped = {"ABCD": raw, "CDAB": raw[2:] + raw[:2], "BADC": raw[1::-1] + raw[:1:-1]}
    swapped["DCBA"] = raw[::-1]
    assert decode(profile, {20: swapped[order]})["grid_power"] == 12_250.0
    # the same when other values lie in the same block
    block = struct.pack(">H", 5000) + b"\0" * 18 + swapped[order]
    values = decode(profile, {10: block})
    assert values["grid_power"] == 12_250.0
    assert values["frequency"] == 50.0


def test_sentinels_and_floats_that_are_no_numbers_are_missing_with_a_reason() -> None:
    profile = parse_profile(GOOD, "x.toml")
    blocks = [(FAST, b"\xff\xff"), (Block(4, 20, 2), struct.pack(">f", math.nan))]
    decoded = profile.decode_recording(blocks, raw=True)
    for name in ("frequency", "grid_power"):
        assert decoded.readings[name].quality is Quality.MISSING
        assert "no value" in decoded.reasons[name]
    assert decoded.raw["frequency"] == "ffff"


def test_the_largest_number_of_a_type_is_suspect_where_no_sentinel_is_known() -> None:
    profile = parse_profile(GOOD.replace("uint16 = [0xFFFF]", ""), "x.toml")
    decoded = profile.decode_recording([(Block(4, 30, 2), b"\xff" * 4)])
    assert decoded.readings["grid_import_energy"].quality is Quality.SUSPECT
    assert decoded.readings["grid_import_energy"].value == pytest.approx((2**32 - 1) * 100)
    assert "largest" in decoded.reasons["grid_import_energy"]


def test_codes_give_states_and_unknown_codes_nothing() -> None:
    profile = parse_profile(GOOD, "x.toml")
    assert decode(profile, {40: b"\x02\x00"})["inverter_state"] == 4.0
    decoded = profile.decode_recording([(Block(4, 40, 1), b"\x02\x01")])
    assert decoded.readings["inverter_state"].quality is Quality.MISSING
    assert decoded.reasons["inverter_state"] == "code 0x201 has no known meaning"


DERIVED = """
[[registers]]
detail = "bought"
address = 50
type = "uint16"
not_there = [0xFFFE]
[[registers]]
detail = "sold"
address = 51
type = "uint16"
[[derived]]
quantity = "load_power"
rule = "difference"
of = ["bought", "sold"]
[[derived]]
detail = "both"
rule = "sum"
of = ["bought", "load_power"]
"""


def test_derived_values_follow_from_their_parts_and_are_missing_without_them() -> None:
    profile = parse_profile(GOOD + DERIVED, "x.toml")
    decoded = profile.decode_recording([(Block(4, 50, 2), struct.pack(">2H", 100, 350))])
    assert decoded.readings["load_power"].value == -250.0
    assert decoded.details["both"].value == -150.0
    decoded = profile.decode_recording([(Block(4, 50, 2), struct.pack(">2H", 0xFFFE, 350))])
    assert decoded.readings["load_power"].quality is Quality.MISSING
    assert decoded.reasons["load_power"] == "bought is not there"
    # what a recorded quantity is computed from is polled, though it is a detail itself
    polled = profile.poll_plan(frozenset({""})).blocks
    assert Block(4, 50, 2) in polled


def test_a_reply_that_ends_early_leaves_the_values_beyond_it_missing() -> None:
    profile = parse_profile(GOOD, "x.toml")
    plan = profile.whole_plan
    decoded = plan.decode(dict.fromkeys(plan.blocks, b""))
    assert {r.quality for r in decoded.readings.values()} == {Quality.MISSING}
    assert decoded.reasons["frequency"] == "the reply ends before it"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "a-meter"', "", "x.toml: name: is required"),
        ('name = "a-meter"', 'name = "A_Meter"', "x.toml:1: name: lower-case words"),
        ('kind = "meter"', 'kind = "toaster"', "x.toml:4: kind: 'toaster' is unknown"),
        ('protocol = "modbus"', 'protocol = "can"', "x.toml:5: protocol: 'can' is unknown"),
        ('status = "documented"', 'status = "sure"', r"x.toml:8: sources\[0\].status: 'sure'"),
        ('status = "documented"', 'status = "verified"', r"sources\[0\].covers: a verified"),
        ("function = 4", "function = 6", "x.toml:10: requests.function: 3"),
        ("function = 4", "function = 3.5", "x.toml:10: requests.function: must be a whole number"),
        ("longest = 80", "longest = 126", "x.toml:11: requests.longest: 126 is not in 1..125"),
        ("longest = 80", "longest = 1", r"x.toml:\d+: registers\[1\]: takes 2 registers"),
        ("address = 20", "address = 70000", r"x.toml:29: registers\[1\].address: 70000"),
        ("address = 20", "adress = 20", r"x.toml:29: registers\[1\].adress: unknown key"),
        ("address = 20", "address = 9", r"x.toml:\d+: registers\[0\].address: frequency overlaps"),
        ('type = "float32"', 'type = "float23"', r"x.toml:30: registers\[1\].type: 'float23'"),
        ('type = "float32"', 'type = "uint8"', r"registers\[1\].type: uint8 is for byte"),
        ('unit = "kW"', 'unit = "kWh"', r"x.toml:3\d: registers\[1\].unit: kWh is no W"),
        ('unit = "kW"', 'unit = "PS"', r"registers\[1\].unit: unknown unit 'PS'"),
        ('quantity = "grid_power"', 'quantity = "power"', r"registers\[1\].quantity: 'power' is"),
        (
            'quantity = "grid_power"\naddress = 20\ntype = "float32"\nunit = "kW"',
            'quantity = "frequency"\naddress = 20\ntype = "float32"',
            "frequency stands there twice",
        ),
        ('quantity = "grid_power"', 'detail = "grid_power"', "grid_power is a quantity of the"),
        ('quantity = "grid_power"', 'detail = "Grid Power"', "lower-case words joined by under"),
        ("scale = 0.01", "scale = nan", "scale: must be a finite number"),
        ("scale = 0.01", "scale = 0", "scale: must not be 0"),
        ("scale = 0.01", "scale = true", "scale: must be a number"),
        ('group = "slow"', 'group = "lazy"', r"registers\[2\].group: 'lazy' is not in \[groups\]"),
        ("slow = 300", "slow = 0", "groups.slow: 0"),
        ("uint16 = [0xFFFF]", "uint17 = [1]", "not_there.uint17"),
        ("0x200 = 4", "zwo = 4", r"registers\[3\].codes.zwo: not a whole number"),
        ("bridge = 0", "bridge = 0\nmax_gap = 3", "x.toml:13: requests.max_gap: unknown key"),
        ("bridge = 0", "bridge = 0\nbarriers = [21]", "lies across the barrier 21"),
        ("[requests]", "[requests", "x.toml:9: not valid TOML"),
        ("lowest = 40", 'lowest = "low"', "identity.lowest: must be a number"),
        ("highest = 70", "highest = 30", "identity.highest: must be above lowest"),
        ('quantity = "frequency"\nlowest', 'quantity = "load_power"\nlowest', "is not read"),
        ("count = 4", "count = 0", r"registers\[4\].count: 0 is not in"),
    ],
)
def test_wrong_profile_is_refused_with_its_place(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(PermanentDeviceError, match=message):
        parse_profile(GOOD.replace(old, new), "x.toml")


def test_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(PermanentDeviceError, match=r"known: .*eastron-sdm630"):
        load_profile("../etc/passwd")


def test_an_owners_own_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    with pytest.raises(PermanentDeviceError, match=r"own\.toml cannot be read"):
        load_profile(str(own))
    own.write_text(GOOD)
    load_profile.cache_clear()
    assert load_profile(str(own)).name == "a-meter"
