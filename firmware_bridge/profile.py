"""A device as a file of data: which register holds which quantity, in which type, unit and scale.

Loads and checks ``profiles/*.toml`` (format: docs/protocol/devices.md) and decodes register blocks
by them. Everything about a profile that can be wrong is found here, when it is loaded, with file
and entry named; decoding afterwards cannot fail.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import Any

from models.contract.errors import ContractError
from models.contract.quantities import quantity
from models.contract.record import Reading
from models.contract.units import base_unit, to_base

from .errors import PermanentDeviceError
from .modbus.request import MAX_REGISTERS, READ_FUNCTIONS
from .poll_plan import Block, plan
from .quality import judge
from .registers import REGISTER_TYPES, RegisterType, decode_number

_STATUSES = ("verified", "documented")


@dataclass(frozen=True)
class Register:
    """One value of a device: ``quantity`` = number at ``address`` * ``scale``, in ``unit``."""

    quantity: str
    address: int
    kind: RegisterType
    unit: str
    scale: float

    @property
    def block(self) -> Block:
        return Block(self.address, self.kind.count)


@dataclass(frozen=True)
class Expectation:
    """A device is what its profile says if ``quantity`` lies in the range (base unit)."""

    quantity: str
    lowest: float
    highest: float


@dataclass(frozen=True)
class Profile:
    """One kind of device. See the module docstring."""

    name: str
    manufacturer: str
    model: str
    status: str
    """``verified`` against a recording of a real device, or only ``documented``."""
    sources: tuple[str, ...]
    function: int
    longest: int
    bridge: int
    registers: tuple[Register, ...]
    identity: Expectation

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The requests of one poll."""
        wanted = (register.block for register in self.registers)
        return plan(wanted, longest=self.longest, bridge=self.bridge)

    def decode(self, blocks: Mapping[Block, Sequence[int]]) -> dict[str, Reading]:
        """Readings from the registers of :attr:`blocks`, by quantity, in base units."""
        readings: dict[str, Reading] = {}
        for register in self.registers:
            for block, values in blocks.items():
                if block.address <= register.address and register.block.end <= block.end:
                    number = decode_number(values, register.address - block.address, register.kind)
                    value = to_base(number * register.scale, register.unit)
                    readings[register.quantity] = judge(register.quantity, value)
        return readings


def known_profiles() -> tuple[str, ...]:
    """Names of the profiles that come with the package."""
    names = [file.name for file in (resources.files(__package__) / "profiles").iterdir()]
    return tuple(sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml")))


def load_profile(name: str) -> Profile:
    """The profile called ``name``. Raises ``PermanentDeviceError``."""
    if name not in known_profiles():
        raise PermanentDeviceError(
            f"profile: {name!r} is unknown; known: sunspec, {', '.join(known_profiles())}"
        )
    file = resources.files(__package__) / "profiles" / f"{name}.toml"
    return parse_profile(file.read_text(encoding="utf-8"), f"{name}.toml")


def parse_profile(text: str, file: str) -> Profile:
    """The profile written in ``text``; ``file`` is its name in errors.

    Raises:
        PermanentDeviceError: Not a profile; names file, entry and key.
    """
    try:
        table = _Table(tomllib.loads(text), file)
    except tomllib.TOMLDecodeError as error:
        raise PermanentDeviceError(f"{file}: {error}") from error
    requests, identity = table.table("requests"), table.table("identity")
    profile = Profile(
        name=table.text("name"),
        manufacturer=table.text("manufacturer"),
        model=table.text("model"),
        status=table.choice("status", _STATUSES),
        sources=tuple(str(source) for source in table.list_of("sources")),
        function=requests.integer("function", min(READ_FUNCTIONS), max(READ_FUNCTIONS)),
        longest=requests.integer("longest", 1, MAX_REGISTERS),
        bridge=requests.integer("bridge", 0, MAX_REGISTERS),
        registers=tuple(_register(entry) for entry in table.tables("registers")),
        identity=Expectation(
            quantity=identity.text("quantity"),
            lowest=identity.number("lowest", -1e12, 1e12),
            highest=identity.number("highest", -1e12, 1e12),
        ),
    )
    for part in (table, requests, identity):
        part.done()
    _check_whole(profile, file)
    return profile


def _register(entry: _Table) -> Register:
    kind = REGISTER_TYPES[entry.choice("type", tuple(REGISTER_TYPES))]
    register = Register(
        quantity=entry.text("quantity"),
        address=entry.integer("address", 0, 65_536 - kind.count),
        kind=kind,
        unit=entry.text("unit"),
        scale=entry.number("scale", -1e9, 1e9, default=1.0),
    )
    entry.done()
    try:
        wanted, given = quantity(register.quantity).unit, base_unit(register.unit)
    except ContractError as error:
        raise entry.error("quantity", str(error)) from error
    if wanted != given:
        raise entry.error(
            "unit", f"{register.unit} is no {wanted}, the unit of {register.quantity}"
        )
    return register


def _check_whole(profile: Profile, file: str) -> None:
    names = [register.quantity for register in profile.registers]
    if profile.identity.quantity not in names:
        raise PermanentDeviceError(
            f"{file}: identity: quantity: {profile.identity.quantity} is not read"
        )
    for name in names:
        if names.count(name) > 1:
            raise PermanentDeviceError(f"{file}: registers: {name} stands there twice")
    ordered = sorted(profile.registers, key=lambda register: register.address)
    for one, other in itertools.pairwise(ordered):
        if one.block.end > other.address:
            raise PermanentDeviceError(
                f"{file}: registers: {one.quantity} and {other.quantity} overlap"
            )
    if max(register.kind.count for register in ordered) > profile.longest:
        raise PermanentDeviceError(f"{file}: requests.longest: shorter than the longest value")


class _Table:
    """A TOML table that is taken apart key by key; what is left over at the end is an error."""

    def __init__(self, content: dict[str, Any], place: str) -> None:
        self._left, self._place = dict(content), place

    def error(self, key: str, reason: str) -> PermanentDeviceError:
        return PermanentDeviceError(f"{self._place}: {key}: {reason}")

    def _take(self, key: str, kind: type | tuple[type, ...], what: str) -> Any:
        if key not in self._left:
            raise self.error(key, f"{what} is needed")
        value = self._left.pop(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(key, f"not {what}: {value!r}")
        return value

    def text(self, key: str) -> str:
        return str(self._take(key, str, "a text"))

    def choice(self, key: str, allowed: Sequence[str]) -> str:
        value = self.text(key)
        if value not in allowed:
            raise self.error(key, f"{value!r} is unknown; known: {', '.join(allowed)}")
        return value

    def number(
        self, key: str, lowest: float, highest: float, default: float | None = None
    ) -> float:
        if key not in self._left and default is not None:
            return default
        return float(self._in_range(key, lowest, highest, (int, float), "a number"))

    def integer(self, key: str, lowest: int, highest: int) -> int:
        return int(self._in_range(key, lowest, highest, (int,), "a whole number"))

    def _in_range(
        self, key: str, lowest: float, highest: float, kind: tuple[type, ...], what: str
    ) -> Any:
        value = self._take(key, kind, what)
        if not lowest <= value <= highest:
            raise self.error(key, f"{value} is not in {lowest:g}..{highest:g}")
        return value

    def list_of(self, key: str) -> list[Any]:
        values: list[Any] = self._take(key, list, "a list")
        if not values:
            raise self.error(key, "is empty")
        return values

    def table(self, key: str) -> _Table:
        return _Table(self._take(key, dict, "a table"), f"{self._place}: {key}")

    def tables(self, key: str) -> list[_Table]:
        entries = self.list_of(key)
        for entry in entries:
            if not isinstance(entry, dict):
                raise self.error(key, f"not a table: {entry!r}")
        return [_Table(entry, f"{self._place}: {key}[{i}]") for i, entry in enumerate(entries)]

    def done(self) -> None:
        if self._left:
            raise self.error(next(iter(self._left)), "unknown key")
