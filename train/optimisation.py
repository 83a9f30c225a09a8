"""What moves the weights: the optimiser, its learning rate, what is frozen, and the weights' moving average."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ltsh_deploy.errors import ConfigError
from ltsh_deploy.network_base import PoseNetwork

if TYPE_CHECKING:
    from ltsh_deploy.train.config import OptimiserConfig, ScheduleConfig

__all__ = ["Average", "create_optimiser", "freeze_convolutions", "learning_rate"]


def create_optimiser(config: OptimiserConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Adam, or AdamW where weights decay; biases and normalisations, which have one dimension, never decay."""
    trained = [p for p in network.parameters() if p.requires_grad]
    common = {"lr": config.lr, "betas": config.betas, "eps": config.eps}
    if not config.weight_decay:
        return torch.optim.Adam(trained, **common)  # type: ignore[arg-type]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, **common)  # type: ignore[arg-type]


def learning_rate(base: float, schedule: ScheduleConfig, step: int, steps: int) -> float:
    """The learning rate of a step.

    Args:
        base: what the schedule multiplies.
        schedule: how.
        step: from 0.
        steps: of the whole run.
    """
    if step < schedule.warm_up:
        return base * (step + 1) / schedule.warm_up
    if schedule.kind == "step":
        return float(base * schedule.factor ** (step // schedule.every))
    if schedule.kind == "cosine":
        done = (step - schedule.warm_up) / max(1, (schedule.length or steps) - 1 - schedule.warm_up)
        return base * (schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * min(done, 1))) / 2)
    return base


def freeze_convolutions(network: PoseNetwork, count: int) -> list[nn.Module]:
    """Stop the first convolutions, and the normalisation behind each, from learning.

    Args:
        network: any.
        count: how many convolutions, in the order in which the network holds them.

    Returns:
        the frozen modules; those that are in training mode have to be set to evaluation mode.

    Raises:
        ConfigError: when the network has no more than that many.
    """
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    places = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    if count >= len(places):
        message = f"frozen_convolutions: {count} cannot be, the network has {len(places)} convolutions"
        raise ConfigError(message, key="frozen_convolutions")
    frozen: list[nn.Module] = list(layers[: places[count]]) if count else []
    for module in frozen:
        module.requires_grad_(False)
    return frozen


class Average:
    """The moving average of a network's weights and running statistics.

    Args:
        network: to begin with.
        decay: what is kept of the average a step; less in the first steps, when there is little to average.

    Attributes:
        network: a copy, in evaluation mode, with the averaged weights.
    """

    def __init__(self, network: PoseNetwork, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: PoseNetwork, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        weight = 1 - min(self._decay, (1 + step) / (10 + step))
        own, new = _floating(self.network), _floating(network)
        torch._foreach_lerp_(own, new, weight)


def _floating(network: nn.Module) -> list[Tensor]:
    return [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
