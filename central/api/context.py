"""What the HTTP surface needs of the running centre, handed in by whoever starts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Path, Request

from central.settings import ApiSettings
from central.store import Store
from models.contract.clock import Clock


@dataclass(frozen=True)
class ServiceState:
    """How the rest of the centre is doing."""

    mqtt_connected: bool
    trouble: str | None = None
    """Why incoming data cannot be stored or received, if so."""
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ApiContext:
    """Everything a request may use."""

    store: Store
    clock: Clock
    settings: ApiSettings
    state: Callable[[], ServiceState]


def _context(request: Request) -> ApiContext:
    context: ApiContext = request.app.state.context
    return context


Context = Annotated[ApiContext, Depends(_context)]
Identifier = Annotated[
    str,
    Path(pattern=r"^[a-z0-9_-]{1,64}$", description="agent or plain device", examples=["site_01"]),
]
