"""Errors of the contract: each names the field or line at fault, none wraps a library's type."""

from __future__ import annotations

_LONGEST = 400  # a message goes into a log line; what is wrong may be a megabyte


class ContractError(ValueError):
    """Base of everything that breaks the contract between edge and centre."""


class PayloadError(ContractError):
    """A payload that cannot be believed.

    ``field`` is a dotted path into the payload (empty for the payload as a whole).
    """

    def __init__(self, reason: str, field: str = "") -> None:
        self.reason, self.field = _clip(reason), _clip(field)
        super().__init__(f"{self.field}: {self.reason}" if field else self.reason)


class TopicError(ContractError):
    """A topic or identifier outside the naming rules."""


class SettingsError(ContractError):
    """A settings file that cannot be used; names file, line and key, and says what to do."""

    def __init__(
        self, reason: str, *, file: str = "", line: int | None = None, key: str = ""
    ) -> None:
        place = file or "settings"
        if line is not None:
            place += f":{line}"
        super().__init__(f"{place}: {key}: {reason}" if key else f"{place}: {reason}")
        self.file, self.line, self.key, self.reason = file, line, key, reason


def _clip(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
