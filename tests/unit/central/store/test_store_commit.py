"""A commit: every key once, the first body stands, ``through`` moves over what is whole."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from central.store import RefusedRowsError, Store
from central.store.values import (
    EntryRow,
    Group,
    PlainRow,
    QuarantineRow,
    StatusRow,
    VoidRow,
    merge_ranges,
)
from models.contract.messages import Entry
from tests.fleet_messages import EPOCH, NOON, record_entry, status

AGENT = "site_01"
NAME = (AGENT, EPOCH)


def row(entry: Entry, agent: str = AGENT) -> EntryRow:
    seq = entry.key.seq
    at = NOON + seq * 5000
    return EntryRow(
        agent, EPOCH, seq, "record", "inverter", at, entry.digest, entry.body, NOON + seq
    )


def group(seqs: Iterable[int], first_seq: int | None = None) -> Group:
    rows = [row(record_entry(seq)) for seq in seqs]
    return Group(entries=rows, first_seqs={} if first_seq is None else {NAME: first_seq})


def test_every_key_is_stored_once_however_often_it_comes(store: Store) -> None:
    assert store.commit(group(range(1, 11))).new_entries == 10
    again = store.commit(group(range(5, 15)))
    assert (again.new_entries, again.repeated_entries) == (4, 6)
    with store.read() as ask:
        assert [key.seq for key in ask.keys_and_digests(AGENT)] == list(range(1, 15))


def test_the_same_key_with_another_body_is_an_alarm_and_the_first_stands(store: Store) -> None:
    store.commit(group([1]))
    other = Group(entries=[row(record_entry(1, power=777.0))])
    (conflict,) = store.commit(other).conflicts
    assert (conflict.agent, conflict.epoch, conflict.seq) == (AGENT, EPOCH, 1)
    assert store.commit(other).conflicts == (), "the same conflict is reported once"
    with store.read() as ask:
        (kept,) = ask.keys_and_digests(AGENT)
        assert kept.digest == record_entry(1).digest
        assert ask.conflicts() == [conflict]


def test_a_conflict_within_one_group_is_seen_too(store: Store) -> None:
    committed = store.commit(Group(entries=[row(record_entry(1)), row(record_entry(1, power=5.0))]))
    assert (committed.new_entries, len(committed.conflicts)) == (1, 1)


def test_two_agents_may_use_the_same_epoch_and_seq(store: Store) -> None:
    rows = [row(record_entry(1)), row(record_entry(1, power=2.0), agent="site_02")]
    committed = store.commit(Group(entries=rows))
    assert (committed.new_entries, committed.conflicts) == (2, ())


def test_through_is_zero_until_the_start_of_the_epoch_is_known(store: Store) -> None:
    assert store.commit(group([4, 5])).through == {NAME: 0}
    assert store.commit(group([6], first_seq=4)).through == {NAME: 6}


def test_through_waits_at_a_gap_and_jumps_when_it_closes(store: Store) -> None:
    assert store.commit(group([1, 2, 5, 6], first_seq=1)).through == {NAME: 2}
    assert store.commit(group([8])).through == {NAME: 2}
    assert store.commit(group([3, 4])).through == {NAME: 6}
    with store.read() as ask:
        assert ask.missing(AGENT, EPOCH) == [(7, 7)]


def test_void_numbers_count_as_complete(store: Store) -> None:
    store.commit(group([1, 2, 10], first_seq=1))
    voids = [VoidRow(*NAME, 3, 6, "thinned"), VoidRow(*NAME, 6, 9, "thinned")]
    assert store.commit(Group(voids=voids)).through == {NAME: 10}
    with store.read() as ask:
        assert ask.missing(AGENT, EPOCH) == []


def test_an_earlier_start_of_the_epoch_moves_through_back(store: Store) -> None:
    assert store.commit(group([5, 6], first_seq=5)).through == {NAME: 6}
    assert store.commit(group([2], first_seq=2)).through == {NAME: 2}
    assert store.commit(group([3, 4])).through == {NAME: 6}


@pytest.mark.parametrize("seed", range(5))
def test_through_and_missing_agree_with_a_plain_count_in_any_order_of_arrival(
    store: Store, seed: int
) -> None:
    rng = random.Random(seed)
    left = list(range(3, 60))
    rng.shuffle(left)
    voids = {7, 8, 9, 30}
    arrived: set[int] = set(voids)
    store.commit(
        Group(
            voids=[VoidRow(*NAME, 7, 9, "lost"), VoidRow(*NAME, 30, 30, "lost")],
            first_seqs={NAME: 3},
        )
    )
    while left:
        seqs = [left.pop() for _ in range(min(len(left), rng.randint(1, 9)))]
        arrived.update(seqs)
        expected = next(seq for seq in range(3, 100) if seq not in arrived) - 1
        assert (
            store.commit(group(seq for seq in seqs if seq not in voids)).through.get(NAME, expected)
            == expected
        )
        with store.read() as ask:
            gone = [seq for seq in range(3, max(arrived)) if seq not in arrived]
            assert ask.missing(AGENT, EPOCH) == list(merge_ranges((s, s) for s in gone))


def test_a_plain_devices_repeat_is_dropped_and_another_value_at_the_same_time_is_kept(
    store: Store,
) -> None:
    first = PlainRow("device_01", NOON, b"1" * 32, '{"ghi":1}', NOON)
    other = PlainRow("device_01", NOON, b"2" * 32, '{"ghi":2}', NOON)
    assert store.commit(Group(plain=[first, first])).new_plain == 1
    assert store.commit(Group(plain=[first, other])).new_plain == 1


def test_quarantine_is_bounded_and_keeps_the_newest(store: Store) -> None:
    for number in range(20):
        store.commit(Group(quarantine=[QuarantineRow("t", b"x", f"reason {number}", NOON)]))
    with store.read() as ask:
        reasons = [row.reason for row in ask.quarantined()]
    assert reasons == [f"reason {number}" for number in (19, 18, 17, 16, 15)]


def test_an_old_status_does_not_replace_a_newer_one_unless_it_is_a_death(store: Store) -> None:
    def stored() -> tuple[int, bool]:
        with store.read() as ask:
            (state,) = ask.agents()
        assert state.status is not None
        return state.status.timestamp, state.status.online

    def say(at: int, *, online: bool, forced: bool) -> None:
        text = status(AGENT, at, online=online).decode()
        store.commit(Group(statuses=[StatusRow(AGENT, at, text, forced)]))

    say(NOON, online=True, forced=True)
    say(NOON + 1000, online=True, forced=False)
    say(NOON + 500, online=True, forced=False)
    assert stored() == (NOON + 1000, True)
    say(NOON, online=False, forced=True)  # the will, written when the connection began
    assert stored() == (NOON, False)


def test_a_row_that_sqlite_cannot_take_stores_nothing_of_its_group(store: Store) -> None:
    bad = row(record_entry(2))._replace(seq=2**70)
    with pytest.raises(RefusedRowsError, match="cannot be stored"):
        store.commit(Group(entries=[row(record_entry(1)), bad]))
    with store.read() as ask:
        assert list(ask.keys_and_digests(AGENT)) == []
    assert store.commit(group([1])).new_entries == 1


def test_merge_ranges_joins_touching_and_overlapping_pairs() -> None:
    assert merge_ranges([(5, 9), (1, 2), (3, 3), (7, 12), (20, 20)]) == ((1, 3), (5, 12), (20, 20))
