"""How a model looks at a unit: at which scales, mirrored or not."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ltsh_deploy.errors import UsageError
from ltsh_deploy.estimator import PoseEstimator, View
from ltsh_deploy.evaluation.units import EvaluationSet, Unit
from ltsh_deploy.images import Image, Placement, apply, place

__all__ = ["LONGEST_SIDE", "PROTOCOLS", "Protocol", "choose_protocol"]

PROTOCOLS = ("paper", "fast")
#: A view's longer side has at most so many pixels: small people in a large picture would ask for more than memory has.
LONGEST_SIDE = 4096
#: The scales of ``paper``.
PAPER_SCALES = (0.7, 1.0, 1.3)

# At scale 1 of ``paper``, people are this many times 200 pixels tall.
_TARGET_SCALE = 41 / 35


@dataclass(frozen=True)
class Protocol:
    """How a model looks at a unit.

    Attributes:
        name: ``paper``: the whole picture is scaled by each of ``scales`` times (41/35) / mean scale of the people, so
            that they are about 234 pixels tall at scale 1; where no scale is known, as by ``fast``. ``fast``: it is
            fitted into a box, the model's own or ``size``, times each of ``scales``; nothing is told of the people.
        scales: of the views, whose fields are averaged in image coordinates.
        flip: look at the mirror image too, at every scale.
        size: (width, height) of the box of ``fast``; None for the model's own.

    Raises:
        UsageError: for an unknown name, scales beyond 0.01 to 100, or a size with ``paper``.
    """

    name: str = "fast"
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.name not in PROTOCOLS:
            raise UsageError(f"there is no protocol {self.name!r}", f"Known: {', '.join(PROTOCOLS)}.")
        if not self.scales or not all(0.01 <= scale <= 100 for scale in self.scales):
            raise UsageError(f"scales of a protocol lie between 0.01 and 100, got {self.scales}")
        if self.size is not None and self.name == "paper":
            raise UsageError("protocol paper scales pictures by the people's size, and takes no size of its own")

    def check(self, data: EvaluationSet) -> None:
        """Make sure that the protocol can be followed on these units.

        Raises:
            UsageError: when it needs to know how large people are, and the data set tells that of nobody.
        """
        if self.name == "paper" and all(unit.mean_scale is None for unit in data):
            raise UsageError(
                f"protocol paper needs the mean scale of the people, which data sets of kind {data.kind} do not tell",
                "Use --protocol fast; --scales averages several sizes there too.",
            )

    def views(self, estimator: PoseEstimator, unit: Unit, image: Image, index: int) -> tuple[list[View], bool]:
        """What the network is to see of a unit, and whether that is smaller than the protocol has it.

        Args:
            estimator: whose network looks.
            unit: what is evaluated.
            image: its picture.
            index: the views' number of the image.
        """
        size, stride = (image.shape[1], image.shape[0]), estimator.runtime.description.stride
        if self.name == "fast" or unit.mean_scale is None:
            placements = [place(size, self.size or estimator.size, stride, scale) for scale in self.scales]
            limited = False
        else:
            factor, limit = _TARGET_SCALE / unit.mean_scale, LONGEST_SIDE / max(size)
            placements = [_scaled(size, min(factor * scale, limit), stride) for scale in self.scales]
            limited = factor * max(self.scales) > limit
        views = [
            View(index, apply(image, placement, mirrored), placement, mirrored)
            for placement in placements
            for mirrored in (False, True)[: 1 + self.flip]
        ]
        return views, limited


def _scaled(size: tuple[int, int], factor: float, stride: int) -> Placement:
    """A picture of (width, height), scaled by a factor to whole pixels."""
    width, height = (max(1, math.floor(side * factor + 0.5)) for side in size)
    return Placement(size, (width, height), stride)


def choose_protocol(
    data: EvaluationSet,
    name: str | None = None,
    scales: tuple[float, ...] | None = None,
    flip: bool = False,
    size: tuple[int, int] | None = None,
) -> Protocol:
    """What was asked for, and the data set's own where nothing was.

    That is ``paper`` for MPII, whose benchmark tells people's size; elsewhere ``fast``, as a size makes it anyway. The
    scales are 0.7, 1, 1.3 for ``paper`` and 1 for ``fast``.

    Raises:
        UsageError: see :class:`Protocol`.
    """
    name = name or ("paper" if data.kind in ("mpii", "mpii-json") and size is None else "fast")
    return Protocol(name, scales or (PAPER_SCALES if name == "paper" else (1.0,)), flip, size)
