"""What the updater must remember over a power cut, and how it may change. Pure.

    nothing --begin_trial--> trial --count_success (n times)--> committed
                             trial --fall_back--> committed one before it, hash refused for ever

The record in the state store is the truth; the ``current`` link on the disk is made to follow it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from models.contract.checks import MAX_LONG_TEXT, clip_text
from models.contract.errors import ContractError
from models.contract.fields import Fields
from models.contract.messages import BundleState, BundleStatus
from models.contract.timestamps import Instant

_MAX_REFUSED = 200


@dataclass(frozen=True, slots=True)
class Slot:
    """A bundle on the disk, in ``releases/<sha256>``."""

    sha256: str
    bundle_id: str
    release: int


@dataclass(frozen=True, slots=True)
class Trial:
    """A bundle on probation."""

    slot: Slot
    tries_left: int
    successes: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the box does not run what its ring offers."""

    bundle: str
    reason: str


@dataclass(frozen=True)
class UpdateRecord:
    """See the module."""

    release: int = 0
    """Highest release ever activated: our own counter beside TUF's versions."""
    release_sha256: str | None = None
    committed: Slot | None = None
    """The last good bundle."""
    previous: Slot | None = None
    """The one before it, kept in case the disk spoils the last good one."""
    trial: Trial | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    """Archives that failed here, with the reason. Never tried again."""
    refusal: Refusal | None = None
    trusted_time: Instant = 0
    """Wall-clock time that has certainly passed."""

    @property
    def active(self) -> Slot | None:
        """What should be running."""
        return self.trial.slot if self.trial else self.committed

    @property
    def kept(self) -> tuple[Slot, ...]:
        """What must stay on the disk."""
        slots = (self.active, self.committed, self.previous)
        return tuple(slot for slot in slots if slot is not None)

    def status(self) -> BundleStatus:
        """For the status message."""
        active, refusal = self.active, self.refusal
        if self.trial:
            state = BundleState.TRIAL
        elif active:
            state = BundleState.ACTIVE
        else:
            state = BundleState.REFUSED if refusal else BundleState.NONE
        return BundleStatus(
            state,
            active.bundle_id if active else None,
            active.release if active else 0,
            refusal.bundle if refusal else None,
            refusal.reason if refusal else None,
        )


def begin_trial(record: UpdateRecord, slot: Slot, tries: int) -> UpdateRecord:
    """``slot`` is verified and on the disk: run it on probation."""
    return replace(
        record,
        release=slot.release,
        release_sha256=slot.sha256,
        trial=Trial(slot, tries),
        refusal=None,
    )


def count_success(record: UpdateRecord, needed: int) -> UpdateRecord:
    """A forecast of the trial worked; after ``needed`` of them it is the last good bundle."""
    if record.trial is None:
        return record
    successes = record.trial.successes + 1
    if successes < needed:
        return replace(record, trial=replace(record.trial, successes=successes))
    slot, before = record.trial.slot, record.committed
    previous = before if before and before.sha256 != slot.sha256 else record.previous
    return replace(record, trial=None, committed=slot, previous=previous)


def count_start(record: UpdateRecord) -> UpdateRecord:
    """The agent starts: a trial has one try less, and none left means that it is given up."""
    if record.trial is None:
        return record
    if record.trial.tries_left <= 0:
        return fall_back(record, "the agent kept ending within the probation of this bundle")
    return replace(record, trial=replace(record.trial, tries_left=record.trial.tries_left - 1))


def fall_back(record: UpdateRecord, reason: str) -> UpdateRecord:
    """Give up the bundle on trial and never try it again."""
    if record.trial is None:
        return record
    slot = record.trial.slot
    return replace(refuse_archive(record, slot.sha256, slot.bundle_id, reason), trial=None)


def refuse(record: UpdateRecord, bundle: str, reason: str) -> UpdateRecord:
    """Say why the offer was not taken. It may be taken later, when the reason is gone."""
    return replace(record, refusal=Refusal(clip_text(bundle), clip_text(reason, MAX_LONG_TEXT)))


def refuse_archive(record: UpdateRecord, sha256: str, bundle: str, reason: str) -> UpdateRecord:
    """Like :func:`refuse`, for ever: this archive failed here."""
    refused = {**record.refused, sha256: clip_text(reason, MAX_LONG_TEXT)}
    while len(refused) > _MAX_REFUSED:
        del refused[next(iter(refused))]
    return replace(refuse(record, bundle, reason), refused=refused)


def drop_spoiled(record: UpdateRecord, spoiled: Slot) -> UpdateRecord:
    """The disk spoiled a bundle: use the next best. Not its own fault, so it may come again."""
    if record.trial and record.trial.slot.sha256 == spoiled.sha256:
        return replace(record, trial=None)
    if record.committed and record.committed.sha256 == spoiled.sha256:
        return replace(record, committed=record.previous, previous=None)
    return replace(record, previous=None)


def record_to_json(record: UpdateRecord) -> dict[str, Any]:
    """For the state store."""
    return asdict(record)


def record_from_json(value: Mapping[str, Any]) -> UpdateRecord:
    """Inverse of :func:`record_to_json`. Raises ``ContractError`` for what it did not write."""
    fields = Fields(value)
    refused = fields.object("refused")
    trial, refusal = value.get("trial"), value.get("refusal")
    try:
        return UpdateRecord(
            release=fields.integer("release"),
            release_sha256=value.get("release_sha256"),
            committed=_slot(value.get("committed")),
            previous=_slot(value.get("previous")),
            trial=trial and Trial(Slot(**trial["slot"]), trial["tries_left"], trial["successes"]),
            refused={
                sha256: refused.text(sha256, longest=MAX_LONG_TEXT) for sha256 in refused.rest()
            },
            refusal=refusal and Refusal(**refusal),
            trusted_time=fields.integer("trusted_time"),
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ContractError(f"update record: {error!r}") from None


def _slot(value: Mapping[str, Any] | None) -> Slot | None:
    return Slot(**value) if value else None
