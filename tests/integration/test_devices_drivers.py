"""Drivers against a simulated site, end to end: what is simulated is what is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from firmware_bridge import (
    Buses,
    DeviceSettings,
    Driver,
    PermanentDeviceError,
    TransientDeviceError,
    open_driver,
)
from firmware_bridge.profile import load_profile
from firmware_bridge.simulator import (
    FaultKind,
    Faults,
    ModbusServer,
    PowerSeries,
    SimulatedSite,
)
from firmware_bridge.simulator.inverter import cut_out
from firmware_bridge.simulator.terminal import open_pty_pair
from models.contract.record import Quality
from models.contract.timestamps import HOUR_MS
from tests.device_lines import PATIENT_S, FixedClock, TellingDevice

T0 = 1_717_200_000_000
# an hour each: night, up, noon, down, evening
POWERS = {"ac_power": [0, 0, 4_000, 6_000, 50], "load_power": [300, 300, 500, 2_000, 900]}


class Site:
    """A simulated inverter and a meter, each with faults of its own."""

    def __init__(
        self, clock: FixedClock, series: PowerSeries | None = None, phases: int = 3
    ) -> None:
        self.series = series or PowerSeries([T0 + i * HOUR_MS for i in range(5)], POWERS)
        site = SimulatedSite(self.series, clock, phases=phases)
        self.inverter = site.device(load_profile("sunspec"))
        self.meter = site.device(load_profile("eastron-sdm630"))
        self.inverter_faults, self.meter_faults = Faults(), Faults()


def make_site(clock: FixedClock) -> Site:
    return Site(clock)


@asynccontextmanager
async def inverter(site: Site, **settings: object) -> AsyncIterator[Driver]:
    """A driver on the site's inverter."""
    server = ModbusServer({1: site.inverter}, site.inverter_faults)
    async with server.serve_tcp("127.0.0.1", 0) as port:
        driver = open_driver(
            DeviceSettings(
                "inverter-1", "modbus-tcp", "sunspec", host="127.0.0.1", port=port,
                timeout_s=float(str(settings.get("timeout_s", PATIENT_S))),
            ),
            Buses(),
        )  # fmt: skip
        try:
            yield driver
        finally:
            await driver.close()


@asynccontextmanager
async def meter(site: Site, timeout_s: float = PATIENT_S) -> AsyncIterator[Driver]:
    """A driver on the site's meter."""
    server = ModbusServer({1: site.meter}, site.meter_faults)
    with open_pty_pair() as pair:
        async with server.serve_serial(pair.descriptor):
            driver = open_driver(
                DeviceSettings(
                    "meter-1", "modbus-rtu", "eastron-sdm630", serial_port=pair.device_path,
                    frame_gap_ms=0, timeout_s=timeout_s,
                ),
                Buses(),
            )  # fmt: skip
            try:
                yield driver
            finally:
                await driver.close()


def test_inverter_is_identified_and_read() -> None:
    clock = FixedClock(T0 + 2 * HOUR_MS)
    site = make_site(clock)

    async def scenario() -> None:
        async with inverter(site) as driver:
            identity = await driver.identify()
            assert identity.profile == "sunspec/103"
            assert identity.manufacturer == "Solar Sharing"
            assert identity.serial_number == "SIM-0001"
            record = await driver.poll(clock.now())
            assert (record.device, record.measured_at) == ("inverter-1", T0 + 2 * HOUR_MS)
            assert record.value("ac_power") == 4_000
            assert record.value("dc_power") == pytest.approx(4_000 / 0.96, abs=1)
            assert record.value("ac_energy") == 1_000_000 + 2_000
            assert record.value("frequency") == 50
            assert record.value("power_factor") == 1
            assert record.value("inverter_state") == 4
            volts, amps = record.value("ac_voltage"), record.value("ac_current")
            assert volts is not None
            assert amps is not None
            assert volts * amps == pytest.approx(4_000, rel=0.01)
            assert all(r.quality is Quality.GOOD for r in record.readings.values())

    asyncio.run(scenario())


def test_single_phase_inverter_shows_model_101() -> None:
    clock = FixedClock(T0 + 2 * HOUR_MS)

    async def scenario() -> None:
        series = PowerSeries([T0, T0 + 5 * HOUR_MS], {"ac_power": [800, 800], "load_power": [0, 0]})
        async with inverter(Site(clock, series, phases=1)) as driver:
            assert (await driver.identify()).profile == "sunspec/101"
            assert (await driver.poll(clock.now())).value("ac_power") == 800

    asyncio.run(scenario())


def test_power_is_right_while_the_scale_factor_changes_under_way() -> None:
    clock = FixedClock(T0 + HOUR_MS)
    site = make_site(clock)

    async def scenario() -> None:
        async with inverter(site) as driver:
            # the inverter sends tenths of a watt up to 3276.7 W, and watts above
            for minute in range(1, 120):
                clock.instant = T0 + HOUR_MS + minute * 60_000
                state = site.series.at(clock.instant)
                record = await driver.poll(clock.now())
                assert record.value("ac_power") == pytest.approx(state.ac_power, abs=0.51)

    asyncio.run(scenario())


def test_inverter_asleep_gives_its_counter_and_no_dc_values() -> None:
    clock = FixedClock(T0 + HOUR_MS // 2)

    async def scenario() -> None:
        async with inverter(make_site(clock)) as driver:
            readings = (await driver.poll(clock.now())).readings
            assert readings["inverter_state"].value == 2
            assert readings["ac_power"].value == 0
            assert readings["ac_energy"].value == 1_000_000
            assert readings["dc_power"].quality is Quality.ASLEEP
            assert readings["power_factor"].quality is Quality.ASLEEP

    asyncio.run(scenario())


def test_inverter_that_sends_sentinels_gives_missing_values_and_no_numbers() -> None:
    clock = FixedClock(T0 + 2 * HOUR_MS)
    site = make_site(clock)

    async def scenario() -> None:
        async with inverter(site) as driver:
            await driver.identify()
            site.inverter_faults.plan(FaultKind.NONSENSE)
            record = await driver.poll(clock.now())
            assert {r.quality for r in record.readings.values()} == {Quality.MISSING}
            assert (await driver.poll(clock.now())).value("ac_power") == 4_000

    asyncio.run(scenario())


class MovingMap:
    """A SunSpec map whose inverter model moves: the device was changed for another one."""

    def __init__(self) -> None:
        self.models_before = 0

    def read(self, function: int, address: int, count: int, *, nonsense: bool) -> list[int]:
        inverter_model = [103, 50, *[0] * 50]
        inverter_model[14:16] = [700 + self.models_before, 0]
        filler = [120, 26, *[0] * 26] * self.models_before
        image = [0x5375, 0x6E53, *filler, *inverter_model, 0xFFFF, 0]
        return cut_out(image, 50_000, address, count)  # neither at 40000 nor at 0


def test_inverter_at_another_base_is_found_and_found_again_when_it_moves() -> None:
    device = MovingMap()

    async def scenario() -> None:
        async with ModbusServer({1: device}).serve_tcp("127.0.0.1", 0) as port:
            driver = open_driver(
                DeviceSettings(
                    "inverter-1", "modbus-tcp", "sunspec", host="127.0.0.1", port=port,
                    timeout_s=PATIENT_S,
                ),
                Buses(),
            )  # fmt: skip
            assert (await driver.poll(T0)).value("ac_power") == 700
            device.models_before = 1
            with pytest.raises(TransientDeviceError, match="inverter-1: model 103 is not at"):
                await driver.poll(T0)
            assert (await driver.poll(T0)).value("ac_power") == 701
            await driver.close()
            await driver.close()

    asyncio.run(scenario())


def test_device_without_sunspec_is_refused_for_good() -> None:
    async def scenario() -> None:
        server = ModbusServer({1: TellingDevice(1)})
        async with server.serve_tcp("127.0.0.1", 0) as port:
            driver = open_driver(
                DeviceSettings(
                    "inverter-1", "modbus-tcp", "sunspec", host="127.0.0.1", port=port,
                    timeout_s=PATIENT_S,
                ),
                Buses(),
            )  # fmt: skip
            with pytest.raises(PermanentDeviceError, match=r"inverter-1: .*no SunSpec map"):
                await driver.identify()
            await driver.close()

    asyncio.run(scenario())


def test_meter_is_identified_and_read_over_a_serial_line() -> None:
    clock = FixedClock(T0 + 2 * HOUR_MS)
    site = make_site(clock)

    async def scenario() -> None:
        async with meter(site) as driver:
            assert (await driver.identify()).manufacturer == "Eastron"
            record = await driver.poll(clock.now())
            state = site.series.at(clock.now())
            assert record.value("grid_power") == 500 - 4_000  # exporting
            assert record.value("frequency") == 50
            assert record.value("ac_voltage") == pytest.approx(230 * (1 + 0.02 * 4 / 6))
            assert record.value("apparent_power") == 3_500
            for name, before in (("grid_import_energy", 2e6), ("grid_export_energy", 5e5)):
                assert record.value(name) == pytest.approx(before + getattr(state, name), abs=0.2)
            assert all(r.quality is Quality.GOOD for r in record.readings.values())

    asyncio.run(scenario())


def test_meter_that_sends_no_numbers_gives_missing_values_and_is_not_identified() -> None:
    clock = FixedClock(T0 + 2 * HOUR_MS)
    site = make_site(clock)

    async def scenario() -> None:
        async with meter(site) as driver:
            site.meter_faults.plan(FaultKind.NONSENSE, times=4)
            record = await driver.poll(clock.now())
            assert {r.quality for r in record.readings.values()} == {Quality.MISSING}
            with pytest.raises(PermanentDeviceError, match=r"meter-1: .*is no eastron-sdm630"):
                await driver.identify()

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", [FaultKind.SILENT, FaultKind.GARBLED, FaultKind.WRONG_COUNT])
def test_failed_poll_names_the_device_and_the_next_one_is_right(kind: FaultKind) -> None:
    clock = FixedClock(T0 + 2 * HOUR_MS)
    site = make_site(clock)

    async def scenario() -> None:
        async with meter(site, timeout_s=0.2) as driver:
            site.meter_faults.plan(kind)
            with pytest.raises(TransientDeviceError, match=r"^meter-1: "):
                await driver.poll(clock.now())
            assert (await driver.poll(clock.now())).value("grid_power") == -3_500

    asyncio.run(scenario())


def test_inverter_and_meter_behind_one_gateway_share_its_connection() -> None:
    clock = FixedClock(T0 + 2 * HOUR_MS)
    site = make_site(clock)
    server = ModbusServer({1: site.inverter, 2: site.meter})

    async def scenario() -> None:
        async with server.serve_tcp("127.0.0.1", 0) as port:
            buses = Buses()
            drivers = [
                open_driver(
                    DeviceSettings(
                        name, "modbus-tcp", profile, host="127.0.0.1", port=port, unit=unit,
                        timeout_s=PATIENT_S,
                    ),
                    buses,
                )
                for name, profile, unit in (
                    ("inverter-1", "sunspec", 1),
                    ("meter-1", "eastron-sdm630", 2),
                )
            ]  # fmt: skip
            for _ in range(5):
                records = await asyncio.gather(*(driver.poll(clock.now()) for driver in drivers))
                assert records[0].value("ac_power") == 4_000
                assert records[1].value("grid_power") == -3_500
            assert server.connections == 1
            for driver in drivers:
                await driver.close()
            assert buses.all() == {}

    asyncio.run(scenario())
