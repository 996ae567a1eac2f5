"""The log reaches journald with its fields, and never holds up or ends the agent that writes it.

The other end is a real datagram socket that this test reads, as journald does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.logs import JournalHandler, encode, stderr_is_journal, tag_log


class Journald:
    """Listens at a socket of its own and takes entries apart."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self.open()

    def open(self) -> None:
        Path(self.address).unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(2)

    def close(self) -> None:
        self._socket.close()

    def entry(self) -> dict[str, str]:
        """The next one; TimeoutError if there is none."""
        return decode(self._socket.recv(1 << 20))

    def drain(self) -> list[dict[str, str]]:
        """All that wait."""
        self._socket.setblocking(False)
        entries: list[dict[str, str]] = []
        try:
            while True:
                entries.append(self.entry())
        except BlockingIOError:
            return entries
        finally:
            self._socket.settimeout(2)


def decode(data: bytes) -> dict[str, str]:
    """The fields of a native datagram."""
    fields: dict[str, str] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            (length,) = struct.unpack_from("<Q", rest)
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n"
            rest = rest[1:]
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
        data = rest
    return fields


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    listener = Journald(tmp_path / "journal")
    yield listener
    listener.close()


@pytest.fixture
def stderr() -> Iterator[tuple[int, socket.socket]]:
    """What systemd connects to standard error, and journald's end of it."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(2)
    with ours, theirs:
        yield ours.fileno(), theirs


@pytest.fixture
def handler(journald: Journald, stderr: tuple[int, socket.socket]) -> Iterator[JournalHandler]:
    handler = JournalHandler(journald.address, stderr[0])
    handler.setFormatter(logging.Formatter("%(message)s"))
    yield handler
    handler.close()


@pytest.fixture
def log(handler: JournalHandler) -> Iterator[logging.Logger]:
    logger = logging.getLogger("edge_agent.test")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    logger.propagate = True


# ---- what an entry holds -------------------------------------------------------------------------


def test_entry_tells_where_it_comes_from(log: logging.Logger, journald: Journald) -> None:
    log.warning("device %s: no answer", "meter")
    entry = journald.entry()
    assert entry["MESSAGE"] == "device meter: no answer"
    assert entry["PRIORITY"] == "4"
    assert entry["SYSLOG_IDENTIFIER"] == "solar-edge"
    assert entry["LOGGER"] == "edge_agent.test"
    assert entry["CODE_FILE"] == __file__
    assert entry["CODE_FUNC"] == "test_entry_tells_where_it_comes_from"
    assert "log.warning" in Path(__file__).read_text().splitlines()[int(entry["CODE_LINE"]) - 1]


@pytest.mark.parametrize(
    ("level", "priority"),
    [(10, "7"), (19, "7"), (20, "6"), (30, "4"), (35, "4"), (40, "3"), (50, "2"), (99, "2")],
)
def test_levels_are_the_journals_priorities(
    log: logging.Logger, journald: Journald, level: int, priority: str
) -> None:
    log.log(level, "x")
    assert journald.entry()["PRIORITY"] == priority


def test_extras_become_fields_and_cannot_forge_others(
    log: logging.Logger, journald: Journald
) -> None:
    fields = {"device": "meter", "unit": 5, "_PID": 1, "bad=name\n": "x", "lists": [1]}
    log.info("read", extra=fields)
    entry = journald.entry()
    assert entry["SOLAR_DEVICE"] == "meter"
    assert entry["SOLAR_UNIT"] == "5"
    assert entry["SOLAR__PID"] == "1"
    assert entry["SOLAR_BAD_NAME_"] == "x"
    assert [name for name in entry if name.startswith(("_", "SOLAR_LISTS"))] == []


def test_a_line_break_in_a_value_starts_no_new_field(
    log: logging.Logger, journald: Journald
) -> None:
    log.info("first\nPRIORITY=0\nlast", extra={"device": "a\n_UID=0"})
    entry = journald.entry()
    assert entry["MESSAGE"] == "first\nPRIORITY=0\nlast"
    assert entry["PRIORITY"] == "6"
    assert entry["SOLAR_DEVICE"] == "a\n_UID=0"


def test_traceback_is_part_of_the_message(log: logging.Logger, journald: Journald) -> None:
    try:
        raise ValueError("register 40000 is empty")
    except ValueError:
        log.exception("a poll failed")
    entry = journald.entry()
    assert entry["MESSAGE"].startswith("a poll failed\nTraceback (most recent call last):\n")
    assert entry["MESSAGE"].endswith("ValueError: register 40000 is empty")
    assert entry["EXCEPTION"] == "ValueError: register 40000 is empty"


def test_tasks_do_not_share_their_tags(log: logging.Logger, journald: Journald) -> None:
    async def poll(device: str) -> None:
        tag_log(device=device)
        await asyncio.sleep(0)  # the others set theirs
        await asyncio.to_thread(log.info, "in a thread")
        log.info("read")

    async def go() -> None:
        async with asyncio.TaskGroup() as group:
            for device in ("inverter", "meter"):
                group.create_task(poll(device), name=f"poll {device}")
        log.info("without")

    asyncio.run(go())
    entries = journald.drain()
    assert len(entries) == 5
    by_thread = [entry for entry in entries if entry["MESSAGE"] == "in a thread"]
    assert {entry["SOLAR_DEVICE"] for entry in by_thread} == {"inverter", "meter"}
    for entry in (entry for entry in entries if entry["MESSAGE"] == "read"):
        assert entry["SOLAR_LOOP"] == f"poll {entry['SOLAR_DEVICE']}"
    assert "SOLAR_DEVICE" not in entries[-1]


# ---- what must not happen ------------------------------------------------------------------------


def test_a_huge_message_is_clipped_and_keeps_both_ends(
    log: logging.Logger, journald: Journald, handler: JournalHandler
) -> None:
    log.error("begin %s end", "ä" * 5_000_000, extra={f"f{n}": "\n" * 100_000 for n in range(40)})
    entry = journald.entry()
    assert entry["MESSAGE"].startswith("begin ää")
    assert entry["MESSAGE"].endswith("ää end")
    assert "characters left out" in entry["MESSAGE"]
    assert len(entry["MESSAGE"]) < 20_000
    assert handler.dropped == 0


def test_a_system_with_small_datagrams_gets_a_shorter_entry(
    log: logging.Logger, journald: Journald, handler: JournalHandler
) -> None:
    handler._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 6_000)
    log.error("begin %s end", "x" * 14_000)
    entry = journald.entry()
    assert entry["MESSAGE"].startswith("begin x")
    assert entry["MESSAGE"].endswith("x end")
    assert handler.dropped == 0


def test_a_journald_that_does_not_read_costs_lines_and_no_time(
    log: logging.Logger, journald: Journald, handler: JournalHandler
) -> None:
    begin = time.monotonic()
    for number in range(5_000):
        log.info("line %d", number)
    assert time.monotonic() - begin < 5
    taken = journald.drain()
    assert len(taken) + handler.dropped == 5_000
    assert handler.dropped > 0
    log.info("again")
    again, notice = journald.drain()
    assert again["MESSAGE"] == "again"
    assert notice["MESSAGE"].startswith(f"{handler.dropped} lines of the log are lost")
    assert notice["PRIORITY"] == "4"
    log.info("told once")
    assert len(journald.drain()) == 1


def test_without_journald_lines_go_to_standard_error_and_back(
    log: logging.Logger,
    journald: Journald,
    handler: JournalHandler,
    stderr: tuple[int, socket.socket],
) -> None:
    journald.close()
    log.error("one\ntwo")
    assert stderr[1].recv(1000) == b"<3>edge_agent.test: one\n<3>two\n"
    journald.open()
    log.error("three")
    assert journald.entry()["MESSAGE"] == "three"
    assert handler.dropped == 0


def test_a_standard_error_that_nobody_reads_does_not_hold_up_the_agent(
    log: logging.Logger, journald: Journald, handler: JournalHandler
) -> None:
    journald.close()
    begin = time.monotonic()
    for _ in range(2_000):
        log.error("x" * 1000)
    assert time.monotonic() - begin < 5
    assert handler.dropped > 0


def test_a_line_that_cannot_be_put_together_is_told_with_its_place(
    handler: JournalHandler, journald: Journald
) -> None:
    # Past the logger: pytest listens there, too, and does not forgive such a line.
    message = "%d devices"
    handler.handle(logging.LogRecord("x", logging.INFO, __file__, 1, message, ("three",), None))
    entry = journald.entry()
    assert "cannot be put together" in entry["MESSAGE"]
    assert Path(__file__).name in entry["MESSAGE"]


def test_text_that_is_no_unicode_is_still_logged(
    handler: JournalHandler, journald: Journald
) -> None:
    # Not by way of a logger: pytest's own handler keeps lines that its report cannot hold.
    name = os.fsdecode(b"caf\xe9")
    record = logging.LogRecord("edge", logging.INFO, __file__, 1, "file %s", (name,), None)
    handler.handle(record)
    assert journald.entry()["MESSAGE"] == "file caf?"


def test_threads_do_not_mix_their_entries(log: logging.Logger, journald: Journald) -> None:
    def write(name: str) -> None:
        for number in range(50):
            log.info("%s %d\nmore", name, number, extra={"device": name})
            time.sleep(0)

    entries: list[dict[str, str]] = []
    threads = [threading.Thread(target=write, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        entries += journald.drain()
    for thread in threads:
        thread.join()
    entries += [entry for entry in journald.drain() if "lost" not in entry["MESSAGE"]]
    assert entries
    for entry in entries:
        if "lines of the log are lost" not in entry["MESSAGE"]:
            assert entry["MESSAGE"].startswith(f"{entry['SOLAR_DEVICE']} ")


def test_encoded_values_are_found_whole() -> None:
    fields = {"A": "", "B": "=x", "C": "\n", "D": "a\nb", "E": "ü\n"}
    assert decode(encode(fields)) == fields


# ---- which form is chosen ------------------------------------------------------------------------


def test_journal_is_believed_only_while_standard_error_is_its_stream(
    monkeypatch: pytest.MonkeyPatch, stderr: tuple[int, socket.socket], tmp_path: Path
) -> None:
    found = os.fstat(stderr[0])
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    assert stderr_is_journal(stderr[0])
    with (tmp_path / "log").open("w") as redirected:
        assert not stderr_is_journal(redirected.fileno())
    for nonsense in ("", "8:", "x:y", f"{found.st_dev}:{found.st_ino + 1}"):
        monkeypatch.setenv("JOURNAL_STREAM", nonsense)
        assert not stderr_is_journal(stderr[0])
    monkeypatch.delenv("JOURNAL_STREAM")
    assert not stderr_is_journal(stderr[0])


PROGRAM = """
import json, logging, sys, threading
import edge_agent.logs as logs
logs.JournalHandler.__init__.__defaults__ = (sys.argv[1], 2)
logs.set_up_log(verbose=False)
logging.getLogger("edge_agent.app").info("agent runs")
logging.getLogger("edge_agent.app").debug("detail")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise RuntimeError("the uplink loop ended")
"""


def run_program(address: str, stderr: int, environment: dict[str, str]) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, address],
        stderr=stderr,
        env={**os.environ, **environment},
        timeout=60,
    )
    return done.returncode


def test_under_systemd_an_uncaught_error_is_one_critical_entry(
    journald: Journald, stderr: tuple[int, socket.socket]
) -> None:
    found = os.fstat(stderr[0])
    stream = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
    assert run_program(journald.address, stderr[0], stream) == 1
    entries = journald.drain()
    assert [(entry["PRIORITY"], entry.get("EXCEPTION")) for entry in entries] == [
        ("6", None),
        ("2", "ZeroDivisionError: division by zero"),
        ("2", "RuntimeError: the uplink loop ended"),
    ]
    assert "Traceback" in entries[2]["MESSAGE"]
    stderr[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        stderr[1].recv(1)


def test_at_a_terminal_the_log_is_text_with_time_and_level(
    journald: Journald, tmp_path: Path
) -> None:
    with (tmp_path / "terminal").open("w+") as terminal:
        assert run_program(journald.address, terminal.fileno(), {"JOURNAL_STREAM": "8:1"}) == 1
        terminal.seek(0)
        first, *rest = terminal.read().splitlines()
    assert first[:2] == "20"
    assert first.endswith(" INFO edge_agent.app: agent runs")
    assert rest[-1] == "RuntimeError: the uplink loop ended"
    assert "detail" not in json.dumps(rest)
    assert journald.drain() == []
