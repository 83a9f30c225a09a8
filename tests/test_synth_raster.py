"""The rasteriser, against a slow one that casts a ray a sample."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ltsh_deploy.train.synth_camera import aim_camera
from ltsh_deploy.train.synth_raster import (
    NEAR,
    heights,
    nearest_at,
    place_samples,
    rasterise,
    sample_bounds,
    triangle_weights,
)
from ltsh_deploy.train.synth_types import Camera

Array = npt.NDArray[np.float64]
Faces = npt.NDArray[np.int32]


def cast(vertices: Array, faces: Faces, cut: Array, camera: Camera, samples: int) -> tuple[Array, Array]:
    """Nearest triangle and depth at each sample, by solving for each ray and triangle."""
    width, height = camera.size
    rows, columns = np.mgrid[: height * samples, : width * samples].astype(float)
    x = (columns + 0.5) / samples - 0.5 - camera.principal[0]
    y = (rows + 0.5) / samples - 0.5 - camera.principal[1]
    rays = np.stack([x, y, np.full_like(x, camera.focal)], -1) / camera.focal
    local = camera.to_camera(vertices)
    found, depth = np.full(rows.shape, -1.0), np.full(rows.shape, np.inf)
    for f, face in enumerate(faces):
        corners = local[face]
        # corners.T @ weights = depth * ray, for weights that sum to 1
        weights = np.linalg.solve(corners.T, rays.reshape(-1, 3).T).T.reshape(*rows.shape, 3)
        total = weights.sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            far = 1 / total
            inside = (weights >= 0).all(axis=-1) & (far >= NEAR) & (far < depth)
            inside &= (weights / total[..., None]) @ cut[face] <= 0
        found[inside], depth[inside] = f, far[inside]
    return found, depth


def soup(seed: int, spread: float, behind: bool) -> tuple[Array, Faces, Array]:
    """Random triangles before a camera at the origin that looks along +Y, some through and behind it."""
    rng = np.random.default_rng(seed)
    middles = rng.uniform([-2, 1, -2], [2, 6, 2], (40, 3))
    if behind:
        middles[::3, 1] -= 4
    vertices = (middles[:, None] + rng.normal(0, spread, (40, 3, 3))).reshape(-1, 3)
    return (
        vertices.astype(np.float32).astype(float),
        np.arange(120, dtype=np.int32).reshape(-1, 3),
        rng.normal(-0.5, 0.6, 120),
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("spread", "behind"), [(0.2, False), (1.0, False), (1.0, True), (3.0, True)])
def test_what_is_seen_is_what_rays_hit(seed: int, spread: float, behind: bool) -> None:
    vertices, faces, cut = soup(seed, spread, behind)
    camera = aim_camera((0, 0, 0), 1e-9, 0, 30, (33, 25), roll=10)
    expected, expected_depth = cast(vertices, faces, cut, camera, 2)
    ids, nearness = np.full((50, 66), -1, np.int32), np.zeros((50, 66), np.float32)
    rasterise(place_samples(vertices.astype(np.float32), camera), faces, cut.astype(np.float32), ids, nearness)
    # Rounding may decide for a sample on an edge or on a hem, or where two triangles cross.
    assert np.count_nonzero(ids != expected) <= 2
    same = (ids == expected) & (ids >= 0)
    np.testing.assert_allclose(1 / nearness[same], expected_depth[same], rtol=1e-5)
    assert same.sum() > 100


def test_neighbours_leave_no_gap_and_a_fan_covers_its_square() -> None:
    rng = np.random.default_rng(3)
    rim = np.array([(-1, 0, -1), (1, 0, -1), (1, 0, 1), (-1, 0, 1)])
    vertices = np.concatenate([rim, [[*rng.uniform(-0.5, 0.5, 1), 0, 0.1]]]).astype(np.float32)
    faces = np.array([(0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)], np.int32)
    camera = aim_camera((0, 0, 0), 2, 0, 100, (90, 90))
    ids, nearness = np.full((180, 180), -1, np.int32), np.zeros((180, 180), np.float32)
    rasterise(place_samples(vertices, camera), faces, np.full(5, -1, np.float32), ids, nearness)
    assert (ids >= 0).all()
    np.testing.assert_allclose(nearness, 0.5, rtol=1e-6)


def test_what_is_drawn_first_stays_where_depths_are_equal() -> None:
    vertices = np.array([(-1, 0, -1), (1, 0, -1), (0, 0, 1)], np.float32)
    camera = aim_camera((0, 0, 0), 2, 0, 20, (16, 16))
    ids, nearness = np.full((32, 32), -1, np.int32), np.zeros((32, 32), np.float32)
    faces = np.array([(0, 1, 2), (2, 1, 0), (0, 1, 2)], np.int32)
    rasterise(place_samples(vertices, camera), faces, np.full(3, -1, np.float32), ids, nearness)
    assert set(np.unique(ids)) == {-1, 0}


@pytest.mark.parametrize(
    "corners",
    [
        [(0, 1, 0), (0, 1, 0), (0, 1, 0)],  # a point
        [(0, 1, 0), (0, 2, 0), (0, 3, 0)],  # seen from its edge
        [(-1, -1, 0), (1, -1, 0), (0, -2, 1)],  # behind
        [(0, 0, 0), (0, 0, 0), (1, 1, 1)],  # at the camera
        [(np.nan, 1, 0), (1, 1, 0), (0, 1, 1)],
        [(1e30, 1, 0), (1e30, 1, 1), (2e30, 1, 1)],
    ],
)
def test_triangles_that_cannot_be_seen_draw_nothing(corners: list[tuple[float, float, float]]) -> None:
    camera = aim_camera((0, 0, 0), 1e-9, 0, 30, (33, 25))
    ids, nearness = np.full((50, 66), -1, np.int32), np.zeros((50, 66), np.float32)
    placed = place_samples(np.array(corners, np.float32), camera)
    rasterise(placed, np.array([(0, 1, 2)], np.int32), np.full(3, -1, np.float32), ids, nearness)
    assert (ids == -1).all()
    assert (nearness == 0).all()


def test_weights_give_back_the_point_that_a_sample_sees() -> None:
    camera = aim_camera((0, 3, 0), 3, 20, 50, (32, 32))
    corners = np.array([(-1, 2, -1), (2, 4, 0), (0, 3, 2)], np.float32)
    placed = place_samples(corners, camera)
    for share in np.random.default_rng(0).dirichlet(np.ones(3), 20):
        at = place_samples((share @ corners).astype(np.float32)[None], camera)[0]
        found = triangle_weights(placed, 0, 1, 2, at[0] / at[2], at[1] / at[2])
        np.testing.assert_allclose(found, share, atol=1e-5)


def test_the_samples_of_a_pixel_lie_around_its_middle() -> None:
    camera = aim_camera((0, 3, 0), 6, 20, 50, (32, 32))
    points = np.random.default_rng(0).uniform(-1, 1, (20, 3)).astype(np.float32)
    xy, depth = camera.project(points)
    for samples in (1, 2, 3, 0.5):
        placed = place_samples(points, camera, samples)
        np.testing.assert_allclose(placed[:, 2], depth, rtol=1e-6)
        np.testing.assert_allclose((placed[:, :2] / placed[:, 2:] + 0.5) / samples - 0.5, xy, atol=1e-4)


def test_bounds_hold_what_is_in_front_and_are_infinite_where_nothing_is() -> None:
    placed = np.array([(2.0, 4, 2), (-9, 3, 3), (5, 5, -1)])
    low, high = sample_bounds(placed)
    assert (low.tolist(), high.tolist()) == ([-3, 1], [1, 2])
    low, high = sample_bounds(placed[2:])
    assert (low == np.inf).all()
    assert (high == -np.inf).all()


def test_heights_are_the_highest_point_over_each_cell() -> None:
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(-3, 23, (90, 2)), rng.uniform(-2, 2, 90)]).astype(np.float32)
    faces = np.arange(90, dtype=np.int32).reshape(-1, 3)
    found = np.full((20, 18), -1e9, np.float32)
    heights(points, faces, np.full(90, -1, np.float32), found)
    expected = np.full((20, 18), -1e9)
    rows, columns = np.mgrid[:20, :18]
    cells = np.stack([columns, rows, np.ones_like(rows)], -1).astype(float)
    for face in faces:
        flat = np.column_stack([points[face, :2], np.ones(3)]).astype(float)
        weights = cells @ np.linalg.inv(flat)
        inside = (weights >= 0).all(axis=-1)
        expected[inside] = np.maximum(expected[inside], (weights @ points[face, 2])[inside])
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_hems_cast_no_height() -> None:
    points = np.array([(0, 0, 1), (9, 0, 1), (0, 9, 1)], np.float32)
    found = np.full((10, 10), -1e9, np.float32)
    heights(points, np.array([(0, 1, 2)], np.int32), np.array([-1, 0.5, -1], np.float32), found)
    assert (found == -1e9).all()


@pytest.mark.parametrize(("spread", "behind"), [(0.2, False), (1.0, True), (3.0, True)])
def test_the_nearest_surface_at_a_place_is_what_a_sample_there_sees(spread: float, behind: bool) -> None:
    vertices, faces, cut = (array.astype(np.float32) for array in soup(9, spread, behind))
    camera = aim_camera((0, 0, 0), 1e-9, 0, 30, (33, 25))
    placed = place_samples(vertices, camera, 1)
    ids, nearness = np.full((25, 33), -1, np.int32), np.zeros((25, 33), np.float32)
    rasterise(placed, faces.astype(np.int32), cut, ids, nearness)
    rows, columns = np.mgrid[:25, :33]
    places = np.stack([columns.ravel(), rows.ravel()], -1).astype(float)
    found = nearest_at(placed, faces.astype(np.int32), cut, places)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(found, 1 / nearness.ravel(), rtol=1e-5)
    assert np.isfinite(found).any()
    assert np.isinf(nearest_at(placed, faces.astype(np.int32), cut, np.array([[np.nan, 3.0], [1e9, 1e9]]))).all()
