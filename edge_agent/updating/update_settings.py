"""Settings of the bundle updater."""

from __future__ import annotations

from dataclasses import dataclass

from models.bundle.offer import RINGS
from models.contract.errors import ContractError
from models.contract.topics import check_identifier


@dataclass(frozen=True)
class UpdateSettings:
    """Where bundles are kept and how carefully a new one is tried."""

    directory: str
    """Holds the bundles and the TUF metadata; on the card, on one file system."""
    root_file: str
    """The first trusted TUF root (``1.root.json`` of the centre). Everything else is fetched."""
    ring: str = "fleet"
    """Whose releases this box runs: ``canary`` gets them first."""
    hardware: str = "generic"
    """Matched against a bundle's list of hardware."""
    check_every_s: float = 3600.0
    """How often to look, besides when the centre announces a release."""
    answer_timeout_s: float = 20.0
    """How long the broker may take for one message."""
    download_timeout_s: float = 900.0
    """How long one file may take in all: a trickling source is no source."""
    selftest_timeout_s: float = 120.0
    selftest_memory_mb: int = 1536
    """Address space of the self-test; libraries reserve much more than they use."""
    probation_forecasts: int = 2
    """Successful forecasts after which a new bundle is kept."""
    tries: int = 3
    """Agent starts within the probation after which it is given up: it may be crashing us."""

    def __post_init__(self) -> None:
        if self.ring not in RINGS:
            raise ValueError(f"ring: must be one of {', '.join(RINGS)}, not {self.ring!r}")
        try:
            check_identifier(self.hardware)
        except ContractError as error:
            raise ValueError(f"hardware: {error}") from None
        for name in (
            "check_every_s",
            "answer_timeout_s",
            "download_timeout_s",
            "selftest_timeout_s",
            "selftest_memory_mb",
            "probation_forecasts",
            "tries",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: must be above 0")
