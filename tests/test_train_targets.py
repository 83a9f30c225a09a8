"""Targets in batches: the maps of encode.py, and which of their cells count."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.encode import encode_fields
from ltsh_deploy.skeletons import LTSH15, Skeleton
from ltsh_deploy.train.targets import People, Targets, make_targets

LINE = Skeleton("line", ("a", "b", "c"), ((0, 1), (1, 2)), (), (0.1, 0.1, 0.1))
H, W = 4, 6


def people_of(joints: npt.NDArray[Any], *, boxes: Any = None, clips: Any = None, synthetic: Any = None) -> People:
    """People [N, P, J, 3] in crops of 48 x 32 pixels, without boxes unless given; ``synthetic`` are among real ones."""
    n, p = joints.shape[:2]
    whole = [-0.5, -0.5, 8 * W - 0.5, 8 * H - 0.5]
    return People(
        torch.as_tensor(joints, dtype=torch.float64),
        torch.tensor(clips if clips is not None else [[whole] * p] * n, dtype=torch.float64),
        torch.tensor(boxes if boxes is not None else [[[1, 1, -1, -1]] * p] * n, dtype=torch.float64),
        torch.tensor(synthetic if synthetic is not None else [[False] * p] * n),
    )


def targets_of(people: People, skeleton: Skeleton = LINE, **options: Any) -> Targets:
    return make_targets(people, torch.zeros(len(people.joints), H, W, dtype=torch.bool), skeleton, **options)


def labelled(*xy: tuple[float, float] | None) -> list[list[float]]:
    return [[np.nan, np.nan, 0] if point is None else [*point, 2] for point in xy]


coordinate = st.one_of(
    st.floats(-80, 130),
    # Whole and half numbers lie exactly on the limits of cells, limbs and the crop.
    st.integers(-20, 110).map(lambda v: v / 2),
)
joint = st.one_of(st.none(), st.tuples(coordinate, coordinate))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.lists(joint, min_size=3, max_size=3), min_size=2, max_size=2), min_size=1, max_size=3))
def test_targets_are_those_of_the_reference(batch: list[list[list[tuple[float, float] | None]]]) -> None:
    joints = np.array([[labelled(*person) for person in crop] for crop in batch])
    targets = targets_of(people_of(joints))
    for i, crop in enumerate(joints):
        xy = crop[..., :2]
        in_crop = ((xy >= -0.5) & (xy < [8 * W - 0.5, 8 * H - 0.5])).all(axis=-1)
        # Joints out of view have no heat map of their own, but their limbs are drawn.
        heatmaps = encode_fields(np.where(in_crop[..., None], xy, np.nan), LINE, (H, W)).heatmaps
        np.testing.assert_array_equal(targets.heatmaps[i].numpy(), heatmaps)
        np.testing.assert_array_equal(targets.pafs[i].numpy(), encode_fields(xy, LINE, (H, W)).pafs)
        assert targets.counts[i] == in_crop.sum()


def test_targets_of_a_whole_skeleton_and_other_widths_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(0)
    joints = np.concatenate([rng.uniform(2, 30, (3, 4, 15, 2)), np.full((3, 4, 15, 1), 2.0)], axis=-1)
    targets = targets_of(people_of(joints), LTSH15, sigma=5.0, limb_width=6.5)
    for i in range(3):
        fields = encode_fields(joints[i, :, :, :2], LTSH15, (H, W), sigma=5.0, limb_width=6.5)
        np.testing.assert_array_equal(targets.heatmaps[i].numpy(), fields.heatmaps)
        np.testing.assert_array_equal(targets.pafs[i].numpy(), fields.pafs)


def test_a_joint_just_out_of_view_makes_no_peak_at_the_edge() -> None:
    """The one difference from the reference, which draws what of the Gaussian lies on the map."""
    person = np.array([labelled((-3.0, 12.0), None, None)])
    reference = encode_fields(person[..., :2], LINE, (H, W)).heatmaps[0]
    assert reference.max() > 0.5
    assert reference.argmax() % W == 0
    targets = targets_of(people_of(person[None]))
    assert not targets.heatmaps[0, 0].any()
    assert targets.counts[0] == 0


def test_a_limb_with_one_joint_out_of_view_is_drawn_up_to_the_edge() -> None:
    joints = np.array([[labelled((19.5, 11.5), (200.0, 11.5), None)]])
    targets = targets_of(people_of(joints))
    assert not targets.heatmaps[0, 1].any()
    assert (targets.pafs[0, 0, 1, 2:] == 1).all()
    assert targets.counts.tolist() == [1]


def test_where_nothing_is_ignored_every_cell_counts() -> None:
    joints = np.array([[labelled((19.5, 11.5), (30, 20), (40, 9))]])
    targets = targets_of(people_of(joints, boxes=[[[0, 0, 40, 40]]]))
    assert targets.heatmap_weights.min() == 1
    assert targets.paf_weights.min() == 1


def test_ignored_cells_count_in_no_channel() -> None:
    joints = np.array([[labelled((19.5, 11.5), (30, 20), (40, 9))]])
    ignored = torch.zeros(1, H, W, dtype=torch.bool)
    ignored[0, 1, 2] = True
    targets = make_targets(people_of(joints), ignored, LINE)
    for weights in (targets.heatmap_weights, targets.paf_weights):
        assert (weights[0, :, 1, 2] == 0).all()
        assert weights.sum() == weights.numel() - weights.shape[1]


def test_a_joint_without_label_is_not_trained_as_absent_near_its_person() -> None:
    joints = np.array([[labelled((19.5, 11.5), (30, 11.5), None)]])
    targets = targets_of(people_of(joints, boxes=[[[8, 0, 32, 24]]]))
    inside = torch.zeros(H, W, dtype=torch.bool)
    inside[0:3, 1:4] = True
    # Joint c, the background, and the limb b-c; not a, b and a-b, which are known.
    for channel, unknown in enumerate((False, False, True, True)):
        assert torch.equal(targets.heatmap_weights[0, channel] == 0, inside & unknown), channel
    for channel, unknown in enumerate((False, False, True, True)):
        assert torch.equal(targets.paf_weights[0, channel] == 0, inside & unknown), channel


def test_crops_do_not_see_each_others_people() -> None:
    nobody = labelled(None, None, None)
    joints = np.array([[labelled((19.5, 11.5), (30, 20), None), nobody], [labelled((5, 5), (9, 9), (3, 3)), nobody]])
    boxes = [[[0, 0, 20, 20], [1, 1, -1, -1]], [[0, 0, 20, 20], [1, 1, -1, -1]]]
    together = targets_of(people_of(joints, boxes=boxes))
    for i in range(2):
        alone = targets_of(people_of(joints[i : i + 1], boxes=boxes[i : i + 1]))
        for name in ("heatmaps", "pafs", "heatmap_weights", "paf_weights", "counts"):
            assert torch.equal(getattr(together, name)[i], getattr(alone, name)[0]), name
    assert together.heatmap_weights[1].min() == 1


def test_the_masked_condition_ignores_where_synthetic_people_stand() -> None:
    real, fake = labelled((11.5, 11.5), (11.5, 27.5), None), labelled((35.5, 11.5), (35.5, 27.5), None)
    joints = np.array([[real, fake]])
    people = people_of(joints, synthetic=[[False, True]])
    plain, masked = targets_of(people), targets_of(people, masked=True)
    assert plain.heatmap_weights.min() == 1
    assert torch.equal(plain.heatmaps, masked.heatmaps)
    gaussian = encode_fields(np.array([fake])[..., :2], LINE, (H, W)).heatmaps
    for channel in range(3):
        assert torch.equal(masked.heatmap_weights[0, channel] == 0, torch.from_numpy(gaussian[channel] > 0.25))
    assert torch.equal(masked.heatmap_weights[0, 3] == 0, torch.from_numpy((gaussian[:3] > 0.25).any(axis=0)))
    limb = torch.from_numpy(np.hypot(*encode_fields(np.array([fake])[..., :2], LINE, (H, W)).pafs[:2]) > 0.25)
    assert torch.equal(masked.paf_weights[0, 0] == 0, limb)
    assert torch.equal(masked.paf_weights[0, 1] == 0, limb)
    assert masked.paf_weights[0, 2:].min() == 1
    assert (plain.counts.tolist(), masked.counts.tolist()) == ([4], [2])


def test_a_clipped_person_has_limbs_only_inside_and_no_joints_outside() -> None:
    joints = np.array([[labelled((11.5, 11.5), (35.5, 11.5), None)]])
    targets = targets_of(people_of(joints, clips=[[[-0.5, -0.5, 23.5, 31.5]]]))
    assert not targets.heatmaps[0, 1].any()
    assert (targets.pafs[0, 0, 1, :3] == 1).all()
    assert not targets.pafs[0, 0, :, 3:].any()


@pytest.mark.parametrize("people", [0, 1])
def test_a_crop_with_nobody_is_background(people: int) -> None:
    joints = np.full((2, people, 3, 3), np.nan)
    joints[..., 2] = 0
    targets = targets_of(people_of(joints.reshape(2, people, 3, 3)))
    assert targets.heatmaps[:, :3].max() == 0
    assert targets.heatmaps[:, 3].min() == 1
    assert targets.pafs.abs().max() == 0
    assert targets.counts.tolist() == [0, 0]
