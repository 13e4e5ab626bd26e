"""Fast matrix products for graph convolutions on channels-last tensors.

Channels are mixed before joints, so that the sum over the subsets k belongs to the product with the joints, and
everything is a matrix product of rows (T, V) by channels.

Shapes: N clips with persons folded in, C and O channels, T frames, V joints, K subsets.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def rows(x: Tensor) -> Tensor:
    """(N, C, T, V) -> (N, T, V, C), contiguous; of a channels-last tensor a view."""
    return x.permute(0, 2, 3, 1).contiguous()


def side_by_side(graphs: Tensor) -> Tensor:
    """Put K graphs into one matrix: (N, K, V, V) -> (N, V, VK); [j, K i + k] is [i, j] of graph k."""
    n, k, v, _ = graphs.shape
    return graphs.permute(0, 3, 2, 1).reshape(n, v, v * k)


def mix_channels(x: Tensor, weight: Tensor, subsets: int) -> Tensor:
    """Compute all W_k x: x (N, C, T, V), W (O, K C, 1, 1) -> (N, T, VK, O); row K i + k is W_k x of joint i."""
    n, c, t, v = x.shape
    stacked = weight.view(-1, subsets, c).transpose(0, 1).reshape(-1, c)  # (K O, C)
    return F.linear(rows(x), stacked).view(n, t, v * subsets, -1)


def joint_product(graph: Tensor, x: Tensor) -> Tensor:
    """Multiply each frame of a clip by the clip's matrix: (N, V, S), (N, T, S, C) -> (N, T, V, C)."""
    return _JointProduct.apply(graph, x)


def embed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """1x1 convolution of x (N, C, T, V) by weight (O, C, 1, 1) and bias (O,) -> (N, O, TV)."""
    n, c, t, v = x.shape
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    return _Embedding.apply(rows(x).view(n, t * v, c).to(dtype), weight.view(-1, c).to(dtype), bias.to(dtype))


def mean_products(theta: Tensor, phi: Tensor) -> Tensor:
    """theta^T phi / inner: (B, inner, V) twice -> (B, V, V).

    The mean is taken inside the product: in half precision the sum over ``inner`` would overflow.
    """
    return torch.baddbmm(theta.new_zeros(1), theta.transpose(1, 2), phi, beta=0, alpha=1.0 / theta.shape[1])


def per_clip(matrix: Tensor, x: Tensor, onto: Tensor | None = None) -> Tensor:
    """Multiply each frame of x (N, T, B, C) by matrix (N, A, B) -> (N, T, A, C); added to ``onto``, if given."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        product = torch.matmul(matrix[:, None], x)
        return product if onto is None else onto.add_(product)
    out = x.new_empty(*x.shape[:2], matrix.shape[1], x.shape[3]) if onto is None else onto
    for m, frames, target in zip(matrix, x, out, strict=True):
        every = m.expand(len(frames), -1, -1)
        if onto is None:
            torch.bmm(every, frames, out=target)
        else:
            torch.baddbmm(target, every, frames, out=target)
    return out


class _JointProduct(torch.autograd.Function):
    """`joint_product`, without copies of the matrix.

    ``torch.matmul`` would write the matrix out once a frame.  On a GPU that costs less than a launch a clip does.
    """

    @staticmethod
    def forward(ctx: Any, graph: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(graph, x)
        return per_clip(graph, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        graph, x = ctx.saved_tensors
        grad = grads[0].contiguous()
        for_graph = torch.matmul(grad, x.transpose(2, 3)).sum(dim=1) if ctx.needs_input_grad[0] else None  # (N, V, S)
        for_x = per_clip(graph.transpose(1, 2), grad) if ctx.needs_input_grad[1] else None
        return for_graph, for_x


class _Embedding(torch.autograd.Function):
    """W x + b with channels before frames and joints: rows (N, TV, C), weight (O, C), bias (O,) -> (N, O, TV).

    Autograd would return the gradient by the rows as (N, C, TV), which adding it to their others would transpose.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight)
        n = rows.shape[0]  # not len(), which in an exported graph would be the number it was traced with
        return torch.baddbmm(bias[:, None], weight.expand(n, -1, -1), rows.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        rows, weight = ctx.saved_tensors
        grad = grads[0]
        back = grad.transpose(1, 2)  # (N, TV, O)
        for_rows = torch.bmm(back, weight.expand(rows.shape[0], -1, -1)) if ctx.needs_input_grad[0] else None
        return for_rows, torch.bmm(grad, rows).sum(dim=0), grad.sum(dim=(0, 2))
