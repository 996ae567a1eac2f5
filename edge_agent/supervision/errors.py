"""Ways in which supervision ends the process, so that systemd starts it again."""

from __future__ import annotations


class RestartNeeded(Exception):
    """Raised by a worker, essential or not: only a new process helps (a limit, a ruined file)."""


class WorkerFailed(RuntimeError):
    """A worker is beyond help; the agent has ended in good order. Its cause is chained."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"the {name} worker is beyond help: {reason}")
        self.name, self.reason = name, reason
