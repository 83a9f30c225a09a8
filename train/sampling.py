"""Who is in the middle of each crop of each step: a function of the seed, the step and the teacher's choice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.train.pools import Pool
from ltsh_deploy.train.teacher import Choice

__all__ = ["Sampler"]

# Keeps these draws apart from all others that start from the same seed.
_SHARES = 0x5A4E


class Sampler:
    """Draws people from pools, each in its part of every batch.

    A part of 1/2 is exactly half of every even batch. Where a part is no whole number of crops, batches differ by one,
    and the parts are right on average.

    Args:
        pools: where people are drawn from.
        parts: each pool's part of a batch; they sum to 1.
        batch: crops a step.
        seed: of all draws.
        groups: for each pool, [K] the group of each of its people, -1 for none; empty without a teacher.
    """

    def __init__(
        self,
        pools: Sequence[Pool],
        parts: Sequence[float],
        batch: int,
        seed: int,
        groups: Sequence[npt.NDArray[np.int64]] = (),
    ) -> None:
        self.pools = tuple(pools)
        self._seed, self._batch = seed, batch
        self._limits = np.cumsum(parts) / np.sum(parts)
        self._quotas = [int(np.ceil(batch * part - 1e-9)) for part in parts]
        self._members: dict[int, list[tuple[int, int]]] = {}
        for index, (pool, own) in enumerate(zip(self.pools, groups, strict=bool(groups))):
            if pool.all_synthetic:
                for row in np.flatnonzero(own >= 0).tolist():
                    self._members.setdefault(int(own[row]), []).append((index, row))

    def draw(self, step: int, slot: int, choice: Choice | None, rng: np.random.Generator) -> tuple[Pool, int]:
        """The pool and the row for one slot of one step's batch.

        Args:
            step: from 0.
            slot: from 0 to the batch's size.
            choice: the teacher's; synthetic people then come from its group.
            rng: of this slot; used where people are drawn with replacement.
        """
        # Systematic sampling: evenly spaced points with a common offset fall into the pools' intervals.
        offset = np.random.default_rng([_SHARES, self._seed, step]).random()
        pools = np.searchsorted(self._limits, (np.arange(slot + 1) + offset) / self._batch, side="right")
        pools = np.minimum(pools, len(self.pools) - 1)
        index = int(pools[slot])
        if self.pools[index].all_synthetic and choice is not None and choice.group is not None:
            return self.redraw(index, choice, rng)
        turn = step * self._quotas[index] + int((pools[:slot] == index).sum())
        return self.pools[index], self.pools[index].permuted(self._seed, turn)

    def redraw(self, pool: int | Pool, choice: Choice | None, rng: np.random.Generator) -> tuple[Pool, int]:
        """Anybody of a pool, or of the chosen group if the pool is synthetic: for somebody who could not be used."""
        chosen = self.pools[pool] if isinstance(pool, int) else pool
        if chosen.all_synthetic and choice is not None and choice.group is not None:
            members = self._members.get(choice.group, [])
            if not members:
                raise InputError(f"nobody in the synthetic data sets belongs to group {choice.group}")
            index, row = members[int(rng.integers(len(members)))]
            return self.pools[index], row
        return chosen, int(rng.integers(len(chosen)))
