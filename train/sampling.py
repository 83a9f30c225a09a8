"""Who is in the middle of each crop of each step: a function of the seed, the step and the teacher's choice."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import InputError
from ltsh_deploy.train.pools import Pool
from ltsh_deploy.train.teacher import Choice

__all__ = ["Sampler"]

# Keeps these draws apart from all others that start from the same seed.
_SHARES = 0x5A4E
# Parts of a crop are counted in these, so that there are no rounding errors to add up.
_UNITS = 2**32
# Odd, and nearest to the golden ratio's part of them: its multiples fill the interval evenly.
_GOLDEN = 2654435769


class Sampler:
    """Draws people from pools, each in its part of every batch.

    A part of 1/2 is exactly half of every even batch. Where a part is no whole number of crops, batches differ by one,
    and the parts are right on average. Either way everybody of a pool comes once before anybody comes again.

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
        self._seed = seed
        sums = np.cumsum(parts)
        # Crops a step of all pools before each, and of all: whole ones and a rest, in units of 1 / _UNITS.
        self._limits = [divmod(round(_UNITS * batch * share), _UNITS) for share in (0.0, *(sums / sums[-1]))]
        self._phase = int(np.random.default_rng([_SHARES, seed]).integers(_UNITS))
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
        before, after = self._drawn(step), self._drawn(step + 1)
        # The step's slots belong to the first pool, then to the second, and so on.
        begins = [later - sooner for sooner, later in zip(before, after, strict=True)]
        index = bisect_right(begins, slot) - 1
        if self.pools[index].all_synthetic and choice is not None and choice.group is not None:
            return self.redraw(index, choice, rng)
        turn = before[index + 1] - before[index] + slot - begins[index]
        return self.pools[index], self.pools[index].permuted(self._seed, turn)

    def _drawn(self, steps: int) -> list[int]:
        """[K + 1] crops that the first 0, 1, ... K pools have had after so many steps.

        A step's crops are evenly spaced points, 1 apart with a common offset; a pool has those in its interval. The
        rest of a limit is passed by the steps whose offset is below it, and offsets are multiples of the golden ratio.
        """
        return [whole * steps + (_count_below(rest, steps, self._phase) if rest else 0) for whole, rest in self._limits]

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


def _count_below(limit: int, steps: int, phase: int) -> int:
    """For how many of the first steps ``phase + step * _GOLDEN``, modulo ``_UNITS``, is below the limit."""
    # x // u - (x - limit) // u is 1 where x % u is below the limit, else 0; u more keeps all of it positive.
    first = phase + _UNITS
    return _floor_sum(steps, _UNITS, _GOLDEN, first) - _floor_sum(steps, _UNITS, _GOLDEN, first - limit)


def _floor_sum(count: int, divisor: int, slope: int, first: int) -> int:
    """The sum of ``(first + i * slope) // divisor`` over i in 0..count-1, in as many rounds as Euclid's algorithm.

    It counts the points of a grid below a line; once whole slopes are taken out, the axes change places.
    """
    total = 0
    while True:
        total += count * (count - 1) // 2 * (slope // divisor) + count * (first // divisor)
        slope, first = slope % divisor, first % divisor
        count, first = divmod(slope * count + first, divisor)
        if count == 0:
            return total
        divisor, slope = slope, divisor
