"""What goes into the store and comes out of it, as plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from models.contract.ledger import DayLedger
from models.contract.messages import SeqRange, Status
from models.contract.record import Record
from models.contract.timestamps import Instant
from models.features.site import Site


class EntryRow(NamedTuple):
    """One journal entry of an agent; ``device`` and ``measured_at`` are None when its body breaks
    the contract."""

    agent: str
    epoch: str
    seq: int
    kind: str
    device: str | None
    measured_at: Instant | None
    digest: bytes
    body: str
    received_at: Instant


class VoidRow(NamedTuple):
    """Sequence numbers that will never come."""

    agent: str
    epoch: str
    first: int
    last: int
    reason: str


class PlainRow(NamedTuple):
    """One record of a device without an agent."""

    device: str
    measured_at: Instant
    digest: bytes
    body: str
    received_at: Instant


class StatusRow(NamedTuple):
    """An agent's status. ``forced``: stands even if the stored one is newer (births and deaths: the
    broker publishes a death that was written when the connection began)."""

    agent: str
    status_at: Instant
    status: str
    forced: bool


class LedgerRow(NamedTuple):
    """What an agent says of one device on one day; ``reasons`` is JSON: lost turns by reason."""

    agent: str
    day: str
    device: str
    poll_ms: int
    expected: int
    have: int
    thinned: int
    reasons: str
    reported_at: Instant
    received_at: Instant


class RiskRow(NamedTuple):
    """The latest risk message of a site."""

    agent: str
    site: str
    issued_at: Instant
    body: str


class QuarantineRow(NamedTuple):
    """A message that could not be believed, and why."""

    topic: str
    payload: bytes
    reason: str
    received_at: Instant


EpochName = tuple[str, str]
"""Agent and epoch."""


@dataclass
class Group:
    """What one transaction commits."""

    entries: list[EntryRow] = field(default_factory=list)
    voids: list[VoidRow] = field(default_factory=list)
    first_seqs: dict[EpochName, int] = field(default_factory=dict)
    statuses: list[StatusRow] = field(default_factory=list)
    ledgers: list[LedgerRow] = field(default_factory=list)
    risks: list[RiskRow] = field(default_factory=list)
    plain: list[PlainRow] = field(default_factory=list)
    quarantine: list[QuarantineRow] = field(default_factory=list)
    seen: dict[str, Instant] = field(default_factory=dict)
    """When an agent was last heard of."""

    def extend(self, other: Group) -> None:
        """Take in what another group holds."""
        self.entries.extend(other.entries)
        self.voids.extend(other.voids)
        for name, first in other.first_seqs.items():
            self.first_seqs[name] = min(first, self.first_seqs.get(name, first))
        self.statuses.extend(other.statuses)
        self.ledgers.extend(other.ledgers)
        self.risks.extend(other.risks)
        self.plain.extend(other.plain)
        self.quarantine.extend(other.quarantine)
        self.seen.update(other.seen)

    def epochs(self) -> set[EpochName]:
        """Every epoch that this group touches."""
        touched = {(row.agent, row.epoch) for row in self.entries}
        touched.update((row.agent, row.epoch) for row in self.voids)
        touched.update(self.first_seqs)
        return touched

    def ranges(self) -> dict[EpochName, tuple[SeqRange, ...]]:
        """Per epoch the sequence numbers of entries and voids in this group."""
        pairs: dict[EpochName, list[SeqRange]] = {}
        for entry in self.entries:
            pairs.setdefault((entry.agent, entry.epoch), []).append((entry.seq, entry.seq))
        for void in self.voids:
            pairs.setdefault((void.agent, void.epoch), []).append((void.first, void.last))
        return {name: merge_ranges(found) for name, found in pairs.items()}


def merge_ranges(pairs: Iterable[SeqRange]) -> tuple[SeqRange, ...]:
    """The fewest ranges that hold exactly the numbers of ``pairs``, ascending."""
    merged: list[SeqRange] = []
    for first, last in sorted(pairs):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


@dataclass(frozen=True)
class KeyConflict:
    """The key ``(agent, epoch, seq)`` came with a body other than the stored one."""

    agent: str
    epoch: str
    seq: int


@dataclass(frozen=True)
class Committed:
    """What a commit did."""

    new_entries: int
    repeated_entries: int
    new_plain: int
    conflicts: tuple[KeyConflict, ...]
    """Conflicts seen for the first time."""
    through: dict[EpochName, int]


@dataclass(frozen=True)
class RegisteredSite:
    """What was declared of an agent's site or a plain device. ``capacity_w`` is the nameplate, DC
    and AC alike."""

    id: str
    device_type: str
    latitude: float
    longitude: float
    capacity_w: float
    registered_at: Instant
    elevation: float = 0.0
    tilt: float = 0.0
    azimuth: float = 180.0

    def parameters(self) -> Site:
        """What a forecast needs to know of it. Raises ``ValueError`` for impossible values."""
        return Site(
            latitude=self.latitude,
            longitude=self.longitude,
            dc_capacity_w=self.capacity_w,
            ac_capacity_w=self.capacity_w,
            tilt=self.tilt,
            azimuth=self.azimuth,
            elevation=self.elevation,
        )


@dataclass(frozen=True)
class AgentState:
    """What is known of an agent now."""

    agent: str
    last_seen: Instant | None
    status: Status | None


@dataclass(frozen=True)
class ReportedDay:
    """The newest that an agent has said of one device on one day."""

    ledger: DayLedger
    reported_at: Instant
    """By the agent's clock."""
    received_at: Instant


@dataclass(frozen=True)
class LatestRecord:
    """Newest record of a device; ``identifier`` is the agent or plain device that sent it."""

    identifier: str
    record: Record
    received_at: Instant


class IrradianceMean(NamedTuple):
    """Means of one 15-minute interval of a plain device; None where nothing good was measured."""

    start: Instant
    ac_power: float | None
    ghi: float | None
    temp_air: float | None
