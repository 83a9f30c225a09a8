"""The compiled decoder for the CPU, as functions on arrays; what they compute, ``cpu_decoder.h`` says.

The library is loaded by ctypes, which lets other threads run while it works.
"""

from __future__ import annotations

import ctypes
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.cuda_kernels.sources import LIBRARY, fingerprint

__all__ = ["CpuLibrary", "find_library", "load_library"]

IntArray = npt.NDArray[np.intp]
DoubleArray = npt.NDArray[np.float64]

_INDEX, _FLOAT, _DOUBLE, _ARRAY = ctypes.c_ssize_t, ctypes.c_float, ctypes.c_double, ctypes.c_void_p
_NO_MEMORY = -1
#: As ``cpu_decoder.h`` declares them.
_ARGUMENTS = {
    "ltsh_find_peaks": [_ARRAY, *[_INDEX] * 3, _FLOAT, _INDEX, _INDEX, *[_ARRAY] * 5],
    "ltsh_score_limbs": [
        *(_ARRAY, _INDEX, _INDEX, _INDEX, *[_ARRAY] * 4, _INDEX, _INDEX, _ARRAY, _INDEX, _INDEX),
        *(_FLOAT, _FLOAT, _DOUBLE, _INDEX, *[_ARRAY] * 4),
    ],
    "ltsh_assemble_people": [
        *(_INDEX, _INDEX, *[_ARRAY] * 3, _INDEX, *[_ARRAY] * 3, _INDEX, _DOUBLE, _INDEX, *[_ARRAY] * 3)
    ],
    "ltsh_decode": [
        *(_ARRAY, _INDEX, _ARRAY, *[_INDEX] * 3, _ARRAY, _FLOAT, _INDEX, _ARRAY, _INDEX, _INDEX, _FLOAT, _FLOAT),
        *(_DOUBLE, _INDEX, _DOUBLE, _INDEX, *[_ARRAY] * 4),
    ],
}


def find_library() -> Path:
    """Where the library lies: beside this file.

    Raises:
        FileNotFoundError: when it was not built.
    """
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(LIBRARY + suffix)
        if path.is_file():
            return path
    raise FileNotFoundError("it was not built; the install had no C++ compiler")


@cache
def load_library() -> CpuLibrary:
    """The library of this installation.

    Raises:
        OSError: when it is not there, cannot be loaded, or was built from other sources than those beside it.
    """
    return CpuLibrary(find_library())


class CpuLibrary:
    """A library that was loaded.

    Arrays are C-contiguous and of the types given. Arguments that contradict each other raise ValueError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        library = ctypes.CDLL(str(path))
        try:
            library.ltsh_sources.restype = ctypes.c_char_p
            built_from = library.ltsh_sources().decode()
        except AttributeError:
            built_from = ""
        if built_from != fingerprint():
            raise OSError(f"{path} was built from other sources than those beside it")
        for name, types in _ARGUMENTS.items():
            function = getattr(library, name)
            function.argtypes, function.restype = types, _INDEX
        self._library = library

    def find_peaks(
        self, heatmaps: npt.NDArray[np.float32], threshold: float, max_peaks: int
    ) -> tuple[IntArray, DoubleArray, DoubleArray, IntArray, IntArray]:
        """Joints, places, scores, starts and numbers dropped, as ``Peaks`` has them, of [J, h, w] heat maps."""
        joints, h, w = heatmaps.shape
        capacity = _most_peaks(joints, h, w, max_peaks)
        joint, xy, scores = np.empty(capacity, np.intp), np.empty((capacity, 2)), np.empty(capacity)
        starts, dropped = np.empty(joints + 1, np.intp), np.empty(joints, np.intp)
        outputs = _addresses(joint, xy, scores, starts, dropped)
        most = min(max_peaks, h * w)
        count = self._call("ltsh_find_peaks", *_addresses(heatmaps), joints, h, w, threshold, most, capacity, *outputs)
        return joint[:count].copy(), xy[:count].copy(), scores[:count].copy(), starts, dropped

    def score_limbs(
        self,
        pafs: npt.NDArray[np.float32],
        limb_ends: IntArray,
        xy: DoubleArray,
        peak_scores: DoubleArray,
        starts: IntArray,
        positions: npt.NDArray[np.float32],
        min_samples: int,
        sample_threshold: float,
        max_length: float,
        sure_peak: float,
    ) -> tuple[IntArray, IntArray, IntArray, DoubleArray]:
        """Limbs, first and second peaks and scores, as ``Connections`` has them, of [2L, h, w] fields."""
        limbs, (channels, h, w) = len(limb_ends), pafs.shape
        _require(channels == 2 * limbs, f"{limbs} limbs need {2 * limbs} channels, got {channels}")
        _require(len(xy) == len(peak_scores), f"{len(xy)} peaks have {len(peak_scores)} scores")
        counts = np.diff(starts)
        capacity = int(np.minimum(counts[limb_ends[:, 0]], counts[limb_ends[:, 1]]).sum())
        limb, first, second = np.empty((3, capacity), np.intp)
        scores = np.empty(capacity)
        count = self._call(
            "ltsh_score_limbs",
            *(*_addresses(pafs), limbs, h, w, *_addresses(limb_ends, xy, peak_scores, starts)),
            *(len(starts) - 1, len(xy), *_addresses(positions), len(positions), min_samples),
            *(sample_threshold, max_length, sure_peak, capacity, *_addresses(limb, first, second, scores)),
        )
        return limb[:count], first[:count], second[:count], scores[:count]

    def assemble_people(
        self,
        num_joints: int,
        joints: IntArray,
        xy: DoubleArray,
        peak_scores: DoubleArray,
        first: IntArray,
        second: IntArray,
        scores: DoubleArray,
        min_joints: int,
        min_score: float,
    ) -> tuple[DoubleArray, DoubleArray, DoubleArray]:
        """[P, J, 2] places, [P, J] joint scores and [P] scores, as ``Poses`` has them."""
        peaks, connections = len(joints), len(scores)
        _require(
            len(xy) == len(peak_scores) == peaks, f"{peaks} peaks have {len(xy)} places, {len(peak_scores)} scores"
        )
        _require(len(first) == len(second) == connections, f"{connections} scores are of {len(first)} connections")
        capacity = peaks // max(min_joints, 1)
        people_xy, joint_scores = np.empty((capacity, num_joints, 2)), np.empty((capacity, num_joints))
        people_scores = np.empty(capacity)
        count = self._call(
            "ltsh_assemble_people",
            *(num_joints, peaks, *_addresses(joints, xy, peak_scores), connections),
            *(*_addresses(first, second, scores), min(min_joints, num_joints + 1), min_score, capacity),
            *_addresses(people_xy, joint_scores, people_scores),
        )
        return people_xy[:count], joint_scores[:count], people_scores[:count]

    def decode(
        self,
        heatmaps: npt.NDArray[np.float32],
        pafs: npt.NDArray[np.float32],
        limb_ends: IntArray,
        peak_threshold: float,
        max_peaks: int,
        positions: npt.NDArray[np.float32],
        min_samples: int,
        sample_threshold: float,
        max_length: float,
        sure_peak: float,
        min_joints: int,
        min_score: float,
    ) -> tuple[DoubleArray, DoubleArray, DoubleArray, int]:
        """All three steps: what ``assemble_people`` returns, and how many peaks were dropped."""
        (joints, h, w), limbs = heatmaps.shape, len(limb_ends)
        _require(pafs.shape == (2 * limbs, h, w), f"{limbs} limbs of {h} x {w} cells do not have {pafs.shape} fields")
        capacity = _most_peaks(joints, h, w, max_peaks) // max(min_joints, 1)
        people_xy, joint_scores = np.empty((capacity, joints, 2)), np.empty((capacity, joints))
        people_scores, dropped = np.empty(capacity), ctypes.c_ssize_t()
        count = self._call(
            "ltsh_decode",
            *(heatmaps.ctypes.data, joints, pafs.ctypes.data, limbs, h, w, limb_ends.ctypes.data, peak_threshold),
            *(min(max_peaks, h * w), positions.ctypes.data, len(positions), min_samples, sample_threshold, max_length),
            *(sure_peak, min(min_joints, joints + 1), min_score, capacity),
            *(*_addresses(people_xy, joint_scores, people_scores), ctypes.addressof(dropped)),
        )
        return people_xy[:count].copy(), joint_scores[:count].copy(), people_scores[:count].copy(), dropped.value

    def _call(self, name: str, *arguments: float) -> int:
        count: int = getattr(self._library, name)(*arguments)
        if count == _NO_MEMORY:
            raise MemoryError
        _require(count >= 0, f"{name.removeprefix('ltsh_')}: arguments contradict each other")
        return count


def _addresses(*arrays: npt.NDArray[Any]) -> list[int]:
    return [array.ctypes.data for array in arrays]


def _most_peaks(joints: int, h: int, w: int, max_peaks: int) -> int:
    # Of four cells in a square, one at most is a peak.
    return joints * min(max_peaks, ((h + 1) // 2) * ((w + 1) // 2))


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
