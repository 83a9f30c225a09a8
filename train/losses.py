"""What a prediction costs, and how hard each crop was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ltsh_deploy.network_base import Maps
from ltsh_deploy.train.targets import Targets

__all__ = ["Losses", "compute_losses"]


@dataclass(frozen=True, eq=False)
class Losses:
    """The loss of N crops.

    Attributes:
        total: scalar, the sum over stages and crops divided by N: what is minimised.
        stages: [S, N] 1/2 (1/2 sum(m dPAF^2) + 1/2 sum(m dheat^2)), detached.
        signal: [N] the last stage's loss over the number of labelled joints in view (at least 1), detached: what the
            teacher sees.
    """

    total: Tensor
    stages: Tensor
    signal: Tensor


def compute_losses(
    maps: Sequence[Maps], targets: Targets, *, heatmap_weight: float = 1.0, paf_weight: float = 1.0
) -> Losses:
    """The losses of a batch, in float32 whatever the maps' precision.

    Args:
        maps: of every stage, the last stage last.
        targets: of the same crops.
        heatmap_weight: multiplies the heat maps' part.
        paf_weight: multiplies the PAFs' part.
    """
    stages = torch.stack(
        [
            0.25 * paf_weight * _squares(pafs, targets.pafs, targets.paf_weights)
            + 0.25 * heatmap_weight * _squares(heatmaps, targets.heatmaps, targets.heatmap_weights)
            for heatmaps, pafs in maps
        ]
    )
    detached = stages.detach()
    return Losses(stages.sum() / stages.shape[1], detached, detached[-1] / targets.counts.clamp(min=1))


def _squares(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """[N] weighted sums of squared differences."""
    return ((predicted.float() - target).square() * weights).flatten(1).sum(dim=1)
