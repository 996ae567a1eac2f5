"""Frames of sensor nodes: what is believed, what is refused, and what the counters tell."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.drivers.sensor_node import decode_node_frames
from firmware_bridge.errors import Fault
from firmware_bridge.recorded import Refused
from firmware_bridge.sensor_node import (
    FrameBuffer,
    NodeFrame,
    RefusedFrame,
    decode_frame,
    encode_frame,
)
from firmware_bridge.sensor_node.cobs import cobs_decode, cobs_encode
from firmware_bridge.sensor_node.frame import (
    LONGEST_CONTENT,
    Status,
    crc16_ccitt,
    has_right_crc,
    wrap,
)
from firmware_bridge.simulator.node import build_node_frame
from firmware_bridge.values import Decoded
from models.contract.record import Quality

FRAME = NodeFrame(
    node=7,
    sequence=1000,
    uptime_s=86_400,
    values={"poa_global": 8125, "temp_module": 4210, "temp_air": -550, "supply_voltage": 3300},
)
NEXT = dataclasses.replace(FRAME, sequence=1001, uptime_s=86_410)


def after(frame: NodeFrame, frames: int, seconds: int) -> NodeFrame:
    sequence = (frame.sequence + frames) % 65_536
    return dataclasses.replace(frame, sequence=sequence, uptime_s=frame.uptime_s + seconds)


def heard(*frames: NodeFrame) -> FrameBuffer:
    buffer = FrameBuffer()
    for frame in frames:
        buffer.feed(encode_frame(frame))
    return buffer


def test_crc_is_that_of_the_published_check_value() -> None:
    assert crc16_ccitt(b"123456789") == 0x29B1  # CRC-16/CCITT-FALSE


@pytest.mark.parametrize(
    ("data", "encoded"),
    [  # examples of the COBS paper's rules
        ("", "01"),
        ("00", "01 01"),
        ("00 00", "01 01 01"),
        ("11 22 00 33", "03 11 22 02 33"),
        ("11 00 00 00", "02 11 01 01 01"),
    ],
)
def test_stuffing_is_cobs(data: str, encoded: str) -> None:
    assert cobs_encode(bytes.fromhex(data)) == bytes.fromhex(encoded)
    assert cobs_decode(bytes.fromhex(encoded)) == bytes.fromhex(data)


@given(st.binary(max_size=800) | st.integers(250, 520).map(lambda size: b"\x05" * size))
def test_stuffing_comes_back_and_holds_no_zero(data: bytes) -> None:
    encoded = cobs_encode(data)
    assert 0 not in encoded
    assert cobs_decode(encoded) == data


@given(st.binary(max_size=300))
def test_stuffing_takes_any_bytes_or_refuses(encoded: bytes) -> None:
    try:
        data = cobs_decode(encoded)
    except ValueError:
        return
    assert len(data) <= len(encoded)


def test_a_frame_comes_back_in_base_units() -> None:
    (frame,) = FrameBuffer().feed(encode_frame(FRAME))
    assert frame == FRAME
    assert isinstance(frame, NodeFrame)
    decoded = decode_frame(frame, raw=True)
    values = {name: reading.value for name, reading in decoded.readings.items()}
    assert values == {"poa_global": 812.5, "temp_module": 42.1, "temp_air": -5.5}
    assert decoded.details["supply_voltage"].value == 3.3
    assert decoded.details["uptime"].value == 86_400
    assert decoded.raw["poa_global"] == "bd1f"


def test_a_sensor_that_its_node_calls_faulty_gives_no_value() -> None:
    decoded = decode_frame(dataclasses.replace(FRAME, status=Status.MODULE_FAULT))
    assert decoded.readings["temp_module"].quality is Quality.MISSING
    assert "faulty" in decoded.reasons["temp_module"]
    assert decoded.readings["poa_global"].value == 812.5
    assert decoded.details["status"].value == "module_fault"


def test_a_value_that_nature_does_not_have_is_suspect() -> None:
    decoded = decode_frame(dataclasses.replace(FRAME, values={"poa_global": 0x7FFF}))
    assert decoded.readings["poa_global"].quality is Quality.SUSPECT


def test_fields_of_later_firmware_are_stepped_over() -> None:
    later = dataclasses.replace(FRAME, unknown={200: b"\1\2\3\4\5", 201: b""})
    (frame,) = FrameBuffer().feed(encode_frame(later))
    assert frame == later
    assert isinstance(frame, NodeFrame)
    assert decode_frame(frame).readings == decode_frame(FRAME).readings
    assert decode_frame(frame).details["field_200"].value == "0102030405"


def test_another_version_is_refused_by_its_name() -> None:
    buffer = FrameBuffer()
    (refused,) = buffer.feed(wrap(b"\x02" + b"anything at all"))
    assert isinstance(refused, RefusedFrame)
    assert "version 2" in refused.reason
    assert "update" in refused.reason
    assert buffer.counters.other_version == 1


@pytest.mark.parametrize(
    "content",
    [
        b"\x01",
        b"\x01\x07\x00\x01\x00\x00\x00\x00\x00\x00",  # a head cut short
        b"\x01\x07\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01",  # a field without a size
        b"\x01\x07\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x02\x05",  # beyond the end
        b"\x01\x07\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x01\x05",  # a byte too few
        b"\x01\x07\x00\x01\x00\x00\x00\x00\x00\x00\x00" + b"\x01\x02\x05\x00" * 2,  # twice
    ],
)
def test_parts_that_do_not_fit_together_are_refused(content: bytes) -> None:
    buffer = FrameBuffer()
    (refused,) = buffer.feed(wrap(content))
    assert isinstance(refused, RefusedFrame)
    assert buffer.counters.bad_form == 1


def test_a_frame_cut_anywhere_costs_itself_alone() -> None:
    data = encode_frame(FRAME)
    for cut in range(1, len(data) - 1):
        for piece in (data[:cut], data[cut:]):
            outcomes = FrameBuffer().feed(piece + encode_frame(NEXT))
            frames = [one for one in outcomes if isinstance(one, NodeFrame)]
            whole = piece.strip(b"\0") == data.strip(b"\0")
            assert frames == ([FRAME, NEXT] if whole else [NEXT]), cut


def test_pieces_of_any_size_give_the_same() -> None:
    stream = b"noise\0" + b"".join(encode_frame(after(FRAME, n, n)) for n in range(50)) + b"\1\2"
    expected = FrameBuffer().feed(stream)
    assert len(expected) == 51
    source = random.Random(3)
    for _ in range(50):
        buffer, outcomes, at = FrameBuffer(), [], 0
        while at < len(stream):
            size = source.choice((1, 2, 5, 40, 300))
            outcomes += buffer.feed(stream[at : at + size])
            at += size
        assert outcomes == expected


def test_no_flipped_bit_is_believed_in_over_100_000_tries() -> None:
    source = random.Random(4)
    tries = 0
    while tries < 100_000:
        names = source.sample(("poa_global", "temp_module", "temp_air", "ghi"), 3)
        frame = NodeFrame(
            source.randrange(65_536),
            source.randrange(65_536),
            source.randrange(2**32),
            source.randrange(64),
            {name: source.randrange(-32_768, 32_768) for name in names},
        )
        data = encode_frame(frame)
        for place in range(8 * len(data)):
            spoilt = bytearray(data)
            spoilt[place // 8] ^= 1 << place % 8
            outcomes = FrameBuffer().feed(bytes(spoilt) + b"\0")
            assert not any(isinstance(one, NodeFrame) for one in outcomes), (frame, place)
            tries += 1
    print(f"{tries} flipped bits, none believed")


def test_random_damage_passes_the_crc_as_rarely_as_it_should() -> None:
    """The residue of any 16-bit CRC: one in 65536; the frame's form stops most of the rest."""
    source = random.Random(5)
    tries, passed = 400_000, 0
    for _ in range(tries):
        passed += has_right_crc(source.randbytes(6))
    expected = tries / 65_536
    print(f"{passed} of {tries} random contents have a right CRC, expected {expected:.1f}")
    assert passed <= expected + 5 * expected**0.5


def test_a_stream_without_an_end_is_bounded_and_refused_once() -> None:
    buffer = FrameBuffer()
    for _ in range(1000):
        assert not buffer.feed(b"\x55" * 100)
        assert len(buffer._pending) <= LONGEST_CONTENT + 1
    outcomes = buffer.feed(encode_frame(FRAME))
    assert [type(one) for one in outcomes] == [RefusedFrame, NodeFrame]
    assert buffer.counters.too_long == 1


def test_counters_tell_what_happened_to_a_stream() -> None:
    buffer = heard(FRAME, FRAME, after(FRAME, 1, 10), after(FRAME, 5, 50))
    assert (buffer.counters.frames, buffer.counters.duplicates, buffer.counters.lost) == (3, 1, 3)
    data = bytearray(encode_frame(NEXT))
    data[-3] ^= 1
    (refused,) = buffer.feed(bytes(data))
    assert isinstance(refused, RefusedFrame)
    assert refused.fault is Fault.CRC
    assert buffer.counters.bad_crc == 1
    buffer.feed(b"\x20\x20\0")
    assert buffer.counters.bad_cobs == 1


def test_a_sequence_that_starts_again_after_65535_loses_nothing() -> None:
    last = dataclasses.replace(FRAME, sequence=65_535)
    counters = heard(last, after(last, 1, 10)).counters
    assert (counters.frames, counters.lost, counters.restarts) == (2, 0, 0)


def test_a_restarted_node_is_heard_at_once() -> None:
    anew = dataclasses.replace(FRAME, sequence=0, uptime_s=2)
    counters = heard(FRAME, anew, after(anew, 1, 1)).counters
    assert (counters.frames, counters.restarts, counters.lost) == (3, 1, 0)
    # restarted while nobody listened, and up for longer than before
    late = dataclasses.replace(FRAME, sequence=5, uptime_s=FRAME.uptime_s + 9)
    counters = heard(FRAME, late).counters
    assert (counters.frames, counters.restarts, counters.duplicates) == (2, 1, 0)


def test_nodes_on_one_line_are_told_apart() -> None:
    other = dataclasses.replace(FRAME, node=8, uptime_s=1, sequence=9)
    counters = heard(FRAME, other, NEXT, after(other, 1, 1)).counters
    assert (counters.frames, counters.restarts, counters.lost) == (4, 0, 0)


@pytest.mark.parametrize(
    "frame",
    [
        dataclasses.replace(FRAME, node=70_000),
        dataclasses.replace(FRAME, values={"poa_global": 40_000}),
        dataclasses.replace(FRAME, values={"wind": 1}),
        dataclasses.replace(FRAME, unknown={9: bytes(200)}),
    ],
)
def test_what_does_not_fit_is_not_encoded(frame: NodeFrame) -> None:
    with pytest.raises(ValueError, match=r"fit|field|longer"):
        encode_frame(frame)


def test_a_file_of_frames_decodes_and_says_what_it_refuses() -> None:
    data = encode_frame(FRAME) + b"\x11\x22" + encode_frame(NEXT)
    first, refused, second = decode_node_frames(data)
    assert isinstance(first, Decoded)
    assert isinstance(second, Decoded)
    assert isinstance(refused, Refused)
    assert first.readings["poa_global"].value == 812.5


def test_the_simulated_node_says_what_it_was_told_to() -> None:
    values = {"poa_global": 812.5, "temp_module": -3.21, "ghi": 9_999.0, "ac_power": 5.0}
    (frame,) = FrameBuffer().feed(build_node_frame(values, 65_535, 12, node=9))
    assert isinstance(frame, NodeFrame)
    assert (frame.node, frame.sequence, frame.uptime_s) == (9, 65_535, 12)
    readings = decode_frame(frame).readings
    assert readings["poa_global"].value == 812.5
    assert readings["temp_module"].value == -3.21
    assert readings["ghi"].value == 3_276.7  # its field ends there
    assert set(readings) == {"poa_global", "temp_module", "ghi"}
