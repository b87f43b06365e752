"""What the review uses of Visdom, imported without PyTorch.

Visdom's client imports torch, where it is installed, only to recognise tensors among its arguments. A review passes
none, and torch takes seconds and a few hundred megabytes to load. Visdom takes its absence well.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_absent = "torch" not in sys.modules
if _absent:
    sys.modules["torch"] = None  # type: ignore[assignment]  # how Python marks a module that cannot be imported
try:
    import visdom
    from visdom.server import app as visdom_app
    from visdom.server.handlers.socket_handlers import SocketHandler, VisSocketHandler
    from visdom.utils.server_utils import hash_password
finally:
    if _absent:
        del sys.modules["torch"]

__all__ = ["STATIC", "Client", "SocketHandler", "VisSocketHandler", "hash_password", "visdom_app"]

Client: Any = visdom.Visdom  # its type stub is of an older version
STATIC = Path(visdom.__path__[0]) / "static"
