"""What can go wrong when a release is made. Every message says what to do."""

from __future__ import annotations


class ReleaseError(RuntimeError):
    """A release, key or repository that cannot be made, read or published."""
