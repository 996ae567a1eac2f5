"""TOML file -> tree of frozen dataclasses. An unknown key is an error naming file, line and key.

Each runtime brings its own tree; this file knows only how to fill one. Supported field types:
``str, int, float, bool``, ``X | None``, ``StrEnum``, ``tuple[X, ...]``, ``dict[str, X]`` (a table
whose keys are free), nested dataclasses and ``tuple[Dataclass, ...]`` (TOML arrays of tables).
Range checks live in each dataclass's ``__post_init__`` as ``ValueError("key: what is wrong")``; a
check over several tables may name the place as ``"devices[2].name: what is wrong"``.
"""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
import types
import typing
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from .errors import SettingsError
from .toml_lines import Path_, key_lines

T = TypeVar("T")

_PLACE = re.compile(r"[a-z_0-9]+(\[\d+\]|\.[A-Za-z_0-9-]+)*")
_PLACE_PART = re.compile(r"[A-Za-z_0-9-]+")


def load_settings(file: Path, kind: type[T]) -> T:
    """Read ``file`` into ``kind``. Raises ``SettingsError`` naming file, line and key."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror or error}", file=str(file)) from None
    except UnicodeDecodeError:
        raise SettingsError("is not UTF-8 text", file=str(file)) from None
    return parse_settings(text, kind, file=str(file))


def parse_settings(text: str, kind: type[T], *, file: str = "settings") -> T:
    """Like :func:`load_settings` for text in memory."""
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        match = re.search(r"\(at line (\d+), column \d+\)", str(error))
        at_end = "at end of document" in str(error)
        line = int(match.group(1)) if match else len(text.splitlines()) if at_end else None
        raise SettingsError(f"not valid TOML: {error}", file=file, line=line) from None
    return _Filler(text, file).fill(kind, tree, ())


class _Filler:
    def __init__(self, text: str, file: str) -> None:
        self._lines, self._file = key_lines(text), file

    def _error(self, path: Path_, reason: str) -> SettingsError:
        # The line of the key itself, or else of the table that should hold it.
        ends = (path[:length] for length in range(len(path), 0, -1))
        line = next((self._lines[end] for end in ends if end in self._lines), None)
        return SettingsError(reason, file=self._file, line=line, key=_dotted(path))

    def fill(self, kind: type[T], tree: dict[str, Any], path: Path_) -> T:
        hints = typing.get_type_hints(kind)
        known = {f.name: f for f in dataclasses.fields(kind) if f.init}  # type: ignore[arg-type]
        for name in tree:
            if name not in known:
                raise self._error(
                    (*path, name), f"unknown key; known here: {', '.join(sorted(known))}"
                )
        values = {}
        for name, one in known.items():
            if name in tree:
                values[name] = self._value(hints[name], tree[name], (*path, name))
            elif one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
                raise self._error((*path, name), "is required")
        try:
            return kind(**values)
        except SettingsError:
            raise
        except ValueError as error:
            name, _, reason = str(error).partition(": ")
            place = _place(name)
            if place and place[0] in known:
                raise self._error((*path, *place), reason) from None
            raise self._error(path, str(error)) from None

    def _value(self, hint: Any, value: Any, path: Path_) -> Any:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin in (typing.Union, types.UnionType):
            (inner,) = (a for a in arguments if a is not type(None))
            return self._value(inner, value, path)
        if origin is tuple:
            if not isinstance(value, list):
                raise self._error(path, "must be a list")
            return tuple(
                self._value(arguments[0], item, (*path, index)) for index, item in enumerate(value)
            )
        if origin is dict:
            if not isinstance(value, dict):
                raise self._error(path, "must be a table")
            return {
                name: self._value(arguments[1], item, (*path, name)) for name, item in value.items()
            }
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, dict):
                raise self._error(path, "must be a table")
            return self.fill(typing.cast("type[Any]", hint), value, path)
        return self._scalar(hint, value, path)

    def _scalar(self, hint: Any, value: Any, path: Path_) -> Any:
        if isinstance(hint, type) and issubclass(hint, Enum):
            try:
                return hint(value)
            except ValueError:
                known = ", ".join(str(word.value) for word in hint)
                raise self._error(path, f"must be one of: {known}; not {value!r}") from None
        if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._finite(value, path)
        names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
        if hint not in names:
            raise TypeError(f"settings field {_dotted(path)} has an unsupported type {hint!r}")
        if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
            raise self._error(path, f"must be {names[hint]}, not {value!r}")
        return value

    def _finite(self, value: float, path: Path_) -> float:
        try:
            number = float(value)
        except OverflowError:
            raise self._error(path, "is too large for a number") from None
        if not math.isfinite(number):
            raise self._error(path, f"must be a finite number, not {number}")
        return number


def _place(text: str) -> Path_:
    """``devices[2].name`` as a path; empty for anything that is none."""
    if not _PLACE.fullmatch(text):
        return ()
    return tuple(int(part) if part.isdigit() else part for part in _PLACE_PART.findall(text))


def _dotted(path: Path_) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
