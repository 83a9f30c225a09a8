"""Parity: does an exported file say what the checkpoint says?

Maps are compared with those of the same weights in float64. Two programs that add the same numbers in different orders
differ; how much they may differ depends on the network and is measured, not guessed: an exported network may be a few
times as far from float64 as torch's own float32 is. Poses decoded from both are compared too, wherever there are any.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ltsh_deploy.decode import decode_fields
from ltsh_deploy.errors import ExportError
from ltsh_deploy.fields import Fields
from ltsh_deploy.images import apply, place
from ltsh_deploy.networks import ImageNetwork, PoseNetwork
from ltsh_deploy.poses import Poses
from ltsh_deploy.runtimes import Runtime

__all__ = ["MapParity", "Parity", "check_parity", "largest_distance"]

Image = npt.NDArray[np.uint8]
Maps = tuple[npt.NDArray[Any], npt.NDArray[Any]]

# An exported float32 network may be so many times as far from float64 as torch's float32 network is ...
_TIMES = 4.0
# ... or so far, as a part of the maps' range, where torch happens to be exact: a few roundings of float32.
_FLOOR = 16 * float(np.finfo(np.float32).eps)
# (width, height): beyond this, a picture proves nothing more, and float64 needs gigabytes.
_LARGEST_BOX = (864, 736)
# Pixels of the network's input; maps that agree to float32's precision decode to positions that agree far better.
_POSE_LIMIT = 0.1


@dataclass
class MapParity:
    """How far two float32 networks are from float64, for one kind of map: the largest error on any picture.

    Attributes:
        extent: the largest absolute value in float64.
        checkpoint: torch's error.
        exported: the exported file's error, alone and in a batch.
    """

    extent: float = 0.0
    checkpoint: float = 0.0
    exported: float = 0.0

    @property
    def limit(self) -> float:
        """The error that the exported file may have."""
        return max(_TIMES * self.checkpoint, _FLOOR * self.extent)

    @property
    def holds(self) -> bool:
        """Whether it has no more; false for NaN."""
        return math.isfinite(self.limit) and self.exported <= self.limit

    def relative(self, error: float) -> float:
        """An error as a part of the maps' extent."""
        return error / self.extent if self.extent else error

    def add(self, exact: npt.NDArray[Any], checkpoint: npt.NDArray[Any], exported: Sequence[npt.NDArray[Any]]) -> None:
        """Take one picture's maps into account. np.maximum, unlike max, keeps a NaN."""
        self.extent = float(np.maximum(self.extent, np.abs(exact).max()))
        self.checkpoint = float(np.maximum(self.checkpoint, np.abs(checkpoint - exact).max()))
        for maps in exported:
            self.exported = float(np.maximum(self.exported, np.abs(maps - exact).max()))


@dataclass(frozen=True)
class Parity:
    """What was compared, and how well it agreed.

    Attributes:
        pictures: how many.
        sizes: the different sizes (width, height) they had as the networks saw them.
        heatmaps: of the heat maps.
        pafs: of the PAFs.
        poses: people that both files found.
        pose_distance: the largest distance between their joints, in pixels of the network's input.
    """

    pictures: int
    sizes: tuple[tuple[int, int], ...]
    heatmaps: MapParity
    pafs: MapParity
    poses: int
    pose_distance: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON. Errors are relative to the maps' largest value."""
        maps = {
            key: {
                "extent": parity.extent,
                "checkpoint_error": parity.relative(parity.checkpoint),
                "exported_error": parity.relative(parity.exported),
                "limit": parity.relative(parity.limit),
            }
            for key, parity in (("heatmaps", self.heatmaps), ("pafs", self.pafs))
        }
        return {
            "pictures": self.pictures,
            "sizes": [list(size) for size in self.sizes],
            **maps,
            "poses_compared": self.poses,
            "pose_distance": self.pose_distance,
        }


def check_parity(
    network: PoseNetwork,
    exported: Runtime,
    images: Sequence[Image],
    done: Callable[[int], None] = lambda pictures: None,
) -> Parity:
    """Hold an exported file against the network it came from.

    Every picture goes through the file alone, and in a batch with its mirror image, at the model's usual size or, where
    that is larger, fitted into 864x736.

    Args:
        network: the checkpoint's, in evaluation mode.
        exported: a runtime of the exported file.
        images: [H, W, 3] uint8 RGB each, of any sizes, one at least.
        done: is called after every picture, with 1.

    Raises:
        ExportError: when the two differ by more than float32 explains, or find other people.
    """
    description = exported.description
    stride = description.stride
    width, height = (min(a, b // stride * stride) for a, b in zip(description.size, _LARGEST_BOX, strict=True))
    single = ImageNetwork(network)
    double = copy.deepcopy(single).double()
    heatmaps, pafs, people, distance = MapParity(), MapParity(), 0, 0.0
    sizes: dict[tuple[int, int], None] = {}
    for number, image in enumerate(images, 1):
        placement = place((image.shape[1], image.shape[0]), (width, height), stride)
        pixels = apply(image, placement)
        sizes[pixels.shape[1], pixels.shape[0]] = None
        exact, checkpoint = _maps(double, pixels), _maps(single, pixels)
        alone = exported.run(pixels[None])[0]
        together = exported.run(np.stack([pixels, pixels[:, ::-1]]))[0]
        heatmaps.add(exact[0], checkpoint[0], [alone.heatmaps, together.heatmaps])
        pafs.add(exact[1], checkpoint[1], [alone.pafs, together.pafs])
        for key, parity in (("heat maps", heatmaps), ("PAFs", pafs)):
            if not parity.holds:
                raise ExportError(
                    f"the exported network's {key} differ on picture {number}: an error of {parity.exported:.3g} "
                    f"against float64, where {parity.limit:.3g} is allowed and torch's own is {parity.checkpoint:.3g}",
                    "Nothing was written. Export with another --opset, or report this.",
                )
        found = [
            decode_fields(fields, description.skeleton) for fields in (Fields(*checkpoint, stride), alone, together)
        ]
        for other in found[1:]:
            apart = largest_distance(found[0], other)
            if not apart <= _POSE_LIMIT:
                raise ExportError(
                    f"the exported network finds other people on picture {number}: the checkpoint {len(found[0])}, "
                    f"the exported file {len(other)}, and joints up to {apart:.3g} px apart",
                    "Nothing was written. Export with another --opset, or report this.",
                )
            distance = max(distance, apart)
        people += len(found[0])
        done(1)
    return Parity(len(images), tuple(sizes), heatmaps, pafs, people, distance)


def _maps(network: ImageNetwork, pixels: Image) -> Maps:
    with torch.inference_mode():
        heatmaps, pafs = network(torch.from_numpy(pixels[None].copy()))
    return heatmaps[0].numpy(), pafs[0].numpy()


def largest_distance(poses: Poses, others: Poses) -> float:
    """Pixels between the joints of two sets of people, each paired with its nearest: the largest there is.

    Infinite when one set has people, or a person joints, that the other has not.
    """
    if len(poses) != len(others):
        return math.inf
    left = list(range(len(others)))
    largest = 0.0
    for xy, present in zip(poses.xy, poses.present, strict=True):
        apart = np.linalg.norm(np.where(present[:, None], others.xy[left] - xy, 0.0), axis=2).max(axis=1)
        apart[(others.present[left] != present).any(axis=1)] = np.inf
        nearest = int(np.argmin(np.nan_to_num(apart, nan=np.inf)))
        largest = max(largest, float(apart[nearest]))
        del left[nearest]
    return largest
