"""The flight recorder remembers the last minutes within its memory, and its file reads back."""

from __future__ import annotations

import random

import pytest

from firmware_bridge import flight
from firmware_bridge.errors import PermanentDeviceError
from firmware_bridge.flight import DumpLimit, FlightRecorder, looks_like_recording, parse_recording

NOW = 1_717_200_000_000


def test_what_is_written_reads_back() -> None:
    recorder = FlightRecorder("/dev/ttyUSB0", framing="rtu")
    recorder.sent(bytes.fromhex("0104000000027 1cb".replace(" ", "")))
    recorder.received(b"\x01\x04\x04")
    recorder.event("fault timeout")
    text = recorder.to_text("device meter:\n no reply", NOW)
    assert looks_like_recording(text)
    found = parse_recording(text, "x.txt")
    assert found.about["bus"] == "/dev/ttyUSB0"
    assert found.about["framing"] == "rtu"
    assert found.about["reason"] == "device meter: no reply"
    assert [(e.kind, e.data.hex(), e.text) for e in found.entries] == [
        ("send", "01040000000271cb", ""),
        ("recv", "010404", ""),
        ("event", "", "fault timeout"),
    ]
    times = [entry.time_s for entry in found.entries]
    assert times[0] == 0.0
    assert times == sorted(times, key=lambda t: t or 0.0)


def test_old_entries_make_room_by_size() -> None:
    recorder = FlightRecorder("bus", keep_bytes=10_000)
    chance = random.Random(1)
    for _ in range(5000):
        recorder.received(chance.randbytes(chance.randint(1, 256)))
        assert recorder._size <= 10_000 + 320
    assert 20 < len(recorder) < 160


def test_old_entries_make_room_by_age(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(flight.time, "monotonic", lambda: now[0])
    recorder = FlightRecorder("bus", keep_s=60.0)
    for _ in range(100):
        recorder.sent(b"x")
        now[0] += 1.0
    assert len(recorder) == 61


def test_traces_without_times_and_heads_are_recordings_too() -> None:
    found = parse_recording("send 01 03\n\nrecv 0104\n# a remark\n")
    assert [entry.time_s for entry in found.entries] == [None, None]
    assert found.entries[1].data == b"\x01\x04"


@pytest.mark.parametrize("line", ["send 01 0", "sent 01", "1.0 recv xx", "hello"])
def test_a_damaged_line_is_named(line: str) -> None:
    with pytest.raises(PermanentDeviceError, match=r"x\.txt:2: "):
        parse_recording(f"send 01\n{line}\n", "x.txt")


def test_one_broken_line_does_not_fill_the_card() -> None:
    now = [0.0]
    limit = DumpLimit(600.0, lambda: now[0])
    assert limit.allows("a")
    assert not limit.allows("a")
    assert limit.allows("b")
    now[0] = 601.0
    assert limit.allows("a")
