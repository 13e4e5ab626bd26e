"""Distances on the skeleton, in bones, and the graphs that follow from them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from orvpe.poses.skeleton import Layout

APART = -1  # the distance of joints without a path between them


def bones(layout: Layout) -> Tensor:
    """(V, V) float32: 1 between a joint and its parent, both ways."""
    graph = torch.zeros(len(layout), len(layout))
    for child, parent in layout.edges:
        graph[child, parent] = graph[parent, child] = 1.0
    return graph


def hops(graph: Tensor) -> Tensor:
    """(V, V) int64: edges on the shortest path between two nodes, `APART` where there is none.

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
    """(V,) int64: for each joint the centre of its skeleton, the joint that has the fewest bones to all others."""
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
    """(window * V, window * V): a joint is joined to itself and its neighbours in every frame of the window.

    MS-G3D, eq. 6: all window x window blocks are A + I.  Row t * V + v is joint v in frame t.
    """
    return (graph + torch.eye(graph.shape[0])).tile(window, window)
