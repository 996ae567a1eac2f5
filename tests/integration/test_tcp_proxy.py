"""The bad line does what it is told, and nothing else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.tcp_proxy import TcpProxy

PATIENT_S = 10.0


class Echo:
    """A server that answers with what it gets; remembers it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard = bytearray()
        self.ended = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65_536):
                self.heard += data
                connection.sendall(data)
        self.ended.release()

    def close(self) -> None:
        with suppress(OSError):  # closed before
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENT_S)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with closing(Echo()) as server:
        yield server


@pytest.fixture
def line(echo: Echo) -> Iterator[TcpProxy]:
    with TcpProxy(echo.port) as proxy:
        yield proxy


@pytest.fixture
def client(line: TcpProxy) -> Iterator[socket.socket]:
    with connect(line) as connection:
        yield connection


def connect(line: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", line.port), timeout=PATIENT_S)


def ask(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return receive(client, len(data))


def receive(client: socket.socket, count: int) -> bytes:
    answer = b""
    while len(answer) < count and (more := client.recv(count - len(answer))):
        answer += more
    return answer


def silent(client: socket.socket, seconds: float = 0.2) -> bool:
    client.settimeout(seconds)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENT_S)
    return False


def test_a_good_line_changes_nothing_and_passes_the_end_on(
    echo: Echo, line: TcpProxy, client: socket.socket
) -> None:
    data = bytes(range(256)) * 4_000
    sending = threading.Thread(target=client.sendall, args=(data,))
    sending.start()
    assert receive(client, len(data)) == data
    sending.join()
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    assert echo.ended.acquire(timeout=PATIENT_S)
    assert line.bytes_carried == 2 * len(data)


def test_delay_and_little_bandwidth_take_their_time_and_keep_the_order(
    line: TcpProxy, client: socket.socket
) -> None:
    assert ask(client, b"quick") == b"quick"
    line.delay(0.1, jitter_s=0.1)
    began = time.monotonic()
    for part in (b"first", b"second", b"third"):
        client.sendall(part)
    assert receive(client, 16) == b"firstsecondthird"
    assert time.monotonic() - began >= 0.2
    line.heal()
    line.narrow(10_000)
    began = time.monotonic()
    assert ask(client, bytes(8_000)) == bytes(8_000)
    narrow_s = time.monotonic() - began
    assert narrow_s > 0.35  # the last piece is not waited for
    line.heal()
    began = time.monotonic()
    assert ask(client, bytes(8_000)) == bytes(8_000)
    assert time.monotonic() - began < narrow_s


def test_a_stall_holds_everything_and_loses_nothing(
    echo: Echo, line: TcpProxy, client: socket.socket
) -> None:
    assert ask(client, b"before") == b"before"
    line.stall()
    client.sendall(b"during")
    assert silent(client)
    assert bytes(echo.heard) == b"before"
    line.stall(on=False)
    assert receive(client, 6) == b"during"


def test_a_half_open_line_swallows_one_way_for_ever_and_is_reset_at_the_end(
    echo: Echo, line: TcpProxy, client: socket.socket
) -> None:
    assert ask(client, b"before") == b"before"
    line.swallow("up")
    client.sendall(b"lost")
    assert silent(client)
    line.swallow()
    client.sendall(b"lost too")
    assert silent(client)
    assert bytes(echo.heard) == b"before"
    line.heal()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with connect(line) as other:
        assert ask(other, b"after") == b"after"


def test_a_half_open_line_that_lost_nothing_goes_on(line: TcpProxy, client: socket.socket) -> None:
    assert ask(client, b"before") == b"before"
    line.swallow("up", "down")
    line.heal()
    assert ask(client, b"after") == b"after"


def test_a_goodbye_is_swallowed_too(echo: Echo, line: TcpProxy, client: socket.socket) -> None:
    assert ask(client, b"before") == b"before"
    line.swallow("up")
    client.close()
    assert not echo.ended.acquire(timeout=0.2)
    line.heal()
    assert echo.ended.acquire(timeout=PATIENT_S)


def test_reset_and_drop_end_what_is_open_and_new_connections_work(line: TcpProxy) -> None:
    with connect(line) as one:
        assert ask(one, b"one") == b"one"
        line.drop()
        assert one.recv(1) == b""
    with connect(line) as two:
        assert ask(two, b"two") == b"two"
        line.reset()
        with pytest.raises(ConnectionResetError):
            two.recv(1)
    with connect(line) as three:
        assert ask(three, b"three") == b"three"


def test_refusing_meets_newcomers_only(line: TcpProxy, client: socket.socket) -> None:
    assert ask(client, b"open") == b"open"
    line.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(line)
    assert ask(client, b"still open") == b"still open"
    line.refuse(on=False)
    with connect(line) as other:
        assert ask(other, b"let in") == b"let in"


def test_a_cut_ends_the_connection_at_that_very_byte(
    echo: Echo, line: TcpProxy, client: socket.socket
) -> None:
    assert ask(client, b"0123") == b"0123"
    line.cut_after(6, "up")
    client.sendall(b"4567")
    assert receive(client, 4) == b"4567"
    client.sendall(b"89abcdef")
    with suppress(ConnectionResetError):
        assert len(client.recv(10)) <= 2
    assert echo.ended.acquire(timeout=PATIENT_S)
    assert bytes(echo.heard) == b"0123456789"


def test_a_server_that_is_away_looks_like_a_reset(echo: Echo, line: TcpProxy) -> None:
    def call() -> bytes:
        with connect(line) as client:  # may be reset while it still connects
            return client.recv(1)

    echo.close()
    with pytest.raises(ConnectionResetError):
        call()
