"""Serves a few paths on loopback, as one worker of the agent: nothing else waits for a reader.

In the agent's own event loop and not in a thread: what is shown belongs to the loop, no thread and
no framework costs memory, and all that a reader can take is bounded: ``MOST_CONNECTIONS`` at a
time, ``DEADLINE_S`` each, and each path is put together at most once in ``fresh_s`` however often
it is asked for. Decides that and nothing of what stands on a path (``local_page``). A port that is
taken does not disturb the agent; it is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from edge_agent.supervision import Progress

from .http_request import LONGEST_HEAD, BadRequest, Request, parse_request, response
from .local_settings import LocalSettings

_log = logging.getLogger(__name__)

MOST_CONNECTIONS = 16
DEADLINE_S = 5.0
"""Real seconds for one connection, from its first to its last byte."""
_LINGER_S = 1.0
_LONGEST_REMAINDER = 65_536
_TURN_S = 5.0
_AGAIN_S = 30.0
_TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True)
class Resource:
    """What stands at one path."""

    media_type: str
    build: Callable[[], bytes | Awaitable[bytes]]
    """Puts the body together; an exception becomes a 500 and one line in the log."""
    fresh_s: float = 1.0
    """So long a body is given out again."""


class _Shelf:
    """One resource with its newest body; those who ask meanwhile wait for the same one."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self._lock = asyncio.Lock()
        self._body = b""
        self._built_at: float | None = None

    async def body(self) -> bytes:
        async with self._lock:
            now = time.monotonic()
            if self._built_at is None or now - self._built_at >= self.resource.fresh_s:
                built = self.resource.build()
                self._body = built if isinstance(built, bytes) else await built
                self._built_at = now
            return self._body


class LocalServer:
    """``supervisor.add("local page", server.run, ...)``. Event loop only."""

    def __init__(
        self,
        settings: LocalSettings,
        resources: Mapping[str, Resource],
        *,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._settings, self._deadline_s = settings, deadline_s
        self._shelves = {path: _Shelf(resource) for path, resource in resources.items()}
        self._connections: set[asyncio.Task[None]] = set()
        self._complaints: set[str] = set()
        self._refused_port = False
        self.requests = 0
        self.refused = 0
        """Requests that were not answered with what they asked for."""

    @property
    def address(self) -> str:
        """Where to look."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"http://{host}:{self._settings.port}/"

    async def run(self, progress: Progress) -> None:
        """Serve until cancelled; a port that is not to be had is tried again."""
        while True:
            server = await self._listen()
            if server is None:
                for _ in range(int(_AGAIN_S / _TURN_S)):
                    progress.mark()
                    await asyncio.sleep(_TURN_S)
                continue
            try:
                while server.is_serving():
                    progress.mark()
                    await asyncio.sleep(_TURN_S)
            finally:
                server.close()
                await self._end_connections()

    async def _listen(self) -> asyncio.Server | None:
        try:
            server = await asyncio.start_server(
                self._connected,
                self._settings.host,
                self._settings.port,
                limit=LONGEST_HEAD,
                backlog=MOST_CONNECTIONS,
            )
        except OSError as error:
            if not self._refused_port:
                _log.warning(
                    "the local page cannot be shown at %s: %s; the agent goes on and tries again,"
                    " another port is set by `port` in [local]",
                    self.address, error.strerror or error,
                )  # fmt: skip
            self._refused_port = True
            return None
        self._refused_port = False
        _log.info("the local page is at %s", self.address)
        return server

    async def _end_connections(self) -> None:
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=_LINGER_S)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MOST_CONNECTIONS:
            self.refused += 1
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer), name="local page")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = await self._answer(reader)
                writer.transport.set_write_buffer_limits(0)  # drained means gone
                writer.write(answer)
                await writer.drain()
                writer.write_eof()
                # Bytes that nobody read would turn the end into a reset, and lose the answer.
                async with asyncio.timeout(_LINGER_S):
                    await reader.read(_LONGEST_REMAINDER)
        except (OSError, TimeoutError, EOFError):
            pass  # it went away, or takes too long
        except Exception as error:
            self._complain("a request", error)
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            request = parse_request(head, self._settings.names)
        except asyncio.LimitOverrunError:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            return self._refuse(status, f"a request has at most {LONGEST_HEAD} bytes")
        except BadRequest as error:
            return self._refuse(error.status, error.reason)
        return await self._resource(request)

    async def _resource(self, request: Request) -> bytes:
        shelf = self._shelves.get(request.path)
        if shelf is None:
            paths = ", ".join(self._shelves)
            reason = f"there is nothing here; there is {paths}"
            return self._refuse(HTTPStatus.NOT_FOUND, reason, with_body=request.wants_body)
        try:
            body = await shelf.body()
        except Exception as error:
            self._complain(request.path, error)
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            return self._refuse(status, "failed; the log says why", with_body=request.wants_body)
        self.requests += 1
        return response(
            HTTPStatus.OK, shelf.resource.media_type, body, with_body=request.wants_body
        )

    def _refuse(self, status: HTTPStatus, reason: str, *, with_body: bool = True) -> bytes:
        self.refused += 1
        return response(status, _TEXT, f"{reason}\n".encode(), with_body=with_body)

    def _complain(self, what: str, error: Exception) -> None:
        """Once for each path: a page asks every few seconds."""
        if what not in self._complaints:
            self._complaints.add(what)
            _log.error("the local page: %s failed: %s", what, error, exc_info=error)
