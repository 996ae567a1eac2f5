"""What the kernel knows about its clock: read with adjtimex(2), never set.

A clock counts as synchronised while the kernel's *maximum error* is below its ceiling of 16 s. It
is at the ceiling after boot, and after anybody set the clock with clock_settime(2) (``date -s``,
fake-hwclock, an RTC read at boot: the kernel clears its NTP state then); a time service brings it
down with each answer, and it grows by 500 us a second, so it is back at the ceiling at most 8.9
hours after the last answer. ``timedatectl`` judges in the same way (systemd pull request 13245).

What is not used, and why:

- the status bit ``STA_UNSYNC`` and the return value ``TIME_ERROR``, which follows it: chronyd
  without ``rtcsync`` leaves the bit set on a clock it keeps right, to keep the kernel off the
  hardware clock. At the ceiling the kernel sets the bit itself, so it adds nothing;
- systemd-timesyncd's file ``/run/systemd/timesync/synchronized``: it stays when the clock is set by
  hand or the time server is lost, other services do not write it, a container does not see it, and
  timesyncd tells the kernel in the same moment.

The call needs no privilege. It is namespaced nowhere, so a container learns the truth of its host.
systemd's ``ProtectClock=yes`` and ``SystemCallFilter=@system-service`` refuse it, also for reading
(systemd issue 26413), and so do old container runtimes. Then systemd-timedated is asked
(``timedated``); where it does not answer either, nothing is known.
"""

from __future__ import annotations

import ctypes
import threading
import time

from .timedated import timedated_synchronised

_CEILING_US = 16_000_000  # NTP_PHASE_LIMIT in the kernel's kernel/time/ntp.c


class Timex(ctypes.Structure):
    """``struct timex`` up to the field that is read, and room for the rest.

    Before ``maxerror`` lie one ``int`` and two ``long``, in every ABI of glibc and musl; what comes
    behind differs. 208 bytes are all of it on 64-bit machines.
    """

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("rest", ctypes.c_char * 480),
    )


_adjtimex = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
if _adjtimex is not None:
    _adjtimex.argtypes, _adjtimex.restype = (ctypes.POINTER(Timex),), ctypes.c_int


class KernelClock:
    """Asks whether a time service keeps the kernel's clock right."""

    ASK_OTHERS_EVERY_S = 10.0
    """timedated costs a millisecond instead of a microsecond; it ends when nobody asks for 30 s."""

    WAIT_S = 0.02
    """It mostly answers within a millisecond; what takes longer is heard at the next question."""

    def __init__(self) -> None:
        self._asked_at = float("-inf")
        self._answer: bool | None = None
        self._thread: threading.Thread | None = None

    def __call__(self) -> bool | None:
        """``None`` where it cannot be known."""
        answer = kernel_synchronised()
        if answer is not None:
            return answer
        now = seconds_since_boot()
        if now - self._asked_at >= self.ASK_OTHERS_EVERY_S:
            if self._thread is not None and self._thread.is_alive():
                self._answer = None  # a bus that hangs knows nothing
            else:
                self._asked_at = now
                self._thread = threading.Thread(
                    target=self._ask_others, name="timedated", daemon=True
                )
                self._thread.start()
                self._thread.join(self.WAIT_S)
        return self._answer

    def _ask_others(self) -> None:
        self._answer = timedated_synchronised()


def kernel_synchronised() -> bool | None:
    """What adjtimex(2) says, in about a microsecond; ``None`` where it may not be asked."""
    if _adjtimex is None:
        return None
    state = Timex()  # modes = 0: read only
    if _adjtimex(ctypes.byref(state)) < 0:
        return None
    return bool(state.maxerror < _CEILING_US)


def seconds_since_boot() -> float:
    """Seconds on a clock that never jumps and, unlike ``time.monotonic``, runs on in suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
