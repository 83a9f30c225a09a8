"""How good a student is: its PCK and its loss on the validation people.

People are decoded as in deployment. By default the network sees the whole picture, as it would in deployment, so that
no label tells it where the person is or how large: where nobody else is labelled, the person who is sure and near the
picture's middle is taken for the labelled one. In pictures with several labelled people, the centre of the one who is
meant stands in for the middle.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ltsh_deploy.decode import decode_fields
from ltsh_deploy.drawing import draw_poses
from ltsh_deploy.errors import FieldsError, ImageError, InputError
from ltsh_deploy.evaluation.predictions import UnitPredictions
from ltsh_deploy.evaluation.sample_units import single_unit
from ltsh_deploy.evaluation.units import Unit
from ltsh_deploy.fields import Fields
from ltsh_deploy.images import Image
from ltsh_deploy.network_base import ImageNetwork
from ltsh_deploy.poses import Poses
from ltsh_deploy.train.augment import Warp, centred_warp
from ltsh_deploy.train.batches import collate
from ltsh_deploy.train.crops import Crop, make_crop, picture_crop
from ltsh_deploy.train.objective import batch_losses
from ltsh_deploy.train.pck import PckScore, has_torso, pck
from ltsh_deploy.train.pools import Pool

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig

__all__ = ["NO_PICTURE", "NO_TORSO", "Measurement", "validate"]

_log = logging.getLogger(__name__)

#: Why somebody is left out.
NO_PICTURE, NO_TORSO = "without a picture that can be read", "without a labelled right hip and left shoulder"


@dataclass(frozen=True, eq=False)
class Measurement:
    """What was measured.

    Attributes:
        score: PCK@0.2.
        loss: the mean of the people's losses, as in training.
        left_out: reason to the number of people who could not be measured.
        pictures: of some people, by name: what was found on the left, what is labelled on the right.
    """

    score: PckScore
    loss: float
    left_out: Mapping[str, int]
    pictures: Mapping[str, Image] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, float]:
        """By name: ``pck``, ``loss``, ``people``, ``people_left_out`` and ``pck_JOINT`` of each joint."""
        joints = {f"pck_{name}": rate for name, rate in self.score.joints.items()}
        counts = {"people": float(self.score.people), "people_left_out": float(sum(self.left_out.values()))}
        return {"pck": self.score.pck, "loss": self.loss, **counts, **joints}


@dataclass(frozen=True, eq=False)
class _View:
    """A person as the network gets to see them.

    Attributes:
        crop: what it sees, the person first.
        warp: from the picture to there.
        label: who it is, like nobody else's.
        unit: the person, as evaluation has them.
        whole: (width, height) of the picture where the network sees the whole of it, else None.
    """

    crop: Crop
    warp: Warp
    label: str
    unit: Unit
    whole: tuple[int, int] | None

    def found(self, poses: Poses) -> UnitPredictions:
        """Who was found in the crop, in pixels of the picture; of a whole picture within it, as in deployment."""
        xy = self.warp.to_picture(np.asarray(poses.xy, np.float64))
        # Whoever is found in the grey around a crop must not come nearer to the one in the middle.
        if self.whole is not None:
            xy = np.clip(xy, 0, np.array(self.whole) - 1)
        return UnitPredictions(self.unit.id, replace(poses, xy=xy))


@torch.no_grad()
def validate(
    network: ImageNetwork,
    pool: Pool,
    config: RunConfig,
    device: torch.device,
    *,
    view: str | None = None,
    people: int | None = None,
    pictures: int = 0,
) -> Measurement:
    """Measure a network.

    Args:
        network: in evaluation mode, on the device.
        pool: the validation people.
        config: of the run: the size, the batch, and how a person becomes a crop.
        device: to compute on.
        view: ``picture``: the whole picture, scaled to fit into the size; ``crop``: the person in the middle, at the
            size that training asks for. As configured by default.
        people: at most so many, spread evenly over the set; by default all.
        pictures: of so many people are drawn.

    Raises:
        InputError: when not one person can be measured.
        SkeletonError: when the network has no joint of Leeds Sports Pose.
    """
    skeleton, student = pool.skeleton, network.network
    limit = len(pool) if people is None else min(people, len(pool))
    rows = np.linspace(0, len(pool), limit, endpoint=False).astype(int).tolist()
    left_out: Counter[str] = Counter()
    units: list[Unit] = []
    found: list[UnitPredictions] = []
    losses: list[float] = []
    drawn: dict[str, Image] = {}
    for views in _batches(pool, rows, config, student.stride, view or config.validation.view, left_out):
        batch = collate([each.crop for each in views]).to(device)
        maps = student(network.normalise(batch.images))
        losses += batch_losses(maps, batch, skeleton, student.stride, config).stages.sum(dim=0).tolist()
        heatmaps, pafs = (part.float().cpu().numpy() for part in maps[-1])
        for i, each in enumerate(views):
            try:
                poses = decode_fields(Fields(heatmaps[i], pafs[i], student.stride), skeleton)
            except FieldsError:
                poses = Poses.empty(skeleton)
            if len(drawn) < pictures:
                drawn[each.label] = _draw(each.crop, poses)
            if not has_torso(each.unit):
                left_out[NO_TORSO] += 1
                continue
            units.append(each.unit)
            found.append(each.found(poses))
    if not units:
        reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise InputError(f"data set {pool.name!r}: not one person of its split 'val' could be measured: {reasons}")
    return Measurement(pck(units, found, pool.name), float(np.mean(losses)), dict(left_out), drawn)


def _draw(crop: Crop, poses: Poses) -> Image:
    """[H, 2W, 3] the people found, and those who are labelled."""
    joints = crop.joints
    truth = Poses(poses.skeleton, joints[..., :2], (joints[..., 2] > 0).astype(np.float64), np.ones(len(joints)))
    return np.concatenate([draw_poses(crop.image, each, labels=False) for each in (poses, truth)], axis=1)


def _batches(
    pool: Pool, rows: list[int], config: RunConfig, stride: int, kind: str, left_out: Counter[str]
) -> Iterator[list[_View]]:
    """Views of one size together, at most a batch of them; those that cannot be made are counted."""
    waiting: defaultdict[tuple[int, int], list[_View]] = defaultdict(list)
    for view in _views(pool, rows, config, stride, kind):
        if view is None:
            left_out[NO_PICTURE] += 1
            continue
        alike = waiting[view.warp.size]
        alike.append(view)
        if len(alike) == config.validation.batch:
            yield waiting.pop(view.warp.size)
    yield from waiting.values()


def _views(pool: Pool, rows: list[int], config: RunConfig, stride: int, kind: str) -> Iterator[_View | None]:
    """In the rows' order; None for a picture that cannot be read."""

    def make(row: int) -> _View | None:
        labelled, person = pool.dataset[int(pool.samples[row])], int(pool.people[row])
        sample, centre = labelled.to_skeleton(pool.skeleton), labelled.centres[person]
        name = f"{pool.name}: {sample.id}"
        try:
            image = sample.read_image()
            if kind == "crop":
                warp = centred_warp(config.crop, centre, float(sample.scales[person]), config.size)
                crop = make_crop(sample, person, warp, stride, name, image)
            else:
                crop, warp = picture_crop(sample, person, config.size, stride, name, image)
        except ImageError as error:
            _log.warning("%s; this person is left out of the validation", error.message)
            return None
        unit = replace(single_unit(labelled, person), id=str(row), image=None)
        label = name if len(sample) == 1 else f"{name}, person {person}"
        if kind == "crop":
            across, down = (max(1, round(side / warp.zoom)) for side in config.size)
            return _View(crop, warp, label, replace(unit, centres=centre[None], size=(across, down)), None)
        picture = image.shape[1], image.shape[0]
        return _View(crop, warp, label, replace(unit, size=picture), picture)

    ahead = config.validation.batch
    with ThreadPoolExecutor(config.workers, thread_name_prefix="validation") as threads:
        following = [threads.submit(make, row) for row in rows[:ahead]]
        for begin in range(0, len(rows), ahead):
            current = following
            following = [threads.submit(make, row) for row in rows[begin + ahead : begin + 2 * ahead]]
            for future in current:
                yield future.result()
