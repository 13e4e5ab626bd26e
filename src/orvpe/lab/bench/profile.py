"""Where an AGCN's time goes, block by block and kind by kind, and which ceiling limits each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from orvpe.lab.bench.candidates import Candidate, as_run, inference_form, scrambled_agcn, settled
from orvpe.lab.bench.machine import bandwidth, best_product, synchroniser
from orvpe.lab.bench.operations import KINDS, Operations, Work, memory_format_kept
from orvpe.lab.bench.results import Found, Table, percent
from orvpe.lab.bench.settings import Settings
from orvpe.lab.bench.timing import interleave, median
from orvpe.training.optim import Optim, build_optimizer

_LABEL = "kind: "
Step = Callable[[], object]


def run(settings: Settings) -> Found:
    """Training step, inference and, where there is one, the library's inference path of AGCN at 17 joints."""
    found = Found()
    size, frames = (2, 8) if settings.quick else (16, settings.frames[0])
    x = torch.randn(size, 3, frames, 17, generator=torch.Generator().manual_seed(settings.seed)).to(settings.device)
    flop, product = best_product(settings)
    bytes_a_second = bandwidth(settings)
    agcn = settled(scrambled_agcn(settings), x.cpu()).to(settings.device)
    folded = inference_form(agcn.eval())
    cases: list[tuple[str, nn.Module, bool]] = [("training step", agcn, True), ("inference", agcn, False)]
    cases += [("inference (folded)", folded.to(settings.device), False)] if folded is not None else []
    for what, module, training in cases:
        steps = pieces(Candidate(module.train(training), settings.precision), x, settings.device, training)
        products: list[float] = []  # seconds of the product next to every step, so that the ceiling drifts with them
        measured = {
            n: measure(step, settings, product, products, n if n == "update" else None) for n, step in steps.items()
        }
        peak = flop / median(products)
        title = f"AGCN, {what}, batch {size}, {frames} frames, precision {settings.precision}"
        found.tables += [_blocks(title, measured, peak, bytes_a_second), _kinds(title, measured, peak, bytes_a_second)]
        found.values[what] = {
            "ceilings": {"gflops": peak / 1e9, "gbytes": bytes_a_second / 1e9, "product_seconds": products},
            "blocks": {
                name: {k: {"seconds": s, **vars(w), "intensity": w.intensity} for k, (s, w) in kinds.items()}
                for name, kinds in measured.items()
            },
        }
    found.tables[-1].notes.append(
        "each operation reads its inputs and writes its outputs once; what stays in a cache between two operations "
        "costs less than the memory ceiling says, so a share above 100 % means that caches help"
    )
    return found


def pieces(candidate: Candidate, x: Tensor, device: str, training: bool) -> dict[str, Step]:
    """The encoder's blocks as steps of their own, each on the input that it has inside the encoder; then the rest.

    An encoder without ``blocks`` is one piece.
    """
    module = candidate.module
    blocks = getattr(module, "blocks", None)
    if not isinstance(blocks, (nn.Sequential, nn.ModuleList)):
        return {"all": _step(candidate, module, x, device, training, False)}
    inputs: list[Tensor] = []
    hooks = [b.register_forward_pre_hook(lambda _, args: inputs.append(memory_format_kept(args[0]))) for b in blocks]
    with torch.no_grad(), as_run(candidate, device):
        module(x)
    for hook in hooks:
        hook.remove()
    steps = {
        f"block {i + 1}": _step(candidate, block, inp, device, training, i > 0)
        for i, (block, inp) in enumerate(zip(blocks, inputs, strict=True))
    }
    if training:
        steps["update"] = _update(module, device)
    return steps


def _step(candidate: Candidate, module: nn.Module, x: Tensor, device: str, training: bool, gradient: bool) -> Step:
    x = x.detach().requires_grad_(training and gradient)

    def infer() -> None:
        with torch.no_grad(), as_run(candidate, device):
            module(x)

    def train() -> None:
        with as_run(candidate, device):
            out = module(x)
        module.zero_grad()
        x.grad = None
        torch.autograd.backward(out, torch.ones_like(out))

    return train if training else infer


def _update(module: nn.Module, device: str) -> Step:
    optimizer = build_optimizer([module], Optim(lr=1e-6), device)
    for p in module.parameters():
        p.grad = torch.zeros_like(p)
    return optimizer.step


def measure(
    step: Step, settings: Settings, product: Step, products: list[float], kind: str | None = None
) -> dict[str, tuple[float, Work]]:
    """Seconds and work of each kind in a step; medians over the repeats.

    The profiler times, under a label a kind.  The labels cost time of their own, which falls between the operations
    and is not counted; "other" is what the plain step takes beyond all labels (the interpreter, allocation).
    With ``kind`` everything in the step is of that kind.
    """
    sync = synchroniser(settings.device)
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if settings.device == "cuda" else [])
    taken = interleave({"step": step, "product": product}, settings.repeats, sync, 0.0)
    plain = median(taken["step"])
    products += taken["product"]
    seconds: dict[str, list[float]] = {}
    work: dict[str, Work] = {}
    for _ in range(settings.repeats):
        with (
            profile(activities=activities) as profiler,
            Operations(lambda k: record_function(_LABEL + k), kind) as counted,
        ):
            step()
            sync()
        work = counted.work
        for kind, spent in labelled(profiler, settings.device).items():
            seconds.setdefault(kind, []).append(spent)
    found = {k: (median(s), work.get(k, Work())) for k, s in seconds.items()}
    found["other"] = (max(0.0, plain - sum(s for s, _ in found.values())), Work())
    return found


def labelled(profiler: Any, device: str) -> dict[str, float]:
    """Seconds under each label: of the device's kernels on a GPU, of the operations on a CPU."""
    found: dict[str, float] = {}
    for event in profiler.events():
        if event.name.startswith(_LABEL) and event.device_type == torch.autograd.DeviceType.CPU:
            spent = event.device_time_total if device == "cuda" else event.cpu_time_total
            kind = event.name.removeprefix(_LABEL)
            found[kind] = found.get(kind, 0.0) + spent / 1e6
    return found


Measured = dict[str, dict[str, tuple[float, Work]]]


def _blocks(title: str, measured: Measured, peak: float, bandwidth: float) -> Table:
    shown = [k for k in KINDS if any(k in kinds for kinds in measured.values())]
    table = Table(f"{title}: blocks", ["", "ms", "share", *(f"{k}, ms" for k in shown), *_ROOF])
    all_ = sum(s for kinds in measured.values() for s, _ in kinds.values())
    for name, kinds in measured.items():
        seconds = sum(s for s, _ in kinds.values())
        work = sum((w for _, w in kinds.values()), Work())
        spent = [1e3 * kinds[k][0] if k in kinds else None for k in shown]
        # every operation waits for its own ceiling: the sum of the kinds' limits, not the limit of the sum
        least = sum(max(w.flops / peak, w.bytes / bandwidth) for _, w in kinds.values())
        table.rows.append(
            [name, 1e3 * seconds, percent(seconds / all_), *spent, *roof(seconds, work, peak, bandwidth, least)]
        )
    return table


def _kinds(title: str, measured: Measured, peak: float, bandwidth: float) -> Table:
    table = Table(f"{title}: kinds of operation", ["", "ms", "share", *_ROOF])
    all_ = sum(s for kinds in measured.values() for s, _ in kinds.values())
    for kind in KINDS:
        seconds = sum(kinds[kind][0] for kinds in measured.values() if kind in kinds)
        work = sum((kinds[kind][1] for kinds in measured.values() if kind in kinds), Work())
        if seconds:
            table.rows.append([kind, 1e3 * seconds, percent(seconds / all_), *roof(seconds, work, peak, bandwidth)])
    table.notes.append(
        f"ceilings in this run: {peak / 1e9:,.1f} GFLOP/s, {bandwidth / 1e9:,.1f} GB/s: below {peak / bandwidth:.0f} "
        "FLOP a byte memory limits; 'of ceiling' is the least time at the ceilings over the time taken"
    )
    return table


_ROOF = ["GFLOP", "GFLOP/s", "GB/s", "FLOP/byte", "limited by", "of ceiling"]


def roof(
    seconds: float, work: Work, peak: float, bandwidth: float, least: float | None = None
) -> list[str | int | float | None]:
    """How work that took ``seconds`` stands to the ceilings: `_ROOF`."""
    if not work.bytes or not seconds:
        return [None] * len(_ROOF)
    by_compute, by_memory = work.flops / peak, work.bytes / bandwidth
    least = max(by_compute, by_memory) if least is None else least
    return [
        work.flops / 1e9, work.flops / seconds / 1e9, work.bytes / seconds / 1e9, work.intensity,
        "compute" if by_compute > by_memory else "memory", percent(least / seconds),
    ]  # fmt: skip
