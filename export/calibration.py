"""Which values a network's tensors take on real pictures, and the range of each that 8 bits are best spent on."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import ExportError, ImageError, InputError, UsageError
from ltsh_deploy.images import Image, apply, place
from ltsh_deploy.onnx_session import first_line, onnx_failures, quiet_session

if TYPE_CHECKING:
    from ltsh_deploy.descriptions import ModelDescription
    from ltsh_deploy.frames import Source
    from ltsh_deploy.onnx_files import Model

__all__ = ["FEWEST", "Values", "choose_pictures", "measure_values", "network_inputs", "read_inputs"]

_log = logging.getLogger(__name__)

#: Fewer pictures than these say little of the values that a network meets in use.
FEWEST = 8
#: From so many pictures on, ranges hardly change any more.
ENOUGH = 64

# A value's bin is the exponent and the first six bits of the mantissa of its float32: bins are 1.1 % wide and need no
# range that would have to be known before.
_MANTISSA_BITS = 6
_SHIFT = 23 - _MANTISSA_BITS
_BINS = 1 << (8 + _MANTISSA_BITS)
_NOT_FINITE = 255 << _MANTISSA_BITS
# No range is cut below the largest value divided by this.
_DEEPEST_CUT = 16.0


@dataclass
class Values:
    """How often one tensor took which values.

    Attributes:
        low: the smallest value, at most 0.
        high: the largest value, at least 0.
        negative: [B] int64, how many negative values there were in each bin of magnitude.
        positive: the same for values from zero on.
        sums: [C] float64, of the values of each channel, the second axis; of everything where there is no such axis.
        cells: how many values of a channel there were.
    """

    low: float = 0.0
    high: float = 0.0
    negative: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    positive: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    sums: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    cells: int = 0

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Count values in. NaN and infinity are counted too; :attr:`is_finite` tells."""
        flat = np.ascontiguousarray(values, np.float32).ravel()
        if not flat.size:
            return
        bits = flat.view(np.uint32)
        counts = np.bincount(bits >> _SHIFT, minlength=2 * _BINS)
        self.positive += counts[:_BINS]
        self.negative += counts[_BINS:]
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        others = tuple(axis for axis in range(values.ndim) if axis != 1)
        self.sums = self.sums + values.sum(axis=others, dtype=np.float64)
        self.cells += flat.size // (values.shape[1] if values.ndim > 1 else 1)

    @property
    def means(self) -> npt.NDArray[np.float64]:
        """[C] the mean of each channel."""
        return self.sums / max(self.cells, 1)

    def merge(self, other: Values) -> None:
        """Count in what another tensor, of other channels maybe, took; the channels' sums stay those of the first."""
        self.positive += other.positive
        self.negative += other.negative
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    @property
    def is_finite(self) -> bool:
        """Whether no value was NaN or infinite."""
        return not (self.positive[_NOT_FINITE:].any() or self.negative[_NOT_FINITE:].any())

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(-self.low, self.high)

    def best_range(self, levels: int, symmetric: bool) -> tuple[float, float]:
        """The range, zero in it, that loses least when values are rounded to so many levels and cut at its ends.

        The loss is the mean squared error: ``step**2 / 12`` for a value within, or the value squared where that is less
        (it becomes zero); the squared distance for one that is cut.

        Args:
            levels: of the integers, 255 for instance.
            symmetric: whether the range must reach as far below zero as above.
        """
        centres = _bin_centres()
        if not self.largest > 0:
            return (-1.0, 1.0) if symmetric else (0.0, 1.0)
        used = np.flatnonzero(self.negative + self.positive)
        used = used[used < _NOT_FINITE]
        sizes = centres[used]
        below, above = self.negative[used].astype(np.float64), self.positive[used].astype(np.float64)
        best, chosen = math.inf, (self.low, self.high)
        for cut in np.geomspace(1.0 / _DEEPEST_CUT, 1.0, 128):
            low, high = self.low * cut, self.high * cut
            if symmetric:
                high = self.largest * cut
                low = -high
            step = (high - low) / (levels - 1)
            rounding = np.minimum(sizes**2, step**2 / 12)
            loss = float(
                (below * np.where(sizes > -low, (sizes + low) ** 2, rounding)).sum()
                + (above * np.where(sizes > high, (sizes - high) ** 2, rounding)).sum()
            )
            if loss <= best:
                best, chosen = loss, (low, high)
        return chosen


def _bin_centres() -> npt.NDArray[np.float64]:
    """[B] the middle of each bin; meaningless for the last ones, which are not finite."""
    bits = (np.arange(_BINS, dtype=np.uint32) << np.uint32(_SHIFT)) + np.uint32(1 << (_SHIFT - 1))
    bits[_NOT_FINITE:] = 0
    return bits.view(np.float32).astype(np.float64)


def choose_pictures(folder: Path, count: int, seed: int) -> list[Source]:
    """Pictures of a folder, drawn at random where it has more than are wanted, in the folder's order.

    Raises:
        UsageError: when it is no folder.
        InputError: when it holds too few pictures; SourceError when it holds none, or cannot be read.
    """
    from ltsh_deploy.sources import open_sources

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: --calibrate takes a folder with pictures, and this is a file")
    sources = [source for source in open_sources([folder]) if source.kind == "image"]
    if len(sources) < FEWEST:
        raise InputError(
            f"{folder}: calibration needs at least {FEWEST} pictures, and there {_are(len(sources))} here",
            f"Give {ENOUGH} or more pictures of the kind that the model is for.",
        )
    if len(sources) <= count:
        return sources
    drawn = np.random.default_rng(seed).choice(len(sources), count, replace=False)
    return [sources[i] for i in sorted(drawn.tolist())]


def network_inputs(pictures: Iterable[Image], description: ModelDescription) -> list[Image]:
    """[1, H, W, 3] each picture as the network sees it in use: fitted into its usual box, and padded."""
    placed = []
    for picture in pictures:
        placement = place((picture.shape[1], picture.shape[0]), description.size, description.stride)
        placed.append(apply(picture, placement)[None])
    return placed


def measure_values(
    model: Model,
    tensors: Sequence[str],
    inputs: Iterable[Image],
    done: Callable[[int], None] = lambda pictures: None,
) -> Mapping[str, Values]:
    """Run a network on pictures and count the values of some of its tensors.

    Args:
        model: sound ONNX with the one input ``image``.
        tensors: names of float32 tensors.
        inputs: what the network sees, [N, H, W, 3] uint8 each.
        done: is called with 1 after each.

    Raises:
        ExportError: when the network cannot be run.
    """
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    present = {output.name for output in watched.graph.output}
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in tensors
        if name not in present
    )
    found = {name: Values() for name in tensors}
    try:
        session = quiet_session(watched.SerializeToString())
        for pixels in inputs:
            for name, values in zip(tensors, session.run(list(tensors), {"image": pixels}), strict=True):
                found[name].add(values)
            done(1)
    except onnx_failures() as error:
        raise ExportError(f"the network could not be run on the pictures ({first_line(error)})") from None
    return found


def read_inputs(sources: Sequence[Source], description: ModelDescription) -> list[Image]:
    """What the network is to see of each picture; those that cannot be read are named in warnings.

    Raises:
        InputError: when fewer than :data:`FEWEST` can be read.
    """
    inputs: list[Image] = []
    for source in sources:
        try:
            inputs += network_inputs((frame.image for frame in source), description)
        except ImageError as error:
            _log.warning("left out of the calibration: %s", error.message)
    if len(inputs) < FEWEST:
        raise InputError(
            f"calibration needs at least {FEWEST} pictures, and of {len(sources)} {_are(len(inputs))} readable"
        )
    return inputs


def _are(count: int) -> str:
    return f"{'is' if count == 1 else 'are'} {count or 'none'}"
