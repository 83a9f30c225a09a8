"""What a line of the log says of the steps since the line before."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["Meter"]


class Meter:
    """Means over the steps since the last record, those of a session before among them.

    Speed is this session's alone: the time that a run was stopped for is nobody's.

    Attributes:
        waited: seconds spent waiting for data since the last record, or since the start.
    """

    def __init__(self) -> None:
        self._clear()
        self.start()

    def _clear(self) -> None:
        self._losses = torch.zeros(0)
        self._norm, self._steps = 0.0, 0

    def start(self) -> None:
        """Count time, and the images that speed is made of, from now on."""
        self._begun, self._images, self.waited = time.perf_counter(), 0, 0.0

    def add(self, losses: Tensor, norm: float, images: int) -> None:
        """Take in a step: [S] losses of the stages, the gradient's norm, and how many images it learned from."""
        self._losses = self._losses.to(losses.device) + losses if self._steps else losses
        self._norm += norm
        self._steps += 1
        self._images += images

    def take(self) -> dict[str, float]:
        """Losses, the gradient's norm, images a second and the share of the time spent waiting for data."""
        assert self._steps
        seconds = time.perf_counter() - self._begun
        stages = (self._losses / self._steps).tolist()
        record = {
            "loss": sum(stages),
            **{f"loss_stage{i + 1}": stage for i, stage in enumerate(stages)},
            "gradient_norm": self._norm / self._steps,
            "images_per_s": self._images / seconds,
            "wait": self.waited / seconds,
        }
        self._clear()
        self.start()
        return record

    def state_dict(self) -> dict[str, Any]:
        """The sums over the steps since the last record; no times, which no two runs have alike."""
        return {"losses": self._losses, "norm": self._norm, "steps": self._steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with sums that were saved; with none where the state is empty."""
        self._clear()
        if state:
            self._losses, self._norm, self._steps = state["losses"], state["norm"], state["steps"]
