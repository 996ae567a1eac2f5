"""Bundles and a repository to release them in."""

from tests.bundles import bundles, good_bundle  # noqa: F401
from tests.releases import boxes, centre  # noqa: F401
