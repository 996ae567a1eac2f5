"""Releases reach a running agent: genuine ones are tried and kept, others refused with a reason."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.scenario import SITE
from models.bundle.archive import read_manifest, write_manifest
from models.contract.timestamps import HOUR_MS, parse_iso8601
from tests.bundles import CPU, OTHER_CPU
from tests.integration.loop.running import Loop, Weather, change, open_loop, wait_for

STATUS, FORECAST = f"solar/{SITE}/status", f"solar/{SITE}/forecast"


@pytest.mark.timeout(300)
def test_good_tampered_foreign_and_good_release_one_after_another(
    tmp_path: Path, weather: Weather, candidate_bundle: Path
) -> None:
    with open_loop(tmp_path / "loop", weather) as loop:
        change(loop.place.edge_config, ("[bundles]\n", "[bundles]\nprobation_forecasts = 8\n"))
        loop.trust_centre()
        loop.start_all()
        first = _genuine_release_is_tried_and_kept(loop, candidate_bundle)
        _one_flipped_byte_is_refused(loop, candidate_bundle, first)
        _bundle_for_another_cpu_is_refused(loop, candidate_bundle, first)
        last = _genuine_release_is_tried_and_kept(loop, candidate_bundle)
        _restart_keeps_the_bundle(loop, last)


def _genuine_release_is_tried_and_kept(loop: Loop, bundle: Path) -> str:
    heard = loop.listen(STATUS, FORECAST)
    before = loop.status()["status"]["bundle"]["active"]
    released = loop.release(bundle)
    name = str(released["bundle"])
    status = loop.wait_status(lambda now: _bundle(now)["active"] == name, f"{name} is active")
    assert _bundle(status)["release"] == released["release"]
    loop.wait_status(lambda now: _bundle(now)["state"] == "active", f"{name} is kept")
    assert f"{name} (release {released['release']}, active)" in loop.edge("status")
    # The page of the centre and its forecast say the same.
    _forecast_at_centre(loop, name)
    wait_for(lambda: _site(loop)["bundle"]["state"] == "active", "the centre knows")
    assert _site(loop)["bundle"]["active"] == name

    stages = [(now["bundle"]["state"], now["bundle"]["active"]) for now in heard.messages(STATUS)]
    trial, kept = ("trial", name), ("active", name)
    assert stages.index(trial) < stages.index(kept), "a trial comes before"
    forecasts = [forecast["bundle"] for forecast in heard.messages(FORECAST)]
    change_at = forecasts.index(name)
    assert set(forecasts[:change_at]) == {before}
    assert set(forecasts[change_at:]) == {name}
    return name


def _one_flipped_byte_is_refused(loop: Loop, bundle: Path, running: str) -> None:
    agent = loop.services.pid("agent")
    os.kill(agent, signal.SIGSTOP)  # so that it cannot be quicker than the attacker
    try:
        released = loop.release(bundle)
        topic = f"solar/bundles/targets/fleet/{released['sha256']}.bundle.tar/0"
        _flip_a_retained_byte(loop, topic, 3000)
    finally:
        os.kill(agent, signal.SIGCONT)
    refused = loop.wait_status(lambda now: _bundle(now)["refused"], "the refusal")
    _expect_refusal(
        loop, refused, released["bundle"], "the download is not what was signed", running
    )


def _flip_a_retained_byte(loop: Loop, topic: str, position: int) -> None:
    broker = ("-h", "127.0.0.1", "-p", str(loop.ports.broker), "-t", topic)
    piece = bytearray(
        subprocess.run(
            ["mosquitto_sub", *broker, "-C", "1", "-N", "-W", "20"], capture_output=True, check=True
        ).stdout
    )
    piece[position] ^= 1
    subprocess.run(["mosquitto_pub", *broker, "-r", "-q", "1", "-s"], input=piece, check=True)


def _bundle_for_another_cpu_is_refused(loop: Loop, bundle: Path, running: str) -> None:
    foreign = loop.place.root / "foreign-bundle"
    shutil.copytree(bundle, foreign)
    manifest = read_manifest(foreign)
    models = {
        name: replace(model, files={cpu: files for cpu, files in model.files.items() if cpu != CPU})
        for name, model in manifest.models.items()
    }
    only = replace(manifest, models=models)
    write_manifest(foreign, only)
    for file in set(manifest.files()) - set(only.files()):
        (foreign / file.path).unlink()
    released = loop.release(foreign)
    refused = loop.wait_status(
        lambda now: _bundle(now)["refused"] == released["bundle"], "the second refusal"
    )
    reason = f"is built for {OTHER_CPU}; this box is {CPU}"
    _expect_refusal(loop, refused, released["bundle"], reason, running)


def _expect_refusal(
    loop: Loop, status: dict[str, Any], refused: str, reason: str, running: str
) -> None:
    bundle = _bundle(status)
    assert (bundle["refused"], bundle["active"]) == (refused, running)
    assert reason in bundle["reason"]
    screen = loop.edge("status")
    assert running in screen
    assert f"refused {refused}: {reason}" in screen
    assert reason in loop.log("agent")
    _forecast_at_centre(loop, running)
    wait_for(lambda: _site(loop)["bundle"]["refused"] == refused, "the centre knows of it")


def _restart_keeps_the_bundle(loop: Loop, name: str) -> None:
    assert loop.services.stop("agent") == 0
    heard = loop.listen(FORECAST)
    loop.start_agent()
    _forecast_at_centre(loop, name)
    status = loop.wait_status(lambda now: now["status"]["online"], "the agent runs again")
    assert (_bundle(status)["active"], _bundle(status)["state"]) == (name, "active")
    assert {forecast["bundle"] for forecast in heard.messages(FORECAST)} == {name}


def _forecast_at_centre(loop: Loop, bundle: str) -> None:
    """A forecast issued from now on has reached the centre, and it is this bundle's."""
    now = loop.clock.now()

    def newest() -> dict[str, Any] | None:
        found: dict[str, Any] = loop.get(f"/api/v1/sites/{SITE}/forecast")
        return found if parse_iso8601(found["issued_at"]) > now + HOUR_MS else None

    found = wait_for(newest, "a newer forecast at the centre")
    assert found["bundle"] == bundle
    assert "persistence" not in found["model"]


def _site(loop: Loop) -> dict[str, Any]:
    (site,) = loop.get("/api/v1/sites")["sites"]
    return dict(site)


def _bundle(status: dict[str, Any]) -> dict[str, Any]:
    return dict(status["status"]["bundle"])
