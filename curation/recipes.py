"""Recipes in the catalogue: each stored once, by its hash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from db.models import Recipe
from db.recipes import recipe_hash


def keep_recipe(session: Session, kind: str, settings: Mapping[str, Any]) -> str:
    """Store settings as a recipe, unless they are stored already. Returns their hash."""
    key = recipe_hash(settings)
    if session.get(Recipe, key) is None:
        session.add(Recipe(hash=key, kind=kind, settings=dict(settings)))
        session.flush()
    return key
