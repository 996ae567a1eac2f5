"""What the centre says of an agent's day, when the box, the way or the reports are not complete."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from central.cli import main
from central.completeness import Completeness, Verdict, completeness
from central.ingest.understand import understand
from central.store import Store, open_store
from models.contract.errors import ContractError
from models.contract.ledger import DayLedger, Reason, day_of
from models.contract.messages import Batch, Entry, EntryKey, Kind, Status, Void
from models.contract.payload import (
    canonical,
    encode_batch,
    encode_entry,
    record_to_json,
    status_to_json,
)
from models.contract.record import Quality, Reading, Record
from models.contract.timestamps import DAY_MS, HOUR_MS, MINUTE_MS, Instant
from tests.fleet_messages import EPOCH, NOON

AGENT = "farm"
START = NOON - NOON % DAY_MS
END = START + DAY_MS
DAY = day_of(START)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'central.sqlite'}")
    yield opened
    opened.close()


def take(store: Store, channel: str, payload: bytes, now: Instant) -> None:
    topic = f"solar/{AGENT}/{channel}"
    store.commit(understand(topic, payload, own=False, retained=False, now=now).rows)


def ledger(have: int, *, device: str = "roof", thinned: int = 0, **lost: int) -> DayLedger:
    reasons = {Reason(name): turns for name, turns in lost.items()}
    expected = have + sum(lost.values())
    return DayLedger(DAY, device, 60_000, expected, have, thinned, reasons)


def status(
    at: Instant, *rows: DayLedger, online: bool = True, pending: int | None = None
) -> Status:
    counters = {} if pending is None else {"journal_pending": pending}
    return Status(AGENT, at, online, "1", EPOCH, 1, counters=counters, ledger=rows)


def report(
    store: Store,
    at: Instant,
    *rows: DayLedger,
    seq: int | None = None,
    received: Instant | None = None,
    online: bool = True,
    pending: int | None = None,
) -> None:
    """A live status, or with ``seq`` one from the journal."""
    body = canonical(status_to_json(status(at, *rows, online=online, pending=pending)))
    payload = body.encode()
    if seq is not None:
        payload = encode_entry(Entry(EntryKey(EPOCH, seq), Kind.STATUS, body))
    take(store, "status", payload, at if received is None else received)


def records(
    store: Store, seqs: Sequence[int], *, device: str = "roof", samples: int = 1, at: Instant = NOON
) -> None:
    entries = []
    for seq in seqs:
        record = Record(
            device,
            at + seq * MINUTE_MS,
            {"ac_power": Reading(None, Quality.ASLEEP) if seq % 5 == 0 else Reading(1.0)},
            samples=samples,
            window_ms=HOUR_MS if samples > 1 else 0,
        )
        body = canonical(record_to_json(record))
        entries.append(Entry(EntryKey(EPOCH, seq), Kind.RECORD, body))
    take(store, "batch", encode_batch(Batch(EPOCH, 1, tuple(entries))), END)


def void(store: Store, first: int, last: int) -> None:
    batch = Batch(EPOCH, 1, (), (Void(first, last, "thinned to 60 min"),))
    take(store, "batch", encode_batch(batch), END)


def ask(store: Store, now: Instant = END + HOUR_MS, day: str = DAY) -> Completeness:
    with store.read() as questions:
        return completeness(questions, AGENT, day, now)


def test_a_day_that_ended_and_has_come_whole_is_complete(store: Store) -> None:
    records(store, range(1, 11))
    report(store, END + MINUTE_MS, ledger(8, asleep=2, dead=1430))
    found = ask(store)
    (roof,) = found.devices
    assert (found.verdict, found.in_progress, found.open_gaps) == (Verdict.COMPLETE, False, 0)
    assert (roof.stored, roof.missing) == (10, 0)
    assert roof.ledger is not None
    assert roof.ledger.lost == {Reason.ASLEEP: 2, Reason.DEAD: 1430}


def test_a_day_nobody_has_reported_is_unknown_even_if_records_are_here(store: Store) -> None:
    records(store, range(1, 11))
    found = ask(store)
    assert found.verdict is Verdict.UNKNOWN
    assert [(one.device, one.stored, one.missing) for one in found.devices] == [("roof", 10, None)]
    assert ask(store, day="2020-01-01").verdict is Verdict.UNKNOWN


def test_a_day_that_was_reported_until_afternoon_only_is_unknown(store: Store) -> None:
    records(store, range(1, 11))
    report(store, NOON + HOUR_MS, ledger(8, asleep=2))
    assert ask(store, now=NOON + HOUR_MS).verdict is Verdict.COMPLETE
    assert ask(store, now=NOON + HOUR_MS).in_progress
    assert ask(store).verdict is Verdict.UNKNOWN


def test_a_gap_means_that_more_is_on_its_way(store: Store) -> None:
    records(store, [1, 2, 3, 8, 9, 10])
    report(store, END, ledger(8, asleep=2), pending=4)
    found = ask(store)
    assert (found.verdict, found.open_gaps) == (Verdict.ON_ITS_WAY, 4)
    assert found.devices[0].missing == 4
    records(store, [4, 5, 6, 7])
    assert ask(store).verdict is Verdict.COMPLETE


def test_records_that_came_after_the_report_do_not_hide_a_gap_before_it(store: Store) -> None:
    records(store, [1, 2, 3, 8, 9, 10])
    report(store, NOON + HOUR_MS, ledger(4, asleep=1))
    assert ask(store, now=NOON + HOUR_MS).verdict is Verdict.ON_ITS_WAY


@pytest.mark.parametrize(
    ("online", "pending", "later", "wanted"),
    [
        (True, 0, HOUR_MS, Verdict.MISSING),
        (True, 7, HOUR_MS, Verdict.ON_ITS_WAY),
        (True, None, HOUR_MS, Verdict.ON_ITS_WAY),
        (False, 0, HOUR_MS, Verdict.ON_ITS_WAY),
        (True, 0, MINUTE_MS, Verdict.ON_ITS_WAY),
    ],
)
def test_what_the_box_had_and_will_not_send_is_missing(
    store: Store, online: bool, pending: int | None, later: int, wanted: Verdict
) -> None:
    records(store, range(1, 6))
    report(store, END, ledger(8, asleep=2), online=online, pending=pending)
    assert ask(store, now=END + later).verdict is wanted


def test_thinned_records_stand_for_their_polls_and_are_not_counted_twice(store: Store) -> None:
    records(store, [1, 2, 3, 4])  # these came, and their acknowledgement was lost
    void(store, 1, 10)
    records(store, [11], samples=10)
    report(store, END, ledger(8, asleep=2, thinned=10))
    found = ask(store)
    assert found.devices[0].stored == 10
    assert found.verdict is Verdict.COMPLETE


def test_one_device_that_is_not_whole_makes_the_day_so(store: Store) -> None:
    records(store, range(1, 11))
    records(store, range(21, 24), device="meter", at=NOON + HOUR_MS)
    void(store, 11, 20)
    report(store, END, ledger(8, asleep=2), ledger(6, device="meter"), pending=0)
    found = ask(store)
    assert [(one.device, one.verdict) for one in found.devices] == [
        ("meter", Verdict.MISSING),
        ("roof", Verdict.COMPLETE),
    ]
    assert found.verdict is Verdict.MISSING


def test_the_newest_report_stands_in_whatever_order_they_come(store: Store) -> None:
    report(store, END + HOUR_MS, ledger(9, asleep=2))
    report(store, NOON, ledger(4), seq=1, received=END + 2 * HOUR_MS)  # a week offline
    (roof,) = ask(store).devices
    assert roof.ledger == ledger(9, asleep=2)
    assert roof.reported_at == END + HOUR_MS


def test_a_report_from_a_clock_that_ran_ahead_does_not_stay_for_ever(store: Store) -> None:
    report(store, END + 300 * DAY_MS, ledger(1), received=NOON)
    report(store, END, ledger(9), received=END)
    assert ask(store).devices[0].ledger == ledger(9)


def test_a_report_from_the_journal_does_not_speak_for_the_agent_of_now(store: Store) -> None:
    report(store, NOON, ledger(1), online=False, pending=3)
    report(store, NOON + HOUR_MS, ledger(2), seq=1)
    with store.read() as questions:
        (state,) = questions.agents(AGENT)
    assert state.status is not None
    assert not state.status.online
    assert state.status.counters == {"journal_pending": 3}
    assert state.status.ledger == (), "kept in rows of its own"
    assert ask(store, now=NOON + HOUR_MS).devices[0].ledger == ledger(2)


def test_a_ledger_that_does_not_add_up_is_put_aside(store: Store) -> None:
    body = status_to_json(status(END, ledger(5)))
    rows = body["ledger"]
    assert isinstance(rows, list)
    broken = body | {"ledger": [dict(rows[0]) | {"have": 4}]}
    with pytest.raises(ContractError, match="5 turns expected, but 4 had"):
        take(store, "status", json.dumps(broken).encode(), END)


def test_a_store_of_the_first_version_learns_of_ledgers(tmp_path: Path) -> None:
    path = tmp_path / "central.sqlite"
    store = open_store(f"sqlite:///{path}")
    with store._database.write() as db:
        db.execute("DROP TABLE day_ledgers")
        db.execute("PRAGMA user_version = 1")
    store.close()
    store = open_store(f"sqlite:///{path}")
    report(store, END, ledger(5))
    assert ask(store).verdict is Verdict.ON_ITS_WAY
    store.close()


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_says_it_and_its_exit_code_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    as_json: bool,
) -> None:
    (tmp_path / "central.toml").write_text(f'data_dir = "{tmp_path}"', encoding="utf-8")
    with_store = open_store(f"sqlite:///{tmp_path / 'central.sqlite'}")
    records(with_store, range(1, 11))
    report(with_store, END, ledger(8, asleep=2, clock=5))
    with_store.close()

    def run(*arguments: str) -> tuple[object, str]:
        config = ["--config", str(tmp_path / "central.toml")]
        monkeypatch.setattr("sys.argv", ["solar-central", "completeness", *arguments, *config])
        monkeypatch.setenv("COLUMNS", "140")
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        return ended.value.code, output.out + output.err

    code, text = run(AGENT, "--day", DAY, *(["--json"] if as_json else []))
    assert code == 0
    if as_json:
        body = json.loads(text)
        assert (body["verdict"], body["devices"][0]["lost"]) == (
            "complete",
            {"asleep": 2, "clock": 5},
        )
    else:
        assert f"{AGENT} on {DAY} (UTC): complete" in text
    assert run(AGENT, "--day", "2020-01-01")[0] == 1
    code, text = run(AGENT, "--day", "yesterday")
    assert (code, "not a day: 'yesterday'" in text) == (2, True)
    code, text = run("nobody")
    assert (code, "no such agent" in text) == (2, True)


def test_what_a_device_day_says_without_a_report_is_null(store: Store) -> None:
    records(store, range(1, 4))
    (roof,) = ask(store).to_json()["devices"]
    assert roof == {
        "device": "roof",
        "verdict": "unknown",
        "stored": 3,
        **dict.fromkeys(
            ("missing", "reported_at", "poll_ms", "expected", "have", "thinned", "lost")
        ),
    }
    assert dataclasses.asdict(ask(store))["verdict"] == "unknown"
