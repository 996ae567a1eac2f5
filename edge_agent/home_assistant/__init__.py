"""Optional: the site in the owner's own Home Assistant, by its MQTT discovery.

``settings`` is the table ``[home_assistant]``; ``sensors`` says what each quantity is to Home
Assistant, ``discovery`` describes devices with them, ``outlook``, ``alerts`` and ``board`` say what
is the case now, ``outbox`` keeps the newest message of each topic, ``publisher`` owns the
connection. All but the last are pure. For people: docs/operations/home-assistant.md.
"""

from .discovery import DeviceInfo, describe_devices
from .publisher import HomeAssistant
from .settings import HomeAssistantSettings

__all__ = ["DeviceInfo", "HomeAssistant", "HomeAssistantSettings", "describe_devices"]
