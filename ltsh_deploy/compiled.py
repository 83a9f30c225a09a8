"""The decoder by the compiled library, step by step or all at once: signatures and choices are those of NumPy's.

The library is an optional part of the package (``cuda_kernels/cpu_decoder.h``). Its arithmetic is NumPy's, operation by
operation, but for logarithms and exponentials, whose last bits differ from one mathematical library to another; so do
the places and scores of peaks, and of what is made of them.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import numpy.typing as npt

from ltsh_deploy.cuda_kernels.cpu_library import load_library
from ltsh_deploy.decode_config import DecodeConfig
from ltsh_deploy.limbs import Connections, reading_order
from ltsh_deploy.peaks import Peaks
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton

__all__ = ["assemble_poses", "decode_maps", "find_peaks", "score_limbs", "why_missing"]

# The types that the library takes; an array that has its already is not copied.
_singles = partial(np.ascontiguousarray, dtype=np.float32)
_doubles = partial(np.ascontiguousarray, dtype=np.float64)
_indices = partial(np.ascontiguousarray, dtype=np.intp)


@cache
def why_missing() -> str:
    """Why the library cannot be used here; "" when it can."""
    try:
        load_library()
    except OSError as error:
        return str(error)
    return ""


def find_peaks(heatmaps: npt.NDArray[np.float32], threshold: float = 0.05, max_peaks: int = 60) -> Peaks:
    """As :func:`ltsh_deploy.peaks.find_peaks`."""
    return Peaks(*load_library().find_peaks(_singles(heatmaps), threshold, max_peaks))


def score_limbs(
    pafs: npt.NDArray[np.float32], peaks: Peaks, skeleton: Skeleton, config: DecodeConfig = DecodeConfig()
) -> Connections:
    """As :func:`ltsh_deploy.limbs.score_limbs`."""
    found = load_library().score_limbs(
        _singles(pafs),
        skeleton.limb_ends,
        _doubles(peaks.xy),
        _doubles(peaks.scores),
        _indices(peaks.starts),
        reading_order(config.samples, config.min_samples),
        config.min_samples,
        config.sample_threshold,
        config.max_limb * pafs.shape[1],
        config.sure_peak,
    )
    return Connections(*found)


def assemble_poses(
    peaks: Peaks, connections: Connections, skeleton: Skeleton, config: DecodeConfig = DecodeConfig()
) -> Poses:
    """As :func:`ltsh_deploy.decode.assemble_poses`."""
    xy, joint_scores, scores = load_library().assemble_people(
        skeleton.num_joints,
        _indices(peaks.joints),
        _doubles(peaks.xy),
        _doubles(peaks.scores),
        _indices(connections.first),
        _indices(connections.second),
        _doubles(connections.scores),
        config.min_joints,
        config.min_score,
    )
    return Poses(skeleton, xy, joint_scores, scores, dropped_peaks=int(peaks.dropped.sum()))


def decode_maps(
    heatmaps: npt.NDArray[np.float32], pafs: npt.NDArray[np.float32], skeleton: Skeleton, config: DecodeConfig
) -> Poses:
    """All three steps on maps that were found fit; coordinates are cells.

    Args:
        heatmaps: [J, h, w], without background.
        pafs: [2L, h, w].
        skeleton: theirs.
        config: thresholds.
    """
    xy, joint_scores, scores, dropped = load_library().decode(
        _singles(heatmaps),
        _singles(pafs),
        skeleton.limb_ends,
        config.peak_threshold,
        config.max_peaks,
        reading_order(config.samples, config.min_samples),
        config.min_samples,
        config.sample_threshold,
        config.max_limb * pafs.shape[1],
        config.sure_peak,
        config.min_joints,
        config.min_score,
    )
    return Poses(skeleton, xy, joint_scores, scores, dropped_peaks=dropped)
