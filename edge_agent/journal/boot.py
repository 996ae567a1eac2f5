"""Which boot of the machine this is: monotonic times of one boot can be compared."""

from __future__ import annotations

import uuid
from functools import cache
from pathlib import Path


@cache
def boot_id() -> str:
    """The kernel's name of this boot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # no such file outside Linux: then every start counts as a boot
        return str(uuid.uuid4())
