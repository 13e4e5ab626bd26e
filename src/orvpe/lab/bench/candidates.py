"""Candidates of the `encoders` benchmark: the literal AGCN, ours with the same weights, inference and compiled
forms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from orvpe.lab.bench.literal_agcn import reference_of
from orvpe.lab.bench.settings import Settings
from orvpe.models.encoders import build_encoder
from orvpe.models.encoders.agcn import AGCN
from orvpe.training.optim import Optim, build_optimizer

REFERENCE = "reference"
Encoder = TypeVar("Encoder", bound=nn.Module)
_AUTOCAST = {"bf16": torch.bfloat16, "16": torch.float16}


@dataclass
class Candidate:
    """An encoder and how it is run.

    Args:
        module: takes (N, C, T, V).
        precision: 32, bf16 or 16.
        strict: float32 products really in float32, where a GPU would round their inputs to TF32.
        family: "agcn" candidates share weights with the reference and must agree with it.
    """

    module: nn.Module
    precision: str = "32"
    strict: bool = False
    family: str = "agcn"


def scrambled_agcn(settings: Settings) -> AGCN:
    """An AGCN in which every term matters: at initialisation the learned graph and the inner scales are 1e-6."""
    torch.manual_seed(settings.seed)
    model = AGCN()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
        for name, p in model.named_parameters():
            if name.endswith("learned"):
                p.uniform_(-0.3, 0.3)
    return model


def inference_form(encoder: nn.Module) -> nn.Module | None:
    """The library's own inference path of an encoder, where this version has one."""
    try:
        from orvpe.models.encoders.inference import prepare
    except ImportError:
        return None
    return prepare(encoder)


def settled(encoder: Encoder, x: Tensor) -> Encoder:
    """Running statistics of batch-norm as after training on ``x``, so that features keep their size in evaluation."""
    norms = [m for m in encoder.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    kept = [m.momentum for m in norms]
    for m in norms:
        m.momentum = None  # a plain mean
        m.reset_running_stats()
    with torch.no_grad():
        encoder.train()(x)
    for m, momentum in zip(norms, kept, strict=True):
        m.momentum = momentum
    return encoder


def candidates(settings: Settings, training: bool) -> dict[str, Candidate]:
    """All candidates on the device, in training or evaluation mode; the reference comes first."""
    device, precision = settings.device, settings.precision
    generator = torch.Generator().manual_seed(settings.seed)
    sample = torch.randn(4, 3, 32, 17, generator=generator)
    agcn = settled(scrambled_agcn(settings), sample)
    light = settled(build_encoder("light"), sample)
    found = {REFERENCE: Candidate(reference_of(agcn), strict=True)}
    if device == "cuda":
        found[f"{REFERENCE} (TF32)"] = Candidate(reference_of(agcn))
    if precision != "32":
        found[f"{REFERENCE} ({precision})"] = Candidate(reference_of(agcn), precision)
    for name, encoder in (("agcn", agcn), ("light", light)):
        found[name] = Candidate(encoder, precision, family=name)
        if not training and (folded := inference_form(encoder.eval())) is not None:
            found[f"{name} (folded)"] = Candidate(folded, precision, family=name)
    for candidate in found.values():
        candidate.module = candidate.module.to(device).train(training)
    if settings.compile:
        for name, candidate in list(found.items()):
            if not name.startswith(REFERENCE):
                module = torch.compile(candidate.module)
                found[_compiled(name)] = Candidate(module, precision, family=candidate.family)  # type: ignore[arg-type]
    return found


def _compiled(name: str) -> str:
    return f"{name[:-1]}, compiled)" if name.endswith(")") else f"{name} (compiled)"


@contextmanager
def as_run(candidate: Candidate, device: str) -> Iterator[None]:
    """The precision a candidate is run in, for as long as the context lasts."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    if candidate.strict:
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
    dtype = _AUTOCAST.get(candidate.precision)
    try:
        with torch.autocast(device, dtype) if dtype else nullcontext():
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def inference(candidate: Candidate, x: Tensor, device: str) -> Callable[[], Tensor]:
    """A call that computes the features of ``x``."""

    def call() -> Tensor:
        with torch.inference_mode(), as_run(candidate, device):
            return candidate.module(x)

    return call


def training_step(candidate: Candidate, x: Tensor, device: str) -> Callable[[], Any]:
    """A call of forward, backward and update, with the paper's optimiser."""
    # so small a rate that hundreds of steps on one batch leave all numbers finite; it costs the same
    optimizer = build_optimizer([candidate.module], Optim(lr=1e-6), device)

    def call() -> None:
        optimizer.zero_grad()
        with as_run(candidate, device):
            out = candidate.module(x).float().square().mean()
        out.backward()
        optimizer.step()

    return call
