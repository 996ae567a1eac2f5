"""The fuzz benchmark in short: nothing wrong is believed, nothing crashes, every line works again.

The long form is ``python -m benchmarks.modbus_fuzz``.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from benchmarks._fuzz_codec import fuzz_crc
from benchmarks._fuzz_lines import LANES as LINES
from benchmarks._fuzz_lines import GenerationDevice, LiveResult, Question, Refusing
from benchmarks._fuzz_live import fuzz_pymodbus
from benchmarks._fuzz_mutations import LANES, make_case, mutate
from benchmarks.modbus_fuzz import is_clean, run


def test_no_reply_is_believed_that_is_not_the_answer_to_its_request() -> None:
    result = run(codec=20_000, live=1_600, pymodbus=0, seed=7)
    assert is_clean(result), result
    codec, bus = result["codec"], result["bus"]
    assert codec["right_believed"] == codec["mutations"]["right"] > 1_500
    assert bus["right"] > 400
    made, counted = bus["faults_made"], bus["faults_counted"]
    assert sum(made.values()) > 200
    for fault in ("wrong_unit", "wrong_count", "wrong_function", "wrong_transaction", "crc"):
        assert counted[fault] > 0, fault


@pytest.mark.parametrize("lane", LANES, ids=lambda lane: lane.name)
def test_no_mutation_is_the_right_reply(lane) -> None:  # type: ignore[no-untyped-def]
    chance, kinds = random.Random(3), set()
    for _ in range(1_000):
        case = make_case(lane, chance)
        kind, received = mutate(case, chance)
        assert received != case.right, kind
        kinds.add(kind)
    assert kinds == set(lane.kinds)


def test_heavy_damage_seldom_passes_the_crc() -> None:
    found = fuzz_crc(60_000, 5, lambda _: None)
    believed = sum(believed for _, believed, _ in found.values())
    expected = sum(expected for _, _, expected in found.values())
    assert 0.9 < expected < 0.92
    assert believed <= 7  # of a Poisson number with this mean, once in ten million


def test_the_judge_tells_right_stale_and_wrong_answers_apart() -> None:
    device, question = GenerationDevice(1, Refusing.NOTHING), Question(1, 3, 100, 2)

    def answer(address: int, count: int = 2) -> bytes:
        registers = device.read(3, address, count, nonsense=False)
        return b"".join(word.to_bytes(2, "big") for word in registers)

    old = answer(100)
    since = device.generation
    new, other, longer = answer(100), answer(200), answer(100, 3)
    result = LiveResult()
    believed = (new, old, other, longer)
    flaws = [result.judge(device, question, data, since=since) for data in believed]
    assert flaws == ["", "stale", "wrong", "wrong"]
    assert (result.right, result.stale, result.wrong, result.wrong_count) == (1, 1, 2, 1)


def test_the_same_lines_catch_a_reader_that_believes_too_much() -> None:
    """pymodbus' own client, as its documents use it."""

    async def scenario() -> LiveResult:
        total = LiveResult()
        for result in await asyncio.gather(
            *(fuzz_pymodbus(lane, seed, 80, lambda _: None) for lane in LINES for seed in range(4))
        ):
            total.add(result)
        return total

    total = asyncio.run(scenario())
    assert total.exchanges == 960
    assert total.right > 300
    assert total.wrong > 0
    assert total.stale > 0
