"""The one error of the intake: a file that cannot be used, where, why, and what to do."""

from __future__ import annotations


class IntakeError(ValueError):
    """A file that cannot be used. The text reads ``file:line: reason; advice``.

    ``line`` counts from 1 and is None when the fault is of the file as a whole.
    """

    def __init__(self, reason: str, *, file: str, line: int | None = None) -> None:
        super().__init__(f"{file}: {reason}" if line is None else f"{file}:{line}: {reason}")
        self.file, self.line, self.reason = file, line, reason

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling between worker processes.
        return _rebuild, (self.reason, self.file, self.line)


def _rebuild(reason: str, file: str, line: int | None) -> IntakeError:
    return IntakeError(reason, file=file, line=line)
