"""A model: an encoder with its layout, input settings, heads and card; saving and loading.

Weights are safetensors next to a JSON card; never a pickle.
"""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from orvpe.errors import InputError
from orvpe.models.card import CARD, CARD_VERSION, WEIGHTS, locate, read_card
from orvpe.models.config import EncoderConfig
from orvpe.models.encoders import build_encoder
from orvpe.models.encoders.inference import prepare
from orvpe.models.encoders.tokens import TokenEncoder, Tokens
from orvpe.models.heads import Projection
from orvpe.models.open_set import OpenSet
from orvpe.poses.skeleton import Layout, layout_from_dict
from orvpe.runtime.files import write_atomic
from orvpe.runtime.run import RECIPE, check_folder, plain
from orvpe.views.augment import Augment
from orvpe.views.view import View, ViewConfig, first_people, input_dims, pool_people


class Model(nn.Module):
    """An encoder, optionally with a projection (pre-training) and a linear head (classification).

    Args:
        encoder: which encoder.
        layout: joints it was built for.
        dims: 2 or 3 coordinates a joint.
        view: how a clip becomes its input.
        projection: kind of projection ("linear" or "mlp") and size of the embedding, None without.
        classes: labels in the head's order, None without a head.
    """

    def __init__(
        self,
        encoder: EncoderConfig,
        layout: Layout,
        dims: int,
        view: ViewConfig,
        projection: tuple[str, int] | None = None,
        classes: list[str] | None = None,
    ) -> None:
        super().__init__()
        for given in ("layout", "in_channels"):
            if given in encoder.options:
                raise InputError(f"encoder.options has {given!r}, which comes from the data; leave it out")
        self.encoder_config, self.layout, self.dims, self.view = encoder, layout, dims, view
        self.encoder = build_encoder(encoder.name, layout=layout, in_channels=dims, **encoder.options)
        width = getattr(self.encoder, "feature_dim", None)
        if not isinstance(width, int) or width < 1:
            raise InputError(f"encoder {encoder.name!r}: feature_dim is {width!r}, expected the width of its features")
        self.feature_dim = width
        self.projection_config, self.classes = projection, classes
        self.card: dict[str, Any] = {}  # what is known of data, recipe and numbers, of a model that was loaded
        self.projection = (
            Projection(self.feature_dim, projection[1], kind=projection[0]) if projection is not None else None
        )
        self.head = nn.Linear(self.feature_dim, len(classes)) if classes is not None else None
        self.open_set: OpenSet | None = None  # of a classifier that can answer unknown
        self._folded = False  # whether its layers are still those that the card builds

    def features(self, view: View) -> Tensor:
        """Features of clips (N, feature_dim), the mean over their people.

        Raises:
            InputError: a custom encoder returns features of another width.
        """
        pooled = pool_people(self.encoder(view.joints, view.visible), view)
        if pooled.shape[1] != self.feature_dim:
            given = f"encoder {self.encoder_config.name!r} gives features of width {pooled.shape[1]}"
            raise InputError(f"{given}, expected its feature_dim, {self.feature_dim}")
        return pooled

    @property
    def structured(self) -> bool:
        """Whether the encoder also gives structured embeddings, see `tokens`."""
        return isinstance(self.encoder, TokenEncoder)

    @property
    def token_shape(self) -> tuple[int, int, int]:
        """Joints, segments and numbers of a structured embedding.

        Raises:
            InputError: as `tokens`.
        """
        if not isinstance(self.encoder, TokenEncoder):
            raise InputError(f"encoder {self.encoder_config.name!r} gives no structured embedding, 'tokens' does")
        return self.encoder.shape

    def tokens(self, view: View) -> Tokens:
        """Structured embeddings of clips: of the first person in each who is seen.

        Raises:
            InputError: an encoder that gives one vector only.
        """
        if not isinstance(self.encoder, TokenEncoder):
            raise InputError(f"encoder {self.encoder_config.name!r} gives no structured embedding, 'tokens' does")
        first = first_people(view)
        return self.encoder.tokens(view.joints[first], view.visible[first])

    def similarity(self, query: Tokens, gallery: Tokens) -> Tensor:
        """(Q, G) similarity of structured embeddings over what the query shows, -1 to 1.

        Raises:
            InputError: as `tokens`.
        """
        if not isinstance(self.encoder, TokenEncoder):
            raise InputError(f"encoder {self.encoder_config.name!r} gives no structured embedding, 'tokens' does")
        return self.encoder.similarity(query, gallery)

    def forward(self, view: View) -> Tensor:
        """(N, classes) scores.

        Raises:
            InputError: the model has no head.
        """
        if self.head is None:
            raise InputError("this model has no classifier; fine-tune or probe it first")
        return self.head(self.features(view))

    def for_inference(self) -> Model:
        """A faster copy without gradients, for inference only; the same numbers up to rounding."""
        ready = deepcopy(self).eval().requires_grad_(False)
        ready.encoder = prepare(ready.encoder)
        ready._folded = True
        return ready

    @classmethod
    def from_pretrained(cls, name: str, device: torch.device | str = "cpu") -> Model:
        """A model by name: shipped, a folder, or ``OWNER/NAME`` on the Hugging Face hub (needs huggingface_hub).

        Raises:
            InputError: nothing of that name, or as `load`.
        """
        return load(name, device)

    def save_pretrained(self, folder: str | Path, half: bool = True, **card: Any) -> None:
        """Write this model to share it: as `save`, by default with weights in float16.

        Raises:
            InputError: as `save`; a folder that holds a run, whose weights would be lost.
        """
        if (Path(folder) / RECIPE).exists():
            raise InputError(f"{folder}: holds a run, whose weights would be written over; choose another folder")
        self.save(folder, half=half, **{**self.card, **card})

    def save(self, folder: str | Path, half: bool = False, **card: Any) -> None:
        """Write weights and card into ``folder``; ``card`` adds what is known of data, recipe and numbers.

        Raises:
            InputError: a card that names what the model says of itself, or that is no JSON; a weight beyond float16; a
                model made `for_inference`, whose layers the card does not build.
        """
        from safetensors.torch import save

        folder = Path(folder)
        check_folder(folder, "folder")
        if self._folded:
            raise InputError("this model was made for inference, its layers are merged; save the one it was made from")
        if own := sorted({*_OF_THE_MODEL} & {*card}):
            raise InputError(f"card holds {own[0]!r}, which the model itself says; expected another name")
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.state_dict().items()}
        if half:
            for k, v in tensors.items():
                if v.is_floating_point() and v.isfinite().all() and not v.half().isfinite().all():
                    raise InputError(f"{k} goes up to {v.abs().max():g}, float16 to 65504; save it with half=False")
            tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
        data = {
            "card_version": CARD_VERSION,
            "encoder": plain(self.encoder_config),
            "layout": self.layout.to_dict(),
            "dims": self.dims,
            "view": asdict(self.view),
            "projection": list(self.projection_config) if self.projection_config else None,
            "classes": self.classes,
            "open_set": None if self.open_set is None else len(self.open_set.prototypes),
            "parameters": sum(p.numel() for p in self.encoder.parameters()),
            **plain(card),
        }
        try:
            text = json.dumps(data, indent=1)
        except TypeError as error:  # before anything is written
            raise InputError(f"card: {error}; expected text, numbers, lists and dicts") from None
        write_atomic(folder / WEIGHTS, save(tensors))
        write_atomic(folder / CARD, text + "\n")


def load(path: str | Path, device: torch.device | str = "cpu") -> Model:
    """Load a saved model, in evaluation mode.

    Args:
        path: a run's or model's folder, or the name of a model that comes with orvpe (`orvpe models`).
        device: where to put it.

    Raises:
        InputError: missing, damaged, from another version, or weights that do not fit the card.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    card = read_card(path)
    try:
        model = _described(card, (locate(path) / WEIGHTS).stat().st_size)
    except InputError as error:
        raise InputError(f"model {path}: {CARD}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"model {path}: {CARD} lacks or misnames something ({error})") from None
    try:
        tensors = load_file(str(locate(path) / WEIGHTS))
    except (SafetensorError, OSError) as error:
        raise InputError(f"model {path}: {WEIGHTS} is damaged ({error})") from None
    _fit(model, {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, f"model {path}")
    model.card = {k: v for k, v in card.items() if k not in _OF_THE_MODEL}
    return model.to(device).eval()


def unfinished(model: Model, path: str | Path) -> list[str]:
    """A note if a model's pre-training has not finished: weights are written after every epoch."""
    done, trained = model.card.get("epochs_done"), model.card.get("trained")
    wanted = trained.get("epochs") if isinstance(trained, dict) else None
    if isinstance(done, int) and isinstance(wanted, int) and done < wanted:
        return [f"weights {path} are of epoch {done} of {wanted}; their pre-training is not finished"]
    return []


def note_unfinished(model: Model, path: str | Path) -> None:
    """Print `unfinished` on stderr."""
    for note in unfinished(model, path):
        print(f"note: {note}", file=sys.stderr)


def _described(card: dict[str, Any], weights_bytes: int) -> Model:
    """Build the model that a card describes, with random weights; no larger than the file of its weights.

    Raises:
        InputError, KeyError, TypeError, ValueError, AttributeError: a card that describes none.
    """
    _check_size(card["encoder"], "encoder")
    made = ViewConfig(**{**card["view"], "augment": Augment(**card["view"]["augment"])})
    for name, value in card["view"].items():  # a tau of 1.5, or "no" for False, would be taken as it is
        wanted = type(getattr(_VIEW, name))
        if type(value) is not wanted and name != "augment" and (type(value), wanted) != (int, float):
            raise InputError(f"view.{name} is {value!r}, expected {wanted.__name__}")
    if made.tau > _MOST_TAU:
        raise InputError(f"view.tau is {made.tau}, expected at most {_MOST_TAU:,} frames")
    dims, classes = card["dims"], card["classes"]
    known = [d for d in (2, 3) if input_dims(made, d) == d]
    if dims not in known or isinstance(dims, bool):
        raise InputError(f"dims is {dims!r}, expected {' or '.join(map(str, known))}")
    named = isinstance(classes, list) and classes and all(isinstance(c, str) for c in classes)
    if classes is not None and not (named and len(set(classes)) == len(classes)):
        raise InputError(f"classes are {str(classes)[:60]}, expected different names, or null")
    projection = card["projection"] or None
    if projection is not None and not (
        isinstance(projection, list) and [type(v) for v in projection] == [str, int] and projection[1] > 0
    ):
        raise InputError(f"projection is {str(projection)[:60]}, expected [kind, width], or null")

    def build() -> Model:
        return Model(
            EncoderConfig(**card["encoder"]),
            layout_from_dict(card["layout"], where="layout"),
            int(dims),
            made,
            (projection[0], projection[1]) if projection else None,
            classes,
        )

    with torch.device("meta"):  # where it takes no memory
        numbers = sum(p.numel() for p in build().parameters())
    if numbers > weights_bytes:
        raise InputError(f"a model of {numbers:,} weights, more than {WEIGHTS} holds")
    model = build()
    learned = card.get("open_set")  # cards of an earlier version do not say
    if learned is not None:
        if type(learned) is not int or learned < 1 or classes is None or learned > weights_bytes:
            raise InputError(f"open_set is {learned!r}, expected the number of clips it compares with, or null")
        model.open_set = OpenSet(learned, model.feature_dim)
    return model


_MOST_TAU = 10_000  # frames
_MOST_OPTION, _MOST_OPTIONS = 4096, 64  # of an encoder: the largest number, the longest list


def _check_size(options: Any, where: str) -> None:
    """Refuse widths, depths and lists that no encoder has, before one is built."""
    if isinstance(options, (list, dict)):
        if len(options) > _MOST_OPTIONS:
            raise InputError(f"{where} has {len(options)} entries, expected at most {_MOST_OPTIONS}")
        for name, value in options.items() if isinstance(options, dict) else enumerate(options):
            _check_size(value, f"{where}.{name}")
    elif isinstance(options, (int, float)) and not abs(options) <= _MOST_OPTION:
        raise InputError(f"{where} is {str(options)[:20]}, expected at most {_MOST_OPTION:,}")


_VIEW = ViewConfig()  # every setting's type
# what `Model.save` writes of itself
_OF_THE_MODEL = ("card_version", "encoder", "layout", "dims", "view", "projection", "classes", "open_set", "parameters")


def _fit(module: nn.Module, tensors: dict[str, Tensor], where: str) -> None:
    """Load exactly these tensors; the error names the one that does not fit."""
    wanted = module.state_dict()
    for name in sorted({*wanted, *tensors}):
        if name not in tensors:
            raise InputError(f"{where}: weights lack {name!r}")
        if name not in wanted:
            raise InputError(f"{where}: weights hold {name!r}, which this encoder does not have")
        if wanted[name].shape != tensors[name].shape:
            raise InputError(
                f"{where}: {name!r} has shape {tuple(tensors[name].shape)}, "
                f"this encoder expects {tuple(wanted[name].shape)} (another width, layout or dimension?)"
            )
        if wanted[name].is_floating_point() != tensors[name].is_floating_point():
            raise InputError(f"{where}: {name!r} is of type {tensors[name].dtype}, expected {wanted[name].dtype}")
        if not tensors[name].isfinite().all():
            raise InputError(f"{where}: {name!r} holds NaN or infinite numbers, so the model is of no use")
    module.load_state_dict(tensors)


def transfer_encoder(source: Model, target: Model, where: str) -> None:
    """Copy the encoder's weights; only the heads may differ.

    Raises:
        InputError: another encoder, width, layout or dimension.
    """
    if source.layout.joints != target.layout.joints:
        raise InputError(
            f"{where}: weights are for layout {source.layout.name!r} ({len(source.layout)} joints), "
            f"the data has {target.layout.name!r} ({len(target.layout)})"
        )
    if source.dims != target.dims:
        raise InputError(f"{where}: weights are for {source.dims}D joints, the input is {target.dims}D")
    if source.encoder_config.name != target.encoder_config.name:
        theirs, ours = source.encoder_config.name, target.encoder_config.name
        raise InputError(
            f"{where}: weights are of encoder {theirs!r}, this one is {ours!r}; give --encoder.name {theirs}"
        )
    _fit(target.encoder, source.encoder.state_dict(), where)


def adapt_encoder(source: Model, target: Model, where: str) -> list[str]:
    """Copy the weights that fit from an encoder for other coordinates (e.g. 3D to 2D); the others stay random.

    Returns:
        Names of the tensors that were not copied.

    Raises:
        InputError: another encoder or layout, so that little would fit.
    """
    if source.encoder_config != target.encoder_config or source.layout.joints != target.layout.joints:
        what, expected = (
            " ".join((m.encoder_config.name, str(m.encoder_config.options or ""), m.layout.name))
            for m in (source, target)
        )
        raise InputError(f"{where}: weights are of another encoder or layout ({what}), expected {expected}")
    theirs, wanted = source.encoder.state_dict(), target.encoder.state_dict()
    fitting = {k: v for k, v in theirs.items() if k in wanted and v.shape == wanted[k].shape}
    target.encoder.load_state_dict({**wanted, **fitting})
    return sorted(set(wanted) - set(fitting))
