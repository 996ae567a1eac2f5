"""Puts the HTTP surface together, and decides what an error looks like.

Every error is ``{"detail": ...}`` and says which field is wrong; the refused input is not repeated,
because it may hold NaN, which no JSON answer can. OpenAPI is at ``/openapi.json``; its usual viewer
is left out because it loads scripts from elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from central.store import StoreError

from . import completeness, devices, health, page, sites, solar
from .context import ApiContext
from .limits import BodyLimit, JsonWhateverTheHeader

log = logging.getLogger(__name__)


def create_app(context: ApiContext) -> FastAPI:
    """The application, ready for any ASGI server."""
    app = FastAPI(
        title="solar-sharing",
        description="Forecasts, measurements and devices of a fleet of small solar sites.",
        version="1",
        docs_url=None,
        redoc_url=None,
    )
    app.state.context = context
    for group in (health, solar, sites, devices, completeness, page):
        app.include_router(group.router)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StoreError, _no_store)
    app.add_middleware(JsonWhateverTheHeader, paths=(solar.PATH,))
    app.add_middleware(BodyLimit, max_bytes=context.settings.max_request_bytes)
    return app


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": _problems(error.errors())}, status_code=422)


def _problems(errors: Sequence[Any]) -> list[dict[str, str]]:
    return [
        {
            "field": ".".join(str(part) for part in one["loc"]),
            "problem": str(one["msg"]).encode("utf-8", "replace").decode()[:300],
        }
        for one in errors[:20]
    ]


def _no_store(_request: Request, error: Exception) -> JSONResponse:
    log.error("the store does not answer: %s", error)
    return JSONResponse(
        {"detail": "the store does not answer; see the log of the centre"}, status_code=503
    )
