"""A device that fails is said once, left in peace for longer and longer, and welcomed back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from edge_agent.devices import acquisition
from edge_agent.devices.acquisition import DevicePoller
from edge_agent.supervision import Progress
from firmware_bridge import Decoded, DeviceIdentity, Fault, State, TransientDeviceError
from firmware_bridge.health import DEAD_AFTER
from models.contract.clock import SystemClock
from models.contract.ledger import Reason
from models.contract.messages import Alert
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import Instant


class ScriptedDriver:
    """Answers by a script: True is a record, False an error."""

    name = "inverter"
    sleeps = True

    def __init__(self, script: Sequence[bool]) -> None:
        self._script = list(script)

    async def poll(self, clock_now: Instant) -> Record:
        if not self._script.pop(0):
            raise TransientDeviceError("no answer", fault=Fault.TIMEOUT)
        return Record(self.name, clock_now, {"ac_power": Reading(1.0)})

    async def read(self, clock_now: Instant) -> Decoded:
        return Decoded(dict((await self.poll(clock_now)).readings))

    def asleep(self, clock_now: Instant) -> Record:
        return Record(self.name, clock_now, {"ac_power": Reading(None, Quality.ASLEEP)})

    async def identify(self) -> DeviceIdentity:
        return DeviceIdentity(self.name, "script")

    async def close(self) -> None:
        """Nothing is open."""


def poller(script: Sequence[bool]) -> tuple[DevicePoller, list[Record], list[Alert]]:
    records: list[Record] = []
    alerts: list[Alert] = []
    one = DevicePoller(ScriptedDriver(script), 1000, SystemClock(), records.append, alerts.append)
    return one, records, alerts


def poll_all(one: DevicePoller, times: int) -> None:
    async def go() -> None:
        for _ in range(times):
            await one.poll_once()

    asyncio.run(go())


def test_a_silent_device_alarms_once_and_its_return_is_told() -> None:
    one, records, alerts = poller([True, *[False] * (DEAD_AFTER + 4), True, True])
    poll_all(one, DEAD_AFTER + 7)
    assert len(records) == 3
    assert [(alert.code, alert.active) for alert in alerts] == [
        ("device-silent", True),
        ("device-silent", False),
    ]
    assert "no answer" in alerts[0].text
    assert one.counters.polls == DEAD_AFTER + 7
    assert one.counters.failures == DEAD_AFTER + 4


class ForeignError(Exception):
    """Nobody thought of it."""


class StrangeDriver(ScriptedDriver):
    """Fails as no driver should."""

    async def poll(self, clock_now: Instant) -> Record:
        if not self._script.pop(0):
            raise ForeignError("index out of range")
        return Record(self.name, clock_now, {"ac_power": Reading(1.0)})


def test_an_error_that_no_driver_should_raise_is_a_failed_poll_and_not_the_end() -> None:
    one, records, alerts = poller([])
    one.driver = StrangeDriver([*[False] * DEAD_AFTER, True])
    poll_all(one, DEAD_AFTER + 1)
    assert one.counters.failures == DEAD_AFTER
    assert "ForeignError: index out of range" in alerts[0].text
    assert len(records) == 1


def test_a_record_that_cannot_be_kept_is_a_failed_poll_and_not_the_end() -> None:
    def refuse(record: Record) -> None:
        raise ValueError("too large")

    one = DevicePoller(ScriptedDriver([True]), 1000, SystemClock(), refuse, lambda alert: None)
    poll_all(one, 1)
    assert one.counters.failures == 1
    assert one.last_error == "ValueError: too large"


class HangingDriver(ScriptedDriver):
    """Never answers, and has no deadline of its own."""

    async def poll(self, clock_now: Instant) -> Record:
        await asyncio.sleep(3600)
        raise AssertionError("never")


def test_a_poll_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquisition, "LONGEST_POLL_S", 0.01)
    one, _, _ = poller([])
    one.driver = HangingDriver([])
    poll_all(one, 1)
    assert "longer than" in str(one.last_error)


def test_a_single_failure_is_no_alarm() -> None:
    one, _, alerts = poller([False, True, False, True])
    poll_all(one, 4)
    assert not alerts
    assert one.last_error is None


def test_the_pause_grows_and_is_bounded() -> None:
    one, _, _ = poller([False] * 40)
    pauses = []
    for _ in range(40):
        poll_all(one, 1)
        pauses.append(one.health.pause_s(1.0))
    assert pauses[:2] == [0.0, 0.0]
    assert 4.0 < pauses[2] < 6.0
    assert 60.0 < pauses[-1] <= acquisition.LONGEST_PAUSE_S


def test_every_wrong_answer_is_offered_to_the_flight_recorder_and_silence_once() -> None:
    told: list[str] = []
    driver = ScriptedDriver([False] * 5)
    one = DevicePoller(
        driver, 1000, SystemClock(), lambda record: None, lambda alert: None, on_anomaly=told.append
    )
    poll_all(one, 5)
    assert len(told) == 1


class FastClock:
    """Domain time that only sleeping moves."""

    def __init__(self) -> None:
        self.time = 10_000_500

    def now(self) -> Instant:
        return self.time

    def monotonic(self) -> float:
        return self.time / 1000

    async def sleep_until(self, instant: Instant) -> None:
        self.time = max(self.time, instant)
        await asyncio.sleep(0)


def test_polls_lie_on_their_grid_and_missed_turns_are_counted() -> None:
    clock = FastClock()
    records: list[Record] = []

    def take(record: Record) -> None:
        records.append(record)
        if len(records) == 3:
            clock.time += 3_700  # the answer took that long

    one = DevicePoller(ScriptedDriver([True] * 6), 1000, clock, take, lambda alert: None)

    async def go() -> None:
        loop = asyncio.create_task(one.run(Progress("poll", 10, clock.monotonic)))
        while len(records) < 6:
            await asyncio.sleep(0)
        loop.cancel()

    asyncio.run(go())
    times = [record.measured_at - 10_000_000 for record in records]
    assert times == [1000, 2000, 3000, 6700, 7000, 8000]
    assert one.counters.skipped == 2


def test_a_clock_set_back_does_not_stop_the_polls() -> None:
    clock = FastClock()
    records: list[Record] = []

    def take(record: Record) -> None:
        records.append(record)
        if len(records) == 2:
            clock.time -= 7_200_000

    one = DevicePoller(ScriptedDriver([True] * 5), 1000, clock, take, lambda alert: None)

    async def go() -> None:
        loop = asyncio.create_task(one.run(Progress("poll", 10, clock.monotonic)))
        while len(records) < 4:
            await asyncio.sleep(0)
        loop.cancel()

    asyncio.run(go())
    times = [record.measured_at - 10_000_000 for record in records]
    assert times == [1000, 2000, 3000 - 7_200_000, 4000 - 7_200_000]


def test_a_device_asleep_gives_records_without_being_asked_and_no_alert() -> None:
    clock = FastClock()
    records: list[Record] = []
    alerts: list[Alert] = []
    sunrise = clock.time + 3_600_000
    driver = ScriptedDriver([*[False] * 20, *[True] * 50])
    one = DevicePoller(
        driver, 60_000, clock, records.append, alerts.append, is_daylight=lambda t: t >= sunrise
    )

    async def go() -> None:
        loop = asyncio.create_task(one.run(Progress("poll", 10, clock.monotonic)))
        while clock.time < sunrise + 600_000:
            if one.health.state is State.WELL:
                break
            driver._script = driver._script if clock.time < sunrise else [True] * 50
            await asyncio.sleep(0)
        loop.cancel()

    asyncio.run(go())
    asleep = [r for r in records if r.readings["ac_power"].quality is Quality.ASLEEP]
    assert len(asleep) == 60  # one for each turn of the night
    assert one.counters.polls <= 14  # asked every five minutes only
    assert not alerts
    assert records[-1].value("ac_power") == 1.0
    assert records[-1].measured_at - sunrise <= 60_000  # and at dawn at once


def test_a_count_that_fails_stops_no_poll() -> None:
    clock = FastClock()
    records: list[Record] = []

    def refuse(device: str, at: Instant, reason: Reason | None, turns: int) -> None:
        raise RuntimeError("no ledger")

    one = DevicePoller(
        ScriptedDriver([True] * 5),
        1000,
        clock,
        records.append,
        lambda alert: None,
        on_turns=refuse,
    )

    async def go() -> None:
        loop = asyncio.create_task(one.run(Progress("poll", 10, clock.monotonic)))
        while len(records) < 4:
            await asyncio.sleep(0)
        loop.cancel()

    asyncio.run(go())
    assert one.health.state is State.WELL
