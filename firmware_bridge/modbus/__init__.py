"""Modbus on TCP and on a serial line, read-only, with every reply checked against its request.

``request``: what may be asked. ``framing``: bytes <-> registers, pure. ``links``: byte pipes.
``bus``: one owner per link, deadlines and recovery. ``memory``: which replies could be another's.
``turns``: whose turn it is. ``buses``: who shares which link. ``port``:
what drivers see.
"""
