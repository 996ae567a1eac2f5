"""``solar-edge doctor`` against a real broker with TLS, and as a command on a real box's files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from central.broker import find_mosquitto
from edge_agent.doctor.broker_checks import check_broker
from edge_agent.doctor.finding import Finding, State
from edge_agent.doctor.surroundings import RunningAgent
from edge_agent.uplink.mqtt_client import MqttSettings
from tests.integration.uplink_agent import running, until
from tests.unit.edge_agent.doctor.authority import Authority
from tests.unit.edge_agent.status.site import snapshot

EDGE = Path(sys.executable).parent / "solar-edge"
AGENT = "site-1"


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    one = Authority(tmp_path)
    one.issue("broker")
    one.issue(AGENT)
    return one


@contextmanager
def mosquitto(directory: Path, port: int, *lines: str) -> Iterator[Path]:
    """A broker with these lines in its configuration; its log."""
    config, log = directory / "mosquitto.conf", directory / "mosquitto.log"
    config.write_text("\n".join([f"listener {port} 127.0.0.1", "user root", *lines, ""]))
    with log.open("wb") as out:
        process = subprocess.Popen([find_mosquitto(), "-c", config, "-v"], stderr=out, stdout=out)
        try:
            deadline = time.monotonic() + 10
            while b" running" not in log.read_bytes():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.01)
            yield log
        finally:
            process.terminate()
            process.wait(10)


def tls(directory: Path, *more: str) -> list[str]:
    return [
        f"cafile {directory}/ca.crt", f"certfile {directory}/broker.crt",
        f"keyfile {directory}/broker.key", "require_certificate true",
        "use_identity_as_username true", *more,
    ]  # fmt: skip


def settings(directory: Path, port: int, name: str = AGENT, ca: str = "ca") -> MqttSettings:
    return MqttSettings(
        "127.0.0.1",
        port,
        ca_file=str(directory / f"{ca}.crt"),
        cert_file=str(directory / f"{name}.crt"),
        key_file=str(directory / f"{name}.key"),
        connect_timeout_s=2.0,
    )


def look(mqtt: MqttSettings, agent: RunningAgent | None = None) -> dict[str, Finding]:
    return {one.subject: one for one in check_broker(AGENT, mqtt, agent)}


# ---- the broker, step by step


def test_every_step_to_a_broker_that_takes_us(
    authority: Authority, tmp_path: Path, port: int
) -> None:
    with mosquitto(tmp_path, port, *tls(tmp_path)) as log:
        found = look(settings(tmp_path, port))
    assert {name: one.state for name, one in found.items()} == {
        "broker's TLS": State.OK,
        "MQTT": State.OK,
    }
    assert "TLSv1.3, the broker's certificate holds for 36" in found["broker's TLS"].found
    assert f"as {AGENT}-doctor (p5, c0, k30, u'{AGENT}')" in log.read_text()


def test_the_running_agents_connection_is_left_alone(
    authority: Authority, tmp_path: Path, port: int
) -> None:
    """The broker makes the client id of the certificate: a second client would end the first."""
    lines = tls(tmp_path, "use_username_as_clientid true")
    mqtt = settings(tmp_path, port)

    async def story() -> None:
        async with running(tmp_path / "agent", port, mqtt=mqtt) as agent:
            await until(lambda: agent.uplink.connected, "connected")
            seen = RunningAgent(replace(snapshot(), connected=True))
            found = await asyncio.to_thread(look, mqtt, seen)
            assert found["MQTT"].found == "the running agent is connected"
            assert found["broker's TLS"].state is State.OK
            assert agent.uplink.connected
            assert agent.uplink.counts()["mqtt_lost"] == 0

    with mosquitto(tmp_path, port, *lines):
        asyncio.run(story())


@pytest.mark.parametrize(("days", "state"), [(20, State.WARNING), (40, State.OK)])
def test_a_brokers_certificate_that_ends_soon_is_told(
    tmp_path: Path, port: int, days: int, state: State
) -> None:
    authority = Authority(tmp_path)
    authority.issue("broker", days=days)
    authority.issue(AGENT)
    with mosquitto(tmp_path, port, *tls(tmp_path)):
        assert look(settings(tmp_path, port))["broker's TLS"].state is state


def test_an_expired_one_and_one_of_a_stranger_are_not_believed(tmp_path: Path, port: int) -> None:
    authority = Authority(tmp_path)
    authority.issue(AGENT)
    Authority(tmp_path, "stranger")
    authority.issue("broker", days=-1, since_days=3)
    with mosquitto(tmp_path, port, *tls(tmp_path)):
        expired = look(settings(tmp_path, port))["broker's TLS"]
        strange = look(settings(tmp_path, port, ca="stranger"))["broker's TLS"]
    assert (expired.state, "expired" in expired.found) == (State.FAILED, True)
    assert "clock" in expired.todo
    assert (strange.state, "stranger.crt" in strange.todo) == (State.FAILED, True)


def test_a_certificate_that_the_broker_does_not_know_is_its_refusal(
    authority: Authority, tmp_path: Path, port: int
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Authority(other).issue(AGENT)
    mqtt = replace(settings(other, port), ca_file=str(tmp_path / "ca.crt"))
    with mosquitto(tmp_path, port, *tls(tmp_path)):
        found = look(mqtt)
    assert found["MQTT"].state is State.FAILED
    assert "does it trust who signed our certificate" in found["MQTT"].todo


def test_a_wrong_password_is_said_in_the_brokers_words(tmp_path: Path, port: int) -> None:
    passwords, given = tmp_path / "passwords", tmp_path / "given"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", passwords, "farm", "right"],
        check=True,
        capture_output=True,
    )
    mqtt = MqttSettings("127.0.0.1", port, username="farm", password_file=str(given))
    with mosquitto(tmp_path, port, "allow_anonymous false", f"password_file {passwords}"):
        given.write_text("wrong\n")
        refused = look(mqtt)["MQTT"]
        given.write_text("right\n")
        assert look(mqtt)["MQTT"].state is State.OK
    assert (refused.state, "Not authorized" in refused.found) == (State.FAILED, True)
    assert "password_file" in refused.todo


def test_no_broker_no_tls_no_name_and_no_answer_are_told_apart(
    authority: Authority, tmp_path: Path, port: int
) -> None:
    mqtt = settings(tmp_path, port)
    assert "refused the connection" in look(mqtt)["broker"].found
    nameless = look(replace(mqtt, host="no-such-broker.invalid"))["broker"]
    assert "cannot be resolved" in nameless.found
    with mosquitto(tmp_path, port, "allow_anonymous true"):
        plain = look(mqtt)["broker's TLS"]
    assert (plain.state, "8883" in plain.todo) == (State.FAILED, True)
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:  # takes connections, says nothing
        quiet = MqttSettings("127.0.0.1", mute.getsockname()[1], connect_timeout_s=0.3)
        assert look(quiet)["MQTT"].state is State.FAILED


def test_the_doctor_leaves_no_session_and_no_message_at_the_broker(
    authority: Authority, tmp_path: Path, port: int
) -> None:
    with mosquitto(tmp_path, port, *tls(tmp_path), "sys_interval 1"):
        look(settings(tmp_path, port))
        common = [
            "-h", "127.0.0.1", "-p", str(port), "-V", "5", "-i", "watch",
            "--cafile", tmp_path / "ca.crt",
            "--cert", tmp_path / f"{AGENT}.crt", "--key", tmp_path / f"{AGENT}.key",
        ]  # fmt: skip
        seen = subprocess.run(
            ["mosquitto_sub", *common, "-t", "solar/#", "-t", "$SYS/broker/clients/total",
             "-W", "4", "-F", "%t %p"],
            capture_output=True, text=True,
        )  # fmt: skip
    assert "solar/" not in seen.stdout
    assert seen.stdout.splitlines()[-1] == "$SYS/broker/clients/total 1", "the watcher alone"


# ---- the command


def site(directory: Path, *, mqtt: str, more: str = "", local_port: int = 8437) -> Path:
    config = directory / "site.toml"
    config.write_text(
        f"""[agent]
id = "{AGENT}"
data_dir = {json.dumps(str(directory / "data"))}
run_dir = {json.dumps(str(directory / "run"))}
status_every_s = 0.2

[site]
latitude = 48.1
longitude = 11.5
dc_capacity_w = 6000
ac_capacity_w = 5000

[clock]
trust = "always"

[local]
port = {local_port}

[journal]
max_bytes = 20000000
{more}
{mqtt}""",
        encoding="utf-8",
    )
    return config


def inverter(port: int) -> str:
    return f"""
[[devices]]
name = "roof"
role = "inverter"
protocol = "modbus-tcp"
profile = "sunspec"
host = "127.0.0.1"
port = {port}
poll_s = 1
"""


def constant_power(file: Path, watts: float) -> Path:
    now = time.time() // 900 * 900
    times = (datetime.fromtimestamp(now + 900 * k, UTC).isoformat() for k in range(-100, 100))
    file.write_text(
        "".join(["timestamp,ac_power,load_power\n", *(f"{one},{watts},0\n" for one in times)])
    )
    return file


def doctor(config: Path) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [EDGE, "doctor", "--config", config, "--json"], capture_output=True, text=True, timeout=100
    )
    return done.returncode, json.loads(done.stdout)


def states(body: dict[str, Any]) -> dict[str, str]:
    return {one["subject"]: one["state"] for one in body["findings"]}


def traces(directory: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_a_box_before_its_first_start_is_told_what_is_missing_and_nothing_is_made(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    mqtt = f'[mqtt]\nhost = "127.0.0.1"\nport = {free_port()}\n'
    devices = inverter(free_port()) + (
        '\n[[devices]]\nname = "meter"\nrole = "meter"\nprotocol = "modbus-rtu"\n'
        'profile = "eastron-sdm630"\nserial_port = "/dev/ttyUSB77"\n'
    )
    bundles = (
        f"[bundles]\ndirectory = {json.dumps(str(tmp_path / 'bundles'))}\n"
        f"root_file = {json.dumps(str(tmp_path / 'root.json'))}\n"
    )
    config = site(tmp_path, mqtt=mqtt, more=devices + bundles, local_port=free_port())
    before = traces(tmp_path)
    code, body = doctor(config)
    assert traces(tmp_path) == before
    assert not (tmp_path / "data").exists()
    found = states(body)
    assert code == 1
    assert {name for name, state in found.items() if state == "failed"} >= {
        "broker", "root_file", "/dev/ttyUSB77 (meter)",
    }  # fmt: skip
    assert any(name.endswith("(roof)") and state == "failed" for name, state in found.items())
    for name in ("settings", "clock", "time", "data_dir", "disk", "model runtimes", "local page"):
        assert found[name] == "ok", (name, body)
    assert all(one["todo"] for one in body["findings"] if one["state"] != "ok")


def test_a_user_who_may_not_look_is_told_whom_to_be(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    """As on an installed box: what the agent keeps is its own user's."""
    mqtt = f'[mqtt]\nhost = "127.0.0.1"\nport = {free_port()}\n'
    config = site(tmp_path, mqtt=mqtt, more=inverter(free_port()), local_port=free_port())
    for name in ("data", "run"):
        (tmp_path / name).mkdir(mode=0)
    # Root opens everything, unless it has given that up.
    plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    done = subprocess.run(
        [*(plain if os.geteuid() == 0 else []), EDGE, "doctor", "--config", config, "--json"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    for name in ("data", "run"):
        (tmp_path / name).chmod(0o700)
    assert done.returncode == 1, done.stderr
    found = {one["subject"]: one for one in json.loads(done.stdout)["findings"]}
    assert "may not look into" in found["user"]["found"]
    assert "sudo -u" in found["user"]["todo"]
    assert found["data_dir"]["state"] == "failed"
    assert found["model runtimes"]["state"] == "ok", "the others are looked at all the same"


def test_a_wrong_setting_names_file_line_and_key_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    config = site(tmp_path, mqtt='[mqtt]\nhots = "127.0.0.1"\n', more=inverter(502))
    code, body = doctor(config)
    first = body["findings"][0]
    assert (code, first["subject"], first["state"]) == (1, "settings", "failed")
    assert "site.toml:" in first["found"]
    assert "mqtt.hots" in first["found"]
    assert states(body).keys() >= {"clock", "memory", "service", "model runtimes"}


def test_the_table_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [EDGE, "doctor", "--config", tmp_path / "none.toml"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "✗ FAILED" in done.stdout
    assert "→ correct it" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_beside_a_running_agent_all_is_well_and_its_metrics_and_page_are_there(
    authority: Authority, tmp_path: Path, port: int, free_port: Callable[[], int]
) -> None:
    """Agent, device, broker with TLS and doctor as processes of their own."""
    import httpx
    from prometheus_client.parser import text_string_to_metric_families

    device_port, local_port = free_port(), free_port()
    mqtt = (
        f'[mqtt]\nhost = "127.0.0.1"\nport = {port}\n'
        f"ca_file = {json.dumps(str(tmp_path / 'ca.crt'))}\n"
        f"cert_file = {json.dumps(str(tmp_path / f'{AGENT}.crt'))}\n"
        f"key_file = {json.dumps(str(tmp_path / f'{AGENT}.key'))}\n"
    )
    config = site(tmp_path, mqtt=mqtt, more=inverter(device_port), local_port=local_port)
    (tmp_path / "run").mkdir()
    page = f"http://127.0.0.1:{local_port}"
    simulate = [EDGE, "simulate", "--device", f"sunspec@tcp:{device_port}", "--one-connection"]
    simulate += ["--series", constant_power(tmp_path / "series.csv", 1500.0)]
    with (
        mosquitto(tmp_path, port, *tls(tmp_path)),
        subprocess.Popen(simulate, stdout=subprocess.PIPE) as device,
        (tmp_path / "agent.log").open("wb") as log,
        ExitStack() as stack,
    ):
        try:
            assert device.stdout is not None
            assert device.stdout.readline(), "the device is there before the agent asks"
            run = [EDGE, "run", "--config", config]
            agent = stack.enter_context(subprocess.Popen(run, stderr=log))
            stack.callback(agent.terminate)
            deadline = time.monotonic() + 60
            while True:
                assert time.monotonic() < deadline, (tmp_path / "agent.log").read_text()
                try:
                    told = httpx.get(f"{page}/status.json").json()
                except httpx.HTTPError:
                    told = {"connected": False}
                if told["connected"] and told["site"]["ac_power"]:
                    break
                time.sleep(0.1)
            code, body = doctor(config)
            found = states(body)
            families = {
                sample.name
                for family in text_string_to_metric_families(httpx.get(f"{page}/metrics").text)
                for sample in family.samples
            }
            after = httpx.get(f"{page}/status.json").json()
        finally:
            stack.close()
            device.terminate()
    bad = [one for one in body["findings"] if one["state"] == "failed"]
    assert (code, bad) == (0, [])
    for name in ("broker's TLS", "MQTT", "local page", "key_file", "journal.sqlite"):
        assert found[name] == "ok", body
    assert found[f"127.0.0.1:{device_port} (roof)"] == "ok"
    assert 1200 < after["site"]["ac_power"] < 1800
    counters = after["status"]["counters"]
    assert counters["mqtt_lost"] == 0
    assert counters["roof_failures"] == 0, "the device's only connection stays the agent's"
    assert {
        "solar_edge_value", "solar_edge_device_polls_total", "solar_edge_loop_age_seconds",
        "solar_edge_resident_memory_bytes", "solar_edge_clock_trusted",
        "solar_edge_journal_pending_entries", "solar_edge_line_requests_total",
    } <= families  # fmt: skip
