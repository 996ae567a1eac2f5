"""What goes wrong, when and for how long: a schedule of faults drawn from its seed alone.

Every run of ``len(BLOCK)`` neighbouring seeds, from a multiple of it on, holds every kind of fault
at least once. What a fault does is ``_history_deeds``'.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from tests.tcp_proxy import Direction

RUN_S = 5.0
"""How long faults go on; then everything is healed."""
BLOCK = range(7)
"""Positions of a seed among its neighbours; together they hold every kind."""
WHOLE_AGENT_EVERY = 20
"""One schedule in so many runs the whole ``solar-edge run`` against a simulated device."""
AGENT, CENTRE, BROKER = "agent", "centre", "broker"


class Kind(StrEnum):
    """What can happen."""

    KILL_AGENT = "kill-agent"
    KILL_CENTRE = "kill-centre"
    KILL_BROKER = "kill-broker"
    FORGET_BROKER = "broker-forgets"
    """kill -9, and what it had saved is gone, too."""
    KILL_ALL = "kill-all"
    RESTART_AGENT = "restart-agent"
    RESTART_CENTRE = "restart-centre"
    RESTART_BROKER = "restart-broker"
    PAUSE_AGENT = "pause-agent"
    """SIGSTOP, later SIGCONT."""
    PAUSE_CENTRE = "pause-centre"
    PAUSE_BROKER = "pause-broker"
    DELAY = "delay"
    NARROW = "narrow"
    STALL = "stall"
    HALF_OPEN = "half-open"
    HALF_OPEN_UP = "half-open-up"
    HALF_OPEN_DOWN = "half-open-down"
    DROP = "drop"
    RESET = "reset"
    REFUSE = "refuse"
    CUT = "cut"
    DISK_AGENT = "disk-full-agent"
    DISK_CENTRE = "disk-full-centre"
    CLOCK_BACK = "clock-1h-back"
    CLOCK_AHEAD = "clock-1d-ahead"
    CLOCK_1970 = "clock-1970"


CLOCK_KINDS = frozenset({Kind.CLOCK_BACK, Kind.CLOCK_AHEAD, Kind.CLOCK_1970})
DISK_KINDS = frozenset({Kind.DISK_AGENT, Kind.DISK_CENTRE})
LINE_KINDS = frozenset(
    {
        Kind.DELAY, Kind.NARROW, Kind.STALL, Kind.HALF_OPEN, Kind.HALF_OPEN_UP,
        Kind.HALF_OPEN_DOWN, Kind.DROP, Kind.RESET, Kind.REFUSE, Kind.CUT,
    }
)  # fmt: skip
_CUT_OFF_SHARE = 0.6
"""Of the schedules whose box is full, those in which it can send nothing meanwhile."""
_SUDDEN = frozenset({Kind.DROP, Kind.RESET, Kind.CUT})
"""Kinds that last no time."""


@dataclass(frozen=True)
class Fault:
    """One fault of a schedule; real seconds from its start."""

    kind: Kind
    at: float
    for_s: float
    lines: tuple[str, ...] = ()
    """Whose line to the broker it meets."""
    amount: float = 0.0
    """Of its kind: seconds of delay, bytes per second, bytes until the cut."""
    way: Direction = "up"
    """Which way is cut; up is to the broker."""
    believed: bool = False
    """Whether somebody vouches for a clock that is wrong."""

    def __str__(self) -> str:
        where = f" {'+'.join(self.lines)}" if self.lines else ""
        return f"{self.at:.1f}s {self.kind}{where} for {self.for_s:.1f}s"


@dataclass(frozen=True)
class Schedule:
    """Everything about a run that is decided beforehand."""

    seed: int
    faults: tuple[Fault, ...]
    whole_agent: bool = False
    disk: str = "tmpfs"
    """File system of the small disks: tmpfs or ext4."""
    devices: int = 4
    commit_window_s: float = 0.05
    batch_entries: int = 2_000
    heal_resets: bool = True
    """Whether half-open connections are reset when the line is healed, or have to be noticed."""
    greedy: bool = False
    """Whether whoever fills a disk also takes what is given up there meanwhile."""
    run_s: float = RUN_S

    def __str__(self) -> str:
        kind = "whole agent, " if self.whole_agent else ""
        return f"seed {self.seed} ({kind}{'; '.join(map(str, self.faults))})"


def draw(seed: int, *, disks: bool = True) -> Schedule:
    """The schedule of ``seed``. Without ``disks`` nothing happens to them."""
    dice = random.Random(seed)
    whole = seed % WHOLE_AGENT_EVERY == WHOLE_AGENT_EVERY - 1
    kinds = _dealt(seed)
    kinds += dice.choices(list(Kind), k=dice.randint(max(0, 3 - len(kinds)), 7 - len(kinds)))
    faults = [_fault(kind, dice) for kind in kinds]
    if Kind.DISK_AGENT in kinds and dice.random() < _CUT_OFF_SHARE:
        # Nothing is acknowledged and nothing can grow: in the end something has to be given up.
        faults = [f for f in faults if f.kind not in (Kind.DISK_AGENT, Kind.REFUSE)]
        faults.append(Fault(Kind.REFUSE, 0.3, RUN_S - 0.6, (AGENT,)))
        faults.append(Fault(Kind.DISK_AGENT, dice.uniform(0.5, 1.5), 3.0))
    # The whole agent reads its clock from a file at its start only.
    left_out = (CLOCK_KINDS if whole else frozenset()) | (frozenset() if disks else DISK_KINDS)
    return Schedule(
        seed,
        tuple(sorted((f for f in faults if f.kind not in left_out), key=lambda fault: fault.at)),
        whole_agent=whole,
        disk=dice.choice(("tmpfs", "ext4")),
        devices=dice.randint(2, 8),
        commit_window_s=dice.choice((0.02, 0.1, 0.5)),
        batch_entries=dice.choice((50, 500, 2_000)),
        heal_resets=dice.random() < 0.8,
        greedy=dice.random() < 0.4,
    )


def _dealt(seed: int) -> list[Kind]:
    """The kinds that this seed owes to its block."""
    block, position = divmod(seed, len(BLOCK))
    deck = list(Kind)
    random.Random(f"block {block}").shuffle(deck)
    return deck[position :: len(BLOCK)]


def _fault(kind: Kind, dice: random.Random) -> Fault:
    at = dice.uniform(0.2, RUN_S - 0.5)
    for_s = 0.0 if kind in _SUDDEN else dice.uniform(0.1, min(2.0, RUN_S - at))
    lines: tuple[str, ...] = ()
    if kind in LINE_KINDS:
        lines = dice.choice(((AGENT,), (CENTRE,), (AGENT, CENTRE)))
    amount = {
        Kind.DELAY: dice.choice((0.02, 0.1, 0.4)),
        Kind.NARROW: dice.choice((2_000.0, 10_000.0, 50_000.0)),
        Kind.CUT: float(dice.randint(1, 20_000)),
    }.get(kind, 0.0)
    believed = kind in CLOCK_KINDS and kind is not Kind.CLOCK_1970 and dice.random() < 0.3
    return Fault(kind, at, for_s, lines, amount, dice.choice(("up", "down")), believed)
