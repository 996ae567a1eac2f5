"""Giving a link back exactly once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class Release:
    """Calls ``release`` at the first :meth:`close` and never again."""

    def __init__(self, release: Callable[[], Awaitable[None]]) -> None:
        self._release: Callable[[], Awaitable[None]] | None = release

    async def close(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            await release()
