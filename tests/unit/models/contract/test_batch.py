"""Batches that are damaged, too large or contradict themselves."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import Any

import pytest

from models.contract.errors import ContractError, PayloadError
from models.contract.messages import Batch, Entry, EntryKey, Kind, Void
from models.contract.payload import (
    MAX_BATCH,
    MAX_PAYLOAD,
    canonical,
    decode_batch,
    encode_batch,
    encode_entry,
)

EPOCH = "0123456789abcdef"


def packed(value: Any) -> bytes:
    return b"SSB1" + zlib.compress(canonical(value).encode())


def body(**changes: Any) -> dict[str, Any]:
    batch = {"v": 1, "epoch": EPOCH, "first_seq": 1, "entries": [[1, "record", "{}"]], "voids": []}
    return batch | changes


def entry(seq: int, text: str = "{}", epoch: str = EPOCH) -> Entry:
    return Entry(EntryKey(epoch, seq), Kind.RECORD, text)


def test_a_bomb_is_not_inflated() -> None:
    bomb = b"SSB1" + zlib.compress(b" " * 100_000_000, 9)
    assert len(bomb) < MAX_PAYLOAD
    tracemalloc.start()
    try:
        with pytest.raises(PayloadError, match="inflates beyond 8000000 bytes"):
            decode_batch(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_BATCH


def test_a_batch_just_as_large_as_allowed() -> None:
    text = canonical(body()).encode()
    padded = text[:-1] + b" " * (MAX_BATCH - len(text)) + b"}"
    assert decode_batch(b"SSB1" + zlib.compress(padded)).entries[0].key.seq == 1
    with pytest.raises(PayloadError, match="inflates beyond"):
        decode_batch(b"SSB1" + zlib.compress(padded + b" "))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a batch: wrong first bytes"),
        (b"SSB2" + zlib.compress(b"{}"), "not a batch: wrong first bytes"),
        (canonical(body()).encode(), "not a batch: wrong first bytes"),
        (b"SSB1", "batch is cut"),
        (b"SSB1garbage", "damaged batch: "),
        (packed(body())[:-1], "batch is cut"),
        (packed(body()) + b"x", "something follows it"),
        (packed(body()) + zlib.compress(b"{}"), "something follows it"),
        (b"SSB1" + b"x" * MAX_PAYLOAD, "1000004 bytes, at most 1000000 are accepted"),
        (b"SSB1" + zlib.compress(b"[" * 1000), "nested deeper than 8"),
        (b"SSB1" + zlib.compress(b"\xff"), "not JSON"),
    ],
)
def test_bytes_that_are_no_batch(data: bytes, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        decode_batch(data)


def test_a_flipped_byte_is_found_by_the_checksum() -> None:
    data = bytearray(packed(body()))
    data[-1] ^= 1
    with pytest.raises(PayloadError, match="damaged batch"):
        decode_batch(bytes(data))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"v": 2}, "v: schema version 2 is not 1"),
        ({"epoch": "x"}, "epoch: epoch must be 16"),
        ({"first_seq": 0}, "first_seq: must be a whole number from 1"),
        ({"surprise": 1}, "surprise: is not part of this payload"),
        ({"entries": []}, "an empty batch"),
        ({"entries": [[1, "record"]]}, "entries: must be a list of lists of 3"),
        ({"entries": {"1": "{}"}}, "entries: must be a list of lists of 3"),
        ({"entries": [[1, "risk", "{}"]]}, r"entries\[0\].kind: must be one of: record"),
        ({"entries": [["1", "record", "{}"]]}, r"entries\[0\].seq: must be a whole number"),
        ({"entries": [[1, "record", {}]]}, r"entries\[0\].body: must be a text"),
        ({"entries": [[1, "record", "{"]]}, r"entries\[0\].body: not JSON"),
        ({"entries": [[1, "record", '{"a":NaN}']]}, r"entries\[0\].body: NaN is not JSON"),
        ({"entries": [[1, "record", '{"seq":4}']]}, r"entries\[0\].seq: does not belong into"),
        ({"entries": [[2, "record", "{}"], [1, "record", "{}"]]}, "ascend by seq"),
        ({"entries": [[2, "record", "{}"], [2, "record", "{}"]]}, "ascend by seq"),
        ({"first_seq": 2}, "ascend by seq"),
        ({"voids": [[3, 2, "lost"]]}, r"voids\[0\]: ranges must ascend"),
        ({"voids": [[2, 3, ""]]}, r"voids\[0\]: reason must be a text of 1"),
        ({"voids": [[0, 3, "lost"]]}, r"voids\[0\].first: must be a whole number from 1"),
    ],
)
def test_a_batch_that_contradicts_itself(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        decode_batch(packed(body(**changes)))


def test_entries_of_two_epochs_in_one_batch() -> None:
    with pytest.raises(ContractError, match="of one epoch"):
        Batch(EPOCH, 1, (entry(1), entry(2, epoch="f" * 16)))


def test_a_body_that_is_not_canonical_gets_the_digest_of_its_canonical_form() -> None:
    loose = decode_batch(packed(body(entries=[[1, "record", '{ "b": 1, "a": 2 }']])))
    assert loose.entries[0].digest == entry(1, '{"a":2,"b":1}').digest


def test_a_batch_that_no_reader_would_inflate_is_not_written() -> None:
    body = canonical({"text": " " * 900_000})
    with pytest.raises(PayloadError, match="at most 8000000 are inflated"):
        encode_batch(Batch(EPOCH, 1, tuple(entry(seq, body) for seq in range(1, 10))))
    assert encode_batch(Batch(EPOCH, 1, tuple(entry(seq, body) for seq in range(1, 9))))


def test_an_entry_that_no_reader_would_take_is_not_written() -> None:
    with pytest.raises(PayloadError, match="at most 1000000 are accepted"):
        encode_entry(entry(1, canonical({"text": "x" * MAX_PAYLOAD})))


def test_void_ranges_alone_are_a_batch() -> None:
    batch = Batch(EPOCH, 1, (), (Void(1, 9, "lost with the card"),))
    assert decode_batch(encode_batch(batch)) == batch
