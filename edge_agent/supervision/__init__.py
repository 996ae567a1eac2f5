"""Keeping the agent alive: workers that are started again, and an end in good order."""

from .errors import RestartNeeded, WorkerFailed
from .loop_guard import LoopGuard
from .notify import notify_status, notify_systemd
from .progress import Busy, Progress
from .resources import ResourceCheck, ResourceLimits, Usage, UsageReader
from .restarts import SupervisionSettings
from .supervisor import Supervisor, WorkerReport

__all__ = [
    "Busy",
    "LoopGuard",
    "Progress",
    "ResourceCheck",
    "ResourceLimits",
    "RestartNeeded",
    "SupervisionSettings",
    "Supervisor",
    "Usage",
    "UsageReader",
    "WorkerFailed",
    "WorkerReport",
    "notify_status",
    "notify_systemd",
]
