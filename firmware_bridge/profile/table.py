"""The table of known devices in the documents, made from the profiles themselves.

Run: ``python -m firmware_bridge.profile.table docs/protocol/devices-table.md``
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .load import known_profiles, load_profile
from .schema import ProfileFile

_HEAD = """# Known devices

Made from `firmware_bridge/profiles/*.toml` by `python -m firmware_bridge.profile.table`; not edited
by hand. **verified**: checked against a recording of a real device, for the values named;
**documented**: taken from public documents or code, and not yet seen to be true on a device here.

| profile | devices | protocol | quantities | details | proved |
|---|---|---|---|---|---|
"""


def table() -> str:
    """The whole page."""
    files = [load_profile(name).file for name in known_profiles()]
    rows = "".join(_row(file) for file in files)
    return _HEAD + rows + "\n## Sources\n" + "".join(_sources(file) for file in files)


def _row(file: ProfileFile) -> str:
    named = [one.quantity for one in file.registers] + [one.quantity for one in file.derived]
    quantities = sum(map(bool, named))
    details = len(named) - quantities
    numbers = (str(quantities), str(details)) if named else ("the device's own", "")
    verified = sorted({name for s in file.sources if s.status == "verified" for name in s.covers})
    if not verified:
        proof = "documented"
    elif named:
        proof = f"verified: {len(verified)} of {quantities + details}"
    else:
        proof = "verified"
    cells = (
        f"`{file.name}`",
        f"{file.manufacturer} {file.model}".strip(),
        file.protocol,
        *numbers,
        proof,
    )
    return "| " + " | ".join(cells) + " |\n"


def _sources(file: ProfileFile) -> str:
    lines = []
    for source in file.sources:
        covers = f" ({', '.join(f'`{name}`' for name in source.covers)})" if source.covers else ""
        lines.append(f"- *{source.status}*: {source.name}{covers}\n")
    return f"\n**{file.name}**\n\n" + "".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Write the page to the file named."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m firmware_bridge.profile.table FILE\n")
        return 2
    Path(arguments[0]).write_text(table(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
