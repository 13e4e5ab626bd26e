"""The contrastive module (section III-C): projection, memory bank, loss.

A clip's embedding is pulled towards the bank's row of the same clip, which holds its other sub-graphs from previous
epochs, and pushed away from K rows of other clips.  docs/concepts/method.md, 3 to 6, says how the text is read.

Shapes: B clips of a batch, N clips in the bank, D = 128 dimensions of an embedding, K negatives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from orvpe.errors import InputError, unknown
from orvpe.models.heads import Projection
from orvpe.training.bank import MemoryBank, check_negatives
from orvpe.training.losses import LOSSES


class ContrastiveModule(nn.Module):
    """Projection, memory bank and loss. After each optimiser step, call `update` with the embedding of `forward`.

    Under DistributedDataParallel pass ``broadcast_buffers=False``: the bank keeps itself equal.

    Args:
        size: N, the clips of the data set.
        inputs, outputs: width of feature and embedding.
        projection: "linear" or "mlp", see `Projection`.
        loss: a name in `LOSSES`.
        negatives: K, or None for all other clips.
        temperature: Temp of eq. 4.
        momentum: m of eq. 5.
        generator: draws the bank's first rows; in the same state on every process.
        recordings: (N,) int64, the recording each clip was cut from: others of the same one are no negatives.
            None for clips that have nothing in common, as in the paper.

    Raises:
        InputError: a value out of its range; K larger than the bank.
    """

    def __init__(
        self,
        size: int,
        *,
        inputs: int = 256,
        outputs: int = 128,
        projection: str = "linear",
        loss: str = "info_nce",
        negatives: int | None = 4096,
        temperature: float = 0.07,
        momentum: float = 0.5,
        generator: torch.Generator | None = None,
        recordings: Tensor | None = None,
    ) -> None:
        super().__init__()
        if loss not in LOSSES:
            raise InputError(unknown("loss", loss, LOSSES))
        self.bank = MemoryBank(size, outputs, momentum, generator)
        if negatives is not None:
            check_negatives(negatives, size)
        self.negatives = negatives
        self.projection = Projection(inputs, outputs, projection)
        self.loss = LOSSES[loss](temperature=temperature, size=size)
        self.recordings: Tensor | None
        self.register_buffer("recordings", recordings, persistent=False)

    def forward(
        self,
        feature: Tensor,
        indices: Tensor,
        generator: torch.Generator | None = None,
        positive: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Losses and embeddings of a batch.

        Args:
            feature: (B, inputs) of the encoder.
            indices: (B,) int64, which clips these are.
            generator: draws the negatives; in the same state on every process.
            positive: (B, outputs) unit vectors to pull towards, e.g. a teacher's.  None: the bank's rows, as in the
                paper.

        Returns:
            loss of each clip (B,), embedding (B, outputs).
        """
        query = self.projection(feature)  # phi of eq. 4, unit length: (B, D)
        others = self._negatives(indices, generator)  # (B, K)
        with torch.autocast(query.device.type, enabled=False):  # a cosine over 0.07 needs more than 8 bits
            target = self.bank.gather(indices) if positive is None else positive  # (B, D)
            alike = (query * target).sum(dim=1)  # cosines of eq. 4 with the positive (B,)
            unlike = self.bank.similarity(query, others)  # and with the negatives (B, K)
            if self.recordings is not None:
                own = self.recordings[others] == self.recordings[indices][:, None]
                unlike = unlike.masked_fill(own, -torch.inf)
            loss = self.loss(alike, unlike)  # eq. 3 (B,)
        return loss, query

    def _negatives(self, indices: Tensor, generator: torch.Generator | None) -> Tensor:
        if self.negatives is None:
            return self.bank.others(indices)  # (B, N - 1)
        return self.bank.sample_negatives(indices, self.negatives, generator)  # (B, K)

    def update(self, indices: Tensor, embedding: Tensor) -> None:
        """Eq. 5 for the batches of all processes: indices (B,), no clip twice; embedding (B, outputs)."""
        self.bank.update(indices, embedding)
