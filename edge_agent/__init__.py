"""The runtime on the box: reads devices, keeps every reading, forecasts, and syncs over one MQTT
connection. May import ``models`` and ``firmware_bridge``; never ``central``.
"""
