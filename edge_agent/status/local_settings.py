"""``[local]``: the page and the metrics that this box shows to itself."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True)
class LocalSettings:
    """Where page and metrics are shown."""

    enabled: bool = True
    host: str = "127.0.0.1"
    """A loopback address. There is no password: whoever reaches the port reads everything, so it is
    reached through SSH (``ssh -L``) or a proxy of the owner's that knows its people."""
    port: int = 8437
    names: tuple[str, ...] = ()
    """Names that browsers may call this box by, beside ``localhost`` and the loopback addresses:
    what such a proxy passes on. Any other name is refused, so that no web page elsewhere can read
    this one by pointing its own name here (DNS rebinding)."""

    def __post_init__(self) -> None:
        try:
            is_loopback = ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            raise ValueError(
                f"host: must be the address 127.0.0.1 or ::1, not {self.host!r}"
            ) from None
        if not is_loopback:
            raise ValueError(
                f"host: {self.host} can be reached by others, and the page asks nobody for a"
                " password; use 127.0.0.1 and look through `ssh -L 8437:127.0.0.1:8437`"
            )
        if not 1 <= self.port <= 65_535:
            raise ValueError("port: must be between 1 and 65535")
        for index, name in enumerate(self.names):
            if not _NAME.fullmatch(name):
                raise ValueError(f"names[{index}]: {name!r} is no host name; leave the port out")
