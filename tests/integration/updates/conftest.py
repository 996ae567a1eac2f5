"""A repository of real bundles, and boxes."""

from tests.bundles import bundles, good_bundle  # noqa: F401
from tests.releases import boxes, centre  # noqa: F401
