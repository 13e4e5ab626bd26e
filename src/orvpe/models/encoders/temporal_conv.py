"""Temporal convolution whose weight gradient is computed as a few large matrix products.

Of a channels-last tensor on a CPU, oneDNN computes the forward pass and the gradient by the input at the rate of a
matrix product, but the gradient by the weights at seven tenths of it.  The rows (T, V) of a channels-last clip that
one tap sees are a contiguous run, so that its gradient is one product of two views, and nothing is copied.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TemporalConv(nn.Conv2d):
    """A (kernel, 1) convolution, zero-padded to keep its centre: (N, C, T, V) -> (N, O, ceil(T / stride), V).

    Parameters and results are those of `torch.nn.Conv2d`, to rounding.

    Args:
        inputs, outputs: channels.
        kernel: frames, odd.
        stride: frames from one output to the next.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(inputs, outputs, (kernel, 1), stride=(stride, 1), padding=(kernel // 2, 0))

    def forward(self, input: Tensor) -> Tensor:
        ours = input.device.type == "cpu" and self.weight.requires_grad and torch.is_grad_enabled()
        # in half precision oneDNN's own is the faster; a compiler has its own ways
        if ours and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling():
            x = input.contiguous(memory_format=torch.channels_last)
            return _Convolution.apply(x, self.weight, self.bias, self.stride[0])
        return super().forward(input)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.biased = stride, bias is not None
        return F.conv2d(x, weight, bias, (stride, 1), (weight.shape[2] // 2, 0))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad = grads[0].contiguous(memory_format=torch.channels_last)
        padding = (weight.shape[2] // 2, 0)
        for_x = None
        if ctx.needs_input_grad[0]:
            for_x, _, _ = torch.ops.aten.convolution_backward(
                grad, x, weight, None, (ctx.stride, 1), padding, (1, 1), False, (0, 0), 1, (True, False, False)
            )
        for_bias = grad.sum(dim=(0, 2, 3)) if ctx.biased else None
        return for_x, weight_gradient(x, grad, weight.shape[2], ctx.stride), for_bias, None


def weight_gradient(x: Tensor, grad: Tensor, kernel: int, stride: int = 1) -> Tensor:
    """Weight gradient of a centred (kernel, 1) convolution.

    Args:
        x: (N, C, T, V) input, channels-last in memory.
        grad: (N, O, ceil(T / stride), V) gradient by the output, channels-last in memory.
        kernel: frames, odd.
        stride: frames from one output to the next.

    Returns:
        (O, C, kernel, 1).
    """
    n, c, _, v = x.shape
    o, out = grad.shape[1], grad.shape[2]
    phases = [x[:, :, p::stride].contiguous(memory_format=torch.channels_last) for p in range(stride)]
    # rows (frame, joint) of each phase of the stride: (N, frames * V, C)
    seen = [p.permute(0, 2, 3, 1).reshape(n, -1, c) for p in phases]
    wanted = grad.permute(0, 2, 3, 1).reshape(n, out * v, o)
    taps = x.new_zeros(kernel, o, c)
    for j, target in enumerate(taps):
        # output frame i reads input frame i * stride + shift, which is frame i + first of this phase
        first, phase = divmod(j - kernel // 2, stride)
        low = max(0, -first)
        high = min(out, seen[phase].shape[1] // v - first)
        if high <= low:
            continue
        for rows, g in zip(seen[phase], wanted, strict=True):
            mine, theirs = g[low * v : high * v].t(), rows[(low + first) * v : (high + first) * v]
            torch.addmm(target, mine, theirs, out=target)  # not addmm_, which torch's counter of FLOPs does not know
    return taps.permute(1, 2, 0)[..., None].contiguous()
