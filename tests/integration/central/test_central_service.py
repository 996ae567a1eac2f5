"""The serving process as a whole: starts from nothing, ends cleanly, says what is in its way."""

from __future__ import annotations

import asyncio
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from central.broker import Broker
from central.service import ServiceError, serve
from central.settings import ApiSettings, BrokerStart, EmbeddedBrokerSettings
from central.store import StoreError
from models.contract.payload import decode_ack
from tests.environments import ROOT
from tests.fleet_messages import live, record_entry
from tests.integration.central.conftest import Centre, Fleet, central_settings, wait_for

PROGRAM = """
import sys
from pathlib import Path
from central.service import run
from central.settings import load_central_settings
def ready(running):
    print(running.api_url, running.mqtt_port, flush=True)
run(load_central_settings(Path(sys.argv[1])), ready)
"""


def start(tmp_path: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    settings = tmp_path / "central.toml"
    settings.write_text(
        f'data_dir = "{tmp_path / "var"}"\n[mqtt]\nport = {port}\n[api]\nport = 0\niot_port = 0\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    line = process.stdout.readline().split()
    assert line, process.stderr.read() if process.stderr else ""
    return process, line[0]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_process_brings_its_broker_and_takes_it_away_again(
    tmp_path: Path, free_port: Callable[[], int], number: signal.Signals
) -> None:
    port = free_port()
    process, url = start(tmp_path, port)
    try:
        wait_for(lambda: httpx.get(f"{url}/api/iot/health").status_code == 200, "a broker")
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert not listens(port), "the broker of our own went with us"
    assert (tmp_path / "var" / "central.sqlite").exists()


def test_a_broker_that_is_there_already_is_used_and_left_running(
    tmp_path: Path, broker: Broker
) -> None:
    process, url = start(tmp_path, broker.port)
    try:
        wait_for(lambda: httpx.get(f"{url}/api/iot/health").status_code == 200, "the broker")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert broker.running
    assert not (tmp_path / "var" / "broker").exists()


def test_what_was_acknowledged_is_in_the_store_after_the_process_is_killed(
    tmp_path: Path, broker: Broker
) -> None:
    process, url = start(tmp_path, broker.port)
    fleet = Fleet(broker)
    try:
        wait_for(lambda: httpx.get(f"{url}/api/iot/health").status_code == 200)
        fleet.subscribe("solar/site_01/ack")
        fleet.publish("solar/site_01/data", *live(*[record_entry(seq) for seq in range(1, 101)]))
        wait_for(lambda: fleet.on("solar/site_01/ack"))
        process.kill()
        process.wait()
        acknowledged = count_acknowledged(fleet)
        with sqlite3.connect(tmp_path / "var" / "central.sqlite") as store:
            stored = {seq for (seq,) in store.execute("SELECT seq FROM entries")}
        store.close()
        assert acknowledged <= stored
        again, _ = start(tmp_path, broker.port)
        try:  # what was not acknowledged was still the broker's
            wait_for(lambda: count_acknowledged(fleet) == set(range(1, 101)))
        finally:
            again.send_signal(signal.SIGTERM)
            again.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
        fleet.close()


def count_acknowledged(fleet: Fleet) -> set[int]:
    seqs: set[int] = set()
    for payload in fleet.on("solar/site_01/ack"):
        for first, last in decode_ack(payload).ranges:
            seqs.update(range(first, last + 1))
    return seqs


def test_a_taken_port_is_named_with_its_setting(broker: Broker, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = replace(
            central_settings(broker, tmp_path), api=ApiSettings(port=0, iot_port=port)
        )
        with pytest.raises(ServiceError, match=rf"127\.0\.0\.1:{port}.*\[api\] host or iot_port"):
            asyncio.run(serve(settings, asyncio.Event()))


def test_a_store_that_cannot_be_used_ends_the_start_and_leaves_no_thread(
    broker: Broker, tmp_path: Path
) -> None:
    (tmp_path / "central.sqlite").write_bytes(b"not a database at all" * 100)
    before = threading.active_count()
    with pytest.raises(StoreError, match=r"central\.sqlite"):
        asyncio.run(serve(central_settings(broker, tmp_path), asyncio.Event()))
    assert threading.active_count() == before


def test_without_any_broker_the_rest_serves_and_says_so(
    broker: Broker, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    settings = central_settings(broker, tmp_path / "data")
    settings = replace(
        settings,
        mqtt=replace(settings.mqtt, port=free_port()),
        broker=EmbeddedBrokerSettings(BrokerStart.NO),
    )
    centre = Centre(settings)
    running = centre.start(connected=False)
    assert httpx.get(f"{running.api_url}/health").status_code == 200
    assert httpx.get(f"{running.api_url}/api/iot/health").status_code == 503
    centre.stop()
