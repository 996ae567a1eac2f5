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
(systemd issue 26413), and so do old container runtimes: the answer is then ``None``.
"""

from __future__ import annotations

import ctypes
import time

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


def kernel_synchronised() -> bool | None:
    """Whether a time service keeps the kernel's clock right; ``None`` where this cannot be known.

    One system call, about a microsecond.
    """
    if _adjtimex is None:
        return None
    state = Timex()  # modes = 0: read only
    if _adjtimex(ctypes.byref(state)) < 0:
        return None
    return bool(state.maxerror < _CEILING_US)


def seconds_since_boot() -> float:
    """Seconds on a clock that never jumps and, unlike ``time.monotonic``, runs on in suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
