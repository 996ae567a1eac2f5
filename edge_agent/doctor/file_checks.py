"""Files that the settings name: certificates, key, password, TUF root. Read, never shown."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

from edge_agent.uplink.mqtt_client import MqttSettings
from models.contract.timestamps import format_iso8601

from .broker_checks import WARN_DAYS
from .certificates import CertificateInfo, read_certificates
from .finding import Finding, State, failed, ok, warning

_MOST_BYTES = 10_000_000


def check_mqtt_files(agent_id: str, settings: MqttSettings) -> Iterator[Finding]:
    """Certificates, key and password of ``[mqtt]``."""
    if settings.ca_file is None:
        yield _without_tls(settings)
    else:
        yield _authorities(Path(settings.ca_file))
    if settings.cert_file is not None and settings.key_file is not None:
        cert_file, key_file = Path(settings.cert_file), Path(settings.key_file)
        own = list(_own_certificate(agent_id, cert_file))
        yield from own
        if all(finding.state is not State.FAILED for finding in own) or cert_file.exists():
            yield from _key(cert_file, key_file)
    if settings.password_file is not None:
        yield _password(Path(settings.password_file))


def _without_tls(settings: MqttSettings) -> Finding:
    if settings.host in ("localhost", "127.0.0.1", "::1"):
        return ok("certificates", "none needed: the broker is on this box")
    return warning(
        "certificates", "the connection to the broker is not encrypted",
        "set ca_file, cert_file and key_file in [mqtt], and port 8883",
    )  # fmt: skip


def _authorities(file: Path) -> Finding:
    subject = "ca_file"
    try:
        found = read_certificates(file)
        ssl.create_default_context(cafile=str(file))
    except (OSError, ValueError) as error:
        return failed(subject, _unreadable(file, error), "the centre gives it at enrolment")
    longest = max(found, key=lambda one: one.not_after)
    return _expiry(subject, file, longest, "the centre must give a new one")


def _own_certificate(agent_id: str, file: Path) -> Iterator[Finding]:
    subject = "cert_file"
    todo = f"the centre issues it, to the name {agent_id}"
    try:
        own = read_certificates(file)[0]
    except (OSError, ValueError) as error:
        yield failed(subject, _unreadable(file, error), todo)
        return
    if own.common_name == agent_id:
        yield _expiry(subject, file, own, todo)
    else:
        yield warning(
            subject, f"{file} names {own.common_name or 'nobody'}, the settings {agent_id}",
            f"brokers let an agent publish under its certificate's name only: {todo}",
        )  # fmt: skip


def _expiry(subject: str, file: Path, certificate: CertificateInfo, todo: str) -> Finding:
    now = time.time()
    days = certificate.days_left(now)
    until = format_iso8601(int(certificate.not_after * 1000))[:10]
    if days < 0:
        return failed(subject, f"{file} has expired on {until}", f"{todo}; is the clock right?")
    if certificate.not_before > now:
        since = format_iso8601(int(certificate.not_before * 1000))
        return failed(subject, f"{file} holds from {since} on", "is the clock of this box right?")
    found = f"{file} holds for {days:.0f} days, until {until}"
    return warning(subject, found, todo) if days < WARN_DAYS else ok(subject, found)


def _key(cert_file: Path, key_file: Path) -> Iterator[Finding]:
    subject = "key_file"
    try:
        mode = key_file.stat().st_mode
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(cert_file, key_file, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            found = f"{key_file} does not belong to {cert_file}"
        else:
            found = f"{key_file} and {cert_file} cannot be used: {error.reason or error}"
        yield failed(subject, found, "take both from the same enrolment; the key has no password")
        return
    except (OSError, ValueError) as error:
        yield failed(subject, _unreadable(key_file, error), _install(key_file))
        return
    yield _secret(subject, key_file, mode, "belongs to the certificate")


def _password(file: Path) -> Finding:
    subject = "password_file"
    try:
        mode = file.stat().st_mode
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        return failed(subject, _unreadable(file, error), _install(file))
    if not lines or not lines[0]:
        return failed(subject, f"{file} is empty", "write the password into its first line")
    return _secret(subject, file, mode, "has a password")


def _secret(subject: str, file: Path, mode: int, found: str) -> Finding:
    if mode & 0o007:
        return failed(
            subject, f"{file} {found}, and everybody on this box may read it", f"chmod o= {file}"
        )
    return ok(subject, f"{file} {found}")


def _install(file: Path) -> str:
    return f"sudo chgrp solar-edge {file} && sudo chmod 0640 {file}, or run this as that user"


def _unreadable(file: Path, error: OSError | ValueError) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{file}: {text}"


def check_tuf_root(file: Path) -> Iterator[Finding]:
    """Whether the first trusted TUF root can be one. Its signatures are python-tuf's matter."""
    subject = "root_file"
    todo = "copy the file that `solar-central trust-root` names"
    try:
        with file.open("rb") as stream:
            body = json.loads(stream.read(_MOST_BYTES))
        signed = body["signed"]
        roles = signed["roles"]
        is_root = signed["_type"] == "root" and all(
            roles[role]["keyids"] for role in ("root", "timestamp", "snapshot", "targets")
        )
    except (OSError, ValueError) as error:
        yield failed(subject, _unreadable(file, error), todo)
        return
    except (KeyError, TypeError):
        is_root = False
    if not is_root:
        yield failed(subject, f"{file} is no TUF root", todo)
        return
    # An expired one is still a beginning: newer roots are fetched and checked against it.
    yield ok(subject, f"{file}, version {signed.get('version')}")
