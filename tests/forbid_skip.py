"""With SOLAR_FORBID_SKIP set a skipped test is a failure that names the reason.

`make test` on any machine says what it could not run; where changes are judged, nothing may be left
out quietly. ``@pytest.mark.may_skip("which limit of the machine")`` is the only way around it.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

FORBIDDEN = os.environ.get("SOLAR_FORBID_SKIP", "") not in ("", "0")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    expected_to_fail = hasattr(report, "wasxfail")
    if FORBIDDEN and report.skipped and not expected_to_fail:
        marker = item.get_closest_marker("may_skip")
        if marker is None or not marker.args:
            _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if FORBIDDEN and report.skipped:
        _fail(report)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid} was skipped where SOLAR_FORBID_SKIP is set: {reason}"
