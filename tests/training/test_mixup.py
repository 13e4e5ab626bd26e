"""Mixup of clips with different numbers of people, against a loop."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from orvpe.runtime.draws import seeded
from orvpe.training.finetune import mix_views
from orvpe.views.view import View


@settings(max_examples=60, deadline=None)
@given(people=st.lists(st.integers(1, 3), min_size=1, max_size=6), seed=st.integers(0, 999))
def test_people_are_blended_in_their_order(people: list[int], seed: int) -> None:
    draw, clips, total = seeded("cpu", seed, "mixup"), len(people), sum(people)
    joints = torch.randn(total, 2, 4, 5, generator=draw)
    visible = torch.rand(total, 4, 5, generator=draw) > 0.3
    joints = joints * visible[:, None]
    owner = torch.tensor([n for n, count in enumerate(people) for _ in range(count)])
    other, share = torch.randperm(clips, generator=draw), 0.75
    mixed = mix_views(View(joints, visible, owner, clips), share, other)

    of = {n: [p for p in range(total) if int(owner[p]) == n] for n in range(clips)}
    for n, mine in of.items():
        theirs = of[int(other[n])]
        for place, p in enumerate(mine):
            q = theirs[min(place, len(theirs) - 1)]  # a partner with fewer people gives its last again
            both = visible[p] & visible[q]
            assert torch.equal(mixed.visible[p], both)
            torch.testing.assert_close(mixed.joints[p], (share * joints[p] + (1 - share) * joints[q]) * both)
    assert mixed.clips == clips
    assert torch.equal(mixed.owner, owner)
