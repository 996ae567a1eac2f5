"""On which line of a TOML text each key and table stands, for error messages.

``tomllib`` tells values but not places. This scanner follows the grammar of TOML 1.0 (toml.io) just
far enough to find keys, in texts that ``tomllib`` has already accepted; it never judges a text.
"""

from __future__ import annotations

import json
import re

Path_ = tuple[str | int, ...]
"""Way from the root of the tree: table keys, and positions within lists."""

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY_PART = re.compile(r"""[ \t]*("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[A-Za-z0-9_-]+)[ \t]*""")
_STRING = re.compile(
    r'"{3}(?:[^\\]|\\.)*?"{3,5}|' + r"'{3}.*?'{3,5}|" + r"""\"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""",
    re.DOTALL,
)
_BARE = re.compile(r"[^,\]}\n#]+")


def key_lines(text: str) -> dict[Path_, int]:
    """Line (from 1) of every key, table and list item in the valid TOML ``text``."""
    scanner = _Scanner(text.replace("\r\n", "\n"))
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._line, self._counted = 1, 0
        self.lines: dict[Path_, int] = {}
        self._lengths: dict[Path_, int] = {}  # of arrays of tables, by their path

    def document(self) -> None:
        table: Path_ = ()
        while self._skip_blank():
            if self._take("["):
                listed = self._take("[")
                table = self._table(self._key(), listed)
                self._at += 2 if listed else 1
            else:
                self._pair(table)

    def _table(self, names: tuple[str, ...], listed: bool) -> Path_:
        """Path of a table header: a name that is an array of tables means its last element."""
        path: Path_ = ()
        for position, name in enumerate(names, 1):
            path = (*path, name)
            if listed and position == len(names):
                self._lengths[path] = self._lengths.get(path, 0) + 1
            self._note(path)
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
                self._note(path)
        return path

    def _pair(self, table: Path_) -> None:
        path = table
        for name in self._key():
            path = (*path, name)
            self._note(path)
        self._take("=")
        self._value(path)

    def _key(self) -> tuple[str, ...]:
        names = []
        while match := _KEY_PART.match(self._text, self._at):
            self._at = match.end()
            names.append(_unquote(match.group(1)))
            if not self._take("."):
                break
        return tuple(names)

    def _value(self, path: Path_) -> None:
        self._skip_blank()
        if self._take("["):
            index = 0
            while self._skip_blank() and not self._take("]"):
                self._note((*path, index))
                self._value((*path, index))
                index += 1
                self._skip_blank()
                self._take(",")
        elif self._take("{"):
            while self._skip_blank() and not self._take("}"):
                self._pair(path)
                self._skip_blank()
                self._take(",")
        else:
            pattern = _STRING if self._text[self._at : self._at + 1] in ('"', "'") else _BARE
            match = pattern.match(self._text, self._at)
            self._at = match.end() if match else len(self._text)

    def _skip_blank(self) -> bool:
        """Pass blanks, newlines and comments; whether anything is left."""
        match = _BLANK.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at < len(self._text)

    def _take(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._at += 1
        return True

    def _note(self, path: Path_) -> None:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        self.lines.setdefault(path, self._line)


def _unquote(part: str) -> str:
    if part.startswith("'"):
        return part[1:-1]
    if part.startswith('"'):
        try:
            return str(json.loads(part))
        except ValueError:  # an escape that only TOML has: the error then names the table's line
            return part
    return part
