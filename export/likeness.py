"""How like a network of lower precision is to the one in float32 that it was made from, on a few pictures.

This tells a network that computes from one that gives nothing, or NaN: what users of float16 and of 8 bits meet where
nobody looks. How many points of a metric it loses is for labelled data to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ltsh_deploy.decode import decode_fields
from ltsh_deploy.errors import ExportError
from ltsh_deploy.export.accuracy import LIMITS
from ltsh_deploy.export.agreement import Agreement, compare_poses
from ltsh_deploy.images import apply, place
from ltsh_deploy.runtimes import Runtime

__all__ = ["Likeness", "check_likeness"]

Image = npt.NDArray[np.uint8]

_REMEDY = "Nothing was written. Export with --precision fp32, or report this."
# The maps' error, as Likeness tells it, must be less. Maps of nothing have 1, and 8 bits may come near where there is
# nobody to be seen; a hundred roundings of float16 that all add up come to 0.05.
_LIMITS = {"fp16": 100 * float(np.finfo(np.float16).eps) / 2, "int8": 1.0}


@dataclass(frozen=True)
class Likeness:
    """How like.

    Attributes:
        agreement: on the people of the pictures.
        heatmap_error: root mean square of the difference, as a part of that of float32's own heat maps.
        paf_error: the same for the PAFs.
    """

    agreement: Agreement
    heatmap_error: float
    paf_error: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "agreement": self.agreement.to_dict()}


def check_likeness(
    before: Runtime,
    after: Runtime,
    images: Sequence[Image],
    precision: str,
    done: Callable[[int], None] = lambda pictures: None,
) -> Likeness:
    """Hold a network of lower precision against the one in float32.

    Args:
        before: in float32.
        after: made of it.
        images: [H, W, 3] uint8 RGB each, one at least.
        precision: of ``after``: fp16 or int8.
        done: is called with 1 after each picture.

    Raises:
        ExportError: for maps of NaN or infinity, other maps than rounding explains, or people who are lost.
    """
    description = before.description
    differences, sizes = np.zeros(2), np.zeros(2)
    pairs = []
    for number, image in enumerate(images, 1):
        placement = place((image.shape[1], image.shape[0]), description.size, description.stride)
        pixels = apply(image, placement)[None]
        (first,), (second,) = before.run(pixels), after.run(pixels)
        joints = description.skeleton.num_joints
        for k, (a, b) in enumerate(((first.heatmaps[:joints], second.heatmaps[:joints]), (first.pafs, second.pafs))):
            if not np.isfinite(b).all():
                raise ExportError(
                    f"the network in {precision} gives NaN or infinity on picture {number}, where float32 does not",
                    _REMEDY,
                )
            differences[k] += np.square(b.astype(np.float64) - a).sum()
            sizes[k] += np.square(a.astype(np.float64)).sum()
        people = [decode_fields(fields, description.skeleton) for fields in (first, second)]
        pairs.append((people[0], people[1]))
        done(1)
    errors = np.sqrt(differences / np.where(sizes > 0, sizes, 1.0))
    for key, error in zip(("heat maps", "PAFs"), errors.tolist(), strict=True):
        if not error < _LIMITS[precision]:
            raise ExportError(
                f"the network's {key} in {precision} differ from float32's by {error:.2g} of their size (root mean "
                f"square), and {_LIMITS[precision]:.2g} is too much",
                _REMEDY,
            )
    agreement = compare_poses(pairs)
    if agreement.lost and (LIMITS[precision].lost == 0 or agreement.lost == agreement.people):
        raise ExportError(
            f"the network in {precision} loses {agreement.lost} of the {agreement.people} people whom float32 is sure "
            f"of in {agreement.pictures} pictures",
            _REMEDY,
        )
    return Likeness(agreement, *errors.tolist())
