"""Key poses, joint limits, and poses at random."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.errors import UsageError
from ltsh_deploy.train.synth_body import load_body, sample_shape
from ltsh_deploy.train.synth_collision import self_collision
from ltsh_deploy.train.synth_keyposes import KINDS, load_key_poses
from ltsh_deploy.train.synth_kinematics import pose_body
from ltsh_deploy.train.synth_limits import ATHLETE, ORDINARY, Limits, foot_turn
from ltsh_deploy.train.synth_poses import PosePrior, sample_posed_body, within_limits
from ltsh_deploy.train.synth_types import Pose
from tests.synth_bodies import key_pose, sample_pose

ROOT = Path(__file__).parent.parent
BODY = load_body()
SHAPE = sample_shape(BODY, np.random.default_rng(1))
STANCES = {"standing", "seated", "lying", "balancing", "airborne"}


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Degrees between directions [..., 3]."""
    cosines = np.sum(a * b, axis=-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))


def test_there_are_poses_of_every_kind() -> None:
    keys = load_key_poses()
    assert len({key.name for key in keys}) == len(keys) >= 100
    assert all(number >= 40 for number in Counter(key.kind for key in keys).values())
    assert {key.kind for key in keys} == set(KINDS)
    assert {key.stance for key in keys} == STANCES
    assert all(key.weight > 0 and key.lift >= 0 for key in keys)
    assert all((key.lift > 0) >= (key.stance == "airborne") for key in keys)


@pytest.mark.parametrize("name", [key.name for key in load_key_poses()])
def test_key_poses_are_what_a_body_can_do(name: str) -> None:
    pose = key_pose(name)
    kind = next(key.kind for key in load_key_poses() if key.name == name)
    limited = within_limits(pose, kind)
    assert angles(limited.arms, pose.arms).max() < 9
    assert angles(limited.legs, pose.legs).max() < 9
    np.testing.assert_allclose([limited.chest, limited.head], [pose.chest, pose.head])
    assert self_collision(pose_body(BODY, SHAPE, pose)) < 0.05


@pytest.mark.parametrize("limits", [ORDINARY, ATHLETE])
@given(st.integers(0, 2**32 - 1))
def test_limits_hold_whatever_is_drawn(limits: Limits, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for limit, bends in ((limits.arm, limits.elbow), (limits.leg, limits.knee)):
        drawn = rng.normal(size=(2, 3))
        limited = limit(drawn)
        np.testing.assert_allclose(np.linalg.norm(limited, axis=1), 1, atol=1e-6)
        assert angles(limited[0], limited[1]) <= bends[1] + 1e-3
        # A limb that is all but straight may be straightened by a second time.
        assert angles(limit(limited), limited).max() < 12
    chest, head = limits.trunk(rng.normal(0, 90, 3), rng.normal(0, 90, 3))
    assert np.abs(chest).max() <= 75
    assert np.abs(head).max() <= 70


def test_a_knee_does_not_bend_forward_nor_an_elbow_backward() -> None:
    shin_forward = ORDINARY.leg(np.array([[0.05, 0, -1], [0.05, 0.9, -0.6]]))
    assert shin_forward[1, 1] < 0.15
    forearm_backward = ORDINARY.arm(np.array([[0.1, 0, -1], [0.1, -0.9, -0.6]]))
    assert forearm_backward[1, 1] > -0.25
    bent_knee, bent_elbow = np.array([[0.05, 0.3, -1], [0.02, -0.6, -1]]), np.array([[0.2, 0, -1], [0, 1, 0.2]])
    assert angles(ORDINARY.leg(bent_knee), bent_knee).max() < 0.1
    assert angles(ORDINARY.arm(bent_elbow), bent_elbow).max() < 0.1


def test_a_leg_does_not_reach_behind_the_back() -> None:
    behind = np.array([[0.05, -1, 0.3], [0.05, -1, 0.3]])
    assert angles(ORDINARY.leg(behind)[0], np.array([0, 0, -1])) <= 50
    assert 60 < angles(ATHLETE.leg(behind)[0], np.array([0, 0, -1])) <= 86
    # An arm comes there over the head, and is brought back to above it.
    assert ORDINARY.arm(np.array([[0.2, -0.6, 1], [0.2, -0.6, 1]]))[0, 2] > 0.85


def test_a_foot_turns_from_where_the_knee_points() -> None:
    straight = np.array([[0.08, 0.09, -1], [0.08, 0.09, -1.0]])
    assert foot_turn(straight, np.array([0, 1, 0])) == pytest.approx(0, abs=6)
    assert foot_turn(straight, np.array([1, 1, 0])) == pytest.approx(45, abs=6)
    assert foot_turn(straight, straight[1] / np.linalg.norm(straight[1])) == 0


def same(first: Pose, second: Pose) -> bool:
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in vars(first))


def test_poses_are_made_again_from_their_seed() -> None:
    for seed in range(20):
        first, second = (sample_pose(np.random.default_rng(seed)) for _ in range(2))
        assert same(first, second)
        assert not same(first, sample_pose(np.random.default_rng(seed + 1000)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 4))
def test_random_poses_are_sound(seed: int, width: float) -> None:
    pose = PosePrior(width=width).sample_pose(np.random.default_rng(seed))
    np.testing.assert_allclose(np.linalg.norm([pose.arms, pose.legs], axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(pose.root @ pose.root.T, np.eye(3), atol=1e-9)
    assert pose.stance in STANCES
    assert 0 <= pose.lift <= 1.5
    assert (pose.lift == 0) or pose.stance in ("airborne", "seated")
    assert np.abs(pose.ankles).max() <= 60 >= np.abs(pose.wrists).max()
    assert pose.upright == (pose.stance == "standing")


def spread(width: float) -> float:
    """How far arms are from the key poses they came from, in degrees, where nothing but the width matters."""
    prior = PosePrior(width=width, wild=0, mixing=0, blending=0, tumbling=0)
    rng, found = np.random.default_rng(0), []
    keys = {key.name: key for key in load_key_poses()}
    for _ in range(150):
        pose = prior.sample_pose(rng)
        either = [angles(pose.arms, key.arms).mean() for key in (keys[pose.name], keys[pose.name].mirrored())]
        found.append(min(either))
    return float(np.mean(found))


def test_the_width_says_how_much_poses_vary() -> None:
    none, little, much = (spread(width) for width in (0, 0.5, 2))
    assert none < 1
    assert 1 < little < much / 2


def test_shares_say_which_kinds_are_drawn() -> None:
    kind_of = {key.name: key.kind for key in load_key_poses()}
    rng = np.random.default_rng(0)
    only = {kind_of[PosePrior(0, 0, 1).sample_pose(rng).name] for _ in range(40)}
    assert only == {"acrobatic"}
    drawn = Counter(kind_of[sample_pose(rng).name] for _ in range(600))
    assert 0.37 < drawn["everyday"] / 600 < 0.53
    assert 0.15 < drawn["acrobatic"] / 600 < 0.29


def test_people_face_every_way() -> None:
    rng = np.random.default_rng(0)
    facing = [math.atan2(*(sample_pose(rng).root @ [0, -1, 0])[:2]) for _ in range(200)]
    assert np.histogram(facing, bins=4, range=(-math.pi, math.pi))[0].min() > 30


@pytest.mark.parametrize(
    "wrong",
    [{"width": -1}, {"width": math.nan}, {"width": math.inf}, {"wild": 1.5}, {"everyday": -0.1}, {"tumbling": math.nan},
     {"everyday": 0, "sport": 0, "acrobatic": 0}],
)  # fmt: skip
def test_priors_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="poses: "):
        PosePrior(**wrong)


def test_bodies_in_random_poses_do_not_run_into_themselves() -> None:
    rng, rejected = np.random.default_rng(0), 0
    for _ in range(60):
        posed, before = sample_posed_body(BODY, sample_shape(BODY, rng), PosePrior(), rng)
        assert self_collision(posed) < 0.03
        rejected += before
    # Some are rejected, or nothing is tested; most are not, or key poses are at fault.
    assert 3 < rejected < 40


def test_people_are_the_same_to_the_bit_whatever_the_number_of_threads() -> None:
    program = """
import hashlib
import numpy as np
from ltsh_deploy.train.synth_body import load_body, sample_shape
from ltsh_deploy.train.synth_poses import DEFAULT_PRIOR, sample_posed_body
digest, body = hashlib.sha256(), load_body()
for seed in range(12):
    rng = np.random.default_rng(seed)
    posed, _ = sample_posed_body(body, sample_shape(body, rng), DEFAULT_PRIOR, rng)
    digest.update(posed.vertices.tobytes() + posed.joints.tobytes())
print(digest.hexdigest())
"""
    digests = set()
    for threads in ("1", "4"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        run = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        digests.add(run.stdout)
    assert len(digests) == 1


class Knot:
    """A source of one pose that cannot be: both forearms in the chest."""

    def sample_pose(self, rng: np.random.Generator) -> Pose:
        arms = np.array([[[-0.7, -0.1, -0.7], [-1, -0.1, 0]]] * 2)
        return Pose(**{**vars(key_pose("stand", rng.uniform(0, 360))), "arms": arms})


def test_the_best_of_bad_poses_is_taken_and_the_rest_counted() -> None:
    posed, rejected = sample_posed_body(BODY, SHAPE, Knot(), np.random.default_rng(0))
    assert rejected == 12
    assert self_collision(posed) > 0.03
