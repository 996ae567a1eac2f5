"""Whole processes: stopped, blocked, unable to end, and heard by systemd to the last word."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.edge_agent.supervision.stage import PATIENCE_S

Start = Callable[..., subprocess.Popen[str]]

HEAD = """
import asyncio, os, signal, sys, threading, time
from pathlib import Path
from edge_agent.supervision import LoopGuard, SupervisionSettings, Supervisor, WorkerFailed

def say(text):
    print(text, flush=True)

async def well(progress):
    while True:
        progress.mark()
        await asyncio.sleep(0.005)

async def main(supervisor):
    running = asyncio.create_task(supervisor.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        say("ended")
"""


def end_of(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, standard output and error of a process that has to end by itself."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def test_a_process_that_was_stopped_for_an_hour_goes_on(start_program: Start) -> None:
    # The stop is real and short; that it took an hour is what the clock says afterwards.
    process = start_program(
        HEAD
        + """
slept = 0.0

def woken(number, frame):
    global slept
    slept = 3600.0

def monotonic():
    return time.monotonic() + slept

signal.signal(signal.SIGCONT, woken)

async def tell(progress):
    say("begun")
    seen = False
    while True:
        progress.mark()
        if supervisor.gaps and not seen:
            seen = True
            await asyncio.sleep(0.2)  # long enough for many a judgement
            say(f"gaps {supervisor.gaps}, restarts {supervisor.counts()['worker_restarts']}")
        await asyncio.sleep(0.005)

guard = LoopGuard(monotonic, tick_s=0.01)
guard.start()
supervisor = Supervisor(
    monotonic, SupervisionSettings(turn_s=0.01, loop_deadline_s=30), guard=guard)
supervisor.add("tell", tell, 30)
supervisor.add("poll", well, 30)
supervisor.watch("thread", 30, lambda: 0.0)
asyncio.run(main(supervisor))
"""
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    process.send_signal(signal.SIGCONT)
    assert process.stdout.readline() == "gaps 1, restarts 0\n"
    process.terminate()
    assert end_of(process)[:2] == (0, "ended\n")


def test_the_guard_forgives_a_stop_and_counts_the_time_after_it(start_program: Start) -> None:
    process = start_program(
        HEAD
        + """
now = 1000.0
guard = LoopGuard(lambda: now, tick_s=0.002)
guard.expect(30, "a turn")
guard.start()
time.sleep(0.05)
now += 3600
time.sleep(0.05)
say("forgiven")
while now < 5000:
    now += 9
    time.sleep(0.05)
"""
    )
    code, out, err = end_of(process)
    assert (code, out) == (70, "forgiven\n")
    assert "a turn did not come in time" in err


BLOCKED = (
    HEAD
    + """
async def blocking(progress):
    await asyncio.sleep(0.02)
    say("blocked")
    stands_in_this_function()

def stands_in_this_function():
    time.sleep(600)

def last_words():
    {last_words}

guard = LoopGuard(tick_s=0.01, last_words_s=0.2)
guard.last_words = last_words
guard.start()
supervisor = Supervisor(
    time.monotonic, SupervisionSettings(turn_s=0.01, loop_deadline_s=0.3), guard=guard)
supervisor.add("poll", blocking, 60)
{before}
asyncio.run(main(supervisor))
"""
)


def test_a_blocked_loop_says_where_it_stands_and_ends_after_its_last_words(
    start_program: Start, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    text = BLOCKED.format(last_words="Path(sys.argv[1]).write_text('flushed')", before="")
    code, out, err = end_of(start_program(text, str(journal)))
    assert (code, out) == (70, "blocked\n")
    assert "a turn of the event loop did not come in time; exit code 70" in err
    assert "in stands_in_this_function" in err
    assert journal.read_text() == "flushed"


@pytest.mark.parametrize("last_words", ["time.sleep(600)", "1 / 0", "lock.acquire()"])
def test_last_words_that_hang_or_fail_do_not_keep_the_process(
    last_words: str, start_program: Start
) -> None:
    before = "lock = threading.Lock(); lock.acquire()"
    code, _, err = end_of(start_program(BLOCKED.format(last_words=last_words, before=before)))
    assert code == 70
    assert "in stands_in_this_function" in err
    assert ("ZeroDivisionError" in err) == (last_words == "1 / 0")


def test_a_log_that_nobody_reads_keeps_neither_the_journal_nor_the_process(
    start_program: Start, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    fill = """
os.set_blocking(2, False)
try:
    while True:
        os.write(2, b"x" * 4096)
except BlockingIOError:
    os.set_blocking(2, True)
"""
    text = BLOCKED.format(last_words="Path(sys.argv[1]).write_text('flushed')", before=fill)
    process = start_program(text, str(journal))
    assert process.wait(PATIENCE_S) == 70
    assert journal.read_text() == "flushed"


@pytest.mark.parametrize(
    "hold",
    [
        "await asyncio.to_thread(lambda: time.sleep(600))",
        "\n    while True:\n        try:\n            await asyncio.sleep(600)\n"
        "        except asyncio.CancelledError:\n            pass",
    ],
    ids=["thread", "task"],
)
def test_an_end_that_waits_for_ever_is_cut_short(hold: str, start_program: Start) -> None:
    """asyncio.run waits for threads and tasks that it cannot end, without any deadline."""
    process = start_program(
        HEAD
        + f"""
async def holding(progress):
    say("begun")
    {hold}

async def farewell():
    say("stored")

guard = LoopGuard(tick_s=0.01)
guard.start()
supervisor = Supervisor(
    time.monotonic,
    SupervisionSettings(turn_s=0.01, cancel_s=0.05, farewell_s=0.2, end_s=0.6),
    guard=guard, farewell=farewell)
supervisor.add("poll", holding, 60)
asyncio.run(main(supervisor))
"""
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.terminate()
    code, out, err = end_of(process)
    assert (code, out) == (70, "stored\nended\n")
    assert "the end of the process did not come in time" in err


def test_systemd_is_told_of_life_and_of_the_end(
    start_program: Start, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    process = start_program(
        HEAD
        + """
supervisor = Supervisor(time.monotonic, SupervisionSettings(turn_s=0.01))
supervisor.add("poll", well, 60)
asyncio.run(main(supervisor))
"""
    )
    for _ in range(5):
        assert systemd.recv(100) == b"WATCHDOG=1"
    process.terminate()
    heard = b"WATCHDOG=1"
    while heard == b"WATCHDOG=1":
        heard = systemd.recv(100)
    assert heard == b"STOPPING=1"
    assert end_of(process)[0] == 0


def test_a_program_whose_worker_is_beyond_help_fails_with_its_reason(start_program: Start) -> None:
    process = start_program(
        HEAD
        + """
async def broken(progress):
    raise OSError("no card")

supervisor = Supervisor(
    time.monotonic,
    SupervisionSettings(turn_s=0.005, first_pause_s=0.001, longest_pause_s=0.002))
supervisor.add("poll", broken, 60)
asyncio.run(main(supervisor))
"""
    )
    code, _, err = end_of(process)
    assert code == 1
    assert "WorkerFailed: the poll worker is beyond help: failed 6 times, at last: OSError" in err
