"""A stacked LSTM over frames: the recurrent baseline of skeleton papers (two layers in Shahroudy et al., *NTU RGB+D*,
CVPR 2016; the "LSTM" row of the paper's Table IV).

All coordinates of a frame are its input, without a graph of joints or bones.  None of those papers gives all sizes, so
there is no published count: with two layers of 256 it has 0.84M parameters at 17 joints in 3D.  The feature is the mean
of the last layer's outputs over the frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from orvpe.models.encoders.parts import JointEncoder, check_count, check_dropout
from orvpe.poses.skeleton import Layout, unified


class LSTMEncoder(JointEncoder):
    """Joints of one person over time -> a feature.

    Args:
        in_channels, layout, mask_channel: see `JointEncoder`.  Only the number of joints matters.
        hidden: units of each layer, and width of the feature.
        layers: LSTMs above each other.
        dropout: between the layers.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        layout: Layout | Mapping[str, Any] = unified,
        hidden: int = 256,
        layers: int = 2,
        dropout: float = 0.0,
        mask_channel: bool = False,
    ) -> None:
        check_count("hidden", hidden)
        check_count("layers", layers)
        check_dropout(dropout)
        super().__init__(in_channels, layout, mask_channel, hidden)
        # torch warns of a dropout that has no place to act
        between = dropout if layers > 1 else 0.0
        inputs = self.channels * len(self.layout)
        self.lstm = nn.LSTM(inputs, hidden, layers, batch_first=True, dropout=between)

    def encode(self, x: Tensor) -> Tensor:
        outputs, _ = self.lstm(x.transpose(1, 2).flatten(2))  # (N, T, C V) -> (N, T, hidden)
        return outputs.mean(dim=1)
