"""MQTT into the store: ``Ingest`` receives, commits and acknowledges.

``understand`` reads one message (pure), ``inbox`` groups them, ``subscriber`` commits and answers,
``rewind`` asks an agent to send again.
"""

from .rewind import request_rewind
from .subscriber import Ingest, IngestCounters

__all__ = ["Ingest", "IngestCounters", "request_rewind"]
