"""A sample says what it holds, or refuses; its masks and joints are what was given."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.datasets import Sample, SampleList
from ltsh_deploy.datasets.regions import Polygon, RunLengths, box_polygon, decode_counts, paint_boxes
from ltsh_deploy.datasets.stored import FilePart
from ltsh_deploy.errors import ImageError, InputError, SkeletonError
from ltsh_deploy.skeletons import COCO17, LSP14, LTSH15, MPII16, SKELETONS, Skeleton, conversion_matrix
from tests.dataset_files import mask, person, picture


def sample(**changes: Any) -> Sample:
    values: dict[str, Any] = {
        "id": "one",
        "image": picture(),
        "skeleton": LSP14,
        "joints": person(LSP14)[None],
        "centres": [[100.0, 110.0]],
        "scales": [0.9],
        "is_synthetic": [False],
        "trainable": [True],
    }
    return Sample(**(values | changes))


def joints_with(label: float, *at: int) -> np.ndarray[Any, Any]:
    joints = person(LSP14)[None]
    joints[:, list(at), 2] = label
    if label == 0:
        joints[:, list(at), :2] = np.nan
    return joints


def test_arrays_are_read_only_and_the_callers_stay_writeable() -> None:
    scales = np.array([0.9])
    made = sample(scales=scales, characteristics={"camera_pitch": [3]})
    for array in (made.joints, made.centres, made.scales, made.trainable, made.characteristics["camera_pitch"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    scales[0] = 1
    with pytest.raises(TypeError):
        made.characteristics["new"] = np.zeros(1)  # type: ignore[index]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"joints": person(LSP14)}, "joints must have the shape"),
        ({"joints": person(MPII16)[None]}, "joints must have the shape"),
        ({"joints": [[["a"]]]}, "joints must be numbers"),
        ({"joints": joints_with(3, 0)}, "labels of joints must be 0"),
        ({"joints": joints_with(0.5, 0)}, "labels of joints must be 0"),
        ({"joints": np.where(np.arange(3) == 2, person(LSP14), np.nan)[None]}, "x and y of a joint must be NaN"),
        ({"joints": np.where(np.arange(3) < 2, person(LSP14), 0)[None]}, "x and y of a joint must be NaN"),
        ({"centres": [[np.nan, 1]]}, "centres must be finite"),
        ({"centres": [[1.0]]}, "centres must have the shape"),
        ({"scales": [0.0]}, "scales positive"),
        ({"scales": [np.inf]}, "scales positive"),
        ({"scales": []}, "scales must have the shape"),
        ({"trainable": [True, True]}, "trainable must have the shape"),
        ({"characteristics": {"camera_pitch": [1, 2]}}, "camera_pitch must have the shape"),
        ({"keep_boxes": [[1, 2, 3]]}, "keep_boxes must have the shape"),
        ({"split": "test"}, "split must be one of"),
        ({"id": ""}, "id must not be empty"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match="sample '") as caught:
        sample(**changes)
    assert said in caught.value.message


def test_nobody_is_a_sample_too() -> None:
    empty = sample(joints=[], centres=[], scales=[], is_synthetic=[], trainable=[], characteristics={"x": []})
    assert len(empty) == 0
    assert empty.joints.shape == (0, 14, 3)
    assert empty.to_skeleton(LTSH15).joints.shape == (0, 15, 3)
    assert len(empty.to_poses()) == 0


def test_a_sample_survives_pickling() -> None:
    made = sample(characteristics={"camera_pitch": [3.5]}, regions=(box_polygon((1, 2, 3, 4)),))
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.joints, made.joints)
    assert again.characteristics["camera_pitch"] == 3.5
    assert not again.joints.flags.writeable


@given(
    labels=st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=28, max_size=28),
    target=st.sampled_from([s for s in SKELETONS.values() if s is not LSP14]),
)
@settings(max_examples=60, deadline=None)
def test_a_converted_joint_needs_all_its_parts(labels: list[float], target: Skeleton) -> None:
    joints = np.stack([person(LSP14, 100, 20), person(LSP14, 300, 50, 1.3)])
    joints[:, :, 2] = np.reshape(labels, (2, 14))
    joints[joints[:, :, 2] == 0, :2] = np.nan
    made = sample(
        joints=joints, centres=np.zeros((2, 2)), scales=np.ones(2), is_synthetic=[False] * 2, trainable=[True] * 2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        converted = made.to_skeleton(target)
    matrix = conversion_matrix(LSP14, target)
    for p in range(2):
        for j in range(target.num_joints):
            parts = np.flatnonzero(matrix[j])
            expected = joints[p, parts, 2].min() if len(parts) else 0
            assert converted.joints[p, j, 2] == expected
            if expected:
                np.testing.assert_allclose(converted.joints[p, j, :2], matrix[j, parts] @ joints[p, parts, :2])


def test_skeletons_without_a_common_joint_are_refused() -> None:
    hand = Skeleton("hand", ("thumb", "palm"), ((0, 1),), (), (0.1, 0.1))
    with pytest.raises(SkeletonError):
        sample().to_skeleton(hand)


def test_poses_tell_hidden_joints_from_visible_ones() -> None:
    poses = sample(joints=joints_with(1, 3)).to_poses()
    assert poses.joint_scores[0, 3] == 0.5
    assert poses.joint_scores[0, 4] == 1
    assert not sample(joints=joints_with(0, 3)).to_poses().present[0, 3]


def test_ignoring_joins_mask_regions_and_boxes() -> None:
    values = np.zeros((220, 200), np.uint8)
    values[:, :10] = 31
    values[:, 10:20] = 30
    made = sample(
        ignore=mask(values),
        regions=(box_polygon((150, 100, 160, 110)),),
        keep_boxes=[[0, 0, 120, 219], [140, 90, 199, 219]],
    )
    ignored = made.read_ignore((200, 220))
    assert ignored is not None
    assert ignored[:, :10].all()
    assert not ignored[:, 10:120].any()
    assert ignored[:90, 121:].all()
    assert ignored[100:111, 150:161].all()
    assert not ignored[95, 170]
    assert sample().read_ignore((200, 220)) is None


def test_a_coloured_mask_ignores_by_its_brightest_channel() -> None:
    values = np.zeros((220, 200, 3), np.uint8)
    values[:5, :, 0] = 255
    ignored = sample(ignore=mask(values)).read_ignore((200, 220))
    assert ignored is not None
    assert ignored[:5].all()
    assert not ignored[5:].any()


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ImageError, match="the mask has 200 x 220 pixels, the picture 100 x 220"):
        sample(ignore=mask(np.zeros((220, 200), np.uint8))).read_ignore((100, 220))


def test_instance_masks_are_exact() -> None:
    values = np.zeros((220, 200), np.uint8)
    values[3, 4] = 1
    read = sample(instances=mask(values)).read_instances((200, 220))
    np.testing.assert_array_equal(read, values)
    assert sample().read_instances((200, 220)) is None
    with pytest.raises(ImageError, match="one channel of 8 bits"):
        sample(instances=picture()).read_instances((200, 220))


def test_pictures_come_from_files_parts_and_memory(tmp_path: Path) -> None:
    data = picture(shade=77)
    (tmp_path / "p.png").write_bytes(data)
    (tmp_path / "large").write_bytes(b"before" + data + b"after")
    part = FilePart(tmp_path / "large", 6, len(data), "p.png")
    for image in (data, tmp_path / "p.png", part):
        assert sample(image=image).read_image()[0, 0].tolist() == [77, 77, 77]
    (tmp_path / "large").write_bytes(b"before" + data[:-9])
    with pytest.raises(ImageError, match=r"large: p\.png: the file ends too early"):
        sample(image=part).read_image()
    with pytest.raises(ImageError, match=r"gone\.png: cannot be read \(No such file"):
        sample(image=tmp_path / "gone.png").read_image()
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(ImageError, match="is not a file"):
            sample(image=path).read_image()
    with pytest.raises(ImageError, match="picture of sample 'one'"):
        sample(image=b"no picture").read_image()


def test_a_list_refuses_two_of_one_id_and_other_skeletons() -> None:
    with pytest.raises(InputError, match="two samples have the id 'one'"):
        SampleList([sample(), sample()], "set", LSP14)
    with pytest.raises(InputError, match="has skeleton lsp14, not coco17"):
        SampleList([sample()], "set", COCO17)
    both = SampleList([sample(), sample(id="two")], "set", LSP14)
    assert [s.id for s in both] == ["one", "two"]
    assert len(pickle.loads(pickle.dumps(both))) == 2
    with pytest.raises(IndexError):
        both[2]


def test_boxes_hold_the_pixels_whose_centres_they_hold() -> None:
    inside = paint_boxes(np.array([[1.2, -5, 3.0, 1.9]]), (5, 4))
    expected = np.zeros((4, 5), bool)
    expected[0:2, 2:4] = True
    np.testing.assert_array_equal(inside, expected)
    assert not paint_boxes(np.array([[9.0, 9, 20, 20], [2.4, 0, 2.6, 3]]), (5, 4)).any()


@pytest.mark.parametrize("away", [(-50, 0), (-5.5, 0), (0, -50), (0, -4.5), (50, 0), (0, 50), (-50, -50)], ids=str)
def test_a_box_beside_the_picture_holds_nothing_of_it(away: tuple[float, float]) -> None:
    box = np.add([0.0, 0, 4.5, 3.5], [*away, *away])
    assert not paint_boxes(box[None], (5, 4)).any()
    # It takes nothing from others.
    assert paint_boxes(np.stack([box, [1, 1, 2, 2]]), (5, 4)).sum() == 4


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=30),
    width=st.integers(1, 12),
)
@settings(max_examples=60, deadline=None)
def test_run_lengths_are_columns_of_pixels(counts: list[int], width: int) -> None:
    counts.append(-sum(counts) % width)
    height = sum(counts) // width
    if height == 0:
        return
    painted = np.zeros((height, width), np.uint8)
    RunLengths(np.array(counts), (width, height)).paint(painted)
    flat = [255 * (n % 2) for n, length in enumerate(counts) for _ in range(length)]
    np.testing.assert_array_equal(painted.T.ravel(), flat)
    assert decode_counts(_compress(counts)) == counts


def _compress(counts: list[int]) -> str:
    """COCO's compressed run lengths, by their published definition."""
    text = ""
    for n, count in enumerate(counts):
        value = count - counts[n - 2] if n > 2 else count
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = not ((value == 0 and not bits & 0x10) or (value == -1 and bits & 0x10))
            text += chr((bits | (0x20 if more else 0)) + 48)
    return text


def test_hostile_run_lengths_end() -> None:
    assert sum(decode_counts("o" * 100_000)) < 0
    painted = np.zeros((3, 3), np.uint8)
    RunLengths(np.array([0, 25]), (5, 5)).paint(painted)
    assert painted.all()


def test_polygons_far_away_do_not_overflow() -> None:
    painted = np.zeros((8, 8), np.uint8)
    Polygon(np.array([[-1e30, -1e30], [1e30, -1e30], [1e30, 1e30], [-1e30, 1e30]])).paint(painted)
    assert painted.all()
