"""Key formulas of the encoders of other papers beside slow literal ones, written from the papers."""

from __future__ import annotations

from collections import deque

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orvpe.models.encoders.ctrgcn import RefinedGraphConv, TopologyRefinement
from orvpe.models.encoders.hops import APART, bones, centre, hops, k_adjacency, window_graph
from orvpe.models.encoders.lstm import LSTMEncoder
from orvpe.models.encoders.msaagcn import AAGCN, GatedGraphConv, STCAttention
from orvpe.models.encoders.msg3d import MultiScaleGraphConv, WindowGraphConv
from orvpe.models.encoders.multi_scale import TemporalBranches
from orvpe.models.encoders.stgcn import STGCN, ImportanceGraphConv, spatial_partition
from orvpe.models.encoders.unik import UNIK, DependencyConv
from orvpe.poses.skeleton import LAYOUTS, Layout, graph_subsets, unified

PENN = LAYOUTS["penn"]
V = len(PENN)
TWO = Layout("two bodies", ("a", "b", "c", "d", "e"), (None, "a", "b", None, "d"))


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def ready(module: nn.Module, seed: int = 0) -> nn.Module:
    """In double precision and evaluation mode, with every parameter and statistic at random."""
    torch.manual_seed(seed)
    module = module.double().eval()
    with torch.no_grad():
        for p in module.parameters():
            p.uniform_(-0.5, 0.5)
        for m in module.modules():
            if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
                assert m.running_mean is not None
                assert m.running_var is not None
                m.running_mean.uniform_(-0.3, 0.3)
                m.running_var.uniform_(0.5, 2.0)
    return module


def same(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def linear(conv: nn.Module, x: Tensor) -> Tensor:
    """A 1x1 convolution, channel by channel: (N, C, ...) -> (N, O, ...)."""
    weight, bias = conv.weight.flatten(1), conv.bias  # type: ignore[union-attr,operator]
    return torch.stack(
        [sum((w * x[:, c] for c, w in enumerate(row)), start=b) for row, b in zip(weight, bias, strict=True)], dim=1
    )


# --- distances ---------------------------------------------------------------------------------------------------


def walk(neighbours: list[list[int]], start: int) -> list[int]:
    """Breadth first: the distance of every node from one."""
    found = [APART] * len(neighbours)
    found[start], queue = 0, deque([start])
    while queue:
        here = queue.popleft()
        for there in neighbours[here]:
            if found[there] == APART:
                found[there] = found[here] + 1
                queue.append(there)
    return found


def neighbours_of(layout: Layout) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in layout.joints]
    for child, parent in layout.edges:
        found[child].append(parent)
        found[parent].append(child)
    return found


@pytest.mark.parametrize(
    "layout", [unified, PENN, LAYOUTS["kinect_v2"], LAYOUTS["mediapipe"], TWO], ids=lambda x: x.name
)
def test_hops_are_a_walks(layout: Layout) -> None:
    neighbours = neighbours_of(layout)
    assert hops(bones(layout)).tolist() == [walk(neighbours, i) for i in range(len(layout))]


def test_centre_is_in_the_trunk_and_one_for_each_body() -> None:
    kinect = LAYOUTS["kinect_v2"]
    assert {kinect.joints[i] for i in centre(kinect)} == {"spine_shoulder"}  # as in the released network, for NTU
    assert {unified.joints[i] for i in centre(unified)} == {"neck"}
    assert [TWO.joints[i] for i in centre(TWO)] == ["b", "b", "b", "d", "d"]


# --- ST-GCN ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [unified, PENN, LAYOUTS["kinect_v2"], TWO], ids=lambda x: x.name)
def test_spatial_partition(layout: Layout) -> None:
    """Eq. 8 (label by distance to the centre) and Z of eq. 4 (the number of neighbours with that label)."""
    neighbours, middle = neighbours_of(layout), centre(layout).tolist()
    away = [walk(neighbours, middle[i])[i] for i in range(len(layout))]
    want = torch.zeros(3, len(layout), len(layout))
    for root in range(len(layout)):
        members = {
            0: [root],
            1: [j for j in neighbours[root] if away[j] < away[root]],
            2: [j for j in neighbours[root] if away[j] > away[root]],
        }
        for label, joints in members.items():
            for j in joints:
                want[label, j, root] = 1 / len(joints)
    found = spatial_partition(layout)
    torch.testing.assert_close(found, want)
    assert torch.equal((found > 0).any(dim=0).float(), ((bones(layout) + torch.eye(len(layout))) > 0).float())


def test_partition_of_a_body_rooted_at_its_centre_is_the_directed_one() -> None:
    star = Layout("star", ("a", "b", "c", "d", "e"), (None, "a", "a", "b", "c"))
    ours, theirs = spatial_partition(star), torch.from_numpy(graph_subsets(star))
    torch.testing.assert_close(ours[[0, 2, 1]], theirs)  # inward carries a child into its parent


def test_importance_graph_convolution() -> None:
    conv = ready(ImportanceGraphConv(2, 3, spatial_partition(PENN).double()))
    x, want = normal(2, 2, 4, V), torch.zeros(2, 3, 4, V, dtype=torch.float64)
    weight, bias = conv.mix.weight.view(3, 3, 2), conv.mix.bias.view(3, 3)  # type: ignore[operator,union-attr]
    for k in range(3):
        edges = conv.subsets[k] * conv.importance[k]  # type: ignore[index]
        for o in range(3):
            mixed = sum((weight[k, o, c] * x[:, c] for c in range(2)), start=bias[k, o])  # (N, T, V)
            for i in range(V):
                for j in range(V):
                    want[:, o, :, j] += mixed[:, :, i] * edges[i, j]
    same(conv(x), want)


def test_stgcn_starts_with_every_edge_as_important() -> None:
    model = STGCN(width=[8], strides=[1])
    unit = model.blocks[0]
    assert torch.equal(unit.spatial.importance, torch.ones(3, 17, 17))
    assert unit.dropout.p == 0.5
    assert unit.residual is None


# --- AAGCN -------------------------------------------------------------------------------------------------------


def attention_graphs(conv: nn.Module, x: Tensor) -> Tensor:
    """C_k = softmax(theta_k^T phi_k / (C' T)), each column over the joints it reads: (N, K, V, V)."""
    n, _, t, v = x.shape
    inner, subsets = conv.inner, conv.subsets
    embedded = linear(conv.attend, x).view(n, subsets, 2, inner, t, v)  # type: ignore[arg-type]
    found = torch.zeros(n, subsets, v, v, dtype=x.dtype)
    for b in range(n):
        for k in range(subsets):  # type: ignore[arg-type]
            theta, phi = embedded[b, k]
            for i in range(v):
                for j in range(v):
                    found[b, k, i, j] = (theta[:, :, i] * phi[:, :, j]).sum() / (inner * t)  # type: ignore[operator]
    return found.exp() / found.exp().sum(dim=2, keepdim=True)


def graph_layer(conv: nn.Module, x: Tensor, graphs: Tensor) -> Tensor:
    """ReLU(BN(sum_k (W_k x + b_k) G_k) + residual), the biases added after the product."""
    subsets, c = conv.subsets, x.shape[1]
    weight = conv.mix.weight.view(-1, subsets, c)  # type: ignore[operator,union-attr]
    y = conv.mix_bias.sum(dim=0)[None, :, None, None].expand(len(x), -1, x.shape[2], x.shape[3])  # type: ignore[operator]
    for k in range(subsets):  # type: ignore[arg-type]
        mixed = torch.einsum("oc,nctv->notv", weight[:, k], x)
        y = y + torch.stack([one @ g for one, g in zip(mixed, graphs[:, k], strict=True)])
    return F.relu(conv.norm(y) + conv.residual(x))  # type: ignore[operator]


@pytest.mark.parametrize("inputs", [3, 8])
def test_gated_adaptive_graph(inputs: int) -> None:
    conv = ready(GatedGraphConv(inputs, 8, torch.from_numpy(graph_subsets(PENN))))
    x = normal(2, inputs, 3, V)
    graphs = conv.learned + conv.gate * attention_graphs(conv, x)  # type: ignore[operator]
    same(conv.graph(x), graphs)  # type: ignore[operator]
    same(conv(x), graph_layer(conv, x, graphs))


def test_aagcn_starts_at_the_skeleton_with_the_gate_closed() -> None:
    spatial, attention = AAGCN(width=[8], strides=[1]).blocks[0].spatial
    assert torch.equal(spatial.learned, torch.from_numpy(graph_subsets(unified)))
    assert spatial.gate.tolist() == [0.0]
    x = torch.randn(2, 3, 4, 17)
    assert torch.equal(spatial.graph(x), spatial.learned.expand(2, 3, 17, 17))
    y = torch.randn(2, 8, 4, 17)  # frames and channels start with sigmoid(0) = 1/2
    joints = 1 + torch.sigmoid(F.conv1d(y.mean(2), attention.joints.weight, padding=8))[:, :, None]
    torch.testing.assert_close(attention(y), y * joints * 1.5 * 1.5)


@pytest.mark.parametrize(("joints", "span"), [(13, 13), (20, 19), (2, 1), (1, 1)])
def test_attention_to_joints_frames_and_channels(joints: int, span: int) -> None:
    module = ready(STCAttention(6, joints, kernel=3))
    x = normal(2, 6, 5, joints)
    assert module.joints.weight.shape == (1, 6, span)  # type: ignore[union-attr]

    def along(conv: nn.Module, series: Tensor) -> Tensor:
        """A convolution over positions, tap by tap: (N, C, L) -> (N, L)."""
        k, length = conv.weight.shape[2], series.shape[2]  # type: ignore[union-attr,index]
        found = torch.zeros(len(series), length, dtype=series.dtype) + conv.bias  # type: ignore[operator]
        for at in range(length):
            for tap in range(k):  # type: ignore[arg-type]
                if 0 <= at + tap - k // 2 < length:  # type: ignore[operator]
                    found[:, at] += (series[:, :, at + tap - k // 2] * conv.weight[0, :, tap]).sum(1)  # type: ignore
        return found

    y = x + x * along(module.joints, x.sum(2) / 5).sigmoid()[:, None, None, :]  # type: ignore[arg-type]
    y = y + y * along(module.frames, y.sum(3) / joints).sigmoid()[:, None, :, None]  # type: ignore[arg-type]
    pooled = y.sum(dim=(2, 3)) / (5 * joints)
    squeezed = F.relu(pooled @ module.squeeze.weight.T + module.squeeze.bias)  # type: ignore[union-attr,operator]
    scale = (squeezed @ module.excite.weight.T + module.excite.bias).sigmoid()  # type: ignore[union-attr,operator]
    same(module(x), y + y * scale[:, :, None, None])


# --- UNIK --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [1, 4])
def test_dependency_heads(heads: int) -> None:
    conv = ready(DependencyConv(4, 8, 5, heads))
    x = normal(2, 4, 3, 5)
    same(conv(x), graph_layer(conv, x, conv.learned + attention_graphs(conv, x)))  # type: ignore[operator]


def test_dependency_matrices_start_uniform_and_know_no_skeleton() -> None:
    torch.manual_seed(0)
    matrices = torch.cat([block.spatial.learned.detach().flatten() for block in UNIK(heads=4).blocks])
    bound = (6 / ((1 + 5) * 17)) ** 0.5  # sqrt(6 / ((1 + a^2) V)), a^2 = 5
    assert float(matrices.abs().max()) <= bound
    assert float(matrices.std()) == pytest.approx(bound / 3**0.5, rel=0.02)
    assert abs(float(matrices.mean())) < 0.01
    torch.manual_seed(0)
    other = UNIK(layout=LAYOUTS["h36m"], heads=4)  # 17 joints, other bones
    assert torch.equal(torch.cat([block.spatial.learned.flatten() for block in other.blocks]), matrices)


# --- MS-G3D ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", [PENN, unified, TWO], ids=lambda x: x.name)
def test_disentangled_adjacency_from_powers(layout: Layout) -> None:
    """A_k = I + 1((A + I)^k >= 1) - 1((A + I)^(k-1) >= 1), then D^-1/2 A_k D^-1/2."""
    v = len(layout)
    looped, scales = bones(layout).double() + torch.eye(v), 7
    found = k_adjacency(hops(bones(layout)), range(scales))
    for k in range(scales):
        reach = [(torch.linalg.matrix_power(looped, p) >= 1).double() for p in (k, max(0, k - 1))]
        graph = torch.eye(v) + reach[0] - reach[1]
        root = torch.diag(graph.sum(dim=1) ** -0.5)
        torch.testing.assert_close(found[k].double(), root @ graph @ root, rtol=1e-6, atol=1e-6)  # found in float32


def test_window_graph_joins_neighbours_of_all_frames() -> None:
    graph, found = bones(TWO), window_graph(bones(TWO), 3)
    v = len(TWO)
    for s in range(3):
        for t in range(3):
            for i in range(v):
                for j in range(v):
                    assert found[s * v + i, t * v + j] == float(i == j or graph[i, j] > 0)
    distance = hops(found)
    assert distance[0, v] == 1  # a joint and itself in the next frame
    assert distance[0, 2 * v + 2] == 2  # a to c in another frame goes by b, in any


def test_multi_scale_graph_convolution() -> None:
    graphs = k_adjacency(hops(bones(TWO)), range(3)).double()
    conv = ready(MultiScaleGraphConv(2, 3, graphs))
    x, v = normal(2, 2, 4, 5), 5
    weight = conv.mix[0].weight.view(3, 3, 2)  # type: ignore[index,union-attr,operator]
    want = conv.mix[0].bias[None, :, None, None] + torch.zeros(2, 3, 4, v, dtype=torch.float64)  # type: ignore
    for k in range(3):
        for i in range(v):
            for j in range(v):
                edge = graphs[k, i, j] + conv.learned[k, i, j]  # type: ignore[index]
                want[..., i] += edge * torch.einsum("oc,nct->not", weight[:, k], x[..., j])
    same(conv(x), F.relu(conv.mix[1](want)))  # type: ignore[index,operator]


@pytest.mark.parametrize(("frames", "window", "stride"), [(7, 3, 1), (7, 5, 2), (1, 5, 2), (4, 3, 3)])
def test_unified_graph_convolution_in_windows(frames: int, window: int, stride: int) -> None:
    conv = ready(WindowGraphConv(2, 3, 4, bones(TWO), 3, window, stride))
    x, v = normal(2, 2, frames, 5), 5
    outputs = []
    for middle in range(0, frames, stride):
        nodes = [
            x[:, :, t, j] if 0 <= t < frames else torch.zeros(2, 2, dtype=torch.float64)
            for t in range(middle - window // 2, middle + window // 2 + 1)
            for j in range(v)
        ]
        inside = conv.graph(torch.stack(nodes, dim=2)[:, :, None])  # type: ignore[operator]  # (N, 3, 1, window V)
        kernel = conv.collapse[0].weight.view(4, window, 3)  # type: ignore[index,union-attr,operator]
        total = conv.collapse[0].bias[None, :, None] + torch.zeros(2, 4, v, dtype=torch.float64)  # type: ignore
        for w in range(window):
            total = total + torch.einsum("oc,ncv->nov", kernel[:, w], inside[:, :, 0, w * v : (w + 1) * v])
        outputs.append(total)
    same(conv(x), conv.collapse[1](torch.stack(outputs, dim=2)))  # type: ignore[index,operator]


# --- CTR-GCN -----------------------------------------------------------------------------------------------------


def test_topology_of_each_channel_is_refined() -> None:
    conv = ready(TopologyRefinement(16, 3, reduction=2))
    assert conv.psi.out_channels == 8  # type: ignore[union-attr]
    x, shared, gate, v = normal(2, 16, 4, 5), normal(5, 5), normal(1), 5
    mean = x.sum(dim=2) / 4
    psi, phi = linear(conv.psi, mean), linear(conv.phi, mean)  # type: ignore[arg-type]
    features = linear(conv.transform, x)  # type: ignore[arg-type]
    want = torch.zeros(2, 3, 4, v, dtype=torch.float64)
    for i in range(v):
        for j in range(v):
            relation = torch.tanh(psi[:, :, i] - phi[:, :, j])  # (N, 8)
            refined = linear(conv.xi, relation)  # type: ignore[arg-type]  # (N, 3)
            edge = shared[i, j] + gate * refined
            want[:, :, :, i] += edge[:, :, None] * features[:, :, :, j]
    same(conv(x, shared, gate), want)


def test_three_refinements_share_a_gate_and_start_at_the_skeleton() -> None:
    subsets = torch.from_numpy(graph_subsets(PENN)).transpose(1, 2)
    conv = RefinedGraphConv(3, 8, subsets, 8)
    assert conv.refine[0].psi.out_channels == 8  # coordinates
    assert torch.equal(conv.adjacency, subsets)
    assert conv.gate.tolist() == [0.0]
    conv = ready(conv)
    x = normal(2, 3, 4, V)
    parts = sum(r(x, a, conv.gate) for r, a in zip(conv.refine, conv.adjacency, strict=True))  # type: ignore
    same(conv(x), F.relu(conv.norm(parts) + conv.residual(x)))  # type: ignore[operator]


@pytest.mark.parametrize(("frames", "stride"), [(9, 1), (9, 2), (1, 2)])
def test_branches_of_time(frames: int, stride: int) -> None:
    module = ready(TemporalBranches(4, 11, stride, 5, (1, 3)))  # widths 2, 2, 2 and the rest, 5
    x = normal(2, 4, frames, 3)
    reduced = F.relu(module.reduce[1](linear(module.reduce[0], x)))  # type: ignore[index,operator]
    times, parts = range(0, frames, stride), []
    for b, dilation in enumerate((1, 3)):
        conv, norm = module.branches[b]  # type: ignore[index,misc]
        rows = []
        for t in times:
            total = conv.bias.expand(3, 2, -1).transpose(0, 1)  # type: ignore[union-attr]  # (N, V, C)
            for tap in range(5):
                at = t + (tap - 2) * dilation
                if 0 <= at < frames:
                    seen = reduced[:, 2 * b : 2 * b + 2, at]
                    total = total + torch.einsum("oc,ncv->nvo", conv.weight[:, :, tap, 0], seen)  # type: ignore
            rows.append(total.transpose(1, 2))
        parts.append(norm(torch.stack(rows, dim=2)))
    highest = [reduced[:, 4:6, max(0, t - 1) : t + 2].amax(dim=2) for t in times]
    parts.append(module.highest_norm(torch.stack(highest, dim=2)))  # type: ignore[operator]
    parts.append(module.same[1](linear(module.same[0], x[:, :, ::stride])))  # type: ignore[index,operator]
    same(module(x), torch.cat(parts, dim=1))


# --- LSTM --------------------------------------------------------------------------------------------------------


def test_lstm_gate_by_gate() -> None:
    model = ready(LSTMEncoder(layout=TWO, hidden=4, layers=2))
    x = normal(2, 3, 6, 5)
    series = model.input_norm(x.permute(0, 3, 1, 2).reshape(2, 15, 6))  # type: ignore[operator]  # joint, coordinate
    frames = series.view(2, 5, 3, 6).permute(3, 0, 2, 1).flatten(2)  # (T, N, C V)
    for layer in range(2):
        w, u, b, c = (getattr(model.lstm, f"{n}_l{layer}") for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        hidden = cell = torch.zeros(2, 4, dtype=torch.float64)
        outputs = []
        for frame in frames:
            enter, forget, new, leave = (frame @ w.T + hidden @ u.T + b + c).chunk(4, dim=1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            hidden = leave.sigmoid() * cell.tanh()
            outputs.append(hidden)
        frames = torch.stack(outputs)
    same(model(x), frames.mean(dim=0))
