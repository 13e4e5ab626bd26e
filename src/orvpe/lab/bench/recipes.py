"""Views of the shipped recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

import orvpe
from orvpe.views.augment import Augment
from orvpe.views.view import ViewConfig

FOLDER = Path(orvpe.__file__).parent / "training" / "recipes"


def recipe(name: str) -> dict[str, Any]:
    """A shipped recipe's arguments."""
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def view(name: str) -> ViewConfig:
    """A shipped recipe's view."""
    options = dict(recipe(name)["view"])
    return ViewConfig(**{**options, "augment": Augment(**options.get("augment", {}))})
