"""A joint that training never showed stays without effect where another source has it."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import orvpe
from orvpe.data.generated import generated_clip
from orvpe.models.card import shipped
from orvpe.models.embed import embed_clips
from orvpe.models.encoders import ENCODERS, build_encoder
from orvpe.models.encoders.inference import prepare
from orvpe.poses.skeleton import unified

torch.set_num_threads(1)
NOSE, HEAD = unified.index("nose"), unified.index("head")


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trained(name: str, **options: Any) -> nn.Module:
    """An encoder that has seen 150 batches, none with a nose: its running variance is 0.9 ** 150."""
    torch.manual_seed(0)
    model = build_encoder(name, in_channels=2, **options)
    for i in range(150):
        x = 0.3 * normal(i, 2, 2, 4, len(unified))
        x[..., NOSE] = 0
        visible = torch.ones(2, 4, len(unified), dtype=torch.bool)
        visible[..., NOSE] = False
        shape = (2, model.channels * len(unified), 4)
        with torch.no_grad():  # what training does to the input's norm, without the time of the rest
            given = torch.cat((x, visible[:, None].float()), 1) if model.mask_channel else x
            model.input_norm(given.permute(0, 3, 1, 2).reshape(shape))  # type: ignore[operator]
    return model.eval()


# those with an input norm; of tokens, whose joints are marked as known, the shipped ones are tested below
NORMED = sorted(n for n, encoder in ENCODERS.items() if "mask_channel" in signature(encoder).parameters)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NORMED)
def test_no_bit_of_it_comes_through(name: str, masked: bool) -> None:
    model = trained(name, mask_channel=masked)
    x, seen = 0.3 * normal(1, 2, 2, 8, len(unified)), torch.ones(2, 8, len(unified), dtype=torch.bool)
    without, hidden = x.clone(), seen.clone()
    without[..., NOSE], hidden[..., NOSE] = 0, False
    other = x.clone()
    other[..., HEAD] += 0.1
    with torch.no_grad():
        for ready in (model, prepare(model)):
            assert torch.equal(ready(x, seen), ready(without, hidden))
            assert not torch.equal(ready(other, seen), ready(x, seen))
        model.train()  # whoever learns from bodies with a nose learns about noses
        torch.manual_seed(0)
        a = model(x, seen)
        torch.manual_seed(0)
        assert not torch.equal(a, model(without, hidden))


@pytest.mark.parametrize("name", shipped())
def test_shipped_models_and_the_nose(name: str) -> None:
    """They learned from sensors without one; MediaPipe and COCO have one."""
    model = orvpe.load(name)
    clips = [generated_clip(i, dims=model.dims, missing=0.0) for i in range(3)]
    assert all(c.visible[:, :, NOSE].any() for c in clips)
    bare = [replace(c, visible=c.visible & (np.arange(len(unified)) != NOSE)) for c in clips]
    assert np.array_equal(embed_clips(model, clips), embed_clips(model, bare))
