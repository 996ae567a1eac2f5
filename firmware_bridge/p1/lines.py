"""Lines of a telegram: a code and what stands in the brackets behind it. Pure; knows no meanings.

A line that begins with a bracket goes on from the line before (gas meters of DSMR 2 and 3).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_GROUPS = r"(?:\((?:[^()]|\([^()]*\))*\))+"  # a few meters write a bracket within the brackets
_LINE = re.compile(
    r"([0-9]{1,3})-([0-9]{1,3}):([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})(?:\*[0-9]{1,3})?"
    rf"({_GROUPS})"
)
_CONTINUATION = re.compile(_GROUPS)
_GROUP = re.compile(r"\(((?:[^()]|\([^()]*\))*)\)")


@dataclass(frozen=True, slots=True)
class Code:
    """An OBIS code without its last part (IEC 62056-61): medium, channel, what, how, tariff."""

    medium: int
    channel: int
    what: int
    how: int
    tariff: int

    def __str__(self) -> str:
        return f"{self.medium}-{self.channel}:{self.what}.{self.how}.{self.tariff}"


@dataclass(frozen=True, slots=True)
class DataLine:
    """One code and the texts in its brackets, at least one."""

    code: Code
    groups: tuple[str, ...]
    text: str
    """As it stands in the telegram, continuation included."""


@dataclass(frozen=True)
class Lines:
    """All lines of a telegram."""

    data: tuple[DataLine, ...]
    unread: tuple[str, ...]
    """Lines that are none."""


def parse_lines(texts: Sequence[str]) -> Lines:
    """The lines ``texts``, without their line ends; empty ones do not count."""
    data: list[DataLine] = []
    unread: list[str] = []
    may_continue = False
    for text in texts:
        if not text:
            continue
        match = _LINE.fullmatch(text)
        if match is not None:
            code = Code(*map(int, match.groups()[:5]))
            data.append(DataLine(code, tuple(_GROUP.findall(match[6])), text))
        elif may_continue and _CONTINUATION.fullmatch(text):
            line = data.pop()
            groups = (*line.groups, *_GROUP.findall(text))
            data.append(DataLine(line.code, groups, line.text + text))
        else:
            unread.append(text)
            may_continue = False
            continue
        may_continue = True
    return Lines(tuple(data), tuple(unread))
