"""The serving centre in one process: store, broker if need be, ingest, plain devices, HTTP.

Decides the order of starting and, in reverse, of ending: what has arrived is committed and
acknowledged before the store closes. Training and releases are commands of their own.

    stop = asyncio.Event()
    await serve(settings, stop)      # until somebody sets ``stop``

``run(settings)`` does that until SIGTERM or SIGINT.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import uvicorn

from central.api import ApiContext, ServiceState, create_app
from central.broker import Broker, BrokerError
from central.ingest import Ingest
from central.plain_devices import PlainDevices
from central.settings import ApiSettings, BrokerStart, CentralSettings, MqttSettings
from central.store import Store, open_store
from models.contract.clock import Clock, open_clock

log = logging.getLogger(__name__)

_GRACE_S = 5
"""Seconds for requests under way when stopping."""
_BROKER_CHECK_S = 1.0


class ServiceError(RuntimeError):
    """The centre cannot start; names the setting at fault."""


@dataclass(frozen=True)
class Running:
    """Where the started centre is to be found, and its parts."""

    api_url: str
    iot_url: str | None
    mqtt_host: str
    mqtt_port: int
    store: Store
    ingest: Ingest


async def serve(
    settings: CentralSettings,
    stop: asyncio.Event,
    *,
    clock: Clock | None = None,
    on_ready: Callable[[Running], None] | None = None,
) -> None:
    """Serve until ``stop`` is set; ``on_ready`` is called once everything listens.

    Raises ``StoreError``, ``ServiceError`` or ``BrokerError`` when it cannot start.
    """
    clock = clock or open_clock(settings.clock_anchor)
    async with contextlib.AsyncExitStack() as opened:
        sockets = opened.enter_context(_listen(settings.api))
        mqtt = await opened.enter_async_context(_broker(settings))
        store = open_store(settings.store_url, quarantine_rows=settings.ingest.quarantine_rows)
        opened.callback(store.close)
        plain = PlainDevices(
            store,
            settings.plain_devices,
            lambda topic, payload: ingest.messaging.send(topic, payload, retain=True),
        )
        ingest = Ingest(store, clock, mqtt, settings.ingest, plain.on_records)
        plain.start()
        opened.push_async_callback(asyncio.to_thread, plain.stop)
        ingest.start()
        opened.push_async_callback(asyncio.to_thread, ingest.stop)
        context = ApiContext(store, clock, settings.api, lambda: _state(ingest))
        await opened.enter_async_context(_http(context, sockets))
        urls = [f"http://{_host(s)}:{s.getsockname()[1]}" for s in sockets]
        iot_url = urls[1] if len(urls) > 1 else None
        log.info("serving on %s; MQTT broker %s:%d", " and ".join(urls), mqtt.host, mqtt.port)
        if on_ready is not None:
            on_ready(Running(urls[0], iot_url, mqtt.host, mqtt.port, store, ingest))
        await stop.wait()
        log.info("stopping")


def run(settings: CentralSettings, on_ready: Callable[[Running], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve(settings, stop, on_ready=on_ready)

    asyncio.run(main())


def _state(ingest: Ingest) -> ServiceState:
    trouble = ingest.trouble
    if trouble is None and ingest.messaging.refused_subscriptions:
        names = ", ".join(ingest.messaging.refused_subscriptions)
        trouble = f"the broker does not let the centre read {names}; check its access list"
    return ServiceState(
        mqtt_connected=ingest.messaging.connected,
        trouble=trouble,
        counters=asdict(ingest.counters),
    )


@contextlib.asynccontextmanager
async def _broker(settings: CentralSettings) -> AsyncIterator[MqttSettings]:
    """Start a broker where the settings ask for one, and keep it up; yields where the broker is."""
    mqtt = settings.mqtt
    if settings.broker.embedded is BrokerStart.NO or (
        settings.broker.embedded is BrokerStart.AUTO
        and (not _is_this_machine(mqtt.host) or _answers(mqtt))
    ):
        yield mqtt
        return
    with Broker(Path(settings.data_dir) / "broker", mqtt.port) as broker:
        log.info("started a broker of our own on port %d", broker.port)
        watching = asyncio.create_task(_keep_up(broker), name="broker")
        try:
            yield replace(mqtt, host=broker.host)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def _keep_up(broker: Broker) -> None:
    """Start the broker again when it has ended, whatever ended it; its clients come back alone."""
    while True:
        await asyncio.sleep(_BROKER_CHECK_S)
        if not broker.running:
            log.error("the broker has ended; starting it again (%s)", broker.log_path)
            try:
                # Not in a worker thread: Linux ends the broker with the thread that started it.
                broker.start()
            except BrokerError as error:
                log.error("%s", error)


def _answers(mqtt: MqttSettings) -> bool:
    try:
        socket.create_connection((mqtt.host, mqtt.port), timeout=2.0).close()
    except OSError:
        return False
    return True


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def _listen(api: ApiSettings) -> Iterator[list[socket.socket]]:
    """Bind every port first, so that a taken one is said before anything is started."""
    with contextlib.ExitStack() as opened:
        sockets = []
        for key, port in (("port", api.port), ("iot_port", api.iot_port)):
            if port is None:
                continue
            try:
                family = socket.getaddrinfo(api.host, port, type=socket.SOCK_STREAM)[0][0]
                listener = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((api.host, port))
            except OSError as error:
                raise ServiceError(
                    f"cannot listen on {api.host}:{port} ({error.strerror or error});"
                    f" set [api] host or {key}"
                ) from None
            sockets.append(listener)
        yield sockets


def _host(listener: socket.socket) -> str:
    host = str(listener.getsockname()[0])
    return f"[{host}]" if ":" in host else host


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the caller's: the HTTP server is only one of several things to end."""
        yield


@contextlib.asynccontextmanager
async def _http(context: ApiContext, sockets: list[socket.socket]) -> AsyncIterator[None]:
    config = uvicorn.Config(
        create_app(context),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=sockets), name="http")
    try:
        while not server.started:
            if task.done():
                task.result()
                raise ServiceError("the HTTP server ended at once; see the log")
            await asyncio.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        await task
