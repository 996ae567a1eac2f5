"""The other end of the wire: devices that answer the real protocols on real sockets and ports.

``series`` a power series from a file; ``site_values`` every quantity at a moment of it;
``map_device`` any profile's registers; ``inverter`` and ``sunspec_meter`` the self-describing ones;
``replay`` a recording; ``server`` speaks Modbus TCP and RTU, ``dongle`` GoodWe's UDP, ``pushing``
smart meters and sensor nodes, all with ``faults`` on request; ``terminal`` makes a serial line
where there is none; ``running`` puts them together. Made for demos and tests; an agent cannot tell
it from devices.
"""

from .faults import FaultKind, Faults
from .running import SimulatedSite, SimulationSettings, simulate
from .series import PowerSeries, SeriesError, SiteState, load_series
from .server import Habits, IllegalRead, LineModel, ModbusServer, SimulatedDevice
from .terminal import PtyPair, open_pty_pair

__all__ = [
    "FaultKind",
    "Faults",
    "Habits",
    "IllegalRead",
    "LineModel",
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
