"""A weather forecast from a file to the box of its site: one retained message.

Decides what of a file is sent: its newest run, the quantities that features read, up to the first
step at which one of them is missing. Fetching from a weather service is somebody else's job (a cron
line writes the file); the box decides whether a run is newer than what it has.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from central.messaging import Messaging, MessagingError
from central.settings import CentralSettings
from central.training.errors import TrainingDataError
from central.training.weather_archive import read_weather_archive
from models.contract import topics
from models.contract.messages import WeatherForecast
from models.contract.payload import canonical, weather_to_json
from models.contract.timestamps import HORIZON_STEPS, STEP_MS
from models.features.spec import PLAIN_WEATHER

CONNECT_S = 15.0
QUANTITIES: tuple[str, ...] = ("ghi", "dni", "dhi", *PLAIN_WEATHER)
LONGEST_MS = 2 * HORIZON_STEPS * STEP_MS
"""What lies further ahead helps no forecast."""


def newest_run(file: Path, site: str, source: str) -> WeatherForecast:
    """The newest run of an archive file (``central.training.weather_archive``) for ``site``.

    Raises ``TrainingDataError`` naming the file when it holds no issue times or no usable step.
    """
    archive = read_weather_archive(file)
    if archive.issued is None:
        raise TrainingDataError(
            f"{file}: has no column 'issued_at'; a box must know how old a forecast is"
        )
    run, issued = archive.runs[-1], int(archive.issued[-1])
    values = {name: row for name, row in run.values.items() if name in QUANTITIES}
    if not values:
        raise TrainingDataError(f"{file}: holds none of {', '.join(QUANTITIES)}")
    whole = np.logical_and.reduce([np.isfinite(row) for row in values.values()])
    steps = len(run) if whole.all() else int(np.argmin(whole))
    steps = min(steps, LONGEST_MS // run.step_ms)
    if steps == 0:
        raise TrainingDataError(f"{file}: the first step of the newest run lacks a value")
    rows = {name: tuple(float(v) for v in row[:steps]) for name, row in values.items()}
    return WeatherForecast(site, issued, run.start, run.step_ms, source, rows)


def publish_weather(settings: CentralSettings, forecast: WeatherForecast) -> None:
    """Send ``forecast`` to its box. Raises ``MessagingError`` when no broker takes it."""
    messaging = Messaging(settings.mqtt, client_id="solar-central-weather")
    messaging.start()
    try:
        if not messaging.wait_connected(CONNECT_S):
            raise MessagingError(
                f"no MQTT broker at {settings.mqtt.host}:{settings.mqtt.port}"
                f" within {CONNECT_S:g} s"
            )
        messaging.publish(
            topics.build(forecast.site, "weather"),
            canonical(weather_to_json(forecast)).encode(),
            retain=True,
        )
    finally:
        messaging.stop()
