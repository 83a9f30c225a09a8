"""The main job in one object: a model file in, people's poses out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from ltsh_deploy.decode import decode_fields
from ltsh_deploy.decode_config import DecodeConfig
from ltsh_deploy.default_model import default_model
from ltsh_deploy.device_looks import DeviceLook, gpu_path
from ltsh_deploy.errors import UsageError
from ltsh_deploy.fields import Fields
from ltsh_deploy.images import Image, Placement, apply, check_image, place
from ltsh_deploy.poses import Poses
from ltsh_deploy.resampling import Pass, average_passes
from ltsh_deploy.runtimes import Runtime, open_runtime
from ltsh_deploy.skeletons import Skeleton

__all__ = ["PoseEstimator", "View"]


@dataclass(frozen=True, eq=False)
class View:
    """One look at an image, ready for the network.

    Attributes:
        image: which of the images it is of.
        pixels: [H, W, 3] uint8 RGB, sides multiples of the stride.
        placement: how the image lies on it.
        mirrored: whether left and right were exchanged.
    """

    image: int
    pixels: Image
    placement: Placement
    mirrored: bool


class PoseEstimator:
    """Finds people in images with one network.

    An image's poses depend on that image alone, never on what else is in a batch. Several threads may share an
    estimator. It is a context manager; leaving it frees the network.

    Args:
        runtime: the network; the estimator closes it.
        decode: thresholds of the decoder.
        size: (width, height) of the box that an image is scaled into, its shape kept; by default the network's own.
        scales: an image is looked at once for each, in a box so many times as large, and the fields averaged.
        mirror: look at the mirror image too, at every scale.
        batch: at most so many views go through the network at once.

    Raises:
        UsageError: for a size, scale or batch that is not positive.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        decode: DecodeConfig = DecodeConfig(),
        size: tuple[int, int] | None = None,
        scales: Sequence[float] = (1.0,),
        mirror: bool = False,
        batch: int = 8,
    ) -> None:
        self.runtime = runtime
        self.decode_config = decode
        width, height = size or runtime.description.size
        self.size = width, height
        self.scales = tuple(scales)
        self.mirror = mirror
        self.batch = batch
        if not self.scales or batch < 1:
            given = f"{self.scales}, {batch}"
            raise UsageError(f"an estimator needs at least one scale and a batch of at least 1, got {given}")
        for scale in self.scales:
            place((1, 1), self.size, runtime.description.stride, scale)
        self._gpu = gpu_path(runtime, decode)

    @classmethod
    def open(
        cls, path: str | Path | None = None, *, device: str = "auto", threads: int | None = None, **options: Any
    ) -> PoseEstimator:
        """An estimator for a model file: an ONNX file that is described (by itself or beside it), or a checkpoint.

        Args:
            path: the model file; the package's own by default.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. ``auto`` takes a GPU where one works.
            threads: CPU threads of the network; by default as many as it likes.
            options: the keyword arguments of :class:`PoseEstimator`.

        Raises:
            ModelFileError: when the file cannot be used.
            MissingPartError: when a package that it needs is not installed, or the device is not there.
        """
        runtime = open_runtime(default_model() if path is None else path, device=device, threads=threads)
        try:
            return cls(runtime, **options)
        except BaseException:
            runtime.close()
            raise

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton of the poses it gives."""
        return self.runtime.description.skeleton

    @overload
    def __call__(self, images: npt.NDArray[Any]) -> Poses: ...
    @overload
    def __call__(self, images: Sequence[npt.NDArray[Any]] | Iterator[npt.NDArray[Any]]) -> list[Poses]: ...
    def __call__(
        self, images: npt.NDArray[Any] | Sequence[npt.NDArray[Any]] | Iterator[npt.NDArray[Any]]
    ) -> Poses | list[Poses]:
        """Poses, in pixels of each image and within it, of one image or of several.

        Args:
            images: uint8 [H, W, 3] RGB or [H, W] grey, of any size; several of them, or one array [N, H, W, 3].

        Raises:
            ImageError: for what is no image.
            FieldsError: when the network's maps hold NaN or infinity.
        """
        several = images.ndim == 4 if isinstance(images, np.ndarray) else isinstance(images, Iterable)
        if not several or isinstance(images, str | bytes):
            return self([check_image(images)])[0]
        images = list(images)
        views = self.prepare(images)
        passes = self.run(views)
        return [self.decode(passes[i]) for i in range(len(images))]

    def prepare(self, images: Iterable[npt.NDArray[Any]]) -> list[View]:
        """The views of each image that the network is to see: one for each scale, doubled if mirrored."""
        views = []
        for index, array in enumerate(images):
            image = check_image(array)
            for scale in self.scales:
                size = (image.shape[1], image.shape[0])
                placement = place(size, self.size, self.runtime.description.stride, scale)
                for mirrored in (False, True)[: 1 + self.mirror]:
                    views.append(View(index, apply(image, placement, mirrored), placement, mirrored))
        return views

    def run(self, views: Sequence[View]) -> dict[int, list[Pass] | DeviceLook]:
        """Put views through the network, those of one size together; what it said, by image.

        Where the network can leave its maps on the GPU, an image that is looked at once is left there.
        """
        looks = Counter(view.image for view in views)
        by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for place_in_line, view in enumerate(views):
            by_size[view.pixels.shape].append(place_in_line)
        fields: dict[int, Fields] = {}
        passes: dict[int, list[Pass] | DeviceLook] = {}
        for alike in by_size.values():
            for begin in range(0, len(alike), self.batch):
                together = alike[begin : begin + self.batch]
                pixels = np.stack([views[i].pixels for i in together])
                alone = all(looks[views[i].image] == 1 and not views[i].mirrored for i in together)
                if self._gpu is not None and alone and self._gpu.takes(pixels.shape):
                    batch = self._gpu.look(pixels)
                    for index, i in enumerate(together):
                        passes[views[i].image] = DeviceLook(views[i].placement, batch, index)
                else:
                    fields.update(zip(together, self.runtime.run(pixels), strict=True))
        by_image: dict[int, list[Pass]] = defaultdict(list)
        for i, each in sorted(fields.items()):
            by_image[views[i].image].append(Pass(views[i].placement, views[i].mirrored, each))
        return passes | by_image

    def decode(self, passes: Sequence[Pass] | DeviceLook) -> Poses:
        """The poses, in pixels of the image, that all passes over one image amount to.

        A joint that the network sees a little beyond the image, in the padding, is moved to the image's edge.
        """
        if isinstance(passes, DeviceLook):
            poses, placement = passes.poses(), passes.placement
        else:
            fields, placement = average_passes(passes, self.skeleton)
            poses = decode_fields(fields, self.skeleton, self.decode_config)
        return replace(poses, xy=np.clip(placement.to_image(poses.xy), 0, np.array(placement.image_size) - 1))

    def close(self) -> None:
        """Free the network."""
        if self._gpu is not None:
            self._gpu.close()
        self.runtime.close()

    def __enter__(self) -> PoseEstimator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
