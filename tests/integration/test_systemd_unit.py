"""The shipped unit on a booted Debian: the agent really runs in it, reads, restarts and stops.

A sandbox that is too tight fails on the box, not in a linter, and one that is too loose nowhere.
Inside are systemd, a broker, a simulated inverter on TCP and a simulated meter on a pseudo terminal
that belongs to the group of serial ports.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.booted_debian import VENV, BootedDebian, booted_debian, why_not
from tests.environments import ROOT

UNIT = "solar-edge.service"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/test.conf"
CONFIG = "/etc/solar-edge/site.toml"
WORST_SCORE = 1.5
DEVICES = ("inverter", "meter")

SETTINGS = """[agent]
id = "farm"
status_every_s = 0.5

[site]
latitude = 48.1
longitude = 11.5
dc_capacity_w = 6000
ac_capacity_w = 5000

[[devices]]
name = "inverter"
role = "inverter"
protocol = "modbus-tcp"
profile = "sunspec"
host = "localhost"
port = 1502
connect_delay_s = 0.1
poll_s = 0.5

[[devices]]
name = "meter"
role = "meter"
protocol = "modbus-rtu"
profile = "eastron-sdm630"
serial_port = "/run/site/meter"
poll_s = 1

[mqtt]
host = "localhost"

[journal]
commit_window_s = {commit_window_s}
"""

ABSENT = """
[[devices]]
name = "absent"
role = "sensor"
protocol = "modbus-tcp"
profile = "eastron-sdm630"
host = "localhost"
port = 1
poll_s = 0.5
"""

# The first test boots; on a machine's first run it fetches a Debian and Python packages, too.
pytestmark = [pytest.mark.container, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Box:
    """A box with the agent installed by the book."""

    debian: BootedDebian

    def settings(self, commit_window_s: float = 0.2, more: str = "") -> None:
        self.debian.write(CONFIG, SETTINGS.format(commit_window_s=commit_window_s) + more)
        self.debian.run("chown", "root:solar-edge", CONFIG)
        self.debian.run("chmod", "0640", CONFIG)

    def drop_in(self, *lines: str) -> None:
        self.debian.write(DROP_IN, "\n".join(["[Service]", *lines, ""]))
        self.debian.run("systemctl", "daemon-reload")

    def reset(self) -> None:
        """As shipped, stopped, never failed, with nothing on the card."""
        self.debian.run("systemctl", "stop", UNIT)
        self.debian.run("systemctl", "reset-failed", UNIT, expect=None)
        self.debian.path(DROP_IN).unlink(missing_ok=True)
        self.debian.run("systemctl", "daemon-reload")
        self.debian.run("rm", "-rf", "/var/lib/solar-edge", "/run/solar-edge")
        self.settings()

    def start(self) -> dict[str, Any]:
        """Start, and the first status in which both devices have told values."""
        done = self.debian.run("systemctl", "start", UNIT, expect=None)
        told = self.debian.output("journalctl", "--no-pager", "--lines=20", f"--unit={UNIT}")
        assert done.returncode == 0, f"{UNIT} does not start:\n{told}"
        return self.wait_for_values()

    def wait_for_values(self, ended: str = "") -> dict[str, Any]:
        """The first status in which both devices have told values, and not of the epoch ``ended``:
        its status file is still there."""
        found: dict[str, Any] = {}

        def holds() -> bool:
            done = self.debian.run(f"{VENV}/bin/solar-edge", "status", "--json", expect=None)
            if done.returncode:
                return False
            found.update(json.loads(done.stdout))
            status = found["status"]
            told = {record["device"] for record in found["records"] if has_value(record)}
            return status["online"] and status["journal_epoch"] != ended and told >= {*DEVICES}

        self.debian.wait(holds, f"values of {' and '.join(DEVICES)}")
        return found

    def last_status(self) -> dict[str, Any]:
        """What is in the status file."""
        text = self.debian.output(f"{VENV}/bin/solar-edge", "status", "--json")
        status: dict[str, Any] = json.loads(text)["status"]
        return status

    def show(self, *properties: str) -> dict[str, str]:
        return self.debian.show(UNIT, *properties)

    def main_process(self) -> int:
        """As numbered inside."""
        return int(self.show("MainPID")["MainPID"])

    def kill(self, signal: str) -> None:
        self.debian.run("systemctl", "kill", "--kill-whom=main", f"--signal={signal}", UNIT)

    def log(self, *matches: str) -> list[dict[str, Any]]:
        """Entries of the unit's journal, written out first."""
        self.debian.run("journalctl", "--sync")
        command = ("journalctl", "--no-pager", "--output=json", f"--unit={UNIT}", *matches)
        return [json.loads(line) for line in self.debian.output(*command).splitlines()]


def has_value(record: dict[str, Any]) -> bool:
    """A device that is asleep tells none."""
    return bool({"ac_power", "grid_power"} & record.keys())


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Iterator[Box]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with booted_debian() as debian:
        debian.install_agent(wheel)
        user = ("--system", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin")
        debian.run("useradd", *user, "solar-edge")
        debian.run("install", "-d", "-m", "0750", "-g", "solar-edge", "/etc/solar-edge")
        shutil.copy(ROOT / "deploy/systemd" / UNIT, debian.path("/etc/systemd/system"))
        start_site(debian)
        yield Box(debian)


def start_site(debian: BootedDebian) -> None:
    """Broker and devices. The sun shines day and night, so that the inverter never sleeps."""
    debian.write(
        "/srv/series.csv",
        "timestamp,ac_power,load_power\n"
        "2020-01-01T00:00:00Z,2500,600\n2060-01-01T00:00:00Z,2500,600\n",
    )
    debian.run("systemctl", "start", "mosquitto")
    debian.run(
        "systemd-run", "--quiet", "--unit=site", f"{VENV}/bin/solar-edge", "simulate",
        "--series", "/srv/series.csv", "--device", "sunspec@tcp:127.0.0.1:1502",
        "--device", "eastron-sdm630@pty:/run/site/meter",
    )  # fmt: skip
    answering = ("bash", "-c", "test -e /run/site/meter && : </dev/tcp/127.0.0.1/1502")
    debian.wait(lambda: debian.run(*answering, expect=None).returncode == 0, "simulated devices")
    # As udev leaves a serial port: for root and one group, and for nobody else.
    terminal = debian.output("readlink", "-f", "/run/site/meter")
    debian.run("chown", "root:dialout", terminal)
    debian.run("chmod", "0660", terminal)


@pytest.fixture
def box(installed: Box) -> Iterator[Box]:
    """Stopped, as shipped."""
    installed.reset()
    yield installed
    installed.reset()


# ---- the sandbox ---------------------------------------------------------------------------------


def test_unit_is_hardened(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    verified = box.debian.run("systemd-analyze", "verify", UNIT)
    assert verified.stderr == ""  # an unknown key would be passed over in silence
    box.start()
    score = box.debian.output("systemd-analyze", "security", "--no-pager", UNIT).splitlines()[-1]
    with capsys.disabled():
        print(f"\n{score.strip()}")
    assert score.startswith("→ Overall exposure level for solar-edge.service: ")
    assert float(score.split(":")[1].split()[0]) <= WORST_SCORE


def test_agent_reads_tcp_and_serial_without_a_privilege(
    box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = box.start()
    assert box.show("Type", "ActiveState", "SubState", "NRestarts") == {
        "Type": "notify",
        "ActiveState": "active",  # for Type=notify only after READY=1
        "SubState": "running",
        "NRestarts": "0",
    }
    told = {record["device"]: record for record in snapshot["records"]}
    assert told["inverter"]["ac_power"] == pytest.approx(2500, abs=5)
    assert told["meter"]["grid_power"] == pytest.approx(-1900, abs=5)
    counters = snapshot["status"]["counters"]
    assert counters["mqtt_connects"] >= 1
    # ProtectClock refuses adjtimex, so this was said by systemd-timedated.
    assert "does not say" not in snapshot["clock"]["reason"]
    assert "cannot be asked" not in snapshot["clock"]["reason"]

    process = box.main_process()
    lines = box.debian.output("cat", f"/proc/{process}/status").splitlines()
    facts = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert facts["CapEff"].strip("0") == facts["CapBnd"].strip("0") == ""
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"
    user = box.debian.output("id", "--user", "solar-edge")
    assert facts["Uid"].split() == [user] * 4
    # PrivateUsers= knows root and itself; the group of serial ports counts all the same.
    assert len(box.debian.output("cat", f"/proc/{process}/uid_map").splitlines()) == 2
    assert box.debian.output("readlink", "-f", "/run/site/meter") in box.debian.output(
        "find", f"/proc/{process}/fd", "-printf", "%l\n"
    )

    limits = box.show("MemoryHigh", "TasksMax", "LimitNOFILE")
    resident_kb, threads = int(facts["VmHWM"].split()[0]), int(facts["Threads"])
    with capsys.disabled():
        print(f"\nunder the unit: {resident_kb / 1024:.0f} MB at most, {threads} threads")
    assert resident_kb * 1024 < int(limits["MemoryHigh"]) / 2
    assert threads < int(limits["TasksMax"]) / 2


PROBE = """
import ctypes, errno, json, mmap, os, resource, socket, subprocess, sys, time
from pathlib import Path

found = {}

def attempt(name, action):
    try:
        action()
        found[name] = "done"
    except OSError as error:
        found[name] = errno.errorcode[error.errno]

def open_device(path):
    os.close(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))

for path in sorted(Path("/srv/nodes").iterdir()):
    attempt(path.name, lambda: open_device(path))
every_right = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
attempt("write and execute", lambda: mmap.mmap(-1, 4096, prot=every_right))
attempt("set the clock", lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()))
attempt("raw socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
attempt("write /etc", lambda: Path("/etc/solar-edge/new").write_text(""))
attempt("write /opt", lambda: Path("/opt/solar-edge/new").write_text(""))
attempt("write state", lambda: Path("/var/lib/solar-edge/new").write_text(""))
attempt("read settings", lambda: Path("/etc/solar-edge/site.toml").read_text())
attempt("read boot id", lambda: Path("/proc/sys/kernel/random/boot_id").read_text())
attempt("read processors", lambda: Path("/proc/cpuinfo").read_text())

@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
def one_more(number):
    return number + 1
found["callback from C"] = one_more(1)

clock = ("timedatectl", "show", "--property=NTPSynchronized", "--value")
found["timedated"] = subprocess.run(clock, capture_output=True, text=True).stdout.strip()

from edge_agent.updating.selftest import run_selftest
from models.forecasters.bundle import BundleForecaster
from models.runtimes.elf import current_cpu

bundle = Path("/srv/bundle")
report = run_selftest(bundle, current_cpu(), 60.0, 1536)  # in a child, with its own limits
found["golden cases"], found["worst error"] = report.cases, report.worst_error
forecaster = BundleForecaster.load(bundle, current_cpu())
files = forecaster.manifest.files_for(current_cpu())
found["tree libraries"] = sum(file.path.endswith(".so") for file in files)
maps = Path("/proc/self/maps").read_text()
found["mapped"] = sorted({Path(line.split()[-1]).name for line in maps.splitlines()
                          if " r-xp " in line and ("/srv/" in line or "tflite" in line)})
found["child MB"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
print(json.dumps(found))
"""
NODES = {
    # Majors of the kernel's devices.txt; minors without hardware, so that opening goes no further.
    "ttyUSB0": (stat.S_IFCHR, 188, 0),
    "ttyACM0": (stat.S_IFCHR, 166, 0),
    "ttyS9": (stat.S_IFCHR, 4, 73),
    "ttyAMA0": (stat.S_IFCHR, 204, 64),
    "kernel-log": (stat.S_IFCHR, 1, 11),
    "loop0": (stat.S_IFBLK, 7, 0),
}
REFUSED = {"kernel-log", "loop0"}


def test_models_load_and_the_rest_is_refused(
    box: Box, candidate_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    debian = box.debian
    shutil.copytree(candidate_bundle, debian.path("/srv/bundle"))
    debian.write("/srv/probe.py", PROBE)
    debian.path("/srv/nodes").mkdir()
    for name, (kind, major, minor) in NODES.items():
        # From outside: a container may not make device files, whatever they may then be used for.
        os.mknod(debian.path(f"/srv/nodes/{name}"), kind | 0o666, os.makedev(major, minor))
    debian.run("chmod", "--recursive", "a+rwX", "/srv")
    # The shipped unit to the letter, with another program.
    units = debian.path("/etc/systemd/system")
    shutil.copy(units / UNIT, units / "probe.service")
    debian.write(
        "/etc/systemd/system/probe.service.d/test.conf",
        "[Service]\nType=exec\nWatchdogSec=0\nRestart=no\nStandardOutput=file:/run/probe.json\n"
        f"ExecStart=\nExecStart={VENV}/bin/python /srv/probe.py\n",
    )
    debian.run("systemctl", "daemon-reload")
    debian.run("systemctl", "start", "--wait", "probe", timeout_s=180, expect=None)
    log = debian.output("journalctl", "--no-pager", "--unit=probe", "--output=cat")
    assert debian.show("probe.service", "Result") == {"Result": "success"}, log
    found = json.loads(debian.output("cat", "/run/probe.json"))

    serial = {name: found.pop(name) for name in NODES}
    assert {name for name, said in serial.items() if said == "EPERM"} == REFUSED
    assert set(serial.values()) <= {"EPERM", "ENXIO", "ENODEV", "EIO", "done"}
    refused = {"write and execute", "set the clock", "raw socket", "write /etc", "write /opt"}
    allowed = {"write state", "read settings", "read boot id", "read processors"}
    assert all(found[name] in {"EPERM", "EACCES", "EROFS", "EAFNOSUPPORT"} for name in refused), (
        found
    )
    assert all(found[name] == "done" for name in allowed), found
    assert found["callback from C"] == 2
    # ProtectClock= refuses adjtimex(2), also for reading; this is how the agent can still know.
    assert found["timedated"] in {"yes", "no"}
    assert found["golden cases"] >= 2
    libraries = [name for name in found["mapped"] if name.endswith(".so")]
    # A library per quantile of each task, and TFLite.
    assert len(libraries) == found["tree libraries"] + 1, found["mapped"]
    assert found["child MB"] * 2**20 < int(box.show("MemoryHigh")["MemoryHigh"]) / 2
    with capsys.disabled():
        print(f"\nself-test in the sandbox: {found['golden cases']} cases, {found['child MB']} MB")


# ---- the log -------------------------------------------------------------------------------------


def test_journal_knows_level_place_and_loop_of_a_line(box: Box) -> None:
    box.settings(more=ABSENT)
    box.start()
    box.debian.wait(lambda: box.log("SOLAR_LOOP=poll absent", "PRIORITY=4"), "a warning of it")
    (entry, *_) = box.log("SOLAR_LOOP=poll absent", "PRIORITY=4")
    assert "absent" in entry["MESSAGE"]
    assert entry["SYSLOG_IDENTIFIER"] == "solar-edge"
    assert entry["LOGGER"].startswith("edge_agent.")
    assert entry["CODE_FILE"].startswith(VENV)
    assert int(entry["CODE_LINE"]) > 0
    assert entry["_TRANSPORT"] == "journal"
    assert entry["_PID"] == str(box.main_process())
    assert box.log("SOLAR_LOOP=poll inverter", "PRIORITY=3") == []


# ---- its life ------------------------------------------------------------------------------------


def test_a_stuck_agent_is_ended_by_the_watchdog_and_starts_again(box: Box) -> None:
    box.drop_in("WatchdogSec=5", "RestartSec=1")
    before = box.start()["status"]
    process = box.main_process()
    stopped_at = time.monotonic()
    box.kill("STOP")
    box.debian.wait(lambda: box.show("NRestarts") == {"NRestarts": "1"}, "a restart")
    assert time.monotonic() - stopped_at > 2, "it was restarted by something else"
    assert box.main_process() != process
    after = box.wait_for_values(ended=before["journal_epoch"])["status"]
    assert after["first_seq"] > before["first_seq"]
    log = [entry["MESSAGE"] for entry in box.log()]
    assert any("Watchdog timeout" in str(line) for line in log)
    assert any("(most recent call first)" in str(line) for line in log)  # where it stood


def test_a_killed_agent_starts_again_and_goes_on_where_it_stopped(box: Box) -> None:
    box.drop_in("RestartSec=1")
    before = box.start()["status"]
    process = box.main_process()
    box.kill("KILL")
    after = box.wait_for_values(ended=before["journal_epoch"])["status"]
    box.debian.wait(lambda: box.show("NRestarts") == {"NRestarts": "1"}, "one restart")
    assert box.main_process() != process
    # Committed before the status told it, so it is still there.
    assert after["first_seq"] > before["counters"]["journal_committed"]


def test_stopping_loses_nothing_and_takes_little_time(box: Box) -> None:
    box.settings(commit_window_s=600)  # all of it is in memory when the end comes
    at_start = box.start()["status"]
    box.debian.wait(lambda: answered(box.last_status()) >= 12, "a dozen records")
    begin = time.monotonic()
    box.debian.run("systemctl", "stop", UNIT)
    took_s = time.monotonic() - begin
    assert took_s < 20, f"{took_s:.1f} s"
    assert box.show("ActiveState", "Result", "ExecMainStatus") == {
        "ActiveState": "inactive",
        "Result": "success",
        "ExecMainStatus": "0",
    }
    at_end = box.last_status()
    assert at_end["online"] is False
    written = at_end["counters"]["journal_committed"]
    assert written - (at_start["first_seq"] - 1) >= answered(at_end) >= 12
    # The next start finds them all, and continues behind.
    assert box.start()["status"]["first_seq"] == written + 1


def answered(status: dict[str, Any]) -> int:
    """Polls that gave a record."""
    counters = status["counters"]
    return sum(counters[f"{name}_polls"] - counters[f"{name}_failures"] for name in DEVICES)


def test_a_wrong_setting_is_told_once_and_not_tried_again(box: Box) -> None:
    box.drop_in("RestartSec=100ms")
    box.settings(more='\n[uplink]\nlive_window = "many"\n')
    # Each start waits for READY=1; this one ends before.
    box.debian.run("systemctl", "start", UNIT, expect=1)
    expected = {
        "ActiveState": "failed",
        "Result": "exit-code",
        "ExecMainStatus": "2",
        "NRestarts": "0",
    }
    assert box.show(*expected) == expected
    time.sleep(1.0)  # ten times RestartSec, in the real time that systemd counts
    assert box.show(*expected) == expected
    (line,) = [entry for entry in box.log("PRIORITY=4") if "live_window" in entry["MESSAGE"]]
    assert CONFIG in line["MESSAGE"]
    box.settings()
    box.start()
