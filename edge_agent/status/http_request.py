"""As much of HTTP/1.1 as a page on loopback needs: one GET or HEAD per connection. Pure, no I/O.

Decides what a request must look like and which names this box answers to; what stands at a path and
how long somebody may take is ``local_server``'s.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus

LONGEST_HEAD = 8_192
_MOST_HEADERS = 64
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_SECURITY = (
    ("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self';"
     " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none';"
     " frame-ancestors 'none'"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)  # fmt: skip


class BadRequest(Exception):
    """The request is refused; the text goes to whoever asked."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    path: str
    """Without the query."""
    wants_body: bool


def parse_request(head: bytes, names: Collection[str] = ()) -> Request:
    """The request with this head (up to and including the empty line).

    ``names``: what this box is called, beside its loopback names. Raises ``BadRequest``.
    """
    lines = head.removesuffix(b"\r\n\r\n").decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.0", "HTTP/1.1"):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1 request")
    method, target, _ = words
    _check_host(_headers(lines[1:]), names)
    if method not in ("GET", "HEAD"):
        raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED, "nothing can be changed here; use GET")
    if not target.startswith("/"):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "the target of a request begins with /")
    return Request(target.partition("?")[0], method == "GET")


def _headers(lines: list[str]) -> list[tuple[str, str]]:
    if len(lines) > _MOST_HEADERS:
        raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many headers")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequest(HTTPStatus.BAD_REQUEST, "a header cannot be read")
        headers.append((name.lower(), value.strip()))
    return headers


def _check_host(headers: list[tuple[str, str]], names: Collection[str]) -> None:
    hosts = [value for name, value in headers if name == "host"]
    if len(hosts) != 1:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "a request needs one Host")
    host = _without_port(hosts[0].lower())
    if host not in LOOPBACK_NAMES and host not in {name.lower() for name in names}:
        raise BadRequest(
            HTTPStatus.MISDIRECTED_REQUEST,
            "this page does not answer to that name: open it as localhost or 127.0.0.1, or add the"
            " name to `names` in [local] of the settings",
        )


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def response(status: HTTPStatus, media_type: str, body: bytes, *, with_body: bool = True) -> bytes:
    """A whole response; the connection ends after it."""
    headers = [
        ("Content-Type", media_type),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        *_SECURITY,
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", "GET, HEAD"))
    lines = [f"HTTP/1.1 {status.value} {status.phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    head = "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"
    return head + body if with_body else head
