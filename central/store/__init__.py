"""What the fleet has sent, kept for good: ``open_store(url)`` gives a ``Store``.

``store`` commits, ``queries`` asks, ``values`` are what goes in and out, ``database`` is the SQLite
file, ``schema/`` its versions.
"""

from .database import RefusedRowsError, StoreError
from .queries import Queries
from .store import Store, open_store

__all__ = ["Queries", "RefusedRowsError", "Store", "StoreError", "open_store"]
