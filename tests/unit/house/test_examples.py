"""The example settings in docs/operations load, name every key, and state the true defaults."""

from __future__ import annotations

import dataclasses
import re
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

import pytest

from central.settings import CentralSettings, load_central_settings
from edge_agent.settings import EdgeSettings, read_settings
from models.contract.errors import SettingsError
from models.contract.settings import parse_settings
from tests.environments import ROOT

SITE = ROOT / "docs/operations/site.example.toml"
CENTRE = ROOT / "docs/operations/central.example.toml"
TREES: dict[Path, type[Any]] = {SITE: EdgeSettings, CENTRE: CentralSettings}

_COMMENTED_KEY = re.compile(r"^# ([a-z_]+) = ", re.MULTILINE)
_NO_DEFAULT = {
    "clock_anchor", "url", "username", "password_file", "repository", "keys", "history",
    "ca_file", "cert_file", "key_file", "node", "timezone", "weather",
    # of a device: what is left out comes from its profile, or is the protocol's usual
    "port", "unit", "baud_rate", "parity", "data_bits", "stop_bits", "timeout_s", "frame_gap_ms",
    "connect_delay_s", "reconnect_gap_s", "word_order", "rated_power_w",
    "history_resolution_minutes",  # given for a recording that is coarser than the grid
}  # fmt: skip


def uncommented(file: Path) -> str:
    """The example with every commented key switched on."""
    return _COMMENTED_KEY.sub(r"\1 = ", file.read_text(encoding="utf-8"))


def test_site_example_loads() -> None:
    settings = read_settings(SITE)
    assert [device.name for device in settings.devices] == ["inverter", "meter"]
    assert settings.bundles is not None


def test_central_example_loads() -> None:
    settings = load_central_settings(CENTRE)
    assert settings.sites[0].id == read_settings(SITE).agent.id


@pytest.mark.parametrize("file", TREES, ids=lambda file: file.name)
def test_example_with_every_commented_key_switched_on_loads(file: Path) -> None:
    parse_settings(uncommented(file), TREES[file], file=file.name)


@pytest.mark.parametrize("file", TREES, ids=lambda file: file.name)
def test_example_names_every_key_there_is(file: Path) -> None:
    assert _missing(TREES[file], tomllib.loads(uncommented(file)), "") == []


@pytest.mark.parametrize("file", TREES, ids=lambda file: file.name)
def test_commented_values_are_the_defaults(file: Path) -> None:
    given = tomllib.loads(file.read_text(encoding="utf-8"))
    whole = tomllib.loads(uncommented(file))
    assert _wrong_defaults(TREES[file], given, whole, "") == []


def test_site_and_centre_examples_describe_the_same_plant() -> None:
    declared = load_central_settings(CENTRE).sites[0].site()
    assert declared == read_settings(SITE).site


def test_example_with_a_misspelt_key_is_refused_with_its_line() -> None:
    text = SITE.read_text(encoding="utf-8").replace("poll_s = 60.0", "pol_s = 60.0", 1)
    line = text[: text.index("pol_s = ")].count("\n") + 1
    with pytest.raises(
        SettingsError, match=rf"site\.toml:{line}: devices\[0\]\.pol_s: unknown key"
    ):
        parse_settings(text, EdgeSettings, file="site.toml")


def _tables(kind: type[Any]) -> dict[str, tuple[dataclasses.Field[Any], type[Any] | None]]:
    """Fields of a settings class by name, with the class of the table where the field is one."""
    hints = typing.get_type_hints(kind)
    return {field.name: (field, _table(hints[field.name])) for field in dataclasses.fields(kind)}


def _table(hint: Any) -> type[Any] | None:
    if typing.get_origin(hint) in (typing.Union, types.UnionType, tuple):
        return next(filter(None, map(_table, typing.get_args(hint))), None)
    return hint if isinstance(hint, type) and dataclasses.is_dataclass(hint) else None


def _missing(kind: type[Any], tree: dict[str, Any], path: str) -> list[str]:
    """Keys of ``kind`` that ``tree`` does not name; of a list of tables, that no table names."""
    missing = []
    for name, (_, table) in _tables(kind).items():
        if name not in tree:
            missing.append(f"{path}{name}")
        elif table is not None:
            value = tree[name]
            merged = (
                value
                if isinstance(value, dict)
                else {k: v for one in value for k, v in one.items()}
            )
            missing += _missing(table, merged, f"{path}{name}.")
    return missing


def _wrong_defaults(
    kind: type[Any], given: dict[str, Any], whole: dict[str, Any], path: str
) -> list[str]:
    """Commented keys whose value is not the default of ``kind``."""
    wrong = []
    for name, (field, table) in _tables(kind).items():
        if name not in whole:
            continue
        value = whole[name]
        if table is not None:
            pairs = (
                [(given.get(name, {}), value)]
                if isinstance(value, dict)
                else list(zip(given[name], value, strict=True))
            )
            for before, after in pairs:
                wrong += _wrong_defaults(table, before, after, f"{path}{name}.")
        elif name not in given and name not in _NO_DEFAULT:
            plain = tuple(value) if isinstance(value, list) else value
            if plain != field.default:
                wrong.append(f"{path}{name}: {plain!r}, the default is {field.default!r}")
    return wrong
