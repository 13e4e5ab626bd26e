"""Distances between joints, counted in bones, and graphs derived from them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from orvpe.poses.skeleton import Layout

APART = -1  # the distance of joints without a path between them


def bones(layout: Layout) -> Tensor:
    """Adjacency of the skeleton, (V, V) float32: 1 between a joint and its parent, in both directions."""
    graph = torch.zeros(len(layout), len(layout))
    for child, parent in layout.edges:
        graph[child, parent] = graph[parent, child] = 1.0
    return graph


def hops(graph: Tensor) -> Tensor:
    """Length of the shortest path between two nodes, (V, V) int64; `APART` if there is none.

    Args:
        graph: (V, V), not 0 where there is an edge; symmetric.
    """
    v = graph.shape[0]
    step = ((graph != 0) | torch.eye(v, dtype=torch.bool)).float()
    found = torch.full((v, v), APART)
    reached = torch.eye(v)
    for k in range(v):
        found[(reached > 0) & (found == APART)] = k
        reached = ((reached @ step) > 0).float()
    return found


def centre(layout: Layout) -> Tensor:
    """Centre of each joint's skeleton, (V,) int64: the joint with the fewest bones to all others."""
    distance = hops(bones(layout))
    joined = distance != APART
    total = (distance * joined).sum(dim=1)  # (V,)
    # a layout may have several roots, and so several skeletons with a centre each
    return torch.stack([torch.where(row, total, total.max() + 1).argmin() for row in joined])


def k_adjacency(distance: Tensor, scales: Sequence[int]) -> Tensor:
    """Disentangled multi-scale adjacency (MS-G3D, eq. 3): (S, V, V), 1 at exactly k hops and on the diagonal.

    Args:
        distance: (V, V) hops.
        scales: the k of each scale; 0 gives the identity.

    Returns:
        each scale normalised symmetrically, D^-1/2 A D^-1/2.
    """
    eye = torch.eye(distance.shape[0], dtype=torch.bool)
    graphs = torch.stack([((distance == k) | eye).float() for k in scales])
    scale = graphs.sum(dim=2).rsqrt()  # (S, V); no degree is 0
    return scale[:, :, None] * graphs * scale[:, None, :]


def window_graph(graph: Tensor, window: int) -> Tensor:
    """Adjacency over a window of frames, (window * V, window * V): a joint and its neighbours in all of the frames.

    MS-G3D, eq. 6: all window x window blocks are A + I.  Row t * V + v is joint v in frame t.
    """
    return (graph + torch.eye(graph.shape[0])).tile(window, window)
