"""``solar-edge simulate | scan | read | decode`` as a person runs them: real processes, ports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser import browse, text_of

SERIES = """timestamp,ac_power,load_power,temp_air
2024-06-01T00:00:00Z,3000,500,20
2034-06-01T00:00:00Z,3000,500,20
"""
EDGE = [sys.executable, "-m", "edge_agent.cli"]


@pytest.fixture
def series(tmp_path: Path) -> Path:
    file = tmp_path / "series.csv"
    file.write_text(SERIES)
    return file


def site_file(folder: Path, devices: str) -> Path:
    """Settings with these devices and nothing else of note."""
    head = Path("docs/operations/site.example.toml").read_text().split("[[devices]]")[0]
    head = head.replace("/var/lib/solar-edge", str(folder / "data"))
    config = folder / "site.toml"
    config.write_text(f'{head}\n{devices}\n[mqtt]\nhost = "localhost"\n')
    return config


def edge(*arguments: object, code: int = 0) -> str:
    """Output of a command that ends with ``code``."""
    done = subprocess.run(
        [*EDGE, *map(str, arguments)], capture_output=True, text=True, timeout=90, check=False,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code != 2 else done.stderr


@contextmanager
def simulated(*arguments: object) -> Iterator[list[str]]:
    """Devices, ready; gives the lines that they announced themselves with."""
    process = subprocess.Popen(
        [*EDGE, "simulate", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    wanted = sum(argument == "--device" for argument in arguments)
    lines: list[str] = []
    try:
        assert process.stdout is not None
        while sum("unit" in line for line in lines) < wanted:
            line = process.stdout.readline()
            assert line, "the simulator ended"
            lines.append(line.strip())
        yield lines
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        if process.stdout is not None:
            process.stdout.close()


def test_scan_finds_and_tells_devices_and_writes_a_report(
    series: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port, report = free_port(), tmp_path / "site.html"
    with simulated("--series", series, "--device", f"sunspec@tcp:{port}"):
        found = json.loads(
            edge("scan", "--host", "127.0.0.1", "--port", port, "--units", "1-2",
                 "--timeout-s", 0.3, "--report", report, "--json")
        )  # fmt: skip
    (unit,) = found["found"]
    best = unit["candidates"][0]
    assert (unit["unit"], best["profile"], best["certain"]) == (1, "sunspec", True)
    assert (best["manufacturer"], best["serial_number"]) == ("Solar Sharing", "SIM-0001")
    assert best["readings"]["ac_power"] == {"value": 3000.0, "unit": "W", "quality": "good"}
    assert 'profile = "sunspec"' in found["settings"]
    assert f"port = {port}" in found["settings"]
    text = report.read_text()
    assert "Solar Sharing" in text
    assert "<script" not in text


def test_scan_tells_a_meter_on_a_serial_line_by_its_frequency_in_whatever_word_order(
    series: Path, tmp_path: Path
) -> None:
    swapped = tmp_path / "swapped.toml"
    shipped = Path("firmware_bridge/profiles/eastron-sdm630.toml").read_text()
    swapped.write_text(shipped.replace('type = "float32"', 'type = "float32"\norder = "CDAB"'))
    link = tmp_path / "line"
    for profile, order in (("eastron-sdm630", None), (swapped, "CDAB")):
        with simulated("--series", series, "--device", f"{profile}@pty:{link}/7"):
            found = json.loads(
                edge("scan", "--serial-port", link, "--units", "6-8", "--timeout-s", 0.3, "--json")
            )
        (unit,) = found["found"]
        assert unit["unit"] == 7
        candidates = {(one["profile"], one["word_order"]) for one in unit["candidates"]}
        assert ("eastron-sdm630", order) in candidates
        assert not any(one["certain"] for one in unit["candidates"])
        assert "a guess" in found["settings"]


def test_scan_of_nobody_says_what_to_check(free_port: Callable[[], int]) -> None:
    text = edge("scan", "--host", "127.0.0.1", "--port", free_port(), "--units", "1", code=1)
    assert "cannot connect" in text


@pytest.mark.browser
def test_the_site_report_in_a_browser(
    series: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port, report = free_port(), tmp_path / "site.html"
    with simulated("--series", series, "--device", f"solaredge@tcp:{port}/1-2"):
        edge("scan", "--host", "127.0.0.1", "--port", port, "--units", "1,2,3",
             "--timeout-s", 0.3, "--report", report)  # fmt: skip
    text = text_of(browse(report.as_uri(), tmp_path / "profile"))
    for said in ("Unit 1: Solar Sharing", "Unit 2:", "ac_power", "3,000", "Proposed settings"):
        assert said in text
    assert "3 unit addresses asked, 2 answered" in text


def test_read_shows_values_details_and_failures(
    series: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    config = site_file(
        tmp_path,
        f"""
[[devices]]
name = "inverter"
role = "inverter"
protocol = "modbus-tcp"
profile = "sunspec"
host = "127.0.0.1"
port = {port}

[[devices]]
name = "dead"
role = "meter"
protocol = "modbus-rtu"
profile = "eastron-sdm630"
serial_port = "{tmp_path}/nothing"
""",
    )
    with simulated("--series", series, "--device", f"sunspec@tcp:{port}"):
        body = json.loads(edge("read", "--config", config, "--json", "--all", code=1))
        table = edge("read", "--config", config, "--device", "inverter")
    inverter = body["devices"]["inverter"]
    assert inverter["readings"]["ac_power"]["value"] == 3000.0
    assert inverter["details"]["model1_mn"]["value"] == "Solar Sharing"
    assert "cannot open serial port" in body["failures"]["dead"]
    assert "ac_power" in table


def test_an_overfull_line_keeps_the_agent_from_starting(tmp_path: Path) -> None:
    meters = "".join(
        f"""
[[devices]]
name = "m-{n}"
role = "sensor"
protocol = "modbus-rtu"
profile = "eastron-sdm630"
serial_port = "/dev/ttyUSB0"
unit = {n}
poll_s = 0.5
"""
        for n in range(1, 6)
    )
    config = site_file(tmp_path, meters)
    (tmp_path / "data").mkdir()
    said = edge("run", "--config", config, code=2)
    assert "70% are allowed" in said
    assert "m-5" in said


def test_a_recording_is_replayed_to_whoever_asks_the_same(
    tmp_path: Path, data_dir: Path, free_port: Callable[[], int]
) -> None:
    trace = data_dir / "devices" / "modbus-traces" / "eastron_sdm_modbus_rtu.txt"
    link = tmp_path / "line"
    own = tmp_path / "own.toml"
    own.write_text(
        """name = "own"
manufacturer = "Eastron"
model = "as recorded"
kind = "meter"
protocol = "modbus"
[[sources]]
name = "the recording"
status = "verified"
covers = ["ac_voltage_l1"]
[requests]
function = 4
[identity]
quantity = "ac_voltage_l1"
lowest = 200.0
highest = 260.0
[[registers]]
quantity = "ac_voltage_l1"
address = 0
type = "float32"
"""
    )
    config = site_file(
        tmp_path,
        f"""
[[devices]]
name = "meter"
role = "meter"
protocol = "modbus-rtu"
profile = "{own}"
serial_port = "{link}"
frame_gap_ms = 0
""",
    )
    with simulated("--device", f"replay:{trace}@pty:{link}"):
        body = json.loads(edge("read", "--config", config, "--json"))
    value = body["devices"]["meter"]["readings"]["ac_voltage_l1"]
    assert value["value"] == pytest.approx(231.685, abs=1e-3)


@pytest.mark.parametrize(
    ("device", "protocol", "quantity"),
    [
        ("goodwe-et@udp:{port}/247", "goodwe-udp", "ac_power"),
        ("goodwe-es@udp:{port}", "goodwe-udp", "ac_power"),
        ("dsmr-p1@tcp:{port}", "tcp", "grid_power"),
        ("sensor-node@tcp:{port}", "tcp", "poa_global"),
        ("sunspec-meter@tcp:{port}", "modbus-tcp", "grid_power"),
        ("eastron-sdm630@rtu-tcp:{port}", "modbus-rtu-tcp", "grid_power"),
    ],
)
def test_every_protocol_is_simulated_and_read(
    series: Path, tmp_path: Path, free_port: Callable[[], int],
    device: str, protocol: str, quantity: str,
) -> None:  # fmt: skip
    port = free_port()
    config = site_file(
        tmp_path,
        f"""
[[devices]]
name = "one"
role = "sensor"
protocol = "{protocol}"
profile = "{device.partition("@")[0]}"
host = "127.0.0.1"
port = {port}
""",
    )
    with simulated("--series", series, "--device", device.format(port=port)):
        body = json.loads(edge("read", "--config", config, "--json"))
    value: dict[str, Any] = body["devices"]["one"]["readings"][quantity]
    assert value["quality"] == "good", value
    expected = {"ac_power": 3000, "grid_power": -2500, "poa_global": 1000}[quantity]
    assert value["value"] == pytest.approx(expected, rel=0.01)


def test_faults_on_request_are_made_and_caught(
    series: Path, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    config = site_file(
        tmp_path,
        f"""
[[devices]]
name = "inverter"
role = "inverter"
protocol = "modbus-tcp"
profile = "sunspec"
host = "127.0.0.1"
port = {port}
timeout_s = 0.3
""",
    )
    arguments = ("--series", series, "--device", f"sunspec@tcp:{port}", "--fault", "wrong_unit=1")
    with simulated(*arguments):
        body = json.loads(edge("read", "--config", config, "--json", code=1))
    assert "reply of unit 2, not of unit 1" in body["failures"]["inverter"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("simulate", "--device", "sunspec"), "PROFILE@KIND:WHERE"),
        (("simulate", "--device", "nothing@tcp:1502"), "'nothing' is unknown"),
        (("simulate", "--device", "sunspec@tcp:0"), "needs a power series"),
        (("simulate", "--device", "sunspec@tcp:0", "--fault", "late=2"), "from 0 to 1"),
        (("scan",), "either --host or --serial-port"),
        (("scan", "--host", "x", "--units", "a"), "write 1-247"),
        (("decode", "--profile", "sunspec", "/nowhere"), "cannot be read"),
        (("decode", "--profile", "sunspec", "--address", "x", "README.md"), "no whole number"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    assert said in " ".join(edge(*arguments, code=2).replace("│", " ").split())


def test_decode_prints_json_a_table_and_reasons(data_dir: Path, tmp_path: Path) -> None:
    trace = data_dir / "devices" / "modbus-traces" / "solaredge_se5000h_modbus_tcp.txt"
    body = json.loads(edge("decode", "--profile", "solaredge", trace))
    assert body["readings"]["ac_power"] == {
        "value": 1395.0, "unit": "W", "quality": "good", "raw": "367e",
    }  # fmt: skip
    table = edge("decode", "--profile", "solaredge", trace, "--table")
    assert "not implemented by the device" in table
    damaged = tmp_path / "damaged.hex"
    damaged.write_text("01 04 04 43 67 af 55 e2 11")
    refused = json.loads(
        edge("decode", "--profile", "eastron-sdm630", "--address", "0", damaged, code=1)
    )
    assert "checksum" in refused["refused"][0]["reason"]
    assert refused["readings"] == {}


def test_the_simulator_ends_at_once_when_told(series: Path, free_port: Callable[[], int]) -> None:
    begun = time.monotonic()
    with simulated("--series", series, "--device", f"sunspec@tcp:{free_port()}"):
        pass
    assert time.monotonic() - begun < 30
