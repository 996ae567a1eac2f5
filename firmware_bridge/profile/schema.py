"""What may stand in a profile file (docs/protocol/profiles.md), table by table.

Every rule that can be told from one table alone is checked there; :class:`ProfileFile` checks what
spans several. A ``ValueError`` here becomes an error with file, line and key (``models.contract.
settings``). What a file means for requests and decoding is decided elsewhere.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from models.contract.errors import ContractError
from models.contract.quantities import QUANTITIES
from models.contract.units import base_unit

from ..registers import ORDERS, REGISTER_TYPES

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_DETAIL = re.compile(r"[a-z][a-z0-9_]*")
KINDS = ("inverter", "hybrid", "meter", "battery", "sensor")
MODBUS, AA55, SUNSPEC, P1, SENSOR_NODE = (
    "modbus",
    "goodwe-aa55",
    "sunspec",
    "dsmr-p1",
    "sensor-node",
)
PROTOCOLS = (MODBUS, AA55, SUNSPEC, P1, SENSOR_NODE)
STATUSES = ("verified", "documented")
RULES = ("mean", "sum", "product", "difference", "total", "first", "magnitude")
TEXT = "text"
CLOCK = "clock"
CLOCK_SIZE = 6
IDENTITY_FIELDS = ("manufacturer", "model", "serial_number", "version")
READ_FUNCTIONS = (3, 4)
MAX_REGISTERS = 125


def _check_name(quantity: str, detail: str, unit: str) -> None:
    if bool(quantity) == bool(detail):
        raise ValueError("quantity: either it or detail is needed")
    if detail:
        if not _DETAIL.fullmatch(detail):
            raise ValueError(f"detail: {detail!r}: lower-case words joined by underscores")
        if detail in QUANTITIES:
            raise ValueError(f"detail: {detail} is a quantity of the contract; say quantity =")
        return
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity: {quantity!r} is unknown; see docs/NOMENCLATURE.md")
    try:
        given = base_unit(unit or QUANTITIES[quantity].unit)
    except ContractError as error:
        raise ValueError(f"unit: {error}") from None
    if given != QUANTITIES[quantity].unit:
        raise ValueError(f"unit: {unit} is no {QUANTITIES[quantity].unit}, the unit of {quantity}")


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{key}: {value!r} is unknown; known: {', '.join(allowed)}")


def _in_range(key: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise ValueError(f"{key}: {value} is not in {lowest}..{highest}")


@dataclass(frozen=True)
class Source:
    """Where facts come from."""

    name: str
    status: str
    covers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _one_of("status", self.status, STATUSES)
        if self.status == "verified" and not self.covers:
            raise ValueError("covers: a verified source names what it proves")


@dataclass(frozen=True)
class LinkDefaults:
    """How devices of this kind like to be spoken to; None where nothing special is known."""

    unit: int | None = None
    port: int | None = None
    baud_rate: int | None = None
    parity: str | None = None
    data_bits: int | None = None
    stop_bits: int | None = None
    timeout_s: float | None = None
    connect_delay_s: float | None = None
    reconnect_gap_s: float | None = None
    frame_gap_ms: float | None = None
    one_connection: bool = False


@dataclass(frozen=True)
class Requests:
    """What one request may ask for."""

    function: int
    longest: int = MAX_REGISTERS
    bridge: int = 0
    barriers: tuple[int, ...] = ()
    usual: tuple[tuple[int, ...], ...] = ()
    """Function, address and count of reads that other programs make."""

    def __post_init__(self) -> None:
        for read in self.usual:
            if len(read) != 3:
                raise ValueError("usual: each read is [function, address, count]")
        if not 1 <= self.longest <= MAX_REGISTERS:
            raise ValueError(f"longest: {self.longest} is not in 1..{MAX_REGISTERS}")
        if not 0 <= self.bridge <= MAX_REGISTERS:
            raise ValueError(f"bridge: {self.bridge} is not in 0..{MAX_REGISTERS}")


@dataclass(frozen=True)
class Sleep:
    """The device is off at night."""

    settle_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.settle_s <= 3600:
            raise ValueError(f"settle_s: {self.settle_s} is not in 0..3600")


@dataclass(frozen=True)
class IdentityCode:
    """A number that tells what a device is."""

    address: int
    type: str
    values: tuple[int, ...]
    order: str = "ABCD"
    function: int | None = None

    def __post_init__(self) -> None:
        _one_of("type", self.type, tuple(REGISTER_TYPES))
        _one_of("order", self.order, ORDERS)
        if not self.values:
            raise ValueError("values: at least one is needed")


@dataclass(frozen=True)
class IdentityText:
    """What the device says of itself; ``count`` in registers (bytes in byte protocols)."""

    field: str
    address: int
    count: int
    function: int | None = None

    def __post_init__(self) -> None:
        _one_of("field", self.field, IDENTITY_FIELDS)
        _in_range("count", self.count, 1, MAX_REGISTERS)


@dataclass(frozen=True)
class Identity:
    """How to tell that this is the device."""

    quantity: str = ""
    lowest: float = 0.0
    highest: float = 0.0
    code: IdentityCode | None = None
    texts: tuple[IdentityText, ...] = ()

    def __post_init__(self) -> None:
        if not self.quantity and self.code is None:
            raise ValueError("quantity: it or [identity.code] is needed")
        if self.quantity and not self.lowest < self.highest:
            raise ValueError("highest: must be above lowest")


@dataclass(frozen=True)
class Register:
    """One value of a device, or a text."""

    address: int
    type: str
    quantity: str = ""
    detail: str = ""
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    order: str = "ABCD"
    function: int | None = None
    """None: that of ``[requests]``. For byte protocols the command."""
    count: int = 0
    """Texts only: registers, or bytes in byte protocols."""
    group: str = ""
    not_there: tuple[int, ...] | None = None
    lowest: float | None = None
    highest: float | None = None
    slope: float | None = None
    rollover: bool | None = None
    codes: dict[str, float] | None = None
    needs: str = ""
    """Another value without which this one means nothing."""
    part: str = ""
    """A part of the map that some devices of the kind do not have."""

    def __post_init__(self) -> None:
        _check_name(self.quantity, self.detail, self.unit)
        _one_of("type", self.type, (*REGISTER_TYPES, TEXT, CLOCK))
        _one_of("order", self.order, ORDERS)
        if not self.scale:
            raise ValueError("scale: must not be 0")
        if self.type == TEXT:
            if self.quantity:
                raise ValueError("type: a quantity is a number; give a text as a detail")
            _in_range("count", self.count, 1, 2 * MAX_REGISTERS)
        elif self.type == CLOCK and self.quantity:
            raise ValueError("type: a quantity is a number; give a clock as a detail")
        elif self.count:
            raise ValueError("count: follows from the type; only texts have one")
        _in_range("address", self.address, 0, 0xFFFF)
        if self.slope is not None and self.slope <= 0:
            raise ValueError("slope: must be above 0")
        for text in self.codes or ():
            try:
                int(text, 0)
            except ValueError:
                raise ValueError(f"codes.{text}: not a whole number") from None
        if self.codes and self.is_text:
            raise ValueError("codes: only numbers have codes")
        for number in self.not_there or ():
            if self.is_text or not 0 <= number < 2 ** (8 * REGISTER_TYPES[self.type].size):
                raise ValueError(f"not_there: {number:#x} does not fit into {self.type}")

    @property
    def name(self) -> str:
        return self.quantity or self.detail

    @property
    def is_text(self) -> bool:
        """Whether what it says is shown as text."""
        return self.type in (TEXT, CLOCK)


@dataclass(frozen=True)
class Derived:
    """A value computed from others of the same poll."""

    rule: str
    of: tuple[str, ...]
    quantity: str = ""
    detail: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        _check_name(self.quantity, self.detail, self.unit)
        _one_of("rule", self.rule, RULES)
        if not self.of or (self.rule == "difference" and len(self.of) != 2):
            raise ValueError("of: names the values to compute from; two for a difference")
        if self.rule == "magnitude" and len(self.of) != 1:
            raise ValueError("of: one value has a magnitude")

    @property
    def name(self) -> str:
        return self.quantity or self.detail


@dataclass(frozen=True)
class SunSpecOptions:
    """``[sunspec]``: what to read of a device that describes itself."""

    bases: tuple[int, ...] = (40_000, 0, 50_000)
    role: str = "any"
    instance: int = 1
    """Which of several meters, from 1."""
    export_positive: bool = False
    """The meter shows export positive; turned round here."""

    def __post_init__(self) -> None:
        _one_of("role", self.role, ("any", "inverter", "meter"))
        _in_range("instance", self.instance, 1, 32)


@dataclass(frozen=True)
class ProfileFile:
    """The whole file."""

    name: str
    manufacturer: str
    model: str
    kind: str
    protocol: str
    sources: tuple[Source, ...]
    link: LinkDefaults = LinkDefaults()
    requests: Requests | None = None
    sleep: Sleep | None = None
    groups: dict[str, float] = field(default_factory=dict)
    not_there: dict[str, tuple[int, ...]] = field(default_factory=dict)
    identity: Identity | None = None
    registers: tuple[Register, ...] = ()
    derived: tuple[Derived, ...] = ()
    sunspec: SunSpecOptions = SunSpecOptions()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError("name: lower-case words joined by hyphens")
        _one_of("kind", self.kind, KINDS)
        _one_of("protocol", self.protocol, PROTOCOLS)
        if not self.sources:
            raise ValueError("sources: at least one is needed")
        for group, seconds in self.groups.items():
            if not 1 <= seconds <= 86_400:
                raise ValueError(f"groups.{group}: {seconds} is not in 1..86400 seconds")
        for kind in self.not_there:
            _one_of(f"not_there.{kind}", kind, tuple(REGISTER_TYPES))
        if self.protocol in (MODBUS, AA55):
            self._check_map()
        elif self.registers or self.derived or self.requests or self.identity:
            raise ValueError(f"protocol: {self.protocol} brings its own map; no registers here")

    @property
    def is_bytewise(self) -> bool:
        """Whether addresses count bytes of a payload instead of registers."""
        return self.protocol == AA55

    def function_of(self, register: Register | IdentityCode | IdentityText) -> int:
        """The function (or command) that ``register`` is read with."""
        if register.function is not None:
            return register.function
        return self.requests.function if self.requests is not None else 0

    def span_of(self, register: Register) -> int:
        """How many addresses ``register`` takes."""
        if register.type == CLOCK:
            return CLOCK_SIZE if self.is_bytewise else CLOCK_SIZE // 2
        if register.is_text:
            return register.count
        kind = REGISTER_TYPES[register.type]
        return kind.size if self.is_bytewise else kind.count

    # -- what spans several tables

    def _check_map(self) -> None:
        if self.requests is None:
            raise ValueError("requests: is required for this protocol")
        if self.identity is None:
            raise ValueError("identity: is required for this protocol")
        if not self.registers:
            raise ValueError("registers: at least one is needed")
        if self.protocol == MODBUS:
            self._check_functions()
        for index, register in enumerate(self.registers):
            self._check_register(f"registers[{index}]", register)
        self._check_names()
        self._check_overlaps()

    def _check_functions(self) -> None:
        assert self.requests is not None
        if self.requests.function not in READ_FUNCTIONS:
            raise ValueError("requests.function: 3 (holding) or 4 (input registers)")
        for index, register in enumerate(self.registers):
            if self.function_of(register) not in READ_FUNCTIONS:
                raise ValueError(f"registers[{index}].function: 3 (holding) or 4 (input)")

    def _check_register(self, place: str, register: Register) -> None:
        assert self.requests is not None
        if register.group and register.group not in self.groups:
            raise ValueError(f"{place}.group: {register.group!r} is not in [groups]")
        if register.address + self.span_of(register) > 0x10000:
            raise ValueError(f"{place}.address: the value ends beyond 65535")
        if self.span_of(register) > self.requests.longest:
            raise ValueError(
                f"{place}: takes {self.span_of(register)} registers, "
                f"more than requests.longest ({self.requests.longest})"
            )
        for barrier in self.requests.barriers:
            if register.address < barrier < register.address + self.span_of(register):
                raise ValueError(f"{place}.address: the value lies across the barrier {barrier}")
        if not self.is_bytewise and register.type in ("uint8", "int8"):
            raise ValueError(f"{place}.type: {register.type} is for byte protocols")

    def _check_names(self) -> None:
        seen: set[str] = set()
        for place, value in self._named():
            if value.name in seen:
                raise ValueError(f"{place}: {value.name} stands there twice")
            if isinstance(value, Derived):
                for part in value.of:
                    if part not in seen:
                        raise ValueError(f"{place}.of: {part} is not read (or comes later)")
            seen.add(value.name)
        for index, register in enumerate(self.registers):
            if register.needs and register.needs not in seen:
                raise ValueError(f"registers[{index}].needs: {register.needs} is not read")
        assert self.identity is not None
        if self.identity.quantity and self.identity.quantity not in seen:
            raise ValueError(f"identity.quantity: {self.identity.quantity} is not read")
        for index, source in enumerate(self.sources):
            for name in source.covers:
                if name not in seen:
                    raise ValueError(f"sources[{index}].covers: {name} is not read")

    def _named(self) -> Iterator[tuple[str, Register | Derived]]:
        for index, register in enumerate(self.registers):
            yield f"registers[{index}]", register
        for index, derived in enumerate(self.derived):
            yield f"derived[{index}]", derived

    def _check_overlaps(self) -> None:
        placed = sorted(
            (self.function_of(register), register.address, self.span_of(register), index)
            for index, register in enumerate(self.registers)
        )
        for one, other in itertools.pairwise(placed):
            same = one[:3] == other[:3]  # one number may be read as two values (bits, codes)
            if one[0] == other[0] and other[1] < one[1] + one[2] and not same:
                raise ValueError(
                    f"registers[{other[3]}].address: {self.registers[other[3]].name} overlaps "
                    f"{self.registers[one[3]].name} ({one[1]} to {one[1] + one[2] - 1})"
                )
