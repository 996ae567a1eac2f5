"""The way to the broker, step by step: name, connection, TLS, and whether it takes us.

The last step is left out while the running agent is connected: its connection is the better proof,
and some brokers make the client id out of the certificate, so that a second client would throw the
first one out. Otherwise the doctor comes as ``<id>-doctor`` and leaves no session behind.
"""

from __future__ import annotations

import queue
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace

from edge_agent.uplink.mqtt_client import (
    Accepted,
    Connection,
    Ended,
    LastWill,
    MqttEvent,
    MqttSettings,
    Refused,
)
from models.contract import topics

from .certificates import parse_der
from .finding import Finding, failed, ok, warning
from .surroundings import RunningAgent, connect_trouble

SUBJECT = "broker"
WARN_DAYS = 30
_CLOCK_ERRORS = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED
_NAME_ERRORS = frozenset({62, 64})  # _HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH


def check_broker(
    agent_id: str, settings: MqttSettings, agent: RunningAgent | None
) -> Iterator[Finding]:
    """Every step up to the first that fails."""
    place = f"{settings.host}:{settings.port}"
    limit_s = settings.connect_timeout_s
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        yield failed(
            SUBJECT, f"{settings.host}: the name cannot be resolved: {error}",
            "correct `host` in [mqtt]; is there a network and a name server (/etc/resolv.conf)?",
        )  # fmt: skip
        return
    addresses = ", ".join(dict.fromkeys(str(one[4][0]) for one in found))
    try:
        raw = socket.create_connection((settings.host, settings.port), timeout=limit_s)
    except OSError as error:
        trouble, todo = connect_trouble(error, limit_s)
        yield failed(SUBJECT, f"{place} ({addresses}): {trouble}", todo)
        return
    with raw:
        if settings.ca_file is None:
            yield ok(SUBJECT, f"{place} ({addresses}) takes connections, without TLS")
        else:
            finding = _tls(raw, settings)
            yield finding
            if finding.state == "failed":
                return
    if agent is not None and agent.connected:
        yield ok("MQTT", "the running agent is connected")
        return
    yield _mqtt(agent_id, settings)


def _tls(raw: socket.socket, settings: MqttSettings) -> Finding:
    subject = "broker's TLS"
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: "")
    except (OSError, ValueError):
        return warning(subject, "not tried: files of [mqtt] cannot be used", "see certificates")
    try:
        with context.wrap_socket(raw, server_hostname=settings.host) as secured:
            der, version = secured.getpeercert(binary_form=True), secured.version()
    except ssl.SSLCertVerificationError as error:
        return failed(subject, f"is not believed: {error.verify_message}", _remedy(error, settings))
    except (OSError, ssl.SSLError) as error:
        return failed(
            subject, f"no handshake: {getattr(error, 'reason', None) or error}",
            f"does port {settings.port} speak TLS (8883 usually does, 1883 does not)?",
        )  # fmt: skip
    assert der is not None
    days = parse_der(der).days_left(time.time())
    found = f"{version}, the broker's certificate holds for {days:.0f} days"
    if days < WARN_DAYS:
        return warning(subject, found, "whoever runs the broker must renew it")
    return ok(subject, found)


def _remedy(error: ssl.SSLCertVerificationError, settings: MqttSettings) -> str:
    if error.verify_code in _CLOCK_ERRORS:
        return "is the clock of this box right? If so, the broker's certificate must be renewed"
    if error.verify_code in _NAME_ERRORS:
        return "`host` in [mqtt] must be the name or address that stands in the certificate"
    return f"{settings.ca_file} must hold the authority that signed the broker's certificate"


def _mqtt(agent_id: str, settings: MqttSettings) -> Finding:
    subject, client_id = "MQTT", f"{agent_id}-doctor"
    events: queue.SimpleQueue[MqttEvent] = queue.SimpleQueue()
    # No payload: if this process dies now, the broker publishes nothing that stays.
    will = LastWill(topics.build(agent_id, "fence"), b"")
    try:
        connection = Connection(client_id, replace(settings, session_expiry_s=0), will, events.put)
    except (OSError, ValueError) as error:
        return failed(subject, f"not tried: {error}", "see certificates")
    deadline = time.monotonic() + 2 * settings.connect_timeout_s
    refused: Refused | None = None
    try:
        while True:
            event = events.get(timeout=max(0.0, deadline - time.monotonic()))
            if isinstance(event, Accepted):
                return ok(subject, f"the broker takes {client_id}")
            if isinstance(event, Refused):
                refused = event
            if isinstance(event, Ended):
                return _not_taken(client_id, refused, event, settings)
    except queue.Empty:
        return failed(
            subject, f"no answer to CONNECT within {2 * settings.connect_timeout_s:g} s",
            "does MQTT 5 listen on this port?",
        )  # fmt: skip
    finally:
        connection.disconnect()


def _not_taken(
    client_id: str, refused: Refused | None, ended: Ended, settings: MqttSettings
) -> Finding:
    if refused is None:
        return failed(
            "MQTT", f"the broker ended the connection: {ended.reason}",
            "its log says why; does it trust who signed our certificate?"
            if settings.cert_file else "its log says why; does it want TLS, or a certificate?",
        )  # fmt: skip
    return failed(
        "MQTT", f"the broker refuses {client_id}: {refused.reason}",
        "check username, password_file and certificate in [mqtt]. A broker that takes the agent's"
        " own name only refuses the doctor too: start the agent, and ask the doctor again",
    )  # fmt: skip
