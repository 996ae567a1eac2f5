"""``/``: the first page. Three files of our own, no script or style from anywhere else."""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter, Response

router = APIRouter(include_in_schema=False)

_FOLDER = resources.files("central.api") / "page"
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def _file(name: str, media_type: str) -> Response:
    text = (_FOLDER / name).read_text(encoding="utf-8")
    return Response(text, media_type=media_type, headers=_HEADERS)


@router.get("/")
def index() -> Response:
    """The page."""
    return _file("index.html", "text/html; charset=utf-8")


@router.get("/page.js")
def script() -> Response:
    """Its script."""
    return _file("page.js", "text/javascript; charset=utf-8")


@router.get("/plot.js")
def plot() -> Response:
    """The plot it draws."""
    return _file("plot.js", "text/javascript; charset=utf-8")


@router.get("/page.css")
def style() -> Response:
    """Its style."""
    return _file("page.css", "text/css; charset=utf-8")
