"""Every turn has exactly one outcome, whatever devices and clock do: its sum is the grid's.

The real poller runs on a loop of virtual time against a device that answers, is silent, talks
nonsense, is slow or asleep, while the clock jumps.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.devices.acquisition import DevicePoller
from edge_agent.ledger.tally import Tally
from edge_agent.supervision import Progress
from firmware_bridge import Decoded, DeviceIdentity, Fault, TransientDeviceError
from models.contract.ledger import Reason, day_of, is_asleep, turn_after, turn_at, turns_between
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import DAY_MS, HOUR_MS, Instant, parse_iso8601
from tests.virtual_loop import VirtualClock, VirtualLoop, run_virtually

MIDNIGHT = parse_iso8601("2024-06-16T00:00:00Z")


@dataclass(frozen=True)
class Act:
    """What happens at one poll."""

    what: str
    takes_s: float
    jump_ms: int = 0


class ActingDevice:
    """Acts by a script; then it answers at once."""

    name = "roof"

    def __init__(self, acts: list[Act], clock: VirtualClock, *, sleeps: bool) -> None:
        self._acts, self._clock, self.sleeps = list(acts), clock, sleeps

    async def poll(self, clock_now: Instant) -> Record:
        act = self._acts.pop(0) if self._acts else Act("answer", 0.0)
        await asyncio.sleep(act.takes_s / 2)
        self._clock.set_by(act.jump_ms)
        await asyncio.sleep(act.takes_s / 2)
        if act.what == "silence":
            raise TransientDeviceError("no answer", fault=Fault.TIMEOUT)
        if act.what == "nonsense":
            raise TransientDeviceError("checksum", fault=Fault.CRC)
        return Record(self.name, clock_now, {"ac_power": Reading(1.0)})

    async def read(self, clock_now: Instant) -> Decoded:
        return Decoded(dict((await self.poll(clock_now)).readings))

    def asleep(self, clock_now: Instant) -> Record:
        return Record(self.name, clock_now, {"ac_power": Reading(None, Quality.ASLEEP)})

    async def identify(self) -> DeviceIdentity:
        return DeviceIdentity(self.name, "script")

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Told:
    """What the poller told of its turns, and the records it handed on."""

    turns: list[tuple[Instant, Reason | None, int]]
    records: list[Record]
    last: Instant
    """The newest turn told of."""


def poll(
    acts: list[Act],
    *,
    poll_ms: int,
    start: Instant,
    for_s: float,
    dark_until: Instant | None = None,
    room: int = 10**9,
) -> Told:
    """Poll for so many virtual seconds; ``room``: records that are taken."""
    loop = VirtualLoop()
    clock = VirtualClock(loop, start)
    turns: list[tuple[Instant, Reason | None, int]] = []
    records: list[Record] = []

    def keep(record: Record) -> bool:
        if len(records) >= room:
            return False
        records.append(record)
        return True

    poller = DevicePoller(
        ActingDevice(acts, clock, sleeps=dark_until is not None),
        poll_ms,
        clock,
        keep,
        lambda alert: None,
        is_daylight=None if dark_until is None else lambda at: at >= dark_until,
        on_turns=lambda device, at, reason, count: turns.append((at, reason, count)),
    )

    async def main() -> None:
        running = asyncio.ensure_future(poller.run(Progress("poll", 1e9, clock.monotonic)))
        done, _ = await asyncio.wait([running], timeout=for_s)
        assert not done
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtually(loop, main())
    last, _, count = turns[-1]
    return Told(turns, records, turn_after(turn_at(last, poll_ms), poll_ms, count - 1))


acts = st.lists(
    st.builds(
        Act,
        st.sampled_from(["answer", "answer", "silence", "nonsense"]),
        st.sampled_from([0.0, 0.0, 0.2, 3.0, 12.0, 70.0]),
        st.sampled_from([0] * 12 + [400, 4_000, 90_000, HOUR_MS, DAY_MS]),
    ),
    max_size=30,
)
grids = st.sampled_from([1_000, 5_000, 7_000, 60_000])
nights = st.none() | st.integers(-5, 5).map(lambda minutes: MIDNIGHT + minutes * 60_000)


@settings(max_examples=60)
@given(acts, grids, st.integers(0, 400), nights, st.integers(0, 400))
def test_a_turn_without_an_outcome_or_with_two(
    script: list[Act], poll_ms: int, before_s: int, dark_until: Instant | None, room: int
) -> None:
    told = poll(
        script,
        poll_ms=poll_ms,
        start=MIDNIGHT - before_s * 1000,
        for_s=400.0,
        dark_until=dark_until,
        room=room,
    )
    following = None
    for at, _, count in told.turns:
        turn = turn_at(at, poll_ms)
        assert following is None or turn == following, "a gap, or a turn told twice"
        following = turn_after(turn, poll_ms, count)
    handed = sum(count for _, reason, count in told.turns if reason is None)
    assert handed == len(told.records), "a record, and only a record, is told as handed on"


@settings(max_examples=60)
@given(acts, grids, st.integers(1, 400), nights, st.integers(0, 400))
def test_the_outcomes_of_a_day_are_not_its_turns(
    script: list[Act], poll_ms: int, before_s: int, dark_until: Instant | None, room: int
) -> None:
    start = MIDNIGHT - before_s * 1000
    told = poll(script, poll_ms=poll_ms, start=start, for_s=400.0, dark_until=dark_until, room=room)
    tally = Tally(lambda device, day: None)
    tally.begin({"roof": poll_ms}, [])
    for at, reason, count in told.turns:
        tally.count("roof", at, reason, count)
    for record in told.records:
        tally.committed("roof", record.measured_at, asleep=is_asleep(record))
    stored = Counter(day_of(record.measured_at) for record in told.records)
    for row in tally:
        ledger = row.ledger()  # refuses a sum that is wrong
        grid = turns_between(max(start, row.day - 1), min(told.last, row.day + DAY_MS - 1), poll_ms)
        assert ledger.expected == grid
        assert Reason.OFF not in ledger.lost
        assert ledger.stored == stored[ledger.day]


def test_what_holds_a_turn_up_names_its_loss() -> None:
    jump = [Act("answer", 0.0), Act("answer", 0.5, jump_ms=20_000)]
    slow = [Act("answer", 12.0)]
    dead = [Act("silence", 1.0)] * 5
    bad = [Act("nonsense", 0.0)]
    for script, wanted in (
        (jump, {Reason.CLOCK: 19}),
        (slow, {Reason.BUSY: 11}),
        (bad, {Reason.BAD: 1}),
    ):
        told = poll(script, poll_ms=1_000, start=MIDNIGHT, for_s=60.0)
        lost: Counter[Reason] = Counter()
        for _, reason, count in told.turns:
            if reason is not None:
                lost[reason] += count
        assert lost == wanted
    told = poll(dead, poll_ms=1_000, start=MIDNIGHT, for_s=300.0)
    assert {reason for _, reason, _ in told.turns} == {None, Reason.DEAD}
    assert sum(count for _, reason, count in told.turns if reason is Reason.DEAD) > 20


def test_a_sleeper_has_a_record_for_every_turn_of_the_night_and_of_dawn() -> None:
    script = [Act("silence", 0.5)] * 25
    dawn = MIDNIGHT + HOUR_MS
    told = poll(script, poll_ms=5_000, start=MIDNIGHT, for_s=4_200.0, dark_until=dawn)
    reasons = Counter(reason for _, reason, _ in told.turns)
    assert reasons[Reason.DEAD] == reasons[Reason.BUSY] == 0
    assert sum(is_asleep(record) for record in told.records) > 720


def test_no_room_for_a_record_is_not_a_record_had() -> None:
    told = poll([], poll_ms=1_000, start=MIDNIGHT, for_s=10.5, room=4)
    assert [reason for _, reason, _ in told.turns] == [None] * 4 + [Reason.REFUSED] * 6


def test_turns_that_come_again_are_told_again() -> None:
    told = poll(
        [Act("answer", 0.0)] * 10 + [Act("answer", 0.2, jump_ms=-3_600_000)],
        poll_ms=1_000,
        start=MIDNIGHT + HOUR_MS,
        for_s=20.5,
    )
    assert {reason for _, reason, _ in told.turns} == {None}
    assert min(at for at, _, _ in told.turns) < MIDNIGHT + HOUR_MS
