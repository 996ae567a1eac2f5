"""Small real bundles."""

from tests.bundles import bundles, good_bundle  # noqa: F401
