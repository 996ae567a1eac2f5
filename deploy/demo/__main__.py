"""The story of the demo, step by step."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edge_agent.storage.database import back_up
from models.contract.clock import Anchor, ScaledClock
from models.contract.timestamps import DAY_MS, HOUR_MS, format_iso8601

from .processes import DemoError, Processes
from .scenario import (
    AC_CAPACITY_W,
    DC_CAPACITY_W,
    LEAST_DAYS,
    SCORED_DAYS,
    SITE,
    SPEED,
    TILT,
    TYPICAL_FROM,
    Place,
    Ports,
    cut_history,
    find_weather,
    set_clock,
    write_settings,
)

BIN = Path(sys.executable).parent
EDGE, CENTRAL = str(BIN / "solar-edge"), str(BIN / "solar-central")
SETTLE_S = 3.0
"""Real time for what was committed last to be acknowledged."""
console = Console()


def main() -> int:
    """Run the demo; 0 when a signed model forecast with positive skill."""
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT, too: a shell's `&` ignores it
        signal.signal(number, _interrupt)
    began = time.monotonic()
    place = Place(Path(os.environ.get("DEMO_DIR", "var/demo")).resolve())
    shutil.rmtree(place.root, ignore_errors=True)
    for directory in (place.weather, place.logs, place.edge_data, place.central_data):
        directory.mkdir(parents=True)
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    try:
        with Processes(place.logs, environment) as services:
            skill = _tell(services, place)
            console.print(f"took {time.monotonic() - began:.0f} s")
            if os.environ.get("KEEP"):
                _keep_running(services, place)
    except KeyboardInterrupt:
        console.print("interrupted: everything has been stopped")
        return 130
    except DemoError as error:
        console.print(f"the demo failed: {error}", style="red", markup=False)
        return 1
    return 0 if skill > 0 else 1


def _tell(services: Processes, place: Place) -> float:
    central = ("--config", str(place.central_config))
    edge = ("--config", str(place.edge_config))
    ports = Ports.free()

    weather = find_weather()
    _say("1", f"intake of {weather.name}, and what a {DC_CAPACITY_W / 1000:g} kW roof makes of it")
    shutil.copy(weather, place.weather)
    services.run(
        CENTRAL, "preprocess", "--input-dir", str(place.weather), "--output-dir",
        str(place.root / "processed"), "--capacity", f"{DC_CAPACITY_W / 1000:g}",
    )  # fmt: skip
    summary: dict[str, Any] = json.loads(
        services.run(
            CENTRAL, "series", str(weather), "--out", str(place.series), "--history",
            str(place.full_history), "--dc-capacity", str(DC_CAPACITY_W), "--ac-capacity",
            str(AC_CAPACITY_W), "--tilt", str(TILT), "--typical-from", str(TYPICAL_FROM), "--json",
        )
    )  # fmt: skip
    write_settings(place, ports, summary)
    begin = cut_history(place.full_history, place.history)
    place.full_history.unlink()  # nobody can learn from what has not happened yet
    root = services.run(CENTRAL, "trust-root", *central).strip()
    shutil.copy(root, place.edge_data / "root.json")

    _say("2", f"broker, centre, simulated site and agent; domain time runs {SPEED:g} times faster")
    speed = float(os.environ.get("DEMO_SPEED", SPEED))
    anchor = set_clock(place, begin, speed)
    clock = ScaledClock(anchor)
    services.start("central", CENTRAL, "serve", *central)
    services.wait("the centre answers", lambda: _get(ports, "/health"), 60)
    services.start(
        "site", EDGE, "simulate", "--series", str(place.series),
        "--device", f"sunspec@tcp:{ports.inverter}",
        "--device", f"eastron-sdm630@pty:{place.meter}",
        "--clock-anchor", str(place.anchor),
    )  # fmt: skip
    services.wait("the meter's line", place.meter.exists, 30)
    console.print(services.run(EDGE, "read", *edge))
    services.start("agent", EDGE, "run", *edge)
    services.wait("the first forecast", lambda: _forecast(services, edge), 60)
    bundle = _forecast(services, edge)["bundle"]
    console.print(f"forecasting since {format_iso8601(begin)} with bundle {bundle}: persistence")

    _say("3", "the centre retrains on the year before and on what the site has sent since")
    services.wait("half a day of telemetry", lambda: clock.now() > begin + 12 * HOUR_MS, 120)
    started = time.monotonic()
    retrained: dict[str, Any] = json.loads(
        services.run(CENTRAL, "retrain", *central, "--json", show=True)
    )
    if not retrained["release"]:
        raise DemoError(f"the candidate was kept back: {retrained['reason']}")
    release = retrained["release"]
    console.print(
        f"trained, converted, judged ({retrained['reason']}), registered, signed, published "
        f"{release['bundle']} ({release['size'] / 1e6:.1f} MB) "
        f"in {time.monotonic() - started:.0f} s"
    )

    _say("4", "the agent fetches, verifies, tests and activates it")
    services.wait("activation", lambda: _active(services, edge) == release["bundle"], 90)
    activated = clock.now()
    console.print(f"{release['bundle']} forecasts since {format_iso8601(activated)}")

    _say("5", f"{SCORED_DAYS:g} more days, none of which the models have seen")
    _watch(services, clock, anchor, activated)

    _say("6", "what came of it")
    journal = _copy_journal(place)
    _prove_complete(services, journal, central)
    report, figures = place.root / "report.html", place.root / "report.json"
    console.print(
        services.run(
            CENTRAL, "report", *central, "--agent", SITE, "--start", format_iso8601(activated),
            "--journal", str(journal), "--source", f"simulated from {weather.name}",
            "--html", str(report), "--save", str(figures),
        )
    )  # fmt: skip
    scores: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
    if not scores["after_training"]:
        raise DemoError("a scored interval lies within the training span, or its end is not known")
    if scores["weather_modes"] != ["none"]:
        raise DemoError(f"weather modes {scores['weather_modes']}, only 'none' is honest here")
    if scores["days"] < LEAST_DAYS:
        raise DemoError(f"{scores['days']} days scored, {LEAST_DAYS} are wanted")
    skill = float(scores["scores"]["all"]["skill"])
    console.print(f"skill against smart persistence: {skill:+.1%} over {scores['days']} days")
    console.print(
        f"pages while it runs: fleet http://127.0.0.1:{ports.api}/,"
        f" box http://127.0.0.1:{ports.page}/   report: {report}"
    )
    return skill


def _watch(services: Processes, clock: ScaledClock, anchor: Anchor, activated: int) -> None:
    end = activated + int(SCORED_DAYS * DAY_MS)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=float(end - activated))
        while (now := clock.now()) < end:
            services.check()
            bar.update(task, completed=now - activated, description=format_iso8601(now))
            time.sleep(0.25)
    # The last targets are measured and acknowledged before anybody counts.
    time.sleep(SETTLE_S + HOUR_MS / 1000 / anchor.speed)


def _copy_journal(place: Place) -> Path:
    """A copy of the journal as it is now; what is in it has reached the centre a moment later."""
    copy = place.root / "journal-copy.sqlite"
    back_up(place.edge_data / "journal.sqlite", copy)
    time.sleep(SETTLE_S)
    return copy


def _prove_complete(services: Processes, journal: Path, central: tuple[str, ...]) -> None:
    found: dict[str, Any] = json.loads(
        services.run(
            CENTRAL, "compare", str(journal), "--agent", SITE, *central, "--json", check=False
        )
    )
    if not found["complete"]:
        raise DemoError(f"the centre does not hold what the agent committed: {found}")


def _keep_running(services: Processes, place: Place) -> None:
    console.print(f"KEEP is set: everything goes on, logs in {place.logs}; Ctrl-C ends it")
    while True:
        services.check()
        time.sleep(0.5)


def _status(services: Processes, edge: tuple[str, ...]) -> dict[str, Any] | None:
    text = services.run(EDGE, "status", *edge, "--json", check=False)
    return json.loads(text) if text.startswith("{") else None


def _forecast(services: Processes, edge: tuple[str, ...]) -> Any:
    status = _status(services, edge)
    return status["forecast"] if status else None


def _active(services: Processes, edge: tuple[str, ...]) -> Any:
    status = _status(services, edge)
    return status["status"]["bundle"]["active"] if status else None


def _get(ports: Ports, path: str) -> bytes | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ports.api}{path}", timeout=2) as answer:
            return bytes(answer.read())
    except OSError:
        return None


def _say(number: str, text: str) -> None:
    console.rule(f"[bold]{number}. {text}", align="left")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
