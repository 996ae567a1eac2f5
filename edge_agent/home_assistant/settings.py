"""``[home_assistant]``: the owner's broker, and the names that the site has there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import tzinfo

from edge_agent.local_zone import check_zone, local_zone
from edge_agent.uplink.mqtt_client import MqttSettings
from edge_agent.uplink.reconnect import ReconnectSettings
from models.contract.topics import check_identifier

_LONGEST_NODE = 61
"""The client id is the node and ``-ha``, and no longer than an identifier."""
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64}){0,3}")


@dataclass(frozen=True)
class HomeAssistantSettings:
    """Without this table nothing of it runs. The keys of the connection are those of ``[mqtt]``."""

    host: str
    port: int = 1883
    username: str | None = None
    password_file: str | None = None
    """First line is the password."""
    ca_file: str | None = None
    """Certificates that may sign the broker's; turns TLS on. Use port 8883 then."""
    cert_file: str | None = None
    key_file: str | None = None
    keepalive_s: int = 30
    connect_timeout_s: float = 10.0
    discovery_prefix: str = "homeassistant"
    """As in the options of Home Assistant's MQTT integration."""
    topic_prefix: str = "solar-edge"
    """What the values are published under; not ``solar``, so that one broker may serve both."""
    node: str | None = None
    """Name of this site there; the agent's id if left out."""
    timezone: str | None = None
    """Whose day is "today": a name like ``Europe/Berlin``. Without it, the zone of the site's
    longitude, which changes the day while it is night, but not at midnight."""
    reconnect: ReconnectSettings = ReconnectSettings()

    def __post_init__(self) -> None:
        self.mqtt()
        for name in ("discovery_prefix", "topic_prefix"):
            if not _PREFIX.fullmatch(getattr(self, name)):
                raise ValueError(
                    f"{name}: must be words of letters, digits, '_' and '-', joined by '/'"
                )
        if self.discovery_prefix == self.topic_prefix:
            raise ValueError("topic_prefix: must not be the discovery_prefix")
        if self.node is not None:
            try:
                check_identifier(self.node)
            except ValueError as error:
                raise ValueError(f"node: {error}") from None
        check_zone(self.timezone)

    def mqtt(self) -> MqttSettings:
        """The same in the words of the connection. Raises ``ValueError`` as ``key: reason``.

        No session is kept: what the broker would hold for us is out of date when we come back.
        """
        return MqttSettings(
            host=self.host,
            port=self.port,
            username=self.username,
            password_file=self.password_file,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            keepalive_s=self.keepalive_s,
            connect_timeout_s=self.connect_timeout_s,
            session_expiry_s=0,
        )

    def zone(self, longitude: float) -> tzinfo:
        """The zone whose midnights part the days of a site at ``longitude``."""
        return local_zone(self.timezone, longitude)

    def node_of(self, agent: str) -> str:
        """The name of the site of ``agent``."""
        return self.node or agent

    def client_id(self, agent: str) -> str:
        """Never the agent's own id: on one broker the second connection would throw out the first,
        which is the uplink."""
        return f"{self.node_of(agent)[:_LONGEST_NODE]}-ha"
