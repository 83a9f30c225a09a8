"""The estimator around a runtime whose network is perfect: it knows who is in each picture."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from ltsh_deploy.encode import encode_fields
from ltsh_deploy.errors import FieldsError, ImageError, LtshError, ModelFileError, UsageError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.fields import Fields
from ltsh_deploy.frames import Frame
from ltsh_deploy.images import read_image
from ltsh_deploy.inference import infer_frames, read_frames
from ltsh_deploy.runtimes import Runtime
from ltsh_deploy.skeletons import Skeleton
from tests.sees_colours import COLOURS, SeesColours

# No joint has a side: a colour stays what it is in the mirror.
ARM = Skeleton("arm", ("shoulder", "elbow", "wrist"), ((0, 1), (2, 1)), (), (0.1, 0.1, 0.1))


class ColourRuntime(SeesColours):
    """Red, green and blue are the arm's three joints."""

    def __init__(self) -> None:
        super().__init__(SimpleNamespace(skeleton=ARM, stride=8, size=(256, 192)))


def picture(width: int, height: int, rng: np.random.Generator | None = None) -> tuple[Any, Any]:
    """A picture with a patch for each joint, and where their middles are."""
    rng = rng or np.random.default_rng(width * height)
    image = np.full((height, width, 3), 128, np.uint8)
    side = max(9, min(width, height) // 12)
    thirds = np.sort(rng.uniform(0.1, 0.7, 3)) * width
    middles = []
    for x, colour in zip(thirds.astype(int), COLOURS, strict=True):
        y = int(rng.uniform(0.2, 0.6) * height)
        image[y : y + side, x : x + side] = colour
        middles.append((x + (side - 1) / 2, y + (side - 1) / 2))
    return image, np.array(middles)


def estimator(**options: Any) -> PoseEstimator:
    return PoseEstimator(cast(Runtime, ColourRuntime()), **options)


@pytest.mark.parametrize("size", [(640, 480), (333, 501), (1000, 180), (97, 203), (256, 192)])
@pytest.mark.parametrize("options", [{}, {"mirror": True}, {"scales": (0.7, 1, 1.3), "mirror": True}], ids=str)
def test_joints_are_found_where_they_are_in_the_picture(size: tuple[int, int], options: dict[str, Any]) -> None:
    image, middles = picture(*size)
    poses = estimator(**options)(image)
    assert len(poses) == 1
    # The patches have whole pixels, in the picture and again once it is scaled.
    scale = min(256 / size[0], 192 / size[1])
    np.testing.assert_allclose(poses.xy[0], middles, atol=1.0 / min(scale, 1) + 0.5)


def test_one_image_gives_poses_and_several_give_a_list() -> None:
    image, _ = picture(256, 192)
    find = estimator()
    assert len(find([])) == 0
    single = find(image)
    for several in ([image, image], (image, image), np.stack([image, image]), (each for each in [image, image])):
        both = find(several)
        assert [len(p) for p in both] == [1, 1]
        np.testing.assert_array_equal(both[1].xy, single.xy)
    np.testing.assert_allclose(find(image[..., 0]).xy.shape, (0, 3, 2))


def test_pictures_of_one_size_run_together_and_never_more_than_the_batch() -> None:
    find = estimator(batch=2)
    pictures = [picture(*size)[0] for size in ((640, 480), (200, 400), (320, 240), (64, 48), (400, 800))]
    alone = [find(p) for p in pictures]
    runtime = cast(ColourRuntime, find.runtime)
    runtime.batches.clear()
    together = find(pictures)
    assert sorted(runtime.batches) == [(1, 192, 256, 3), (2, 192, 96, 3), (2, 192, 256, 3)]
    for a, b in zip(alone, together, strict=True):
        np.testing.assert_array_equal(a.xy, b.xy)


def test_it_closes_its_network_and_options_that_make_no_sense_are_refused() -> None:
    with estimator() as find:
        pass
    assert cast(ColourRuntime, find.runtime).closed
    for wrong in ({"scales": ()}, {"scales": (0.0,)}, {"size": (0, 5)}, {"batch": 0}):
        with pytest.raises(UsageError):
            estimator(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        "picture.jpg",
        b"picture",
        Path("picture.jpg"),
        Image.new("RGB", (8, 8)),
        None,
    ],
    ids=lambda wrong: type(wrong).__name__,
)
def test_what_is_no_image_is_an_image_error(wrong: Any) -> None:
    name = type(wrong).__qualname__
    for given in (wrong, [wrong]):
        with pytest.raises(ImageError, match="the image must be" if name == "ndarray" else rf"got \S*{name}"):
            estimator()(given)


def test_options_may_be_lists_and_iterators() -> None:
    image, _ = picture(256, 192)
    plain = estimator(size=(128, 96), scales=(0.7, 1))
    assert estimator(size=[128, 96], scales=iter([0.7, 1]))(image) == plain(image)
    with pytest.raises(UsageError, match=r"got \(\), 8"):
        estimator(scales=iter(()))


def test_a_frame_whose_maps_are_not_finite_is_left_out_and_reported() -> None:
    class Overflowing(ColourRuntime):
        def _look(self, image: np.ndarray[Any, Any]) -> Fields:
            fields = super()._look(image)
            if image.shape[1] == 96:
                fields.pafs[0, 0, 0] = np.nan
            return fields

    find = PoseEstimator(cast(Runtime, Overflowing()))
    frames = [Frame(picture(*size)[0], f"{size}", "image") for size in ((256, 192), (200, 400), (640, 480))]
    errors: list[tuple[str, Any]] = []
    good = list(infer_frames(find, frames, 8, lambda *e: errors.append(e)))
    assert [frame.source for frame, _ in good] == ["(256, 192)", "(640, 480)"]
    assert [name for name, _ in errors] == ["(200, 400)"]
    assert isinstance(errors[0][1], FieldsError)
    with pytest.raises(FieldsError):
        find(frames[1].image)


def test_of_frames_that_fail_together_each_is_tried_alone() -> None:
    class Small(ColourRuntime):
        def run(self, images: np.ndarray[Any, Any]) -> list[Fields]:
            if len(images) > 1 or images.shape[2] == 96:
                raise LtshError("out of memory")
            return super().run(images)

    find = PoseEstimator(cast(Runtime, Small()))
    frames = [Frame(picture(*size)[0], f"{size}", "image") for size in ((256, 192), (200, 400), (640, 480))]
    errors: list[str] = []
    good = list(infer_frames(find, frames, 8, lambda name, error: errors.append(name)))
    assert [frame.source for frame, _ in good] == ["(256, 192)", "(640, 480)"]
    assert errors == ["(200, 400)"]


def test_joints_that_the_network_sees_in_the_padding_are_moved_to_the_pictures_edge() -> None:
    class Beyond(ColourRuntime):
        def _look(self, image: np.ndarray[Any, Any]) -> Fields:
            xy = np.array([[[-3.0, 20.0], [50.0, 190.0], [260.0, 60.0]]])
            return encode_fields(xy, ARM, (image.shape[0] // 8, image.shape[1] // 8))

    poses = PoseEstimator(cast(Runtime, Beyond()))(np.zeros((185, 256, 3), np.uint8))
    np.testing.assert_allclose(poses.xy[0], [[0, 20], [50, 184], [255, 60]], atol=0.1)


def test_a_file_that_is_no_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "picture.onnx"
    file.write_bytes(b"no model")
    with pytest.raises(ModelFileError, match=r"picture\.onnx"):
        PoseEstimator.open(file)


@pytest.fixture(scope="module")
def coco(shared: Path) -> Any:
    with PoseEstimator.open(shared / "models/coco_paf_mobilenet_v2_small.onnx", device="cpu", threads=1) as find:
        yield find


@pytest.fixture(scope="module")
def photos(shared: Path) -> Any:
    return [read_image(file) for file in sorted((shared / "data/real/photos").glob("*.jpg"))[:6]]


def test_a_result_never_depends_on_batch_mates(coco: PoseEstimator, photos: Any) -> None:
    alone = [coco.run(coco.prepare([p]))[0][0].fields for p in photos]
    together = coco.run(coco.prepare(photos))
    for i, fields in enumerate(alone):
        np.testing.assert_allclose(together[i][0].fields.heatmaps, fields.heatmaps, atol=1e-4)
        np.testing.assert_allclose(together[i][0].fields.pafs, fields.pafs, atol=1e-4)
    for poses, single in zip(coco(photos), map(coco, photos), strict=True):
        np.testing.assert_allclose(poses.xy, single.xy, atol=0.05)
        np.testing.assert_allclose(poses.scores, single.scores, atol=1e-3)
    assert sum(map(len, coco(photos))) >= 6


def test_threads_may_share_an_estimator(coco: PoseEstimator, photos: Any) -> None:
    alone = [coco(p) for p in photos]
    with ThreadPoolExecutor(3) as pool:
        for poses, single in zip(pool.map(coco, photos), alone, strict=True):
            np.testing.assert_array_equal(poses.xy, single.xy)


def test_every_broken_source_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    from ltsh_deploy.outputs import write_image
    from ltsh_deploy.sources import open_sources

    for name in ("a.png", "c.png"):
        write_image(tmp_path / name, picture(64, 48)[0])
    (tmp_path / "b.png").write_bytes(b"")
    errors: list[str] = []
    frames = list(read_frames(open_sources([tmp_path]), lambda name, error: errors.append(name)))
    assert [Path(f.source).name for f in frames] == ["a.png", "c.png"]
    assert [Path(e).name for e in errors] == ["b.png"]
