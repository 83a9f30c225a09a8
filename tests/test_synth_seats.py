"""What seated people sit on."""

from __future__ import annotations

import numpy as np
import pytest

from ltsh_deploy.train.synth_body import load_body, sample_shape
from ltsh_deploy.train.synth_collision import mesh_penetration
from ltsh_deploy.train.synth_figure import dress
from ltsh_deploy.train.synth_keyposes import load_key_poses
from ltsh_deploy.train.synth_kinematics import pose_body
from ltsh_deploy.train.synth_materials import PROP
from ltsh_deploy.train.synth_poses import DEFAULT_PRIOR
from ltsh_deploy.train.synth_seats import Seat, build_seat, find_seat
from ltsh_deploy.train.synth_types import PosedBody
from tests.synth_bodies import key_pose
from tests.synth_dummies import capsule, figure

BODY = load_body()
SEATED = [key.name for key in load_key_poses() if key.stance == "seated"]


def somebody(pose: str, seed: int = 0) -> PosedBody:
    return pose_body(BODY, sample_shape(BODY, np.random.default_rng(seed)), key_pose(pose, yaw=70.0 * seed))


@pytest.mark.parametrize("name", SEATED)
def test_who_sits_has_a_seat_that_nothing_reaches_into(name: str) -> None:
    for seed in range(4):
        posed = somebody(name, seed)
        seat = find_seat(posed)
        assert seat is not None
        points = posed.vertices[BODY.vertices_of("body")]
        above = points[np.hypot(*(points[:, :2] - seat.middle).T) < seat.radius, 2]
        assert above.min() == pytest.approx(seat.height)
        # Hips are a hand's breadth above what is sat on.
        assert 0.02 < posed.joints[6, 2] - seat.height < 0.25
        assert np.hypot(*(posed.joints[6, :2] - seat.middle)) < 0.25


def test_whoever_stands_lies_or_jumps_has_none() -> None:
    assert len(SEATED) > 3
    for key in load_key_poses():
        if key.stance != "seated":
            assert find_seat(somebody(key.name)) is None


def test_nearly_everybody_who_sits_however_varied_has_a_seat() -> None:
    found = []
    for seed in range(700):
        rng = np.random.default_rng(seed)
        pose = DEFAULT_PRIOR.sample_pose(rng)
        if pose.stance == "seated":
            found.append(find_seat(pose_body(BODY, sample_shape(BODY, rng), pose)) is not None)
    assert len(found) > 20
    assert np.mean(found) > 0.85


@pytest.mark.parametrize("seed", range(6))
def test_a_seat_is_a_closed_solid_from_the_ground_to_its_height(seed: int) -> None:
    seat = Seat(np.array([0.3, -0.2]), 0.04 if seed == 0 else 0.2, 0.45)
    vertices, faces = build_seat(np.random.default_rng(seed), seat)
    assert vertices[:, 2].min() == 0
    assert vertices[:, 2].max() == pytest.approx(0.45)
    reach = np.hypot(*(vertices[:, :2] - seat.middle).T)
    assert reach.max() <= max(1.15 * seat.radius, 0.15) + 1e-9
    corners = vertices[faces] - [*seat.middle, 0.2]
    assert np.einsum("fi,fi->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() > 0
    assert np.linalg.norm(vertices[faces[:-64, 0]] - vertices[faces[:-64, 1]], axis=1).max() < 0.06
    edges = {(int(face[k]), int(face[(k + 1) % 3])) for face in faces for k in range(3)}
    assert {(b, a) for a, b in edges} == edges


def test_the_seat_is_part_of_the_figure_and_stands_on_the_ground() -> None:
    posed, standing = somebody("sit"), somebody("stand")
    dressed, other = (dress(BODY, one, np.random.default_rng(3)) for one in (posed, standing))
    assert dressed.attributes["clothes"]["seat"] == "stool"
    assert "seat" not in other.attributes["clothes"]
    seat = find_seat(posed)
    assert seat is not None
    is_prop = dressed.materials["kind"][dressed.face_materials] == PROP
    corners = dressed.vertices[dressed.faces[is_prop]]
    near = np.hypot(*(corners[..., :2] - seat.middle).transpose(2, 0, 1)).max(axis=1) < 0.3
    heights = corners[near & (corners[..., 2].max(axis=1) < 0.6)][..., 2]
    assert heights.min() == pytest.approx(0, abs=1e-6)
    assert heights.max() == pytest.approx(seat.height, abs=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_what_reaches_into_a_seat_is_noticed(seed: int) -> None:
    """A log from behind, below what the body has there: only the seat can be in its way."""
    posed = somebody("sit")
    seat, sitting = find_seat(posed), dress(BODY, posed, np.random.default_rng(seed))
    assert seat is not None
    ahead = posed.joints[[1, 4], :2].mean(axis=0) - seat.middle
    ahead /= np.linalg.norm(ahead)

    def depth(reaches: float) -> float:
        end = np.array([*(seat.middle - (seat.radius - reaches) * ahead), seat.height - 0.04])
        log = figure(*capsule(end - [*(0.4 * ahead), 0], end - [*(0.05 * ahead), 0], 0.05))
        return mesh_penetration(sitting, log)

    assert depth(0.05) > 0.02
    assert depth(-0.05) == 0
