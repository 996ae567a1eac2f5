"""What this site has taught about its forecasters: a bias of the median, then honest intervals.

Decides that each forecaster is corrected by its own outcomes (persistence errs in other ways than
a bundle), that the first bundle begins where it says and a later one with what its predecessor
left, that both learn fast at first, and what of it is saved. It leaves to others: the arithmetic
(``models.forecasters``), who speaks (``engine``), the coverage that is measured in the end
(``coverage``).
"""

from __future__ import annotations

from typing import Any

from models.contract.timestamps import Instant
from models.features.site import FloatArray
from models.forecasters.conformal import OnlineConformal
from models.forecasters.local_bias import OnlineBias

VERSION = 2
"""Raise when saved states of before must not be read."""
MOST_MODELS = 4


class _Voice:
    """One forecaster, by the name it publishes under."""

    def __init__(self, saved: dict[str, Any] | None = None) -> None:
        saved = saved or {}
        self.bias = OnlineBias(saved.get("bias"))
        self.interval = OnlineConformal(saved.get("interval"))
        bundle = saved.get("bundle")
        self.bundle: str | None = bundle if isinstance(bundle, str) else None

    def save(self) -> dict[str, Any]:
        return {
            "bundle": self.bundle,
            "bias": self.bias.save(),
            "interval": self.interval.save(),
        }


class Calibration:
    """Of one quantity of one site. Not for use by two threads at once."""

    def __init__(self, saved: Any = None) -> None:
        """Begin from :meth:`save`'s form; what is damaged in it begins afresh."""
        self._voices: dict[str, _Voice] = {}
        if not isinstance(saved, dict) or saved.get("version") != VERSION:
            return
        models = saved.get("models")
        if isinstance(models, dict):
            for name, one in list(models.items())[-MOST_MODELS:]:
                self._voices[name] = _Voice(one if isinstance(one, dict) else None)

    def happened(self, start: Instant, power: float) -> None:
        """The mean power [W] of the interval at ``start``, in the order of time."""
        for voice in self._voices.values():
            voice.bias.happened(start, power)
            voice.interval.happened(start, power)

    def apply(
        self,
        model: str,
        bundle: str | None,
        start: Instant,
        quantiles: FloatArray,
        clear: FloatArray,
        hour_angle: FloatArray,
        limit: float,
        initial_offsets: FloatArray | None = None,
    ) -> FloatArray:
        """Quantiles to publish of what ``model`` of ``bundle`` says from ``start``; remembers it.

        ``quantiles`` is ``(levels, steps)`` [W]; ``clear`` [W] and ``hour_angle`` [deg] are of the
        same steps; ``limit`` is what the plant can do [W]; ``initial_offsets`` are the offsets that
        ``bundle`` gives a site which has taught nothing yet, ``(lead buckets, levels)``.
        """
        voice = self._voices.pop(model, None) or _Voice()
        self._voices[model] = voice  # the one that spoke last is forgotten last
        for name in list(self._voices)[:-MOST_MODELS]:
            del self._voices[name]
        if bundle != voice.bundle:
            if voice.bundle is not None:
                voice.bias.forecaster_changed()
                voice.interval.forecaster_changed()
            voice.bundle = bundle
        if initial_offsets is not None:
            voice.interval.begin_at(initial_offsets)
        corrected = voice.bias.apply(quantiles, hour_angle, limit)
        published = voice.interval.apply(start, corrected, clear, limit)
        voice.bias.issued(start, quantiles, hour_angle, limit)
        voice.interval.issued(start, corrected, clear, limit)
        return published

    def save(self) -> dict[str, Any]:
        """JSON form, some 40 kB per forecaster that has spoken."""
        return {
            "version": VERSION,
            "models": {name: voice.save() for name, voice in self._voices.items()},
        }
