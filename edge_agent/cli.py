"""``solar-edge``: parses and wires; what it does is elsewhere."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from firmware_bridge import Buses, DeviceError, open_driver
from models.contract.clock import open_clock
from models.contract.errors import ContractError, SettingsError
from models.contract.payload import record_to_json
from models.contract.record import Record

from .devices import DeviceTable
from .errors import EdgeError
from .settings import EdgeSettings, read_settings
from .status_file import read_snapshot
from .status_view import records_table, status_view

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
    """Entry point: user errors become one line and exit code 2."""
    try:
        app()
    except (SettingsError, ContractError, EdgeError, DeviceError) as error:
        _errors.print(
            f"solar-edge: {error}", style="red", markup=False, highlight=False, soft_wrap=True
        )
        sys.exit(2)


@app.command()
def run(
    config: Config = DEFAULT_CONFIG,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details.")] = False,
) -> None:
    """Run the agent until it is told to stop (SIGTERM, Ctrl-C)."""
    from .app import Agent, run_until_signalled

    settings = read_settings(config)
    _set_up_log(verbose)

    async def start(stop: asyncio.Event) -> None:
        await Agent(settings).run(stop)

    asyncio.run(run_until_signalled(start))


@app.command()
def status(
    config: Config = DEFAULT_CONFIG,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, twice a second.")] = False,
) -> None:
    """Show what the running agent knows: bundle, forecast, devices, journal, uplink."""
    settings = read_settings(config)
    if as_json:
        typer.echo(json.dumps(read_snapshot(settings.data_dir).to_json(), allow_nan=False))
        return
    if not watch:
        _console.print(status_view(read_snapshot(settings.data_dir)))
        return
    with Live(console=_console, auto_refresh=False) as live:
        while True:
            live.update(status_view(read_snapshot(settings.data_dir)), refresh=True)
            time.sleep(0.5)


@app.command()
def read(
    config: Config = DEFAULT_CONFIG,
    device: Annotated[str | None, typer.Option(help="Only this device.")] = None,
    as_json: Json = False,
) -> None:
    """Read every device once and show what it gives. Exit code 1 when one gives nothing."""
    settings = read_settings(config)
    chosen = [one for one in settings.devices if device in (None, one.name)]
    if not chosen:
        known = ", ".join(one.name for one in settings.devices)
        raise SettingsError(f"has no device {device!r}; it has {known}", file=str(config))
    records, failures = asyncio.run(_read_all(settings, chosen))
    if as_json:
        body = {
            "records": [record_to_json(record) for record in records],
            "failures": {name: str(error) for name, error in failures.items()},
        }
        typer.echo(json.dumps(body, allow_nan=False))
    else:
        _console.print(records_table(records))
        for name, error in failures.items():
            _errors.print(f"{name}: {error}", style="red", markup=False, highlight=False)
    raise typer.Exit(1 if failures else 0)


async def _read_all(
    settings: EdgeSettings, devices: list[DeviceTable]
) -> tuple[list[Record], dict[str, DeviceError]]:
    clock = open_clock(settings.agent.clock_anchor)
    buses = Buses()
    records: list[Record] = []
    failures: dict[str, DeviceError] = {}
    for device in devices:
        driver = open_driver(device.link(), buses)
        try:
            records.append(await driver.poll(clock.now()))
        except DeviceError as error:
            if getattr(error.__cause__, "errno", None) == errno.EAGAIN:  # the port's lock is taken
                error.reason += (
                    "; another program has it: while the agent runs, `solar-edge status` shows what"
                    " it reads"
                )
            failures[device.name] = error
        finally:
            await driver.close()
    return records, failures


@app.command()
def simulate(
    series: Annotated[Path, typer.Option(help="CSV: timestamp, ac_power, load_power [W], UTC.")],
    tcp_port: Annotated[int, typer.Option(help="Port of the SunSpec inverter.")] = 1502,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    serial_link: Annotated[
        Path | None, typer.Option(help="Path that will lead to the meter's serial line (a pty).")
    ] = None,
    inverter_unit: Annotated[int, typer.Option(help="Modbus unit of the inverter.")] = 1,
    meter_unit: Annotated[int, typer.Option(help="Modbus unit of the meter.")] = 1,
    clock_anchor: Annotated[str | None, typer.Option(help="File of a scaled clock.")] = None,
) -> None:
    """Be the devices of a site: a SunSpec inverter on TCP and a meter on a serial line.

    They speak the real protocols and replay a power series.
    """
    from firmware_bridge.simulator import SimulationSettings
    from firmware_bridge.simulator import simulate as simulate_site

    from .app import run_until_signalled

    _set_up_log(verbose=False)
    clock = open_clock(clock_anchor)
    settings = SimulationSettings(
        series,
        host,
        tcp_port,
        inverter_unit=inverter_unit,
        serial_link=serial_link,
        meter_unit=meter_unit,
    )

    async def start(stop: asyncio.Event) -> None:
        site = asyncio.create_task(simulate_site(settings, clock, typer.echo))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([site, stopped], return_when=asyncio.FIRST_COMPLETED)
        site.cancel()
        stopped.cancel()
        with suppress(asyncio.CancelledError):
            await site

    asyncio.run(run_until_signalled(start))


def _set_up_log(verbose: bool) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


if __name__ == "__main__":
    main()
