"""A Debian 12 that is really booted: systemd, journald and D-Bus in a container, without a network.

Decides how the tree is made (debootstrap, kept in the user's cache; a test boots a copy), booted
(systemd-nspawn, not registered with anyone), entered (nsenter) and taken down, also when the tests
are killed. Leaves to tests what runs in it. Needs root.

The container may load BPF programs: without them systemd enforces no DeviceAllow= in there, and a
unit would look as if it could reach its devices.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.build_once import build_once
from tests.debian_tools import SUITE, environment, find, mirror, need
from tests.environments import REQUIREMENTS, run

PACKAGES = ("systemd-sysv", "dbus", "python3-venv", "mosquitto")
"""What a box has, and a broker beside it."""
BASE_VARIABLE = "SOLAR_DEBIAN_BASE"
"""Names a tree with these packages, to be copied instead of made."""
VENV = "/opt/solar-edge/venv"

_TOOLS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
"""Program -> Debian package."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NSPAWN = Path("/run/systemd/nspawn")
_BOOT_S = 60.0
_POWER_OFF_AT_ONCE = "SIGRTMIN+14"  # understood by systemd as process 1


def why_not() -> str | None:
    """What this machine lacks, with the remedy; None when a Debian can be booted."""
    if os.geteuid() != 0:
        return "booting a Debian in a container needs root"
    missing = {tool: package for tool, package in _TOOLS.items() if not find(tool)}
    if os.environ.get(BASE_VARIABLE):
        missing.pop("debootstrap", None)
    if missing:
        return f"{', '.join(missing)} not found: apt-get install {' '.join(missing.values())}"
    return None


@dataclass(frozen=True)
class BootedDebian:
    """A running system of one's own."""

    root: Path
    """Its files, from outside."""
    leader: int
    """Its process 1, from outside."""

    def run(
        self, *command: str, timeout_s: float = 60.0, expect: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it; any exit code but ``expect`` is an error that holds its output."""
        done = subprocess.run(
            ["nsenter", "--target", str(self.leader), "--all", *command],
            env={"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        if expect is not None and done.returncode != expect:
            words = " ".join(command)
            raise AssertionError(f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def output(self, *command: str, timeout_s: float = 60.0) -> str:
        """Standard output of a command that must succeed."""
        return self.run(*command, timeout_s=timeout_s).stdout.strip()

    def path(self, inside: str) -> Path:
        """From outside, what is called ``inside`` in it."""
        return self.root / inside.lstrip("/")

    def write(self, inside: str, text: str) -> None:
        """Put a file there, for all to read."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit, as text."""
        wanted = [f"--property={name}" for name in properties]
        lines = self.output("systemctl", "show", unit, *wanted).splitlines()
        return dict(line.split("=", 1) for line in lines)

    def wait(self, holds: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
        """Until ``holds()``; the error has the newest lines of the journal."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                newest = self.output("journalctl", "--no-pager", "--lines=40")
                raise AssertionError(f"not within {timeout_s:g} s: {what}\n{newest}")
            time.sleep(0.1)

    def install_agent(self, wheel: Path) -> None:
        """``solar-edge`` in ``/opt/solar-edge/venv``, as docs/operations/systemd.md has it."""
        lock = "/srv/wheels/edge-py311.txt"
        wheels = self.path("/srv/wheels")
        wheels.mkdir()
        shutil.copy(REQUIREMENTS / Path(lock).name, wheels)
        shutil.copy(wheel, wheels)
        # No network in there: fetched outside, hashes checked again inside.
        run(
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--only-binary", ":all:", "--no-deps", "--require-hashes",
            "--dest", wheels, "--requirement", self.path(lock),
        )  # fmt: skip
        pip = (f"{VENV}/bin/pip", "install", "--quiet", "--no-index")
        self.run("python3", "-m", "venv", VENV)
        self.run(*pip, "--find-links", "/srv/wheels", "--require-hashes", "-r", lock, timeout_s=300)
        self.run(*pip, "--no-deps", f"/srv/wheels/{wheel.name}")
        shutil.rmtree(wheels)


@contextmanager
def booted_debian() -> Iterator[BootedDebian]:
    """A fresh copy of the tree, booted; down and removed afterwards, whatever happened."""
    named = os.environ.get(BASE_VARIABLE)
    base = Path(named) if named else _cached_tree()
    for needed in ("lib/systemd/systemd", "usr/bin/dbus-daemon", "usr/sbin/mosquitto"):
        assert (base / needed).exists(), f"{base} lacks {needed}; it needs {' '.join(PACKAGES)}"
    with tempfile.TemporaryDirectory(prefix="solar-booted-") as directory:
        root = Path(directory) / "root"
        run("cp", "-a", "--reflink=auto", base, root)
        (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", encoding="ascii")
        inode, name = root.stat(), f"solar-{os.getpid()}"
        with (Path(directory) / "console").open("w+b") as console:
            nspawn = _boot(root, name, console.fileno())
            leader = 0
            try:
                leader = _find_leader(nspawn)
                debian = BootedDebian(root, leader)
                _wait_until_up(debian, nspawn, Path(console.name))
                yield debian
            finally:
                _take_down(nspawn, leader)
                with suppress(OSError):
                    (_NSPAWN / "propagate" / name).rmdir()
                with suppress(OSError):
                    (_NSPAWN / "locks" / f"inode-{inode.st_dev}:{inode.st_ino}").unlink()


def _boot(root: Path, name: str, console: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            # Also when the tests are killed: it then powers the container off.
            "setpriv", "--pdeathsig", "TERM",
            "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--machine={name}",
            f"--kill-signal={_POWER_OFF_AT_ONCE}", "--console=read-only", "--private-network",
            "--system-call-filter=bpf", "--boot", f"--directory={root}",
        ],
        env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=console,
        start_new_session=True,  # Ctrl-C reaches the tests, which take it down
    )  # fmt: skip


def _find_leader(nspawn: subprocess.Popen[bytes]) -> int:
    """Process 1 of the container: the child of systemd-nspawn with process ids of its own."""
    ours = Path("/proc/self/ns/pid").readlink()
    deadline = time.monotonic() + _BOOT_S
    while time.monotonic() < deadline and nspawn.poll() is None:
        for status in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                parent = int(status.read_text().rpartition(")")[2].split()[1])
                is_inside = (status.parent / "ns/pid").readlink() != ours
                if parent == nspawn.pid and is_inside:
                    return int(status.parent.name)
        time.sleep(0.05)
    return 0


def _wait_until_up(debian: BootedDebian, nspawn: subprocess.Popen[bytes], console: Path) -> None:
    deadline = time.monotonic() + _BOOT_S
    state = "no process 1"
    while debian.leader and nspawn.poll() is None and time.monotonic() < deadline:
        state = debian.run("systemctl", "is-system-running", expect=None).stdout.strip()
        if state == "running":
            return
        time.sleep(0.1)
    text = console.read_text(encoding="utf-8", errors="replace")
    raise AssertionError(f"Debian did not come up ({state}):\n{text[-3000:]}")


def _take_down(nspawn: subprocess.Popen[bytes], leader: int) -> None:
    if leader:
        with suppress(ProcessLookupError):
            os.kill(leader, 9)  # everything inside goes with it, and so does systemd-nspawn
    try:
        nspawn.wait(15)
    except subprocess.TimeoutExpired:
        nspawn.kill()
        nspawn.wait()


def _cached_tree() -> Path:
    command = ("--variant=minbase", f"--include={','.join(PACKAGES)}", "--force-check-gpg", SUITE)
    recipe = hashlib.sha256(repr(command).encode()).hexdigest()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")

    def make(tree: Path) -> None:
        run(need("debootstrap", _TOOLS), *command, tree, *mirror(), env=environment())
        shutil.rmtree(tree / "var/cache/apt/archives")
        for extra in ("doc", "info", "locale", "man"):
            shutil.rmtree(tree / "usr/share" / extra, ignore_errors=True)

    return build_once(home / "solar-sharing" / f"booted-{SUITE}-{recipe[:12]}", make)
