"""What records of one device have in common, apart from what changes with every poll.

A site sends the same few kinds of record for ever: the same device with the same quantities, all
good by day and asleep by night. Such a kind is a :class:`RecordForm`; a record is then a form, an
instant and a handful of numbers. Journal and batch keep records like that, at a fifth of the text,
and :meth:`RecordForm.body` gives back the body, character by character.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from .. import SCHEMA_VERSION
from ..errors import ContractError, PayloadError
from ..fields import Fields, Json, checked
from ..quantities import quantity
from ..record import MAX_SAMPLES, WITHOUT_VALUE, Quality, Record, check_window
from ..timestamps import DAY_MS, SECOND_MS, Instant, format_iso8601
from ..topics import check_identifier
from .json_text import canonical
from .records import UNTRUSTED

_VALUE, _TIME = "\0v", "\0t"  # no text of a body can hold them


@dataclass(frozen=True)
class RecordForm:
    """Everything in a record but its time and its values."""

    device: str
    names: tuple[str, ...]
    """Quantities that have a value, ascending; values stand in this order."""
    flaws: tuple[tuple[str, Quality], ...] = ()
    """Qualities other than good, by ascending name; with or without a value."""
    samples: int = 1
    window_ms: int = 0
    clock_trusted: bool = True

    def __post_init__(self) -> None:
        check_identifier(self.device)
        check_window(self.samples, self.window_ms)
        flawed = [name for name, _ in self.flaws]
        for names in (list(self.names), flawed):
            if names != sorted(set(names)):
                raise ContractError(f"names must ascend and stand once: {', '.join(names)}")
        for name in {*self.names, *flawed}:
            quantity(name)
        if not self.names and not flawed:
            raise ContractError(f"a record of {self.device} without readings")
        for name, flaw in self.flaws:
            if flaw is Quality.GOOD:
                raise ContractError(f"{name}: good is not a flaw")
            if name not in self.names and flaw not in WITHOUT_VALUE:
                raise ContractError(f"{name}: a {flaw.value} reading needs a value")
            if name in self.names and flaw is Quality.MISSING:
                raise ContractError(f"{name}: a missing reading has no value")

    @classmethod
    def of(cls, record: Record) -> tuple[RecordForm, tuple[float, ...]]:
        """The form of ``record`` and its values in the order of ``names``."""
        found = sorted(record.readings.items())
        form = cls(
            record.device,
            tuple(name for name, reading in found if reading.value is not None),
            tuple((n, reading.quality) for n, reading in found if reading.quality != Quality.GOOD),
            record.samples,
            record.window_ms,
            record.clock_trusted,
        )
        return form, tuple(reading.value for _, reading in found if reading.value is not None)

    def body(self, measured_at: Instant, values: Sequence[float]) -> str:
        """The canonical body of the record with these values, one for each of ``names``.

        ``values`` are finite floats. Equal to ``canonical(record_to_json(record))``.
        """
        template, place = self._template
        return template % (*values[:place], format_iso8601(measured_at), *values[place:])

    @cached_property
    def untrusted(self) -> RecordForm:
        """The same, stamped by a clock that nobody had set."""
        return replace(self, clock_trusted=False)

    @cached_property
    def _template(self) -> tuple[str, int]:
        """Text with a gap for each value and the time, and how many values stand before the time"""
        fields: dict[str, Json] = {
            "v": SCHEMA_VERSION,
            "device": self.device,
            "timestamp": _TIME,
            **dict.fromkeys(self.names, _VALUE),
        }
        if self.flaws:
            fields["quality"] = {name: flaw.value for name, flaw in self.flaws}
        if self.window_ms:
            fields["samples"] = self.samples
            fields["window_s"] = self.window_ms // SECOND_MS
        if not self.clock_trusted:
            fields["clock"] = UNTRUSTED
        text = canonical(fields).replace("%", "%%")
        before = text[: text.index(canonical(_TIME))].count(canonical(_VALUE))
        return text.replace(canonical(_VALUE), "%r").replace(canonical(_TIME), '"%s"'), before


def form_to_json(form: RecordForm) -> dict[str, Json]:
    """JSON object of a form; what is usual is left out."""
    body: dict[str, Json] = {"device": form.device, "names": list(form.names)}
    if form.flaws:
        body["quality"] = {name: flaw.value for name, flaw in form.flaws}
    if form.window_ms:
        body["samples"] = form.samples
        body["window_s"] = form.window_ms // SECOND_MS
    if not form.clock_trusted:
        body["clock"] = UNTRUSTED
    return body


def form_from_json(body: Any, path: str = "form") -> RecordForm:
    """Strict inverse of :func:`form_to_json`; ``path`` names it in errors."""
    if not isinstance(body, dict):
        raise PayloadError("must be an object", path)
    fields = Fields(body, path)
    device, names = fields.identifier("device"), fields.texts("names")
    quality = fields.mapping("quality", optional=True)
    words = Fields(quality, f"{path}.quality")
    flaws = tuple((name, words.enum(name, Quality)) for name in sorted(quality))
    window = fields.has("window_s")
    samples = fields.integer("samples", 1, MAX_SAMPLES) if window else 1
    window_ms = fields.integer("window_s", 1, DAY_MS // SECOND_MS) * SECOND_MS if window else 0
    trusted = not fields.has("clock")
    if not trusted and fields.text("clock") != UNTRUSTED:
        raise PayloadError(f"must be {UNTRUSTED!r} or absent", f"{path}.clock")
    fields.finish()
    return checked(lambda: RecordForm(device, names, flaws, samples, window_ms, trusted), path)
