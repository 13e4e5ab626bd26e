"""A model's round trip through its folder, and what is taken from weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.small_runs import ENCODER
from safetensors.torch import load_file, save_file
from torch import nn

from orvpe.data.generated import generate
from orvpe.errors import InputError
from orvpe.models.config import EncoderConfig
from orvpe.models.encoders import ENCODERS
from orvpe.models.model import Model, load, transfer_encoder
from orvpe.poses.skeleton import LAYOUTS, Layout, unified
from orvpe.views.augment import Augment
from orvpe.views.batch import collate
from orvpe.views.view import ViewConfig, fixed_view

torch.set_num_threads(1)
VIEW = ViewConfig(tau=12, stream="bone", occlusion="joints:0.3+frames:0.2", augment=Augment(yaw=30, flip=0.5))


def model(
    encoder: EncoderConfig = ENCODER, layout: Layout = unified, dims: int = 3, seed: int = 0, classes: int = 4
) -> Model:
    torch.manual_seed(seed)
    made = Model(encoder, layout, dims, VIEW, ("mlp", 6), [f"class {i}, with é" for i in range(classes)])
    for buffer in made.buffers():  # statistics of a trained one
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 2)
        else:
            buffer.fill_(17)
    return made.eval()


class Own(nn.Module):
    """An encoder of somebody's own, who forgot a thing."""

    def __init__(
        self, *, in_channels: int = 3, layout: Layout = unified, told: bool = True, mean: bool = False, spare: int = 0
    ) -> None:
        super().__init__()
        self.mean = mean
        if told:
            self.feature_dim = in_channels * len(layout) + spare

    def forward(self, x: torch.Tensor, visible: torch.Tensor | None = None) -> torch.Tensor:
        frames = x.permute(0, 2, 1, 3).flatten(2)  # (N, T, C V)
        return frames.mean(dim=1) if self.mean else frames


def test_what_an_encoder_of_ones_own_must_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS, "own", Own)
    with pytest.raises(InputError, match="encoder 'own': feature_dim is None, expected the width"):
        Model(EncoderConfig("own", {"told": False}), unified, 3, VIEW)
    made = Model(EncoderConfig("own"), unified, 3, VIEW)
    batch = collate(list(generate(2)))
    with pytest.raises(InputError, match=r"features of shape \(2, 12, 51\), expected \(N, feature_dim\)"):
        made.features(fixed_view(batch, ViewConfig(tau=12)))
    made = Model(EncoderConfig("own", {"mean": True, "spare": 1}), unified, 3, VIEW)
    with pytest.raises(InputError, match="encoder 'own' gives features of width 51, expected its feature_dim, 52"):
        made.features(fixed_view(batch, ViewConfig(tau=12)))


@pytest.mark.parametrize("encoder", [ENCODER, EncoderConfig("agcn", {})], ids=["light", "agcn"])
def test_round_trip_is_bit_exact(encoder: EncoderConfig, tmp_path: Path) -> None:
    one = model(encoder)
    one.save(tmp_path / "m", trained={"store": Path("a") / "b"}, loss=1.5)
    two = load(tmp_path / "m")
    assert not two.training
    before, after = one.state_dict(), two.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert after[name].dtype == value.dtype, name
        assert torch.equal(after[name], value), name
    assert (two.view, two.layout, two.dims, two.classes) == (one.view, one.layout, one.dims, one.classes)
    assert two.view.augment == Augment(yaw=30, flip=0.5)
    assert (two.encoder_config, two.projection_config) == (one.encoder_config, one.projection_config)
    view = fixed_view(collate(list(generate(3))), one.view)
    assert torch.equal(one(view), two(view))
    two.save(tmp_path / "again", trained={"store": Path("a") / "b"}, loss=1.5)
    for name in ("card.json", "weights.safetensors"):
        assert (tmp_path / "m" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_the_card_tells(tmp_path: Path) -> None:
    one = model()
    one.save(tmp_path, numbers={"top1": 50.0})
    card = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert card["parameters"] == sum(p.numel() for p in one.encoder.parameters())
    assert card["numbers"] == {"top1": 50.0}
    assert card["view"]["augment"]["yaw"] == 30


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_load_as_float32(kind: torch.dtype, tmp_path: Path) -> None:
    one = model()
    one.save(tmp_path)
    path = tmp_path / "weights.safetensors"
    save_file({k: v.to(kind) if v.is_floating_point() else v for k, v in load_file(path).items()}, path)
    two = load(tmp_path)
    for name, value in one.state_dict().items():
        expected = value.to(kind).float() if value.is_floating_point() else value
        assert torch.equal(two.state_dict()[name], expected), name


def test_the_encoder_is_transferred_and_nothing_else() -> None:
    source, target = model(seed=1), model(seed=2, classes=7)
    heads = {k: v.clone() for k, v in target.state_dict().items() if not k.startswith("encoder.")}
    transfer_encoder(source, target, "weights")
    for name, value in source.encoder.state_dict().items():
        assert torch.equal(target.encoder.state_dict()[name], value), name
    assert set(heads) == {k for k in target.state_dict() if k.startswith(("head.", "projection."))}
    for name, value in heads.items():
        assert torch.equal(target.state_dict()[name], value), name
    source.encoder.state_dict()["stem.weight"].zero_()  # a copy, not the same memory
    assert target.encoder.state_dict()["stem.weight"].abs().sum() > 0


def test_what_does_not_fit_is_not_transferred() -> None:
    target = model()
    before = {k: v.clone() for k, v in target.state_dict().items()}
    narrow = EncoderConfig("light", {"width": [8, 16], "strides": [1, 1], "groups": 4})
    for source, told in (
        (model(narrow), "another width"),
        (model(dims=2), "2D"),
        (model(layout=LAYOUTS["coco"]), "coco"),
        (model(EncoderConfig("agcn", {})), "encoder 'agcn', this one is 'light'"),
    ):
        with pytest.raises(InputError, match=told):
            transfer_encoder(source, target, "weights x")
        for name, value in target.state_dict().items():
            assert torch.equal(value, before[name]), name


def test_options_do_not_say_what_the_data_says() -> None:
    for option in ("layout", "in_channels"):
        with pytest.raises(InputError, match=f"encoder.options has '{option}'"):
            model(EncoderConfig("light", {option: 2}))


def test_what_cannot_be_saved_leaves_what_is_there(tmp_path: Path) -> None:
    one = model()
    one.save(tmp_path / "m")
    before = {f.name: f.read_bytes() for f in (tmp_path / "m").iterdir()}
    (tmp_path / "file").write_text("x")
    large = model()
    with torch.no_grad():
        large.encoder.get_buffer("input_norm.running_var")[0] = 1e6
    for source, folder, half, card, told in (
        (one, "file", False, {}, "is a file"),
        (one, "file/m", False, {}, "is a file"),
        (one, "m", False, {"thing": object()}, "card: .* not JSON"),
        (one, "m", False, {"classes": ["a"]}, "card holds 'classes'"),
        (one.for_inference(), "m", False, {}, "made for inference"),
        (large, "m", True, {}, r"running_var goes up to 1e\+06, float16 to 65504"),
    ):
        with pytest.raises(InputError, match=told):
            source.save(tmp_path / folder, half=half, **card)
    assert {f.name: f.read_bytes() for f in (tmp_path / "m").iterdir()} == before
    large.save(tmp_path / "m")
    assert load(tmp_path / "m").encoder.get_buffer("input_norm.running_var")[0] == 1e6


def test_a_model_without_a_head_has_no_scores() -> None:
    headless = Model(ENCODER, unified, 3, VIEW)
    with pytest.raises(InputError, match="no classifier"):
        headless(fixed_view(collate(list(generate(2))), VIEW))
