"""Averaging over scales and mirror images, on the maps a perfect network would give for each pass."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.people import random_people
from ltsh_deploy.decode import decode_fields
from ltsh_deploy.encode import encode_fields
from ltsh_deploy.images import place
from ltsh_deploy.resampling import Pass, average_passes
from ltsh_deploy.skeletons import COCO17, LSP14, LTSH15, Skeleton


def perfect_pass(
    people: np.ndarray, image_size: tuple[int, int], skeleton: Skeleton, scale: float, mirrored: bool
) -> Pass:
    """What a perfect network says of the image's people, seen at a scale, mirrored or not."""
    placement = place(image_size, (368, 368), 8, scale)
    xy = placement.to_input(people)
    if mirrored:
        xy = xy[:, list(skeleton.flip_joints)]
        xy[..., 0] = placement.content_size[0] - 1 - xy[..., 0]
    width, height = placement.input_size
    return Pass(placement, mirrored, encode_fields(xy, skeleton, (height // 8, width // 8)))


@pytest.mark.parametrize("skeleton", [LTSH15, LSP14, COCO17], ids=lambda s: s.name)
@pytest.mark.parametrize("image_size", [(640, 480), (481, 639), (368, 368), (203, 97)])
@pytest.mark.parametrize(
    "views",
    [
        [(1.0, False), (1.0, True)],
        [(1.0, True)],
        [(0.7, False), (1.0, False), (1.3, False)],
        [(0.7, False), (0.7, True), (1.0, True), (1.3, False), (1.3, True)],
    ],
)
def test_the_average_of_all_views_says_what_each_of_them_says(
    skeleton: Skeleton, image_size: tuple[int, int], views: list[tuple[float, bool]]
) -> None:
    people = random_people(
        np.random.default_rng(5), 3, skeleton, image_size, height=(0.5, 0.9), apart=0.08 * image_size[0]
    )
    passes = [perfect_pass(people, image_size, skeleton, *view) for view in views]
    fields, placement = average_passes(passes, skeleton)
    poses = decode_fields(fields, skeleton)
    found = placement.to_image(poses.xy)
    assert len(found) == len(people)
    errors = found[:, None] - people[None]
    distances = np.hypot(errors[..., 0], errors[..., 1])
    nearest = np.nanmean(distances, axis=2).argmin(axis=1)
    assert sorted(nearest) == [0, 1, 2]
    # In pixels of the network's input, where a cell has eight.
    scale = np.array(placement.scales)
    own = (errors * scale)[np.arange(3), nearest]
    assert np.nanmedian(np.hypot(own[..., 0], own[..., 1])) < 0.25
    assert np.abs(np.nanmean(own, axis=(0, 1))).max() < 0.15


def test_one_plain_view_is_left_as_it_is() -> None:
    people = random_people(np.random.default_rng(0), 2, LTSH15, (320, 240))
    single = perfect_pass(people, (320, 240), LTSH15, 1.0, False)
    fields, placement = average_passes([single], LTSH15)
    assert fields is single.fields
    assert placement is single.placement


def test_a_view_and_its_exact_mirror_image_agree_cell_by_cell() -> None:
    """368 pixels are a whole number of cells, so that mirroring moves every cell onto a cell."""
    people = random_people(np.random.default_rng(1), 3, LTSH15, (368, 368))
    plain, mirrored = (perfect_pass(people, (368, 368), LTSH15, 1.0, m) for m in (False, True))
    fields, _ = average_passes([mirrored], LTSH15)
    np.testing.assert_allclose(fields.heatmaps, plain.fields.heatmaps, atol=1e-5)
    np.testing.assert_allclose(fields.pafs, plain.fields.pafs, atol=1e-5)
