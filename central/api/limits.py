"""Bounds on what a client may send: bytes counted while they come, and time to send them.

Starlette has no limit of its own, and a Content-Length header proves nothing.
"""

from __future__ import annotations

import asyncio
import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_TIMEOUT_S = 10.0


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class BodyLimit:
    """ASGI middleware: 413 for a larger body, 408 for one that does not come."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._app, self._max_bytes, self._timeout_s = app, max_bytes, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application on a counted body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False
        refused: _Refused | None = None

        async def watched_send(message: Message) -> None:
            nonlocal started
            # An answer that the application makes of our refusal is replaced by ours.
            if refused is None or started:
                started = True
                await send(message)

        counted = 0
        complete = False

        async def counted_receive() -> Message:
            nonlocal counted, complete, refused
            if complete:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self._timeout_s)
            except TimeoutError:
                refused = _Refused(408, f"the body did not come within {self._timeout_s:g} s")
                raise refused from None
            counted += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if counted > self._max_bytes:
                refused = self._too_large()
                raise refused
            return message

        announced = dict(scope["headers"]).get(b"content-length", b"0")
        try:
            if announced.isdigit() and int(announced) > self._max_bytes:
                raise self._too_large()
            await self._app(scope, counted_receive, watched_send)
        except _Refused as error:
            refused = error
        if refused is not None and not started:
            await _answer(send, refused)

    def _too_large(self) -> _Refused:
        return _Refused(413, f"the request is larger than {self._max_bytes} bytes")


async def _answer(send: Send, refused: _Refused) -> None:
    body = json.dumps({"detail": refused.reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class JsonWhateverTheHeader:
    """ASGI middleware: what is posted to ``paths`` is read as JSON even if the header says
    otherwise.

    ``curl -d`` without a header calls it a form; the runbook's check does that. Only for paths that
    change nothing, so that a foreign web page cannot use it.
    """

    def __init__(self, app: ASGIApp, paths: tuple[str, ...]) -> None:
        self._app, self._paths = app, frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Correct the header."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self._paths:
            headers = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
            scope = {**scope, "headers": [*headers, (b"content-type", b"application/json")]}
        await self._app(scope, receive, send)
