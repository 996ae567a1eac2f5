"""A Debian 12 for 64-bit ARM on a machine of another kind: real binaries run by qemu's user mode.

Decides how the tree is made (debootstrap's first stage, every package unpacked, none configured)
and entered (chroot, the emulator named explicitly, so that nothing is registered with the kernel).
The tree is kept in the user's cache; what a test runs in is a copy. Needs root.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.build_once import build_once
from tests.debian_tools import SUITE, environment, find, mirror, need
from tests.environments import run

ARCHITECTURE = "arm64"
EMULATOR = Path("/usr/bin/qemu-aarch64-static")
TOOLS = {"debootstrap": "debootstrap", EMULATOR.name: "qemu-user-static", "chroot": "coreutils"}
"""Program -> Debian package."""
"""Not on the PATH of Debian's users, and not always on a container's."""

# Only Python is run: the packages' own scripts, which would need a registered emulator, are not.
_BOOTSTRAP = ("--foreign", "--variant=minbase", "--include=python3", "--force-check-gpg")
_UNPACK = """
set -euo pipefail
for package in "$1"/var/cache/apt/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$1"
done
rm -rf "$1"/var/cache/apt "$1"/debootstrap "$1"/dev/* "$1"/usr/share/{doc,info,locale,man}
"""


def why_not() -> str | None:
    """What this machine lacks, with the remedy; None when arm64 programs can be run."""
    if os.geteuid() != 0:
        return "an arm64 tree is entered with chroot, which needs root"
    missing = {tool: name for tool, name in TOOLS.items() if not find(tool)}
    if missing:
        return f"{', '.join(missing)} not found: apt-get install {' '.join(missing.values())}"
    return None


@dataclass(frozen=True)
class Arm64Debian:
    """A tree of one's own to put files in and run programs in."""

    root: Path

    @property
    def packages(self) -> Path:
        """Where its Python looks for packages installed by pip."""
        return self.root / "usr/local/lib/python3.11/dist-packages"

    def python(self, *arguments: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run its Python; paths are those inside."""
        emulated = (f"/{EMULATOR.name}", "/usr/bin/python3.11", *arguments)
        return subprocess.run(
            [need("chroot", TOOLS), self.root, *emulated],
            env={"PATH": "/usr/bin:/bin", "HOME": "/root", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )


@contextmanager
def arm64_debian() -> Iterator[Arm64Debian]:
    """A fresh copy of the cached tree, which is made first if need be (50 MB of packages)."""
    recipe = hashlib.sha256(repr((SUITE, ARCHITECTURE, _BOOTSTRAP, _UNPACK)).encode()).hexdigest()
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = f"{ARCHITECTURE}-{SUITE}-{recipe[:12]}"
    tree = build_once(home / "solar-sharing" / name, _bootstrap)
    with tempfile.TemporaryDirectory(prefix="solar-arm64-") as directory:
        root = Path(directory) / "root"
        shutil.copytree(tree, root, symlinks=True)
        shutil.copy(EMULATOR, root)
        yield Arm64Debian(root)


def _bootstrap(tree: Path) -> None:
    command = (need("debootstrap", TOOLS), f"--arch={ARCHITECTURE}", *_BOOTSTRAP, SUITE, str(tree))
    run(*command, *mirror(), env=environment())
    run("bash", "-c", _UNPACK, "unpack", tree)
