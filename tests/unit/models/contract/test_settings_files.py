"""Settings files that cannot be used: each error names file, line and key."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import pytest

from models.contract.errors import SettingsError
from models.contract.settings import load_settings, parse_settings
from models.contract.topics import check_identifier


class Parity(StrEnum):
    NONE = "none"
    EVEN = "even"


@dataclass(frozen=True)
class Bus:
    port: int
    parity: Parity = Parity.NONE


@dataclass(frozen=True)
class Device:
    name: str
    bus: Bus
    units: tuple[int, ...] = ()
    scale: float = 1.0
    enabled: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.scale < 100:
            raise ValueError(f"scale: must lie between 0 and 100, not {self.scale}")


@dataclass(frozen=True)
class Site:
    name: str
    latitude: float
    note: str | None = None

    def __post_init__(self) -> None:
        check_identifier(self.name)


@dataclass(frozen=True)
class Tree:
    site: Site
    devices: tuple[Device, ...] = ()
    matrix: tuple[tuple[int, ...], ...] = ()
    derived: int = field(default=7, init=False)


GOOD = """\
[site]
name = "farm_7"
latitude = 52
note = '''
latitude = "this is text"
[[devices]]
'''

[[devices]]
name = "inverter_1"
bus = { port = 502 }
units = [
  1,
  2,
]

[[devices]]
name = "meter_1"
scale = 0.1
[devices.bus]
port = 5020
parity = "even"
"""


def refusal(old: str, new: str, *, last: bool = False) -> str:
    """The error about the good text with ``old`` replaced (the first, or the last, one)."""
    assert old in GOOD
    if last:
        head, _, tail = GOOD.rpartition(old)
        text = head + new + tail
    else:
        text = GOOD.replace(old, new, 1)
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, Tree, file="site.toml")
    assert caught.value.file == "site.toml"
    return str(caught.value)


def test_a_good_file_becomes_a_tree(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(GOOD, encoding="utf-8-sig")  # some editors put a mark first
    tree = load_settings(file, Tree)
    assert tree.site == Site("farm_7", 52.0, 'latitude = "this is text"\n[[devices]]\n')
    assert isinstance(tree.site.latitude, float)
    assert tree.devices == (
        Device("inverter_1", Bus(502), (1, 2)),
        Device("meter_1", Bus(5020, Parity.EVEN), scale=0.1),
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[site]", "[sites]", "site.toml:1: sites: unknown key; known here: devices, matrix, site"),
        (
            "latitude",
            "lattitude",
            "site.toml:3: site.lattitude: unknown key; known here: latitude, ",
        ),
        ("note =", "'n.o.t.e' =", "site.toml:4: site.n.o.t.e: unknown key"),
        (
            'parity = "even"',
            "speed = 1",
            "site.toml:22: devices[1].bus.speed: unknown key; known here",
        ),
        (
            "scale = 0.1",
            "scael = 0.1",
            "site.toml:19: devices[1].scael: unknown key; known here: bus",
        ),
        (
            "port = 502 ",
            "port = 502, speed = 9 ",
            "site.toml:11: devices[0].bus.speed: unknown key",
        ),
        (
            "bus = { port = 502 }",
            "bus.port = 502\nbus.speed = 9",
            "site.toml:12: devices[0].bus.speed: unk",
        ),
        ("scale = 0.1", "site.x = 1", "site.toml:19: devices[1].site: unknown key"),
        ("[devices.bus]", "[devices.bas]", "site.toml:20: devices[1].bas: unknown key"),
        ("scale = 0.1", "derived = 1", "site.toml:19: devices[1].derived: unknown key"),
    ],
)
def test_an_unknown_key(old: str, new: str, message: str) -> None:
    assert refusal(old, new).startswith(message)


@pytest.mark.parametrize("key", ['"note"', "'note'", " note "])
def test_a_key_in_quotes_is_the_same_key(key: str) -> None:
    assert parse_settings(GOOD.replace("note =", f"{key} ="), Tree) == parse_settings(GOOD, Tree)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "latitude = 52",
            'latitude = "52"',
            "site.toml:3: site.latitude: must be a number, not '52'",
        ),
        (
            "latitude = 52",
            "latitude = true",
            "site.toml:3: site.latitude: must be a number, not True",
        ),
        (
            "latitude = 52",
            "latitude = nan",
            "site.toml:3: site.latitude: must be a finite number, not nan",
        ),
        ("latitude = 52", "latitude = -inf", "site.toml:3: site.latitude: must be a finite number"),
        ("latitude = 52", f"latitude = 1{'0' * 400}", "site.toml:3: site.latitude: is too large"),
        ('name = "farm_7"', "name = 7", "site.toml:2: site.name: must be a text, not 7"),
        (
            'name = "farm_7"',
            "name = 2024-01-17",
            "site.toml:2: site.name: must be a text, not datetime",
        ),
        (
            "port = 502 ",
            "port = 502.0 ",
            "site.toml:11: devices[0].bus.port: must be a whole number",
        ),
        (
            "port = 502 ",
            "port = true ",
            "site.toml:11: devices[0].bus.port: must be a whole number",
        ),
        (
            'parity = "even"',
            'parity = "odd"',
            "site.toml:22: devices[1].bus.parity: must be one of: none",
        ),
        (
            'parity = "even"',
            "parity = [1]",
            "site.toml:22: devices[1].bus.parity: must be one of: none",
        ),
        ("  2,", '  "2",', "site.toml:14: devices[0].units[1]: must be a whole number, not '2'"),
        ("scale = 0.1", "units = 5", "site.toml:19: devices[1].units: must be a list"),
        (
            "scale = 0.1",
            "enabled = 1",
            "site.toml:19: devices[1].enabled: must be true or false, not 1",
        ),
        ("bus = { port = 502 }", "bus = 502", "site.toml:11: devices[0].bus: must be a table"),
        (
            "scale = 0.1",
            "scale = 100",
            "site.toml:19: devices[1].scale: must lie between 0 and 100",
        ),
        ("farm_7", "bundles", "site.toml:1: site: 'bundles' is reserved for model bundles"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range(old: str, new: str, message: str) -> None:
    assert refusal(old, new).startswith(message)


def test_a_wrong_value_deep_inside_lists() -> None:
    text = '[site]\nname = "a"\nlatitude = 1\n'
    with pytest.raises(SettingsError) as caught:
        parse_settings(f"matrix = [\n [1, 2],\n [3,\n  'x'],\n]\n{text}", Tree, file="site.toml")
    assert str(caught.value) == "site.toml:4: matrix[1][1]: must be a whole number, not 'x'"
    assert parse_settings(f"matrix = [[1], []]\n{text}", Tree).matrix == ((1,), ())


@pytest.mark.parametrize(
    ("old", "last", "message"),
    [
        ("latitude = 52\n", False, "site.toml:1: site.latitude: is required"),
        ('name = "inverter_1"\n', False, "site.toml:9: devices[0].name: is required"),
        ('name = "meter_1"\n', False, "site.toml:17: devices[1].name: is required"),
        ("port = 502 ", False, "site.toml:11: devices[0].bus.port: is required"),
        ("port = 5020\n", True, "site.toml:20: devices[1].bus.port: is required"),
        ("bus = { port = 502 }\n", False, "site.toml:9: devices[0].bus: is required"),
    ],
)
def test_a_required_key_is_missing(old: str, last: bool, message: str) -> None:
    assert refusal(old, "", last=last) == message


def test_a_whole_table_is_missing() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings("", Tree, file="site.toml")
    assert str(caught.value) == "site.toml: site: is required"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[site]\nname = farm\n", "site.toml:2: not valid TOML: "),
        ("[site]\nname\n", "site.toml:2: not valid TOML: "),
        ("[site]\n\n[site]\n", "site.toml:3: not valid TOML: "),
        ("a = 1\na = 2\n", "site.toml:2: not valid TOML: "),
        ("[site]\nname = 'farm'\nx = [1,\n", "site.toml:3: not valid TOML: "),
        ('[site]\nname = """farm', "site.toml:2: not valid TOML: "),
        ("x = 2024-13-40", "site.toml:1: not valid TOML: "),
        (f"x = {'9' * 5000}", "site.toml: not valid TOML: "),
        ("x = " + "[" * 100_000, "site.toml: not valid TOML: "),
        ("x = 'a\0'", "site.toml:1: not valid TOML: "),
    ],
)
def test_bad_toml(text: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, Tree, file="site.toml")
    assert str(caught.value).startswith(message)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"gone.toml: cannot be read: No such file or directory"
    ):
        load_settings(tmp_path / "gone.toml", Tree)


def test_a_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        load_settings(tmp_path, Tree)


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_bytes(b'name = "\xe9"')
    with pytest.raises(SettingsError, match=r"site.toml: is not UTF-8 text"):
        load_settings(file, Tree)


def test_windows_line_ends_move_no_line() -> None:
    text = GOOD.replace("scale = 0.1", "scael = 0.1").replace("\n", "\r\n")
    with pytest.raises(SettingsError, match=r"site.toml:19: devices\[1\].scael: unknown key"):
        parse_settings(text, Tree, file="site.toml")


def test_the_programs_own_mistake_is_not_blamed_on_the_file() -> None:
    @dataclass(frozen=True)
    class Wrong:
        when: bytes

    with pytest.raises(TypeError, match="settings field when has an unsupported type"):
        parse_settings("when = 'x'", Wrong)
