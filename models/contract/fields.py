"""Reading a parsed JSON object field by field, with errors that name the path."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from . import SCHEMA_VERSION
from .checks import MAX_COUNT, MAX_TEXT, finite_number
from .errors import ContractError, PayloadError
from .timestamps import Instant, parse_iso8601
from .topics import check_identifier

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

_MISSING: Any = object()
E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")


def checked(build: Callable[[], T], field: str = "") -> T:
    """Run ``build`` and turn the contract's own refusal into a payload error about ``field``."""
    try:
        return build()
    except PayloadError:
        raise
    except ContractError as error:
        raise PayloadError(str(error), field) from None


class Fields:
    """One JSON object. Every getter marks its key as read; :meth:`finish` refuses what is left.

    ``ignore`` names keys that are somebody else's (the journal key beside an entry's own body).
    """

    def __init__(
        self, body: Mapping[str, Any], path: str = "", *, ignore: Collection[str] = ()
    ) -> None:
        self._body, self._path = body, path
        self._left = set(body).difference(ignore)

    def _where(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _take(self, name: str, default: Any = _MISSING) -> Any:
        self._left.discard(name)
        value = self._body.get(name, default)
        if value is _MISSING:
            raise PayloadError("is missing", self._where(name))
        return value

    def has(self, name: str) -> bool:
        """Whether the key is there, read or not."""
        return name in self._body

    def rest(self) -> list[str]:
        """Keys not read yet, in their order."""
        return [name for name in self._body if name in self._left]

    def finish(self) -> None:
        """Raise for the first key that nobody asked for."""
        for name in self.rest():
            raise PayloadError("is not part of this payload", self._where(name))

    def version(self, *, optional: bool = False) -> None:
        """Check the schema version."""
        value = self._take("v", SCHEMA_VERSION if optional else _MISSING)
        if value != SCHEMA_VERSION or isinstance(value, bool):
            raise PayloadError(
                f"schema version {value!r} is not {SCHEMA_VERSION}", self._where("v")
            )

    def text(
        self,
        name: str,
        *,
        default: str | None = None,
        nullable: bool = False,
        longest: int = MAX_TEXT,
    ) -> Any:
        """A string; ``None`` only where ``nullable``."""
        value = self._take(name, _MISSING if default is None else default)
        if value is None and nullable:
            return None
        if not isinstance(value, str) or len(value) > longest:
            raise PayloadError(f"must be a text of at most {longest} characters", self._where(name))
        return value

    def identifier(self, name: str) -> str:
        """A string that may name an agent or device."""
        text = self.text(name)
        return checked(lambda: check_identifier(text), self._where(name))

    def instant(self, name: str) -> Instant:
        """An ISO 8601 instant with a zone."""
        text = self.text(name)
        return checked(lambda: parse_iso8601(text), self._where(name))

    def as_integer(self, value: Any, name: str, lowest: int = 0, highest: int = MAX_COUNT) -> int:
        """``value`` as an integer within limits."""
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise PayloadError(
                f"must be a whole number from {lowest} to {highest}", self._where(name)
            )
        return value

    def integer(self, name: str, lowest: int = 0, highest: int = MAX_COUNT) -> int:
        """An integer within limits."""
        return self.as_integer(self._take(name), name, lowest, highest)

    def number(self, name: str, *, nullable: bool = False) -> Any:
        """A finite number, as a float; ``None`` only where ``nullable``."""
        value = self._take(name)
        if value is None and nullable:
            return None
        return checked(lambda: finite_number(value), self._where(name))

    def array(self, name: str, *, optional: bool = False) -> list[Any]:
        """A list, unread."""
        value = self._take(name, [] if optional else _MISSING)
        if not isinstance(value, list):
            raise PayloadError("must be a list", self._where(name))
        return value

    def numbers(self, name: str) -> tuple[float, ...]:
        """A list of finite numbers."""
        value = self._take(name)
        if not isinstance(value, list):
            raise PayloadError("must be a list of numbers", self._where(name))
        numbers: list[float] = []
        try:
            for item in value:
                numbers.append(finite_number(item))
        except ContractError as error:
            raise PayloadError(str(error), f"{self._where(name)}[{len(numbers)}]") from None
        return tuple(numbers)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        value = self._take(name)
        if not isinstance(value, list) or not all(
            isinstance(item, str) and len(item) <= MAX_TEXT for item in value
        ):
            raise PayloadError(
                f"must be a list of texts of at most {MAX_TEXT} characters", self._where(name)
            )
        return tuple(value)

    def boolean(self, name: str) -> bool:
        """true or false."""
        value = self._take(name)
        if not isinstance(value, bool):
            raise PayloadError("must be true or false", self._where(name))
        return value

    def enum(self, name: str, words: type[E]) -> E:
        """One of the words of an enumeration."""
        value = self._take(name)
        try:
            return words(value)
        except ValueError:
            known = ", ".join(word.value for word in words)
            raise PayloadError(f"must be one of: {known}", self._where(name)) from None

    def mapping(self, name: str, *, optional: bool = False) -> dict[str, Any]:
        """A JSON object, unread."""
        value = self._take(name, {} if optional else _MISSING)
        if not isinstance(value, dict):
            raise PayloadError("must be an object", self._where(name))
        return value

    def object(self, name: str) -> Fields:
        """A JSON object, to be read field by field."""
        return Fields(self.mapping(name), self._where(name))

    def objects(self, name: str) -> dict[str, Fields]:
        """A JSON object whose values are objects."""
        outer = self.object(name)
        return {key: outer.object(key) for key in outer.rest()}

    def rows(self, name: str, width: int) -> list[list[Any]]:
        """A list of lists of ``width`` items."""
        value = self._take(name)
        if not isinstance(value, list) or any(
            not isinstance(row, list) or len(row) != width for row in value
        ):
            raise PayloadError(f"must be a list of lists of {width}", self._where(name))
        return value
