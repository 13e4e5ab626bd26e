"""Nothing inside a training step makes the host wait for a GPU: seen on the CPU by the operations that would."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.small_runs import ENCODER, VIEW, make_store
from torch.utils._python_dispatch import TorchDispatchMode

from orvpe.training.finetune import finetune
from orvpe.training.loop import Loop, Step
from orvpe.training.optim import Optim
from orvpe.training.pretrain import Contrast, pretrain
from orvpe.views.view import ViewConfig

# each gives the host a number, or a tensor whose size the device decides
WAITING = {
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique2",
    "aten::equal", "aten::bincount",
}  # fmt: skip


class Watch(TorchDispatchMode):
    """Notes who waits between `begin` and `end`."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.seen = False, list[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # a mask as an index asks for its size too
        masks = func.name().startswith("aten::index") and any(
            isinstance(i, torch.Tensor) and i.dtype == torch.bool for a in args if isinstance(a, list) for i in a
        )
        if self.inside and (func.name().split(".")[0] in WAITING or masks):
            stack = traceback.extract_stack()
            # the CPU's AdamW reads its step counters; on a GPU the fused one is taken, which does not
            if not any("torch/optim/" in f.filename.replace("\\", "/") for f in stack):
                ours = [f for f in stack if "orvpe" in f.filename]
                self.seen.append(f"{func.name()} in {ours[-1].name if ours else '?'}")
        return func(*args, **(kwargs or {}))


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Watches every step of the training loop, in whatever job."""
    found, steps = Watch(), Loop.steps

    def watched(self: Loop) -> Iterator[Step]:
        for step in steps(self):
            found.inside = True
            yield step
            found.inside = False

    monkeypatch.setattr(Loop, "steps", watched)
    return found


OPTIM = Optim(name="adamw", lr=0.001, schedule="one-cycle", clip_norm=5.0)


@pytest.mark.parametrize("negatives", [None, 4])
@pytest.mark.parametrize("loss", ["info_nce", "nce"])
def test_a_step_of_pretraining(watch: Watch, tmp_path: Path, negatives: int | None, loss: str) -> None:
    view = ViewConfig(**{**vars(VIEW), "occlusion": "subgraph+joints:0.1+flicker:0.1+tubes+frames:0.2+block+jitter"})
    with watch:
        pretrain(
            make_store(tmp_path / "s.orvpe", count=12), str(tmp_path / "r"), view=view, encoder=ENCODER,
            contrast=Contrast(negatives=negatives, loss=loss), optim=OPTIM, epochs=2, batch_size=4, device="cpu",
        )  # fmt: skip
    estimate = ["aten::_local_scalar_dense in forward"] if loss == "nce" else []  # once, of the first batch
    assert [s for s in watch.seen if s not in estimate] == []
    assert len(watch.seen) <= 2


@pytest.mark.parametrize("mixup", [0.0, 0.3])
def test_a_step_of_fine_tuning(watch: Watch, tmp_path: Path, mixup: float) -> None:
    with watch:
        finetune(
            make_store(tmp_path / "s.orvpe", count=40), str(tmp_path / "r"), "random:0.3", view=VIEW, encoder=ENCODER,
            optim=OPTIM, epochs=1, batch_size=8, dropout=0.1, mixup=mixup, occlusions=["none"], device="cpu",
        )  # fmt: skip
    proportion = "aten::_local_scalar_dense in _blend"  # of a number that the host drew
    assert [s for s in watch.seen if s != proportion] == []


def test_the_watch_sees_what_waits() -> None:
    with Watch() as watch:
        watch.inside = True
        x = torch.arange(4.0)
        float(x.sum())
        x[x > 1]
    assert len(watch.seen) >= 2
