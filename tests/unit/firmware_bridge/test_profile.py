"""A profile that cannot be right is refused when it is loaded, with file, entry and key named."""

from __future__ import annotations

import struct

import pytest

from firmware_bridge.errors import PermanentDeviceError
from firmware_bridge.poll_plan import Block
from firmware_bridge.profile import known_profiles, load_profile, parse_profile
from models.contract.record import Quality

GOOD = """
name = "a-meter"
manufacturer = "Somebody"
model = "One"
status = "documented"
sources = ["manual"]
[requests]
function = 4
longest = 80
bridge = 0
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
"""


def test_all_profiles_of_the_package_load() -> None:
    assert "eastron-sdm630" in known_profiles()
    for name in known_profiles():
        profile = load_profile(name)
        assert profile.name == name
        assert profile.blocks


def test_sdm630_is_read_in_one_request() -> None:
    assert load_profile("eastron-sdm630").blocks == (Block(42, 34),)


def test_values_are_scaled_and_brought_to_base_units() -> None:
    profile = parse_profile(GOOD, "x.toml")
    words = struct.unpack(">2H", struct.pack(">f", -1.5))
    readings = profile.decode({Block(10, 1): [4998], Block(20, 2): words})
    assert readings["frequency"].value == pytest.approx(49.98)
    assert readings["grid_power"].value == -1500.0


def test_float_that_is_no_number_is_missing() -> None:
    profile = parse_profile(GOOD, "x.toml")
    readings = profile.decode({Block(10, 1): [5000], Block(20, 2): [0x7FC0, 0]})
    assert readings["grid_power"].quality is Quality.MISSING


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "a-meter"', "", "x.toml: name: a text is needed"),
        ('status = "documented"', 'status = "sure"', "x.toml: status: 'sure' is unknown"),
        ("function = 4", "function = 6", "x.toml: requests: function: 6 is not in 3..4"),
        ("function = 4", "function = 3.5", "x.toml: requests: function: not a whole number"),
        ("longest = 80", "longest = 126", "x.toml: requests: longest: 126 is not in 1..125"),
        ("longest = 80", "longest = 1", "x.toml: requests.longest"),
        ("address = 20", "address = 70000", r"x.toml: registers\[1\]: address"),
        ("address = 20", "adress = 20", r"x.toml: registers\[1\]: address: a whole number is nee"),
        ("address = 20", "address = 9", "frequency and grid_power|grid_power and frequency"),
        ('type = "float32"', 'type = "float23"', r"registers\[1\]: type: 'float23' is unknown"),
        ('unit = "kW"', 'unit = "kWh"', r"registers\[1\]: unit: kWh is no W"),
        ('unit = "kW"', 'unit = "PS"', r"registers\[1\]: quantity: unknown unit 'PS'"),
        ('quantity = "grid_power"', 'quantity = "power"', r"registers\[1\]: quantity: unknown"),
        ('quantity = "grid_power"', 'quantity = "frequency"', "frequency"),
        ("scale = 0.01", "scale = nan", "scale"),
        ("scale = 0.01", "scale = true", "scale: not a number: True"),
        ("bridge = 0", "bridge = 0\nmax_gap = 3", "x.toml: requests: max_gap: unknown key"),
        ("[requests]", "[requests", "x.toml: .*line 7"),
        ("lowest = 40", 'lowest = "low"', "x.toml: identity: lowest: not a number"),
    ],
)
def test_wrong_profile_is_refused_with_its_place(old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(PermanentDeviceError, match=message):
        parse_profile(GOOD.replace(old, new), "x.toml")


def test_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(PermanentDeviceError, match=r"known: sunspec, .*eastron-sdm630"):
        load_profile("../etc/passwd")
