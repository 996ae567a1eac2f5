"""Which bytes make a telegram, and which are refused, whatever happens on the wire."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import pytest

from firmware_bridge.errors import DeviceError, Fault
from firmware_bridge.p1 import RefusedTelegram, Telegram, TelegramBuffer, decode_telegram
from firmware_bridge.p1.crc import crc16
from firmware_bridge.p1.telegram import LONGEST

Outcomes = list[Telegram | RefusedTelegram]
Read = Callable[[bytes], Outcomes]

WITHOUT_CRC = ("v2_2", "v3", "esy5q3db1024_v304")
GOOD = b"/TST5\\NEXT\r\n\r\n1-0:1.7.0(00.123*kW)\r\n1-0:2.7.0(00.000*kW)\r\n!"
GOOD += f"{crc16(GOOD):04X}\r\n".encode()


def believed(outcomes: Outcomes) -> list[Telegram]:
    return [outcome for outcome in outcomes if isinstance(outcome, Telegram)]


def even(data: bytes) -> bytes:
    """``data`` as a 7E1 meter sends it, seen by a port of 8 data bits."""
    return bytes(byte | (byte.bit_count() & 1) << 7 for byte in data)


def whole(data: bytes) -> bytes:
    """A recorded telegram up to its line end; EasyMeter's recording goes on with other bytes."""
    return data[: data.index(b"\n", data.index(b"!")) + 1]


def test_crc_is_that_of_the_published_check_value() -> None:
    assert crc16(b"123456789") == 0xBB3D  # CRC-16/ARC, catalogue of parametrised CRC algorithms


def test_every_recorded_telegram_is_believed_once(telegrams: dict[str, bytes], read: Read) -> None:
    for name, data in telegrams.items():
        outcomes = read(data)
        assert len(outcomes) == 1, name
        (telegram,) = believed(outcomes)
        assert telegram.has_crc is (name not in WITHOUT_CRC), name


def test_pieces_of_any_size_give_the_same(telegrams: dict[str, bytes], read: Read) -> None:
    stream = b"/noise!\r\n\xff\x00".join(telegrams.values()) + b"/cut" + GOOD
    expected = read(stream)
    assert len(believed(expected)) == len(telegrams) + 1
    source = random.Random(1)
    for _ in range(30):
        buffer, outcomes, at = TelegramBuffer(), [], 0
        while at < len(stream):
            size = source.choice((1, 2, 7, 64, 1000))
            outcomes += buffer.feed(stream[at : at + size])
            at += size
        assert outcomes + buffer.end() == expected


def test_a_telegram_cut_anywhere_is_not_believed_and_the_next_one_is(
    telegrams: dict[str, bytes], read: Read
) -> None:
    cuts = 0
    for name, data in telegrams.items():
        telegram = whole(data)
        for cut in range(1, len(telegram)):
            good = believed(read(telegram[:cut] + GOOD))
            assert [one.identification for one in good] == ["TST5\\NEXT"], (name, cut)
            cuts += 1
    assert cuts > 4000


def test_bytes_lost_from_the_front_do_not_hurt_the_next_telegram(
    telegrams: dict[str, bytes], read: Read
) -> None:
    for name, data in telegrams.items():
        telegram = whole(data)
        for start in range(1, len(telegram)):
            good = believed(read(telegram[start:] + GOOD))
            assert [one.identification for one in good] == ["TST5\\NEXT"], (name, start)


def test_no_flipped_bit_is_believed_where_there_is_a_crc(
    telegrams: dict[str, bytes], read: Read
) -> None:
    flips = 0
    for name, data in telegrams.items():
        if name in WITHOUT_CRC:
            continue
        telegram = whole(data)
        for place in range(8 * len(telegram)):
            spoilt = bytearray(telegram)
            spoilt[place // 8] ^= 1 << place % 8
            good = believed(read(bytes(spoilt) + GOOD))
            # A line end that is gone takes the next telegram's beginning with it at most.
            assert {one.identification for one in good} <= {"TST5\\NEXT"}, (name, place)
            flips += 1
    assert flips > 30_000


def test_no_flipped_bit_is_believed_where_there_is_parity(
    telegrams: dict[str, bytes], read: Read
) -> None:
    for name in WITHOUT_CRC:
        telegram = even(whole(telegrams[name]))
        (plain,) = believed(read(telegram))
        assert not plain.has_crc
        for place in range(8 * len(telegram)):
            spoilt = bytearray(telegram)
            spoilt[place // 8] ^= 1 << place % 8
            assert not believed(read(bytes(spoilt))), (name, place)


def test_without_crc_and_parity_only_a_digit_can_become_another_digit(
    telegrams: dict[str, bytes], read: Read
) -> None:
    """The limit of telegrams that prove nothing, and how far it reaches."""
    for name in WITHOUT_CRC:
        telegram = whole(telegrams[name])
        truth = readings_of(read(telegram))
        wrong = [
            place
            for place in range(8 * len(telegram))
            if readings_of(read(flipped(telegram, place))) not in (truth, None)
        ]
        share = len(wrong) / (8 * len(telegram))
        print(f"{name}: {share:.1%} of flipped bits change a reading unnoticed")
        for place in wrong:
            before, after = telegram[place // 8], flipped(telegram, place)[place // 8]
            assert chr(before).isdigit(), (name, place)
            assert chr(after).isdigit(), (name, place)


def readings_of(outcomes: Outcomes) -> dict[str, float | None] | None:
    """Values of the one telegram among ``outcomes``; None if none is believed."""
    for telegram in believed(outcomes):
        with contextlib.suppress(DeviceError):
            readings = decode_telegram(telegram).readings
            return {name: reading.value for name, reading in readings.items()}
    return None


def flipped(data: bytes, place: int) -> bytes:
    spoilt = bytearray(data)
    spoilt[place // 8] ^= 1 << place % 8
    return bytes(spoilt)


def test_lost_bytes_that_join_two_lines_are_noticed_by_the_lines_that_are_missing(
    telegrams: dict[str, bytes],
) -> None:
    telegram = telegrams["v2_2"]
    first = telegram.index(b"1-0:1.8.1(") + len(b"1-0:1.8.1(")
    second = telegram.index(b"1-0:2.8.2(") + len(b"1-0:2.8.2(")
    joined = telegram[:first] + telegram[second:]  # import now shows the digits of export
    buffer = TelegramBuffer()
    assert len(believed(buffer.feed(telegram))) == 1
    (refused,) = buffer.feed(joined)
    assert isinstance(refused, RefusedTelegram)
    assert "other lines than the last one" in refused.reason
    assert not believed(buffer.feed(telegram))  # which of the two was true is not known yet
    assert len(believed(buffer.feed(telegram))) == 1


def test_a_checksum_that_is_missing_where_there_must_be_one(telegrams: dict[str, bytes]) -> None:
    for name in ("v4_2", "v5", "fluvius_v171", "unpadded_crc"):
        data = telegrams[name]
        (refused,) = TelegramBuffer().feed(data[: data.index(b"!")] + b"!\r\n")
        assert isinstance(refused, RefusedTelegram)
        assert "no checksum" in refused.reason, name


def test_a_meter_that_sent_checksums_once_is_held_to_it() -> None:
    bare = GOOD[: GOOD.index(b"!")] + b"!\r\n"
    buffer = TelegramBuffer()
    assert len(believed(buffer.feed(bare))) == 1  # may be a meter that has none
    assert len(believed(buffer.feed(GOOD))) == 1
    assert not believed(buffer.feed(bare))


@pytest.mark.parametrize("checksum", ["0000", "0", "FFFF"])
def test_a_wrong_checksum_is_refused_and_the_next_telegram_is_read(
    telegrams: dict[str, bytes], read: Read, checksum: str
) -> None:
    data = telegrams["v5"]
    outcomes = read(data[: data.index(b"!")] + f"!{checksum}\r\n".encode() + GOOD)
    assert isinstance(outcomes[0], RefusedTelegram)
    assert outcomes[0].fault is Fault.CRC
    assert len(believed(outcomes)) == 1


def test_line_ends_of_a_bridge_that_drops_carriage_returns(
    telegrams: dict[str, bytes], read: Read
) -> None:
    for name, data in telegrams.items():
        plain = believed(read(data))
        assert believed(read(data.replace(b"\r\n", b"\n"))) == plain, name


def test_a_stream_without_an_end_is_bounded_in_memory_and_refused_once() -> None:
    buffer = TelegramBuffer()
    outcomes: Outcomes = []
    outcomes += buffer.feed(b"/TST5\\FOREVER\r\n\r\n")
    for _ in range(100):
        outcomes += buffer.feed(b"1-0:1.7.0(00.123*kW)\r\n" * 50)
        assert len(buffer._pending) <= LONGEST + 2000
    assert [type(outcome) for outcome in outcomes] == [RefusedTelegram]
    assert believed(buffer.feed(GOOD))


def test_nonsense_behind_the_end_is_refused(read: Read) -> None:
    body = GOOD[: GOOD.index(b"!") + 1]
    for tail in (b" 1A2B\r\n", b"12345678\r\n", b"12G4\r\n", b"abcd\r\n", b"1A2B\x0c\n"):
        assert not believed(read(body + tail)), tail


def test_random_bytes_are_never_a_telegram(read: Read) -> None:
    source = random.Random(2)
    for _ in range(200):
        assert not believed(read(source.randbytes(2000)))
        printable = bytes(source.choices(b"/!0123456789.:-()*kWh\r\n", k=2000))
        assert not believed(read(printable))
