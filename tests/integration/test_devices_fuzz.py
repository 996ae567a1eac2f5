"""The fuzz benchmark in short: nothing wrong is believed, nothing crashes, every line works again.

The long form is ``python -m benchmarks.modbus_fuzz``.
"""

from __future__ import annotations

from benchmarks.modbus_fuzz import is_clean, run


def test_no_reply_is_believed_that_is_not_the_answer_to_its_request() -> None:
    result = run(codec=30_000, live=1_000, pymodbus=0, seed=7)
    assert is_clean(result), result
    assert result["codec"]["right_believed"] == 3_000
    assert result["bus"]["right"] > 300
    made, counted = result["bus"]["faults_made"], result["bus"]["faults_counted"]
    assert sum(made.values()) > 200
    for fault in ("wrong_unit", "wrong_count", "wrong_function", "wrong_transaction", "crc"):
        assert counted[fault] > 0, fault
