"""Memory, the service, the port of the local page, and models that run here or do not."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from edge_agent.doctor import surroundings, system_checks
from edge_agent.doctor.finding import Finding, State
from edge_agent.doctor.surroundings import RunningAgent, running_agent
from edge_agent.doctor.system_checks import (
    check_local_page,
    check_memory,
    check_runtimes,
    check_service,
    check_user,
)
from edge_agent.settings import EdgeSettings
from edge_agent.status.local_settings import LocalSettings
from edge_agent.status.status_file import StatusFile
from edge_agent.supervision import ResourceLimits
from edge_agent.updating.bundle_slots import BundleSlots
from edge_agent.updating.update_settings import UpdateSettings
from models.contract.settings import parse_settings
from tests.bundles import Bundles
from tests.unit.edge_agent.status.site import snapshot


def with_counters(**counters: int) -> RunningAgent:
    shown = snapshot()
    return RunningAgent(replace(shown, status=replace(shown.status, counters=counters)))


# ---- memory


@pytest.mark.parametrize(
    ("available_mb", "state"), [(1000, State.OK), (150, State.WARNING), (80, State.FAILED)]
)
def test_a_box_that_is_short_of_memory(tmp_path: Path, available_mb: int, state: State) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(f"MemTotal: 999999 kB\nMemAvailable: {available_mb * 1000} kB\n")
    (finding,) = check_memory(ResourceLimits(), None, meminfo)
    assert finding.state is state


def test_an_agent_that_grows_is_told_and_this_machine_has_memory() -> None:
    (grown,) = check_memory(ResourceLimits(), with_counters(memory_resident_bytes=250_000_000))
    (well,) = check_memory(ResourceLimits(), with_counters(memory_resident_bytes=80_000_000))
    assert (grown.state, "250 MB" in grown.found) == (State.WARNING, True)
    assert well.state is State.OK


# ---- the agent that runs


def test_only_a_fresh_status_of_this_agent_counts_as_running(tmp_path: Path) -> None:
    settings = parse_settings(
        f"""agent = {{ id = "farm", data_dir = "{tmp_path}", run_dir = "{tmp_path}" }}
site = {{ latitude = 48, longitude = 11, dc_capacity_w = 6000, ac_capacity_w = 5000 }}
mqtt = {{ host = "127.0.0.1" }}
[[devices]]
name = "roof"
role = "inverter"
protocol = "modbus-tcp"
profile = "sunspec"
host = "127.0.0.1"
""",
        EdgeSettings,
    )
    assert running_agent(settings) is None
    file = StatusFile(None, tmp_path)
    file.write(snapshot())
    found = running_agent(settings)
    assert found is not None
    assert (found.connected, found.reads("roof"), found.reads("meter")) == (True, True, False)
    file.write(snapshot(online=False))
    assert running_agent(settings) is None
    file.write(snapshot())
    os.utime(tmp_path / "status.json", (1, 1))
    assert running_agent(settings) is None
    other = replace(settings, agent=replace(settings.agent, id="barn"))
    file.write(snapshot())
    assert running_agent(other) is None


# ---- the service: systemd does not run where tests run, so a program stands for systemctl


@pytest.mark.parametrize(
    ("said", "state", "says"),
    [
        ("LoadState=not-found\nActiveState=inactive", State.OK, "not installed"),
        ("LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nNRestarts=0\n"
         "UnitFileState=enabled", State.OK, "is active (running)"),
        ("LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nNRestarts=4\n"
         "UnitFileState=enabled", State.WARNING, "4 times"),
        ("LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nNRestarts=0\n"
         "UnitFileState=disabled", State.WARNING, "does not start with the box"),
        ("LoadState=loaded\nActiveState=inactive\nSubState=dead\nResult=success\nNRestarts=0\n"
         "UnitFileState=enabled", State.WARNING, "is inactive"),
        ("LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nNRestarts=0\n"
         "UnitFileState=enabled", State.FAILED, "a wrong setting"),
        ("LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=watchdog\n"
         "NRestarts=9\nUnitFileState=enabled", State.FAILED, "watchdog"),
    ],
)  # fmt: skip
def test_what_systemd_says_of_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, state: State, says: str
) -> None:
    program = tmp_path / "systemctl"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (finding,) = check_service()
    assert (finding.state, says in finding.found) == (state, True), finding


def test_without_systemd_and_with_one_that_hangs_nothing_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(surroundings, "_COMMAND_S", 0.2)
    (hangs,) = check_service()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    (absent,) = check_service()
    assert (hangs.state, absent.state) == (State.OK, State.OK)


# ---- the local page


def page(port: int, agent: RunningAgent | None = None) -> Finding:
    (finding,) = check_local_page(LocalSettings(port=port), "farm", agent)
    return finding


def test_a_port_that_is_free_and_one_that_is_not(free_port: Callable[[], int]) -> None:
    assert page(free_port()).state is State.OK
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = page(other.getsockname()[1])
    assert (taken.state, "ss -ltnp" in taken.todo) == (State.WARNING, True)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (b'{"status": {"agent": "farm"}}', State.OK),
        (b'{"status": {"agent": "barn"}}', State.WARNING),
        (b"<html>", State.WARNING),
    ],
)
def test_who_answers_on_the_port_of_a_running_agent(answer: bytes, state: State) -> None:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert page(server.server_address[1], with_counters()).state is state
        thread.join()


def test_a_running_agent_without_its_page(free_port: Callable[[], int]) -> None:
    finding = page(free_port(), with_counters())
    assert (finding.state, "does not answer" in finding.found) == (State.WARNING, True)


# ---- user


def test_root_is_told_whom_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(check_user(tmp_path)) == []
    real = system_checks.user_name
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        system_checks, "user_name", lambda number: "root" if number == 0 else real(number)
    )
    if tmp_path.stat().st_uid == 0:
        os.chown(tmp_path, 65_534, 65_534)
    (finding,) = check_user(tmp_path)
    assert (finding.state, "sudo -u" in finding.todo) == (State.WARNING, True)


# ---- models


def by_subject(bundles: UpdateSettings | None) -> dict[str, Finding]:
    return {one.subject: one for one in check_runtimes(bundles)}


def test_tflite_runs_here_and_a_missing_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = by_subject(None)["model runtimes"]
    assert (found.state, "with NumPy" in found.found) == (State.OK, True)
    hidden = "import sys; sys.modules['tflite_runtime'] = sys.modules['ai_edge_litert'] = None\n"
    monkeypatch.setattr(system_checks, "_PROBE", hidden + system_checks._PROBE)
    found = by_subject(None)["model runtimes"]
    assert (found.state, "no TFLite interpreter" in found.found) == (State.FAILED, True)
    monkeypatch.setattr(system_checks, "_PROBE", "import os; os.abort()")
    assert by_subject(None)["model runtimes"].state is State.FAILED


def test_the_active_bundle_computes_or_is_said_not_to(tmp_path: Path, bundles: Bundles) -> None:
    settings = UpdateSettings(str(tmp_path / "slots"), str(tmp_path / "root.json"))
    assert by_subject(settings)["bundle"].found.startswith("none yet")
    slots = BundleSlots(tmp_path / "slots")
    slots.fresh_staging().rmdir()
    slots.install(bundles.make(), "a" * 64)
    slots.point_to("a" * 64)
    well = by_subject(settings)["bundle"]
    assert (well.state, "golden vectors hold" in well.found) == (State.OK, True)
    library = slots.path("a" * 64) / "trees" / "q500.so"
    library.write_bytes(library.read_bytes()[:-500])
    broken = by_subject(settings)["bundle"]
    assert (broken.state, "self-test" in broken.found) == (State.FAILED, True)
