"""What became of one reply: readings for the journal, details for people, and a reason for each
value that is not good.

Every protocol's decoder ends in a :class:`Decoded`, so that what follows (plausibility, records,
``solar-edge read``, ``decode`` and ``scan``) exists once. Pure values; knows no protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from models.contract.record import Quality, Reading


@dataclass(frozen=True, slots=True)
class Detail:
    """Something a device tells besides the contract's quantities: shown to people, not kept."""

    value: float | str | None
    unit: str = ""
    """As the device's document names it; empty for texts, codes and counts."""
    quality: Quality = Quality.GOOD


@dataclass(slots=True)
class Decoded:
    """The content of one reply, or of all replies of one poll. Names are unique over all fields."""

    readings: dict[str, Reading] = field(default_factory=dict)
    """Quantities of the contract, in base units, by name."""
    details: dict[str, Detail] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a reading or detail is not good, by its name; good ones have no entry."""
    raw: dict[str, str] = field(default_factory=dict)
    """What the device sent for a name (hexadecimal, or the telegram's text); only if asked for."""

    def update(self, other: Decoded) -> None:
        """Take in what ``other`` holds; where both have a name, ``other`` wins."""
        self.readings |= other.readings
        self.details |= other.details
        for name in (*other.readings, *other.details):
            self.reasons.pop(name, None)
        self.reasons |= other.reasons
        self.raw |= other.raw
