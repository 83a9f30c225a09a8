"""What happened in a window of student steps, over all processes; and one teacher for all of them.

Only what was gathered reaches a teacher, and only the first process has one. So every process samples by the same
choice, whatever its own losses were and however its device rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, distributed

from ltsh_deploy.train.processes import first_alone, is_first, num_processes, rank
from ltsh_deploy.train.teacher import Choice, Outcome, Teacher

__all__ = ["WindowRecorder", "synchronised"]


class WindowRecorder:
    """Collects a window's losses and its hardest real crops, step by step, on the device they come from.

    Args:
        keep: how many crops at most; 0 for a teacher that looks at none.
        device: where the crops are.
    """

    def __init__(self, keep: int, device: torch.device | str = "cpu") -> None:
        self._keep = keep
        self._device = torch.device(device)
        self._clear()

    def _clear(self) -> None:
        # Sum and number of the synthetic samples' signals, then of the real ones'.
        self._sums = torch.zeros(4, dtype=torch.float64, device=self._device)
        self._signals = torch.zeros(0, device=self._device)
        self._crops = torch.zeros(0, 3, 0, 0, device=self._device)

    def add(self, crops: Tensor, signals: Tensor, is_synthetic: Tensor) -> None:
        """Take in one step of this process.

        Args:
            crops: [N, 3, H, W] normalised, as the student saw them.
            signals: [N] their losses a joint.
            is_synthetic: [N] bool.
        """
        signals, is_synthetic = signals.detach().to(self._device).float(), is_synthetic.to(self._device)
        kinds = torch.stack([is_synthetic, ~is_synthetic]).double()
        sums = torch.where(kinds > 0, signals.double(), 0.0).sum(dim=1)
        self._sums = self._sums + torch.stack([sums[0], kinds[0].sum(), sums[1], kinds[1].sum()])
        real = torch.nonzero(~is_synthetic & signals.isfinite()).flatten()
        if not self._keep or not len(real):
            return
        if self._crops.shape[2:] != crops.shape[2:]:
            # The first of a window; or the run goes on with another size, and those of the old one do not fit.
            self._signals, self._crops = self._signals[:0], self._crops[:0]
        joined = torch.cat([self._signals, signals[real]])
        order = torch.sort(joined, descending=True, stable=True).indices[: self._keep]
        held = len(self._signals)
        if bool((order >= held).any()):
            chosen = [crops[real[i - held]] if i >= held else self._crops[i] for i in order.tolist()]
            self._crops = torch.stack(chosen).detach().float().contiguous()
        self._signals = joined[order]

    def outcome(self, choice: Choice) -> Outcome:
        """What came of the window's choice in all processes, which must call this together; the next window begins."""
        sums, crops = self._gathered()
        synthetic, synthetic_count, real, real_count = sums.tolist()
        self._clear()
        return Outcome(
            choice=choice,
            synthetic_signal=synthetic / synthetic_count if synthetic_count else float("nan"),
            real_signal=real / real_count if real_count else float("nan"),
            hardest=crops,
        )

    def _gathered(self) -> tuple[Tensor, Tensor]:
        """Sums, and the hardest crops, of all processes."""
        sums = self._sums.clone()
        if num_processes() > 1:
            distributed.all_reduce(sums)
        return sums, self._hardest()[1]

    def _hardest(self) -> tuple[Tensor, Tensor]:
        """The signals and the crops of the hardest real samples of all processes."""
        processes = num_processes()
        if processes == 1 or not self._keep:
            return self._signals, self._crops
        size = torch.tensor(self._crops.shape[2:], device=self._device)
        distributed.all_reduce(size, distributed.ReduceOp.MAX)
        own = torch.full((self._keep,), -torch.inf, device=self._device)
        own[: len(self._signals)] = self._signals
        everyones = [torch.empty_like(own) for _ in range(processes)]
        distributed.all_gather(everyones, own)
        signals, order = torch.sort(torch.cat(everyones), descending=True, stable=True)
        count = min(self._keep, int(signals.isfinite().sum()))
        order = order[:count]
        # Each process lays its crops in their places among the hardest of all; the rest is zero, so a sum joins them.
        crops = torch.zeros(count, 3, *size.tolist(), device=self._device)
        first = distributed.get_rank() * self._keep
        places = torch.nonzero((order >= first) & (order < first + self._keep)).flatten()
        if len(places):
            crops[places] = self._crops[order[places] - first]
        distributed.all_reduce(crops)
        return signals[:count], crops

    def state_dict(self) -> dict[str, Any]:
        """All processes' part of an unfinished window, which must call this together; between windows it is empty."""
        sums = [self._sums]
        if num_processes() > 1:
            sums = [torch.empty_like(self._sums) for _ in range(num_processes())]
            distributed.all_gather(sums, self._sums)
        signals, crops = self._hardest()
        return {"sums": torch.stack(sums), "signals": signals, "crops": crops}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on within the window in which the state was taken, by as many processes or by others.

        Each takes back its own sums where there are as many as there were, so that they are rounded as they would have
        been; else the first one takes those of all. It takes the hardest crops of all too: nobody has them twice.
        """
        self._clear()
        sums = state["sums"].reshape(-1, 4).to(self._device)
        if len(sums) == num_processes():
            self._sums = sums[rank()]
        elif is_first():
            self._sums = sums.sum(dim=0)
        if is_first():
            self._signals, self._crops = (state[key][: self._keep].to(self._device) for key in ("signals", "crops"))


def synchronised(create: Callable[[], Teacher | None]) -> Teacher | None:
    """One teacher for all processes, which must call this, and everything on what it returns, together.

    The first process creates the teacher and asks it; the others are told what it said, errors included. Where there
    is one process, this is that teacher itself.

    Args:
        create: makes the teacher; called in the first process alone.

    Returns:
        A teacher whose ``observe`` takes what :meth:`WindowRecorder.outcome` returns, and whose ``state_dict`` is empty
        in all processes but the first; or None, where ``create`` returns that.
    """
    if num_processes() == 1:
        return create()
    teacher: list[Teacher | None] = [None]

    def make() -> bool:
        teacher[0] = create()
        return teacher[0] is not None

    return _Synchronised(teacher[0]) if first_alone(make) else None


class _Synchronised:
    """See :func:`synchronised`. The teacher is None in all processes but the first."""

    def __init__(self, teacher: Teacher | None) -> None:
        self._teacher = teacher

    @property
    def _own(self) -> Teacher:
        assert self._teacher is not None
        return self._teacher

    def propose(self) -> Choice:
        return first_alone(lambda: self._own.propose())

    def observe(self, outcome: Outcome) -> dict[str, float]:
        return first_alone(lambda: self._own.observe(outcome))

    def state_dict(self) -> dict[str, Any]:
        return {} if self._teacher is None else self._teacher.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        first_alone(lambda: self._own.load_state_dict(state))
