"""Names of serial ports that stay: ``ttyUSB0`` may be another adapter after the next plugging."""

from __future__ import annotations

from pathlib import Path

BY_ID = Path("/dev/serial/by-id")


def stable_name(path: str, by_id: Path = BY_ID) -> str | None:
    """The name under ``/dev/serial/by-id`` of the port ``path``; None if it is one already, or
    has none (a port on the board, a pseudo terminal)."""
    port = Path(path)
    if port.is_relative_to(by_id):
        return None
    try:
        target = port.resolve(strict=True)
        names = sorted(by_id.iterdir())
    except OSError:
        return None
    return next((str(name) for name in names if name.resolve() == target), None)
