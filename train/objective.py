"""What a run asks of its network: the targets and the losses that its configuration defines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ltsh_deploy.network_base import Maps
from ltsh_deploy.skeletons import Skeleton
from ltsh_deploy.train.batches import Batch
from ltsh_deploy.train.losses import Losses, compute_losses
from ltsh_deploy.train.targets import Targets, make_targets

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig

__all__ = ["batch_losses", "batch_targets"]


def batch_targets(batch: Batch, skeleton: Skeleton, stride: int, config: RunConfig) -> Targets:
    """The maps that a configuration asks for, and which of their cells count.

    Args:
        batch: on the device to compute on.
        skeleton: of the batch's joints.
        stride: of the network, pixels a cell.
        config: of the run.
    """
    options = config.targets
    return make_targets(
        batch.people,
        batch.ignored,
        skeleton,
        stride,
        sigma=options.sigma,
        limb_width=options.limb_width,
        masked=options.masked,
    )


def batch_losses(maps: Sequence[Maps], batch: Batch, skeleton: Skeleton, stride: int, config: RunConfig) -> Losses:
    """What a network's maps of a batch cost, in training and in validation alike.

    Args:
        maps: of every stage, the last stage last.
        batch: that they were made of, on their device.
        skeleton: of the network.
        stride: of the network, pixels a cell.
        config: of the run.
    """
    weights = config.loss
    return compute_losses(
        maps,
        batch_targets(batch, skeleton, stride, config),
        heatmap_weight=weights.heatmap_weight,
        paf_weight=weights.paf_weight,
    )
