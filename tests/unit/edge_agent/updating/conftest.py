"""Bundles, a repository and boxes for the updater's tests."""

from tests.bundles import bundles, good_bundle  # noqa: F401
from tests.releases import boxes, centre  # noqa: F401
