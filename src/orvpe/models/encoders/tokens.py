"""Tokens: where each joint is in each part of the clip, and a metric learned from pairs of people who do the same.

No layer is trained by gradients.  A token is the mean position of one joint over one temporal segment, of a body of
unit size; in 3D as the camera has it, and as the body's own facing has it.  What is learned are three moments of
labelled clips: the mean, the scatter of different people doing the same (`within`) and that of all clips (`total`).
Distances relative to `within` count a deviation by how unusual it is among people who do the same.  With missing
coordinates both are exact Gaussian expressions: the marginal metric of what is visible, and the conditional mean of
what is not.

Shapes: N people, C coordinates, T frames, V joints, S segments, K frames of reference, D = V S C.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.errors import InputError
from orvpe.models.encoders.parts import check_count
from orvpe.poses.skeleton import Layout, layout_from_dict, unified
from orvpe.views.normalize import BONES

# Left to right through the body.  Pairs of hidden joints are left out, so the facing is known while any pair is seen.
_ACROSS = (
    ("neck", "right_shoulder"), ("left_shoulder", "neck"), ("left_shoulder", "right_shoulder"),
    ("mid_hip", "right_hip"), ("left_hip", "mid_hip"), ("left_hip", "right_hip"),
)  # fmt: skip
RIDGE, FILL_RIDGE = 1.0, 0.5  # of the mean variance of a coordinate, added to each: noise of `within` and of `total`
SHIFT, FILL_SHIFT = 10.0, 1.0  # variance of the place of the whole body, of all coordinates' variance: it means nothing
_STEPS = 48  # of conjugate gradients when hidden tokens are filled
_ROWS = 256  # filled at a time
_SMALL = 1e-3


def _exact(x: Tensor) -> torch.dtype:
    """float64 where the device has it."""
    return torch.float32 if x.device.type == "mps" else torch.float64


class Tokens(NamedTuple):
    """Structured embeddings.

    Args:
        values: (N, V, S, K C) float32, zero where hidden.
        visible: (N, V, S) bool.
    """

    values: Tensor
    visible: Tensor


class TokenEncoder(nn.Module):
    """Joints of one person over time -> tokens, or one vector.

    Before `orvpe.training.token_metric` has set its moments, it measures plain distances between poses.

    Args:
        in_channels: coordinates a joint, 2 or 3; in 3D the last one is the height.
        layout: the joints; a `Layout` or its `to_dict()`.
        segments: temporal segments.
        width: numbers of the single vector.

    Attributes:
        feature_dim: as ``width``.

    Raises:
        InputError: a value out of its range, a layout without the joints of arms and legs.
    """

    mean: Tensor
    within: Tensor
    total: Tensor
    known: Tensor

    def __init__(
        self,
        *,
        in_channels: int = 3,
        layout: Layout | Mapping[str, Any] = unified,
        segments: int = 8,
        width: int = 256,
    ) -> None:
        super().__init__()
        self.layout = layout if isinstance(layout, Layout) else layout_from_dict(layout)
        if in_channels not in (2, 3):
            raise InputError(f"in_channels is {in_channels}, expected 2 or 3")
        check_count("segments", segments)
        if width < 2 or width % 2:
            raise InputError(f"width is {width}, expected an even number")
        joints = set(self.layout.joints)
        self._across = [(self.layout.index(a), self.layout.index(b)) for a, b in _ACROSS if {a, b} <= joints]
        bones = [(self.layout.index(a), self.layout.index(b), s) for (a, b), s in BONES.items() if {a, b} <= joints]
        if not bones or (in_channels == 3 and not self._across):
            raise InputError(
                f"layout {self.layout.name!r} has no arms, legs or trunk, which give a body's size and facing"
            )
        self._bones = bones
        self.in_channels, self.segments, self.feature_dim = in_channels, segments, width
        self.frames = 2 if in_channels == 3 else 1
        d = len(self.layout) * segments * in_channels
        self.register_buffer("mean", torch.zeros(self.frames, d))
        self.register_buffer("within", torch.eye(d).repeat(self.frames, 1, 1))
        self.register_buffer("total", torch.eye(d).repeat(self.frames, 1, 1))
        self.project = nn.Parameter(torch.eye(d, width // self.frames).repeat(self.frames, 1, 1))
        self.register_buffer("known", torch.ones(len(self.layout)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Joints, segments and numbers of a clip's tokens."""
        return len(self.layout), self.segments, self.frames * self.in_channels

    def tokens(self, x: Tensor, visible: Tensor | None = None) -> Tokens:
        """Structured embeddings.

        Args:
            x: (N, C, T, V) joints, any unit and place, zero where hidden.
            visible: (N, T, V) bool, None for all.
        """
        x = x.float()  # whatever precision the weights are stored in
        n, c, t, v = x.shape
        if c != self.in_channels or v != len(self.layout):
            raise InputError(
                f"x has {c} channels and {v} joints, expected {self.in_channels} and {len(self.layout)} "
                f"(layout {self.layout.name!r})"
            )
        seen = torch.ones(n, t, v, device=x.device, dtype=x.dtype) if visible is None else visible.to(x.dtype)
        seen = seen * (self.known > 0.5).to(x.dtype)
        joints = x.permute(0, 2, 3, 1)  # (N, T, V, C)
        joints = joints / self._size(joints, seen)[:, None, None, None]
        count = seen.sum(dim=(1, 2)).clamp(min=1)[:, None]
        middle = (joints * seen[..., None]).sum(dim=(1, 2)) / count
        joints = (joints - middle[:, None, None]) * seen[..., None]
        place = torch.arange(t, device=x.device) * self.segments // t
        member = (place == torch.arange(self.segments, device=x.device)[:, None]).to(x.dtype)  # (S, T)
        weight = torch.einsum("st,ntv->nvs", member, seen)
        values = torch.einsum("st,ntvc->nvsc", member, joints) / weight.clamp(min=1)[..., None]
        if self.frames == 2:
            values = torch.cat((values, self._faced(values, joints, seen)), dim=-1)
        return Tokens(values, weight > 0)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """(N, C, T, V), (N, T, V) -> (N, width): the part of each frame of reference has length 1."""
        return self.pool(self.tokens(x, visible))

    def pool(self, tokens: Tokens) -> Tensor:
        """One vector (N, width) each, hidden tokens filled by their conditional mean."""
        filled = self.fill(tokens) if torch.compiler.is_exporting() else self.filled(tokens)  # (N, K, D)
        found = torch.einsum("nkd,kdw->nkw", filled, self.project.to(filled.dtype))
        return F.normalize(found, dim=-1, eps=1e-6).flatten(1)

    def flat(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Deviations from the mean (N, K, D), zero where hidden, and what is visible of them (N, D) as 0 and 1."""
        n, v, s, _ = tokens.values.shape
        values = (
            tokens.values.view(n, v, s, self.frames, self.in_channels)
            .permute(0, 3, 1, 2, 4)
            .reshape(n, self.frames, -1)
        )
        seen = tokens.visible[..., None].expand(n, v, s, self.in_channels).reshape(n, -1).to(values.dtype)
        return (values - self.mean.to(values.dtype)) * seen[:, None], seen

    def fill(self, tokens: Tokens) -> Tensor:
        """(N, K, D) deviations from the mean; a hidden one is its expectation given the visible ones.

        Solves total_oo a = x_o by conjugate gradients and takes total_ho a: a fixed number of products, which can be
        exported, and the same for every pattern of hidden tokens, so that a batch may hold many.
        """
        x, seen = self.flat(tokens)
        seen = seen[:, None]
        kind = _exact(x)  # in float32 the last digits would depend on the order of sums
        spread = self.spread(self.total.to(kind), FILL_RIDGE, FILL_SHIFT)
        a, left = torch.zeros_like(x, dtype=kind), x.to(kind)
        step = left
        power = (left * left).sum(dim=-1, keepdim=True)
        for _ in range(_STEPS):
            along = torch.einsum("nkd,kde->nke", step, spread) * seen.to(kind)
            size = power / (step * along).sum(dim=-1, keepdim=True).clamp(min=1e-20)
            a, left = a + size * step, left - size * along
            now = (left * left).sum(dim=-1, keepdim=True)
            step = left + now / power.clamp(min=1e-20) * step
            power = now
        expected = torch.einsum("nkd,kde->nke", a, spread).to(x.dtype)
        known = (self.known > 0.5).to(x.dtype)[:, None].expand(-1, self.segments * self.in_channels).reshape(-1)
        return torch.where(seen > 0, x, expected * known)

    def filled(self, tokens: Tokens) -> Tensor:
        """The same as `fill`, computed only for those of whom a joint of the encoder's layout is hidden."""
        found = self.flat(tokens)[0]
        hidden = (~tokens.visible & (self.known > 0.5)[:, None]).flatten(1).any(dim=1).nonzero()[:, 0]
        for rows in hidden.split(_ROWS) if len(hidden) else ():
            found = found.index_copy(0, rows, self.fill(Tokens(tokens.values[rows], tokens.visible[rows])))
        return found

    def spread(self, moments: Tensor, ridge: float, shift: float) -> Tensor:
        """(K, D, D) moments with noise on each coordinate, and with the place of the whole body left free."""
        d = moments.shape[-1]
        trace = moments.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[:, None, None]
        per_axis = d // self.in_channels
        together = torch.eye(self.in_channels, device=moments.device, dtype=moments.dtype)
        together = together.repeat(per_axis, per_axis) / per_axis  # 1 / n where two coordinates are of one axis
        noise = torch.eye(d, device=moments.device, dtype=moments.dtype) * ridge / d
        return moments + trace * (noise + shift * together)

    def _size(self, joints: Tensor, seen: Tensor) -> Tensor:
        """(N,) the stature that the visible bones tell: their mean in 3D; in 2D, where they are foreshortened, the
        mean of the longest that each was."""
        child, parent = [a for a, _, _ in self._bones], [b for _, b, _ in self._bones]
        both = seen[:, :, child] * seen[:, :, parent]  # (N, T, B)
        square = (joints[:, :, child] - joints[:, :, parent]).square().sum(dim=-1)
        length = square.clamp(min=1e-12).sqrt() * both
        share = torch.tensor([s for _, _, s in self._bones], device=joints.device, dtype=joints.dtype)
        if self.in_channels == 3:
            size = length.sum(dim=(1, 2)) / (both * share).sum(dim=(1, 2)).clamp(min=1e-6)
        else:
            some = both.amax(dim=1)
            size = (length.amax(dim=1) / share * some).sum(dim=1) / some.sum(dim=1).clamp(min=1)
        return torch.where(size > _SMALL, size, torch.ones_like(size))

    def _faced(self, values: Tensor, joints: Tensor, seen: Tensor) -> Tensor:
        """(N, V, S, 3) tokens turned about the vertical, so that left to right of the body is the first axis."""
        across = torch.zeros_like(joints[:, 0, 0])  # (N, 3)
        for left, right in self._across:
            both = (seen[:, :, left] * seen[:, :, right])[..., None]
            across = across + ((joints[:, :, right] - joints[:, :, left]) * both).sum(dim=1)
        length = across[:, :2].square().sum(dim=1).clamp(min=1e-12).sqrt()
        known = length > 1e-5
        cos = torch.where(known, across[:, 0] / length, torch.ones_like(length))[:, None, None]
        sin = torch.where(known, across[:, 1] / length, torch.zeros_like(length))[:, None, None]
        x, y, z = values.unbind(dim=-1)
        return torch.stack((cos * x + sin * y, cos * y - sin * x, z), dim=-1)

    @torch.no_grad()
    def similarity(self, query: Tokens, gallery: Tokens) -> Tensor:
        """(Q, G) similarity of structured embeddings over what the query shows, -1 to 1.

        The cosine between deviations from the mean, in the metric of people who do the same, restricted to the tokens
        that the query shows: of Gaussian vectors, exactly the metric of that part.  What the gallery hides of them is
        filled by its expectation given what it shows.  The mean over the frames of reference.
        """
        q, seen = self.flat(query)
        g = self.filled(gallery)
        kind = _exact(g)
        g = g.to(kind)
        spread = self.spread(self.within.to(kind), RIDGE, SHIFT)
        patterns, which = torch.unique(seen > 0, dim=0, return_inverse=True)
        found = torch.zeros(len(q), len(g), dtype=kind, device=q.device)
        for i, pattern in enumerate(patterns):
            rows = (which == i).nonzero()[:, 0]
            if not bool(pattern.any()):
                continue
            for k in range(self.frames):
                factor = torch.linalg.cholesky(spread[k][pattern][:, pattern])
                both = (z[:, k][:, pattern].to(kind).mT for z in (q[rows], g))
                a, b = (F.normalize(torch.linalg.solve_triangular(factor, z, upper=False), dim=0) for z in both)
                found[rows] += a.mT @ b / self.frames
        return found.clamp(-1, 1).float()

    @torch.no_grad()
    def set_moments(self, mean: Tensor, within: Tensor, total: Tensor, known: Tensor) -> None:
        """Take moments (K, D), (K, D, D) twice and known joints (V,), and the projection that follows from them.

        The projection keeps, of coordinates whitened by ``within``, the directions with the largest total variance.
        """
        scale = within.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[:, None, None].double()  # so float16 holds them well
        mean, within, total = mean.double(), within.double() / scale, total.double() / scale
        self.mean.copy_(mean)
        self.within.copy_(within)
        self.total.copy_(total)
        self.known.copy_(known)
        used = (known > 0.5)[:, None].expand(-1, self.segments * self.in_channels).reshape(-1)
        w = self.spread(within, RIDGE, SHIFT)
        width = self.project.shape[-1]
        for k in range(self.frames):
            factor = torch.linalg.cholesky(w[k][used][:, used])
            half = torch.linalg.solve_triangular(factor, total[k][used][:, used], upper=False)
            whitened = torch.linalg.solve_triangular(factor, half.mT, upper=False)
            vectors = torch.linalg.eigh((whitened + whitened.mT) / 2)[1].flip(1)[:, :width]
            made = torch.linalg.solve_triangular(factor.mT, vectors, upper=True)
            rows = torch.zeros(len(used), made.shape[1], dtype=made.dtype, device=made.device)
            rows[used] = made
            largest = rows.abs().amax()
            self.project[k].zero_()
            self.project[k][:, : rows.shape[1]] = (rows / largest).to(self.project.dtype)

    def extra_repr(self) -> str:
        return f"segments={self.segments}, width={self.feature_dim}, numbers={math.prod(self.mean.shape)}"
