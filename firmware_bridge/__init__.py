"""Device protocols and drivers: bytes on a wire become records in base units, or nothing does.

The way through the package, bottom up: ``modbus`` owns the wire (links, framing, one bus object per
line, every reply validated against its request); ``profile`` says what a device's registers mean
and ``poll_plan`` how to fetch them in few requests; ``sunspec``, ``goodwe``, ``p1`` and
``sensor_node`` are the protocols that bring their own map; ``drivers`` put both together behind one
small protocol, ``opening`` chooses; ``plausibility`` holds each value against what came before;
``health`` says when to ask a device that does not answer; ``flight`` remembers the last frames;
``simulator`` is the other end of the wire, with faults on request.

Nothing here knows of forecasting, storage or MQTT. Nothing is written to a device: a write would be
refused by the bus unless a setting enables control. Every failure is a ``DeviceError``. Short use::

    buses = Buses()
    settings = DeviceSettings("inverter-1", "modbus-tcp", "sunspec", host="10.0.0.7")
    driver = open_driver(settings, buses)
    record = await driver.poll(clock.now())
    await driver.close()
"""

from .drivers import Driver
from .errors import DeviceError, Fault, PermanentDeviceError, TransientDeviceError
from .health import Health, News, State
from .modbus.buses import Buses
from .opening import link_of, open_driver, profile_of
from .settings import DeviceIdentity, DeviceSettings, Link
from .values import Decoded, Detail

__all__ = [
    "Buses",
    "Decoded",
    "Detail",
    "DeviceError",
    "DeviceIdentity",
    "DeviceSettings",
    "Driver",
    "Fault",
    "Health",
    "Link",
    "News",
    "PermanentDeviceError",
    "State",
    "TransientDeviceError",
    "link_of",
    "open_driver",
    "profile_of",
]
