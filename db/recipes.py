"""Recipes: settings that results depend on, known by the hash of their canonical JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def canonical(settings: Mapping[str, Any]) -> str:
    """The one JSON text of these settings: keys sorted, no spaces, UTF-8 as it is."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def recipe_hash(settings: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical(settings).encode()).hexdigest()
