"""What is generated from the contract and committed: out of date, incomplete or untrue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from models.contract import SCHEMA_VERSION
from models.contract import schema as generator
from models.contract.examples import PLAIN_DEVICE, examples
from models.contract.glossary import glossary
from models.contract.payload_schemas import schemas
from models.contract.quantities import ALIASES, QUANTITIES
from models.contract.topics import CHANNELS
from models.contract.units import BASE_UNITS, CONVERSIONS

DOCS = Path(__file__).parents[4] / "docs"
AGAIN = "run: python -m models.contract.schema docs/protocol --nomenclature docs/NOMENCLATURE.md"


def test_docs_protocol_is_out_of_date() -> None:
    folder = DOCS / "protocol"
    committed = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.*")}
    generated = generator.protocol_files()
    assert set(generated) <= set(committed), AGAIN
    stale = [name for name, text in generated.items() if committed[name] != text]
    assert not stale, AGAIN
    schema_files = {name for name in committed if name.endswith(".schema.json")}
    assert schema_files <= set(generated), "a schema without a payload"


def test_the_glossary_is_out_of_date() -> None:
    assert (DOCS / "NOMENCLATURE.md").read_text(encoding="utf-8") == glossary(), AGAIN


def test_the_command_writes_what_is_committed(tmp_path: Path) -> None:
    glossary_file = tmp_path / "deep" / "names.md"
    generator.main([str(tmp_path / "protocol"), "--nomenclature", str(glossary_file)])
    assert glossary_file.read_text(encoding="utf-8") == glossary()
    written = {path.name: path.read_text("utf-8") for path in (tmp_path / "protocol").iterdir()}
    assert written == generator.protocol_files()


def test_the_command_without_a_target_says_what_it_wants(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as refusal:
        generator.main([])
    assert refusal.value.code == 2
    assert "name a folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", schemas())
def test_a_schema_is_itself_invalid_or_refuses_its_example(name: str) -> None:
    schema = schemas()[name]
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads(examples()[name]))


def _broken(name: str) -> dict[str, Any]:
    example: dict[str, Any] = json.loads(examples()[name])
    return example


@pytest.mark.parametrize("name", [name for name in schemas() if name != "data-plain"])
def test_a_schema_lets_unknown_keys_other_versions_or_gaps_through(name: str) -> None:
    validator = Draft202012Validator(schemas()[name])
    assert not validator.is_valid(_broken(name) | {"surprise": 1})
    assert not validator.is_valid(_broken(name) | {"v": SCHEMA_VERSION + 1})
    for key in schemas()[name]["required"]:
        body = _broken(name)
        del body[key]
        assert not validator.is_valid(body), key


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("data", {"timestamp": "2024-01-17T12:00:00"}),
        ("data", {"device": "bundles"}),
        ("data", {"device": "Inverter 1"}),
        ("data", {"ac_power": "3240"}),
        ("data", {"quality": {"ac_power": "fine"}}),
        ("data", {"quality": {"acpower": "suspect"}}),
        ("data", {"epoch": "4F1D9C2AB07E6835"}),
        ("data", {"seq": 0}),
        ("ack", {"ranges": [[1, 2, 3]]}),
        ("batch", {"entries": [[1, "record"]]}),
        ("batch", {"voids": [[1, 2, ""]]}),
        ("forecast", {"weather_mode": "guessed"}),
        ("forecast", {"series": {}}),
        ("forecast", {"step_minutes": 0}),
        ("risk", {"probabilities": {"shortfall": 1.5}}),
        ("status", {"counters": {"records": -1}}),
        ("weather", {"values": {"sunshine": [1.0]}}),
    ],
)
def test_a_schema_lets_a_wrong_value_through(name: str, change: dict[str, Any]) -> None:
    assert not Draft202012Validator(schemas()[name]).is_valid(_broken(name) | change)


def test_an_agent_record_without_any_quantity_satisfies_its_schema() -> None:
    validator = Draft202012Validator(schemas()["data"])
    fixed = {key: _broken("data")[key] for key in ("v", "timestamp", "device", "epoch", "seq")}
    assert not validator.is_valid(fixed)
    assert validator.is_valid(fixed | {"quality": {"ghi": "missing"}})


def test_a_forecast_in_another_unit_satisfies_its_schema() -> None:
    body = _broken("forecast")
    body["series"]["ac_power"]["unit"] = "kW"
    assert not Draft202012Validator(schemas()["forecast"]).is_valid(body)


def test_a_plain_device_is_refused_by_its_schema() -> None:
    validator = Draft202012Validator(schemas()["data-plain"])
    plain = json.loads(PLAIN_DEVICE)
    assert validator.is_valid(plain | {"firmware": "2.1", "wind_speed": None})
    assert not validator.is_valid({"timestamp": plain["timestamp"], "firmware": "2.1"})
    assert not validator.is_valid({"ghi": 500})


def test_a_channel_or_quantity_or_unit_is_missing_in_the_documents() -> None:
    page = generator.protocol_files()["mqtt.md"]
    assert all(f"/{channel}` |" in page for channel in CHANNELS)
    names = glossary()
    assert all(f"`{name}`" in names for name in [*QUANTITIES, *ALIASES, *BASE_UNITS, *CONVERSIONS])


def test_a_quantity_has_a_unit_that_is_no_base_unit_or_limits_the_wrong_way_round() -> None:
    for quantity in QUANTITIES.values():
        assert quantity.unit in BASE_UNITS
        assert quantity.lowest < quantity.highest


def test_a_quantity_or_alias_is_called_like_another_key_of_a_record() -> None:
    names = [*QUANTITIES, *ALIASES]
    assert len(set(names)) == len(names)
    assert not {"v", "timestamp", "device", "quality", "epoch", "seq"} & set(names)
