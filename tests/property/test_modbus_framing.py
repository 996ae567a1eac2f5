"""Whatever bytes arrive: only our errors, and nothing is believed but the answer to the request."""

from __future__ import annotations

import contextlib
import struct

from hypothesis import example, given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from firmware_bridge.errors import DeviceError
from firmware_bridge.modbus.framing import RtuFraming, TcpFraming
from firmware_bridge.modbus.request import ReadRequest

requests = st.builds(
    ReadRequest,
    unit=st.integers(1, 247),
    function=st.sampled_from([3, 4]),
    address=st.integers(0, 65_411),
    count=st.integers(1, 125),
    transaction=st.integers(0, 65_535),
)
RTU, TCP = RtuFraming(9600), TcpFraming()


def answer_body(request: ReadRequest, registers: list[int]) -> bytes:
    """The body of a right reply, packed without the code under test."""
    return struct.pack(
        f">BBB{len(registers)}H", request.unit, request.function, 2 * len(registers), *registers
    )


def words(data: bytes) -> list[int]:
    """Register data as numbers."""
    return list(struct.unpack(f">{len(data) // 2}H", data))


def rtu_answer(request: ReadRequest, registers: list[int]) -> bytes:
    body = answer_body(request, registers)
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


def tcp_answer(request: ReadRequest, registers: list[int]) -> bytes:
    body = answer_body(request, registers)
    return struct.pack(">HHH", request.transaction, 0, len(body)) + body


@given(requests, st.binary(max_size=300))
@example(ReadRequest(1, 3, 0, 1), b"\x01\x83")
@example(ReadRequest(1, 3, 0, 1), b"")
def test_any_bytes_give_nothing_or_our_error_or_a_true_answer(
    request: ReadRequest, received: bytes
) -> None:
    for framing, encode in ((RTU, rtu_answer), (TCP, tcp_answer)):
        try:
            registers = framing.check(request, received)
        except DeviceError:
            continue
        assert registers is None or encode(request, words(registers)) == received


@given(requests, st.data())
def test_the_answer_is_believed_whole_and_not_before(
    request: ReadRequest, data: st.DataObject
) -> None:
    registers = data.draw(
        st.lists(st.integers(0, 65_535), min_size=request.count, max_size=request.count)
    )
    for framing, encode in ((RTU, rtu_answer), (TCP, tcp_answer)):
        frame = encode(request, registers)
        believed = framing.check(request, frame)
        assert believed is not None
        assert words(believed) == registers
        cut = data.draw(st.integers(0, len(frame) - 1))
        assert framing.check(request, frame[:cut]) is None


@given(requests, requests, st.data())
def test_the_answer_to_another_request_is_not_believed(
    request: ReadRequest, other: ReadRequest, data: st.DataObject
) -> None:
    registers = data.draw(
        st.lists(st.integers(0, 65_535), min_size=other.count, max_size=other.count)
    )
    same = (request.unit, request.function, request.count) == (
        other.unit,
        other.function,
        other.count,
    )
    for framing, encode, indistinguishable in (
        (RTU, rtu_answer, same),
        (TCP, tcp_answer, same and request.transaction == other.transaction),
    ):
        try:
            believed = framing.check(request, encode(other, registers))
        except DeviceError:
            continue
        assert believed is None or indistinguishable


@given(requests, st.integers(0, 254), st.integers(1, 255))
def test_rtu_reply_with_one_damaged_byte_is_never_believed(
    request: ReadRequest, position: int, damage: int
) -> None:
    # CRC-16 finds every error burst of up to 16 bits
    frame = bytearray(rtu_answer(request, list(range(request.count))))
    frame[position % len(frame)] ^= damage
    with contextlib.suppress(DeviceError):
        assert RTU.check(request, bytes(frame)) is None
