"""Values that others stand guard over, parts that a device does not have, and what is computed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from firmware_bridge.drivers.registers import RegisterDriver
from firmware_bridge.errors import Fault, PermanentDeviceError
from firmware_bridge.poll_plan import Block
from firmware_bridge.profile import Profile, parse_profile
from firmware_bridge.registers import decode_clock, decode_text
from firmware_bridge.values import Decoded

TEXT = """
name = "x"
manufacturer = "X"
model = "X"
kind = "hybrid"
protocol = "modbus"
[[sources]]
name = "test"
status = "documented"
[requests]
function = 3
bridge = 20
[not_there]
uint16 = [0xFFFF]
[identity]
quantity = "frequency"
lowest = 45.0
highest = 65.0
[[registers]]
quantity = "frequency"
address = 0
type = "uint16"
scale = 0.01
[[registers]]
detail = "meter_answers"
address = 1
type = "uint16"
codes = { 1 = 1 }
[[registers]]
quantity = "grid_import_energy"
address = 2
type = "uint16"
needs = "meter_answers"
[[registers]]
detail = "size"
address = 3
type = "int16"
[[registers]]
detail = "sign"
address = 4
type = "uint16"
codes = { 2 = 1, 3 = -1 }
[[registers]]
detail = "one"
address = 5
type = "uint16"
[[registers]]
detail = "other"
address = 6
type = "uint16"
[[registers]]
detail = "clock"
address = 7
type = "clock"
[[registers]]
quantity = "battery_soc"
address = 10
type = "uint16"
part = "battery"
[[derived]]
detail = "magnitude_of_size"
rule = "magnitude"
of = ["size"]
[[derived]]
quantity = "battery_power"
rule = "product"
of = ["magnitude_of_size", "sign"]
[[derived]]
quantity = "dc_power"
rule = "total"
of = ["one", "other"]
[[derived]]
quantity = "load_power"
rule = "first"
of = ["one", "other"]
"""
PROFILE = parse_profile(TEXT, "x.toml")
GOOD = {0: 5000, 1: 1, 2: 700, 3: 40, 4: 2, 5: 10, 6: 20, 7: 0x1508, 8: 0x160B, 9: 0x0B0C, 10: 68}


def decode(changes: Mapping[int, int], profile: Profile = PROFILE) -> Decoded:
    numbers = {**GOOD, **changes}
    data = b"".join(numbers[at].to_bytes(2, "big") for at in range(11))
    return profile.decode_recording([(Block(3, 0, 11), data)])


def value(decoded: Decoded, name: str) -> object:
    both = {**decoded.readings, **decoded.details}
    return both[name].value


def test_a_value_is_withheld_where_its_guard_has_none() -> None:
    assert value(decode({}), "grid_import_energy") == 700
    withheld = decode({1: 0})
    assert value(withheld, "grid_import_energy") is None
    assert "meter_answers" in withheld.reasons["grid_import_energy"]


def test_a_value_whose_guard_was_not_read_is_believed() -> None:
    decoded = PROFILE.decode_recording([(Block(3, 2, 1), b"\x02\xbc")])
    assert value(decoded, "grid_import_energy") == 700


@pytest.mark.parametrize(
    ("size", "sign", "power"), [(40, 2, 40), (40, 3, -40), (0xFFD8, 3, -40), (40, 0, None)]
)
def test_a_sign_that_comes_in_another_register(size: int, sign: int, power: int | None) -> None:
    assert value(decode({3: size, 4: sign}), "battery_power") == power


def test_a_total_is_of_those_that_are_there_and_of_none_is_none() -> None:
    assert value(decode({}), "dc_power") == 30
    assert value(decode({5: 0xFFFF}), "dc_power") == 20
    assert value(decode({5: 0xFFFF, 6: 0xFFFF}), "dc_power") is None


def test_the_first_that_is_there_is_taken() -> None:
    assert value(decode({}), "load_power") == 10
    assert value(decode({5: 0xFFFF}), "load_power") == 20


def test_a_clock_is_a_time_or_nothing() -> None:
    assert value(decode({}), "clock") == "2021-08-22 11:11:12"
    assert value(decode({7: 0x150D}), "clock") is None
    assert decode_clock(b"\xff" * 6) is None


def test_text_of_two_bytes_a_character() -> None:
    assert decode_text("04062-".encode("utf-16-be")) == "04062-"
    assert decode_text(b"GW10K-ET\0\xff") == "GW10K-ET"
    assert decode_text(b"\0" * 8) == ""


def test_a_guard_is_read_with_what_it_guards() -> None:
    blocks = PROFILE.poll_plan(frozenset({""})).blocks
    assert any(block.holds(Block(3, 1, 1)) for block in blocks)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('needs = "meter_answers"', 'needs = "nothing"', "nothing is not read"),
        ('rule = "magnitude"\nof = ["size"]', 'rule = "magnitude"\nof = ["one", "other"]', "one"),
        ('detail = "clock"', 'quantity = "ac_power"', "a clock as a detail"),
    ],
)
def test_wrong_guards_are_refused(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(PermanentDeviceError, match=message):
        parse_profile(TEXT.replace(old, new), "x.toml")


def run_driver(code: int) -> tuple[list[Decoded], list[Block]]:
    asked: list[Block] = []

    async def read(block: Block) -> bytes:
        asked.append(block)
        if block.address <= 10 < block.end:
            raise PermanentDeviceError("no", fault=Fault.EXCEPTION, exception_code=code)
        return b"".join(GOOD[at].to_bytes(2, "big") for at in range(block.address, block.end))

    async def release() -> None:
        return None

    async def run() -> list[Decoded]:
        driver = RegisterDriver("d", PROFILE, read, release)
        return [await driver.read(1_000), await driver.read(11_000)]

    return asyncio.run(run()), asked


def test_a_part_that_the_device_refuses_is_left_out_and_not_asked_for_again() -> None:
    decoded, asked = run_driver(2)
    assert [value(one, "grid_import_energy") for one in decoded] == [700, 700]
    assert all("battery_soc" not in one.readings for one in decoded)
    assert [block.address for block in asked].count(10) == 1
