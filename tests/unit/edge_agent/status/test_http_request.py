"""Requests that the local page must refuse, and what every answer carries."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.status.http_request import BadRequest, Request, parse_request, response


def request(line: str = "GET / HTTP/1.1", *headers: str) -> bytes:
    return "\r\n".join([line, *(headers or ("Host: localhost:8437",)), "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8437", "127.0.0.1:1", "[::1]", "[::1]:8437", "box.example:80"],
)
def test_the_box_answers_to_its_own_names_on_any_port(host: str) -> None:
    asked = request("GET /status.json?x=1 HTTP/1.1", f"Host: {host}", "Accept: */*")
    assert parse_request(asked, ["Box.example"]) == Request("/status.json", wants_body=True)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "", "[::2]", "::1"]
)
def test_another_name_is_refused_so_that_no_foreign_page_reads_this_one(host: str) -> None:
    with pytest.raises(BadRequest, match="`names`") as refused:
        parse_request(request("GET / HTTP/1.1", f"Host: {host}"))
    assert refused.value.status is HTTPStatus.MISDIRECTED_REQUEST


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request("POST / HTTP/1.1"), HTTPStatus.METHOD_NOT_ALLOWED),
        (request("GET http://localhost/ HTTP/1.1"), HTTPStatus.BAD_REQUEST),
        (request("GET /"), HTTPStatus.BAD_REQUEST),
        (request("GET / HTTP/2"), HTTPStatus.BAD_REQUEST),
        (request("GET  / HTTP/1.1"), HTTPStatus.BAD_REQUEST),
        (request("GET / HTTP/1.1", "Accept: */*"), HTTPStatus.BAD_REQUEST),
        (request("GET / HTTP/1.1", "Host: localhost", "Host: evil"), HTTPStatus.BAD_REQUEST),
        (request("GET / HTTP/1.1", "Host : localhost"), HTTPStatus.BAD_REQUEST),
        (request("GET / HTTP/1.1", "Host: localhost", " folded: x"), HTTPStatus.BAD_REQUEST),
        (request("GET / HTTP/1.1", "Host: localhost", *["a: b"] * 64),
         HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
)  # fmt: skip
def test_what_is_no_plain_question_is_refused(asked: bytes, status: HTTPStatus) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_request(asked)
    assert refused.value.status is status


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_be_refused(noise: bytes) -> None:
    with suppress(BadRequest):
        parse_request(noise + b"\r\n\r\n")


def test_every_answer_forbids_scripts_from_elsewhere_and_being_framed() -> None:
    head, _, body = response(HTTPStatus.OK, "text/html", b"<p>").partition(b"\r\n\r\n")
    assert body == b"<p>"
    assert b"Content-Length: 3" in head
    policy = next(line for line in head.split(b"\r\n") if b"Content-Security-Policy" in line)
    assert b"default-src 'none'" in policy
    assert b"frame-ancestors 'none'" in policy
    assert b"unsafe" not in policy
    assert response(HTTPStatus.OK, "text/html", b"<p>", with_body=False).endswith(b"\r\n\r\n")
