"""Everything that crosses the wire beside records and forecasts, as frozen values.

The journal key ``(epoch, seq)`` identifies an entry for ever: ``epoch`` is random and new at every
agent start, so a restored card image can never use a key again; ``seq`` only grows.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from .checks import (
    MAX_COUNT,
    MAX_LONG_TEXT,
    MAX_TEXT,
    check_count,
    check_text,
    finite_number,
)
from .errors import ContractError
from .forecast import MAX_STEPS, check_step
from .ledger import MAX_LEDGERS, DayLedger
from .quantities import quantity
from .timestamps import Instant, check_instant
from .topics import check_identifier

if TYPE_CHECKING:
    from .payload.blocks import RecordBlock

MAX_SEQ = MAX_COUNT
MAX_CERTIFICATE = 20_000
"""Characters of one certificate or certificate request in PEM."""
MAX_CERTIFICATE_CHAIN = 100_000
MAX_TUF_ROOT = 200_000
MAX_SETTINGS = 200_000
EPOCH_PATTERN = "[0-9a-f]{16}"
_EPOCH = re.compile(EPOCH_PATTERN)

SeqRange = tuple[int, int]
"""Sequence numbers from the first to the last, both included."""


class Kind(StrEnum):
    """What a journal entry is."""

    RECORD = "record"
    FORECAST = "forecast"
    ALERT = "alert"
    STATUS = "status"


def check_epoch(epoch: object) -> str:
    """Return ``epoch`` if it is 16 lower-case hex digits."""
    if not isinstance(epoch, str) or not _EPOCH.fullmatch(epoch):
        raise ContractError(f"epoch must be 16 lower-case hex digits, not {str(epoch)[:40]!r}")
    return epoch


def check_ranges(ranges: tuple[SeqRange, ...]) -> None:
    """Raise ``ContractError`` unless the ranges are ascending, disjoint and within 1..MAX_SEQ."""
    previous = 0
    for first, last in ranges:
        if not previous < first <= last <= MAX_SEQ:
            raise ContractError(f"ranges must ascend without overlap: [{first}, {last}]")
        previous = last


def to_ranges(seqs: list[int]) -> tuple[SeqRange, ...]:
    """The fewest ranges that hold exactly ``seqs``."""
    ranges: list[SeqRange] = []
    for seq in sorted(set(seqs)):
        if ranges and ranges[-1][1] == seq - 1:
            ranges[-1] = (ranges[-1][0], seq)
        else:
            ranges.append((seq, seq))
    return tuple(ranges)


@dataclass(frozen=True, slots=True, order=True)
class EntryKey:
    """Name of one journal entry of one agent."""

    epoch: str
    seq: int

    def __post_init__(self) -> None:
        check_epoch(self.epoch)
        check_count(self.seq, "seq", 1, MAX_SEQ)


def body_digest(kind: str, body: str) -> bytes:
    """SHA-256 over the kind of an entry and its canonical body."""
    return hashlib.sha256(f"{kind}\n{body}".encode()).digest()


@dataclass(frozen=True)
class Entry:
    """A journal entry as it travels. ``body`` is canonical JSON text without the key."""

    key: EntryKey
    kind: Kind
    body: str

    @cached_property
    def digest(self) -> bytes:
        """The same key must never come with another digest."""
        return body_digest(self.kind.value, self.body)


@dataclass(frozen=True, slots=True)
class Void:
    """Sequence numbers that will never come, and why (thinned, deleted, lost)."""

    first: int
    last: int
    reason: str

    def __post_init__(self) -> None:
        check_ranges(((self.first, self.last),))
        check_text(self.reason, "reason", shortest=1)


@dataclass(frozen=True)
class Batch:
    """A run of backlog entries of one epoch, with what is void between them.

    ``first_seq`` is the first sequence number this epoch ever used. Records stand in ``blocks`` of
    one form each, all other entries in ``entries``; both ascend by ``seq``.
    """

    epoch: str
    first_seq: int
    entries: tuple[Entry, ...] = ()
    voids: tuple[Void, ...] = ()
    blocks: tuple[RecordBlock, ...] = ()

    def __post_init__(self) -> None:
        EntryKey(self.epoch, self.first_seq)
        if not self.entries and not self.voids and not self.blocks:
            raise ContractError("an empty batch")
        previous = self.first_seq - 1
        for entry in self.entries:
            if entry.key.epoch != self.epoch or entry.key.seq <= previous:
                raise ContractError("batch entries must be of one epoch and ascend by seq")
            previous = entry.key.seq
        for block in self.blocks:
            if block.seqs[0] < self.first_seq:
                raise ContractError("a block holds a seq from before its epoch")

    def all_entries(self) -> Iterator[Entry]:
        """Every entry, those of the blocks too, in no particular order."""
        yield from self.entries
        for block in self.blocks:
            yield from block.entries(self.epoch)


@dataclass(frozen=True)
class Ack:
    """Entries that the centre has committed.

    ``ranges`` is what this message acknowledges. ``through`` is the highest seq such that
    everything of this epoch up to it is committed or void; 0 while the centre does not know the
    epoch's start.
    """

    epoch: str
    through: int
    ranges: tuple[SeqRange, ...]

    def __post_init__(self) -> None:
        check_epoch(self.epoch)
        check_ranges(self.ranges)
        check_count(self.through, "through", 0, MAX_SEQ)


@dataclass(frozen=True)
class Rewind:
    """The centre lost data: send again everything measured since ``since`` that is still kept."""

    since: Instant
    reason: str

    def __post_init__(self) -> None:
        check_instant(self.since)
        check_text(self.reason, "reason")


class BundleState(StrEnum):
    """Where the box stands with its model bundle."""

    NONE = "none"
    STAGED = "staged"
    TRIAL = "trial"
    ACTIVE = "active"
    REFUSED = "refused"


@dataclass(frozen=True)
class BundleStatus:
    """The active bundle, and the last one that was refused with the reason."""

    state: BundleState = BundleState.NONE
    active: str | None = None
    release: int = 0
    refused: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        check_count(self.release, "bundle.release")
        for name, text, longest in (
            ("active", self.active, MAX_TEXT),
            ("refused", self.refused, MAX_TEXT),
            ("reason", self.reason, MAX_LONG_TEXT),
        ):
            if text is not None:
                check_text(text, f"bundle.{name}", longest)


@dataclass(frozen=True)
class Status:
    """Birth, death and health of an agent. Retained; its last will says the death."""

    agent: str
    timestamp: Instant
    online: bool
    version: str
    epoch: str
    first_seq: int
    bundle: BundleStatus = BundleStatus()
    counters: Mapping[str, int] = field(default_factory=dict)
    """Journal, uplink and device counters, by name."""
    ledger: tuple[DayLedger, ...] = ()
    """What became of the turns of some devices on some days, each pair once; live the days in
    progress and before, in the journal also older ones that have changed."""

    def __post_init__(self) -> None:
        check_identifier(self.agent)
        check_instant(self.timestamp)
        check_text(self.version, "version")
        EntryKey(self.epoch, self.first_seq)
        for name, count in self.counters.items():
            check_text(name, "counters")
            check_count(count, f"counters.{name}")
        if len(self.ledger) > MAX_LEDGERS:
            raise ContractError(f"ledger: at most {MAX_LEDGERS} rows, not {len(self.ledger)}")
        if len({(row.device, row.day) for row in self.ledger}) < len(self.ledger):
            raise ContractError("ledger: a device stands twice on one day")


class Severity(StrEnum):
    """How much an alert matters."""

    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"


@dataclass(frozen=True)
class Alert:
    """Something is wrong, or right again, at a device."""

    device: str
    timestamp: Instant
    code: str
    severity: Severity
    text: str
    active: bool = True

    def __post_init__(self) -> None:
        check_identifier(self.device)
        check_identifier(self.code)
        check_instant(self.timestamp)
        check_text(self.text, "text", MAX_LONG_TEXT)


@dataclass(frozen=True)
class Risk:
    """Calibrated probabilities (0..1) for the time until ``until``, each with its causes."""

    site: str
    issued_at: Instant
    until: Instant
    probabilities: Mapping[str, float]
    causes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_identifier(self.site)
        check_instant(self.issued_at)
        check_instant(self.until)
        for name, share in self.probabilities.items():
            check_identifier(name)
            if not 0 <= share <= 1:
                raise ContractError(f"probabilities.{name} must be between 0 and 1, not {share}")
        shares = {name: finite_number(share) for name, share in self.probabilities.items()}
        object.__setattr__(self, "probabilities", shares)
        for name, cause in self.causes.items():
            check_identifier(name)
            check_text(cause, f"causes.{name}", MAX_LONG_TEXT)


@dataclass(frozen=True)
class WeatherForecast:
    """Numerical weather forecast for one site: ``values[quantity][k]`` at ``start + k*step``.

    All quantities have the same number of steps.
    """

    site: str
    issued_at: Instant
    start: Instant
    step_ms: int
    source: str
    values: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        check_identifier(self.site)
        check_instant(self.issued_at)
        check_instant(self.start)
        check_step(self.step_ms)
        check_text(self.source, "source")
        for name in self.values:
            quantity(name)
        rows = {n: tuple(finite_number(one) for one in row) for n, row in self.values.items()}
        object.__setattr__(self, "values", rows)
        lengths = {len(row) for row in rows.values()}
        if len(lengths) != 1 or not 1 <= min(lengths) <= MAX_STEPS:
            raise ContractError(f"values: 1 to {MAX_STEPS} steps wanted, the same everywhere")


@dataclass(frozen=True)
class EnrolmentRequest:
    """A new box asks to join: who it is and the certificate request it wants signed."""

    agent: str
    hardware: str
    certificate_request: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        check_identifier(self.agent)
        check_text(self.hardware, "hardware")
        check_text(self.certificate_request, "certificate_request", MAX_CERTIFICATE)
        check_text(self.token, "token")


@dataclass(frozen=True)
class Enrolment:
    """The centre's answer: certificate, trust root for bundles, and the site's settings."""

    agent: str
    certificate: str
    ca_certificate: str
    tuf_root: str
    settings: str

    def __post_init__(self) -> None:
        check_identifier(self.agent)
        check_text(self.certificate, "certificate", MAX_CERTIFICATE)
        check_text(self.ca_certificate, "ca_certificate", MAX_CERTIFICATE_CHAIN)
        check_text(self.tuf_root, "tuf_root", MAX_TUF_ROOT)
        check_text(self.settings, "settings", MAX_SETTINGS)
