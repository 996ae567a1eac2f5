"""Journal entries live and in batches, and what the centre answers: acknowledge, rewind."""

from __future__ import annotations

import json
import zlib
from typing import Any

from .. import SCHEMA_VERSION
from ..errors import PayloadError
from ..fields import Fields, Json, checked
from ..messages import Ack, Batch, Entry, EntryKey, Kind, Rewind, Void
from ..timestamps import format_iso8601
from .blocks import block_from_json, block_to_json
from .json_text import JOURNAL_KEY, MAX_BATCH, MAX_PAYLOAD, canonical, parse_json

BATCH_MAGIC = b"SSB1"
"""First bytes of a batch; the rest is one zlib stream (RFC 1950)."""

MAX_BATCH_ENTRIES = 100_000
"""Records shrink to a few bytes each, and become rows of a thousand."""


def encode_entry(entry: Entry) -> bytes:
    """Live form: the entry's own body with ``epoch`` and ``seq`` beside it.

    Raises ``PayloadError`` when nobody would read it for its size.
    """
    body = json.loads(entry.body)
    data = canonical(body | {"epoch": entry.key.epoch, "seq": entry.key.seq}).encode()
    if len(data) > MAX_PAYLOAD:
        raise PayloadError(f"{len(data)} bytes, at most {MAX_PAYLOAD} are accepted")
    return data


def decode_entry(data: bytes, kind: Kind) -> Entry:
    """Inverse of :func:`encode_entry` for an entry of ``kind`` (the topic says which)."""
    body = parse_json(data)
    fields = Fields(body)
    epoch, seq = fields.text("epoch"), fields.integer("seq", 1)
    key = checked(lambda: EntryKey(epoch, seq), "epoch")
    return Entry(key, kind, canonical({k: v for k, v in body.items() if k not in JOURNAL_KEY}))


def entry_body(entry: Entry) -> dict[str, Any]:
    """Parsed body of an entry."""
    return parse_json(entry.body.encode())


def encode_batch(batch: Batch) -> bytes:
    """Compressed backlog.

    The caller compares its length with what the broker takes, at most ``MAX_PAYLOAD``. Raises
    ``PayloadError`` for what nobody can see from outside: more text than a reader inflates.
    """
    value: dict[str, Json] = {
        "v": SCHEMA_VERSION,
        "epoch": batch.epoch,
        "first_seq": batch.first_seq,
        "entries": [[e.key.seq, e.kind.value, e.body] for e in batch.entries],
        "voids": [[void.first, void.last, void.reason] for void in batch.voids],
    }
    if batch.blocks:
        value["records"] = [block_to_json(block) for block in batch.blocks]
    text = canonical(value).encode()
    if len(text) > MAX_BATCH:
        raise PayloadError(f"batch of {len(text)} bytes, at most {MAX_BATCH} are inflated")
    return BATCH_MAGIC + zlib.compress(text, 6)


def decode_batch(data: bytes) -> Batch:
    """Inverse of :func:`encode_batch`; never inflates beyond ``MAX_BATCH``."""
    fields = Fields(parse_json(inflate_batch(data), MAX_BATCH))
    fields.version()
    epoch, first_seq = fields.text("epoch"), fields.integer("first_seq", 1)
    checked(lambda: EntryKey(epoch, first_seq), "epoch")
    entries = tuple(
        _entry_from_row(epoch, row, f"entries[{index}]")
        for index, row in enumerate(fields.rows("entries", 3))
    )
    blocks = tuple(
        block_from_json(body, f"records[{index}]")
        for index, body in enumerate(fields.array("records", optional=True))
    )
    count = len(entries) + sum(map(len, blocks))
    if count > MAX_BATCH_ENTRIES:
        raise PayloadError(f"{count} entries, at most {MAX_BATCH_ENTRIES} are accepted")
    voids = tuple(
        _void_from_row(row, f"voids[{index}]") for index, row in enumerate(fields.rows("voids", 3))
    )
    fields.finish()
    return checked(lambda: Batch(epoch, first_seq, entries, voids, blocks))


def inflate_batch(data: bytes) -> bytes:
    """JSON text inside a batch. Raises ``PayloadError`` for what is cut, damaged or too large."""
    if not data.startswith(BATCH_MAGIC):
        raise PayloadError("not a batch: wrong first bytes")
    if len(data) > MAX_PAYLOAD:
        raise PayloadError(f"{len(data)} bytes, at most {MAX_PAYLOAD} are accepted")
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data[len(BATCH_MAGIC) :], MAX_BATCH + 1)
    except zlib.error as error:
        raise PayloadError(f"damaged batch: {error}") from None
    if len(text) > MAX_BATCH:
        raise PayloadError(f"batch inflates beyond {MAX_BATCH} bytes")
    if not inflater.eof or inflater.unused_data:
        raise PayloadError("batch is cut, or something follows it")
    return text


def _entry_from_row(epoch: str, row: list[Any], path: str) -> Entry:
    fields = Fields({"seq": row[0], "kind": row[1], "body": row[2]}, path)
    key = EntryKey(epoch, fields.integer("seq", 1))
    kind, text = fields.enum("kind", Kind), fields.text("body", longest=MAX_PAYLOAD)
    try:
        body = parse_json(text.encode())
    except PayloadError as error:
        raise PayloadError(str(error), f"{path}.body") from None
    for name in JOURNAL_KEY:
        if name in body:
            raise PayloadError("does not belong into the body of a batch entry", f"{path}.{name}")
    return Entry(key, kind, canonical(body))


def _void_from_row(row: list[Any], path: str) -> Void:
    fields = Fields({"first": row[0], "last": row[1], "reason": row[2]}, path)
    first, last, reason = (
        fields.integer("first", 1),
        fields.integer("last", 1),
        fields.text("reason"),
    )
    return checked(lambda: Void(first, last, reason), path)


def encode_ack(ack: Ack) -> bytes:
    """``{epoch, through, ranges}``."""
    return canonical(
        {
            "v": SCHEMA_VERSION,
            "epoch": ack.epoch,
            "through": ack.through,
            "ranges": [list(pair) for pair in ack.ranges],
        }
    ).encode()


def decode_ack(data: bytes) -> Ack:
    """Inverse of :func:`encode_ack`."""
    fields = Fields(parse_json(data))
    fields.version()
    epoch, through = fields.text("epoch"), fields.integer("through")
    ranges = tuple(
        (row.integer("first", 1), row.integer("last", 1))
        for row in (
            Fields({"first": pair[0], "last": pair[1]}, f"ranges[{index}]")
            for index, pair in enumerate(fields.rows("ranges", 2))
        )
    )
    fields.finish()
    return checked(lambda: Ack(epoch, through, ranges))


def encode_rewind(rewind: Rewind) -> bytes:
    """``{since, reason}``."""
    return canonical(
        {"v": SCHEMA_VERSION, "since": format_iso8601(rewind.since), "reason": rewind.reason}
    ).encode()


def decode_rewind(data: bytes) -> Rewind:
    """Inverse of :func:`encode_rewind`."""
    fields = Fields(parse_json(data))
    fields.version()
    since, reason = fields.instant("since"), fields.text("reason")
    fields.finish()
    return checked(lambda: Rewind(since, reason))
