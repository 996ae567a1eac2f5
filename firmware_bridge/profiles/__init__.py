"""Devices as data, one file each; format: docs/protocol/devices.md."""
