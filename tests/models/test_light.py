"""The light encoder: shapes, its mask, its configuration, its gradients."""

from __future__ import annotations

import json

import pytest
import torch

from orvpe.errors import InputError
from orvpe.models.encoders import build_encoder
from orvpe.models.encoders.light import LightEncoder, graph_seeds
from orvpe.poses.skeleton import LAYOUTS, Layout, unified

SMALL = {"width": (8, 16), "strides": (1, 2), "groups": 4}


def small(**more: object) -> LightEncoder:
    torch.manual_seed(0)
    return LightEncoder(**{**SMALL, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 8, 33])
def test_any_length(frames: int) -> None:
    for more in ({}, {"stem_kernel": 1, "kernel": 1, "stem_stride": 3}, {"dilations": (1, 2, 3), "kernel": 7}):
        for training in (False, True):
            out = small(**more).train(training)(torch.randn(2, 3, frames, 17))
            assert out.shape == (2, 16)
            assert torch.isfinite(out).all()


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout(layout: Layout) -> None:
    for dims in (2, 3):
        assert small(layout=layout, in_channels=dims).eval()(torch.randn(1, dims, 6, len(layout))).shape == (1, 16)


def test_default_size() -> None:
    model = LightEncoder()
    assert model.feature_dim == 256
    assert model.eval()(torch.randn(2, 3, 12, 17)).shape == (2, 256)


def test_parameters_are_what_the_architecture_says() -> None:
    width, v, groups, kernel, dilations = (8, 16), 17, 4, 5, (1, 2)
    graph, norm = groups * v * v, 2
    want = norm * v * 3 + 3 * width[0] * 7 + graph + norm * width[0]  # input norm, stem
    inputs = width[0]
    for outputs in width:
        want += inputs * outputs + graph + norm * outputs  # mix, graph, norm
        want += (inputs * outputs + norm * outputs) if inputs != outputs else 0  # across
        share = outputs // (len(dilations) + 2)
        want += outputs * outputs + norm * outputs + len(dilations) * share * share * kernel + norm * outputs  # time
        inputs = outputs
    assert sum(p.numel() for p in small().parameters()) == want


def test_full_size_is_a_fraction_of_agcn() -> None:
    count = sum(p.numel() for p in LightEncoder().parameters())
    assert count < sum(p.numel() for p in build_encoder("agcn").parameters()) / 4


def test_gradient_reaches_every_parameter() -> None:
    for mask in (False, True):
        model = small(mask_channel=mask)
        x = torch.randn(4, 3, 20, 17)
        model(x, torch.rand(4, 20, 17) > 0.3).square().sum().backward()
        for name, p in model.named_parameters():
            assert p.grad is not None, name
            assert float(p.grad.abs().max()) > 0, name
            assert torch.isfinite(p.grad).all(), name


def test_mask_channel() -> None:
    model = small(mask_channel=True).eval()
    x, seen = torch.randn(2, 3, 9, 17), torch.ones(2, 9, 17, dtype=torch.bool)
    assert torch.equal(model(x), model(x, seen))  # None means all visible
    hidden = seen.clone()
    hidden[0, 3, 5] = False
    assert not torch.equal(model(x, hidden)[0], model(x, seen)[0])
    assert torch.allclose(model(x, hidden)[1], model(x, seen)[1], atol=1e-6)
    plain = small().eval()
    assert torch.equal(plain(x, hidden), plain(x))  # without the channel it is not read


def test_clips_do_not_see_each_other_in_evaluation() -> None:
    model = small().eval()
    x = torch.randn(5, 3, 9, 17)
    torch.testing.assert_close(model(x)[2:3], model(x[2:3]), atol=1e-5, rtol=1e-4)


def test_arguments_as_plain_data_build_the_same_encoder() -> None:
    layout = LAYOUTS["penn"]
    options = {"in_channels": 2, "mask_channel": True, "dilations": (1, 3), "stem_stride": 1}
    model = small(layout=layout, **options).eval()
    again = small(**json.loads(json.dumps({**options, "layout": layout.to_dict()}))).eval()
    assert again.layout == layout
    again.load_state_dict(model.state_dict())
    x = torch.randn(2, 2, 7, 13)
    assert torch.equal(model(x), again(x))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_graph_seeds_against_a_loop(layout: Layout) -> None:
    v = len(layout)
    near = [{i for i, p in layout.edges if p == j} | {p for i, p in layout.edges if i == j} for j in range(v)]
    seeds = graph_seeds(layout)
    for j in range(v):  # what joint j reads
        parent = {p for i, p in layout.edges if i == j}
        two = set.union(set(), *(near[i] for i in near[j])) - near[j] - {j}
        for seed, sources in zip(seeds, ({j}, parent, near[j] - parent, two), strict=True):
            want = torch.tensor([1 / len(sources) if i in sources else 0.0 for i in range(v)])
            torch.testing.assert_close(seed[:, j], want)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"in_channels": 0}, "in_channels is 0"),
        ({"width": ()}, r"width is \(\)"),
        ({"width": (8, 10)}, r"width is \(8, 10\), expected multiples of groups \(4\)"),
        ({"groups": 0}, "width is"),
        ({"strides": (1,)}, r"strides is \(1,\), expected 2"),
        ({"strides": (1, 0)}, "strides is"),
        ({"kernel": 4}, "kernel is 4, expected an odd"),
        ({"stem_kernel": 0}, "stem_kernel is 0"),
        ({"dilations": ()}, "dilations is"),
        ({"dilations": (1,) * 7}, "fewer than channels"),
    ],
)
def test_bad_settings(settings: dict, found: str) -> None:
    with pytest.raises(InputError, match=found):
        small(**settings)


def test_input_of_another_shape() -> None:
    with pytest.raises(InputError, match="2 channels and 17 joints, expected 3 and 17"):
        small()(torch.randn(1, 2, 5, 17))
    with pytest.raises(InputError, match="3 channels and 20 joints"):
        small()(torch.randn(1, 3, 5, 20))
    with pytest.raises(InputError, match=r"unknown argument 'widht' in encoder 'light'.*'width'"):
        build_encoder("light", widht=3)
    with pytest.raises(InputError, match="unknown encoder 'lite'"):
        build_encoder("lite", layout=unified)


def test_a_number_for_a_list() -> None:
    with pytest.raises(InputError, match="encoder 'light': width is 24, expected a list of numbers"):
        build_encoder("light", in_channels=3, width=24)
