"""Where the bytes of the bundle repository come from: retained MQTT messages, or a directory.

Decides how "absent" is told from "no answer": TUF ends its walk over root versions at a file that
is *absent*, so a slow link must never look like one. Nothing here is believed: python-tuf
(``bundle_client``) checks every byte, a source only has to be honest about its own failures.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient import FetcherInterface

from edge_agent.errors import TransportUnavailable
from models.bundle.pieces import INDEX, decode_index
from models.contract.topics import bundle_topic

_CHUNK = 1 << 16
_GRACE_S = 5.0

ANNOUNCEMENT = bundle_topic("metadata/timestamp.json")
"""A message on this topic (``uplink.watch``) is a reason to check for a new bundle now."""

FetchRetained = Callable[[str, float], Awaitable[dict[str, bytes]]]
"""``await fetch(topic_filter, timeout_s)``: the retained messages that match, complete when it
returns. Raises ``TransportUnavailable`` when that cannot be known."""


class BundleSource(Protocol):
    """Reads files of the repository: ``metadata/...`` and ``targets/...``."""

    def read(self, path: str) -> Iterator[bytes] | None:
        """The file in pieces, or None when it is certain that there is none.

        Raises:
            TransportUnavailable: no answer; also from the iterator.
        """
        ...


class DirectorySource:
    """A copy of the repository in a directory: a USB stick, or what Ansible put there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, path: str) -> Iterator[bytes] | None:
        """See :class:`BundleSource`."""
        if not self._directory.is_dir():
            raise TransportUnavailable(f"{self._directory}: is not there; is the medium mounted?")
        base = self._directory.resolve()
        full = (base / path).resolve()
        if not full.is_relative_to(base) or not full.is_file():
            return None
        return self._pieces(full)

    def _pieces(self, path: Path) -> Iterator[bytes]:
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise TransportUnavailable(f"{path}: cannot be read: {error.strerror}") from error


class RetainedSource:
    """The repository as retained messages, fetched by the agent's one MQTT connection.

    Used from a worker thread, never from the thread of ``loop``.
    """

    def __init__(
        self, fetch: FetchRetained, loop: asyncio.AbstractEventLoop, timeout_s: float
    ) -> None:
        self._fetch, self._loop, self._timeout_s = fetch, loop, timeout_s

    def read(self, path: str) -> Iterator[bytes] | None:
        """See :class:`BundleSource`."""
        if path.startswith("metadata/"):
            data = self._retained(bundle_topic(path))
            return None if data is None else iter([data])
        index = self._retained(bundle_topic(f"{path}/{INDEX}"))
        return None if index is None else self._pieces(path, decode_index(index))

    def _pieces(self, path: str, count: int) -> Iterator[bytes]:
        for number in range(count):
            data = self._retained(bundle_topic(f"{path}/{number}"))
            if data is None:
                raise TransportUnavailable(f"{path}: piece {number} of {count} is not published")
            yield data

    def _retained(self, topic: str) -> bytes | None:
        async def fetch() -> dict[str, bytes]:
            return await self._fetch(topic, self._timeout_s)

        asking = fetch()
        try:
            future = asyncio.run_coroutine_threadsafe(asking, self._loop)
        except RuntimeError as error:
            asking.close()
            raise TransportUnavailable(f"{topic}: the agent is ending") from error
        try:
            found = future.result(self._timeout_s + _GRACE_S)
        except (TimeoutError, concurrent.futures.CancelledError) as error:
            future.cancel()
            raise TransportUnavailable(f"{topic}: no answer ({type(error).__name__})") from error
        return found.get(topic) or None


class NotPublished(DownloadHTTPError):
    """There is certainly no such file."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is not published", 404)
        self.path = path


class SourceFetcher(FetcherInterface):
    """python-tuf's way to a :class:`BundleSource`."""

    def __init__(self, source: BundleSource, timeout_s: float) -> None:
        self._source, self._timeout_s = source, timeout_s

    def _fetch(self, url: str) -> Iterator[bytes]:
        # Not a generator function: what one raises would escape ngclient's wrapping.
        deadline = time.monotonic() + self._timeout_s
        try:
            pieces = self._source.read(url)
        except Exception as error:
            raise DownloadError(f"{url}: {error}") from error
        if pieces is None:
            raise NotPublished(url)
        return self._watched(url, pieces, deadline)

    def _watched(self, url: str, pieces: Iterator[bytes], deadline: float) -> Iterator[bytes]:
        try:
            for piece in pieces:
                yield piece
                if time.monotonic() > deadline:
                    raise DownloadError(f"took longer than {self._timeout_s:g} s")
        except Exception as error:
            raise DownloadError(f"{url}: {error}") from error
