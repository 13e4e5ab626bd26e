"""Find models and read their cards: shipped models, folders, repositories of the Hugging Face hub.

Shipped weights lie in the package, float16, each with its card: data and terms, recipe, commit, numbers, limits.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from orvpe.errors import InputError
from orvpe.runtime.plain import MOST_JSON_BYTES, load_json, read_text

WEIGHTS, CARD = "weights.safetensors", "card.json"
CARD_VERSION = 1
SHIPPED = Path(__file__).parent / "weights"
BY_DIMS = {2: "robust-light-2d-joint", 3: "robust-light-3d-joint"}  # what is taken where none is named


def shipped() -> list[str]:
    """Names of the shipped models."""
    return sorted(p.parent.name for p in SHIPPED.glob("*/card.json"))


def locate(name: str | Path) -> Path:
    """The folder of a model: a folder, a shipped model's name, or ``OWNER/NAME`` of the Hugging Face hub.

    A model of the hub is fetched and cached.  What is none of these stays as it is.

    Raises:
        InputError: a name of the hub that cannot be fetched.
    """
    path = Path(name)
    if path.exists() or not str(name):
        return path
    if str(name) in shipped():
        return SHIPPED / str(name)
    # runs/pre next to a folder runs is a folder that is missing
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", str(name)) and not path.parent.exists():
        return _fetched(str(name))
    return path


@lru_cache(maxsize=8)
def _fetched(name: str) -> Path:
    missing = f"model {name}: no such folder, and no model of that name"
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError:
        raise InputError(f"{missing}; for models on the hub: pip install huggingface_hub") from None
    try:
        return Path(snapshot_download(name, allow_patterns=["card.json", "weights.safetensors", "README.md"]))
    except Exception as error:  # of the network, of the hub, of the name: all mean that the model is not to be had
        text = str(error).strip().splitlines()
        reason = f"{type(error).__name__}: {text[0] if text else ''}".rstrip(": ")
        raise InputError(f"{missing}, and not to be had from the hub ({reason})") from None


def models(name: str | None = None) -> None:
    """List the models that come with orvpe, or print the card of one.

    Args:
        name: the model whose card to print.

    Raises:
        InputError: no model of that name.
    """

    if name is not None:
        print(json.dumps(read_card(name), indent=1))
        return
    for known in shipped():
        card = read_card(known)
        print(f"{known:<28}{summary(card)}")
    print(f"\nuse them by name: -w NAME, or orvpe.load(NAME); they lie in {SHIPPED.name}/ of the package")


def summary(card: dict[str, Any]) -> str:
    """Describe a model in one line, from its card."""
    view, about = card["view"], card.get("about", "")
    kind = f"{card['dims']}D {view['stream']}, {card['encoder']['name']}, {card['parameters'] / 1e6:.2f}M parameters"
    return f"{kind}{'; ' + about if about else ''}"


def read_card(path: str | Path) -> dict[str, Any]:
    """Read the card of a model.

    Raises:
        InputError: no model there, or one from another version.
    """
    folder = locate(path)
    if not str(path) or not (folder / CARD).is_file() or not (folder / WEIGHTS).is_file():
        what = f"expected {CARD} and {WEIGHTS} in it"
        if not str(path) or not folder.exists():
            what = f"no such folder, and no model of that name (those that come with orvpe: {', '.join(shipped())})"
        elif not folder.is_dir():
            what = f"a file, expected a folder with {CARD} and {WEIGHTS} in it"
        raise InputError(f"model {folder if str(path) else repr('')}: {what}")
    where = f"model {folder}: {CARD}"
    card = load_json(read_text(folder / CARD, where, MOST_JSON_BYTES), where)
    if not isinstance(card, dict) or card.get("card_version") != CARD_VERSION:
        found = card.get("card_version") if isinstance(card, dict) else None
        raise InputError(f"model {folder}: card version {found}, this orvpe reads {CARD_VERSION}")
    return card
