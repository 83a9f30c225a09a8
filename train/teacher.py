"""Teachers: who says, a window of student steps at a time, where the synthetic samples come from.

Here are the protocol they share and the controls beside which the adversarial teacher
(:mod:`ltsh_deploy.train.group_teacher`) has to prove itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ltsh_deploy.errors import InputError, UsageError

if TYPE_CHECKING:
    from ltsh_deploy.train.teacher_config import TeacherConfig

__all__ = [
    "Choice",
    "FixedTeacher",
    "Outcome",
    "RandomTeacher",
    "Teacher",
    "UniformTeacher",
    "check_state",
    "create_teacher",
    "draw_group",
    "usable_groups",
    "window_generator",
]

# Keeps a teacher's draws apart from all others that start from the same seed.
_STREAM = 0x7EAC4E12


@dataclass(frozen=True)
class Choice:
    """Where the synthetic samples of one window come from.

    Attributes:
        group: its number; None: they come in turn, whatever their group.
        probabilities: [G] what the teacher thought of the groups when it chose; empty where it has no groups.
        explored: chosen uniformly, whatever the probabilities.
        window: its number, from 0.
    """

    group: int | None
    probabilities: tuple[float, ...]
    explored: bool
    window: int

    def record(self) -> dict[str, Any]:
        """What to log of it."""
        return {
            "window": self.window,
            "group": self.group,
            "explored": self.explored,
            "probabilities": list(self.probabilities),
        }


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a choice; in training by several processes, what came of it in all of them together.

    Attributes:
        choice: which.
        synthetic_signal: mean of the window's synthetic samples' losses a joint; NaN when there were none.
        real_signal: the same of its real samples.
        hardest: [B, 3, H, W] float32 normalised real crops of the window, the hardest first; B is 0 when it had none.
    """

    choice: Choice
    synthetic_signal: float
    real_signal: float
    hardest: Tensor


class Teacher(Protocol):
    """What the training loop asks of a teacher: once a window, a choice, and then to look at what came of it."""

    def propose(self) -> Choice:
        """The choice for the coming window: the same one again until its outcome has been observed."""

    def observe(self, outcome: Outcome) -> dict[str, float]:
        """Learn from the outcome of the choice proposed last, and return what to log."""

    def state_dict(self) -> dict[str, Any]:
        """All that it has learned, in tensors, numbers, strings, lists and dictionaries; tensors may be its live ones.

        What it is given when it is made, such as the seed, is no part of it.
        """

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where the state was taken, by a teacher that was made with the same configuration and seed.

        Raises:
            InputError: when the state is another teacher's.
        """


def window_generator(seed: int, window: int) -> np.random.Generator:
    """The source of all that is drawn for a window: nothing but the two numbers has to be remembered."""
    return np.random.default_rng([_STREAM, seed, window])


def draw_group(generator: np.random.Generator, weights: npt.NDArray[np.float64]) -> int:
    """A group drawn with probabilities proportional to [G] weights, of which at least one is positive."""
    possible = np.flatnonzero(weights > 0)
    limits = np.cumsum(weights[possible])
    place = int(np.searchsorted(limits, generator.random() * limits[-1], side="right"))
    return int(possible[min(place, len(possible) - 1)])


def usable_groups(counts: Sequence[int], batch_size: int) -> tuple[bool, ...]:
    """[G] which groups may be chosen: those that have at least one batch of samples."""
    return tuple(int(count) >= batch_size for count in counts)


def check_state(state: Mapping[str, Any], kind: str, keys: Sequence[str]) -> None:
    """Refuse a saved state that is not of this kind of teacher.

    Raises:
        InputError: naming what it is, or what it lacks.
    """
    if state.get("kind") != kind:
        raise InputError(
            f"the saved state is of a teacher {state.get('kind')!r}, the configuration asks for {kind!r}",
            "Resume with the configuration that the run began with.",
        )
    lacking = [key for key in keys if key not in state]
    if lacking:
        raise InputError(f"the saved state of the teacher lacks {', '.join(lacking)}", "Its file may be damaged.")
    if type(state["window"]) is not int or state["window"] < 0:
        raise InputError("the saved state of the teacher has no proper window", "Its file may be damaged.")


class _Control:
    """A teacher that learns nothing: its choice depends on the seed and the window's number alone."""

    kind: ClassVar[str]

    def __init__(self, probabilities: Sequence[float], seed: int) -> None:
        self._probabilities = tuple(float(p) for p in probabilities)
        self._seed = seed
        self._window = 0

    def propose(self) -> Choice:
        """See :class:`Teacher`."""
        weights = np.asarray(self._probabilities, dtype=np.float64)
        group = draw_group(window_generator(self._seed, self._window), weights) if len(weights) else None
        return Choice(group, self._probabilities, explored=False, window=self._window)

    def observe(self, outcome: Outcome) -> dict[str, float]:
        """See :class:`Teacher`."""
        if outcome.choice.window != self._window:
            raise ValueError(f"window {self._window} was proposed, window {outcome.choice.window} observed")
        self._window += 1
        return {"signal": outcome.synthetic_signal}

    def state_dict(self) -> dict[str, Any]:
        """See :class:`Teacher`."""
        return {"kind": self.kind, "window": self._window}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See :class:`Teacher`."""
        check_state(state, self.kind, list(self.state_dict()))
        self._window = int(state["window"])


class RandomTeacher(_Control):
    """Control: synthetic people come in turn, in a random order, whatever their group, as without a teacher.

    What it adds is the record of each window, to lay beside those of a teacher that chooses.
    """

    kind = "random"

    def __init__(self, seed: int = 0) -> None:
        super().__init__((), seed)


class FixedTeacher(_Control):
    """Control: groups drawn from one distribution that never changes.

    Args:
        probabilities: [G] not negative, with the sum 1.
        usable: [G] which groups may be chosen; the others must have the probability 0.
        seed: of the draws.

    Raises:
        UsageError: when the probabilities are not such.
        InputError: when a group that cannot be chosen has a positive one.
    """

    kind = "fixed"

    def __init__(self, probabilities: Sequence[float], usable: Sequence[bool], seed: int = 0) -> None:
        if len(probabilities) != len(usable):
            raise UsageError(f"teacher: {len(probabilities)} probabilities for {len(usable)} groups")
        if not all(p >= 0 for p in probabilities) or abs(sum(probabilities) - 1) > 1e-6:
            raise UsageError(f"teacher: probabilities must be 0 or more and have the sum 1, got {list(probabilities)}")
        wrong = [g for g, (p, good) in enumerate(zip(probabilities, usable, strict=True)) if p > 0 and not good]
        if wrong:
            raise InputError(
                f"teacher: groups {wrong} have fewer samples than one batch, yet a probability above 0",
                "Give them the probability 0, or set other boundaries (teacher.groups).",
            )
        super().__init__(probabilities, seed)


class UniformTeacher(_Control):
    """Control: every group that may be chosen is as likely as any other.

    Args:
        usable: [G] which may, at least one.
        seed: of the draws.
    """

    kind = "uniform"

    def __init__(self, usable: Sequence[bool], seed: int = 0) -> None:
        super().__init__([good / sum(usable) for good in usable], seed)


def create_teacher(
    config: TeacherConfig | None,
    counts: Sequence[int],
    seed: int,
    device: torch.device | str = "cpu",
    *,
    batch_size: int = 32,
    student_features: Callable[[Tensor], Tensor] | None = None,
) -> Teacher | None:
    """The teacher that a configuration asks for; None when it asks for none.

    Args:
        config: its kind and options.
        counts: [G] synthetic samples in each group; not looked at where ``random`` is asked for.
        seed: of its draws and of its network's first weights.
        device: where its network runs.
        batch_size: a group with fewer samples than this cannot be chosen.
        student_features: what the student makes of images, for ``teacher.network.features: student``; see
            :func:`~ltsh_deploy.train.teacher_network.student_features`.

    Raises:
        InputError: when too few groups have enough samples.
        UsageError: when the configuration cannot be: probabilities for other groups, crops too small.
        ModelFileError: when the file with the trunk's weights does not have them.
    """
    usable = usable_groups(counts, batch_size)
    if config is None:
        return None
    if config.kind == "random":
        return RandomTeacher(seed)
    if config.kind == "fixed":
        return FixedTeacher(config.probabilities, usable, seed)
    if sum(usable) < 2:
        raise InputError(
            f"teacher: of {len(usable)} groups with {[int(count) for count in counts]} samples, "
            f"{sum(usable)} have as many as one batch ({batch_size}); a choice needs two",
            "Ask for fewer groups, set other boundaries (teacher.groups), train with smaller batches or more data.",
        )
    if config.kind == "uniform":
        return UniformTeacher(usable, seed)
    from ltsh_deploy.train.group_teacher import create_group_teacher

    return create_group_teacher(config, usable, seed, device, student_features)
