"""A centre that acknowledges before it commits, so that the check can be seen to find it.

python -m benchmarks._history_broken SETTINGS.toml. Everything else is the real one's.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from central import service
from central.settings import load_central_settings
from central.store import Store
from central.store.values import Committed, Group

_LATE_S = 0.3


class HastyStore(Store):
    """Says that a group is committed, and commits it a moment later."""

    def commit(self, group: Group) -> Committed:
        late = threading.Thread(target=self._commit_later, args=(group,), daemon=True)
        late.start()
        return Committed(len(group.entries), 0, 0, (), dict.fromkeys(group.epochs(), 0))

    def _commit_later(self, group: Group) -> None:
        time.sleep(_LATE_S)
        super().commit(group)


def main() -> None:
    """Serve until killed."""

    def open_hasty(url: str, *, quarantine_rows: int) -> Store:
        store: Store = real_open(url, quarantine_rows=quarantine_rows)
        store.__class__ = HastyStore
        return store

    real_open = vars(service)["open_store"]
    vars(service)["open_store"] = open_hasty
    service.run(load_central_settings(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
