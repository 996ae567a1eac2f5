"""The official SunSpec model definitions, read on demand from the files that pysunspec2 carries.

Only its JSON files are used, never its code. What a definition says is kept; what the values mean
for a site is ``meaning``'s matter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from ..errors import PermanentDeviceError

_FILE = re.compile(r"model_(\d+)\.json")


@dataclass(frozen=True)
class Point:
    """One value of a model."""

    name: str
    type: str
    """SunSpec's name: ``int16``, ``acc32``, ``sunssf``, ``string``, ..."""
    size: int
    """Registers."""
    factor: str | int | None
    """Name of the point that holds the scale factor, or the factor itself (a power of ten)."""
    unit: str
    label: str
    is_static: bool
    symbols: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Group:
    """Points and groups that follow each other; may stand there several times."""

    name: str
    points: tuple[Point, ...]
    groups: tuple[Group, ...]
    count: str | int | None
    """None: once. A number (0: as often as the length allows), or the name of a count point."""


@dataclass(frozen=True)
class Definition:
    """One model."""

    number: int
    label: str
    top: Group
    """Its first two points are the header: ``ID`` and ``L``."""


@cache
def known_models() -> tuple[int, ...]:
    """Numbers of all models that have a definition."""
    matches = (_FILE.fullmatch(file.name) for file in _folder().iterdir())
    return tuple(sorted(int(match[1]) for match in matches if match is not None))


@cache
def definition(number: int) -> Definition | None:
    """The definition of model ``number``; None if there is none.

    Raises:
        PermanentDeviceError: The definitions are not installed, or unreadable.
    """
    if number not in known_models():
        return None
    file = _folder() / f"model_{number}.json"
    try:
        content: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        group = content["group"]
        return Definition(number, str(group.get("label", group["name"])), _group(group))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PermanentDeviceError(f"{file}: not a SunSpec model definition: {error!r}") from error


def _folder() -> Traversable:
    try:
        return resources.files("sunspec2") / "models" / "json"
    except ModuleNotFoundError as error:
        raise PermanentDeviceError(
            "the SunSpec model definitions are missing; install the package pysunspec2"
        ) from error


def _group(content: Mapping[str, Any]) -> Group:
    return Group(
        name=content["name"],
        points=tuple(map(_point, content.get("points", ()))),
        groups=tuple(map(_group, content.get("groups", ()))),
        count=content.get("count"),
    )


def _point(content: Mapping[str, Any]) -> Point:
    return Point(
        name=content["name"],
        type=content["type"],
        size=int(content["size"]),
        factor=content.get("sf"),
        unit=str(content.get("units", "")),
        label=str(content.get("label", content["name"])),
        is_static=content.get("static") == "S",
        symbols=tuple((one["name"], int(one["value"])) for one in content.get("symbols", ())),
    )
