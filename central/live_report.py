"""Gathers what a report of published forecasts shows: store, settings, releases, training gates."""

from __future__ import annotations

from pathlib import Path

from central.compare import compare_journal
from central.report.facts import LiveReport, Source, parities
from central.report.live import score_live, training_ends
from central.report.training import REPORT_NAME
from central.retrain import RetrainError, released_manifests
from central.settings import CentralSettings
from central.store import open_store
from central.training.histories import read_history
from models.contract.clock import SystemClock
from models.contract.payload import parse_json
from models.contract.timestamps import Instant, format_iso8601


def live_report(
    settings: CentralSettings,
    agent: str,
    start: Instant,
    end: Instant,
    base: Path,
    *,
    journal: Path | None = None,
    source: str | None = None,
) -> LiveReport:
    """Score what ``agent`` published in ``[start, end)``; its site must stand in the settings.

    Args:
        base: directory that paths of histories start from
        journal: the agent's journal file, to be compared with the store
        source: said of the measurements; implies that the site is simulated
    """
    if not start < end:
        raise RetrainError(
            f"the window must end after it begins: {format_iso8601(start)} to {format_iso8601(end)}"
        )
    table = next((one for one in settings.sites if one.id == agent), None)
    if table is None:
        raise RetrainError(f"{agent!r} has no [[sites]] table in the settings")
    history = read_history(base / table.history) if table.history else None
    manifests = released_manifests(settings)
    store = open_store(settings.store_url)
    try:
        with store.read() as queries:
            live = score_live(
                queries,
                agent,
                table.site(),
                start,
                end,
                history=history,
                training_end=training_ends(manifests),
            )
        comparison = compare_journal(store, journal, agent) if journal else None
    finally:
        store.close()
    gates = settings.work_dir / REPORT_NAME
    return LiveReport(
        title=f"Forecasts of {agent}",
        site_name=agent,
        site=table.site(),
        live=live,
        source=Source(
            source or "measured on site",
            table.history_resolution_minutes,
            simulated=source is not None,
        ),
        generated_at=SystemClock().now(),
        manifests=tuple(one for one in manifests if one.bundle_id in live.bundles),
        parities=parities(parse_json(gates.read_bytes())) if gates.is_file() else (),
        comparison=comparison,
    )
