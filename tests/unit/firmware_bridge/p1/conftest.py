"""Telegrams recorded from real meters, and telegrams made for a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge.p1 import RefusedTelegram, Telegram, TelegramBuffer, decode_telegram
from firmware_bridge.p1.crc import crc16
from firmware_bridge.values import Decoded

Read = Callable[[bytes], list[Telegram | RefusedTelegram]]


@pytest.fixture
def telegrams(data_dir: Path) -> dict[str, bytes]:
    """Recorded telegrams by the name of their file."""
    files = sorted((data_dir / "devices" / "dsmr-p1").glob("*.txt"))
    assert len(files) >= 8
    return {file.stem.removeprefix("telegram_"): file.read_bytes() for file in files}


@pytest.fixture
def read() -> Read:
    """A function: what a fresh buffer makes of some bytes."""

    def read_all(data: bytes) -> list[Telegram | RefusedTelegram]:
        buffer = TelegramBuffer()
        return buffer.feed(data) + buffer.end()

    return read_all


@pytest.fixture
def with_crc() -> Callable[..., bytes]:
    """A function: a telegram of given lines with the CRC that belongs to it."""

    def make(*lines: str, head: str = "/TST5\\METER") -> bytes:
        body = ("\r\n".join((head, "", *lines)) + "\r\n!").encode("latin-1")
        return body + f"{crc16(body):04X}\r\n".encode()

    return make


@pytest.fixture
def decode(with_crc: Callable[..., bytes], read: Read) -> Callable[..., Decoded]:
    """A function: what a telegram of given lines means."""

    def decode_lines(*lines: str, head: str = "/TST5\\METER", crc: bool = True) -> Decoded:
        data = with_crc(*lines, head=head)
        if not crc:
            data = data[: data.index(b"!")] + b"!\r\n"
        (telegram,) = read(data)
        assert isinstance(telegram, Telegram), telegram
        return decode_telegram(telegram, raw=True)

    return decode_lines
