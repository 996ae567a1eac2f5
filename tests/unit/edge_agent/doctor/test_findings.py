"""Checks side by side: one that fails or hangs hides no other, and the order stays."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from edge_agent.doctor.command import findings_table, to_json
from edge_agent.doctor.finding import (
    AT_ONCE,
    Check,
    Finding,
    State,
    failed,
    ok,
    run_checks,
    warning,
)


def test_a_check_that_raises_keeps_what_it_found_before_and_hides_no_other() -> None:
    def half() -> Iterator[Finding]:
        yield ok("first", "well")
        raise PermissionError(13, "Permission denied", "/etc/secret")

    findings = run_checks([Check("half", half), Check("other", lambda: [ok("other", "well")])])
    assert [(one.subject, one.state) for one in findings] == [
        ("first", State.OK),
        ("half", State.FAILED),
        ("other", State.OK),
    ]
    assert "/etc/secret" in findings[1].found
    assert findings[1].todo


def test_checks_that_hang_are_said_to_and_do_not_hold_up_the_others() -> None:
    release = threading.Event()

    def hangs() -> list[Finding]:
        release.wait(30)
        return [ok("late", "too late")]

    checks = [Check(f"hang {number}", hangs, 0.2) for number in range(AT_ONCE + 2)]
    done: list[str] = []
    begun = time.monotonic()
    findings = run_checks(
        [*checks, Check("quick", lambda: [ok("quick", "well")])],
        lambda check: done.append(check.subject),
    )
    release.set()
    assert time.monotonic() - begun < 10
    assert [one.state for one in findings] == [State.FAILED] * len(checks) + [State.OK]
    assert "no answer within 0.2 s" in findings[0].found
    assert sorted(done) == sorted([check.subject for check in checks] + ["quick"])


def test_at_most_so_many_run_at_a_time() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def look() -> list[Finding]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return []

    assert run_checks([Check(str(number), look) for number in range(40)]) == []
    assert 1 < most <= AT_ONCE


def test_what_to_do_is_shown_and_states_are_told_apart_without_colour() -> None:
    from io import StringIO

    from rich.console import Console

    findings = [ok("a", "[fine]"), warning("b", "soon", "do this"), failed("c", "gone", "do that")]
    out = StringIO()
    Console(file=out, width=60, color_system=None).print(findings_table(findings))
    text = out.getvalue()
    for said in ("[fine]", "! warning", "✗ FAILED", "→ do this", "→ do that"):
        assert said in text
    body = to_json(findings)
    assert (body["ok"], body["warning"], body["failed"]) == (1, 1, 1)
