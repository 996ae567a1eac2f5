"""What tests that make a Debian tree share: tools outside of a user's PATH, and the mirror."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from tests.environments import run

SUITE = "bookworm"
SBIN = "/usr/sbin:/sbin"  # not on the PATH of Debian's users, and not always on a container's


def find(tool: str) -> str | None:
    """Path of a program, of the system's administrators too."""
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:{SBIN}")


def need(tool: str, packages: Mapping[str, str]) -> str:
    """The same, of a program that must be there; ``packages`` says where it comes from."""
    found = find(tool)
    assert found is not None, f"{tool} not found: apt-get install {packages[tool]}"
    return found


def environment() -> dict[str, str]:
    """For debootstrap: proxies and certificates come with the environment, as for apt."""
    return {**os.environ, "PATH": f"{os.environ['PATH']}:{SBIN}"}


def mirror() -> list[str]:
    """Where this machine's apt gets the same Debian from; else debootstrap takes its default."""
    if shutil.which("apt-get") is None:
        return []
    question = ("Origin: Debian", f"Codename: {SUITE}", "Component: main")
    answer = run("apt-get", "indextargets", "--format", "$(REPO_URI)", *question).split()
    return [uri for uri in answer if uri.startswith(("http:", "https:", "file:"))][:1]
