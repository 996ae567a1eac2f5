"""What this box has learned of its own roof, looked at anew once a day.

Decides when to learn and from how much; what can be learned is ``models.features.learned_site``'s.
The result is kept, so that a restart begins where it was, and the form's values speak until there
is evidence. A failure leaves what was known before.
"""

from __future__ import annotations

import logging
from typing import Any

from models.contract.fields import Json
from models.contract.timestamps import DAY_MS, Instant
from models.features.learned_site import LearnedSite, learn_site
from models.features.learned_sky import BACK_DAYS
from models.features.site import Site, SiteSeries

from .interval_store import IntervalStore

_log = logging.getLogger(__name__)

QUANTITY = "ac_power"


class SiteLearner:
    """Keeps one ``LearnedSite`` fresh. Blocking; one thread at a time."""

    def __init__(self, name: str, declared: Site, intervals: IntervalStore, saved: Any) -> None:
        """``saved`` is what ``save`` gave; of another form, or unreadable: begin anew."""
        self._name, self._declared, self._intervals = name, declared, intervals
        self._day: int | None = None
        self.site = LearnedSite.of_form(declared)
        if saved is None:
            return
        try:
            kept, day = LearnedSite.from_json(saved["site"]), int(saved["day"])
        except (ValueError, TypeError, KeyError) as error:
            _log.warning("what was learned of the site cannot be read and begins anew: %s", error)
            return
        if kept.declared == declared:
            self.site, self._day = kept, day

    def save(self) -> Json:
        """What ``__init__`` takes back."""
        return {"day": self._day, "site": self.site.to_json()}

    def refresh(self, now: Instant) -> bool:
        """Learn from the last ``BACK_DAYS``, once a day; True when there is something to keep."""
        day = now // DAY_MS
        if day == self._day:
            return False
        self._day = day
        start = now - BACK_DAYS * DAY_MS
        power = self._intervals.series(self._name, QUANTITY, start, now)
        try:
            learned = learn_site(self._declared, SiteSeries(start, power))
        except Exception:  # whatever the data, the site gets its forecast
            _log.exception("nothing was learned of the site today")
            return False
        self.site = learned
        return True
