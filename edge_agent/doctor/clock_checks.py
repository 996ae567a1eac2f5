"""The clock: does a time service keep it, and has it gone back? What the agent makes of a clock is
``edge_agent.clock``'s; here is only what a person can put right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_agent.clock.kernel_time import kernel_synchronised
from edge_agent.clock.settings import ClockSettings, Trust, Unknown
from edge_agent.status.status_file import ClockState
from models.contract.timestamps import Instant, format_iso8601

from .finding import Finding, failed, ok, warning
from .surroundings import processes

TIME_SERVICES = frozenset(
    {"systemd-timesyn", "chronyd", "ntpd", "openntpd", "ntpsec", "ntpd-rs", "ntp-daemon"}
)
"""As ``/proc/PID/comm`` shows them, cut at 15 characters."""
_TURN_ON = (
    "sudo timedatectl set-ntp true, or install chrony; the box must reach a time server (UDP 123)"
)
_SET = "let a time service keep the clock: sudo timedatectl set-ntp true"
_AHEAD_S = 60.0


def check_time_service(
    settings: ClockSettings,
    source: Callable[[], bool | None] = kernel_synchronised,
    agent_says: ClockState | None = None,
) -> Iterator[Finding]:
    """Whether the kernel's clock is kept right. ``agent_says``: what a running agent makes of it,
    which may still believe a clock that was right a while ago."""
    subject = "clock"
    if settings.trust is Trust.ALWAYS:
        yield ok(subject, "trusted by the settings (`trust` in [clock])")
        return
    synchronised = source()
    if synchronised:
        yield ok(subject, "kept right by a time service")
        return
    service = next((one.name for one in processes() if one.name in TIME_SERVICES), None)
    report, still = failed, ""
    if agent_says is not None and agent_says.trusted:
        report, still = warning, f"; the agent believes it: {agent_says.reason}"
    if synchronised is None:
        found = "the kernel does not say whether the clock is synchronised"
        if settings.unknown is Unknown.TRUSTED:
            yield ok(subject, f"{found}; the settings trust it then (`unknown` in [clock])")
        else:
            yield warning(
                subject, found,
                'if the host keeps the time, set unknown = "trusted" in [clock]; see'
                " docs/operations/clock.md",
            )  # fmt: skip
    elif service is None:
        found = f"no time service runs, and the clock is not synchronised{still}"
        yield report(subject, found, _TURN_ON)
    else:
        yield report(
            subject,
            f"{service} runs but has not synchronised the clock{still}",
            "does it reach a server? timedatectl timesync-status, or chronyc tracking",
        )  # fmt: skip


def check_time(
    data_dir: Path, not_before: Instant, now: Callable[[], float] = time.time
) -> Iterator[Finding]:
    """Whether the clock shows a time that has certainly passed."""
    subject = "time"
    seconds = now()
    shown = format_iso8601(int(seconds * 1000))
    newest = max((path.stat().st_mtime for path in data_dir.glob("*.sqlite*")), default=0.0)
    if seconds * 1000 < not_before:
        yield failed(subject, f"the clock shows {shown}: before this version existed", _SET)
    elif seconds < newest - _AHEAD_S:
        written = format_iso8601(int(newest * 1000))
        yield failed(
            subject, f"the clock shows {shown}, but the agent has written at {written}", _SET
        )
    else:
        yield ok(subject, f"{shown}, later than all that is known")
