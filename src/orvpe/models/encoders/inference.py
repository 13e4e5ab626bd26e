"""Speed up a frozen encoder: merge batch-norms into the convolutions before them."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def prepare(encoder: nn.Module) -> nn.Module:
    """Copy an encoder for inference only: the same features up to rounding, in fewer passes over memory.

    Args:
        encoder: in any mode; it is left as it is.

    Returns:
        The copy, in evaluation mode, without gradients.
    """
    ready = deepcopy(encoder).eval().requires_grad_(False)
    _fold(ready)
    return ready


def _fold(module: nn.Module) -> None:
    for name, child in module.named_children():
        parts = list(child) if isinstance(child, nn.Sequential) else []
        if len(parts) == 2 and isinstance(parts[0], nn.Conv2d) and isinstance(parts[1], nn.BatchNorm2d):
            folded: nn.Module = fuse_conv_bn_eval(parts[0], parts[1])
            setattr(module, name, folded.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
        else:
            _fold(child)
    if callable(fold := getattr(module, "fold_norm", None)):  # where convolution and norm are no neighbours
        fold()
