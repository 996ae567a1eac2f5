"""A record: what one poll of one device gave, value by value, each with its quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from .checks import check_count, finite_number
from .errors import ContractError
from .quantities import quantity
from .timestamps import DAY_MS, SECOND_MS, Instant, check_instant
from .topics import check_identifier


class Quality(StrEnum):
    """How far a value may be believed. Only ``GOOD`` values train models."""

    GOOD = "good"
    SUSPECT = "suspect"
    """Outside what is plausible; stored, shown, never trained on."""
    MISSING = "missing"
    """Asked for and not received."""
    ASLEEP = "asleep"
    """The device is off because it is night."""
    CURTAILED = "curtailed"
    """True, but held down on purpose."""
    CLIPPED = "clipped"
    """True, but at the inverter's limit."""


WITHOUT_VALUE = frozenset({Quality.MISSING, Quality.ASLEEP})
"""Qualities that may stand without a value (and, for ``MISSING``, only without one)."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One value in base units and its quality; ``value`` is None when there is none.

    Any finite real number is taken and kept as a float, so that one value has one text.
    """

    value: float | None
    quality: Quality = Quality.GOOD

    def __post_init__(self) -> None:
        if self.value is None:
            if self.quality not in WITHOUT_VALUE:
                raise ContractError(f"a {self.quality.value} reading needs a value")
            return
        if self.quality is Quality.MISSING:
            raise ContractError("a missing reading has no value")
        object.__setattr__(self, "value", finite_number(self.value))


_set_value: Callable[[Reading, float], None] = vars(Reading)["value"].__set__
_set_quality: Callable[[Reading, Quality], None] = vars(Reading)["quality"].__set__


def good_reading(value: float) -> Reading:
    """``Reading(value)`` at half its cost, for decoders: ``value`` must be a finite float, and no
    negative zero; nothing is checked."""
    reading = Reading.__new__(Reading)
    _set_value(reading, value)
    _set_quality(reading, Quality.GOOD)
    return reading


MAX_SAMPLES = 1_000_000


@dataclass(frozen=True)
class Record:
    """One poll of one device. ``readings`` maps quantity names to readings; it is never empty.

    A record may also stand for several polls that a full disk did not leave room for: then
    ``window_ms`` is above 0, ``measured_at`` the start of the window, an ``instant`` quantity the
    mean and any other the last value of its ``samples`` polls.
    """

    device: str
    measured_at: Instant
    readings: Mapping[str, Reading]
    samples: int = 1
    """Polls that this record stands for."""
    window_ms: int = 0
    """Length of the window they lie in; 0: this is one poll as it was."""
    clock_trusted: bool = True
    """False: ``measured_at`` is what a clock said that nobody had set. Never used by time."""

    def __post_init__(self) -> None:
        check_identifier(self.device)
        check_instant(self.measured_at)
        check_window(self.samples, self.window_ms)
        if not self.readings:
            raise ContractError(f"record of {self.device} holds no readings")
        for name in self.readings:
            quantity(name)

    def value(self, name: str) -> float | None:
        """Value of quantity ``name`` if it is there and good, else None."""
        reading = self.readings.get(name)
        return reading.value if reading is not None and reading.quality is Quality.GOOD else None


def check_window(samples: int, window_ms: int) -> None:
    """Raise ``ContractError`` unless ``samples`` polls can lie in ``window_ms``."""
    check_count(samples, "samples", 1, MAX_SAMPLES)
    check_count(window_ms, "window_ms", 0, DAY_MS)
    if window_ms % SECOND_MS:
        raise ContractError(f"window_ms must be whole seconds, not {window_ms} ms")
    if samples > 1 and not window_ms:
        raise ContractError(f"{samples} samples need a window")
