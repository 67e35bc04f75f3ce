"""The server behind ``pellucid serve``: questions about photos, answered by one model."""

from pellucid.web.application import create_app
from pellucid.web.limits import Limits

__all__ = ["Limits", "create_app"]
