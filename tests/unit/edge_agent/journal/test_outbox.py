"""Bookkeeping of what is to be sent, under way, acknowledged, void; and packing it into batches."""

from __future__ import annotations

import random

import pytest

from edge_agent.journal.journal import Backlog
from edge_agent.journal.outbox import Outbox, Span
from edge_agent.journal.seq_ranges import SeqRanges
from edge_agent.uplink.batching import pack
from edge_agent.uplink.shipments import Shipments
from models.contract.messages import Entry, EntryKey, Kind, Void
from models.contract.payload import MAX_PAYLOAD, canonical, decode_batch

A, B, C = "a" * 16, "b" * 16, "c" * 16


def outbox() -> Outbox:
    """Epoch a: 1..10, b: never used, c: 11..20."""
    return Outbox([(1, A), (11, B), (11, C)], 20, SeqRanges())


def test_an_ack_of_one_epoch_never_touches_another() -> None:
    box = outbox()
    assert box.acknowledge(A, [(8, 15)], through=2) == 5
    assert list(box.done) == [(1, 2), (8, 10)]
    assert box.acknowledge(B, [(1, 20)], through=20) == 0
    assert box.acknowledge(C, [(20, 10**9)]) == 1
    assert box.pending() == 20 - 6


def test_spans_do_not_mix_epochs_and_name_what_is_void() -> None:
    box = outbox()
    box.voids[4] = Void(4, 5, "thinned")
    box.acknowledge(A, [(1, 1)])
    assert list(box.spans(0, 99, SeqRanges([(7, 8)]))) == [
        Span(A, 1, 2, 3),
        Span(A, 1, 4, 5, "thinned"),
        Span(A, 1, 6, 6),
        Span(A, 1, 9, 10),
        Span(C, 11, 11, 20),
    ]
    assert list(box.spans(9, 12, SeqRanges())) == [Span(A, 1, 10, 10), Span(C, 11, 11, 12)]


def test_a_shipment_is_done_when_all_of_it_is_acknowledged() -> None:
    shipments = Shipments()
    shipments.add(1, A, [(1, 10)], 5.0, batch=True)
    assert shipments.acknowledge(A, [(1, 4)]) == 0
    assert shipments.acknowledge(B, [(1, 10)]) == 0
    assert list(shipments.under_way()) == [(5, 10)]
    assert shipments.acknowledge(A, [(5, 99)]) == 1
    assert shipments.count(batch=True) == 0


def test_a_lost_connection_gives_back_only_what_the_broker_did_not_have() -> None:
    shipments = Shipments()
    shipments.add(1, A, [(1, 1)], 5.0, batch=False)
    shipments.add(2, A, [(2, 2)], 5.0, batch=False)
    shipments.passed_on(1)
    shipments.connection_lost()
    assert list(shipments.under_way()) == [(1, 1)]
    # Message numbers start again on a new connection: 1 is another message now.
    shipments.add(1, A, [(3, 3)], 5.0, batch=False)
    taken = shipments.take_back(1)
    assert taken is not None
    assert list(taken.seqs) == [(3, 3)]
    assert list(shipments.under_way()) == [(1, 1)]


def test_what_is_not_acknowledged_in_time_comes_back_once() -> None:
    shipments = Shipments()
    shipments.add(1, A, [(1, 3)], 5.0, batch=True)
    shipments.acknowledge(A, [(2, 2)])
    assert shipments.expire(4.9) == []
    (late,) = shipments.expire(5.0)
    assert list(late.seqs) == [(1, 1), (3, 3)]
    assert shipments.expire(9.0) == []


def entry(seq: int, body: str) -> Entry:
    return Entry(EntryKey(A, seq), Kind.RECORD, body)


def noise(seq: int, size: int) -> str:
    return canonical({"noise": random.Random(seq).randbytes(size // 2).hex()})


def test_a_batch_stays_below_the_limit_and_the_rest_comes_next() -> None:
    backlog = Backlog(A, 1, tuple(entry(s, noise(s, 400)) for s in range(1, 101)), (), 150)
    packed = pack(backlog, 10_000)
    assert packed.payload is not None
    assert len(packed.payload) <= 10_000
    batch = decode_batch(packed.payload)
    assert batch.entries == backlog.entries[: packed.entries]
    assert packed.ranges == ((1, packed.entries),)
    assert packed.last == packed.entries  # not 150: nothing in between is skipped


def test_a_whole_backlog_goes_on_behind_its_own_end() -> None:
    packed = pack(Backlog(A, 1, (entry(3, "{}"),), (Void(4, 9, "thinned"),), 12), 10_000)
    assert packed.last == 12
    assert packed.ranges == ((3, 3), (4, 9))


@pytest.mark.parametrize("body", ["not json", '{"a":NaN}', "[1]", '{"x":"\ud800"}', ""])
def test_an_entry_that_can_never_be_sent_is_declared_void_beside_the_others(body: str) -> None:
    packed = pack(Backlog(A, 1, (entry(1, "{}"), entry(2, body), entry(3, "{}")), (), 3), 10_000)
    assert packed.payload is not None
    batch = decode_batch(packed.payload)
    assert [one.key.seq for one in batch.entries] == [1, 3]
    assert [(void.first, void.last) for void in batch.voids] == [(2, 2)]
    assert batch.voids == packed.unsendable
    assert len(batch.voids[0].reason) <= 200


def test_an_entry_above_the_contracts_limit_is_declared_void() -> None:
    large = canonical({"text": "x" * MAX_PAYLOAD})
    packed = pack(Backlog(A, 1, (entry(1, large),), (), 1), 10_000)
    assert packed.payload is not None
    assert packed.unsendable[0].first == 1
    assert decode_batch(packed.payload).entries == ()


def test_an_entry_that_only_this_broker_refuses_is_skipped_not_lost() -> None:
    packed = pack(Backlog(A, 1, (entry(1, noise(1, 50_000)), entry(2, "{}")), (), 2), 10_000)
    assert packed.oversize == (1,)
    assert packed.unsendable == ()
    assert packed.payload is None
    assert packed.last == 1  # 2 comes with the next batch


def test_a_void_over_the_end_of_an_epoch_becomes_an_empty_one() -> None:
    outbox = Outbox([(1, A), (11, B)], 20, SeqRanges(), [Void(5, 15, "thinned to 1 min")])
    found = [(one.epoch, one.first, one.last) for one in outbox.spans(0, 99, SeqRanges([(1, 4)]))]
    assert found == [(A, 5, 10), (B, 11, 15), (B, 16, 20)]
    covered = SeqRanges([(1, 12)])
    found = [(one.epoch, one.first, one.last) for one in outbox.spans(0, 99, covered)]
    assert found == [(B, 13, 15), (B, 16, 20)]


def test_a_rewind_tells_again_what_is_void() -> None:
    outbox = Outbox([(1, A)], 20, SeqRanges([(1, 20)]), [Void(3, 4, "old"), Void(8, 9, "thinned")])
    assert [void.first for void in outbox.settled_voids()] == [3, 8]
    assert outbox.rewind([(6, 7), (10, 10)]) == 5
    assert [(one.first, one.last, one.reason) for one in outbox.spans(0, 99, SeqRanges())] == [
        (6, 7, None),
        (8, 9, "thinned"),
        (10, 10, None),
    ]


def test_a_shorter_void_hides_a_longer_one() -> None:
    outbox = Outbox([(1, A)], 20, SeqRanges())
    for void in (Void(3, 9, "thinned"), Void(3, 3, "cannot be sent"), Void(3, 12, "thinned")):
        outbox.declare(void)
    assert list(outbox.void_ranges()) == [(3, 12)]
