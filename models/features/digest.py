"""Hash of what a list of columns means; a model refuses rows made by another meaning."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any


def digest_of(name: str, version: int, columns: Sequence[str], *constants: Any) -> str:
    """SHA-256 over everything that fixes the meaning of ``columns``."""
    meaning = [name, version, list(columns), list(constants)]
    return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()
