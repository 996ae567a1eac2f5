"""Writes what is generated from the contract: JSON Schemas, docs/protocol/mqtt.md, the glossary.

    python -m models.contract.schema docs/protocol --nomenclature docs/NOMENCLATURE.md

The schemas are built in ``payload_schemas``, the pages in ``protocol_page`` and ``glossary``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .glossary import glossary
from .payload_schemas import schemas
from .protocol_page import protocol_page


def protocol_files() -> dict[str, str]:
    """Text of every generated file of ``docs/protocol`` by its name."""
    files = {
        f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }
    return files | {"mqtt.md": protocol_page()}


def main(arguments: list[str] | None = None) -> None:
    """Write the schemas and ``mqtt.md`` into a folder, and the glossary into a file."""
    parser = argparse.ArgumentParser(
        prog="python -m models.contract.schema",
        description="Write the protocol documentation that is generated from the contract.",
    )
    parser.add_argument("folder", type=Path, nargs="?", help="for the schemas and mqtt.md")
    parser.add_argument("--nomenclature", type=Path, metavar="FILE", help="for the glossary")
    chosen = parser.parse_args(arguments)
    if chosen.folder is None and chosen.nomenclature is None:
        parser.error("name a folder, or --nomenclature FILE, or both")
    if chosen.folder is not None:
        chosen.folder.mkdir(parents=True, exist_ok=True)
        for name, text in protocol_files().items():
            (chosen.folder / name).write_text(text, encoding="utf-8")
    if chosen.nomenclature is not None:
        chosen.nomenclature.parent.mkdir(parents=True, exist_ok=True)
        chosen.nomenclature.write_text(glossary(), encoding="utf-8")


if __name__ == "__main__":
    main()
