"""From a release to the bundle that forecasts, and back when it does not.

    fetch -> verify -> trust rules -> stage -> hash again from disk -> self-test in a child
          -> switch -> probation -> commit, or fall back and never try that archive again

Decides the order; each step is another file's: ``bundle_source`` (bytes), ``bundle_client``
(signatures, clock), ``models.bundle`` (trust rules, unpacking), ``selftest``, ``bundle_slots``
(disk), ``update_record`` (what is remembered). Expiry, refusals and broken links only ever keep a
*new* bundle out: nothing here stops the one that runs. Running a new bundle beside the old one for
a while before the switch (a shadow run) would come between self-test and switch.

    updater = Updater(settings, source, state, spec_digest=..., cpu=..., agent_version=...)
    updater.recover_at_start()
    outcome = await asyncio.to_thread(updater.check)
    if outcome.result is UpdateResult.ACTIVATED: load(updater.active())
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from models.bundle.archive import hash_file, read_manifest, unpack, verify_directory
from models.bundle.trust import Box, BundleRefused, judge_manifest, judge_offer
from models.contract.clock import SystemClock
from models.contract.errors import ContractError
from models.contract.fields import Json
from models.contract.messages import BundleStatus
from models.contract.timestamps import Instant

from .bundle_client import (
    BundleClient,
    RepositoryEmpty,
    RepositoryUnavailable,
    SignedOffer,
    TrustRootMissing,
)
from .bundle_slots import BundleSlots
from .bundle_source import BundleSource
from .selftest import SelfTestFailed, SelfTestReport, run_selftest
from .update_record import (
    Slot,
    UpdateRecord,
    begin_trial,
    count_start,
    count_success,
    drop_spoiled,
    fall_back,
    record_from_json,
    record_to_json,
    refuse,
    refuse_archive,
)
from .update_settings import UpdateSettings

_log = logging.getLogger(__name__)

STATE_KEY = "updater"
_SPARE_BYTES = 16_000_000


class UpdateResult(StrEnum):
    """How a check ended."""

    NOTHING_OFFERED = "nothing_offered"
    UP_TO_DATE = "up_to_date"
    ACTIVATED = "activated"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    FAILED = "failed"
    """This box could not: no trust root, no space. Nothing is held against the bundle."""


@dataclass(frozen=True, slots=True)
class UpdateOutcome:
    """How a check ended, about which bundle, and why."""

    result: UpdateResult
    bundle: str | None = None
    reason: str | None = None


class StateStore(Protocol):
    """Durable key-value pairs; ``put`` is on the disk when it returns."""

    def get(self, key: str, default: Any = None) -> Any:
        """The value of ``key``, or ``default``."""
        ...

    def put(self, key: str, value: Json) -> None:
        """Store ``value``."""
        ...


class Updater:
    """One per agent. ``check`` blocks and runs in a thread; all else is quick, from any thread."""

    def __init__(
        self,
        settings: UpdateSettings,
        source: BundleSource,
        state: StateStore,
        *,
        spec_digest: str,
        cpu: str,
        agent_version: str,
        wall_clock: Callable[[], Instant] | None = None,
        selftest: Callable[[Path], SelfTestReport] | None = None,
    ) -> None:
        """``wall_clock``: real time [ms], for expiry; never the scaled clock of a demo."""
        self._settings, self._state = settings, state
        self._wall_clock = wall_clock or SystemClock().now
        self._cpu, self._agent_version, self._spec_digest = cpu, agent_version, spec_digest
        self._slots = BundleSlots(Path(settings.directory))
        self._client = BundleClient(
            Path(settings.root_file), self._slots.metadata, source, settings.download_timeout_s
        )
        self._selftest = selftest or self._run_selftest
        self._lock, self._checking = threading.RLock(), threading.Lock()
        self._record = self._load()

    # ---- what runs -----------------------------------------------------------------------------

    def active(self) -> Path | None:
        """Directory of the bundle to forecast with; None: forecast without one."""
        with self._lock:
            slot = self._record.active
            return self._slots.path(slot.sha256) if slot else None

    def status(self) -> BundleStatus:
        """For the agent's status message."""
        with self._lock:
            return self._record.status()

    def recover_at_start(self) -> None:
        """Call once before anything else: finish or undo what a power cut or crash interrupted."""
        with self._lock:
            record = count_start(self._record)
            while (slot := record.active) is not None:
                flaw = self._flaw(slot)
                if flaw is None:
                    break
                _log.error("bundle %s is spoiled on the disk: %s", slot.bundle_id, flaw)
                record = drop_spoiled(record, slot)
            self._try_remember(record)
            self._slots.clear_staging()

    def forecast_succeeded(self, directory: Path | None = None) -> None:
        """A forecast was made with the bundle in ``directory`` (default: the active one)."""
        with self._lock:
            trial = self._record.trial
            if trial is None or directory not in (None, self.active()):
                return
            record = count_success(self._record, self._settings.probation_forecasts)
            self._try_remember(record)
            if record.trial is None:
                _log.info("bundle %s passed its probation", trial.slot.bundle_id)

    def forecast_failed(self, error: BaseException, directory: Path | None = None) -> bool:
        """A forecast with the bundle failed; True when that ended its trial: load ``active()``."""
        with self._lock:
            trial = self._record.trial
            if trial is None or directory not in (None, self.active()):
                return False
            reason = f"a forecast within the probation failed: {type(error).__name__}: {error}"
            _log.error("bundle %s: %s", trial.slot.bundle_id, reason)
            self._try_remember(fall_back(self._record, reason))
            return True

    # ---- what is new ---------------------------------------------------------------------------

    def check(self) -> UpdateOutcome:
        """Look for a newer bundle and put it on trial. Blocks: seconds to minutes. Never raises:
        whatever goes wrong, the running bundle goes on."""
        if not self._checking.acquire(blocking=False):
            return UpdateOutcome(UpdateResult.FAILED, reason="a check is running already")
        try:
            outcome = self._check()
        except BundleRefused as error:
            outcome = UpdateOutcome(UpdateResult.REFUSED, error.bundle, error.reason)
            with self._lock:
                self._try_remember(refuse(self._record, error.bundle, error.reason))
        except RepositoryEmpty as error:
            outcome = UpdateOutcome(UpdateResult.NOTHING_OFFERED, reason=str(error))
        except RepositoryUnavailable as error:
            outcome = UpdateOutcome(UpdateResult.UNREACHABLE, reason=str(error))
        except (OSError, TrustRootMissing) as error:
            outcome = UpdateOutcome(UpdateResult.FAILED, reason=str(error))
        except Exception as error:
            _log.exception("bundle check")
            outcome = UpdateOutcome(UpdateResult.FAILED, reason=f"{type(error).__name__}: {error}")
        finally:
            self._checking.release()
        bad = outcome.result in (UpdateResult.REFUSED, UpdateResult.FAILED)
        _log.log(
            logging.WARNING if bad else logging.INFO,
            "bundle check: %s %s %s", outcome.result, outcome.bundle or "", outcome.reason or "",
        )  # fmt: skip
        return outcome

    def _check(self) -> UpdateOutcome:
        now = self._wall_clock()
        signed = self._client.newest(self._settings.ring, self._record.trusted_time, now)
        with self._lock:
            active = self._record.active
            settled = signed is None or (active and active.sha256 == signed.offer.sha256)
            # Not expired at `now`, so `now` is no fantasy of the clock: the floor can follow it.
            self._try_remember(
                replace(
                    self._record,
                    trusted_time=max(self._record.trusted_time, now),
                    refusal=None if settled else self._record.refusal,
                )
            )
        if signed is None:
            return UpdateOutcome(UpdateResult.NOTHING_OFFERED)
        if settled:
            return UpdateOutcome(UpdateResult.UP_TO_DATE, signed.offer.bundle_id)
        judge_offer(signed.offer, self._box())
        self._stage_and_switch(signed)
        return UpdateOutcome(UpdateResult.ACTIVATED, signed.offer.bundle_id)

    def _stage_and_switch(self, signed: SignedOffer) -> None:
        offer = signed.offer
        if (free := self._slots.free_bytes()) < 2 * signed.size + _SPARE_BYTES:
            raise OSError(
                f"{self._slots.directory}: {free // 1_000_000} MB free are too few for"
                f" {offer.bundle_id} ({signed.size // 1_000_000} MB twice, and some to spare)"
            )
        staging = self._slots.fresh_staging()
        try:
            archive, unpacked = staging / "bundle.tar", staging / "bundle"
            signed.download(archive)
            try:
                if hash_file(archive) != offer.sha256:
                    raise OSError(f"{archive}: the disk does not give back what was written")
                manifest = unpack(archive, unpacked, self._cpu)
                judge_manifest(manifest, offer, self._box())
                verify_directory(unpacked, manifest, self._cpu)
                report = self._selftest(unpacked)
            except BundleRefused as error:
                raise self._refused_for_ever(signed, error.reason) from error
            except (ContractError, SelfTestFailed) as error:
                raise self._refused_for_ever(signed, str(error)) from error
            _log.info(
                "bundle %s: %d golden vectors, worst error %.2g, slowest %.1f ms",
                offer.bundle_id, report.cases, report.worst_error, report.slowest_ms,
            )  # fmt: skip
            archive.unlink()
            with self._lock:  # or a forecast ending now would tidy the new release away
                self._slots.install(unpacked, offer.sha256)
                slot = Slot(offer.sha256, offer.bundle_id, offer.release)
                self._remember(begin_trial(self._record, slot, self._settings.tries))
        finally:
            self._slots.clear_staging()

    def _refused_for_ever(self, signed: SignedOffer, reason: str) -> BundleRefused:
        offer = signed.offer
        with self._lock:
            self._try_remember(refuse_archive(self._record, offer.sha256, offer.bundle_id, reason))
        return BundleRefused(offer.bundle_id, reason)

    def _run_selftest(self, directory: Path) -> SelfTestReport:
        limits = self._settings
        return run_selftest(
            directory, self._cpu, limits.selftest_timeout_s, limits.selftest_memory_mb
        )

    def _box(self) -> Box:
        with self._lock:
            record = self._record
            return Box(
                self._cpu,
                self._settings.hardware,
                self._agent_version,
                self._spec_digest,
                record.release,
                record.release_sha256,
                record.refused,
            )

    # ---- what is remembered --------------------------------------------------------------------

    def _try_remember(self, record: UpdateRecord) -> None:
        """Like :meth:`_remember`, but a full or read-only card does not stop the agent."""
        try:
            self._remember(record)
        except Exception:
            _log.exception("the updater cannot write to %s; going on", self._slots.directory)
            self._record = record

    def _remember(self, record: UpdateRecord) -> None:
        """Make ``record`` durable, then make the disk follow it."""
        if record != self._record:
            self._state.put(STATE_KEY, record_to_json(record))
            self._record = record
        self._slots.point_to(record.active.sha256 if record.active else None)
        self._slots.keep_only({slot.sha256 for slot in record.kept})

    def _load(self) -> UpdateRecord:
        stored = self._state.get(STATE_KEY)
        if stored is not None:
            try:
                return record_from_json(stored)
            except ContractError as error:
                _log.error("what the updater remembered is unreadable, starting anew: %s", error)
        return self._adopt()

    def _adopt(self) -> UpdateRecord:
        """The state was lost but a bundle is there: go on with it, and with its release number."""
        sha256 = self._slots.current()
        if sha256 is None:
            return UpdateRecord()
        try:
            manifest = read_manifest(self._slots.path(sha256))
            verify_directory(self._slots.path(sha256), manifest, self._cpu)
        except (ContractError, OSError) as error:
            _log.error("the bundle on the disk cannot be taken over: %s", error)
            return UpdateRecord()
        slot = Slot(sha256, manifest.bundle_id, manifest.release)
        return UpdateRecord(release=slot.release, release_sha256=sha256, committed=slot)

    def _flaw(self, slot: Slot) -> str | None:
        directory = self._slots.path(slot.sha256)
        try:
            verify_directory(directory, read_manifest(directory), self._cpu)
        except (ContractError, OSError) as error:
            return str(error)
        return None
