"""Each reply is refused unless it is the answer to its request."""

from __future__ import annotations

import pytest
from pymodbus.framer import FramerRTU

from firmware_bridge.errors import (
    DeviceError,
    Fault,
    PermanentDeviceError,
    TransientDeviceError,
)
from firmware_bridge.modbus.framing import RtuFraming, TcpFraming
from firmware_bridge.modbus.request import ReadRequest

REQUEST = ReadRequest(unit=1, function=4, address=0, count=2, transaction=7)
RTU, TCP = RtuFraming(9600), TcpFraming()


def rtu(text: str) -> bytes:
    """A frame of the bytes in ``text`` with a checksum that holds."""
    frame = bytes.fromhex(text)
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


def fault_of(framing: RtuFraming | TcpFraming, received: bytes) -> Fault | None:
    with pytest.raises(DeviceError) as caught:
        framing.check(REQUEST, received)
    return caught.value.fault


def test_rtu_request_is_the_frame_of_a_recorded_session() -> None:
    # Eastron SDM, volkszaehler/mbmd issue 63
    assert RTU.encode(REQUEST) == bytes.fromhex("01 04 00 00 00 02 71 cb")


def test_tcp_request_carries_transaction_unit_and_length() -> None:
    assert TCP.encode(REQUEST) == bytes.fromhex("00 07 00 00 00 06 01 04 00 00 00 02")


def test_right_replies_give_their_registers() -> None:
    assert RTU.check(REQUEST, rtu("01 04 04 43 67 af 55")) == bytes.fromhex("43 67 af 55")
    reply = bytes.fromhex("00 07 00 00 00 07 01 04 04 43 67 af 55")
    assert TCP.check(REQUEST, reply) == bytes.fromhex("43 67 af 55")


@pytest.mark.parametrize("framing", [RTU, TCP])
def test_every_beginning_of_a_right_reply_waits_for_more(framing: RtuFraming | TcpFraming) -> None:
    whole = {
        RTU: rtu("01 04 04 43 67 af 55"),
        TCP: bytes.fromhex("00 07 00 00 00 07 01 04 04 43 67 af 55"),
    }[framing]
    for length in range(len(whole)):
        assert framing.check(REQUEST, whole[:length]) is None


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (rtu("02 04 04 43 67 af 55"), Fault.WRONG_UNIT),
        (rtu("01 03 04 43 67 af 55"), Fault.WRONG_FUNCTION),
        (rtu("01 83 02"), Fault.WRONG_FUNCTION),
        (rtu("01 06 00 00 00 01"), Fault.WRONG_FUNCTION),
        (rtu("01 04 02 43 67"), Fault.WRONG_COUNT),
        (rtu("01 04 06 43 67 af 55 00 00"), Fault.WRONG_COUNT),
        (rtu("01 04 03 43 67 af"), Fault.WRONG_COUNT),
        (rtu("01 04 04 43 67 af 55")[:-1] + b"\0", Fault.CRC),
        (rtu("01 04 04 43 67 af 55") + b"\0", Fault.STRAY),
        (rtu("01 04 04 43 67 af 55") * 2, Fault.STRAY),
        (bytes.fromhex("01 55 04"), Fault.MALFORMED),
    ],
)
def test_rtu_reply_to_something_else_is_refused(reply: bytes, fault: Fault) -> None:
    assert fault_of(RTU, reply) is fault


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("00 06 00 00 00 07 01 04 04 43 67 af 55", Fault.WRONG_TRANSACTION),
        ("00 07 00 00 00 07 02 04 04 43 67 af 55", Fault.WRONG_UNIT),
        ("00 07 00 00 00 07 01 03 04 43 67 af 55", Fault.WRONG_FUNCTION),
        ("00 07 00 00 00 05 01 04 02 43 67", Fault.WRONG_COUNT),
        ("00 07 00 00 00 09 01 04 06 43 67 af 55 00 00", Fault.WRONG_COUNT),
        ("00 07 00 00 00 07 01 04 02 43 67 af 55", Fault.WRONG_COUNT),  # length and count differ
        ("00 07 00 00 00 07 01 04 04 43 67 af 55 00", Fault.STRAY),
        ("00 07 00 01 00 07 01 04 04 43 67 af 55", Fault.MALFORMED),
        ("00 07 00 00 00 02 01 04", Fault.MALFORMED),
        ("00 07 00 00 ff ff 01 04", Fault.MALFORMED),  # would wait for 65 kB that never come
        ("48 54 54 50 2f 31 2e 31", Fault.MALFORMED),  # a web server on this port
    ],
)
def test_tcp_reply_to_something_else_is_refused(reply: str, fault: Fault) -> None:
    assert fault_of(TCP, bytes.fromhex(reply)) is fault


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, PermanentDeviceError),
        (2, PermanentDeviceError),
        (3, PermanentDeviceError),
        (4, TransientDeviceError),
        (6, TransientDeviceError),
        (11, TransientDeviceError),
        (99, TransientDeviceError),
    ],
)
def test_exception_reply_says_whether_to_try_again(code: int, kind: type[DeviceError]) -> None:
    with pytest.raises(kind) as caught:
        RTU.check(REQUEST, rtu(f"01 84 {code:02x}"))
    assert caught.value.fault is Fault.EXCEPTION
    assert caught.value.exception_code == code
    with pytest.raises(kind):
        TCP.check(REQUEST, bytes.fromhex(f"00 07 00 00 00 03 01 84 {code:02x}"))


@pytest.mark.parametrize("function", [1, 2, 5, 6, 15, 16, 22, 23, 43, 0x83])
def test_no_other_function_than_reading_registers_can_be_asked(function: int) -> None:
    with pytest.raises(PermanentDeviceError, match="only 3 and 4"):
        ReadRequest(1, function, 0, 1)


@pytest.mark.parametrize(("address", "count"), [(0, 0), (0, 126), (65_535, 2), (-1, 1)])
def test_impossible_reads_cannot_be_asked(address: int, count: int) -> None:
    with pytest.raises(PermanentDeviceError):
        ReadRequest(1, 3, address, count)


def test_airtime_of_a_serial_exchange_follows_the_baud_rate() -> None:
    # 8 bytes there, 25 back, 11 bits each
    request = ReadRequest(1, 4, 0, 10)
    assert RtuFraming(9600).airtime_s(request) == pytest.approx(33 * 11 / 9600)
    assert TCP.airtime_s(request) == 0
