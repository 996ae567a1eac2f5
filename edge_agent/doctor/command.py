"""``solar-edge doctor``: parses, runs the checks, shows what they found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from edge_agent.clock.settings import ClockSettings
from edge_agent.settings import EdgeSettings, read_settings
from edge_agent.supervision import ResourceLimits
from models.contract.errors import SettingsError

from .broker_checks import check_broker
from .clock_checks import check_time, check_time_service
from .device_checks import device_checks
from .disk_checks import QUICK_CHECK_S, check_databases, check_disk
from .file_checks import check_mqtt_files, check_tuf_root
from .finding import Check, Finding, State, failed, ok, run_checks
from .surroundings import RunningAgent, running_agent
from .system_checks import (
    check_local_page,
    check_memory,
    check_runtimes,
    check_service,
    check_user,
)

_console = Console()
_errors = Console(stderr=True)
_DEFAULT_CONFIG = Path("/etc/solar-edge/site.toml")
_MARKS = {State.OK: ("ok", "green"), State.WARNING: ("! warning", "yellow"),
          State.FAILED: ("✗ FAILED", "bold red")}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command of this file to ``app``."""
    app.command()(doctor)


def doctor(
    config: Annotated[
        Path,
        typer.Option("--config", "-c", help="The site's settings file (TOML).", show_default=True),
    ] = _DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Look for what is wrong with this box, and say what to do. Changes nothing, and may run beside
    the agent. Exit code 1 when something does not work."""
    before, checks = prepare(config)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=_errors, transient=True) as bar:
        task = bar.add_task("looking", total=len(checks))
        findings = before + run_checks(
            checks, lambda check: bar.update(task, description=check.subject, advance=1)
        )
    counts = Counter(finding.state for finding in findings)
    if as_json:
        typer.echo(json.dumps(to_json(findings), allow_nan=False, ensure_ascii=False))
    else:
        _console.print(findings_table(findings))
        _console.print(
            ", ".join(f"{counts[state]} {state.value}" for state in State),
            highlight=False,
        )
    raise typer.Exit(1 if counts[State.FAILED] else 0)


def prepare(config: Path) -> tuple[list[Finding], list[Check]]:
    """What is known of the settings at once, and the checks that follow from them."""
    try:
        settings = read_settings(config)
    except SettingsError as error:
        todo = "correct it; docs/operations/site.example.toml explains every key"
        return [failed("settings", str(error), todo)], _without_settings()
    agent = running_agent(settings)
    word = "an agent runs" if agent else "no agent runs"
    about = f"{config}: {settings.agent.id}, {len(settings.devices)} devices; {word} with them"
    return [ok("settings", about)], _with_settings(settings, agent)


def _without_settings() -> list[Check]:
    return [
        Check("clock", partial(check_time_service, ClockSettings())),
        Check("memory", partial(check_memory, ResourceLimits(), None)),
        Check("service", check_service),
        Check("model runtimes", partial(check_runtimes, None), 60.0),
    ]


def _with_settings(settings: EdgeSettings, agent: RunningAgent | None) -> list[Check]:
    from edge_agent.app import NOT_BEFORE

    mqtt, bundles, data_dir = settings.mqtt, settings.bundles, settings.data_dir
    checks = [
        Check("user", partial(check_user, data_dir)),
        Check("clock", partial(_clock, settings, agent)),
        Check("time", partial(check_time, data_dir, NOT_BEFORE)),
        Check("disk", partial(check_disk, data_dir, settings.journal)),
        Check("databases", partial(check_databases, data_dir), 3 * QUICK_CHECK_S),
        *device_checks(settings, agent),
        Check("certificates", partial(check_mqtt_files, settings.agent.id, mqtt)),
        Check(
            "broker",
            partial(check_broker, settings.agent.id, mqtt, agent),
            5 * mqtt.connect_timeout_s + 10.0,
        ),
    ]
    if bundles is not None:
        checks.append(Check("root_file", partial(check_tuf_root, Path(bundles.root_file))))
    selftest_s = 0.0 if bundles is None else bundles.selftest_timeout_s
    checks += [
        Check("model runtimes", partial(check_runtimes, bundles), 60.0 + selftest_s),
        Check("memory", partial(check_memory, settings.resources, agent)),
        Check("service", check_service),
        Check("local page", partial(check_local_page, settings.local, settings.agent.id, agent)),
    ]
    return checks


def _clock(settings: EdgeSettings, agent: RunningAgent | None) -> list[Finding]:
    if settings.agent.clock_anchor is not None:
        return [ok("clock", f"a scaled one ({settings.agent.clock_anchor}): for demonstrations")]
    says = None if agent is None else agent.snapshot.clock
    return list(check_time_service(settings.clock, agent_says=says))


def to_json(findings: Sequence[Finding]) -> dict[str, object]:
    """For ``--json``."""
    counts = Counter(finding.state for finding in findings)
    return {
        "findings": [
            {"subject": one.subject, "state": one.state.value, "found": one.found, "todo": one.todo}
            for one in findings
        ],
        **{state.value: counts[state] for state in State},
    }


def findings_table(findings: Sequence[Finding]) -> Table:
    """One row each; what to do stands below what was found, so that it fits a narrow screen."""
    table = Table(title="solar-edge doctor", show_lines=False)
    table.add_column("looked at", overflow="fold")
    table.add_column("state", no_wrap=True)
    table.add_column("found, and what to do", overflow="fold")
    for one in findings:
        word, style = _MARKS[one.state]
        text = Text(one.found)
        if one.todo:
            text.append(f"\n→ {one.todo}", "bold")
        table.add_row(Text(one.subject), Text(word, style), text)
    return table
