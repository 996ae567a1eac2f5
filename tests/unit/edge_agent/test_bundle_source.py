"""A source that is slow, silent, lying or not there never looks like "there is no such file"."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError

from edge_agent.errors import TransportUnavailable
from edge_agent.updating.bundle_source import (
    DirectorySource,
    NotPublished,
    RetainedSource,
    SourceFetcher,
)
from models.bundle.pieces import encode_index

TARGET = "targets/fleet/ab.bundle.tar"
TOPIC = f"solar/bundles/{TARGET}"


class Broker:
    """What a broker answers; ``silent`` topics get no answer."""

    def __init__(self) -> None:
        self.retained: dict[str, bytes] = {}
        self.silent: set[str] = set()

    async def fetch_retained(self, topic_filter: str, timeout_s: float) -> dict[str, bytes]:
        if topic_filter in self.silent:
            raise TransportUnavailable("no fence")
        found = self.retained.get(topic_filter)
        return {} if found is None else {topic_filter: found}


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join(10)
    running.close()


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def fetcher(broker: Broker, loop: asyncio.AbstractEventLoop) -> SourceFetcher:
    return SourceFetcher(RetainedSource(broker.fetch_retained, loop, 5.0), 60.0)


def test_pieces_come_together(broker: Broker, fetcher: SourceFetcher) -> None:
    broker.retained = {f"{TOPIC}/index": b'{"length":5,"pieces":2}', f"{TOPIC}/0": b"abc"}
    broker.retained[f"{TOPIC}/1"] = b"de"
    assert fetcher.download_bytes(TARGET, 100) == b"abcde"
    broker.retained["solar/bundles/metadata/timestamp.json"] = b"{}"
    assert fetcher.download_bytes("metadata/timestamp.json", 100) == b"{}"


@pytest.mark.parametrize("path", [TARGET, "metadata/2.root.json"])
def test_absent_is_404(fetcher: SourceFetcher, path: str) -> None:
    with pytest.raises(NotPublished) as caught:
        fetcher.download_bytes(path, 100)
    assert (caught.value.status_code, caught.value.path) == (404, path)


@pytest.mark.parametrize("silent", ["index", "0", "1"])
def test_silence_is_not_404(broker: Broker, fetcher: SourceFetcher, silent: str) -> None:
    broker.retained = {f"{TOPIC}/index": b'{"length":5,"pieces":2}', f"{TOPIC}/0": b"abc"}
    broker.retained[f"{TOPIC}/1"] = b"de"
    broker.silent = {f"{TOPIC}/{silent}"}
    with pytest.raises(DownloadError, match="no fence") as caught:
        fetcher.download_bytes(TARGET, 100)
    assert not isinstance(caught.value, DownloadHTTPError)


@pytest.mark.parametrize(
    "index",
    [b"{}", b"[]", b"x", b'{"length":5,"pieces":0}', b'{"length":5,"pieces":1000000000}'],
)
def test_index_that_makes_no_sense(broker: Broker, fetcher: SourceFetcher, index: bytes) -> None:
    broker.retained = {f"{TOPIC}/index": index}
    with pytest.raises(DownloadError):
        fetcher.download_bytes(TARGET, 100)


def test_more_pieces_than_signed_end_the_download(broker: Broker, fetcher: SourceFetcher) -> None:
    broker.retained = {f"{TOPIC}/{number}": bytes(60) for number in range(1000)}
    broker.retained[f"{TOPIC}/index"] = b'{"length":60000,"pieces":1000}'
    broker.silent = {f"{TOPIC}/2"}  # it must not even be asked for
    with pytest.raises(DownloadLengthMismatchError):
        fetcher.download_bytes(TARGET, 100)


def test_trickling_source_is_given_up(broker: Broker, loop: asyncio.AbstractEventLoop) -> None:
    broker.retained = {f"{TOPIC}/{number}": b"x" for number in range(9)}
    broker.retained[f"{TOPIC}/index"] = b'{"length":9,"pieces":9}'
    source = RetainedSource(broker.fetch_retained, loop, 5.0)
    with pytest.raises(DownloadError, match="took longer than 0 s"):
        SourceFetcher(source, 0.0).download_bytes(TARGET, 100)


def test_closed_event_loop_is_no_answer(broker: Broker) -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    fetcher = SourceFetcher(RetainedSource(broker.fetch_retained, closed, 5.0), 60.0)
    with pytest.raises(DownloadError, match="the agent is ending"):
        fetcher.download_bytes(TARGET, 100)


def test_directory_gives_its_files_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    stick = tmp_path / "stick"
    (stick / "metadata").mkdir(parents=True)
    (stick / "metadata" / "1.root.json").write_bytes(b"{}")
    (stick / "link").symlink_to(tmp_path / "secret")
    fetcher = SourceFetcher(DirectorySource(stick), 60.0)
    assert fetcher.download_bytes("metadata/1.root.json", 10) == b"{}"
    for path in ("../secret", "link", str(tmp_path / "secret"), "metadata", "metadata/2.root.json"):
        with pytest.raises(NotPublished):
            fetcher.download_bytes(path, 10)


def test_missing_medium_is_not_404(tmp_path: Path) -> None:
    fetcher = SourceFetcher(DirectorySource(tmp_path / "stick"), 60.0)
    with pytest.raises(DownloadError, match="is the medium mounted") as caught:
        fetcher.download_bytes("metadata/2.root.json", 10)
    assert not isinstance(caught.value, DownloadHTTPError)


def test_index_says_how_many_pieces() -> None:
    assert encode_index(200_000) == b'{"length": 200000, "pieces": 1}'
    assert encode_index(200_001) == b'{"length": 200001, "pieces": 2}'
