"""``/api/iot/devices/{agent}/completeness``: is everything of a day here, and if not, why?"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel

from central.completeness import completeness
from models.contract.errors import ContractError
from models.contract.ledger import DAY_PATTERN, day_of

from .context import Context, Identifier

router = APIRouter(prefix="/api/iot/devices", tags=["devices"])

Verdict = Literal["complete", "on its way", "missing", "unknown"]


class DeviceCompleteness(BaseModel):
    """One device on the day: what the box says (null: nothing), and what is stored here.

    ``expected`` turns are ``have`` and everything in ``lost`` together. ``stored`` counts polls
    whose record is here, those of a device asleep included; ``missing`` what the box has beyond it.
    """

    device: str
    verdict: Verdict
    stored: int
    missing: int | None
    reported_at: str | None
    poll_ms: int | None
    expected: int | None
    have: int | None
    thinned: int | None
    lost: dict[str, int] | None


class DayCompleteness(BaseModel):
    """An agent's UTC day; the verdict is the worst of its devices'.

    ``open_gaps``: entries, of any day, that are known to exist and not here yet.
    """

    agent: str
    day: str
    verdict: Verdict
    in_progress: bool
    reported_at: str | None
    open_gaps: int
    devices: list[DeviceCompleteness]


@router.get("/{agent}/completeness", responses={404: {"description": "no such agent"}})
def day_completeness(
    agent: Identifier,
    context: Context,
    day: Annotated[
        str | None,
        Query(pattern=f"^{DAY_PATTERN}$", description="UTC day, 2024-06-15; default: today"),
    ] = None,
) -> DayCompleteness:
    """Whether the centre has everything that an agent's box has of a day, and what was lost why."""
    now = context.clock.now()
    with context.store.read() as ask:
        if not ask.is_agent(agent):
            raise HTTPException(404, f"{agent}: no such agent; other devices keep no ledger")
        try:
            found = completeness(ask, agent, day or day_of(now), now)
        except ContractError as error:
            raise HTTPException(422, f"day: {error}") from None
    return DayCompleteness.model_validate(found.to_json())
