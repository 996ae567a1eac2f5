"""A dongle on a real loopback socket: late, doubled and foreign datagrams are nobody's answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import closing

import pytest

from firmware_bridge.errors import DeviceError, Fault, PermanentDeviceError, TransientDeviceError
from firmware_bridge.goodwe.framing import Aa55Framing, Aa55Request, Aa55RtuFraming
from firmware_bridge.goodwe.udp import UdpLink
from firmware_bridge.modbus.bus import Bus
from firmware_bridge.modbus.request import READ_HOLDING
from firmware_bridge.profile import load_profile
from firmware_bridge.simulator.dongle import serve_dongle
from firmware_bridge.simulator.faults import FaultKind, Faults
from firmware_bridge.simulator.map_device import MapDevice

UNIT = 0xF7
TIMEOUT_S = 0.15


class Counting:
    """A device whose every register holds its own address: a wrong answer shows."""

    def read(self, function: int, address: int, count: int, *, nonsense: bool) -> list[int]:
        return list(range(address, address + count))

    def image(
        self, function: int, address: int, count: int, *, nonsense: bool = False
    ) -> tuple[bytes, list[bool]]:
        known = function in (0x0106, 0x0109)
        return bytes([function & 0xFF] * count), [known and at < 60 for at in range(count)]


def registers(address: int, count: int) -> bytes:
    return b"".join(at.to_bytes(2, "big") for at in range(address, address + count))


async def read(bus: Bus, address: int, count: int = 4) -> bytes:
    return await bus.read(UNIT, READ_HOLDING, address, count, timeout_s=TIMEOUT_S)


@pytest.mark.parametrize(
    "kind",
    [
        FaultKind.SILENT,
        FaultKind.LATE,
        FaultKind.TWICE,
        FaultKind.SWAPPED,
        FaultKind.CUT,
        FaultKind.GARBLED,
        FaultKind.DAMAGED,
        FaultKind.STRAY,
        FaultKind.WRONG_UNIT,
        FaultKind.WRONG_FUNCTION,
        FaultKind.WRONG_COUNT,
        FaultKind.EXCEPTION,
    ],
)
def test_after_any_fault_each_answer_is_that_of_its_own_request(kind: FaultKind) -> None:
    async def run() -> tuple[int, int]:
        faults = Faults(seed=7)
        right = wrong = 0
        async with serve_dongle("127.0.0.1", 0, Counting(), faults, UNIT) as port:
            bus = Bus(UdpLink("127.0.0.1", port), Aa55RtuFraming())
            for round_ in range(12):
                if round_ % 3 == 0:
                    faults.plan(kind, delay_s=TIMEOUT_S * (1.02 if round_ % 2 else 0.0))
                address = 35100 + 10 * round_
                try:
                    data = await read(bus, address)
                except DeviceError:
                    continue
                right += data == registers(address, 4)
                # A copy of the answer before has all the right fields: only the port tells it.
                wrong += data != registers(address, 4)
            await bus.close()
        return right, wrong

    right, wrong = asyncio.run(run())
    if kind is FaultKind.SWAPPED:
        # The answer before, to this very port: no field and no port tells it from the right one.
        assert right >= 8
        return
    assert wrong == 0
    assert right >= 8


def test_a_late_answer_never_reaches_the_next_request() -> None:
    async def run() -> None:
        faults = Faults()
        async with serve_dongle("127.0.0.1", 0, Counting(), faults, UNIT) as port:
            bus = Bus(UdpLink("127.0.0.1", port), Aa55RtuFraming())
            faults.plan(FaultKind.LATE, delay_s=TIMEOUT_S + 0.05)
            with pytest.raises(TransientDeviceError) as caught:
                await read(bus, 35100)
            assert caught.value.fault is Fault.TIMEOUT
            faults.plan(FaultKind.LATE, delay_s=0.1)  # the old answer comes while this one waits
            assert await read(bus, 36000) == registers(36000, 4)
            assert await read(bus, 37000) == registers(37000, 4)
            await bus.close()

    asyncio.run(run())


def test_a_doubled_answer_never_reaches_the_next_request() -> None:
    async def run() -> None:
        faults = Faults()
        async with serve_dongle("127.0.0.1", 0, Counting(), faults, UNIT) as port:
            bus = Bus(UdpLink("127.0.0.1", port), Aa55RtuFraming())
            for delay_s in (0.0, 0.03):
                faults.plan(FaultKind.TWICE, delay_s=delay_s)
                assert await read(bus, 35100) == registers(35100, 4)
                faults.plan(FaultKind.LATE, delay_s=0.06)
                assert await read(bus, 36000) == registers(36000, 4)
            await bus.close()

    asyncio.run(run())


def test_each_request_leaves_from_a_port_of_its_own() -> None:
    async def run() -> list[int]:
        ports = []
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as dongle:
            dongle.bind(("127.0.0.1", 0))
            dongle.settimeout(2)
            link = UdpLink("127.0.0.1", dongle.getsockname()[1])
            await link.open()
            for _ in range(200):
                link.write(b"question")
                ports.append(dongle.recvfrom(100)[1][1])
            link.close()
        return ports

    ports = asyncio.run(run())
    assert len(set(ports)) == 200


def test_a_datagram_from_another_address_is_not_ours() -> None:
    async def run() -> bytes:
        with (
            closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as dongle,
            closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as stranger,
        ):
            dongle.bind(("127.0.0.1", 0))
            dongle.settimeout(2)
            link = UdpLink("127.0.0.1", dongle.getsockname()[1])
            await link.open()
            link.write(b"question")
            _, asker = dongle.recvfrom(100)
            stranger.sendto(b"lie", asker)
            await asyncio.sleep(0.05)
            dongle.sendto(b"answer", asker)
            answer = await asyncio.wait_for(link.receive(), 2)
            link.close()
            return answer

    assert asyncio.run(run()) == b"answer"


def test_datagrams_are_handed_over_one_by_one_and_thrown_away_together() -> None:
    async def run() -> tuple[bytes, bytes, bytes]:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as dongle:
            dongle.bind(("127.0.0.1", 0))
            dongle.settimeout(2)
            link = UdpLink("127.0.0.1", dongle.getsockname()[1])
            await link.open()
            link.write(b"question")
            _, asker = dongle.recvfrom(100)
            for word in (b"one", b"two", b"three"):
                dongle.sendto(word, asker)
            first = await asyncio.wait_for(link.receive(), 2)
            rest = link.take()
            nothing = link.take()
            link.close()
            return first, rest, nothing

    assert asyncio.run(run()) == (b"one", b"twothree", b"")


def test_a_reply_in_two_datagrams_is_put_together_by_its_checksum() -> None:
    async def run() -> bytes:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as dongle:
            dongle.bind(("127.0.0.1", 0))
            dongle.setblocking(False)
            bus = Bus(UdpLink("127.0.0.1", dongle.getsockname()[1]), Aa55Framing())
            loop = asyncio.get_running_loop()
            asking = asyncio.create_task(bus.exchange(Aa55Request(0x0106), timeout_s=1))
            _, asker = await loop.sock_recvfrom(dongle, 100)
            reply = bytes.fromhex("aa557fc0018604010203041234")
            reply = reply[:-2] + sum(reply[:-2]).to_bytes(2, "big")
            dongle.sendto(reply[:8], asker)
            await asyncio.sleep(0.02)
            dongle.sendto(reply[8:], asker)
            data = await asking
            await bus.close()
            return data

    assert asyncio.run(run()) == b"\1\2\3\4"


def test_where_nobody_listens_the_error_says_so_at_once() -> None:
    async def run() -> DeviceError:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as dongle:
            dongle.bind(("127.0.0.1", 0))
            port = dongle.getsockname()[1]
        bus = Bus(UdpLink("127.0.0.1", port), Aa55RtuFraming())
        with pytest.raises(TransientDeviceError) as caught:
            await asyncio.wait_for(read(bus, 35100), 2)
        await bus.close()
        return caught.value

    error = asyncio.run(run())
    assert error.fault is Fault.LINK
    assert "is the dongle on" in str(error)


def test_a_name_that_does_not_resolve_is_a_link_fault() -> None:
    async def run() -> None:
        await UdpLink("no such host.invalid").open()

    with pytest.raises(TransientDeviceError) as caught:
        asyncio.run(run())
    assert caught.value.fault is Fault.LINK


def test_a_closed_link_sends_nothing() -> None:
    async def run() -> None:
        link = UdpLink("127.0.0.1", 9)
        with pytest.raises(TransientDeviceError):
            link.write(b"x")
        await link.open()
        link.close()
        link.close()
        assert not link.is_open
        with pytest.raises(TransientDeviceError):
            link.write(b"x")

    asyncio.run(run())


def test_the_older_protocol_over_the_wire() -> None:
    async def run() -> None:
        faults = Faults(seed=3)
        async with serve_dongle("127.0.0.1", 0, Counting(), faults) as port:
            bus = Bus(UdpLink("127.0.0.1", port), Aa55Framing())
            for command in (0x0106, 0x0109, 0x0106):
                data = await bus.exchange(Aa55Request(command), timeout_s=TIMEOUT_S)
                assert data == bytes([command & 0xFF] * 60)
            for kind in (FaultKind.WRONG_FUNCTION, FaultKind.GARBLED, FaultKind.CUT):
                faults.plan(kind)
                with pytest.raises(TransientDeviceError):
                    await bus.exchange(Aa55Request(0x0106), timeout_s=TIMEOUT_S)
                data = await bus.exchange(Aa55Request(0x0109), timeout_s=TIMEOUT_S)
                assert data == bytes([0x09] * 60)
            await bus.close()

    asyncio.run(run())


def test_a_write_is_refused_before_it_leaves() -> None:
    async def run() -> int:
        async with serve_dongle("127.0.0.1", 0, Counting()) as port:
            bus = Bus(UdpLink("127.0.0.1", port), Aa55RtuFraming())
            with pytest.raises(PermanentDeviceError, match="read-only"):
                await bus.write(UNIT, 47510, b"\0\1", timeout_s=TIMEOUT_S)
            assert await read(bus, 35100) == registers(35100, 4)
            await bus.close()
            return bus.counters.writes

    assert asyncio.run(run()) == 0


@pytest.mark.parametrize("name", ["goodwe-et", "goodwe-dt", "goodwe-es"])
def test_a_simulated_device_is_read_back_as_it_was_put_in(name: str) -> None:
    profile = load_profile(name)
    put_in: Mapping[str, float] = {"frequency": 50.02, "ac_voltage_l1": 231.5, "ac_power": 4321.0}

    async def run() -> dict[str, float | None]:
        device = MapDevice(profile, lambda: put_in)
        unit = profile.file.link.unit or UNIT
        async with serve_dongle("127.0.0.1", 0, device, unit=unit) as port:
            old = profile.file.is_bytewise
            bus = Bus(UdpLink("127.0.0.1", port), Aa55Framing() if old else Aa55RtuFraming())
            replies = {}
            for block in profile.poll_plan(frozenset({""})).blocks:
                if old:
                    request = Aa55Request(block.function)
                    replies[block] = await bus.exchange(request, timeout_s=1)
                else:
                    replies[block] = await bus.read(
                        unit, block.function, block.address, block.count, timeout_s=1
                    )
            await bus.close()
        decoded = profile.poll_plan(frozenset({""})).decode(replies)
        return {key: reading.value for key, reading in decoded.readings.items()}

    got = asyncio.run(run())
    assert {key: got[key] for key in put_in} == put_in
