"""Posing: directions of limbs, the ground, balance, skinning, and rotations."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.skeletons import MPII16
from ltsh_deploy.train.synth_body import load_body, sample_shape
from ltsh_deploy.train.synth_collision import centre_of_mass
from ltsh_deploy.train.synth_keyposes import load_key_poses
from ltsh_deploy.train.synth_kinematics import hinge_twist, pose_body, to_body, to_outward
from ltsh_deploy.train.synth_rotations import about, bend, bend_angles, fraction, frame, shortest, unit
from ltsh_deploy.train.synth_skinning import skin
from ltsh_deploy.train.synth_types import PosedBody
from tests.synth_bodies import key_pose

BODY = load_body()
SHAPE = sample_shape(BODY, np.random.default_rng(1))
SKIN = int(BODY.triangles["body"].max()) + 1
ANGLES = st.floats(-170, 170)
PARTS = st.floats(-1, 1).filter(lambda x: abs(x) > 1e-3)
DIRECTIONS = st.tuples(PARTS, PARTS, PARTS)


def posed(name: str, yaw: float = 0.0) -> PosedBody:
    return pose_body(BODY, SHAPE, key_pose(name, yaw))


def joint(body: PosedBody, name: str) -> np.ndarray:
    return body.joints[MPII16.joints.index(name)].astype(float)


def bone(body: PosedBody, name: str) -> np.ndarray:
    return body.bone_heads[BODY.bone(name)].astype(float)


def angle(a: np.ndarray, b: np.ndarray) -> float:
    return math.degrees(math.acos(np.clip(unit(a) @ unit(b), -1, 1)))


def is_rotation(matrix: np.ndarray) -> bool:
    return np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-6) and np.linalg.det(matrix) > 0


@given(DIRECTIONS, DIRECTIONS)
def test_the_shortest_rotation_takes_one_direction_to_the_other(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    turned = shortest(a, b)
    assert is_rotation(turned)
    np.testing.assert_allclose(turned @ unit(a), unit(b), atol=1e-6)


def test_opposite_directions_are_half_a_turn_apart() -> None:
    for axis in np.eye(3):
        assert is_rotation(shortest(axis, -axis))
        np.testing.assert_allclose(shortest(axis, -axis) @ axis, -axis, atol=1e-9)


@given(DIRECTIONS, st.floats(-math.pi, math.pi), st.integers(1, 6))
def test_a_fraction_of_a_rotation_repeated_is_the_rotation(axis: tuple[float, ...], turn: float, parts: int) -> None:
    whole = about(unit(axis), turn)
    step = fraction(whole, 1 / parts)
    assert is_rotation(step)
    np.testing.assert_allclose(np.linalg.matrix_power(step, parts), whole, atol=1e-5)


@given(ANGLES, st.floats(-80, 80), ANGLES)
def test_bends_are_read_off_their_rotation(forward: float, left: float, turn: float) -> None:
    np.testing.assert_allclose(bend(*bend_angles(bend(forward, left, turn))), bend(forward, left, turn), atol=1e-9)
    np.testing.assert_allclose(bend_angles(bend(forward, left, turn)), [forward, left, turn], atol=1e-6)


def test_a_bend_forward_takes_the_head_to_where_the_body_faces() -> None:
    np.testing.assert_allclose(bend(90, 0, 0) @ [0, 0, 1], [0, -1, 0], atol=1e-9)
    np.testing.assert_allclose(bend(0, 90, 0) @ [0, 0, 1], [1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(bend(0, 0, 90) @ [0, -1, 0], [1, 0, 0], atol=1e-9)


@given(DIRECTIONS, DIRECTIONS)
def test_a_frame_has_its_first_axis_where_it_was_asked_to(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    if angle(np.array(a), np.array(b)) % 180 > 1:
        made = frame(a, b)
        assert is_rotation(made)
        np.testing.assert_allclose(made[:, 0], unit(a), atol=1e-9)
        assert made[:, 1] @ np.array(b) > 0


@given(DIRECTIONS, DIRECTIONS)
def test_a_hinge_is_perpendicular_to_its_upper_limb(upper: tuple[float, ...], lower: tuple[float, ...]) -> None:
    axis, _ = hinge_twist(unit(upper), unit(lower), np.array([0.0, 0, -1]), np.array([1.0, 0, 0]))
    assert abs(axis @ unit(upper)) < 1e-6


def test_outward_is_the_same_on_both_sides() -> None:
    direction = np.array([0.5, 0.3, -0.8])
    np.testing.assert_array_equal(to_body(direction, 1), [0.5, -0.3, -0.8])
    np.testing.assert_array_equal(to_body(direction, -1), [-0.5, -0.3, -0.8])
    for side in (1, -1):
        np.testing.assert_array_equal(to_outward(to_body(direction, side), side), direction)


@pytest.mark.parametrize("name", [key.name for key in load_key_poses()])
def test_limbs_point_where_the_pose_says(name: str) -> None:
    # In the frames of the bones that carry them, so that what tilts the whole body does not matter.
    body = posed(name)
    pose = body.pose
    pelvis, chest = (body.rotations[BODY.bone(carrier)].astype(float) for carrier in ("root", "spine01"))
    for index, (suffix, side) in enumerate((("L", 1.0), ("R", -1.0))):
        for frame_, (start, end), direction in (
            (chest, ("upperarm01", "lowerarm01"), pose.arms[index, 0]),
            (chest, ("lowerarm01", "wrist"), pose.arms[index, 1]),
            (pelvis, ("upperleg01", "lowerleg01"), pose.legs[index, 0]),
            (pelvis, ("lowerleg01", "foot"), pose.legs[index, 1]),
        ):
            found = bone(body, f"{end}.{suffix}") - bone(body, f"{start}.{suffix}")
            # The two halves of a limb's bone are not quite in line at rest.
            assert angle(frame_.T @ found, to_body(direction, side)) < 4


@pytest.mark.parametrize("name", [key.name for key in load_key_poses()])
def test_bodies_are_on_the_ground_and_bones_keep_their_length(name: str) -> None:
    body = posed(name)
    assert body.vertices[:SKIN, 2].min() == pytest.approx(body.pose.lift, abs=1e-5)
    np.testing.assert_allclose(joint(body, "pelvis")[:2], 0, atol=1e-5)
    parents = BODY.bone_parents[1:]
    before = np.linalg.norm(SHAPE.bone_heads[1:] - SHAPE.bone_heads[parents], axis=1)
    after = np.linalg.norm(body.bone_heads[1:] - body.bone_heads[parents], axis=1)
    np.testing.assert_allclose(after, before, atol=1e-4)
    assert all(is_rotation(rotation) for rotation in body.rotations)
    assert np.isfinite(body.vertices).all()


def test_a_standing_body_has_both_feet_flat_on_the_ground() -> None:
    body = posed("stand", yaw=130)
    for suffix in "LR":
        foot = BODY.skin_bones[:SKIN, 0] == BODY.bone(f"foot.{suffix}")
        assert body.vertices[:SKIN][foot][:, 2].min() < 0.02
        ankle, toes = bone(body, f"foot.{suffix}"), bone(body, f"toe2-1.{suffix}")
        rest = SHAPE.bone_heads[BODY.bone(f"toe2-1.{suffix}")] - SHAPE.bone_heads[BODY.bone(f"foot.{suffix}")]
        assert toes[2] - ankle[2] == pytest.approx(rest[2], abs=0.01)


@pytest.mark.parametrize("raised", [(0.3, 0.1), (0.1, 0.3), (0.25, 0.0)])
def test_both_feet_of_who_stands_come_to_the_ground(raised: tuple[float, float]) -> None:
    # Thighs drawn forward by unlike amounts, above upright shins, would leave one foot in the air.
    legs = np.array([[[0.08, forward, -1], [0.05, 0, -1]] for forward in raised])
    body = pose_body(BODY, SHAPE, replace(key_pose("stand"), legs=legs))
    apart = pose_body(BODY, SHAPE, replace(key_pose("stand"), legs=legs, stance="seated"))
    feet = [BODY.skin_bones[:SKIN, 0] == BODY.bone(f"foot.{suffix}") for suffix in "LR"]
    assert max(body.vertices[:SKIN][foot, 2].min() for foot in feet) < 0.008
    assert max(apart.vertices[:SKIN][foot, 2].min() for foot in feet) > 0.008
    # Ankles stay on the lines on which they hung from the hips.
    for index, (suffix, side) in enumerate((("L", 1.0), ("R", -1.0))):
        lengths = [
            np.linalg.norm(bone(body, f"{end}.{suffix}") - bone(body, f"{start}.{suffix}"))
            for start, end in (("upperleg01", "lowerleg01"), ("lowerleg01", "foot"))
        ]
        drawn = sum(length * unit(to_body(part, side)) for length, part in zip(lengths, legs[index], strict=True))
        assert angle(bone(body, f"foot.{suffix}") - bone(body, f"upperleg01.{suffix}"), np.asarray(drawn)) < 4


def test_a_foot_that_is_meant_to_be_raised_stays_so() -> None:
    body = posed("kick_ball")
    np.testing.assert_array_equal(body.pose.legs, key_pose("kick_ball").legs)
    assert joint(body, "left_ankle")[2] > 0.3


def test_a_turned_body_is_the_same_body() -> None:
    still, turned = posed("run"), posed("run", yaw=70)
    np.testing.assert_allclose(turned.joints, still.joints @ bend(0, 0, 70).T, atol=1e-4)


def test_a_mirrored_pose_is_the_mirror_image() -> None:
    for key in load_key_poses()[::9]:
        pose, flipped = key_pose(key.name), key.mirrored()
        other = replace(
            pose,
            arms=flipped.arms,
            legs=flipped.legs,
            chest=flipped.chest,
            head=flipped.head,
            ankles=flipped.ankles,
            root=bend(*flipped.tilt, 0.0),
        )
        # The average body is symmetric; others are nearly so.
        mean = replace(SHAPE, vertices=BODY.mean, bone_heads=BODY.mean_bone_heads)
        joints = pose_body(BODY, mean, pose).joints
        mirrored = pose_body(BODY, mean, other).joints[list(MPII16.flip_joints)] * [-1, 1, 1]
        np.testing.assert_allclose(mirrored, joints, atol=0.02, err_msg=key.name)


def test_who_lies_rests_on_the_ground_with_the_weight_above_it() -> None:
    for name in ("lie_on_back", "push_up", "sit_on_floor", "crawl"):
        body = posed(name)
        centre = centre_of_mass(body.capsules_start.astype(float), body.capsules_end.astype(float))
        touching = body.vertices[:SKIN][body.vertices[:SKIN, 2] < 0.015]
        # Something touches the ground on each side of the centre of mass, whichever way one looks at it.
        for turn in np.arange(0, 180, 30):
            aside = (touching[:, :2] - centre[:2]) @ [math.cos(math.radians(turn)), math.sin(math.radians(turn))]
            assert aside.min() < 0.02, name
            assert aside.max() > -0.02, name


def test_who_balances_has_the_weight_above_the_support() -> None:
    for name in ("handstand", "arabesque", "scale"):
        body = posed(name)
        centre = centre_of_mass(body.capsules_start.astype(float), body.capsules_end.astype(float))
        support = body.vertices[:SKIN][body.vertices[:SKIN, 2] < 0.03].mean(axis=0)
        assert np.linalg.norm((support - centre)[:2]) < 0.12, name


def test_a_handstand_is_upside_down() -> None:
    body = posed("handstand")
    assert joint(body, "left_ankle")[2] > joint(body, "pelvis")[2] > joint(body, "head_top")[2] > 0
    assert joint(body, "left_wrist")[2] < 0.2


def test_fingers_curl_towards_the_palm() -> None:
    flat, curled = (
        pose_body(BODY, SHAPE, replace(key_pose("arms_out"), finger_curls=np.full(2, degrees))) for degrees in (0, 60)
    )
    for suffix in "LR":
        # With the arms out and the palms down, the tips come down.
        assert bone(curled, f"finger3-3.{suffix}")[2] < bone(flat, f"finger3-3.{suffix}")[2] - 0.02


def test_toes_turn_outward_on_both_sides() -> None:
    straight, turned = (
        pose_body(BODY, SHAPE, replace(key_pose("stand"), foot_turns=np.full(2, degrees))) for degrees in (0.0, 30.0)
    )
    for suffix, side in (("L", 1), ("R", -1)):
        before, after = (bone(b, f"toe2-1.{suffix}") - bone(b, f"foot.{suffix}") for b in (straight, turned))
        assert side * (after[0] - before[0]) > 0.04


def test_skinning_is_the_weighted_mean_of_what_bones_do() -> None:
    rng = np.random.default_rng(0)
    rest, weights = rng.normal(size=(50, 3)).astype(np.float32), rng.random((50, 6)).astype(np.float32)
    weights[:, 4] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    bones = rng.integers(0, 9, (50, 6)).astype(np.int32)
    rotations, translations = rng.normal(size=(9, 3, 3)).astype(np.float32), rng.normal(size=(9, 3)).astype(np.float32)
    moved = np.einsum("nwij,nj->nwi", rotations[bones], rest) + translations[bones]
    expected = np.einsum("nw,nwi->ni", weights, moved)
    np.testing.assert_allclose(skin(rest, weights, bones, rotations, translations), expected, atol=1e-5)


def test_points_that_are_attached_move_with_the_body() -> None:
    body = posed("walk", yaw=40)
    ids = np.arange(0, len(BODY.mean), 37, dtype=np.int32)
    np.testing.assert_allclose(body.skin(SHAPE.vertices[ids], ids), body.vertices[ids], atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_directions_at_all_break_the_body(seed: int) -> None:
    rng = np.random.default_rng(seed)
    anything = replace(
        key_pose("stand"),
        arms=rng.normal(size=(2, 2, 3)),
        legs=rng.normal(size=(2, 2, 3)),
        root=bend(*rng.uniform(-180, 180, 3)),
        chest=rng.uniform(-180, 180, 3),
        stance=str(rng.choice(["standing", "lying", "balancing", "airborne"])),
    )
    body = pose_body(BODY, SHAPE, anything)
    assert np.isfinite(body.vertices).all()
    assert all(is_rotation(rotation) for rotation in body.rotations)
    assert body.vertices[:SKIN, 2].min() == pytest.approx(0, abs=1e-5)
