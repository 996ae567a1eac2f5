"""What real devices sent (data: devices/) decodes to what it meant; nothing else is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.decoding import decode_content
from firmware_bridge.errors import DeviceError, PermanentDeviceError
from firmware_bridge.flight import SEND, parse_recording
from firmware_bridge.profile import load_profile
from firmware_bridge.recorded import read_request, replies_of, reply_to
from firmware_bridge.sunspec.definitions import definition
from firmware_bridge.sunspec.meaning import ModelImage, decode_device
from firmware_bridge.sunspec.points import Value, decode_model, encode_model


@pytest.fixture
def devices(data_dir: Path) -> Path:
    return data_dir / "devices"


def decoded(profile: str, file: Path, **given: Any) -> dict[str, Any]:
    """What ``solar-edge decode`` prints for a file."""
    return decode_content(profile, file.read_bytes(), file=file.name, **given).to_json()


def numbers(body: dict[str, Any]) -> dict[str, float]:
    return {name: one["value"] for name, one in body["readings"].items()}


@pytest.mark.parametrize(
    ("name", "replies"),
    [("eastron_sdm_modbus_rtu", 7), ("kostal_piko_iq55_modbus_tcp", 3),
     ("solaredge_se5000h_modbus_tcp", 4)],
)  # fmt: skip
def test_every_recorded_reply_is_believed_and_no_damaged_one(
    devices: Path, name: str, replies: int
) -> None:
    text = (devices / "modbus-traces" / f"{name}.txt").read_text()
    recording = parse_recording(text, name)
    found = replies_of(recording)
    assert len(found.blocks) == replies
    assert not found.refused
    pairs = [
        (read_request(one.data), other.data)
        for one, other in zip(recording.entries, recording.entries[1:], strict=False)
        if one.kind == SEND and other.kind != SEND
    ]
    is_rtu = name.endswith("rtu")
    for request, reply in pairs:
        assert reply_to(request, reply).data
        for size in range(len(reply)):
            with pytest.raises(DeviceError):
                reply_to(request, reply[:size])
        # Modbus TCP has no checksum: only damage of its head can be seen.
        for bit in range(len(reply) * 8 if is_rtu else 9 * 8):
            damaged = bytearray(reply)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(DeviceError):
                reply_to(request, bytes(damaged))


def test_eastron_voltage_and_currents_of_two_meters(devices: Path) -> None:
    file = devices / "modbus-traces" / "eastron_sdm_modbus_rtu.txt"
    body = decoded("eastron-sdm630", file)
    assert body["units"] == [1, 2]
    assert body["readings"] == {}  # two meters are not one
    first, second = body["rounds"]
    assert numbers(first)["ac_voltage_l1"] == pytest.approx(231.685, abs=1e-3)
    assert numbers(first)["ac_current_l2"] == pytest.approx(4.2805, abs=1e-3)
    assert numbers(second)["ac_current_l2"] == pytest.approx(4.3568, abs=1e-3)


@pytest.mark.parametrize("profile", ["sunspec", "solaredge"])
def test_solaredge_values_agree_with_each_other(devices: Path, profile: str) -> None:
    body = decoded(profile, devices / "modbus-traces" / "solaredge_se5000h_modbus_tcp.txt")
    value = numbers(body)
    assert value["ac_power"] == 1395.0
    assert value["ac_voltage"] == 235.7
    assert value["ac_current"] == 5.92
    assert value["frequency"] == 49.987
    assert value["ac_energy"] == 14_676_442
    assert value["dc_power"] == 1416.3
    assert value["dc_voltage"] == 410.5
    assert value["dc_current"] == 3.45
    assert value["reactive_power"] == -94.42
    assert value["power_factor"] == pytest.approx(-0.9977)
    assert value["inverter_state"] == 4
    # it has a heat sink sensor only, and one phase
    assert body["readings"]["temp_inverter"]["quality"] == "missing"
    assert "not implemented" in body["readings"]["ac_voltage_l2"]["reason"]
    assert body["details"]["model101_tmpsnk"]["value"] == 41.69
    # volts times amperes, measured apart from the powers
    assert pytest.approx(1398.2, rel=0.005) == 235.7 * 5.92
    assert pytest.approx(1416.3, rel=0.001) == 410.5 * 3.45


def test_a_lone_sunspec_body_is_told_by_its_length(devices: Path, tmp_path: Path) -> None:
    text = (devices / "modbus-traces" / "solaredge_se5000h_modbus_tcp.txt").read_text()
    reply = next(line for line in text.splitlines() if line.startswith("recv 00 fc"))
    lone = tmp_path / "reply.hex"
    lone.write_text(reply.removeprefix("recv "))
    assert numbers(decoded("sunspec", lone, address=40_071))["ac_power"] == 1395.0
    request = "00 fc 00 00 00 06 01 03 9c 87 00 32"
    assert numbers(decoded("sunspec", lone, request=request))["ac_power"] == 1395.0
    other = decode_content("sunspec", lone.read_bytes(), request=request.replace("00 fc", "00 fd"))
    assert not other.rounds
    assert "reply to request 252, not to 253" in other.refused[0].reason


def test_kostal_says_who_it_is(devices: Path) -> None:
    body = decoded("sunspec", devices / "modbus-traces" / "kostal_piko_iq55_modbus_tcp.txt")
    texts = {name: detail["value"] for name, detail in body["details"].items()}
    assert texts["model1_mn"] == "KOSTAL"
    assert texts["model1_md"] == "PIKO IQ5.5"
    assert texts["model1_vr"] == "01.27.09932"
    assert set(texts["model1_sn"]) == {"0"}


def test_kostal_plenticore_values_as_another_program_printed_them(devices: Path) -> None:
    file = devices / "sunspec-value-dumps" / "kostal_plenticore_plus8_model103.txt"
    printed: dict[str, Value] = {}
    for line in file.read_text().splitlines():
        name, *rest = line.split()
        if rest and rest[-1] in ("int16", "uint16", "acc32", "sunssf"):
            printed[name] = None if rest[0] == "n/a" else float(rest[0])
    model = definition(103)
    assert model is not None
    image = encode_model(model, printed)
    back = decode_model(model, image)
    assert {name: back[name] for name in printed if name in back} == {
        name: value for name, value in printed.items() if name in back
    }
    readings = decode_device([ModelImage(model, image)]).readings
    assert readings["ac_power"].value == 940.0
    assert readings["frequency"].value == 49.99
    assert readings["ac_current_l1"].value == 1.46
    assert readings["ac_voltage_l2"].value == 229.1
    assert readings["ac_energy"].value == 56_985_670.0
    assert readings["dc_current"].value is None
    # this device sends the plain factor: 940 W of 978 VA are 0.96, not 0.01
    assert readings["power_factor"].quality.value == "suspect"


@pytest.mark.parametrize("kind", ["et", "dt", "es"])
def test_every_goodwe_reply_decodes_without_its_request(devices: Path, kind: str) -> None:
    files = sorted((devices / "goodwe-modbus-replies" / kind).glob("*.hex"))
    assert files
    for file in files:
        body = decoded(f"goodwe-{kind}", file)
        assert not body["refused"], file.name
        assert body["readings"] or body["details"], file.name


def test_every_telegram_decodes(devices: Path) -> None:
    files = sorted((devices / "dsmr-p1").glob("*.txt"))
    assert len(files) == 8
    for file in files:
        body = decoded("dsmr-p1", file)
        assert not body["refused"], file.name
        assert body["readings"] or body["details"], file.name


def test_a_flight_recording_of_several_polls_gives_rounds(devices: Path, tmp_path: Path) -> None:
    text = (devices / "modbus-traces" / "eastron_sdm_modbus_rtu.txt").read_text()
    lines = [line for line in text.splitlines() if line.startswith(("send 01", "recv 01"))]
    twice = tmp_path / "twice.txt"
    twice.write_text("\n".join(lines * 2))
    body = decoded("eastron-sdm630", twice)
    assert len(body["rounds"]) == 2
    assert body["rounds"][0]["readings"] == body["rounds"][1]["readings"] == body["readings"]


# -- files that cannot be decoded


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello world", "not the bytes of a frame in hexadecimal"),
        (b"01 04 0", "not the bytes of a frame"),
        (b"send 01 04\nrecv xx", r"x\.hex:2"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_its_place(
    content: bytes, message: str
) -> None:
    with pytest.raises(PermanentDeviceError, match=message):
        decode_content("eastron-sdm630", content, file="x.hex")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("01 04 04 43 67 af 55 e2 11", "checksum does not hold"),
        ("01 04 04 43 67 af", "only 6 bytes"),
        ("01 84 02 c2 c1", "illegal data address"),
        ("01 06 00 01 00 02 59 cb", "not a reply to a read"),
        ("ff ff ff ff", "not a reply"),
    ],
)
def test_a_damaged_reply_is_listed_with_its_reason_and_gives_nothing(
    frame: str, reason: str
) -> None:
    found = decode_content("eastron-sdm630", frame.encode(), address=0)
    assert not found.rounds
    assert reason in found.refused[0].reason


def test_a_reply_that_no_usual_read_brings_asks_for_its_address() -> None:
    found = decode_content("eastron-sdm630", b"01 04 04 43 67 af 55 e2 10")
    assert "--address N or --request HEX" in found.refused[0].reason
    told = decode_content("eastron-sdm630", b"01 04 04 43 67 af 55 e2 10", address=0)
    assert told.to_json()["readings"]["ac_voltage_l1"]["value"] == pytest.approx(231.685, abs=1e-3)


def test_a_raw_binary_reply_is_taken_as_it_is() -> None:
    raw = bytes.fromhex("010404 4367af55e210")
    told = decode_content("eastron-sdm630", raw, address=0)
    assert told.to_json()["readings"]["ac_voltage_l1"]["quality"] == "good"


def test_the_suspect_and_the_missing_have_reasons_and_raw() -> None:
    profile = load_profile("goodwe-et")
    assert profile.file.requests is not None
    frame = bytes.fromhex("f703028764") + b"\0\0"  # frequency register alone is no usual read
    found = decode_content("goodwe-et", (b"\xaa\x55" + frame).hex().encode(), address=35_123)
    assert found.refused[0].reason == "reply damaged: its checksum does not hold"
