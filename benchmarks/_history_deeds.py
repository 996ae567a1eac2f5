"""What each kind of fault does to the world when it begins, and what is undone when it ends."""

from __future__ import annotations

import shutil
import signal
import time
from typing import TYPE_CHECKING

from tests.tcp_proxy import Direction, TcpProxy

from ._history_faults import AGENT, BROKER, CENTRE, LINE_KINDS, Fault, Kind

if TYPE_CHECKING:
    from ._history_world import World

_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_KILLED: dict[Kind, tuple[str, ...]] = {
    Kind.KILL_AGENT: (AGENT,),
    Kind.KILL_CENTRE: (CENTRE,),
    Kind.KILL_BROKER: (BROKER,),
    Kind.FORGET_BROKER: (BROKER,),
    Kind.KILL_ALL: (CENTRE, BROKER, AGENT),
}
_STOPPED = {
    Kind.RESTART_AGENT: AGENT,
    Kind.RESTART_CENTRE: CENTRE,
    Kind.RESTART_BROKER: BROKER,
}
_PAUSED = {Kind.PAUSE_AGENT: AGENT, Kind.PAUSE_CENTRE: CENTRE, Kind.PAUSE_BROKER: BROKER}
_FULL = {Kind.DISK_AGENT: AGENT, Kind.DISK_CENTRE: CENTRE}
_SWALLOWED: dict[Kind, tuple[Direction, ...]] = {
    Kind.HALF_OPEN: ("up", "down"),
    Kind.HALF_OPEN_UP: ("up",),
    Kind.HALF_OPEN_DOWN: ("down",),
}


def begin(world: World, fault: Fault) -> None:
    """Make ``fault``."""
    kind = fault.kind
    if kind in _KILLED:
        for name in _KILLED[kind]:
            world.kill(name)
        if kind is Kind.FORGET_BROKER:
            shutil.rmtree(world.broker.directory, ignore_errors=True)
    elif kind in _STOPPED:
        world.stop(_STOPPED[kind])
    elif kind in _PAUSED:
        world.signal(_PAUSED[kind], signal.SIGSTOP)
    elif kind in _FULL:
        world.fill_disk(_FULL[kind])
    elif kind in LINE_KINDS:
        for name in fault.lines:
            _spoil(world.lines[name], fault)
    else:
        since_1970 = time.time_ns() // 1_000_000
        shifts = {
            Kind.CLOCK_BACK: -_HOUR_MS,
            Kind.CLOCK_AHEAD: _DAY_MS,
            Kind.CLOCK_1970: _HOUR_MS - since_1970,
        }
        world.set_clock(shifts[kind], believed=fault.believed)


def end(world: World, fault: Fault) -> None:
    """Undo ``fault``."""
    kind = fault.kind
    if kind in _KILLED:
        for name in _KILLED[kind]:
            world.release(name)
    elif kind in _STOPPED:
        world.release(_STOPPED[kind])
    elif kind in _PAUSED:
        world.signal(_PAUSED[kind], signal.SIGCONT)
    elif kind in _FULL:
        world.free_disk(_FULL[kind])
    elif kind in LINE_KINDS:
        for name in fault.lines:
            _mend(world.lines[name], kind, reset_dead=world.schedule.heal_resets)
    else:
        world.set_clock(0, believed=fault.believed)


def _spoil(line: TcpProxy, fault: Fault) -> None:
    match fault.kind:
        case Kind.DELAY:
            line.delay(fault.amount, jitter_s=fault.amount)
        case Kind.NARROW:
            line.narrow(fault.amount)
        case Kind.STALL:
            line.stall()
        case Kind.HALF_OPEN | Kind.HALF_OPEN_UP | Kind.HALF_OPEN_DOWN:
            line.swallow(*_SWALLOWED[fault.kind])
        case Kind.DROP:
            line.drop()
        case Kind.RESET:
            line.reset()
        case Kind.REFUSE:
            line.refuse()
            line.reset()
        case Kind.CUT:
            line.cut_after(int(fault.amount), fault.way)


def _mend(line: TcpProxy, kind: Kind, *, reset_dead: bool) -> None:
    match kind:
        case Kind.DELAY:
            line.delay(0.0)
        case Kind.NARROW:
            line.narrow(None)
        case Kind.STALL:
            line.stall(on=False)
        case Kind.HALF_OPEN | Kind.HALF_OPEN_UP | Kind.HALF_OPEN_DOWN:
            line.swallow()
            if reset_dead:
                line.reset_dead()
        case Kind.REFUSE:
            line.refuse(on=False)
