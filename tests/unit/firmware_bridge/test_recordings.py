"""Frames recorded from real devices (data: devices/modbus-traces) decode to what they meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridge import sunspec
from firmware_bridge.modbus.framing import Framing, RtuFraming, TcpFraming
from firmware_bridge.modbus.request import READ_FUNCTIONS, ReadRequest
from firmware_bridge.registers import REGISTER_TYPES, decode_number
from models.contract.record import Quality

Exchange = tuple[ReadRequest, bytes]


def exchanges(path: Path, *, tcp: bool) -> list[Exchange]:
    """Requests of a trace with their replies, where both were recorded."""
    found: list[Exchange] = []
    pending: bytes | None = None
    for line in path.read_text().splitlines():
        direction, _, text = line.partition(" ")
        frame = bytes.fromhex(text)
        if direction == "send":
            pending = frame
        elif pending is not None:
            body = pending[6:] if tcp else pending
            transaction = int.from_bytes(pending[:2], "big") if tcp else 0
            address, count = int.from_bytes(body[2:4], "big"), int.from_bytes(body[4:6], "big")
            found.append((ReadRequest(body[0], body[1], address, count, transaction), frame))
            pending = None
    return found


@pytest.fixture
def traces(data_dir: Path) -> Path:
    return data_dir / "devices" / "modbus-traces"


@pytest.mark.parametrize(
    ("name", "framing"),
    [
        ("eastron_sdm_modbus_rtu.txt", RtuFraming(9600)),
        ("kostal_piko_iq55_modbus_tcp.txt", TcpFraming()),
        ("solaredge_se5000h_modbus_tcp.txt", TcpFraming()),
    ],
)
def test_every_recorded_reply_is_believed_and_no_other(
    traces: Path, name: str, framing: Framing
) -> None:
    recorded = exchanges(traces / name, tcp=isinstance(framing, TcpFraming))
    assert recorded
    for request, reply in recorded:
        assert request.function in READ_FUNCTIONS
        registers = framing.check(request, reply)
        assert registers is not None
        assert len(registers) == request.count


def test_eastron_voltage_and_current(traces: Path) -> None:
    values = {}
    for request, reply in exchanges(traces / "eastron_sdm_modbus_rtu.txt", tcp=False):
        if request.function == 4:
            registers = RtuFraming(9600).check(request, reply)
            assert registers is not None
            number = decode_number(registers, 0, REGISTER_TYPES["float32"])
            values[request.unit, request.address] = number
    assert values[1, 0] == pytest.approx(231.685, abs=1e-3)  # volts of phase 1
    assert values[1, 8] == pytest.approx(4.2805, abs=1e-3)  # amperes of phase 2
    assert values[2, 8] == pytest.approx(4.3568, abs=1e-3)


def test_solaredge_values_agree_with_each_other(traces: Path) -> None:
    request, reply = exchanges(traces / "solaredge_se5000h_modbus_tcp.txt", tcp=True)[0]
    body = TcpFraming().check(request, reply)
    assert body is not None
    readings = sunspec.decode_inverter([101, 50, *body])  # its header was read separately
    value = {name: reading.value for name, reading in readings.items()}
    assert value["ac_power"] == 1395.0
    assert value["ac_voltage"] == 235.7
    assert value["ac_current"] == 5.92
    assert value["frequency"] == 49.987
    assert value["ac_energy"] == 14_676_442
    assert value["dc_power"] == 1416.3
    assert value["dc_voltage"] == 410.5
    assert value["dc_current"] == 3.45
    assert value["reactive_power"] == -94.42
    assert value["power_factor"] == pytest.approx(-0.9977)
    assert value["inverter_state"] == 4
    assert readings["temp_inverter"].quality is Quality.MISSING  # it has a heat sink sensor only
    # volts times amperes, measured apart from the powers
    assert pytest.approx(1398.2, rel=0.005) == 235.7 * 5.92
    assert pytest.approx(1416.3, rel=0.001) == 410.5 * 3.45


def test_kostal_says_who_it_is(traces: Path) -> None:
    recorded = exchanges(traces / "kostal_piko_iq55_modbus_tcp.txt", tcp=True)
    request, reply = next(pair for pair in recorded if pair[0].count == 66)
    body = TcpFraming().check(request, reply)
    assert body is not None
    manufacturer, model, version, serial_number = sunspec.decode_common([1, 66, *body])
    assert (manufacturer, model, version) == ("KOSTAL", "PIKO IQ5.5", "01.27.09932")
    assert set(serial_number) == {"0"}
