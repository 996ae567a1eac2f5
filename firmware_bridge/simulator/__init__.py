"""The other end of the wire: a site that answers the real protocols on real sockets and ports.

``series`` a power series from a file; ``inverter`` and ``meter`` turn one moment of it into
registers; ``server`` speaks Modbus TCP and RTU, with ``faults`` on request; ``terminal`` makes a
serial line where there is none; ``site`` puts them together. Made for demos and tests; an agent
cannot tell it from devices. Requests are decoded and replies encoded by pymodbus, registers are
packed here: no code is shared with the drivers that read them.
"""

from .faults import FaultKind, Faults
from .series import PowerSeries, SeriesError, SiteState, load_series
from .server import ModbusServer, SimulatedDevice
from .site import SimulatedSite, SimulationSettings, simulate
from .terminal import PtyPair, open_pty_pair

__all__ = [
    "FaultKind",
    "Faults",
    "ModbusServer",
    "PowerSeries",
    "PtyPair",
    "SeriesError",
    "SimulatedDevice",
    "SimulatedSite",
    "SimulationSettings",
    "SiteState",
    "load_series",
    "open_pty_pair",
    "simulate",
]
