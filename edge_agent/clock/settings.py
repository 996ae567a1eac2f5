"""``[clock]``: when the wall clock counts as right, and for how long a wrong one is waited for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

_DAY_S = 86_400.0


class Trust(StrEnum):
    """Who vouches for the wall clock."""

    KERNEL = "kernel"
    """The kernel, which knows whether a time service disciplines it."""
    ALWAYS = "always"
    """The owner: the box has a battery-backed clock and no time service."""


class Unknown(StrEnum):
    """What it means when the kernel cannot be asked."""

    UNTRUSTED = "untrusted"
    TRUSTED = "trusted"


@dataclass(frozen=True)
class ClockSettings:
    """Real seconds, unless a line says other."""

    trust: Trust = Trust.KERNEL
    jump_s: float = 1.0
    """After a jump larger than this the clock must first prove itself."""
    settle_s: float = 20.0
    """So long must it be synchronised after such a jump before it is believed again."""
    holdover_s: float = 14 * _DAY_S
    """So long a clock that was right, and that nobody has set since, is believed while no time
    service is reached. The kernel itself gives up 9 hours after the last answer, so without this a
    box that is offline for a week would stop forecasting. A bad crystal (50 ppm) is one minute
    wrong after 14 days."""
    hold_s: float = 3600.0
    """So long records of an untrusted time wait for their correction before they are sent as
    untrusted."""
    unknown: Unknown = Unknown.UNTRUSTED
    """Not to know is not to be synchronised: a record that waits, or is marked, can be put right
    later; a wrong time that models have learned from cannot. An alert says what to change."""

    def __post_init__(self) -> None:
        for name, value, lowest, highest in (
            ("jump_s", self.jump_s, 0.1, 3600.0),
            ("settle_s", self.settle_s, 0.0, 3600.0),
            ("holdover_s", self.holdover_s, 0.0, 90 * _DAY_S),
            ("hold_s", self.hold_s, 0.0, 30 * _DAY_S),
        ):
            if not lowest <= value <= highest:
                raise ValueError(f"{name}: must be between {lowest:g} and {highest:g} seconds")
