"""``solar-edge``: parses and wires; what it does is elsewhere."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from firmware_bridge import DeviceError
from models.contract.errors import ContractError, SettingsError

from .devices.commands import register as register_device_commands
from .doctor.command import register as register_doctor
from .errors import EdgeError, StorageError
from .logs import set_up_log
from .settings import read_settings
from .status.status_file import Snapshot, read_snapshot
from .status.status_view import status_view
from .supervision import WorkerFailed

app = typer.Typer(
    name="solar-edge",
    help="The agent on a solar site: reads, keeps, forecasts, syncs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_console = Console()
_errors = Console(stderr=True)

Config = Annotated[
    Path, typer.Option("--config", "-c", help="The site's settings file (TOML).", show_default=True)
]
DEFAULT_CONFIG = Path("/etc/solar-edge/site.toml")
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def main() -> None:
    """Entry point: errors become one line; exit code 2 where trying again cannot help."""
    try:
        app()
    except (StorageError, WorkerFailed) as error:
        _say(error)
        sys.exit(1)  # a full or locked card may answer later: systemd is to try again
    except (SettingsError, ContractError, EdgeError, DeviceError) as error:
        _say(error)
        sys.exit(2)


def _say(error: Exception) -> None:
    _errors.print(
        f"solar-edge: {error}", style="red", markup=False, highlight=False, soft_wrap=True
    )


@app.command()
def run(
    config: Config = DEFAULT_CONFIG,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details.")] = False,
) -> None:
    """Run the agent until it is told to stop (SIGTERM, Ctrl-C)."""
    from .app import Agent, run_until_signalled
    from .supervision import LoopGuard

    settings = read_settings(config)
    set_up_log(verbose)
    guard = LoopGuard()
    guard.start()

    async def start(stop: asyncio.Event) -> None:
        await Agent(settings, guard=guard).run(stop)

    asyncio.run(run_until_signalled(start))


@app.command()
def status(
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, twice a second.")] = False,
) -> None:
    """Show what the running agent knows: bundle, forecast, devices, journal, uplink."""
    settings = read_settings(config)

    def snapshot() -> Snapshot:
        return read_snapshot(settings.run_dir, settings.data_dir)

    if as_json:
        typer.echo(json.dumps(snapshot().to_json(), allow_nan=False))
        return
    if not watch:
        _console.print(status_view(snapshot()))
        return
    with Live(console=_console, auto_refresh=False) as live:
        while True:
            live.update(status_view(snapshot()), refresh=True)
            time.sleep(0.5)


register_device_commands(app)
register_doctor(app)


if __name__ == "__main__":
    main()
