"""``solar-edge read | decode | scan | simulate``: devices, without a running agent.

Parses and wires; what the commands do is in ``firmware_bridge``, how it looks in ``view``.
"""

from __future__ import annotations

import asyncio
import errno
import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from edge_agent.settings import EdgeSettings, read_settings
from firmware_bridge import Buses, Decoded, DeviceError, DeviceSettings, open_driver
from firmware_bridge.decoding import decode_content, decoded_to_json
from models.contract.clock import open_clock
from models.contract.errors import SettingsError

from .tables import DeviceTable
from .view import content_view, decoded_table, scan_view

_console = Console()
_errors = Console(stderr=True)
_DEFAULT_CONFIG = Path("/etc/solar-edge/site.toml")

_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
_Config = Annotated[
    Path, typer.Option("--config", "-c", help="The site's settings file (TOML).", show_default=True)
]
_Host = Annotated[str, typer.Option(help="Name or address of a device or gateway.")]
_Port = Annotated[int | None, typer.Option(help="Network port; default: the protocol's.")]
_SerialPort = Annotated[str, typer.Option(help="Serial port, best by /dev/serial/by-id/...")]
_BaudRate = Annotated[int | None, typer.Option(help="Of the serial line (default 9600).")]
_Parity = Annotated[str | None, typer.Option(help="N, E or O (default N).")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to ``app``."""
    app.command()(read)
    app.command()(decode)
    app.command()(scan)
    app.command()(simulate)


# --- read --------------------------------------------------------------------------------------


def read(
    config: _Config = _DEFAULT_CONFIG,
    device: Annotated[str | None, typer.Option(help="Only this device.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="Details too, not only what is recorded.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Read every device once and show what it gives. Exit code 1 when one gives nothing."""
    settings = read_settings(config)
    chosen = [one for one in settings.devices if device in (None, one.name)]
    if not chosen:
        known = ", ".join(one.name for one in settings.devices)
        raise SettingsError(f"has no device {device!r}; it has {known}", file=str(config))
    given, failures = asyncio.run(_read_all(settings, chosen))
    if not everything:
        for decoded in given.values():
            decoded.details.clear()
    if as_json:
        body = {
            "devices": {name: decoded_to_json(decoded) for name, decoded in given.items()},
            "failures": {name: str(error) for name, error in failures.items()},
        }
        typer.echo(json.dumps(body, allow_nan=False))
    else:
        for name, decoded in given.items():
            _console.print(decoded_table(name, decoded))
        for name, error in failures.items():
            _errors.print(f"{name}: {error}", style="red", markup=False, highlight=False)
    raise typer.Exit(1 if failures else 0)


async def _read_all(
    settings: EdgeSettings, devices: list[DeviceTable]
) -> tuple[dict[str, Decoded], dict[str, DeviceError]]:
    clock = open_clock(settings.agent.clock_anchor)
    buses = Buses()
    given: dict[str, Decoded] = {}
    failures: dict[str, DeviceError] = {}
    for device in devices:
        driver = open_driver(device.link(), buses)
        try:
            given[device.name] = await driver.read(clock.now())
        except DeviceError as error:
            if getattr(error.__cause__, "errno", None) == errno.EAGAIN:  # the port's lock is taken
                error.reason += (
                    "; another program has it: while the agent runs, `solar-edge status` shows what"
                    " it reads"
                )
            failures[device.name] = error
        finally:
            await driver.close()
    return given, failures


# --- decode ------------------------------------------------------------------------------------


def decode(
    file: Annotated[Path, typer.Argument(help="A reply in hex, a trace, or a P1 telegram.")],
    profile: Annotated[str, typer.Option(help="Name of a profile, or path of a .toml file.")],
    address: Annotated[
        str | None, typer.Option(help="First register of a lone reply, e.g. 35100 or 0x891c.")
    ] = None,
    request: Annotated[
        str | None, typer.Option(help="The request that a lone reply answers, in hex.")
    ] = None,
    as_table: Annotated[bool, typer.Option("--table", help="A table instead of JSON.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, which is the default.")] = False,
) -> None:
    """Decode a recording from the field: readings as JSON, with the reason for every value that is
    not good. Exit code 1 when nothing in it can be believed."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror or error}", file=str(file)) from None
    found = decode_content(
        profile, content, file=str(file), address=_whole_number(address), request=request
    )
    if as_table and not as_json:
        _console.print(content_view(found))
    else:
        typer.echo(json.dumps(found.to_json(), allow_nan=False, indent=2, ensure_ascii=False))
    raise typer.Exit(0 if found.rounds else 1)


def _whole_number(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text, 0)
    except ValueError:
        raise typer.BadParameter(f"--address: {text!r} is no whole number") from None


# --- scan --------------------------------------------------------------------------------------


def scan(
    host: _Host = "",
    port: _Port = None,
    serial_port: _SerialPort = "",
    protocol: Annotated[
        str, typer.Option(help="modbus-tcp | modbus-rtu | modbus-rtu-tcp | goodwe-udp")
    ] = "",
    baud_rate: _BaudRate = None,
    parity: _Parity = None,
    units: Annotated[
        str, typer.Option(help="Unit addresses: 1-247, or 1,3,71. Default: usual, or all on a bus.")
    ] = "",
    timeout_s: Annotated[float | None, typer.Option(help="For each probe.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a site report in HTML to this file.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Find the devices on a host or serial line, tell what they are, read them once and propose
    their settings. Only reads are sent. Exit code 1 when nobody was found."""
    from firmware_bridge.scan import COMMON_UNITS, ScanResult, scan_units

    from .scan_report import report_html, result_to_json

    base = _scan_settings(host, port, serial_port, protocol, baud_rate, parity, timeout_s)
    everyone = tuple(range(1, 248)) if base.serial_port else COMMON_UNITS
    chosen = _unit_list(units) if units else everyone
    now = time.time_ns() // 1_000_000

    async def go() -> ScanResult:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
        with Progress(*columns, MofNCompleteColumn(), console=_errors) as bar:
            task = bar.add_task("", total=len(chosen))

            def tell(text: str) -> None:
                done = text.endswith("it is")
                bar.update(task, description=text, advance=0 if done else 1)

            return await scan_units(base, chosen, now, progress=tell)

    result = asyncio.run(go())
    if report is not None:
        report.write_text(report_html(result, now), encoding="utf-8")
        _errors.print(f"site report: {report}", highlight=False)
    if as_json:
        typer.echo(json.dumps(result_to_json(result), allow_nan=False))
    else:
        _console.print(scan_view(result))
    raise typer.Exit(0 if result.found else 1)


def _scan_settings(
    host: str,
    port: int | None,
    serial_port: str,
    protocol: str,
    baud_rate: int | None,
    parity: str | None,
    timeout_s: float | None,
) -> DeviceSettings:
    if bool(host) == bool(serial_port):
        raise typer.BadParameter("give either --host or --serial-port")
    return DeviceSettings(
        name="scan",
        protocol=protocol or ("modbus-rtu" if serial_port else "modbus-tcp"),
        profile="sunspec",
        host=host,
        port=port,
        serial_port=serial_port,
        baud_rate=baud_rate,
        parity=parity,
        timeout_s=timeout_s,
    )


def _unit_list(text: str) -> tuple[int, ...]:
    units: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            units += range(int(first), int(last or first) + 1)
    except ValueError:
        raise typer.BadParameter(f"--units: {text!r}; write 1-247 or 1,3,71") from None
    if not units or not all(0 <= unit <= 247 for unit in units):
        raise typer.BadParameter(f"--units: {text!r} is not within 0 to 247")
    return tuple(dict.fromkeys(units))


# --- simulate ----------------------------------------------------------------------------------


def simulate(
    device: Annotated[
        list[str],
        typer.Option(
            help="PROFILE@PLACE or PROFILE@PLACE/UNITS: sunspec@tcp:1502, "
            "eastron-sdm630@pty:PATH/5, growatt-tl-x@rtu-tcp:8899/1-3, goodwe-es@udp:8899, "
            "replay:FILE@tcp:1502."
        ),
    ],
    series: Annotated[
        Path | None, typer.Option(help="CSV: timestamp, ac_power, load_power [W], UTC.")
    ] = None,
    phases: Annotated[int, typer.Option(help="1 or 3.", min=1, max=3)] = 3,
    fault: Annotated[
        list[str] | None, typer.Option(help="KIND=RATE, e.g. late=0.05; repeat for more.")
    ] = None,
    fault_delay_s: Annotated[
        float, typer.Option(help="Longest delay of late and doubled replies.")
    ] = 1.0,
    slow_start_s: Annotated[float, typer.Option(help="No answers so long after connecting.")] = 0.0,
    one_connection: Annotated[
        bool, typer.Option("--one-connection", help="Turn a second client away.")
    ] = False,
    line_baud_rate: Annotated[
        int | None, typer.Option(help="Let serial replies take the time they take at this rate.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the faults.")] = 1,
    clock_anchor: Annotated[str | None, typer.Option(help="File of a scaled clock.")] = None,
) -> None:
    """Be devices: any profile on a real port, after a power series or a recording, with faults.

    Fault kinds: silent, late, twice, swapped, cut, wrong_unit, wrong_function, wrong_count,
    wrong_transaction, garbled, damaged, stray, exception, sentinel.
    """
    from edge_agent.app import run_until_signalled
    from edge_agent.logs import set_up_log
    from firmware_bridge.simulator import SimulationSettings
    from firmware_bridge.simulator import simulate as run_simulation
    from firmware_bridge.simulator.faults import parse_rates
    from firmware_bridge.simulator.server import Habits, LineModel
    from firmware_bridge.simulator.spec import parse_spec

    set_up_log(verbose=False)
    clock = open_clock(clock_anchor)
    try:
        rates = parse_rates(fault or [])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    line = None if line_baud_rate is None else LineModel(line_baud_rate)
    settings = SimulationSettings(
        tuple(parse_spec(text) for text in device),
        series,
        phases=phases,
        fault_rates=rates,
        fault_delay_s=(0.0, fault_delay_s),
        seed=seed,
        habits=Habits(slow_start_s, one_connection, line),
    )

    async def start(stop: asyncio.Event) -> None:
        site = asyncio.create_task(run_simulation(settings, clock, typer.echo))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([site, stopped], return_when=asyncio.FIRST_COMPLETED)
        site.cancel()
        stopped.cancel()
        with suppress(asyncio.CancelledError):
            await site

    asyncio.run(run_until_signalled(start))
