"""How a device is reached, and what it says it is: values that cross our border.

A site's settings say what they must; the device's profile knows how its kind likes to be spoken to;
the rest is the protocol's usual. :func:`resolve` puts the three together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from models.contract.errors import ContractError
from models.contract.topics import check_identifier

from .errors import PermanentDeviceError
from .profile.schema import LinkDefaults

MODBUS_TCP = "modbus-tcp"
MODBUS_RTU = "modbus-rtu"
MODBUS_RTU_TCP = "modbus-rtu-tcp"
"""RTU frames through a serial device server."""
GOODWE_UDP = "goodwe-udp"
SERIAL, TCP = "serial", "tcp"
"""A plain line that devices push into by themselves: smart meters, sensor nodes."""
PROTOCOLS = (MODBUS_TCP, MODBUS_RTU, MODBUS_RTU_TCP, GOODWE_UDP, SERIAL, TCP)
_ON_SERIAL = (MODBUS_RTU, SERIAL)
_BROADCAST_OR_RESERVED = "is not in 1..247"

_USUAL_PORTS = {MODBUS_TCP: 502, MODBUS_RTU_TCP: 8899, GOODWE_UDP: 8899, TCP: 2001}
_SERIAL_GAP_MS = 30.0
_SILENT_CHARACTERS = 3.5
"""What ends an RTU frame (Modbus over serial line 1.02, 2.5.1.1); many adapters need more."""


@dataclass(frozen=True)
class DeviceSettings:
    """Where a device is and how to speak to it; None where its profile or the usual will do.

    Raises:
        PermanentDeviceError: A field is missing or outside its range; names device and field.
    """

    name: str
    """Identifier of the device in every record."""
    protocol: str
    """``modbus-tcp``, ``modbus-rtu``, ``modbus-rtu-tcp`` (RTU frames through a serial device
    server), ``goodwe-udp``, or ``serial`` and ``tcp`` for devices that push by themselves."""
    profile: str
    """Name of a file in ``firmware_bridge/profiles``, or the path of an own ``.toml`` file."""
    host: str = ""
    """Network protocols: name or address."""
    port: int | None = None
    serial_port: str = ""
    """Serial protocols: path of the port; prefer ``/dev/serial/by-id/...``: unplugging keeps it."""
    baud_rate: int | None = None
    parity: str | None = None
    data_bits: int | None = None
    stop_bits: int | None = None
    unit: int | None = None
    """Modbus unit (slave) address."""
    timeout_s: float | None = None
    """Real seconds for a whole reply, airtime not counted; and for connecting."""
    frame_gap_ms: float | None = None
    """Silence between two frames on the link; usual: max(3.5 characters, 30 ms) on a serial line
    and none elsewhere. A pseudo terminal can do with 0."""
    connect_delay_s: float | None = None
    """Real seconds between connecting and the first request."""
    reconnect_gap_s: float | None = None
    """Real seconds between two connections at least."""
    word_order: str | None = None
    """``ABCD``, ``CDAB``, ``BADC`` or ``DCBA`` instead of the profile's orders, for devices that
    an installer has set differently."""
    rated_power_w: float | None = None
    """What the device can do; sharpens what counts as plausible."""
    control: bool = False
    """Whether writes may be sent to this device's line. Nothing in this version sends any."""

    def __post_init__(self) -> None:
        try:
            check_identifier(self.name)
        except ContractError as error:
            raise PermanentDeviceError(f"name: {error}") from error
        if self.protocol not in PROTOCOLS:
            self._refuse("protocol", f"{self.protocol!r} is unknown; use {', '.join(PROTOCOLS)}")
        if self.protocol in _ON_SERIAL:
            self._require("serial_port", bool(self.serial_port), f"needed for {self.protocol}")
        else:
            self._require("host", bool(self.host), f"needed for {self.protocol}")
        self._in_range("port", self.port, 1, 65_535)
        self._in_range("baud_rate", self.baud_rate, 300, 4_000_000)
        if self.protocol == MODBUS_TCP:
            self._in_range("unit", self.unit, 0, 255)
        elif self.unit is not None:
            # 0 is the broadcast address, to which nobody answers; 248 and above are reserved
            self._require("unit", 1 <= self.unit <= 247, f"{self.unit} {_BROADCAST_OR_RESERVED}")
        self._choice("parity", self.parity, ("N", "E", "O"))
        self._choice("data_bits", self.data_bits, (7, 8))
        self._choice("stop_bits", self.stop_bits, (1, 2))
        timeout = self.timeout_s
        self._require(
            "timeout_s", timeout is None or 0 < timeout <= 60, f"{timeout} is not in (0, 60]"
        )
        self._in_range("frame_gap_ms", self.frame_gap_ms, 0, 1000)
        self._in_range("connect_delay_s", self.connect_delay_s, 0, 30)
        self._in_range("reconnect_gap_s", self.reconnect_gap_s, 0, 60)
        self._choice("word_order", self.word_order, ("ABCD", "CDAB", "BADC", "DCBA"))
        self._in_range("rated_power_w", self.rated_power_w, 1, 1e9)

    def _in_range(self, field: str, value: float | None, lowest: float, highest: float) -> None:
        holds = value is None or lowest <= value <= highest
        self._require(field, holds, f"{value} is not in {lowest:.0f}..{highest:.0f}")

    def _choice(self, field: str, value: Any, allowed: tuple[Any, ...]) -> None:
        known = ", ".join(map(str, allowed))
        self._require(field, value is None or value in allowed, f"{value!r}: use {known}")

    def _require(self, field: str, holds: bool, otherwise: str) -> None:
        if not holds:
            self._refuse(field, otherwise)

    def _refuse(self, field: str, reason: str) -> None:
        error = PermanentDeviceError(f"{field}: {reason}")
        error.device = self.name
        raise error


@dataclass(frozen=True)
class Link:
    """A link with nothing left open. What two devices on one line must agree in is compared whole
    (:attr:`line`)."""

    protocol: str
    host: str
    port: int
    serial_port: str
    baud_rate: int
    parity: Literal["N", "E", "O"]
    data_bits: int
    stop_bits: int
    unit: int
    timeout_s: float
    frame_gap_s: float
    connect_delay_s: float
    reconnect_gap_s: float
    one_connection: bool
    control: bool

    @property
    def is_serial(self) -> bool:
        return self.protocol in _ON_SERIAL

    @property
    def bits_per_character(self) -> int:
        """Start, data, parity and stop bits."""
        return 1 + self.data_bits + (self.parity != "N") + self.stop_bits

    @property
    def line(self) -> tuple[object, ...]:
        """Settings of the wire itself: all its devices must have the same."""
        if self.is_serial:
            return (self.protocol, self.baud_rate, self.parity, self.data_bits, self.stop_bits)
        return (self.protocol,)


_NOTHING_SPECIAL = LinkDefaults()


def resolve(settings: DeviceSettings, defaults: LinkDefaults = _NOTHING_SPECIAL) -> Link:
    """The link of ``settings``: what they say, else what the profile says, else the usual."""

    def first(name: str, usual: Any) -> Any:
        given = getattr(settings, name)
        if given is None:
            given = getattr(defaults, name, None)
        return usual if given is None else given

    protocol = settings.protocol
    data_bits, parity = first("data_bits", 8), first("parity", "N")
    baud_rate, stop_bits = first("baud_rate", 9600), first("stop_bits", 1)
    bits = 1 + data_bits + (parity != "N") + stop_bits
    gap_ms = 0.0
    if protocol == MODBUS_RTU:
        gap_ms = max(_SILENT_CHARACTERS * bits / baud_rate * 1000.0, _SERIAL_GAP_MS)
    # A profile's port is that of its own network protocol; RTU through a converter has another.
    port = settings.port
    if port is None and protocol in (MODBUS_TCP, GOODWE_UDP, TCP):
        port = defaults.port
    return Link(
        protocol=protocol,
        host=settings.host,
        port=_USUAL_PORTS.get(protocol, 0) if port is None else port,
        serial_port=settings.serial_port,
        baud_rate=baud_rate,
        parity=parity,
        data_bits=data_bits,
        stop_bits=stop_bits,
        unit=first("unit", 1),
        timeout_s=first("timeout_s", 1.0),
        frame_gap_s=first("frame_gap_ms", gap_ms) / 1000.0,
        connect_delay_s=first("connect_delay_s", 0.0),
        reconnect_gap_s=first("reconnect_gap_s", 0.0),
        one_connection=defaults.one_connection,
        control=settings.control,
    )


@dataclass(frozen=True)
class DeviceIdentity:
    """What a device says it is; empty strings for what it does not say."""

    device: str
    profile: str
    """Profile and variant, for example ``sunspec/103`` or ``eastron-sdm630``."""
    manufacturer: str = ""
    model: str = ""
    serial_number: str = ""
    version: str = ""
