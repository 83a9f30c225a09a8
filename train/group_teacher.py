"""The adversarial teacher: it learns which group of synthetic samples is hardest for the student now.

It follows "Learning to Train with Synthetic Humans" (Hoffmann, Tzionas, Black and Tang 2019), section 4.1.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ltsh_deploy.errors import InputError, TrainingError, UsageError
from ltsh_deploy.train.teacher import Choice, Outcome, check_state, draw_group, window_generator
from ltsh_deploy.train.teacher_network import create_teacher_network

if TYPE_CHECKING:
    from ltsh_deploy.train.teacher_config import GroupTeacherConfig

__all__ = ["GroupTeacher", "create_group_teacher", "pseudo_truth"]


def pseudo_truth(probabilities: Tensor, group: int, delta: int, alpha: float) -> Tensor:
    """The distributions a teacher should have had, by the paper's equation 2.

    With p the probabilities and i the chosen one of G groups::

        P_i = p_i + delta * alpha * p_i
        P_j = p_j - delta * alpha * p_i / (G - 1)    for all others

    then cut to [0, 1] and divided by the sum: the second line alone may fall below 0.

    Args:
        probabilities: [..., G], each row a distribution.
        group: i.
        delta: +1 as a reward, -1 as a penalty.
        alpha: in [0, 1], the size of the step.

    Returns:
        [..., G], each row a distribution.
    """
    groups = probabilities.shape[-1]
    if groups == 1:
        return torch.ones_like(probabilities)
    step = delta * alpha * probabilities[..., group : group + 1]
    target = probabilities - step / (groups - 1)
    target[..., group : group + 1] = probabilities[..., group : group + 1] + step
    target = target.clamp(0, 1)
    return target / target.sum(dim=-1, keepdim=True)


class GroupTeacher:
    """Chooses a group a window, from what its network makes of the hardest real crops of the window before.

    A window whose synthetic samples were at least as hard as those of the last windows were on average is a reward for
    the group, any other a penalty; the network then makes one step towards the distribution that follows from it, on
    the crops that led to the choice.

    Args:
        network: inputs to [B, G] logits; trained here and nowhere else.
        usable: [G] which groups have enough samples. Drawing another is penalised, and repeated without it.
        config: the options.
        seed: of the draws.
        prepare: makes [B, 3, H, W] normalised crops into the network's inputs.
    """

    kind = "group"

    def __init__(
        self,
        network: nn.Module,
        usable: Sequence[bool],
        config: GroupTeacherConfig,
        seed: int = 0,
        prepare: Callable[[Tensor], Tensor] = lambda crops: crops,
    ) -> None:
        self._network = network
        self._optimiser = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
        self._usable = tuple(bool(good) for good in usable)
        self._config = config
        self._seed = seed
        self._prepare = prepare
        self._window = 0
        self._choice: Choice | None = None
        self._penalties = 0
        self._signals: deque[float] = deque(maxlen=config.history)
        self._inputs: Tensor | None = None

    def propose(self) -> Choice:
        """See :class:`~ltsh_deploy.train.teacher.Teacher`.

        Raises:
            TrainingError: when the network has learned itself into NaN.
        """
        if self._choice is None:
            self._choice = self._choose()
        return self._choice

    def _choose(self) -> Choice:
        generator = window_generator(self._seed, self._window)
        explored = self._inputs is None or generator.random() < self._config.epsilon
        untried = np.ones(len(self._usable))
        while True:
            probabilities = self._distribution()
            weights = untried * (1.0 if explored else probabilities)
            # Groups that are left may all have a probability that is no more than a rounding error.
            group = draw_group(generator, weights if weights.sum() > 0 else untried)
            if self._usable[group]:
                return Choice(group, tuple(probabilities.tolist()), explored, self._window)
            # Leaving it out now gives the next draw the distribution that it has in endless repetition.
            untried[group] = 0
            if self._inputs is not None:
                self._learn(self._inputs, group, -1)
                self._penalties += 1

    def _distribution(self) -> npt.NDArray[np.float64]:
        """[G] what the network makes of the hardest crop; uniform before the first."""
        groups = len(self._usable)
        if self._inputs is None:
            return np.full(groups, 1 / groups)
        with torch.no_grad():
            logits: Tensor = self._network(self._inputs[:1])[0].detach()
        probabilities: npt.NDArray[np.float64] = logits.cpu().double().softmax(dim=0).numpy()
        if not np.isfinite(probabilities).all():
            raise TrainingError(
                f"the teacher's network gives NaN or infinity in window {self._window}",
                "Lower teacher.learning_rate, and resume from a checkpoint before that.",
            )
        return probabilities

    def observe(self, outcome: Outcome) -> dict[str, float]:
        """See :class:`~ltsh_deploy.train.teacher.Teacher`.

        Returns:
            ``signal`` and ``baseline``, which are compared; ``delta``: 1 a reward, -1 a penalty, 0 when there was
            nothing to compare; ``divergence``: KL(P || p) before the step, NaN when there was none; ``penalties``: for
            groups drawn in this window that cannot be chosen.

        Where the window had no real crops, it goes on looking at those of the window before.
        """
        if self._choice is None or outcome.choice.window != self._window:
            raise ValueError(f"window {outcome.choice.window} is observed, and was not the one proposed last")
        signal = self._signal(outcome)
        baseline = sum(self._signals) / len(self._signals) if self._signals else math.nan
        delta, divergence = 0, math.nan
        if self._inputs is not None and math.isfinite(signal) and self._signals:
            assert self._choice.group is not None
            delta = 1 if signal >= baseline else -1
            divergence = self._learn(self._inputs, self._choice.group, delta)
        if math.isfinite(signal):
            self._signals.append(signal)
        record = {
            "signal": signal,
            "baseline": baseline,
            "delta": float(delta),
            "divergence": divergence,
            "penalties": float(self._penalties),
        }
        if len(outcome.hardest):
            self._inputs = self._prepare(outcome.hardest[: self._config.inputs])
        self._window, self._choice, self._penalties = self._window + 1, None, 0
        return record

    def _signal(self, outcome: Outcome) -> float:
        if self._config.signal == "absolute":
            return outcome.synthetic_signal
        return outcome.synthetic_signal / outcome.real_signal if outcome.real_signal > 0 else math.nan

    def _learn(self, inputs: Tensor, group: int, delta: int) -> float:
        """One step towards the pseudo truth; returns the divergence from it before the step."""
        # In float64, and so not on the device: the truth differs from the prediction by little.
        logs = self._network(inputs).cpu().double().log_softmax(dim=-1)
        target = pseudo_truth(logs.detach().exp(), group, delta, self._config.alpha)
        divergence = nn.functional.kl_div(logs, target, reduction="batchmean")
        self._optimiser.zero_grad()
        divergence.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        return float(divergence.detach())

    def state_dict(self) -> dict[str, Any]:
        """See :class:`~ltsh_deploy.train.teacher.Teacher`."""
        choice = self._choice
        return {
            "kind": self.kind,
            "usable": list(self._usable),
            "window": self._window,
            "group": None if choice is None else choice.group,
            "probabilities": None if choice is None else list(choice.probabilities),
            "explored": None if choice is None else choice.explored,
            "penalties": self._penalties,
            "signals": list(self._signals),
            "inputs": self._inputs,
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`~ltsh_deploy.train.teacher.Teacher`."""
        check_state(state, self.kind, list(self.state_dict()))
        if list(state["usable"]) != list(self._usable):
            raise InputError(
                "the saved state of the teacher is for other groups: those it may choose from were "
                f"{[g for g, good in enumerate(state['usable']) if good]} of {len(state['usable'])}",
                "The data or its groups changed since. Resume with what the run began with, or begin a new run.",
            )
        try:
            self._network.load_state_dict(state["network"])
            # A copy: the optimiser would keep, and change, the tensors it is given.
            self._optimiser.load_state_dict(copy.deepcopy(state["optimiser"]))
            self._window, self._penalties = int(state["window"]), int(state["penalties"])
            self._signals = deque(map(float, state["signals"]), maxlen=self._config.history)
            device = next(self._network.parameters()).device
            self._inputs = None if state["inputs"] is None else state["inputs"].to(device)
            self._choice = None
            if state["group"] is not None:
                probabilities = tuple(map(float, state["probabilities"]))
                self._choice = Choice(int(state["group"]), probabilities, bool(state["explored"]), self._window)
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(
                f"the saved state of the teacher does not fit its network: {error}",
                "Resume with the configuration that the run began with.",
            ) from None
        # The state has the rate it was saved with; the configuration may ask for another one now.
        for group in self._optimiser.param_groups:
            group["lr"] = self._config.learning_rate


def create_group_teacher(
    config: GroupTeacherConfig,
    usable: Sequence[bool],
    seed: int,
    device: torch.device | str,
    student_features: Callable[[Tensor], Tensor] | None,
) -> GroupTeacher:
    """The teacher with the network that its configuration describes; see :func:`.teacher.create_teacher`."""
    size = config.network.input_size

    def resized(crops: Tensor) -> Tensor:
        crops = crops.to(device, torch.float32)
        if crops.shape[-2:] == (size, size):
            return crops
        return nn.functional.interpolate(crops, (size, size), mode="bilinear", align_corners=False, antialias=True)

    if config.network.features == "own":
        network = create_teacher_network(len(usable), config.network, seed)
        return GroupTeacher(network.to(device), usable, config, seed, resized)
    if student_features is None:
        raise UsageError("teacher.network.features is 'student', and this student gives none", "Set it to 'own'.")
    look = student_features
    channels, height, width = look(torch.zeros(1, 3, size, size, device=device)).shape[1:]
    network = create_teacher_network(len(usable), config.network, seed, (channels, height, width))
    return GroupTeacher(network.to(device), usable, config, seed, lambda crops: look(resized(crops)).detach().float())
