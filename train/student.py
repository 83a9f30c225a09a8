"""The network that learns: a step forward, a step of the optimiser, and all that has to be kept of both."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from ltsh_deploy.errors import InputError
from ltsh_deploy.network_base import ImageNetwork, PoseNetwork
from ltsh_deploy.train.batches import Batch
from ltsh_deploy.train.losses import Losses
from ltsh_deploy.train.objective import batch_losses
from ltsh_deploy.train.optimisation import Average, create_optimiser, freeze_convolutions, learning_rate

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig

__all__ = ["Student"]

_PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Student:
    """A network in training.

    Args:
        network: with the weights to begin with.
        config: of the run.
        device: to train on.

    Attributes:
        network: as given, on the device.
    """

    def __init__(self, network: PoseNetwork, config: RunConfig, device: torch.device) -> None:
        self._config, self._device = config, device
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.network: PoseNetwork = network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self.network.train()
        for module in freeze_convolutions(self.network, config.frozen_convolutions):
            module.eval()
        self._images = ImageNetwork(self.network).to(device)
        self._optimiser = create_optimiser(config.optimiser, self.network)
        self._average = Average(self.network, config.average) if config.average else None
        self._scaler = torch.amp.GradScaler(enabled=config.precision == "fp16")
        self._forward: nn.Module = torch.compile(self.network) if config.compile else self.network  # type: ignore[assignment]
        if distributed.is_available() and distributed.is_initialized():
            self._forward = nn.parallel.DistributedDataParallel(self._forward)

    @property
    def kept(self) -> PoseNetwork:
        """The weights that are measured and kept: the average where there is one. Not for training."""
        return self.network if self._average is None else self._average.network

    def forward(self, batch: Batch) -> tuple[Losses, Tensor]:
        """The losses of a batch, and its normalised images [N, 3, H, W]."""
        batch = batch.to(self._device)
        images = self._images.normalise(batch.images)
        if not self._config.channels_last:
            images = images.contiguous()
        with self._autocast():
            maps = self._forward(images)
        return batch_losses(maps, batch, self.network.skeleton, self.network.stride, self._config), images

    def _autocast(self) -> AbstractContextManager[Any]:
        kind = _PRECISIONS[self._config.precision]
        return nullcontext() if kind is None else torch.autocast(self._device.type, kind)

    def learn(self, losses: Losses, step: int) -> float:
        """One step of the optimiser, counted from 0.

        Returns:
            The norm of the gradient before it was clipped. Where it is NaN or infinite, nothing was changed.
        """
        rate = learning_rate(self._config.optimiser.lr, self._config.schedule, step, self._config.steps)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(losses.total).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimiser)
        parameters = [p for group in self._optimiser.param_groups for p in group["params"]]
        clip = self._config.optimiser.clip
        norm = nn.utils.clip_grad_norm_(parameters, torch.inf if clip is None else clip)
        if self._scaler.is_enabled():
            # It leaves out steps that overflowed, and lowers the scale.
            self._scaler.step(self._optimiser)
            self._scaler.update()
        elif norm.isfinite():
            self._optimiser.step()
        if self._average is not None:
            self._average.update(self.network, step)
        return float(norm)

    @property
    def may_overflow(self) -> bool:
        """Whether a gradient that is no number is an ordinary event, after which training goes on."""
        return self._scaler.is_enabled()

    def state_dict(self) -> dict[str, Any]:
        """All of it that changes."""
        return {
            "network": self.network.state_dict(),
            "average": None if self._average is None else self._average.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was taken.

        Raises:
            InputError: when the state is of another network or optimiser.
        """
        wanted = [
            {key: value for key, value in group.items() if key != "params"} for group in self._optimiser.param_groups
        ]
        try:
            if len(state["optimiser"]["param_groups"]) != len(wanted):
                raise ValueError("optimiser.weight_decay was 0, or is 0 now")
            self.network.load_state_dict(state["network"])
            self._optimiser.load_state_dict(state["optimiser"])
            for parameter, moments in self._optimiser.state.items():
                if any(each.ndim and each.shape != parameter.shape for each in moments.values()):
                    raise ValueError("the optimiser's moments are of other weights")
            # Without mixed precision, there is nothing of a scaler to save, and nothing to go on from.
            if state["scaler"]:
                self._scaler.load_state_dict(state["scaler"])
            if self._average is not None:
                self._average.network.load_state_dict(state["average"] or state["network"])
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"the saved state does not fit the network or the optimiser of this configuration ({reason})",
                "Resume with the configuration that the run began with.",
            ) from None
        # The state has the settings it was saved with; the configuration may ask for others now.
        for group, settings in zip(self._optimiser.param_groups, wanted, strict=True):
            group.update(settings)
