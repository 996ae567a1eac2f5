"""The local page on a real socket and in a real browser, and what no reader may do to the agent."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge_agent.status.local_server import MOST_CONNECTIONS, LocalServer, Resource
from edge_agent.status.local_settings import LocalSettings
from edge_agent.status.status_file import Snapshot
from edge_agent.supervision import Progress
from tests.browser import browse, text_of
from tests.unit.edge_agent.status.site import local_server, snapshot

DEADLINE_S = 0.5


class Running:
    """A server in an event loop of another thread, supervised as in the agent."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server
        self.progress = Progress("local page", 60.0, time.monotonic)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._task = asyncio.create_task(self.server.run(self.progress))
        with suppress(asyncio.CancelledError):
            await self._task
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, "every connection ends with the server"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(10)
        assert not self._thread.is_alive()


@contextmanager
def running(server: LocalServer) -> Iterator[Running]:
    one = Running(server)
    one.start()
    try:
        wait(lambda: answers(server._settings.port), "it listens")
        wait(lambda: not server._connections, "the one that only looked has left")
        server.requests = server.refused = 0
        yield one
    finally:
        one.stop()


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture
def page(port: int) -> Iterator[str]:
    with running(local_server(port)):
        yield f"http://127.0.0.1:{port}/"


def answers(port: int) -> bool:
    with suppress(OSError):
        return b" 404 " in talk(port, b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return False


def talk(port: int, sent: bytes, *, wait_s: float = 5.0) -> bytes:
    """Everything that comes back."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=wait_s)) as line:
        line.sendall(sent)
        answer = b""
        with suppress(ConnectionResetError):
            while part := line.recv(65536):
                answer += part
        return answer


# ---- what a person sees


@pytest.mark.browser
def test_the_page_shows_values_band_state_alerts_and_completeness(
    page: str, tmp_path: Path
) -> None:
    dom = browse(page, tmp_path, "--window-size=1100,1400")
    text = re.sub(r"\s+", " ", text_of(dom))
    for said in (
        "farm", "3.21 kW", "generation now", "1.23 kW", "given to the grid",
        "✓ well", "! failing", "no reply within 1 s", "3.30 kW", "? suspect", "not received",
        "50.02 Hz", "read 4 s ago", "smart_persistence", "connected, acknowledged 4 s ago",
        "12 entries", "bundle-7 (release 7, active)", "bundle-8: <b>too old</b>",
        "gives <i>nothing</i>", "over", "5000 of 8640", "99.2 %", "3600 asleep, 40 silent",
        "trusted: synchronised by a time service", "88 % of 640 outcomes (meant: 90 %)", "live",
    ):  # fmt: skip
        assert said in text, said
    for drawn in ('class="outer"', 'class="inner"', 'class="median"', 'class="now"'):
        assert drawn in dom, drawn
    assert dom.count('class="actual" d="M') == 2, "the gap of an hour is a gap in the line"
    assert "Highest still expected" in dom, "the plot in words"
    for wrong in ("NaN", "undefined", "null", "[object"):
        assert wrong not in text, wrong
    assert '<p id="banner" class="banner" role="alert" hidden' in dom


@pytest.mark.browser
@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_today_is_the_day_of_the_browsers_own_calendar(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    dom = browse(page, tmp_path)
    corners = [path.count("L") + 1 for path in re.findall(r'class="actual" d="(M[^"]*)"', dom)]
    # Noon UTC is 01:00 there, or 04:00: so much of today has been measured, less the missing hour.
    assert sum(corners) == {"Pacific/Auckland": 4, "America/Los_Angeles": 12}[zone]


@pytest.mark.browser
def test_an_untrusted_clock_and_a_phone(port: int, tmp_path: Path) -> None:
    with running(local_server(port, seen=lambda: snapshot(trusted=False))):
        dom = browse(f"http://127.0.0.1:{port}/", tmp_path, "--window-size=500,900")
    text = text_of(dom)
    assert "The clock of the box is not trusted: it jumped" in text
    assert "3 entries wait for their true time" in text
    found = re.search(r'viewBox="0 0 (\d+) ', dom)
    assert found is not None
    assert 280 <= int(found.group(1)) < 500


@pytest.mark.browser
def test_a_site_that_has_nothing_yet_says_so(port: int, tmp_path: Path) -> None:
    def nothing() -> Snapshot:
        full = snapshot()
        return Snapshot(full.status, None, (), 0.0)

    with running(local_server(port, seen=nothing)):
        text = text_of(browse(f"http://127.0.0.1:{port}/", tmp_path))
    assert "No device has given a value yet" in text
    assert "no value from roof" in text
    assert "none yet: the first comes at the next quarter of an hour" in text


@pytest.mark.browser
def test_an_agent_that_answers_no_more_is_said_to_be_gone(port: int, tmp_path: Path) -> None:
    """The page stays open while the agent ends; its own clock runs on for 40 s."""
    server = local_server(port)
    once: list[int] = []

    def dies() -> bytes:
        once.append(1)
        if len(once) > 1:
            raise RuntimeError("stuck")
        return real()  # type: ignore[return-value]

    shelf = server._shelves["/status.json"]
    real = shelf.resource.build
    shelf.resource = Resource("application/json", dies, 0.0)
    with running(server):
        dom = browse(f"http://127.0.0.1:{port}/", tmp_path, "--virtual-time-budget=40000")
    assert "The agent does not answer (status.json gives 500)" in text_of(dom)
    assert re.search(r"What you see is \d+ s old", text_of(dom))
    assert '<body class="stale">' in dom


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    for name in ("", "page.js", "plot.js", "page.css"):
        answer = httpx.get(page + name)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        elsewhere = re.findall(r"https?://[^\s\"']+", answer.text)
        assert set(elsewhere) <= {"http://www.w3.org/2000/svg"}, elsewhere
    assert httpx.get(page + "metrics").headers["content-type"].startswith("text/plain; version=0")


# ---- what a reader may not do


def test_a_foreign_name_a_write_and_an_unknown_path_are_refused(page: str) -> None:
    foreign = httpx.get(page, headers={"Host": "evil.example"})
    assert (foreign.status_code, "names" in foreign.text) == (421, True)
    assert httpx.post(page, content=b"x" * 100_000).status_code == 405
    assert httpx.get(page + "../settings.py").status_code == 404
    head = httpx.head(page)
    assert (head.status_code, head.content) == (200, b"")
    assert httpx.head(page + "nothing").content == b""


def test_endless_heads_and_silence_end_at_their_limit(port: int) -> None:
    server = local_server(port)
    server._deadline_s = DEADLINE_S
    with running(server):
        assert b" 431 " in talk(port, b"GET / HTTP/1.1\r\nA: " + b"x" * 20_000)
        begun = time.monotonic()
        assert talk(port, b"GET / HTTP/1.1\r\n") == b""
        assert DEADLINE_S <= time.monotonic() - begun < DEADLINE_S + 3
        assert b" 200 " in talk(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")


def test_a_reader_that_never_reads_is_dropped_and_keeps_no_place(port: int) -> None:
    big = LocalServer(
        LocalSettings(port=port),
        {"/": Resource("text/plain", lambda: b"x" * 30_000_000)},
        deadline_s=DEADLINE_S,
    )
    with running(big) as one, closing(socket.socket()) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port))
        deaf.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait(lambda: one.server._connections, "accepted")
        wait(lambda: not one.server._connections, "dropped")


def test_more_readers_than_places_are_turned_away_and_the_loop_goes_on(port: int) -> None:
    with running(local_server(port)) as one:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(MOST_CONNECTIONS)]
        try:
            wait(lambda: len(one.server._connections) == MOST_CONNECTIONS, "all places taken")
            assert talk(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
            assert one.server.refused == 1
        finally:
            for line in silent:
                line.close()
        wait(lambda: not one.server._connections, "places are free again")
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200


def test_a_flood_of_questions_is_answered_from_one_snapshot(port: int) -> None:
    asked: list[int] = []

    def counted() -> Snapshot:
        asked.append(1)
        return snapshot()

    with running(local_server(port, seen=counted)) as one:
        begun = time.monotonic()
        for _ in range(300):
            assert httpx.get(f"http://127.0.0.1:{port}/status.json").status_code == 200
        took_s = time.monotonic() - begun
        assert len(asked) <= took_s + 2, "at most one a second"
        assert one.server.requests == 300


def test_a_failing_part_is_a_500_once_in_the_log_and_not_the_end(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Any:
        raise RuntimeError("no snapshot")

    with running(local_server(port, seen=broken)):
        for _ in range(3):
            assert httpx.get(f"http://127.0.0.1:{port}/status.json").status_code == 500
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    assert caplog.text.count("/status.json failed: no snapshot") == 1


def test_a_card_that_does_not_answer_leaves_the_rest_of_the_page(port: int) -> None:
    from edge_agent.status import local_page
    from edge_agent.status.day_band import DayBand
    from tests.unit.edge_agent.status.site import ROLES, FixedClock, forecast

    async def stalls(start: int, end: int) -> list[float]:
        await asyncio.sleep(3600)
        return []

    band = DayBand()
    band.note(forecast())
    server = local_page.open_local_page(
        LocalSettings(port=port), snapshot, lambda: "", clock=FixedClock(), measured=stalls,
        band=band, alerts=list, roles=ROLES,
    )  # fmt: skip
    with running(server):
        answer = httpx.get(f"http://127.0.0.1:{port}/today.json", timeout=10).json()
    assert answer["measured"] is None
    assert any(value is not None for value in answer["forecast"]["0.5"])


def test_a_port_that_is_taken_is_said_once_and_tried_again(
    port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.status.local_server._AGAIN_S", 0.1)
    monkeypatch.setattr("edge_agent.status.local_server._TURN_S", 0.02)
    with closing(socket.create_server(("127.0.0.1", port))) as other:
        one = Running(local_server(port))
        one.start()
        try:
            wait(lambda: "cannot be shown" in caplog.text, "said")
            marked = one.progress.moved_at
            wait(lambda: one.progress.moved_at > marked + 0.3, "it counts as moving")
            other.close()
            wait(lambda: answers(port), "the port is free")
        finally:
            one.stop()
    assert caplog.text.count("cannot be shown") == 1
    assert f"http://127.0.0.1:{port}/" in caplog.text


def test_the_documents_are_strict_json_with_units(page: str) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(word)

    status = json.loads(httpx.get(page + "status.json").text, parse_constant=refuse)
    assert status["quantities"]["ac_power"]["unit"] == "W"
    assert status["site"] == {"ac_power": 3210.0, "grid_power": -1234.0, "lacking": ""}
    today = json.loads(httpx.get(page + "today.json").text, parse_constant=refuse)
    assert today["unit"] == "W"
    assert {len(rows) for rows in today["forecast"].values()} == {len(today["measured"])}


def wait(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20.0
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
