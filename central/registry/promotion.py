"""Whether a candidate may follow the champion. Pure.

Each was judged on its own test span, weeks apart, so they are held against each other by their
error relative to smart persistence: a share of the capacity would say more of the season.

Fast lane: at least 5 % better. Otherwise a candidate may go out when it is at most
``TOLERATED_LOSS`` worse than the champion: it has seen newer data. Nothing goes out that does not
surely beat smart persistence. Weather mode ``perfect`` never gates anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.contract.forecast import WeatherMode

FAST_LANE = 0.05
TOLERATED_LOSS = 0.02
LOWEST_COVERAGE, HIGHEST_COVERAGE = 0.70, 0.99
"""Measured coverage of the nominal 90 % interval outside these means the bundle misleads."""


@dataclass(frozen=True)
class Judged:
    """What promotion looks at: daylight scores on the test span of the training."""

    skill: float
    """1 - MAE over the MAE of smart persistence."""
    skill_low: float
    coverage_90: float
    weather_mode: WeatherMode = WeatherMode.NONE


@dataclass(frozen=True)
class Verdict:
    """Whether the candidate goes out, and why."""

    promote: bool
    reason: str


def judge(candidate: Judged, champion: Judged | None) -> Verdict:
    """Decide on ``candidate``; ``champion`` is None before the first release."""
    if candidate.weather_mode is WeatherMode.PERFECT:
        return Verdict(False, "weather mode 'perfect' is an upper bound and gates nothing")
    if not candidate.skill_low > 0:
        return Verdict(
            False,
            f"skill against smart persistence is {candidate.skill:.1%}, "
            f"but its lower bound {candidate.skill_low:.1%} is not above 0",
        )
    if not LOWEST_COVERAGE <= candidate.coverage_90 <= HIGHEST_COVERAGE:
        return Verdict(
            False,
            f"the 90 % interval covers {candidate.coverage_90:.1%}; "
            f"{LOWEST_COVERAGE:.0%} to {HIGHEST_COVERAGE:.0%} is tolerated",
        )
    if champion is None:
        return Verdict(True, f"first champion: skill {candidate.skill:.1%}")
    gain = 1.0 - (1.0 - candidate.skill) / max(1.0 - champion.skill, 1e-9)
    if gain >= FAST_LANE:
        return Verdict(True, f"{gain:.1%} lower error than the champion")
    if gain >= -TOLERATED_LOSS:
        return Verdict(True, f"{gain:+.1%} error against the champion, on newer data")
    return Verdict(False, f"{-gain:.1%} higher error than the champion")
