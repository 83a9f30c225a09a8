"""Batches of crops, made by threads ahead of time.

Nothing here has a state: sample ``i`` of step ``t`` is drawn and augmented with a generator seeded by (seed, t, i), so
that a resumed run goes on bit for bit and the number of workers changes nothing. Workers are threads, since decoding
and warping are OpenCV's, which lets other threads run.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ltsh_deploy.datasets import Sample
from ltsh_deploy.errors import InputError
from ltsh_deploy.train.augment import Warp, draw_warp
from ltsh_deploy.train.colours import change_colours
from ltsh_deploy.train.compose import cut_out, draw_split, mosaic, paste, tiles
from ltsh_deploy.train.crops import Crop, make_crop
from ltsh_deploy.train.pools import Pool
from ltsh_deploy.train.sampling import Sampler
from ltsh_deploy.train.targets import People
from ltsh_deploy.train.teacher import Choice

if TYPE_CHECKING:
    from ltsh_deploy.train.config import ComposeConfig, RunConfig

__all__ = ["Batch", "CropMaker", "Loader", "collate"]

_log = logging.getLogger(__name__)

# So many people in a row that cannot be used mean that the data set as a whole cannot.
_ATTEMPTS = 50


@dataclass(frozen=True, eq=False)
class Batch:
    """N crops as tensors.

    Attributes:
        images: [N, H, W, 3] uint8 RGB.
        people: in view of each.
        ignored: [N, h, w] bool, cells that do not count.
        is_synthetic: [N] whether the person in the middle is.
        names: of the crops.
        skipped: reason to the number of people who could not be used in their places.
    """

    images: Tensor
    people: People
    ignored: Tensor
    is_synthetic: Tensor
    names: tuple[str, ...]
    skipped: Mapping[str, int]

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        if device.type == "cpu":
            return self
        images, ignored, synthetic = (
            part.pin_memory().to(device, non_blocking=True) for part in (self.images, self.ignored, self.is_synthetic)
        )
        return Batch(images, self.people.to(device), ignored, synthetic, self.names, self.skipped)


def collate(crops: Sequence[Crop]) -> Batch:
    """One batch of crops of one size."""
    most = max(len(crop.joints) for crop in crops)
    shape = (len(crops), most)
    joints = np.zeros((*shape, *crops[0].joints.shape[1:]), np.float32)
    clips, among_real = np.zeros((*shape, 4), np.float32), np.zeros(shape, np.bool_)
    # x1 > x2: nobody is in there.
    boxes = np.broadcast_to(np.array([1, 1, -1, -1], np.float32), (*shape, 4)).copy()
    for row, crop in enumerate(crops):
        people = len(crop.joints)
        joints[row, :people] = crop.joints
        clips[row, :people], boxes[row, :people] = crop.clips, crop.boxes
        among_real[row, :people] = crop.among_real
    return Batch(
        torch.from_numpy(np.stack([crop.image for crop in crops])),
        People(*(torch.from_numpy(array) for array in (joints, clips, boxes, among_real))),
        torch.from_numpy(np.stack([crop.ignored for crop in crops])),
        torch.tensor([bool(crop.is_synthetic[0]) for crop in crops]),
        tuple(crop.name for crop in crops),
        sum((Counter(crop.skipped) for crop in crops), Counter()),
    )


class CropMaker:
    """Makes the crop of a step's slot. It may be called from many threads at once.

    A person whose picture cannot be read, or whose crop would hold nothing to learn, is counted, and another one of the
    same pool is drawn in their place. The crop carries the count: crops are made ahead of time, and those that a run
    is stopped before are made again when it goes on.

    Args:
        sampler: says who is in the middle.
        config: of the run: how a person becomes a crop, and the seed of all draws.
        stride: pixels a cell.
    """

    def __init__(self, sampler: Sampler, config: RunConfig, stride: int) -> None:
        self._sampler, self._config, self._stride = sampler, config, stride
        self._reported: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, step: int, slot: int, choice: Choice | None = None) -> Crop:
        """The crop for one slot of one step's batch.

        Raises:
            InputError: when one person after the other cannot be used.
        """
        rng = np.random.default_rng([self._config.seed, step, slot])
        return self.make(rng, *self._sampler.draw(step, slot, choice, rng), choice)

    def make(self, rng: np.random.Generator, pool: Pool, row: int, choice: Choice | None = None) -> Crop:
        """A crop with the person at this row of a pool in the middle, composed and coloured as configured.

        Args:
            rng: of all that is random about it.
            pool: one of the sampler's.
            row: of the person.
            choice: the teacher's; those who come into the crop besides are of its group.

        Raises:
            InputError: when one person after the other cannot be used.
        """
        source = _Source(pool, row, choice, Counter())
        crop = self._composed(rng, source, self._config.compose)
        crop.image[...] = change_colours(rng, self._config.colour, crop.image)
        return replace(crop, skipped=source.skipped)

    def _composed(self, rng: np.random.Generator, source: _Source, options: ComposeConfig) -> Crop:
        size = self._config.size
        # Nothing is drawn for what is off, so that runs without it stay as they were.
        if options.mosaic and rng.random() < options.mosaic:
            places = tiles(size, draw_split(rng, size, self._stride))
            places = [places[i] for i in rng.permutation(len(places))]
            crops = [self._crop(rng, source, places[0][2:]).crop]
            crops += [self._crop(rng, self._another(rng, source), place[2:]).crop for place in places[1:]]
            return mosaic(crops, places, self._stride)
        crop = self._crop(rng, source, size).crop
        if options.paste and rng.random() < options.paste:
            crop = self._pasted(rng, crop, self._another(rng, source))
        return crop

    def _pasted(self, rng: np.random.Generator, crop: Crop, source: _Source) -> Crop:
        """The crop with somebody else pasted anywhere on it; as it was, where nobody can be."""
        size = self._config.size
        other = self._crop(rng, source, size, shift=rng.uniform(-0.5, 0.5, 2) * size)
        try:
            alpha = cut_out(other.sample, other.person, other.warp, other.crop, other.picture)
        except InputError as error:
            self._skip(source, "masks that cannot be read", error.message)
            return crop
        return paste(crop, other.crop, alpha, self._stride) or crop

    def _another(self, rng: np.random.Generator, source: _Source) -> _Source:
        pool, row = self._sampler.redraw(source.pool, source.choice, rng)
        return replace(source, pool=pool, row=row)

    def _crop(
        self,
        rng: np.random.Generator,
        source: _Source,
        size: tuple[int, int],
        shift: npt.NDArray[np.float64] | None = None,
    ) -> _Made:
        """The crop of a person, or of another one if they cannot be used.

        Args:
            rng: of the slot.
            source: whom to begin with.
            size: (width, height) of the crop.
            shift: by so many pixels the person is moved away from where they would be.
        """
        problem = ""
        for _ in range(_ATTEMPTS):
            pool, row = source.pool, source.row
            try:
                sample = pool.sample(row)
                person = int(pool.people[row])
                warp = draw_warp(rng, self._config.crop, sample.centres[person], float(sample.scales[person]), size)
                if shift is not None:
                    warp = replace(warp, matrix=warp.matrix + np.column_stack([np.zeros((2, 2)), shift]))
                image = sample.read_image()
                crop = make_crop(sample, person, warp, self._stride, f"{pool.name}: {sample.id}", image)
            except InputError as error:
                problem = error.message
                self._skip(source, "pictures that cannot be read", problem)
            else:
                # Who is pasted may lie out of view; then there is nothing to paste.
                if crop.is_useful or shift is not None:
                    return _Made(crop, sample, person, warp, (image.shape[1], image.shape[0]))
                problem = f"{crop.name}: nothing to learn in the crop"
                self._skip(source, "crops without anything to learn")
            source = self._another(rng, source)
        raise InputError(
            f"data set {source.pool.name!r}: {_ATTEMPTS} people in a row could not be used; the last: {problem}"
        )

    def _skip(self, source: _Source, reason: str, message: str = "") -> None:
        source.skipped[reason] += 1
        with self._lock:
            new = message and message not in self._reported
            self._reported.add(message)
        if new:
            _log.warning("%s; somebody else is taken instead", message)


@dataclass(frozen=True, eq=False)
class _Source:
    """Somebody, among whom another one is to be looked for, and who was skipped for the crop that is being made."""

    pool: Pool
    row: int
    choice: Choice | None
    skipped: Counter[str]


@dataclass(frozen=True, eq=False)
class _Made:
    """A crop, and what it was made of: ``picture`` is the width and height of the sample's."""

    crop: Crop
    sample: Sample
    person: int
    warp: Warp
    picture: tuple[int, int]


class Loader:
    """Threads that make crops ahead of time; a context manager.

    Args:
        make: the crop of a step's slot.
        slots: of every step, the ones that this process trains on.
        workers: threads.
        prefetch: steps they are ahead, at most.
    """

    def __init__(
        self, make: Callable[[int, int, Choice | None], Crop], slots: Sequence[int], workers: int, prefetch: int
    ) -> None:
        self._make, self._slots, self._prefetch = make, tuple(slots), prefetch
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="crops")

    def batches(self, first: int, end: int, choice: Choice | None = None) -> Iterator[Batch]:
        """The batches of the steps from ``first`` up to, not including, ``end``, all made for one choice.

        Raises:
            InputError: when a batch cannot be made.
        """
        waiting: deque[list[Future[Crop]]] = deque()
        submitted = first
        try:
            for _ in range(first, end):
                while submitted < end and len(waiting) < self._prefetch:
                    waiting.append([self._pool.submit(self._make, submitted, i, choice) for i in self._slots])
                    submitted += 1
                # Left in line while it is waited for, so that it is cancelled if the wait is interrupted.
                crops = [future.result() for future in waiting[0]]
                waiting.popleft()
                yield collate(crops)
        finally:
            for future in (future for step in waiting for future in step):
                future.cancel()

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
