"""Between what the CUDA kernels write and the decoder's own types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.cuda_kernels.buffers import PEAK, Found, Layout
from ltsh_deploy.decode import not_finite
from ltsh_deploy.limbs import Connections
from ltsh_deploy.peaks import Peaks
from ltsh_deploy.skeletons import Skeleton

__all__ = ["check_finite", "connections_of", "peaks_of", "table_of"]


def check_finite(found: Found, layout: Layout) -> None:
    """Raise FieldsError when a map holds NaN or infinity."""
    bad = np.any(found.not_finite, axis=0)
    for name, part in (("heat maps", bad[: layout.heatmaps]), ("PAFs", bad[layout.heatmaps :])):
        if part.any():
            raise not_finite(name)


def peaks_of(found: Found, image: int) -> Peaks:
    """One image's peaks, as arrays of their own."""
    kept = found.kept[image]
    chosen = found.peaks[image][np.arange(found.peaks.shape[2]) < kept[:, None]]
    return Peaks(
        np.repeat(np.arange(len(kept)), kept),
        np.stack([chosen["x"], chosen["y"]], axis=1),
        chosen["score"].copy(),
        np.concatenate([[0], np.cumsum(kept)]).astype(np.intp),
        (found.tops[image] - kept).astype(np.intp),
    )


def connections_of(found: Found, image: int, skeleton: Skeleton) -> Connections:
    """Likewise its connections."""
    links = found.links[image]
    chosen = found.limbs[image][np.arange(found.limbs.shape[2]) < links[:, None]]
    limbs = np.repeat(np.arange(len(links)), links)
    kept = found.kept[image].astype(np.intp)
    # Where the peaks of the limbs' two joints begin, among all.
    first, second = (np.cumsum(kept) - kept)[skeleton.limb_ends[limbs]].T
    return Connections(limbs, chosen["first"] + first, chosen["second"] + second, chosen["score"].copy())


def table_of(peaks: Sequence[Peaks], joints: int, most: int) -> npt.NDArray[Any]:
    """[N, J, K] the peaks of N images, as the kernels have them."""
    table = np.zeros((len(peaks), joints, most), PEAK)
    for row, each in zip(table, peaks, strict=True):
        place = each.joints, np.arange(len(each)) - each.starts[each.joints]
        row["x"][place], row["y"][place] = each.xy.T
        row["score"][place] = each.scores
    return table
