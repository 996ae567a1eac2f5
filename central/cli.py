"""``solar-central``: parses and wires; what it does is elsewhere."""

from __future__ import annotations

import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from central.settings import CentralSettings, load_central_settings
from models.contract.clock import open_clock
from models.contract.errors import ContractError
from models.contract.ledger import day_of
from models.contract.timestamps import format_iso8601, parse_iso8601

if TYPE_CHECKING:
    from central.intake.preprocess import FileReport

app = typer.Typer(
    name="solar-central",
    help="The centre of the fleet: intake, training, releases, ingest, API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_console = Console()
_errors = Console(stderr=True)

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings (TOML); without it the defaults.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def main() -> None:
    """Entry point: user errors become one line and exit code 2."""
    try:
        app()
    except Exception as error:
        if not _is_user_error(error):
            raise
        _errors.print(
            f"solar-central: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        sys.exit(2)


def _is_user_error(error: Exception) -> bool:
    """Errors of ours, and of files by name, say by themselves what is wrong.

    Anything else is a fault in the program.
    """
    return (
        isinstance(error, ContractError)
        or type(error).__module__.split(".")[0] == "central"
        or (isinstance(error, OSError) and error.filename is not None)
    )


@app.command()
def preprocess(
    input_dir: Annotated[
        Path, typer.Option(help="Raw files: NSRDB, TMY3, meter, weather, PV power.")
    ],
    output_dir: Annotated[Path, typer.Option(help="Where processed files and reports go.")],
    capacity: Annotated[float, typer.Option(help="Capacity of the site in kW.")],
    workers: Annotated[int, typer.Option(help="Files at the same time.", min=1)] = 1,
    no_validate: Annotated[
        bool, typer.Option("--no-validate", help="Keep rows that break physical limits.")
    ] = False,
    latitude: Annotated[
        float | None, typer.Option(help="Of the site, for files that do not know it.")
    ] = None,
    longitude: Annotated[float | None, typer.Option(help="Degrees east.")] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Of stamps that state none, e.g. Europe/Paris.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Clean raw files and engineer features. Exit code 1 asks for a look."""
    from central.intake.preprocess import exit_status
    from central.intake.preprocess import preprocess as preprocess_files

    with _progress() as bar:
        task = bar.add_task("reading", total=None)
        reports = preprocess_files(
            input_dir,
            output_dir,
            capacity_kw=capacity,
            workers=workers,
            validate=not no_validate,
            place=None if latitude is None or longitude is None else (latitude, longitude),
            zone=timezone,
            progress=lambda report: bar.update(task, advance=1, description=report.input),
        )
    if as_json:
        typer.echo(json.dumps([asdict(report) for report in reports], default=str))
    else:
        table = Table("file", "format", "rows in", "kept", "removed by rule")
        for report in reports:
            table.add_row(*_file_row(report))
        _console.print(table)
        for report in reports:
            for doubt in report.doubts:
                _console.print(f"{report.input}: {doubt}", markup=False)
    raise typer.Exit(exit_status(reports))


def _file_row(report: FileReport) -> tuple[str, ...]:
    removed = ", ".join(f"{rule} {count}" for rule, count in (report.removed or {}).items())
    return (
        report.input,
        report.source.format if report.source else str(report.error),
        str(report.rows_in),
        f"{report.retained_share:.1%}",
        removed or "-",
    )


@app.command()
def series(
    weather_file: Annotated[Path, typer.Argument(help="NSRDB or TMY3 file.")],
    out: Annotated[Path, typer.Option(help="Series for `solar-edge simulate` (CSV).")],
    history: Annotated[
        Path | None, typer.Option(help="Also write 15-minute means to train on.")
    ] = None,
    dc_capacity: Annotated[float, typer.Option(help="Modules, W.")] = 6000.0,
    ac_capacity: Annotated[float, typer.Option(help="Inverter, W.")] = 5000.0,
    tilt: Annotated[float, typer.Option(help="Degrees from horizontal.")] = 30.0,
    household: Annotated[Path | None, typer.Option(help="Recorded load; else synthetic.")] = None,
    typical_from: Annotated[
        int, typer.Option(help="Month that a typical year begins with.", min=1, max=12)
    ] = 1,
    as_json: Json = False,
) -> None:
    """Compute what a plant would generate under a weather file (pvlib chain)."""
    from central.site_series import run_site_series

    summary = run_site_series(
        weather_file,
        out,
        dc_capacity_w=dc_capacity,
        ac_capacity_w=ac_capacity,
        tilt=tilt,
        history_file=history,
        household_file=household,
        typical_from=typical_from,
    )
    _show(asdict(summary), as_json)


@app.command()
def train(
    config: Config = None,
    until: Annotated[str | None, typer.Option(help="Use nothing after this instant.")] = None,
    telemetry: Annotated[bool, typer.Option(help="Also learn from what agents sent.")] = True,
    as_json: Json = False,
) -> None:
    """Train, convert and judge a candidate bundle; nothing is released."""
    from central.retrain import train_candidate

    settings, base = _settings(config)
    with _Stages() as (stage, progress):
        train_candidate(
            settings,
            _now(settings, until),
            base,
            telemetry=telemetry,
            stage=stage,
            progress=progress,
        )
    _show_scores(settings, as_json)


@app.command()
def evaluate(
    config: Config = None,
    results: Annotated[
        list[Path] | None, typer.Option(help="Stored evaluations or metrics (JSON); repeatable.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a page.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Also write a report: .txt, .json or .html.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show how the last candidate scored on its test span, or compare stored evaluations."""
    from central.evaluation.command import evaluate_command

    settings, _ = _settings(config)
    typer.echo(
        evaluate_command(
            settings.work_dir, results or (), html=html, report=report, as_json=as_json
        )
    )


@app.command()
def report(
    agent: Annotated[str, typer.Option(help="Whose forecasts.")],
    start: Annotated[str, typer.Option(help="Forecasts issued from this instant on.")],
    end: Annotated[str | None, typer.Option(help="... and before this one; default: now.")] = None,
    html: Annotated[Path | None, typer.Option(help="Also write a self-contained page.")] = None,
    journal: Annotated[
        Path | None, typer.Option(help="The agent's journal, to be compared with the store.")
    ] = None,
    source: Annotated[
        str | None, typer.Option(help="What a simulated site was simulated from.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Also write the figures (JSON).")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """What the forecasts that were really published were worth."""
    from central.live_report import live_report
    from central.report.html import write_live_report
    from central.report.text import closing_table

    settings, base = _settings(config)
    made = live_report(
        settings,
        agent,
        parse_iso8601(start),
        parse_iso8601(end) if end else open_clock(settings.clock_anchor).now(),
        base,
        journal=journal,
        source=source,
    )
    if html is not None:
        write_live_report(made, html)
    figures = json.dumps(made.live.to_json(), allow_nan=False)
    if save is not None:
        save.write_text(figures + "\n", encoding="utf-8")
    if as_json:
        typer.echo(figures)
    else:
        _console.print(closing_table(made, html or Path("not written: give --html")))


@app.command()
def register(config: Config = None, as_json: Json = False) -> None:
    """Show the model registry: which version is champion, challenger, previous."""
    from central.registry.mlflow_registry import ModelRegistry
    from models.bundle.names import MODELS

    settings, _ = _settings(config)
    registry = ModelRegistry(settings.registry_dir)
    aliases = {model: registry.aliases(model) for model in MODELS}
    _show({"tracking_uri": registry.uri, "aliases": aliases}, as_json)


@app.command()
def release(
    config: Config = None,
    ring: Annotated[str | None, typer.Option(help="canary or fleet.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Default: the last candidate.")] = None,
    publish_only: Annotated[
        bool, typer.Option("--publish-only", help="Send what is signed already.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Number, sign and publish a bundle."""
    from central import retrain as rounds

    settings, _ = _settings(config)
    if publish_only:
        _show({"published": rounds.publish(settings)}, as_json)
        return
    report = rounds.release(
        settings,
        bundle or settings.work_dir / "candidate",
        ring or settings.release.ring,
    )
    _show(_release_json(report), as_json)


@app.command()
def weather(
    site: Annotated[str, typer.Argument(help="Whose box, as in [[sites]] id.")],
    file: Annotated[Path, typer.Argument(help="timestamp, issued_at, ghi, cloud_cover, ...")],
    source: Annotated[str, typer.Option(help="Which weather model.")] = "file",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Send a site's box the newest weather forecast of a file."""
    from central.weather import newest_run, publish_weather

    settings, _ = _settings(config)
    run = newest_run(file, site, source)
    publish_weather(settings, run)
    _show(
        {
            "site": site,
            "issued_at": format_iso8601(run.issued_at),
            "start": format_iso8601(run.start),
            "steps": len(next(iter(run.values.values()))),
            "quantities": sorted(run.values),
        },
        as_json,
    )


@app.command("trust-root")
def trust_root(config: Config = None) -> None:
    """Print the file that every box must be given; makes keys and repository the first time."""
    from central.release.release import open_repository

    settings, _ = _settings(config)
    repository = open_repository(settings.repository_dir, settings.keys_dir)
    typer.echo(repository.first_root)


@app.command()
def retrain(
    config: Config = None,
    until: Annotated[str | None, typer.Option(help="Use nothing after this instant.")] = None,
    as_json: Json = False,
) -> None:
    """The weekly round: train, judge, register, and release what is promoted."""
    from central import retrain as rounds

    settings, base = _settings(config)
    with _Stages() as (stage, progress):
        done = rounds.retrain(settings, _now(settings, until), base, stage=stage, progress=progress)
    body = {
        "promoted": done.verdict.promote,
        "reason": done.verdict.reason,
        "run_id": done.run.run_id,
        "versions": dict(done.run.versions),
        "release": _release_json(done.release) if done.release else None,
        "report": done.candidate.report,
        "training_end": format_iso8601(done.candidate.manifest.training.end),
    }
    if as_json:
        typer.echo(json.dumps(body, allow_nan=False))
        return
    _show_scores(settings, as_json=False)
    _show({k: v for k, v in body.items() if k != "report"}, as_json=False)


@app.command()
def serve(config: Config = None) -> None:
    """Run the centre: store, ingest, plain devices, API and page, until told to stop."""
    from central.service import run

    settings, _ = _settings(config)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    run(settings, on_ready=lambda running: typer.echo(f"ready at {running.api_url}"))


@app.command()
def compare(
    journal: Annotated[Path, typer.Argument(help="An agent's journal.sqlite.")],
    agent: Annotated[str, typer.Option(help="Whose journal it is.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Whether the centre holds each committed journal entry exactly once, unchanged."""
    from central.compare import compare_journal
    from central.store import open_store

    settings, _ = _settings(config)
    store = open_store(settings.store_url)
    try:
        found = compare_journal(store, journal, agent)
    finally:
        store.close()
    _show(asdict(found) | {"complete": found.complete, "sound": found.sound}, as_json)
    raise typer.Exit(0 if found.complete else 1)


@app.command()
def completeness(
    agent: Annotated[str, typer.Argument(help="Whose day.")],
    day: Annotated[str | None, typer.Option(help="UTC day, 2024-06-15; default: today.")] = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Whether the centre has everything of an agent's day, and why turns were lost."""
    from central.completeness import Verdict, completeness_table
    from central.completeness import completeness as judge
    from central.store import StoreError, open_store

    settings, _ = _settings(config)
    now = open_clock(settings.clock_anchor).now()
    store = open_store(settings.store_url)
    try:
        with store.read() as ask:
            if not ask.is_agent(agent):
                raise StoreError(f"{agent}: no such agent has been heard of")
            found = judge(ask, agent, day or day_of(now), now)
    finally:
        store.close()
    if as_json:
        typer.echo(json.dumps(found.to_json(), allow_nan=False))
    else:
        _console.print(completeness_table(found))
    raise typer.Exit(0 if found.verdict is Verdict.COMPLETE else 1)


@app.command()
def ui(
    config: Config = None,
    port: Annotated[int, typer.Option(help="Port of the MLflow page.")] = 5000,
) -> None:
    """Open MLflow's page on this centre's registry; ends with Ctrl-C."""
    from central.registry.mlflow_registry import ModelRegistry

    settings, _ = _settings(config)
    registry = ModelRegistry(settings.registry_dir)
    # One worker serves one person, and nobody here runs MLflow's jobs: seven processes less.
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    os.execv(
        sys.executable,
        [
            sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port),
            "--workers", "1", "--backend-store-uri", registry.uri,
        ],
    )  # fmt: skip


def _settings(config: Path | None) -> tuple[CentralSettings, Path]:
    """Settings, and the directory that relative paths of histories start from."""
    return load_central_settings(config), config.resolve().parent if config else Path.cwd()


def _now(settings: CentralSettings, until: str | None) -> int:
    return parse_iso8601(until) if until else open_clock(settings.clock_anchor).now()


def _release_json(report: Any) -> dict[str, Any]:
    return {
        "bundle": report.manifest.bundle_id,
        "release": report.manifest.release,
        "ring": report.ring,
        "sha256": report.sha256,
        "size": report.size,
    }


def _show(body: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(body, allow_nan=False, default=str))
        return
    table = Table(show_header=False, box=None)
    for key, value in body.items():
        table.add_row(key, str(value))
    _console.print(table)


def _show_scores(settings: CentralSettings, as_json: bool) -> None:
    """Scores and gates of the last candidate."""
    from central.report.training import load_training_report

    report = load_training_report(settings.work_dir)
    typer.echo(json.dumps(report.to_json(), allow_nan=False) if as_json else report.to_text())


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=_errors
    )


class _Stages:
    """A progress bar over the stages of a training; steps within a stage are its text."""

    def __enter__(self) -> tuple[Any, Any]:
        from central.training.pipeline import STEPS

        self._bar = _progress()
        self._task = self._bar.add_task("starting", total=len(STEPS) + 2)
        self._stage = ""
        self._bar.start()
        return self._next, self._step

    def _next(self, name: str) -> None:
        self._stage = name
        self._bar.update(self._task, advance=1, description=name)

    def _step(self, text: str) -> None:
        self._bar.update(self._task, description=f"{self._stage}: {text}")

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


if __name__ == "__main__":
    main()
