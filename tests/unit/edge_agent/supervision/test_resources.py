"""A leak ends in good order, not in the kernel's killer."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
from collections.abc import Iterator
from contextlib import suppress

import pytest

from edge_agent.supervision import (
    Progress,
    ResourceCheck,
    ResourceLimits,
    RestartNeeded,
    Usage,
    UsageReader,
    WorkerFailed,
)
from tests.unit.edge_agent.supervision.stage import Stage

MB = 1_000_000


@pytest.fixture
def reader() -> Iterator[UsageReader]:
    """Of this very process."""
    reader = UsageReader()
    yield reader
    reader.close()


def test_memory_that_is_taken_is_seen(reader: UsageReader) -> None:
    before = reader()
    held = b"x" * (50 * MB)
    after = reader()
    assert 45 * MB < after.resident_bytes - before.resident_bytes < 60 * MB
    assert len(held) == 50 * MB


def test_descriptors_are_counted_without_the_one_that_counts(reader: UsageReader) -> None:
    before = reader().descriptors
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    try:
        assert reader().descriptors == before + 20
    finally:
        for descriptor in held:
            os.close(descriptor)
    assert reader().descriptors == before


def test_descriptors_that_have_run_out_are_seen_although_nothing_can_be_opened(
    reader: UsageReader,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = reader().descriptors + 20
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        with suppress(OSError):
            while len(held) < 1000:
                held.append(os.open("/dev/null", os.O_RDONLY))
        usage = reader()
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert usage.descriptors == limit
    assert usage.resident_bytes > 10 * MB


def test_above_the_hard_limit_only_a_new_process_helps(reader: UsageReader) -> None:
    check = ResourceCheck(ResourceLimits(memory_limit_mb=50), reader)
    held = b"x" * (50 * MB)
    with pytest.raises(RestartNeeded, match=r"\d+ MB of memory, limit 50;"):
        asyncio.run(check.run(Progress("resources", 60, lambda: 0.0)))
    assert check.counts()["memory_resident_bytes"] > len(held)


def test_a_leak_of_descriptors_ends_it_too() -> None:
    check = ResourceCheck(ResourceLimits(), lambda: Usage(MB, 513))
    with pytest.raises(RestartNeeded, match="513 open descriptors, limit 512"):
        check.check()


def test_the_supervisor_ends_for_a_leak(stage: Stage, reader: UsageReader) -> None:
    check = ResourceCheck(ResourceLimits(memory_limit_mb=50), reader)
    held = b"x" * (50 * MB)

    async def go() -> None:
        supervisor = stage.supervisor()
        supervisor.add("resources", check.run, 60)
        with pytest.raises(WorkerFailed, match=r"resources .* MB of memory") as caught:
            await supervisor.run()
        assert isinstance(caught.value.__cause__, RestartNeeded)

    asyncio.run(go())
    assert held


def test_garbage_is_collected_before_the_verdict(reader: UsageReader) -> None:
    gc.collect()
    gc.disable()
    try:
        cycle: list[object] = [b"x" * (80 * MB)]
        cycle.append(cycle)
        del cycle
        full = reader().resident_bytes
        check = ResourceCheck(ResourceLimits(memory_limit_mb=max(50, full / MB - 20)), reader)
        assert check.check().resident_bytes < full - 70 * MB
    finally:
        gc.enable()
    assert check.counts()["memory_resident_peak_bytes"] >= full


def test_one_warning_for_each_time_that_a_soft_limit_is_crossed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    taken = Usage(100 * MB, 10)
    check = ResourceCheck(ResourceLimits(), lambda: taken)
    said: list[int] = []
    with caplog.at_level(logging.WARNING):
        for megabytes in (100, 215, 220, 208, 215, 150, 215):
            taken = Usage(megabytes * MB, 10)
            check.check()
            said.append(len(caplog.records))
    assert said == [0, 1, 1, 1, 1, 1, 2]
    assert "takes 215 MB of memory; at 300 it ends" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [("memory_limit_mb", 49.0), ("descriptor_limit", 10), ("check_every_s", 0.0)],
)
def test_a_limit_that_cannot_work_is_refused_by_its_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        ResourceLimits(**{name: value})  # type: ignore[arg-type]
