"""Device protocols and drivers: bytes on a wire become records in base units.

The way through the package, bottom up: ``modbus`` owns the wire (links, framing, one bus object per
line, every reply validated against its request); ``registers``, ``profile`` and ``poll_plan`` say
what a device's registers mean and how to fetch them in few requests; ``sunspec`` does the same for
devices that describe themselves; ``drivers`` put both together behind one small protocol;
``simulator`` is the other end of the wire, with faults on request.

Nothing here knows of forecasting, storage or MQTT, and nothing here can write to a device: only
the function codes 3 and 4 leave the port. Every failure is a ``DeviceError``. One short use::

    buses = Buses()
    settings = DeviceSettings("inverter-1", "modbus-tcp", "sunspec", host="10.0.0.7")
    driver = open_driver(settings, buses)
    record = await driver.poll(clock.now())
    await driver.close()
"""

from .drivers import Driver, open_driver
from .errors import DeviceError, Fault, PermanentDeviceError, TransientDeviceError
from .modbus.buses import Buses
from .settings import DeviceIdentity, DeviceSettings

__all__ = [
    "Buses",
    "DeviceError",
    "DeviceIdentity",
    "DeviceSettings",
    "Driver",
    "Fault",
    "PermanentDeviceError",
    "TransientDeviceError",
    "open_driver",
]
