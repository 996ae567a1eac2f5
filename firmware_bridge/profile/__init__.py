"""Devices as data: what a profile file may say, loading it, and reading replies by it.

``schema``: the tables and keys of a file, each checked when it is loaded. ``load``: finding files.
``scaling``: a raw number to base units, exactly. ``decoder``: blocks of registers to values.
``encoder``: the inverse, for simulated devices. ``profile``: all of it behind one object.
"""

from .load import known_profiles, load_profile, parse_profile
from .profile import Profile
from .schema import LinkDefaults, ProfileFile

__all__ = [
    "LinkDefaults",
    "Profile",
    "ProfileFile",
    "known_profiles",
    "load_profile",
    "parse_profile",
]
