"""The AGCN encoder against a slow literal reference, and its exact size."""

from __future__ import annotations

import json

import pytest
import torch
from helpers.encoders import close, scrambled
from torch import nn

from orvpe.errors import InputError
from orvpe.lab.bench.literal_agcn import all_pairs, buffer_pairs, reference_of
from orvpe.models.encoders import ENCODERS, build_encoder
from orvpe.models.encoders.agcn import AGCN
from orvpe.poses.skeleton import LAYOUTS, graph_subsets, unified


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_features_are_the_references(training: bool, dtype: torch.dtype, tolerance: float) -> None:
    model = scrambled(dtype=dtype).train(training)
    reference = reference_of(model)
    x = torch.randn(2, 3, 7, 17, dtype=dtype)
    assert close(model(x), reference(x), tolerance)
    for a, b in buffer_pairs(model, reference):  # running statistics moved alike (or, in evaluation, not at all)
        assert close(a.to(dtype), b.to(dtype), tolerance)


@pytest.mark.parametrize("training", [False, True])
def test_gradients_are_the_references(training: bool) -> None:
    model = scrambled(1, torch.float64).train(training)
    reference = reference_of(model)
    x = torch.randn(2, 3, 5, 17, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    out, want = model(x), reference(y)
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    (want * weight).sum().backward()
    assert close(x.grad, y.grad, 1e-10)
    pairs = all_pairs(model, reference, grad=True)
    for a, b in pairs:
        assert close(a, b, 1e-10)
    nonzero = sum(float(b.abs().max()) > 1e-9 for _, b in pairs)
    assert nonzero > 0.5 * len(pairs)  # the comparison is not one of zeros
    assert sum(p.numel() for p in model.parameters()) == sum(a.numel() for a, _ in pairs)  # nothing left out


@pytest.mark.parametrize(("layout", "frames"), [("penn", 1), ("kinect_v1", 6), ("kinect_v2", 3)])
def test_any_layout_and_length(layout: str, frames: int) -> None:
    model = scrambled(2, torch.float64, layout=LAYOUTS[layout], in_channels=2).eval()
    x = torch.randn(1, 2, frames, len(LAYOUTS[layout]), dtype=torch.float64)
    assert model(x).shape == (1, 256)
    assert close(model(x), reference_of(model)(x), 1e-12)


def test_mask_channel_is_one_more_input() -> None:
    model = scrambled(3, torch.float64, mask_channel=True).eval()
    x = torch.randn(2, 3, 4, 17, dtype=torch.float64)
    visible = torch.rand(2, 4, 17) > 0.3
    x = x * visible[:, None]
    assert close(model(x, visible), reference_of(model)(torch.cat((x, visible[:, None].double()), 1)), 1e-12)
    assert torch.equal(model(x), model(x, torch.ones_like(visible)))
    assert not torch.equal(model(x), model(x, visible))


def test_without_mask_channel_visible_is_not_read() -> None:
    model = scrambled(4).eval()
    x = torch.randn(2, 3, 6, 17)
    assert torch.equal(model(x), model(x, torch.zeros(2, 6, 17, dtype=torch.bool)))


@pytest.mark.parametrize("training", [False, True])
def test_all_joints_hidden_gives_finite_features(training: bool) -> None:
    model = AGCN().train(training)
    assert torch.isfinite(model(torch.zeros(2, 3, 5, 17), torch.zeros(2, 5, 17, dtype=torch.bool))).all()


def test_clips_of_a_batch_do_not_touch_in_evaluation() -> None:
    model = scrambled(5, torch.float64).eval()
    x = torch.randn(3, 3, 4, 17, dtype=torch.float64)
    assert close(model(x), torch.cat([model(one[None]) for one in x]), 1e-12)


@pytest.mark.parametrize(
    ("layout", "count"), [("unified", 3_443_812), ("kinect_v1", 3_447_160), ("kinect_v2", 3_453_940)]
)
def test_exact_number_of_parameters(layout: str, count: int) -> None:
    model = AGCN(layout=unified if layout == "unified" else LAYOUTS[layout])
    assert sum(p.numel() for p in model.parameters()) == count


@pytest.mark.parametrize(("classes", "head"), [(10, 2_570), (15, 3_855), (31, 7_967)])
def test_table_1_counts_at_17_joints(classes: int, head: int) -> None:
    model = nn.Sequential(AGCN(), nn.Linear(256, classes))
    count = sum(p.numel() for p in model.parameters())
    assert count == 3_443_812 + head
    assert round(count / 1e6, 2) == 3.45  # the paper's 3.45M, for each of its data sets


def test_initialisation_is_the_backbones() -> None:
    torch.manual_seed(0)
    model = AGCN()
    last = model.blocks[-1].spatial
    assert torch.equal(last.learned, torch.full((3, 17, 17), 1e-6))
    assert torch.equal(last.norm.weight, torch.full((256,), 1e-6))
    assert torch.equal(last.fixed, torch.from_numpy(graph_subsets(unified)))
    expected = {
        last.attend.weight: (2 / 64) ** 0.5,
        last.mix.weight: (2 / (256 * 256 * 3)) ** 0.5,
        model.blocks[-1].temporal[0].weight: (2 / (256 * 9)) ** 0.5,
        model.blocks[4].residual[0].weight: (2 / 128) ** 0.5,
    }
    for weight, std in expected.items():
        assert float(weight.detach().std()) == pytest.approx(std, rel=0.03)


def test_strides_shorten_at_blocks_5_and_8() -> None:
    model = AGCN().eval()
    lengths, x = [], torch.randn(1, 3, 13, 17)
    for block in model.blocks:
        x = block(x)
        lengths.append(x.shape[2])
    assert lengths == [13, 13, 13, 13, 7, 7, 7, 4, 4, 4]
    assert model.blocks[0].residual is None


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.02), (torch.bfloat16, 0.2)])
def test_half_precision_keeps_the_attention(dtype: torch.dtype, tolerance: float) -> None:
    """theta^T phi summed over 16 x 150 entries leaves the range of float16; its mean does not."""
    torch.manual_seed(0)
    conv = AGCN().blocks[0].spatial
    x = 30.0 * (1.0 + torch.randn(1, 3, 150, 17))
    theta, phi = conv.attend(x).view(3, 2, -1, 17).unbind(1)
    assert float((theta.transpose(1, 2) @ phi).detach().abs().max()) > torch.finfo(torch.float16).max
    with torch.autocast("cpu", dtype=dtype):
        graph = conv.graph(x)
    assert graph.dtype == torch.float32
    assert close(graph, conv.graph(x), tolerance)


def test_arguments_as_plain_data_build_the_same_encoder() -> None:
    options = {"in_channels": 2, "width": (8, 16), "strides": (1, 2), "kernel": 3, "mask_channel": True}
    model = AGCN(layout=LAYOUTS["penn"], **options)  # type: ignore[arg-type]
    again = build_encoder("agcn", **json.loads(json.dumps({**options, "layout": LAYOUTS["penn"].to_dict()})))
    again.load_state_dict(model.state_dict())
    x = torch.randn(2, 2, 5, 13)
    assert torch.equal(model.eval()(x), again.eval()(x))
    assert again.feature_dim == 16
    assert again.layout == LAYOUTS["penn"]
    assert again.in_channels == 2


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"in_channels": 0}, "in_channels is 0"),
        ({"width": (64, 30), "strides": (1, 1)}, "width"),
        ({"strides": (1, 2)}, "strides"),
        ({"kernel": 4}, "kernel is 4"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_bad_arguments_are_named(config: dict, named: str) -> None:
    with pytest.raises(InputError, match=named) as error:
        AGCN(**config)
    assert "\n" not in str(error.value)


def test_bad_input_and_unknown_names() -> None:
    with pytest.raises(InputError, match="2 channels and 17 joints, expected 3 and 17"):
        AGCN()(torch.zeros(1, 2, 4, 17))
    with pytest.raises(InputError, match="did you mean 'agcn'"):
        build_encoder("acgn")
    with pytest.raises(InputError, match="did you mean 'kernel'"):
        build_encoder("agcn", kernal=9)
    assert ENCODERS["agcn"] is AGCN
