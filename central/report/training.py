"""The report of a training run: how good a candidate is, before anything publishes it.

From the ``Candidate`` at hand or from what the run left on disk; as text, JSON and HTML. The scores
are those of the held-out test span, the mean over sites.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group

from central.evaluation.scores import Score
from models.bundle.manifest import MANIFEST_NAME, Manifest
from models.bundle.manifest_json import decode_manifest
from models.contract.errors import ContractError
from models.contract.forecast import LEVELS
from models.contract.timestamps import Instant, parse_iso8601
from models.forecasters.blend import HOUR_BUCKETS, LEAD_BUCKETS

from . import numbers
from .facts import Fact, Parity, bundle_fact, parities, parity_fact
from .html import LEAD_LEGEND, NARROW, WIDE, headline
from .html import score_table as html_scores
from .page import (
    bullets,
    cell,
    column,
    document,
    fact_list,
    figure,
    row,
    section,
    table,
    write_page,
)
from .plots import lead_plot
from .text import score_table as text_scores

if TYPE_CHECKING:
    from central.training.pipeline import Candidate

REPORT_NAME, CANDIDATE_NAME = "candidate-report.json", "candidate"
"""What a run leaves in its work directory."""
_TEXT_WIDTH = 100
_LIMITS = (
    "The scores are those of the newest part of the histories, kept apart while the models were"
    " fitted, stopped and weighed. The shipped trees were then fitted again on everything, so the"
    " training span of the bundle includes it; published forecasts are scored on their own.",
    "The sites are those of the training: nothing here says how a new site fares.",
)


class ReportError(ValueError):
    """A candidate's report that cannot be shown; names the file and what is wrong."""


@dataclass(frozen=True)
class TrainedSite:
    """History of one site of the training."""

    name: str
    first: Instant
    last: Instant
    days: float
    known_share: float
    resolution_minutes: int


@dataclass(frozen=True)
class TrainingReport:
    """What a training run found."""

    scores: Mapping[str, Score]
    sites: tuple[TrainedSite, ...]
    trees: tuple[int, ...]
    """Boosting rounds per level."""
    near_trees: tuple[int, ...]
    """The same of the first hour's trees; none in reports of before."""
    shares: Mapping[str, tuple[float, ...]]
    """Weight per lead of each expert beside the trees, by registry name."""
    parities: tuple[Parity, ...]
    manifest: Manifest | None = None

    def to_json(self) -> dict[str, Any]:
        """Scores and bundle, for machines; no NaN."""
        return {
            "bundle": None if self.manifest is None else self.manifest.bundle_id,
            "scores": {lead: score.to_json() for lead, score in self.scores.items()},
            "sites": [site.name for site in self.sites],
            "trees": list(self.trees),
            "near_trees": list(self.near_trees),
            "shares": {name: list(shares) for name, shares in self.shares.items()},
            "parity": [
                {
                    "name": one.name,
                    "compared": one.compared,
                    "difference": one.difference,
                    "tolerance": one.tolerance,
                    "measure": one.measure,
                }
                for one in self.parities
            ],
        }

    def to_text(self) -> str:
        """Tables for a terminal of 100 columns, without colour."""
        console = Console(file=io.StringIO(), width=_TEXT_WIDTH, color_system=None)
        name = "candidate" if self.manifest is None else self.manifest.bundle_id
        lines = (f"{fact.name}: {fact.value}" for fact in self.facts())
        console.print(Group(text_scores(self.scores, title=f"{name}, test span"), *lines))
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    def to_html(self) -> str:
        """A page that needs no other file."""
        name = "Candidate" if self.manifest is None else f"Candidate {self.manifest.bundle_id}"
        built = "" if self.manifest is None else f"built {numbers.minute(self.manifest.created_at)}"
        sites = numbers.counted(len(self.sites), "site")
        return document(
            name,
            f"Training run over {sites}",
            self._sections(),
            f"{built + ' UTC. ' if built else ''}Errors and widths are shares of the AC capacity;"
            " every score counts daylight intervals only.",
        )

    def write_html(self, path: Path) -> None:
        """Write the page to ``path`` at once. Raises ``OSError`` when that fails."""
        write_page(path, self.to_html())

    def facts(self) -> Iterator[Fact]:
        """Bundle, models and gates as rows."""
        if self.manifest is not None:
            yield bundle_fact(self.manifest)
        yield Fact("Trees per quantile", _rounds(self.trees))
        if self.near_trees:
            yield Fact("Trees per quantile, first hour", _rounds(self.near_trees))
        for name, per_lead in self.shares.items():
            shares = ", ".join(
                f"{lead} {100 * share:.0f} %"
                for lead, share in zip(_leads(len(per_lead)), per_lead, strict=False)
            )
            yield Fact(f"Weight of {name}", shares)
        yield from (parity_fact(parity) for parity in self.parities)

    def _sections(self) -> Iterator[str]:
        yield headline(self.scores["all"], "all leads to 48 h on the test span")
        yield section(
            "Error by lead time",
            figure(
                lead_plot(self.scores, width=WIDE),
                lead_plot(self.scores, width=NARROW),
                LEAD_LEGEND,
            ),
            note="Mean absolute error in daylight.",
        )
        yield section(
            "Scores by lead time",
            html_scores(self.scores),
            note="Percent of the AC capacity, mean over sites; skill against smart persistence,"
            " where there is room with its 90 % bootstrap interval.",
        )
        yield section("Sites", _site_table(self.sites))
        yield section("Models and gates", fact_list(self.facts()))
        yield section("Limits", bullets(_LIMITS), class_="limits")


def from_candidate(candidate: Candidate) -> TrainingReport:
    """The report of a run that has just ended."""
    return _decode(candidate.report, candidate.manifest, "candidate")


def load_training_report(path: Path) -> TrainingReport:
    """The report that a run left: ``path`` is its ``candidate-report.json`` or the work directory.

    The manifest is taken from ``candidate/`` beside it when it is there.

    Raises:
        ReportError: a file is missing or does not hold what it should.
    """
    file = path / REPORT_NAME if path.is_dir() else path
    try:
        body = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(
            f"{file}: {error.strerror or 'cannot be read'}; run `solar-central train` first"
        ) from None
    except ValueError as error:
        raise ReportError(f"{file}: not JSON: {error}") from None
    manifest_file = file.parent / CANDIDATE_NAME / MANIFEST_NAME
    manifest = None
    if manifest_file.is_file():
        try:
            manifest = decode_manifest(manifest_file.read_bytes())
        except (OSError, ContractError) as error:
            raise ReportError(f"{manifest_file}: {error}") from None
    return _decode(body, manifest, str(file))


def _decode(body: Any, manifest: Manifest | None, where: str) -> TrainingReport:
    try:
        scores = {str(lead): _score(values) for lead, values in body["scores"].items()}
        return TrainingReport(
            scores={**scores, "all": scores["all"]},
            sites=tuple(_site(site) for site in body["sites"]),
            trees=tuple(int(count) for count in body["trees"]),
            near_trees=tuple(int(count) for count in body.get("near_trees", ())),
            shares={
                str(name): tuple(float(share) for share in shares)
                for name, shares in body["shares"].items()
            },
            parities=parities(body),
            manifest=manifest,
        )
    except KeyError as error:
        raise ReportError(f"{where}: {error.args[0]!r} is missing") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ReportError(f"{where}: not a report of a training run: {error}") from None


def _leads(count: int) -> list[str]:
    """Names of the leads that so many shares belong to; reports of before had whole hours alone."""
    buckets = LEAD_BUCKETS if count == len(LEAD_BUCKETS) else HOUR_BUCKETS
    return [f"{first / 4:g}-{last / 4:g} h" for first, last in buckets]


def _rounds(trees: Sequence[int]) -> str:
    return ", ".join(f"{level:g}: {count}" for level, count in zip(LEVELS, trees, strict=False))


def _score(values: Mapping[str, Any]) -> Score:
    numbers_ = {
        one.name: math.nan if values[one.name] is None else float(values[one.name])
        for one in fields(Score)
        if one.name != "pairs"
    }
    return Score(pairs=int(values["pairs"]), **numbers_)


def _site(body: Mapping[str, Any]) -> TrainedSite:
    return TrainedSite(
        name=str(body["site"]),
        first=parse_iso8601(body["from"]),
        last=parse_iso8601(body["to"]),
        days=float(body["days"]),
        known_share=float(body["known_share"]),
        resolution_minutes=int(body["resolution_minutes"]),
    )


def _site_table(sites: tuple[TrainedSite, ...]) -> str:
    head = (
        column("Site"),
        column("From"),
        column("To"),
        column("Known [%]"),
        column("Resolution [min]"),
    )
    rows = (
        row(
            site.name,
            (
                cell(numbers.day(site.first)),
                cell(numbers.day(site.last - 1)),
                cell(numbers.percent(site.known_share)),
                cell(str(site.resolution_minutes)),
            ),
        )
        for site in sites
    )
    return table(head, rows)
