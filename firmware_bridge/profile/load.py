"""Finding profile files: those that come with the package, and an owner's own by path."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

from models.contract.errors import SettingsError
from models.contract.settings import parse_settings

from ..errors import PermanentDeviceError
from .profile import Profile
from .schema import ProfileFile

_FOLDER = resources.files("firmware_bridge") / "profiles"


@cache
def known_profiles() -> tuple[str, ...]:
    """Names of the profiles that come with the package."""
    names = [file.name for file in _FOLDER.iterdir()]
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


@cache
def load_profile(name: str) -> Profile:
    """The profile called ``name``, or that in the file ``name`` if it ends in ``.toml``.

    Raises:
        PermanentDeviceError: There is none, or it is wrong; names file, line and key.
    """
    if name.endswith(".toml"):
        try:
            return parse_profile(Path(name).read_text(encoding="utf-8"), name)
        except (OSError, UnicodeDecodeError) as error:
            raise PermanentDeviceError(f"profile: {name} cannot be read: {error}") from error
    if name not in known_profiles():
        raise PermanentDeviceError(
            f"profile: {name!r} is unknown; known: {', '.join(known_profiles())}; "
            "an own one is named by the path of its .toml file"
        )
    file = _FOLDER / f"{name}.toml"
    profile = parse_profile(file.read_text(encoding="utf-8"), file.name)
    if profile.name != name:
        raise PermanentDeviceError(f"{file.name}: name: {profile.name!r} is not the file's name")
    return profile


def parse_profile(text: str, file: str) -> Profile:
    """The profile written in ``text``; ``file`` is its name in errors.

    Raises:
        PermanentDeviceError: Not a profile; names file, line and key.
    """
    try:
        return Profile(parse_settings(text, ProfileFile, file=file))
    except SettingsError as error:
        raise PermanentDeviceError(str(error)) from error
