"""What a line of the log says of the steps since the line before."""

from __future__ import annotations

import time

from torch import Tensor

__all__ = ["Meter"]


class Meter:
    """Means over the steps since the last record.

    Attributes:
        waited: seconds spent waiting for data since then.
    """

    def __init__(self) -> None:
        self.begin(0)

    def begin(self, step: int) -> None:
        """Start afresh after so many steps."""
        self._first, self._begun, self.waited = step, time.perf_counter(), 0.0
        self._losses: Tensor | None = None
        self._norm, self._images = 0.0, 0

    def add(self, losses: Tensor, norm: float, images: int) -> None:
        """Take in a step."""
        self._losses = losses if self._losses is None else self._losses + losses
        self._norm += norm
        self._images += images

    def take(self, step: int) -> dict[str, float]:
        """Losses, the gradient's norm, images a second and the share of the time spent waiting for data."""
        assert self._losses is not None
        seconds, steps = time.perf_counter() - self._begun, step - self._first
        stages = (self._losses / steps).tolist()
        record = {
            "loss": sum(stages),
            **{f"loss_stage{i + 1}": stage for i, stage in enumerate(stages)},
            "gradient_norm": self._norm / steps,
            "images_per_s": self._images / seconds,
            "wait": self.waited / seconds,
        }
        self.begin(step)
        return record
