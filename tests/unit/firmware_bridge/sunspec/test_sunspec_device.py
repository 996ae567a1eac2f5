"""A device's chain is walked whole or refused; values and factors of one model belong together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import pytest

from firmware_bridge.errors import (
    DeviceError,
    Fault,
    PermanentDeviceError,
    TransientDeviceError,
)
from firmware_bridge.profile.schema import SunSpecOptions
from firmware_bridge.sunspec.definitions import Definition, definition
from firmware_bridge.sunspec.fetch import Fetcher
from firmware_bridge.sunspec.meaning import ModelImage, choose, decode_device
from firmware_bridge.sunspec.points import Value, build_map, encode_model
from firmware_bridge.sunspec.walk import Found, find_base, walk
from models.contract.record import Quality

BASE = 40_000


def known(number: int) -> Definition:
    found = definition(number)
    assert found is not None
    return found


class Device:
    """Registers behind a reader, as a port would give them; ``on_read`` may change them."""

    def __init__(self, image: bytes, base: int = BASE) -> None:
        self.image, self.base = image, base
        self.reads: list[tuple[int, int]] = []

    async def read(self, address: int, count: int) -> bytes:
        self.reads.append((address, count))
        assert 1 <= count <= 125
        self.before_read()
        start = 2 * (address - self.base)
        if start < 0 or start + 2 * count > len(self.image):
            raise PermanentDeviceError(
                "illegal data address", fault=Fault.EXCEPTION, exception_code=2
            )
        return self.image[start : start + 2 * count]

    def before_read(self) -> None:
        """Nothing changes."""


INVERTER: dict[str, Value] = {
    "A": 12.5, "A_SF": -2.0, "AphA": 4.1, "AphB": 4.2, "AphC": 4.2, "PhVphA": 230.1,
    "PhVphB": 229.9, "PhVphC": 231.5, "V_SF": -1.0, "W": 2870.0, "W_SF": 0.0, "Hz": 49.98,
    "Hz_SF": -2.0, "VA": 2880.0, "VA_SF": 0.0, "VAr": 40.0, "VAr_SF": 0.0, "PF": 99.6,
    "PF_SF": -1.0, "WH": 56_985_670.0, "WH_SF": 0.0, "DCV": 620.5, "DCV_SF": -1.0, "DCW": 2990.0,
    "DCW_SF": 0.0, "TmpCab": 41.2, "Tmp_SF": -1.0, "St": 4.0,
}  # fmt: skip
METER: dict[str, Value] = {
    "A": 3.0, "A_SF": -1.0, "PhV": 230.5, "V_SF": -1.0, "Hz": 50.0, "Hz_SF": -1.0, "W": -1500.0,
    "WphA": -500.0, "W_SF": 0.0, "TotWhImp": 1000.0, "TotWhExp": 2000.0, "TotWh_SF": 0.0,
}  # fmt: skip


def model(number: int, values: Mapping[str, Value], **instances: int) -> bytes:
    return encode_model(known(number), values, instances=instances)


def whole_site() -> bytes:
    """An inverter with two inputs, a battery and two meters behind one unit address."""
    mppt: dict[str, Value] = {"DCA_SF": -2.0, "DCV_SF": -1.0, "DCW_SF": 0.0, "N": 2.0}
    for n, watts in ((1, 1500.0), (2, 1490.0)):
        mppt |= {f"module[{n}].DCA": 2.4, f"module[{n}].DCV": 620.0, f"module[{n}].DCW": watts}
    storage: dict[str, Value] = {"ChaState": 55.5, "ChaState_SF": -1.0}
    return build_map(
        [
            model(1, {"Mn": "Maker", "Md": "Inverter", "SN": "1", "DA": 1.0}),
            model(103, INVERTER),
            b"\xfd\xe8\x00\x03" + b"\x01\x02" * 3,  # model 65000: nobody knows it
            model(160, mppt, module=2),
            model(124, storage),
            model(1, {"Mn": "Maker", "Md": "Meter", "DA": 2.0}),
            model(203, METER),
            model(1, {"Mn": "Maker", "Md": "Other meter", "DA": 3.0}),
            model(203, METER | {"W": 7.0}),
        ]
    )


def found_in(device: Device) -> list[Found]:
    async def go() -> list[Found]:
        return await walk(device.read, await find_base(device.read))

    return asyncio.run(go())


def values_of(device: Device, options: SunSpecOptions) -> dict[str, float | None]:
    found = found_in(device)
    chosen = [found[i] for i in choose([(f.number, f.device) for f in found], options)]

    async def go() -> list[bytes]:
        return await Fetcher(device.read).fetch([(f, known(f.number)) for f in chosen])

    images = asyncio.run(go())
    models = [ModelImage(known(f.number), i) for f, i in zip(chosen, images, strict=True)]
    decoded = decode_device(models, options)
    return {name: reading.value for name, reading in decoded.readings.items()}


def test_a_chain_is_walked_with_its_devices_and_unknown_models() -> None:
    found = found_in(Device(whole_site()))
    assert [(f.number, f.device) for f in found] == [
        (1, 0), (103, 0), (65000, 0), (160, 0), (124, 0), (1, 1), (203, 1), (1, 2), (203, 2),
    ]  # fmt: skip


@pytest.mark.parametrize("base", [40_000, 0, 50_000])
def test_the_map_is_found_at_every_base(base: int) -> None:
    assert found_in(Device(whole_site(), base))[1].number == 103


def test_inverter_battery_inputs_and_meter_are_read_together() -> None:
    values = values_of(Device(whole_site()), SunSpecOptions())
    assert values["ac_power"] == 2870.0
    assert values["ac_voltage_l3"] == 231.5
    assert values["ac_voltage"] == pytest.approx(230.5)
    assert values["power_factor"] == pytest.approx(0.996)
    assert (values["dc_power_1"], values["dc_power_2"]) == (1500.0, 1490.0)
    assert values["battery_soc"] == 55.5
    assert values["grid_power"] == -1500.0  # of the first meter
    assert values["ac_current"] == 12.5  # the inverter's, not the meter's
    assert values["ac_energy"] == 56_985_670.0


def test_a_meter_alone_by_its_number_and_with_its_sign_turned() -> None:
    second = values_of(Device(whole_site()), SunSpecOptions(role="meter", instance=2))
    assert second["grid_power"] == 7.0
    assert second["ac_current"] == 3.0
    turned = values_of(Device(whole_site()), SunSpecOptions(role="meter", export_positive=True))
    assert turned["grid_power"] == 1500.0
    assert turned["grid_power_l1"] == 500.0
    assert turned["grid_import_energy"] == 1000.0
    assert not choose([(1, 0), (103, 0)], SunSpecOptions(role="meter"))


def test_neighbouring_models_come_in_one_request() -> None:
    device = Device(whole_site())
    values_of(device, SunSpecOptions(role="inverter"))
    blocks = [read for read in device.reads if read[1] > 2]
    assert len(blocks) == 2  # 103, what follows it, and 160; the storage model


def test_a_model_that_moved_is_refused() -> None:
    device = Device(whole_site())
    found = found_in(device)
    device.image = build_map([model(1, {}), model(124, {}), model(103, INVERTER)])
    with pytest.raises(TransientDeviceError, match="model 103 is not at"):
        asyncio.run(Fetcher(device.read).fetch([(found[1], known(103))]))


# -- models longer than a request

DER: dict[str, Value] = {
    "W": 5000.0, "W_SF": 0.0, "Hz": 50.01, "Hz_SF": -2.0, "LNV": 231.0, "V_SF": -1.0,
    "TotWhInj": 123_456_000.0, "TotWh_SF": 0.0, "InvSt": 3.0, "A": 21.7, "A_SF": -1.0,
    "WL1": 1600.0, "WL2": 1700.0, "WL3": 1700.0, "VL1": 231.0, "MnAlrmInfo": "none",
}  # fmt: skip


def long_device() -> tuple[Device, Found]:
    device = Device(build_map([model(1, {}), model(701, DER)]))
    found = found_in(device)[1]
    assert found.size > 125
    return device, found


def test_a_long_model_is_read_in_pieces_between_its_factors() -> None:
    device, found = long_device()
    fetcher = Fetcher(device.read)
    (image,) = asyncio.run(fetcher.fetch([(found, known(701))]))
    values = decode_device([ModelImage(known(701), image)]).readings
    assert values["ac_power"].value == 5000.0
    assert values["ac_energy"].value == 123_456_000.0
    assert values["inverter_state"].value == 4.0  # running, in the words of the older models
    assert values["ac_power_l3"].value == 1700.0
    device.reads.clear()
    asyncio.run(fetcher.fetch([(found, known(701))]))
    assert len(device.reads) == 4  # factors, two pieces, factors again


@pytest.mark.parametrize("change_at", [1, 2, 3])
def test_values_are_thrown_away_when_a_factor_changes_while_they_are_read(change_at: int) -> None:
    device, found = long_device()
    fetcher = Fetcher(device.read)
    asyncio.run(fetcher.fetch([(found, known(701))]))
    reads = 0

    def before_read() -> None:
        nonlocal reads
        if reads == change_at:
            device.image = build_map([model(1, {}), model(701, DER | {"W": 500.0, "W_SF": -1.0})])
        reads += 1

    device.before_read = before_read  # type: ignore[method-assign]
    with pytest.raises(TransientDeviceError, match="scale factors of model 701 changed"):
        asyncio.run(fetcher.fetch([(found, known(701))]))
    (image,) = asyncio.run(fetcher.fetch([(found, known(701))]))  # settled: believed again
    assert decode_device([ModelImage(known(701), image)]).readings["ac_power"].value == 500.0


def test_no_number_of_a_long_model_is_cut_by_a_request() -> None:
    device = Device(build_map([model(1, {}), model(213, {"W": 1.5, "TotWhImp": 7.0})]))
    found = found_in(device)[1]
    fetcher = Fetcher(device.read)
    asyncio.run(fetcher.fetch([(found, known(213))]))
    device.reads.clear()
    (image,) = asyncio.run(fetcher.fetch([(found, known(213))]))
    places = [address - found.address for address, _ in device.reads]
    assert places == [0, 124]  # floats take two registers each, behind a header of two
    assert decode_device([ModelImage(known(213), image)]).readings["grid_power"].value == 1.5


# -- what a value is worth


def decoded_103(change: dict[str, Value], *, daylight: bool | None = None) -> dict[str, Quality]:
    image = model(103, INVERTER | change)
    decoded = decode_device([ModelImage(known(103), image)], daylight=daylight)
    for name, reading in decoded.readings.items():
        assert (reading.quality is Quality.GOOD) == (name not in decoded.reasons)
    return {name: reading.quality for name, reading in decoded.readings.items()}


def test_a_factor_out_of_range_or_absent_leaves_no_value() -> None:
    for factor in (11.0, -11.0, None):
        image = bytearray(model(103, INVERTER))
        raw = -0x8000 if factor is None else int(factor)
        image[2 * 17 : 2 * 18] = raw.to_bytes(2, "big", signed=True)  # Hz_SF
        image[2 * 15 : 2 * 16] = raw.to_bytes(2, "big", signed=True)  # W_SF
        readings = decode_device([ModelImage(known(103), bytes(image))]).readings
        assert readings["ac_power"].quality is Quality.MISSING


def test_an_inverter_that_sleeps_has_values_asleep_at_night_and_missing_by_day() -> None:
    asleep: dict[str, Value] = {"DCV": None, "DCW": None, "St": 2.0, "W": 0.0, "VA": 0.0}
    assert decoded_103(asleep)["dc_power"] is Quality.ASLEEP
    assert decoded_103(asleep, daylight=False)["dc_power"] is Quality.ASLEEP
    assert decoded_103(asleep, daylight=True)["dc_power"] is Quality.MISSING


def test_a_plain_power_factor_where_percent_is_due_is_suspect() -> None:
    assert decoded_103({"PF": 99.6})["power_factor"] is Quality.GOOD
    assert decoded_103({"PF": 0.9})["power_factor"] is Quality.SUSPECT


def test_a_new_counter_at_zero_is_not_there() -> None:
    assert decoded_103({"WH": 0.0})["ac_energy"] is Quality.MISSING


# -- damaged chains


def test_a_device_without_a_marker_is_refused_for_good() -> None:
    with pytest.raises(PermanentDeviceError, match="no SunSpec map"):
        found_in(Device(b"\0" * 400))


@pytest.mark.parametrize("cut", range(4, 200, 7))
def test_a_chain_cut_short_ends_or_is_refused_and_never_crashes(cut: int) -> None:
    device = Device(whole_site()[:cut])
    try:
        found = found_in(device)
    except DeviceError:
        return
    whole = found_in(Device(whole_site()))
    assert found == whole[: len(found)]


def test_a_chain_that_makes_no_sense_is_refused_with_its_place() -> None:
    image = build_map([model(1, {}), b"\x00\x67\xff\x00" + bytes(100)])
    with pytest.raises(TransientDeviceError, match="makes no sense at 40070"):
        found_in(Device(image + bytes(400)))
    endless = b"SunS" + b"\x00\x7c\x00\x00" * 500
    with pytest.raises(TransientDeviceError, match="has no end"):
        found_in(Device(endless))


def test_random_registers_never_raise_anything_but_device_errors() -> None:
    chance = random.Random(5)
    for _ in range(400):
        junk = bytes(chance.choice((0, 1, 103, 160, 255)) for _ in range(600))
        device = Device(b"SunS" + junk)
        try:
            found = found_in(device)
            for one in found:
                usable = definition(one.number)
                if usable is not None:
                    images = asyncio.run(Fetcher(device.read).fetch([(one, usable)]))
                    decode_device([ModelImage(usable, images[0])], details=True)
        except DeviceError:
            continue
