"""``/health`` and ``/api/iot/health``: is the centre up, and does data come in?"""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from .context import Context

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """``degraded``: it answers, but data is not coming in or cannot be stored."""

    status: Literal["ok", "degraded"]


class IotHealth(Health):
    """State of the way from the devices into the store."""

    mqtt_connected: bool
    trouble: str | None
    counters: dict[str, int]
    stored: dict[str, int]


@router.get("/health")
def health(context: Context) -> Health:
    """Whether the service works. 503 when the store does not answer."""
    with context.store.read() as ask:
        ask.sites()
    return Health(status="degraded" if context.state().trouble else "ok")


@router.get("/api/iot/health", responses={503: {"model": IotHealth}})
def iot_health(context: Context, response: Response) -> IotHealth:
    """Whether devices can reach the store; 503 when not."""
    state = context.state()
    with context.store.read() as ask:
        stored = ask.counts()
    fine = state.mqtt_connected and not state.trouble
    if not fine:
        response.status_code = 503
    return IotHealth(
        status="ok" if fine else "degraded",
        mqtt_connected=state.mqtt_connected,
        trouble=state.trouble,
        counters=dict(state.counters),
        stored=stored,
    )
