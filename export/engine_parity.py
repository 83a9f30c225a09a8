"""Does an engine find the people whom the ONNX file finds that it was built from? Asked where a GPU can run it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import ExportError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.export.agreement import Agreement, compare_poses
from ltsh_deploy.fields import Fields
from ltsh_deploy.poses import Poses
from ltsh_deploy.runtime_inputs import cut, into_batches
from ltsh_deploy.runtimes import OnnxRuntime

if TYPE_CHECKING:
    from ltsh_deploy.engine_files import Shapes

__all__ = ["EngineParity", "compare_engine"]

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class EngineParity:
    """What came of the comparison.

    Attributes:
        agreement: on the people.
        heatmaps: the largest difference of any heat map's cell, as a part of the largest value.
        pafs: likewise of the PAFs.
    """

    agreement: Agreement
    heatmaps: float
    pafs: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        agreement = asdict(self.agreement)
        agreement["distance"] = None if math.isnan(self.agreement.distance) else self.agreement.distance
        return {**agreement, "heatmap_difference": self.heatmaps, "paf_difference": self.pafs}


def compare_engine(onnx: Path, engine: Path, images: Sequence[Image], shapes: Shapes, allowed: float) -> EngineParity:
    """Let onnxruntime run the ONNX file on the CPU, and TensorRT the engine, on the same pictures.

    Both see pictures of the same size: the ONNX file too is shown those that are padded to the engine's smallest.

    Args:
        onnx: the file that the engine was built from.
        engine: the engine; its JSON file lies beside it.
        images: [H, W, 3] uint8 RGB each, of any sizes, one at least.
        shapes: that the engine takes; pictures are fitted into the usual one.
        allowed: the part of the people, of whom the ONNX file is sure, that the engine may not find.

    Raises:
        ExportError: when it loses more.
        LtshError: when one of the two cannot be run.
    """
    people: list[tuple[Poses, Poses]] = []
    differences, extents = np.zeros(2), np.zeros(2)
    _, height, width = shapes.opt
    with (
        PoseEstimator(_Padded(onnx, shapes.min), size=(width, height)) as reference,
        PoseEstimator.open(engine, size=(width, height)) as other,
    ):
        for image in images:
            first, second = (_fields(estimator, image) for estimator in (reference, other))
            for index, key in enumerate(("heatmaps", "pafs")):
                exact, found = getattr(first, key), getattr(second, key)
                differences[index] = np.maximum(differences[index], np.abs(found - exact).max())
                extents[index] = max(extents[index], np.abs(exact).max())
            people.append((reference(image), other(image)))
    agreement = compare_poses(people)
    if agreement.share_lost > allowed:
        raise ExportError(
            f"the engine loses {agreement.lost} of the {agreement.people} people whom the ONNX file is sure of",
            "Nothing was written. Build it in a wider --precision, or report this.",
        )
    heatmaps, pafs = differences / np.where(extents, extents, 1.0)
    return EngineParity(agreement, float(heatmaps), float(pafs))


class _Padded(OnnxRuntime):
    """An ONNX file on the CPU, whose pictures are padded as an engine's are that takes no smaller ones."""

    def __init__(self, path: Path, smallest: tuple[int, int, int]) -> None:
        super().__init__(path, device="cpu")
        self._smallest = smallest

    def run(self, images: Image) -> list[Fields]:
        given = images.shape[:3]
        least = (1, *self._smallest[1:])
        most = tuple(map(max, given, least))
        fields: list[Fields] = []
        for batch, _ in into_batches(images, least, most, self._path):
            fields += [cut(each, *given[1:]) for each in super().run(batch)]
        return fields


def _fields(estimator: PoseEstimator, image: Image) -> Fields:
    (view,) = estimator.prepare([image])
    return estimator.runtime.run(view.pixels[None])[0]
