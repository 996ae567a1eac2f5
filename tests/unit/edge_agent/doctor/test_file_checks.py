"""Certificates, keys, passwords and the TUF root as real files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.doctor.file_checks import check_mqtt_files, check_tuf_root
from edge_agent.doctor.finding import Finding, State
from edge_agent.uplink.mqtt_client import MqttSettings
from tests.unit.edge_agent.doctor.authority import Authority


def settings(directory: Path, **changes: object) -> MqttSettings:
    files = {
        "ca_file": str(directory / "ca.crt"),
        "cert_file": str(directory / "farm.crt"),
        "key_file": str(directory / "farm.key"),
    }
    return MqttSettings("broker.example", 8883, **{**files, **changes})  # type: ignore[arg-type]


def look(directory: Path, **changes: object) -> dict[str, Finding]:
    found = check_mqtt_files("farm", settings(directory, **changes))
    return {one.subject: one for one in found}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_all_is_well(authority: Authority, tmp_path: Path) -> None:
    authority.issue("farm")
    found = look(tmp_path)
    assert {name: one.state for name, one in found.items()} == dict.fromkeys(
        ("ca_file", "cert_file", "key_file"), State.OK
    )
    assert "holds for 36" in found["cert_file"].found


@pytest.mark.parametrize(
    ("days", "since_days", "state", "says"),
    [
        (29, 1, State.WARNING, "holds for 29 days"),
        (31, 1, State.OK, "holds for 31 days"),
        (-1, 3, State.FAILED, "has expired on"),
        (9, -2, State.FAILED, "holds from"),
    ],
)
def test_expiry_is_told_in_time(
    authority: Authority, tmp_path: Path, days: float, since_days: float, state: State, says: str
) -> None:
    authority.issue("farm", days=days + 0.01, since_days=since_days)
    finding = look(tmp_path)["cert_file"]
    assert (finding.state, says in finding.found) == (state, True), finding
    if days < 0:
        assert "clock" in finding.todo


def test_a_certificate_of_another_box_is_named(authority: Authority, tmp_path: Path) -> None:
    authority.issue("barn")
    found = look(
        tmp_path, cert_file=str(tmp_path / "barn.crt"), key_file=str(tmp_path / "barn.key")
    )
    assert found["cert_file"].state is State.WARNING
    assert "names barn, the settings farm" in found["cert_file"].found


def test_a_key_of_another_certificate_is_found(authority: Authority, tmp_path: Path) -> None:
    authority.issue("farm")
    authority.issue("barn")
    finding = look(tmp_path, key_file=str(tmp_path / "barn.key"))["key_file"]
    assert (finding.state, "does not belong to" in finding.found) == (State.FAILED, True)


def test_a_key_that_everybody_reads_fails_and_says_the_command(
    authority: Authority, tmp_path: Path
) -> None:
    authority.issue("farm")
    (tmp_path / "farm.key").chmod(0o644)
    finding = look(tmp_path)["key_file"]
    assert (finding.state, finding.todo) == (State.FAILED, f"chmod o= {tmp_path}/farm.key")
    (tmp_path / "farm.key").chmod(0o640)  # as installed: the agent's group reads it
    assert look(tmp_path)["key_file"].state is State.OK


@pytest.mark.parametrize("content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_files_that_are_none_are_named(authority: Authority, tmp_path: Path, content: str) -> None:
    authority.issue("farm")
    for name, subject in (
        ("ca.crt", "ca_file"),
        ("farm.crt", "cert_file"),
        ("farm.key", "key_file"),
    ):
        file = tmp_path / name
        before = file.read_text()
        file.write_text(content)
        finding = look(tmp_path)[subject]
        assert (finding.state, str(file) in finding.found) == (State.FAILED, True)
        file.write_text(before)
        file_is_gone = tmp_path / "gone"
        finding = look(tmp_path, **{subject: str(file_is_gone)})[subject]
        assert (finding.state, "No such file" in finding.found) == (State.FAILED, True)


def test_no_tls_is_fine_on_this_box_alone(tmp_path: Path) -> None:
    (near,) = check_mqtt_files("farm", MqttSettings("127.0.0.1"))
    (far,) = check_mqtt_files("farm", MqttSettings("broker.example"))
    assert (near.state, far.state) == (State.OK, State.WARNING)


def test_passwords(tmp_path: Path) -> None:
    file = tmp_path / "password"

    def state() -> State:
        mqtt = MqttSettings("127.0.0.1", username="farm", password_file=str(file))
        return list(check_mqtt_files("farm", mqtt))[-1].state

    assert state() is State.FAILED
    file.touch(mode=0o600)
    assert state() is State.FAILED
    file.write_text("secret\n")
    assert state() is State.OK
    file.chmod(0o604)
    assert state() is State.FAILED


ROLES = {
    name: {"keyids": ["a"], "threshold": 1} for name in ("root", "timestamp", "snapshot", "targets")
}


@pytest.mark.parametrize(
    ("body", "state"),
    [
        ({"signed": {"_type": "root", "version": 1, "roles": ROLES}}, State.OK),
        ({"signed": {"_type": "timestamp", "version": 1, "roles": ROLES}}, State.FAILED),
        ({"signed": {"_type": "root", "roles": ROLES | {"root": {"keyids": []}}}}, State.FAILED),
        ({"signed": []}, State.FAILED),
        ([], State.FAILED),
    ],
)
def test_a_tuf_root_is_one(tmp_path: Path, body: object, state: State) -> None:
    file = tmp_path / "root.json"
    file.write_text(json.dumps(body))
    (finding,) = check_tuf_root(file)
    assert finding.state is state


def test_a_tuf_root_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (gone,) = check_tuf_root(tmp_path / "root.json")
    (tmp_path / "root.json").write_text("{")
    (cut,) = check_tuf_root(tmp_path / "root.json")
    assert (gone.state, cut.state) == (State.FAILED, State.FAILED)
    assert "root.json" in gone.found
