"""Asking the kernel: against a C program, a refused call, and what time services leave behind."""

from __future__ import annotations

import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge_agent.clock.kernel_time import Timex, kernel_synchronised, seconds_since_boot

ROOT = Path(__file__).parents[4]
LAYOUT = """
#include <stddef.h>
#include <stdio.h>
#include <sys/timex.h>
int main(void) {
    struct timex t = {0};
    int state = adjtimex(&t);
    printf("%zu %zu %zu %zu %zu %d %ld\\n", offsetof(struct timex, offset),
           offsetof(struct timex, freq), offsetof(struct timex, maxerror),
           offsetof(struct timex, maxerror) + sizeof t.maxerror, sizeof t, state, t.maxerror);
    return 0;
}
"""
FAKE = """
#include <errno.h>
#include <sys/timex.h>
int adjtimex(struct timex *t) {
    if (t->modes != 0) { errno = EPERM; return -1; }
    t->maxerror = MAXERROR; t->status = STATUS; errno = ENOSYS;
    return RESULT;
}
"""
ASK = "from edge_agent.clock.kernel_time import kernel_synchronised; print(kernel_synchronised())"
REFUSE = """
import ctypes, struct, sys
# seccomp(2): load the number of the call; adjtimex and clock_adjtime fail with EPERM, as systemd's
# ProtectClock=yes makes them fail.
numbers = {"x86_64": (159, 305), "aarch64": (171, 266)}[sys.argv[1]]
code = [(0x20, 0, 0, 0), (0x15, 1, 0, numbers[0]), (0x15, 0, 1, numbers[1]),
        (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(filters)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0, "no_new_privs"
assert libc.prctl(22, 2, program, 0, 0) == 0, "seccomp"
"""


WATCH = """
import sys
from edge_agent.clock.kernel_time import seconds_since_boot
from edge_agent.clock.settings import ClockSettings
from edge_agent.clock.watch import ClockWatch
from models.contract.clock import SystemClock
import select
watch = ClockWatch(SystemClock(), ClockSettings(), synchronised=lambda: True, not_before=0,
                   monotonic=seconds_since_boot)
print("looking", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(10_000):
        period = watch.look()
print(period.number)
"""


def compiled(source: str, target: Path, compiler: str, *options: str) -> Path:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    subprocess.run(
        [compiler, *options, "-o", target, "-x", "c", "-"], input=source, text=True, check=True
    )
    return target


def ask_in_child(program: str, *arguments: str, preload: Path | None = None) -> str:
    environment = {"LD_PRELOAD": str(preload)} if preload else {}
    child = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert child.returncode == 0, child.stderr
    return child.stdout.strip()


def offsets_and_state(printed: str) -> tuple[list[int], int, int]:
    *layout, state, maxerror = (int(word) for word in printed.split())
    return layout, state, maxerror


def test_the_kernel_says_the_same_to_a_c_program(tmp_path: Path) -> None:
    program = compiled(LAYOUT, tmp_path / "layout", "cc")
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    layout, state, maxerror = offsets_and_state(printed)
    assert layout[:4] == [Timex.offset.offset, Timex.freq.offset, Timex.maxerror.offset, 32]
    assert layout[4] <= 512 - 16
    assert kernel_synchronised() is (None if state < 0 else maxerror < 16_000_000)


def test_the_layout_is_the_same_on_64_bit_arm(tmp_path: Path) -> None:
    if shutil.which("qemu-aarch64-static") is None:
        pytest.skip("qemu-aarch64-static (Debian package qemu-user-static) is not installed")
    program = compiled(LAYOUT, tmp_path / "layout", "aarch64-linux-gnu-gcc", "-static")
    printed = subprocess.run(
        ["qemu-aarch64-static", program], capture_output=True, text=True, check=True
    ).stdout
    layout, _, _ = offsets_and_state(printed)
    assert layout[:4] == [Timex.offset.offset, Timex.freq.offset, Timex.maxerror.offset, 32]
    assert layout[4] <= 512 - 16


@pytest.mark.parametrize(
    ("maxerror", "status", "result", "answer"),
    [
        (0, 0x2001, 0, "True"),  # systemd-timesyncd, just now
        (15_999_999, 0x0040, 5, "True"),  # chronyd without rtcsync: STA_UNSYNC, TIME_ERROR
        (16_000_000, 0x0040, 5, "False"),  # after boot, or after the clock was set by hand
        (16_000_000, 0x0000, 0, "False"),
        (0, 0x2001, -1, "None"),  # no such call
    ],
)
def test_what_time_services_leave_in_the_kernel_is_understood(
    tmp_path: Path, maxerror: int, status: int, result: int, answer: str
) -> None:
    library = compiled(
        FAKE,
        tmp_path / "fake.so",
        "cc",
        "-shared",
        "-fPIC",
        *(f"-DMAXERROR={maxerror}", f"-DSTATUS={status}", f"-DRESULT={result}"),
    )
    assert ask_in_child(ASK, preload=library) == answer


def test_a_sandbox_that_refuses_the_call_leaves_it_unknown_and_the_process_alive() -> None:
    assert ask_in_child(REFUSE + ASK, platform.machine()) == "None"
    assert ask_in_child(ASK) == str(kernel_synchronised())


def test_the_boot_clock_runs_at_least_as_far_as_the_monotonic_one_and_never_back() -> None:
    readings = [seconds_since_boot() for _ in range(1000)]
    assert readings == sorted(readings)
    assert seconds_since_boot() >= time.monotonic() - 1.0


def test_a_real_process_that_is_stopped_again_and_again_sees_no_jump() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WATCH],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "looking\n"
            for _ in range(8):
                child.send_signal(signal.SIGSTOP)
                time.sleep(0.12)  # longer than what passes for reading two clocks
                child.send_signal(signal.SIGCONT)
                time.sleep(0.01)
            said, _ = child.communicate("\n", timeout=60)
        finally:
            child.kill()
    assert said == "1\n"
