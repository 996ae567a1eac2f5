"""The request limit counts what really comes, and does not wait for ever."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from central.api.limits import BodyLimit


async def reader(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the whole body and answers with its length."""
    length = 0
    while True:
        message = await receive()
        length += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


async def catcher(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that makes an answer of its own out of every exception."""
    try:
        await reader(scope, receive, send)
    except Exception:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"oops"})


def run(
    app: Any, chunks: list[bytes], announced: bytes | None = None, *, hang: bool = False
) -> Any:
    """Status and body that a client of ``BodyLimit(app)`` with 10 bytes sees."""
    sent: list[Message] = []
    waiting = [
        {"type": "http.request", "body": chunk, "more_body": hang or k + 1 < len(chunks)}
        for k, chunk in enumerate(chunks)
    ]

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [] if announced is None else [(b"content-length", announced)]
    scope = {"type": "http", "headers": headers}
    asyncio.run(BodyLimit(app, 10, timeout_s=0.05)(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body.decode()


def test_a_body_up_to_the_limit_passes() -> None:
    assert run(reader, [b"12345", b"67890"]) == (200, "10")


def test_a_body_beyond_the_limit_is_refused_while_it_comes() -> None:
    status, body = run(reader, [b"12345", b"67890", b"1"])
    assert status == 413
    assert json.loads(body)["detail"] == "the request is larger than 10 bytes"


def test_an_announced_length_beyond_the_limit_is_refused_unread() -> None:
    assert run(reader, [b""], announced=b"11")[0] == 413


def test_an_announced_length_does_not_hide_a_larger_body() -> None:
    assert run(reader, [b"x" * 11], announced=b"5")[0] == 413


def test_a_body_that_does_not_come_is_given_up() -> None:
    assert run(reader, [b"123"], hang=True)[0] == 408


def test_the_refusal_stands_even_if_the_application_answers_by_itself() -> None:
    assert run(catcher, [b"x" * 11])[0] == 413
