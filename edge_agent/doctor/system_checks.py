"""The rest of the box: who looks, memory, service, port of the local page, model runtimes."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edge_agent.status.local_settings import LocalSettings
from edge_agent.supervision import ResourceLimits
from edge_agent.updating.bundle_slots import BundleSlots
from edge_agent.updating.selftest import SelfTestFailed, run_selftest
from edge_agent.updating.update_settings import UpdateSettings
from models.runtimes.elf import current_cpu

from .finding import Finding, failed, ok, warning
from .surroundings import RunningAgent, ask_command, size, user_name

UNIT = "solar-edge.service"
_AGENT_BYTES = 110_000_000
_SELFTEST_BYTES = 100_000_000
_PROBE_S = 30.0
_PAGE_S = 3.0
# In a process of its own: the wrong pair of TFLite and NumPy ends it, also without a Python error.
_PROBE = (
    "import sys; sys.path[:0] = sys.argv[1:]\n"
    "import numpy\n"
    "from models.runtimes.tflite import _interpreter_factory\n"
    "print(_interpreter_factory('TFLite')[0], 'with NumPy', numpy.__version__)\n"
)
_ROOT = Path(__file__).resolve().parent.parent.parent


def check_user(data_dir: Path) -> Iterator[Finding]:
    """Whether who looks may do as much as the agent, and no more."""
    subject = "user"
    if not data_dir.exists():
        return
    owner, me = user_name(data_dir.stat().st_uid), user_name(os.geteuid())
    todo = f"sudo -u {owner} solar-edge doctor sees the files as the agent does"
    if not os.access(data_dir, os.R_OK | os.X_OK):
        found = f"{me} may not look into {data_dir}: little can be said of the agent"
        yield failed(subject, found, todo)
    elif os.geteuid() == 0 and owner != me:
        found = f"root may read more than the agent, which runs as {owner}"
        yield warning(subject, found, todo)


def check_memory(
    limits: ResourceLimits, agent: RunningAgent | None, meminfo: Path = Path("/proc/meminfo")
) -> Iterator[Finding]:
    """Room for the agent, and how much a running one takes."""
    subject = "memory"
    rows = (line.split() for line in meminfo.read_text().splitlines())
    kilobytes = {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) > 1}
    available = kilobytes["MemAvailable"] * 1024
    wanted = _SELFTEST_BYTES + (0 if agent else _AGENT_BYTES)
    todo = "end what else runs here (ps aux --sort=-rss | head), or take a box with more memory"
    found = f"{size(available)} available"
    if agent is not None:
        resident = agent.snapshot.status.counters.get("memory_resident_bytes", 0)
        found += f", the agent takes {size(resident)}"
        if resident > 0.7e6 * limits.memory_limit_mb:
            yield warning(
                subject, f"{found}; it is started again at {limits.memory_limit_mb:g} MB",
                "tell those who maintain solar-edge; a healthy agent stays below 110 MB",
            )  # fmt: skip
            return
    if available < wanted / 2:
        yield failed(subject, found, todo)
    elif available < wanted:
        yield warning(subject, f"{found}; {size(wanted)} are wanted when a bundle is tried", todo)
    else:
        yield ok(subject, found)


def check_service(unit: str = UNIT) -> Iterator[Finding]:
    """What systemd says of the agent."""
    subject = "service"
    wanted = "LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState"
    said = ask_command("systemctl", "show", unit, f"--property={wanted}")
    told = dict(line.split("=", 1) for line in (said or "").splitlines() if "=" in line)
    if not told or told.get("LoadState") == "not-found":
        yield ok(subject, f"{unit} is not installed here")
        return
    active, result = told.get("ActiveState", ""), told.get("Result", "")
    found = f"{unit} is {active} ({told.get('SubState', '')})"
    restarts = int(told.get("NRestarts") or 0)
    if active == "failed" or result not in ("", "success"):
        why = "a wrong setting" if result == "exit-code" else result
        yield failed(subject, f"{found}: {why}", f"journalctl -u {unit} -n 50 says why")
    elif active != "active":
        yield warning(subject, found, f"sudo systemctl enable --now {unit}")
    elif told.get("UnitFileState") != "enabled":
        yield warning(
            subject, f"{found}, and does not start with the box", f"sudo systemctl enable {unit}"
        )
    elif restarts:
        yield warning(
            subject, f"{found}; it was started again {restarts} times",
            f"journalctl -u {unit} -p warning says why",
        )  # fmt: skip
    else:
        yield ok(subject, found)


def check_local_page(
    settings: LocalSettings, agent_id: str, agent: RunningAgent | None
) -> Iterator[Finding]:
    """Whether the page is to be seen, or its port is free for it."""
    subject, place = "local page", f"http://{settings.host}:{settings.port}/"
    if not settings.enabled:
        yield ok(subject, "switched off by the settings")
    elif agent is None:
        yield _free(subject, settings)
    elif (other := _who_answers(settings)) == agent_id:
        yield ok(subject, f"is at {place}")
    else:
        found = "does not answer" if other is None else "is answered by another program"
        yield warning(
            subject, f"{place} {found}",
            "the log of the agent says whether the port was taken; set another `port` in [local]",
        )  # fmt: skip


def _free(subject: str, settings: LocalSettings) -> Finding:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            return warning(
                subject, f"port {settings.port} cannot be had: {error.strerror}",
                f"ss -ltnp 'sport = {settings.port}' shows who has it; or set `port` in [local]",
            )  # fmt: skip
    return ok(subject, f"port {settings.port} is free")


def _who_answers(settings: LocalSettings) -> str | None:
    """Id of the agent behind the port; empty for somebody else, None for nobody."""
    try:
        connection = http.client.HTTPConnection(settings.host, settings.port, timeout=_PAGE_S)
        with closing(connection):
            connection.request("GET", "/status.json")
            body = json.loads(connection.getresponse().read(10_000_000))
            return str(body["status"]["agent"])
    except OSError:
        return None
    except (http.client.HTTPException, ValueError, KeyError, TypeError):
        return ""


def check_runtimes(bundles: UpdateSettings | None) -> Iterator[Finding]:
    """Whether models can run here: TFLite itself, and the active bundle on its golden vectors."""
    subject = "model runtimes"
    todo = "install the locked requirements of the release again (requirements/edge-py*.txt)"
    probe = subprocess.run(
        [sys.executable, "-c", _PROBE, str(_ROOT)],
        check=False, capture_output=True, text=True, timeout=_PROBE_S, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if probe.returncode != 0:
        said = probe.stderr.strip().splitlines()
        yield failed(subject, said[-1] if said else f"ended with {probe.returncode}", todo)
        return
    yield ok(subject, probe.stdout.strip())
    if bundles is None:
        return
    slots = BundleSlots(Path(bundles.directory))
    active = slots.current()
    if active is None:
        yield ok("bundle", "none yet: forecasting by smart persistence")
        return
    try:
        report = run_selftest(
            slots.path(active),
            current_cpu(),
            bundles.selftest_timeout_s,
            bundles.selftest_memory_mb,
        )
    except SelfTestFailed as error:
        yield failed(
            "bundle", f"{active[:12]} does not pass its self-test: {error}",
            "the agent goes on without it; the next release replaces it. Is the card sound?",
        )  # fmt: skip
    else:
        slowest = f"slowest {report.slowest_ms:.0f} ms"
        yield ok("bundle", f"{active[:12]}: {report.cases} golden vectors hold, {slowest}")
