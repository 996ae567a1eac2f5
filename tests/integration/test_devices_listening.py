"""Meters and nodes that push, on real sockets and terminals: pieces, noise, unplugging, silence."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import random
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from firmware_bridge.drivers.listening import ListeningDriver, ListenTimes
from firmware_bridge.drivers.p1 import P1Driver
from firmware_bridge.drivers.sensor_node import SensorNodeDriver
from firmware_bridge.errors import Fault, TransientDeviceError
from firmware_bridge.modbus.links import SerialLink, TcpLink
from firmware_bridge.sensor_node import NodeFrame, encode_frame
from firmware_bridge.simulator.p1 import build_telegram
from models.contract.record import Quality
from tests.device_lines import PATIENT_S

NOW = 1_790_000_000_000
QUICK = ListenTimes(silence_s=30.0, first_pause_s=0.02, longest_pause_s=0.1)
SHORT_S = 0.6


def telegram(watts: float) -> bytes:
    return build_telegram(
        {"grid_power": watts, "grid_import_energy": 1e6, "ac_voltage_l1": 230.0}, NOW
    )


class Line:
    """A line that a test holds the other end of, and can unplug."""

    def send(self, data: bytes) -> None:
        raise NotImplementedError

    async def plug(self) -> None:
        raise NotImplementedError

    def unplug(self) -> None:
        raise NotImplementedError


class PtyLine(Line):
    """A pseudo terminal behind a path that stays, as a port below /dev/serial/by-id does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ends: tuple[int, ...] = ()

    async def plug(self) -> None:
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._ends = (master, slave)
        self.path.symlink_to(os.ttyname(slave))

    def unplug(self) -> None:
        ends, self._ends = self._ends, ()
        if ends:
            self.path.unlink()
        for end in ends:
            os.close(end)

    def send(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # nobody reads
            os.write(self._ends[0], data)


class TcpLine(Line):
    """A serial device server on the network."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None
        self._clients: list[asyncio.StreamWriter] = []

    async def plug(self) -> None:
        async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._clients.append(writer)

        self._server = await asyncio.start_server(connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def unplug(self) -> None:
        if self._server is not None:
            self._server.close()
        clients, self._clients = self._clients, []
        for client in clients:
            client.transport.abort()

    def send(self, data: bytes) -> None:
        for client in self._clients:
            client.write(data)


Make = Callable[..., ListeningDriver]  # type: ignore[type-arg]


@asynccontextmanager
async def listening(
    kind: str, folder: Path, make: Make, *, timeout_s: float = PATIENT_S
) -> AsyncIterator[tuple[ListeningDriver, Line]]:  # type: ignore[type-arg]
    line: PtyLine | TcpLine
    if kind == "serial":
        line = PtyLine(folder / "port")
        await line.plug()
        link: SerialLink | TcpLink = SerialLink(str(line.path), 115_200)
    else:
        line = TcpLine()
        await line.plug()
        link = TcpLink("127.0.0.1", line.port)
    driver = make("meter", link, timeout_s=timeout_s, times=QUICK)
    try:
        yield driver, line
    finally:
        await driver.close()
        line.unplug()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENT_S):
        while not holds():
            await asyncio.sleep(0.005)


async def opened(driver: ListeningDriver) -> None:  # type: ignore[type-arg]
    """Make the driver listen and wait until it does."""
    driver.start()
    await until(lambda: driver.link.is_open)
    await asyncio.sleep(0.05)  # the server's side of an accepted connection


both = pytest.mark.parametrize("kind", ["serial", "tcp"])


@both
def test_pieces_and_noise_never_make_a_wrong_value(kind: str, tmp_path: Path) -> None:
    source = random.Random(7)

    async def scenario() -> None:
        async with listening(kind, tmp_path, P1Driver) as (driver, line):
            await opened(driver)
            for number in range(40):
                watts = float(number * 10)
                good, damage = telegram(watts), source.randrange(4)
                if damage == 1:
                    line.send(source.randbytes(source.randrange(1, 200)))
                elif damage == 2:
                    spoilt = bytearray(telegram(9_999.0))
                    spoilt[source.randrange(len(spoilt))] ^= 0x04
                    line.send(bytes(spoilt))
                elif damage == 3:
                    line.send(telegram(9_999.0)[: source.randrange(1, 400)])
                at = 0
                while at < len(good):
                    size = source.randrange(1, 300)
                    line.send(good[at : at + size])
                    at += size
                    await asyncio.sleep(0.001)
                record = await driver.poll(NOW + number * 1000)
                assert record.readings["grid_power"].value == watts
                assert record.measured_at == NOW + number * 1000
            assert driver.counters.believed == 40
            assert sum(driver.counters.faults.values()) > 5

    asyncio.run(scenario())


@both
def test_unplugged_and_plugged_in_again(kind: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with listening(kind, tmp_path, P1Driver, timeout_s=SHORT_S) as (driver, line):
            await opened(driver)
            for round_number in range(3):
                line.send(telegram(100.0))
                assert (await driver.poll(NOW)).value("grid_power") == 100.0
                line.send(telegram(100.0)[:200])  # pulled out in the middle of a telegram
                await asyncio.sleep(0.05)
                line.unplug()
                with pytest.raises(TransientDeviceError) as caught:
                    await driver.poll(NOW)
                assert caught.value.fault is Fault.LINK
                assert caught.value.device == "meter"
                opened_before = driver.counters.opened
                await line.plug()
                await until(lambda before=opened_before: driver.counters.opened > before)  # type: ignore[misc]
                await asyncio.sleep(0.05)
                line.send(telegram(100.0)[200:] + telegram(200.0 + round_number))
                record = await driver.poll(NOW)
                assert record.value("grid_power") == 200.0 + round_number

    asyncio.run(scenario())


@both
def test_silence_and_nonsense_are_told_apart(kind: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with listening(kind, tmp_path, P1Driver, timeout_s=SHORT_S) as (driver, line):
            await opened(driver)
            with pytest.raises(TransientDeviceError, match=r"not a byte.*data request") as caught:
                await driver.poll(NOW)
            assert caught.value.fault is Fault.TIMEOUT
            line.send(bytes(range(128, 256)) * 2)
            with pytest.raises(TransientDeviceError, match=r"inverted.*baud"):
                await driver.poll(NOW)
            line.send(telegram(1.0).replace(b"00.001", b"00.002"))
            with pytest.raises(
                TransientDeviceError, match=r"damaged, cut.*Last refused: damaged: its checksum"
            ):
                await driver.poll(NOW)
            assert driver.counters.faults[Fault.CRC] == 1

    asyncio.run(scenario())


@both
def test_what_was_said_before_the_silence_is_not_handed_on_late(kind: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with listening(kind, tmp_path, P1Driver, timeout_s=SHORT_S) as (driver, line):
            await opened(driver)
            line.send(telegram(100.0))
            await until(lambda: driver.counters.believed == 1)
            await asyncio.sleep(SHORT_S + 0.1)
            with pytest.raises(TransientDeviceError):
                await driver.poll(NOW)  # it came in time for nobody
            line.send(telegram(150.0))
            assert (await driver.poll(NOW)).value("grid_power") == 150.0
            with pytest.raises(TransientDeviceError):
                await driver.poll(NOW)  # each telegram is handed on once

    asyncio.run(scenario())


@both
def test_only_the_newest_of_many_is_kept(kind: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with listening(kind, tmp_path, P1Driver) as (driver, line):
            await opened(driver)
            for watts in range(100, 105):
                line.send(telegram(float(watts)))
                await asyncio.sleep(0.02)
            await until(lambda: driver.counters.believed == 5)
            assert (await driver.poll(NOW)).value("grid_power") == 104.0

    asyncio.run(scenario())


def test_a_tool_reads_identity_and_details(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with listening("tcp", tmp_path, P1Driver) as (driver, line):
            await opened(driver)
            line.send(telegram(-500.0))
            identity = await driver.identify()
            assert identity.serial_number == "SIM-METER-000001"
            assert identity.version == "DSMR 5.0"
            decoded = await driver.read(NOW)
            assert decoded.readings["grid_power"].value == -500.0
            assert decoded.details["power_export"].value == 0.5

    asyncio.run(scenario())


def test_a_port_that_is_not_there_says_so_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        link = SerialLink(str(tmp_path / "nothing"), 115_200)
        driver = P1Driver("meter", link, timeout_s=SHORT_S, times=QUICK)
        for _ in range(3):
            with pytest.raises(TransientDeviceError, match="cannot open serial port") as caught:
                await driver.poll(NOW)
            assert caught.value.fault is Fault.LINK
        assert driver.counters.faults[Fault.LINK] > 3
        await driver.close()
        await driver.close()
        with pytest.raises(TransientDeviceError, match="closed"):
            await driver.poll(NOW)

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert len(caplog.records) == 1


def test_a_connection_that_fell_silent_is_made_anew(tmp_path: Path) -> None:
    async def scenario() -> None:
        line = TcpLine()
        await line.plug()
        times = dataclasses.replace(QUICK, silence_s=0.1)
        link = TcpLink("127.0.0.1", line.port)
        driver = P1Driver("meter", link, timeout_s=1.0, times=times)
        with pytest.raises(TransientDeviceError):
            await driver.poll(NOW)
        assert driver.counters.opened > 2
        await driver.close()
        line.unplug()

    asyncio.run(scenario())


@both
def test_a_sensor_node_is_heard_and_its_faults_counted(kind: str, tmp_path: Path) -> None:
    source = random.Random(8)

    async def scenario() -> None:
        async with listening(kind, tmp_path, SensorNodeDriver) as (driver, line):
            assert isinstance(driver, SensorNodeDriver)
            await opened(driver)
            for number in range(50):
                values = {"poa_global": 10 * number, "temp_module": 2500 + number}
                data = encode_frame(NodeFrame(3, number, number, 0, values))
                if number % 7 == 3:
                    line.send(data[: source.randrange(2, len(data) - 2)])
                    continue
                if number % 5 == 2:
                    line.send(source.randbytes(20).replace(b"\0", b"\1"))
                cut = source.randrange(len(data))
                line.send(data[:cut])
                await asyncio.sleep(0.001)
                line.send(data[cut:] + data)
                record = await driver.poll(NOW + 10_000 * number)
                assert record.value("poa_global") == number
                assert record.readings["temp_module"].quality is Quality.GOOD
            line.send(encode_frame(NodeFrame(4, 1, 1, 0, {"poa_global": 9999})))
            await until(lambda: driver.counters.faults[Fault.WRONG_UNIT] == 1)
            counters = driver.node_counters
            assert counters.lost == 7
            assert counters.duplicates >= 41
            assert (await driver.identify()).serial_number == "3"

    asyncio.run(scenario())
