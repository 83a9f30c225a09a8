"""Capsules, people in themselves, and people in each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsh_deploy.train.synth_body import load_body, sample_shape
from ltsh_deploy.train.synth_collision import (
    CAPSULE_NAMES,
    CAPSULE_RADII,
    centre_of_mass,
    figures_collide,
    mesh_penetration,
    segment_distances,
    self_collision,
)
from ltsh_deploy.train.synth_kinematics import pose_body
from ltsh_deploy.train.synth_poses import PosePrior, sample_posed_body
from ltsh_deploy.train.synth_types import Figure, PosedBody
from tests.synth_bodies import key_pose

BODY = load_body()
SKIN = BODY.vertices_of("body")
FACES = BODY.triangles["body"]
Point = tuple[float, float, float]
COORDINATES = st.floats(-2, 2)
POINTS = st.tuples(COORDINATES, COORDINATES, COORDINATES)


def naked(posed: PosedBody) -> Figure:
    """A figure of nothing but skin."""
    vertices = posed.vertices[SKIN]
    corners = vertices[FACES]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, FACES[:, corner], across)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    nothing = np.zeros(len(vertices), np.float32)
    return Figure(
        vertices=vertices,
        normals=normals,
        rest=vertices,
        faces=FACES,
        cut=nothing - 1,
        face_materials=np.zeros(len(FACES), np.int32),
        materials=np.zeros(1),
        tint=nothing,
        joints=posed.joints,
        capsules_start=posed.capsules_start,
        capsules_end=posed.capsules_end,
        attributes={},
    )


def person(seed: int, pose: str = "stand") -> Figure:
    return naked(pose_body(BODY, sample_shape(BODY, np.random.default_rng(seed)), key_pose(pose)))


@given(POINTS, POINTS, POINTS, POINTS)
def test_segments_are_as_far_apart_as_their_nearest_points(p: Point, q: Point, r: Point, s: Point) -> None:
    a, b, c, d = (np.array(end) for end in (p, q, r, s))
    found = float(segment_distances(a, b, c, d))
    shares = np.linspace(0, 1, 41)
    first, second = a + np.outer(shares, b - a), c + np.outer(shares, d - c)
    sampled = np.linalg.norm(first[:, None] - second[None], axis=2).min()
    assert found <= sampled + 1e-6
    assert found >= sampled - (np.linalg.norm(b - a) + np.linalg.norm(d - c)) / 80 - 1e-6
    assert found == pytest.approx(float(segment_distances(c, d, a, b)), abs=1e-6)


def test_segments_of_no_length_and_parallel_ones_are_no_trouble() -> None:
    x, y, origin = np.array([1.0, 0, 0]), np.array([0, 2.0, 0]), np.zeros(3)
    assert segment_distances(origin, origin, x, x) == 1
    assert segment_distances(origin, x, y, x + y) == 2
    assert segment_distances(origin, x, x * 3, x * 4) == 2
    assert segment_distances(origin, origin, -x, x) == 0


def test_every_capsule_has_flesh_around_it() -> None:
    posed = pose_body(BODY, sample_shape(BODY, np.random.default_rng(0)), key_pose("stand"))
    for name, radius, start, end in zip(
        CAPSULE_NAMES, CAPSULE_RADII, posed.capsules_start, posed.capsules_end, strict=True
    ):
        middle = (start + end) / 2
        nearest = np.linalg.norm(posed.vertices[SKIN] - middle, axis=1).min()
        assert 0.004 < nearest < radius * 1.6, name


def test_the_centre_of_mass_of_who_stands_is_in_the_belly() -> None:
    posed = pose_body(BODY, sample_shape(BODY, np.random.default_rng(0)), key_pose("stand"))
    centre = centre_of_mass(posed.capsules_start.astype(float), posed.capsules_end.astype(float))
    stature = posed.shape.attributes["height"]
    assert 0.5 < centre[2] / stature < 0.6
    assert np.abs(centre[:2]).max() < 0.08


def test_a_hand_in_the_belly_is_found() -> None:
    shape = sample_shape(BODY, np.random.default_rng(0))
    fine = key_pose("stand")
    inside = replace(fine, arms=np.array([[[0.1, 0, -1], [-1, -0.05, -0.1]]] * 2))
    assert self_collision(pose_body(BODY, shape, fine)) < 0.02
    assert self_collision(pose_body(BODY, shape, inside)) > 0.06


def test_people_in_each_other_collide_and_people_apart_do_not() -> None:
    one, other = person(1), person(2)
    assert figures_collide(one, other)
    assert figures_collide(one, other.moved([0.1, 0.05, 0]))
    assert not figures_collide(one, other.moved([1.2, 0, 0]))
    assert not figures_collide(one, other.moved([0, 0, 2.2]))


def test_the_order_of_two_people_does_not_matter() -> None:
    one, other = person(1, "run"), person(2, "punch")
    for aside in np.linspace(0.2, 1, 9):
        moved = other.moved([aside, 0.1, 0])
        assert figures_collide(one, moved) == figures_collide(moved, one)
        assert mesh_penetration(one, moved) == mesh_penetration(moved, one)


def test_what_the_capsules_do_not_hold_counts_too_unless_it_is_cut_off() -> None:
    one, other = person(1), person(2).moved([0.75, 0, 0])
    assert not figures_collide(one, other)
    # A pole that the first holds out, as wide as a hand, right through the other.
    pole = np.array([[x, 0.02 * np.cos(t), 1.0 + 0.02 * np.sin(t)] for x in np.arange(0.2, 1, 0.01) for t in range(6)])
    pole += [0, float(other.joints[6, 1]), 0]
    outward = np.array([[0, np.cos(t), np.sin(t)] for _ in np.arange(0.2, 1, 0.01) for t in range(6)])
    longer = replace(
        one,
        vertices=np.concatenate([one.vertices, pole]).astype(np.float32),
        normals=np.concatenate([one.normals, outward]).astype(np.float32),
        cut=np.concatenate([one.cut, np.full(len(pole), -1)]).astype(np.float32),
    )
    assert figures_collide(longer, other)
    without = replace(longer, cut=np.where(np.arange(len(longer.cut)) < len(one.cut), -1, 1).astype(np.float32))
    assert not figures_collide(without, other)


def is_inside(points: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """Whether points [N, 3] are inside a closed mesh of triangles [F, 3, 3]: a ray upward leaves it once too often."""
    a, b, c = np.moveaxis(mesh, 1, 0)

    def side(start: np.ndarray, end: np.ndarray, x: float, y: float) -> np.ndarray:
        return (end[:, 0] - start[:, 0]) * (y - start[:, 1]) - (end[:, 1] - start[:, 1]) * (x - start[:, 0])

    inside = np.zeros(len(points), bool)
    for number, (x, y, z) in enumerate(points):
        weights = np.stack([side(b, c, x, y), side(c, a, x, y), side(a, b, x, y)])
        met = np.all(weights > 0, axis=0) | np.all(weights < 0, axis=0)
        heights = np.einsum("wn,nw->n", weights[:, met], mesh[met, :, 2]) / weights[:, met].sum(axis=0)
        inside[number] = (heights > z).sum() % 2 == 1
    return inside


def test_the_exact_test_knows_inside_from_outside() -> None:
    one = person(1)
    mesh = one.vertices[FACES].astype(float)
    assert is_inside((one.vertices - 0.005 * one.normals)[::200], mesh).mean() > 0.9
    assert is_inside((one.vertices + 0.005 * one.normals)[::200], mesh).mean() < 0.1


def test_people_who_are_said_not_to_collide_are_not_in_each_other() -> None:
    rng = np.random.default_rng(3)
    figures = [naked(sample_posed_body(BODY, sample_shape(BODY, rng), PosePrior(), rng)[0]) for _ in range(12)]
    accepted = wrongly = 0
    while accepted < 60:
        first, second = (figures[i] for i in rng.choice(len(figures), 2, replace=False))
        second = second.moved([*rng.uniform(-0.8, 0.8, 2), 0])
        low = np.maximum(first.vertices.min(axis=0), second.vertices.min(axis=0))
        high = np.minimum(first.vertices.max(axis=0), second.vertices.max(axis=0))
        # Only people whose boxes overlap, and so who are close, tell anything.
        if np.any(low > high) or figures_collide(first, second):
            continue
        accepted += 1
        common = np.all((second.vertices > low) & (second.vertices < high), axis=1)
        # 5 mm below the skin of the second.
        below = (second.vertices - 0.005 * second.normals)[common][::9]
        wrongly += bool(is_inside(below[:60], first.vertices[FACES].astype(float)).any())
    assert wrongly == 0
