"""Checks and what they find: side by side, each with a deadline, none hiding another.

A check that raises or does not come back is a finding itself. One that hangs (a card or network
file system that does not answer) keeps its thread, which ends with the process.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

AT_ONCE = 8


class State(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    """Works now; may not for long, or not as well as it could."""
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: State
    found: str
    todo: str = ""
    """What to do about it; empty when it is well."""


def ok(subject: str, found: str) -> Finding:
    """It is as it should be, or does not apply here."""
    return Finding(subject, State.OK, found)


def warning(subject: str, found: str, todo: str) -> Finding:
    """See ``State.WARNING``."""
    return Finding(subject, State.WARNING, found, todo)


def failed(subject: str, found: str, todo: str) -> Finding:
    """It does not work."""
    return Finding(subject, State.FAILED, found, todo)


@dataclass(frozen=True)
class Check:
    """One or more findings about one subject."""

    subject: str
    look: Callable[[], Iterable[Finding]]
    deadline_s: float = 10.0


def run_checks(
    checks: Sequence[Check], on_done: Callable[[Check], object] = lambda check: None
) -> list[Finding]:
    """All findings in the order of ``checks``; ``on_done`` after each, in the calling thread."""
    answers: queue.SimpleQueue[tuple[int, list[Finding]]] = queue.SimpleQueue()
    waiting = list(enumerate(checks))[::-1]
    deadlines: dict[int, float] = {}
    found: dict[int, list[Finding]] = {}
    while waiting or deadlines:
        while waiting and len(deadlines) < AT_ONCE:
            number, check = waiting.pop()
            deadlines[number] = time.monotonic() + check.deadline_s
            threading.Thread(
                target=_look, args=(number, check, answers), name=check.subject, daemon=True
            ).start()
        number = min(deadlines, key=lambda one: deadlines[one])
        try:
            number, findings = answers.get(timeout=max(0.0, deadlines[number] - time.monotonic()))
        except queue.Empty:
            findings = [_no_answer(checks[number])]
        if number in deadlines:  # else its deadline has passed before
            del deadlines[number]
            found[number] = findings
            on_done(checks[number])
    return [finding for number in range(len(checks)) for finding in found[number]]


def _look(number: int, check: Check, answers: queue.SimpleQueue[tuple[int, list[Finding]]]) -> None:
    answers.put((number, list(_guarded(check))))


def _guarded(check: Check) -> Iterator[Finding]:
    try:
        yield from check.look()
    except Exception as error:  # a check that fails is no reason to see nothing of the others
        yield failed(
            check.subject,
            f"could not be checked: {type(error).__name__}: {error}",
            "what the error names may be the cause; if not, this is a mistake of the program",
        )


def _no_answer(check: Check) -> Finding:
    return failed(
        check.subject,
        f"no answer within {check.deadline_s:g} s",
        "something below it hangs: a card, a network file system, a name server; see `dmesg`",
    )
