"""What ``ltsh data show`` draws: samples, and crops of them with the maps a network learns."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.datasets import Sample, SampleList
from ltsh_deploy.drawing import draw_poses
from ltsh_deploy.errors import InputError, OutputError, SkeletonError
from ltsh_deploy.images import Image
from ltsh_deploy.parts import import_part
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import Skeleton, load_skeleton
from ltsh_deploy.whole_files import write_error, write_whole

if TYPE_CHECKING:
    from ltsh_deploy.train.batches import CropMaker
    from ltsh_deploy.train.config import RunConfig
    from ltsh_deploy.train.crops import Crop
    from ltsh_deploy.train.pools import Pool

__all__ = ["PictureWriter", "draw_sample"]

_log = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float64]
# Joints of a small picture could not be told apart; a large one shows no more than a screen does.
_LEAST_SIDE, _LONGEST_SIDE = 480, 1600
_BAND = 22
_QUALITY = 92


class PictureWriter:
    """Draws samples of a data set into a folder.

    Args:
        dataset: what to show.
        out: the folder; made where it does not exist.
        seed: of the choice of samples and of the crops.
        crops: of each sample.
        config: training configuration that says how crops are made; the defaults when None.

    Raises:
        InputError: when the configuration cannot be read, or no run can be made of it.
        MissingPartError: when crops are asked for and torch is not installed.
        OutputError: when the folder cannot be made.
    """

    def __init__(self, dataset: SampleList, out: Path, *, seed: int, crops: int, config: Path | None) -> None:
        self._dataset, self._out, self._crops = dataset, out, crops
        self._rng = np.random.default_rng(seed)
        self._shown = _prepare(dataset, config) if crops else None
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(out, error) from None

    def write(self, count: int, done: Callable[[int], None]) -> tuple[int, int]:
        """Draw so many samples, chosen at random; returns how many pictures were written and samples failed.

        Raises:
            OutputError: when a picture cannot be written.
        """
        written = failed = 0
        chosen = self._rng.choice(len(self._dataset), min(count, len(self._dataset)), replace=False)
        for number, index in enumerate(sorted(chosen.tolist())):
            sample = self._dataset[index]
            name = f"{number:04d}_{re.sub(r'[^A-Za-z0-9.-]+', '_', sample.id)[-80:]}"
            try:
                _write(self._out / f"{name}.jpg", draw_sample(sample))
                written += 1
                for crop, drawn in enumerate(self._draw_crops(index, self._shown) if self._shown is not None else ()):
                    _write(self._out / f"{name}_crop{crop}.jpg", drawn)
                    written += 1
            except InputError as error:
                _log.error("%s: %s", sample.id, error.message)
                failed += 1
            done(1)
        return written, failed

    def _draw_crops(self, index: int, shown: _Shown) -> Iterator[Image]:
        """Crops around people of a sample, as training would make them."""
        rows = np.flatnonzero(shown.pool.samples == index)
        for _ in range(self._crops if len(rows) else 0):
            yield _draw_maps(shown.make.make(self._rng, shown.pool, int(self._rng.choice(rows))), shown)


@dataclass(frozen=True)
class _Shown:
    """How crops are made, as in a training run on this data set alone."""

    config: RunConfig
    skeleton: Skeleton
    stride: int
    pool: Pool
    make: CropMaker


def _prepare(dataset: SampleList, file: Path | None) -> _Shown | None:
    """None where nobody may be in the middle of a crop."""
    import_part("torch", "Making crops (--crops 0 leaves them out)", "train")
    from ltsh_deploy.train.batches import CropMaker
    from ltsh_deploy.train.config import DataConfig, DataSetConfig, RunConfig
    from ltsh_deploy.train.config_file import blame, read_config
    from ltsh_deploy.train.network_choice import network_stride
    from ltsh_deploy.train.pools import find_people
    from ltsh_deploy.train.sampling import Sampler

    name = dataset.name
    if file is not None:
        config = read_config(file)
    else:
        config = RunConfig(data=DataConfig(sets={name: DataSetConfig(kind="", path="")}, mix={name: 1}))
    skeleton = load_skeleton(config.skeleton)
    with blame(file or ""):
        stride = network_stride(config, skeleton)
    try:
        pool = find_people(name, dataset, skeleton, None)
    except SkeletonError as error:
        raise SkeletonError(
            error.message, "Name a --config whose skeleton fits, or leave crops out: --crops 0"
        ) from None
    except InputError as error:
        _log.warning("%s, so there are no crops", error.message)
        return None
    return _Shown(config, skeleton, stride, pool, CropMaker(Sampler([pool], [1.0], 1, config.seed), config, stride))


def draw_sample(sample: Sample) -> Image:
    """The picture with its people, their centres, and what is ignored struck through; a caption below.

    Raises:
        ImageError: when the picture or a mask cannot be read.
    """
    image = sample.read_image()
    size = (image.shape[1], image.shape[0])
    ignored = sample.read_ignore(size)
    factor = min(max(1.0, _LEAST_SIDE / min(size)), _LONGEST_SIDE / max(size), 4.0)
    width, height = (max(1, round(side * factor)) for side in size)
    image = _resize(image, (width, height))
    if ignored is not None:
        _strike(image, cv2.resize(ignored.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0)
    poses = sample.to_poses()
    ratio = np.array([width / size[0], height / size[1]])
    moved = Poses(poses.skeleton, (poses.xy + 0.5) * ratio - 0.5, poses.joint_scores, poses.scores)
    drawn = draw_poses(image, moved, labels=False)
    for (x, y), trainable in zip((sample.centres + 0.5) * ratio - 0.5, sample.trainable, strict=True):
        colour = (255, 255, 255) if trainable else (255, 60, 60)
        place = (round(float(np.clip(x, -9e4, 9e4))), round(float(np.clip(y, -9e4, 9e4))))
        cv2.drawMarker(drawn, place, (0, 0, 0), cv2.MARKER_CROSS, 15, 3)
        cv2.drawMarker(drawn, place, colour, cv2.MARKER_CROSS, 13, 1)
    return np.concatenate([drawn, _band(_caption(sample), width)])


def _caption(sample: Sample) -> str:
    parts = [sample.id, sample.split, "scale " + " ".join(f"{scale:.2f}" for scale in sample.scales[:4])]
    if sample.is_synthetic.any():
        parts.append(f"{int(sample.is_synthetic.sum())} synthetic")
    for name, values in sample.characteristics.items():
        parts.append(f"{name} " + " ".join(f"{value:.3g}" for value in values[:4]))
    return "  ".join(parts)


def _draw_maps(crop: Crop, shown: _Shown) -> Image:
    """Four panels: the crop and its people, the heat maps, the PAFs, and where something counts."""
    from ltsh_deploy.train.batches import collate
    from ltsh_deploy.train.objective import batch_targets

    skeleton = shown.skeleton
    targets = batch_targets(collate([crop]), skeleton, shown.stride, shown.config)
    heatmaps, pafs = targets.heatmaps[0].numpy(), targets.pafs[0].numpy()
    weights = np.concatenate([targets.heatmap_weights[0].numpy(), targets.paf_weights[0].numpy()])
    joints = crop.joints
    poses = Poses(skeleton, joints[:, :, :2], joints[:, :, 2] / 2, np.ones(len(joints)))
    dark = cv2.cvtColor(crop.image, cv2.COLOR_RGB2GRAY) // 3
    grey = np.asarray(cv2.cvtColor(dark, cv2.COLOR_GRAY2RGB), np.uint8)
    count = int(targets.counts[0])
    panels = (
        (draw_poses(crop.image, poses, labels=False), f"{crop.name}: {count} joints in view"),
        (_add(grey, _heat(heatmaps[:-1].max(axis=0))), "heat maps"),
        (_add(grey, _directions(pafs)), "part affinity fields"),
        (_add(grey, _counting(weights)), "red: ignored in all channels, yellow: in some"),
    )
    titled = [np.concatenate([panel, _band(title, panel.shape[1])]) for panel, title in panels]
    return np.concatenate([np.concatenate(titled[:2], axis=1), np.concatenate(titled[2:], axis=1)])


def _heat(values: npt.NDArray[np.float32]) -> Image:
    colours = cv2.applyColorMap((np.clip(values, 0, 1) * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), np.uint8)


def _directions(pafs: npt.NDArray[np.float32]) -> Image:
    """Hue: where the strongest limb of a cell points; brightness: how strongly."""
    x, y = pafs[0::2], pafs[1::2]
    length = np.hypot(x, y)
    strongest = length.argmax(axis=0)[None]
    dx, dy, value = (np.take_along_axis(part, strongest, axis=0)[0] for part in (x, y, length))
    angle = np.arctan2(dy, dx)
    hue = (np.rad2deg(angle) % 360 / 2).astype(np.uint8)
    hsv = np.stack([hue, np.full_like(hue, 210), (np.clip(value, 0, 1) * 255).astype(np.uint8)], axis=2)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)


def _counting(weights: npt.NDArray[np.float32]) -> Image:
    ignored = weights == 0
    colours = np.zeros((*weights.shape[1:], 3), np.uint8)
    colours[ignored.any(axis=0)] = 150, 130, 0
    colours[ignored.all(axis=0)] = 190, 20, 20
    return colours


def _add(grey: Image, cells: Image) -> Image:
    """Maps, a colour a cell, over a dark picture."""
    height, width = grey.shape[:2]
    large = cv2.resize(cells, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(cv2.add(grey, large), np.uint8)


def _strike(image: Image, ignored: npt.NDArray[np.bool_]) -> None:
    """Darken what is ignored, in stripes; in place."""
    height, width = ignored.shape
    stripes = (np.arange(height)[:, None] + np.arange(width)) // 6 % 3 == 0
    image[ignored] //= 3
    image[ignored & stripes] += np.array([90, 20, 60], np.uint8)


def _band(text: str, width: int) -> Image:
    band = np.full((_BAND, width, 3), 24, np.uint8)
    plain = text.encode("ascii", "replace").decode()
    cv2.putText(band, plain, (6, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (235, 235, 235), 1, cv2.LINE_AA)
    return band


def _resize(image: Image, size: tuple[int, int]) -> Image:
    if (image.shape[1], image.shape[0]) == size:
        return image
    method = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=method), np.uint8)


def _write(path: Path, image: Image) -> None:
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    if not ok:
        raise OutputError(f"{path}: the picture could not be encoded")
    write_whole(path, data.tobytes())
