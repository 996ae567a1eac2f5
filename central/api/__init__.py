"""The centre's HTTP surface: ``create_app(context)`` gives the ASGI application.

``app`` puts it together; one file per group of paths (``solar``, ``sites``, ``devices``,
``completeness``, ``health``, ``page``); ``limits`` bounds requests. Values are in kW here and
nowhere further in.
"""

from .app import create_app
from .context import ApiContext, ServiceState

__all__ = ["ApiContext", "ServiceState", "create_app"]
