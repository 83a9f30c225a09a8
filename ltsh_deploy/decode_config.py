"""The thresholds of the decoder, the same for every implementation of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real

from ltsh_deploy.errors import UsageError

__all__ = ["DecodeConfig"]


@dataclass(frozen=True)
class DecodeConfig:
    """Every threshold of the decoder. The defaults are the LTSH paper's, but for those said to be ours.

    Attributes:
        peak_threshold: a heat-map cell must exceed this to be a peak.
        max_peaks: a joint keeps at most this many peaks, the strongest; the rest are counted as dropped. Ours.
        sure_peak: from this score on a peak is as sure as any; below it, its limbs count for less. Ours.
        samples: points at which a PAF is read between two peaks, both ends included.
        sample_threshold: the PAF along the limb must exceed this at a point for the point to count.
        min_samples: so many points must count for two peaks to be joined.
        max_limb: length, as a part of the map's height, from which a limb's score is lowered as in OpenPose:
            by ``1 - max_limb * h / length``.
        min_joints: a person needs so many joints,
        min_score: and this score: half the sum of its joints' and connections' scores over the number of its joints, in
            [0, 1]. Ours; the paper asks for 0.2 of a sum that is not halved and takes no account of sureness.
    """

    peak_threshold: float = 0.05
    max_peaks: int = 60
    sure_peak: float = 0.5
    samples: int = 10
    sample_threshold: float = 0.01
    min_samples: int = 8
    max_limb: float = 0.5
    min_joints: int = 3
    min_score: float = 0.05

    def __post_init__(self) -> None:
        for name, kind, low, high in (
            # A threshold below zero would make peaks of cells that hold nothing.
            ("peak_threshold", float, 0, math.inf),
            ("max_peaks", int, 1, 1024),
            # With far more, the scores of limbs would underflow to zero, of which the decoders think differently.
            ("sure_peak", float, 1e-6, 1e6),
            ("samples", int, 2, 1000),
            ("sample_threshold", float, -math.inf, math.inf),
            ("min_samples", int, 1, self.samples),
            ("max_limb", float, 0, math.inf),
            ("min_joints", int, 1, math.inf),
            ("min_score", float, -math.inf, math.inf),
        ):
            value = getattr(self, name)
            number = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
            if not number or not low <= value <= high:
                what = "a whole number" if kind is int else "a number"
                raise UsageError(f"decoding: {name} must be {what} from {low} to {high}, got {value!r}")
            # NumPy's numbers become Python's.
            object.__setattr__(self, name, kind(value))
