"""Target maps and their weights, for a batch of crops, on the device the network is trained on.

:func:`ltsh_deploy.encode.encode_fields` defines the maps. These are the same numbers, but for joints out of view: of
their Gaussians it draws what lies on the map, and here is nothing, since the highest of those cells, at the edge, would
be a peak where there is no joint. Limbs are drawn as far as they are in view, in both. The weights say which cells
count:

* Outside the picture, and where the data set says so, nothing does.
* A joint that is not labelled may still be in the picture. Around a person with such joints, in the box that holds the
  person, these joints' heat maps, the PAFs of their limbs and the background do not count.
* In the masked condition, nothing does where the Gaussian or PAF of a synthetic person in a picture with real people
  exceeds :data:`MASKED_ABOVE`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ltsh_deploy.encode import CUT, LIMB_WIDTH, SIGMA
from ltsh_deploy.fields import cells_to_pixels
from ltsh_deploy.skeletons import Skeleton

__all__ = ["MASKED_ABOVE", "People", "Targets", "make_targets"]

#: A synthetic person covers a cell of a channel from this value on, in the masked condition.
MASKED_ABOVE = 0.25


@dataclass(frozen=True, eq=False)
class People:
    """The people in view of each of N crops, filled up with nobody to P.

    Attributes:
        joints: [N, P, J, 3] x, y in pixels of the crop and a label, 0 where the joint is not labelled.
        clips: [N, P, 4] x1, y1, x2, y2: the part of the crop where the person's limbs can be seen and outside of which
            the person's joints are out of view; the whole crop, but for mosaics.
        boxes: [N, P, 4] the part that holds the person; empty (x1 > x2) for nobody.
        among_real: [N, P] rendered people in a picture with real ones.
    """

    joints: Tensor
    clips: Tensor
    boxes: Tensor
    among_real: Tensor

    def to(self, device: torch.device) -> People:
        """The same people on another device."""
        parts = (self.joints, self.clips, self.boxes, self.among_real)
        return People(*(part.to(device, non_blocking=True) for part in parts))


@dataclass(frozen=True, eq=False)
class Targets:
    """What the network is to say of N crops.

    Attributes:
        heatmaps: [N, J + 1, h, w], background last.
        pafs: [N, 2L, h, w].
        heatmap_weights: [N, J + 1, h, w], 1 where the cell counts and 0 where not.
        paf_weights: [N, 2L, h, w] likewise.
        counts: [N] labelled joints in view; in the masked condition without those of rendered people among real ones.
    """

    heatmaps: Tensor
    pafs: Tensor
    heatmap_weights: Tensor
    paf_weights: Tensor
    counts: Tensor


def make_targets(
    people: People,
    ignored: Tensor,
    skeleton: Skeleton,
    stride: int = 8,
    *,
    sigma: float = SIGMA,
    limb_width: float = LIMB_WIDTH,
    masked: bool = False,
) -> Targets:
    """The targets of a batch.

    Args:
        people: who is in view.
        ignored: [N, h, w] bool, cells that do not count in any channel.
        skeleton: of the joints.
        stride: pixels a cell.
        sigma: of the Gaussians, pixels.
        limb_width: half the width of a limb, pixels.
        masked: the masked condition.
    """
    n, h, w = ignored.shape
    grid = _Grid.of(w, h, stride, ignored.device)
    first, second = (torch.tensor(ends, device=ignored.device) for ends in zip(*skeleton.limbs, strict=True))
    heatmaps = grid.x.new_zeros(n, skeleton.num_joints, h, w)
    pafs = grid.x.new_zeros(n, skeleton.num_limbs, 2, h, w)
    covered = grid.x.new_zeros(n, skeleton.num_limbs, h, w)
    joints_ignored = ignored[:, None].repeat(1, skeleton.num_joints, 1, 1)
    limbs_ignored = ignored[:, None].repeat(1, skeleton.num_limbs, 1, 1)
    counts = grid.x.new_zeros(n)

    # One person of every crop at a time: memory stays that of one set of maps.
    for p in range(people.joints.shape[1]):
        joints, clip = people.joints[:, p].double(), people.clips[:, p].double()
        labelled = joints[..., 2] > 0
        xy = torch.where(labelled[..., None], joints[..., :2], torch.nan)
        in_view = _inside(xy, clip)

        gaussians = grid.gaussians(xy, sigma) * in_view[..., None, None]
        torch.maximum(heatmaps, gaussians, out=heatmaps)
        unit, inside = grid.limbs(xy[:, first], xy[:, second], limb_width)
        inside &= grid.box(clip)[:, None]
        covers = inside.double()
        pafs += covers[:, :, None] * unit[..., None, None]
        covered += covers

        holds = grid.box(people.boxes[:, p].double())[:, None]
        joints_ignored |= holds & ~labelled[..., None, None]
        limbs_ignored |= holds & ~(labelled[:, first] & labelled[:, second])[..., None, None]
        if masked:
            hidden = people.among_real[:, p]
            joints_ignored |= hidden[:, None, None, None] & (gaussians > MASKED_ABOVE)
            limbs_ignored |= hidden[:, None, None, None] & inside
            in_view = in_view & ~hidden[:, None]
        counts += in_view.sum(dim=1)

    pafs /= covered.clamp(min=1)[:, :, None]
    background_ignored = joints_ignored.any(dim=1, keepdim=True)
    background = 1 - heatmaps.amax(dim=1, keepdim=True)
    return Targets(
        torch.cat([heatmaps, background], dim=1).float(),
        pafs.flatten(1, 2).float(),
        (~torch.cat([joints_ignored, background_ignored], dim=1)).float(),
        (~limbs_ignored).float().repeat_interleave(2, dim=1),
        counts.float(),
    )


def _inside(xy: Tensor, box: Tensor) -> Tensor:
    """[N, J] whether the points [N, J, 2] lie in the boxes [N, 4]; NaN lies nowhere."""
    low, high = box[:, None, :2], box[:, None, 2:]
    return ((xy >= low) & (xy < high)).all(dim=-1)


@dataclass(frozen=True, eq=False)
class _Grid:
    """The cells' centres: x [w] and y [h], float64 pixels."""

    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, w: int, h: int, stride: int, device: torch.device) -> _Grid:
        x, y = (cells_to_pixels(np.arange(side, dtype=np.float64), stride) for side in (w, h))
        return cls(torch.from_numpy(x).to(device), torch.from_numpy(y).to(device))

    def box(self, box: Tensor) -> Tensor:
        """[N, h, w] whether a cell's centre lies in the boxes [N, 4]."""
        x1, y1, x2, y2 = (side[:, None] for side in box.unbind(dim=1))
        across, down = (self.x >= x1) & (self.x < x2), (self.y >= y1) & (self.y < y2)
        return down[:, :, None] & across[:, None, :]

    def gaussians(self, xy: Tensor, sigma: float) -> Tensor:
        """[N, J, h, w] Gaussians around points [N, J, 2], 0 where the point is NaN."""
        dx, dy = self.x - xy[..., :1], self.y - xy[..., 1:]
        squared = dy.square()[..., :, None] + dx.square()[..., None, :]
        values = torch.exp(squared / (-2 * sigma**2))
        return torch.where(values >= CUT, values, 0.0)

    def limbs(self, start: Tensor, end: Tensor, width: float) -> tuple[Tensor, Tensor]:
        """Unit vectors [N, L, 2] and the cells [N, L, h, w] within ``width`` of the segments; none where one is NaN."""
        length = torch.hypot(*(end - start).unbind(dim=-1))
        unit = torch.where((length > 0)[..., None], (end - start) / length[..., None], 0.0)
        ux, uy = unit[..., 0, None, None], unit[..., 1, None, None]
        dx = (self.x - start[..., :1])[..., None, :]
        dy = (self.y - start[..., 1:])[..., :, None]
        along = torch.minimum((dx * ux + dy * uy).clamp(min=0), length[..., None, None])
        distance = torch.hypot(dx - along * ux, dy - along * uy)
        return unit, (distance <= width) & (length > 0)[..., None, None]
