"""A student small enough to train in a test, and a loop that lets a teacher choose its samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from ltsh_deploy.train.teacher import Choice, Outcome, Teacher

GROUPS = 10
CROP = 32


class ToyStudent:
    """One linear regression for each group of samples. It has learned all of them, but for the hard one.

    Each window is 20 steps of gradient descent on 16 noisy samples; what is left of the loss is the noise, the same in
    every group.
    """

    def __init__(self, hard: int | None, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._truth = self._random.normal(size=(GROUPS, 8))
        self._truth /= np.linalg.norm(self._truth, axis=1, keepdims=True)
        self._weights = self._truth.copy()
        if hard is not None:
            self._weights[hard] = 0

    def train(self, group: int) -> float:
        """The mean loss of a window's samples."""
        losses = []
        for _ in range(20):
            x = self._random.normal(size=(16, 8))
            error = x @ self._weights[group] - x @ self._truth[group] - 0.3 * self._random.normal(size=16)
            losses.append(np.square(error).mean())
            self._weights[group] -= 0.004 * (x * error[:, None]).mean(axis=0)
        return float(np.mean(losses))


def play(teacher: Teacher, windows: int, hard: int | None, seed: int) -> tuple[list[Choice], npt.NDArray[np.float64]]:
    """The choices, and the [windows, G] distributions they came from. The real crops are noise."""
    student, generator = ToyStudent(hard, seed), torch.Generator().manual_seed(seed)
    choices = []
    for _ in range(windows):
        choice = teacher.propose()
        assert choice.group is not None
        crops = torch.randn(2, 3, CROP, CROP, generator=generator)
        teacher.observe(Outcome(choice, student.train(choice.group), 1.0, crops))
        choices.append(choice)
    return choices, np.array([choice.probabilities for choice in choices])
