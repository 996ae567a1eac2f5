"""A definition laid over a device's registers: where each point lies, and where its factor does.

How often a group repeats is told by a count point, or by how much of the model's length is left. A
model that is shorter than its definition (an older version) ends where it ends; one that is longer
has padding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .definitions import Definition, Group, Point

HEADER_SIZE = 2
"""Registers in front of every model: its number and its length, which does not count them."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A point at its place."""

    path: str
    """``W``, ``module[2].DCA``: positions of repeated groups count from 1."""
    point: Point
    offset: int
    """Registers from the model's header on."""
    factor: Placed | int | None
    """The point that holds its scale factor, or the factor itself."""

    @property
    def end(self) -> int:
        return self.offset + self.point.size


CountOf = Callable[[Placed], int]
"""The value of a count point."""


def lay_out(definition: Definition, length: int, count_of: CountOf) -> list[Placed]:
    """The points of a model of ``length`` registers (header not counted), in order.

    ``count_of`` is asked for each point that says how often a group repeats.
    """
    return _Layer(HEADER_SIZE + length, count_of).lay(definition.top)


def size_of(definition: Definition, counts: Callable[[str], int]) -> int:
    """Length that a model needs (header not counted) if its groups repeat so often.

    ``counts`` gives the number of instances by the name of a count point, or of the group where
    the definition leaves it to the length.
    """

    def group_size(group: Group) -> int:
        size = sum(point.size for point in group.points)
        for sub in group.groups:
            if sub.count is None:
                times = 1
            elif isinstance(sub.count, str):
                times = counts(sub.count)
            else:
                times = sub.count or counts(sub.name)
            size += times * group_size(sub)
        return size

    return group_size(definition.top) - HEADER_SIZE


class _Layer:
    def __init__(self, end: int, count_of: CountOf) -> None:
        self._end, self._count_of = end, count_of
        self._offset = 0
        self._placed: list[Placed] = []

    def lay(self, top: Group) -> list[Placed]:
        self._group(top, "", [])
        return self._placed

    def _group(self, group: Group, prefix: str, scopes: list[dict[str, Placed]]) -> None:
        here: dict[str, Placed] = {}
        scopes = [*scopes, here]
        first = len(self._placed)
        for point in group.points:
            if self._offset + point.size > self._end:
                self._offset = self._end  # the model ends before its definition does
                break
            placed = Placed(prefix + point.name, point, self._offset, None)
            here[point.name] = placed
            self._placed.append(placed)
            self._offset += point.size
        # Factors mostly stand behind the values they belong to, so they are tied now.
        for index in range(first, len(self._placed)):
            placed = self._placed[index]
            factor = _find(placed.point.factor, scopes)
            if factor is not None:
                tied = Placed(placed.path, placed.point, placed.offset, factor)
                self._placed[index] = here[placed.point.name] = tied
        for sub in group.groups:
            for number in self._instances(sub, scopes):
                name = sub.name if number is None else f"{sub.name}[{number}]"
                self._group(sub, f"{prefix}{name}.", scopes)

    def _instances(self, group: Group, scopes: list[dict[str, Placed]]) -> list[int | None]:
        if group.count is None:
            return [None]
        left = self._end - self._offset
        smallest = max(1, sum(point.size for point in group.points))
        most = left // smallest
        if isinstance(group.count, str):
            counter = _find(group.count, scopes)
            times = self._count_of(counter) if isinstance(counter, Placed) else 0
        else:
            times = group.count or most
        return [*range(1, min(times, most) + 1)]


def _find(name: str | int | None, scopes: list[dict[str, Placed]]) -> Placed | int | None:
    if not isinstance(name, str):
        return name
    for scope in reversed(scopes):
        if name in scope:
            return scope[name]
    return None
