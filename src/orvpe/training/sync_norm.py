"""Batch-norm synchronised over processes, also on the CPU, which torch.nn.SyncBatchNorm does not support.

Processes that share a global batch then train like one process with the whole batch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _GlobalNorm(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) with mean and variance over the batches of all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """x (N, C, ...) -> normalised x, and the global mean (C,), biased variance (C,) and count (1,)."""
        dims = [0, *range(2, x.dim())]
        wide = x if x.dtype == torch.float64 else x.float()
        var, mean = torch.var_mean(wide, dim=dims, correction=0)  # (C,), (C,)
        count = mean.new_tensor([x.numel() // x.shape[1]])
        own = torch.cat((mean, var, count))  # (2C + 1,)
        every = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(every, own)
        means, variances, counts = torch.stack(every).split((len(mean), len(mean), 1), dim=1)  # (W, C) (W, C) (W, 1)
        total = counts.sum(dim=0)  # (1,)
        # Means and squared deviations are combined, never sums of squares, which would cancel.
        mean = (means * counts).sum(dim=0) / total
        var = ((variances + (means - mean).square()) * counts).sum(dim=0) / total
        scale = torch.rsqrt(var + eps)
        shape = (1, -1) + (1,) * (x.dim() - 2)
        normal = (wide - mean.view(shape)) * scale.view(shape)
        ctx.save_for_backward(normal, scale, total)
        ctx.dtype = x.dtype
        ctx.mark_non_differentiable(mean, var, total)
        return normal, mean, var, total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        normal, scale, total = ctx.saved_tensors
        grad = grads[0]
        dims = [0, *range(2, grad.dim())]
        sums = torch.stack((grad.sum(dim=dims), (grad * normal).sum(dim=dims)))  # (2, C)
        dist.all_reduce(sums)
        shape = (1, -1) + (1,) * (grad.dim() - 2)
        first, second = (s.view(shape) for s in sums / total)
        return ((grad - first - normal * second) * scale.view(shape)).to(ctx.dtype), None


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch-norm of (N, C, ...) with training statistics over the batches of all processes.

    Every process takes part in every forward and backward pass; their local batches may differ in size, but
    none may be empty.  Without a process group, with one process or in evaluation it is an ordinary one.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected (N, C, ...), got {input.dim()} dimension(s)")

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) -> the same shape."""
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        normal, mean, var, count = _GlobalNorm.apply(input, self.eps)
        if self.running_mean is not None:
            self._track(mean, var * count / (count - 1).clamp(min=1))
        if self.affine:
            shape = (1, -1) + (1,) * (input.dim() - 2)
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        rate = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_(var.to(self.running_var.dtype), rate)


def convert_sync_batchnorm(module: nn.Module, device: torch.device | str | None = None) -> nn.Module:
    """Replace every batch-norm by one synchronised over processes, keeping parameters, buffers and names.

    Args:
        module: changed in place, except where it is itself a batch-norm.
        device: where it will run; by default where its parameters are.  On CUDA torch's own is used.

    Returns:
        The module to use from here on.
    """
    if device is None:
        device = next((t.device for t in (*module.parameters(), *module.buffers())), torch.device("cpu"))
    if torch.device(device).type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    return _convert(module)


def _convert(module: nn.Module) -> nn.Module:
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
        new = SyncBatchNorm(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
        new.training = module.training
        new._parameters = module._parameters  # the same tensors: an optimiser keeps its hold on them
        new._buffers = module._buffers
        return new
    for name, child in module.named_children():
        setattr(module, name, _convert(child))
    return module
