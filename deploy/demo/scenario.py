"""What the demo shows: which weather, which days, how fast, and the two settings files."""

from __future__ import annotations

import csv
import json
import os
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from central.broker import free_port
from models.contract.clock import Anchor
from models.contract.timestamps import DAY_MS, Instant, parse_iso8601

SITE = "demo-farm"
NSRDB_YEAR = "nsrdb/nsrdb_psm3_40.53_-105.06_2018_30min.csv.gz"
"""Fort Collins, Colorado: a whole recorded year at 30 minutes."""
TYPICAL_FROM = 9
"""Month that a typical year begins with, so that the days shown are in August and not in December:
the sun is what a demo is about. A recorded year is shown as it was."""
SHOWN_DAYS = 32
"""Days at the end of the year that nobody trains on before they have happened."""
SPEED = 3600.0
"""Domain seconds per real second: an hour a second."""
LEAST_DAYS = 7
"""Domain days after the training span that must be scored."""
SCORED_DAYS = LEAST_DAYS + 1.5
"""Domain days to run with the bundle, because the first and the last are cut."""
DC_CAPACITY_W, AC_CAPACITY_W, TILT = 6000.0, 5000.0, 30.0


@dataclass(frozen=True)
class Place:
    """Directories and files of one demo."""

    root: Path

    @property
    def weather(self) -> Path:
        return self.root / "raw"

    @property
    def series(self) -> Path:
        return self.root / "series.csv"

    @property
    def full_history(self) -> Path:
        return self.root / "history-whole-year.csv"

    @property
    def history(self) -> Path:
        return self.root / "history.csv"

    @property
    def anchor(self) -> Path:
        return self.root / "clock.json"

    @property
    def meter(self) -> Path:
        return self.root / "meter-serial"

    @property
    def central_config(self) -> Path:
        return self.root / "central.toml"

    @property
    def edge_config(self) -> Path:
        return self.root / "site.toml"

    @property
    def central_data(self) -> Path:
        return self.root / "central"

    @property
    def edge_data(self) -> Path:
        return self.root / "edge"

    @property
    def logs(self) -> Path:
        return self.root / "logs"


@dataclass(frozen=True)
class Ports:
    """Free ports of the loopback interface."""

    broker: int
    api: int
    inverter: int
    page: int
    """Of the box's own page."""

    @classmethod
    def free(cls) -> Ports:
        """One for each."""
        ports: set[int] = set()
        while len(ports) < len(fields(cls)):
            ports.add(free_port())
        return cls(*ports)


def find_weather() -> Path:
    """A recorded year from ``SOLAR_DATA_DIR``, or the typical year that pvlib carries."""
    directory = Path(os.environ.get("SOLAR_DATA_DIR", "../shared/data"))
    recorded = directory / NSRDB_YEAR
    if recorded.is_file():
        return recorded.resolve()
    from central.intake.tmy3 import bundled_weather_file

    return bundled_weather_file()


def cut_history(whole: Path, cut: Path) -> Instant:
    """Copy the history without its last ``SHOWN_DAYS``; returns where the demo begins."""
    with whole.open(newline="", encoding="utf-8") as source:
        rows = list(csv.reader(source))
    header, body = rows[0], rows[1:]
    column = header.index("timestamp")
    end = parse_iso8601(body[-1][column])
    begin = (end - SHOWN_DAYS * DAY_MS) // DAY_MS * DAY_MS
    with cut.open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target)
        writer.writerow(header)
        writer.writerows(row for row in body if parse_iso8601(row[column]) < begin)
    return begin


def set_clock(place: Place, begin: Instant, speed: float) -> Anchor:
    """Tie ``begin`` to this moment."""
    anchor = Anchor(real_t0=time.time(), domain_t0=begin, speed=speed)
    anchor.write(place.anchor)
    return anchor


def write_settings(
    place: Place, ports: Ports, summary: dict[str, Any], *, embedded_broker: bool = True
) -> None:
    """Both settings files, as an operator would write them."""
    plant = summary["plant"]
    geometry = f"""latitude = {plant["latitude"]}
longitude = {plant["longitude"]}
elevation = {plant["elevation_m"]}
tilt = {plant["tilt"]}
azimuth = {plant["azimuth"]}
dc_capacity_w = {DC_CAPACITY_W}
ac_capacity_w = {AC_CAPACITY_W}"""
    place.central_config.write_text(
        f"""data_dir = {_text(place.central_data)}
clock_anchor = {_text(place.anchor)}

[mqtt]
port = {ports.broker}

[broker]
embedded = "{"yes" if embedded_broker else "no"}"

[api]
port = {ports.api}
iot_port = 0

[training]
preset = "small"

[[sites]]
id = "{SITE}"
{geometry}
history = "history.csv"
history_resolution_minutes = {summary["source_minutes"]}
""",
        encoding="utf-8",
    )
    place.edge_config.write_text(
        f"""[agent]
id = "{SITE}"
data_dir = {_text(place.edge_data)}
clock_anchor = {_text(place.anchor)}
status_every_s = 1.0

[site]
{geometry}

[[devices]]
name = "inverter"
role = "inverter"
protocol = "modbus-tcp"
profile = "sunspec"
host = "127.0.0.1"
port = {ports.inverter}
poll_s = 300

[[devices]]
name = "meter"
role = "meter"
protocol = "modbus-rtu"
profile = "eastron-sdm630"
serial_port = {_text(place.meter)}
frame_gap_ms = 0
poll_s = 300

[mqtt]
host = "127.0.0.1"
port = {ports.broker}

[bundles]
directory = {_text(place.edge_data / "bundles")}
root_file = {_text(place.edge_data / "root.json")}

[journal]
commit_window_s = 0.25

[uplink]
ack_timeout_s = 5.0

[local]
port = {ports.page}
""",
        encoding="utf-8",
    )


def _text(path: Path) -> str:
    return json.dumps(str(path.resolve()))
