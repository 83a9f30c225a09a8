"""The body asset, people's shapes, and where their joints are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ltsh_deploy
from ltsh_deploy.errors import UsageError
from ltsh_deploy.skeletons import MPII16
from ltsh_deploy.train.synth_body import load_body, sample_shape
from ltsh_deploy.train.synth_types import Shape

BODY = load_body()
ASSETS = Path(ltsh_deploy.__file__).parent / "assets" / "synthetic"


def shapes(count: int = 60) -> list[Shape]:
    rng = np.random.default_rng(0)
    return [sample_shape(BODY, rng) for _ in range(count)]


def rest_joints(joints: str = "anatomical") -> dict[str, np.ndarray]:
    body = load_body(joints)
    found = body.joint_bone_weights @ body.mean_bone_heads
    found[MPII16.joints.index("head_top")] = body.mean[body.head_top]
    return dict(zip(MPII16.joints, found, strict=True))


def test_the_asset_is_small_and_names_its_licence() -> None:
    assert (ASSETS / "body.npz").stat().st_size <= 5_000_000
    assert "CC0" in (ASSETS / "LICENCE.md").read_text(encoding="utf-8")


def test_the_arrays_of_the_body_fit_each_other() -> None:
    count, bones = len(BODY.mean), len(BODY.bone_names)
    assert BODY.basis.shape[1:] == (count, 3)
    assert BODY.skin_bones.shape == BODY.skin_weights.shape == (count, 6)
    assert BODY.skin_bones.min() >= 0 < BODY.skin_bones.max() < bones
    np.testing.assert_allclose(BODY.skin_weights.sum(axis=1), 1, atol=1e-5)
    assert all(parent < bone for bone, parent in enumerate(BODY.bone_parents))
    assert set(BODY.triangles) == {"body", "tights", "skirt", "hair", "left_eye", "right_eye"}
    assert all(0 <= faces.min() <= faces.max() < count for faces in BODY.triangles.values())
    # The skin comes first, so that what touches the ground can be told by a vertex's number.
    np.testing.assert_array_equal(BODY.vertices_of("body"), np.arange(len(BODY.vertices_of("body"))))


def test_the_skin_is_closed_so_that_inside_and_outside_mean_something() -> None:
    faces = BODY.triangles["body"]
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    _, uses = np.unique(edges, axis=0, return_counts=True)
    assert set(uses) == {2}


def test_joints_lie_where_they_do_in_people() -> None:
    joints = rest_joints()
    heights = [joints[name][2] for name in ("head_top", "neck", "thorax", "left_elbow", "left_hip", "left_knee")]
    assert heights == sorted(heights, reverse=True)
    for name, place in joints.items():
        if name.startswith("left_"):
            assert place[0] > 0.05
            mirrored = joints["right_" + name.removeprefix("left_")] * [-1, 1, 1]
            np.testing.assert_allclose(place, mirrored, atol=2e-3)
    np.testing.assert_allclose(joints["pelvis"], (joints["left_hip"] + joints["right_hip"]) / 2, atol=1e-6)
    assert 0.15 < joints["left_hip"][0] * 2 < 0.21
    # Joints are within the body: each is nearer to the skin than limbs are thick, and none is on it.
    skin = BODY.mean[BODY.vertices_of("body")]
    for name, place in joints.items():
        if name != "head_top":
            assert 0.01 < np.linalg.norm(skin - place, axis=1).min() < 0.13, name


def test_joints_as_they_are_labelled_are_wider_and_lower_at_the_hips() -> None:
    ours, labelled = rest_joints(), rest_joints("lsp")
    trunk = ours["thorax"][2] - ours["pelvis"][2]
    assert ours["left_hip"][2] - labelled["left_hip"][2] == pytest.approx(0.065 * trunk, rel=0.05)
    assert labelled["left_hip"][0] - ours["left_hip"][0] == pytest.approx(0.07 * trunk, rel=0.1)
    assert ours["neck"][2] - labelled["neck"][2] == pytest.approx(0.08 * trunk, rel=0.1)
    np.testing.assert_array_equal(labelled["left_elbow"], ours["left_elbow"])
    np.testing.assert_allclose(labelled["pelvis"], (labelled["left_hip"] + labelled["right_hip"]) / 2, atol=1e-6)
    with pytest.raises(UsageError, match="no joints are known as 'coco'"):
        load_body("coco")


def test_regions_run_along_the_limbs() -> None:
    heads = {name: BODY.mean_bone_heads[BODY.bone(name)] for name in BODY.bone_names}

    def around(bone: str) -> np.ndarray:
        return np.linalg.norm(BODY.mean - heads[bone], axis=1) < 0.07

    regions = BODY.regions
    assert np.median(regions.arm[around("lowerarm01.L")]) == pytest.approx(1, abs=0.15)
    assert np.median(regions.arm[around("wrist.R")]) == pytest.approx(2, abs=0.2)
    assert np.median(regions.leg[around("lowerleg01.R")]) == pytest.approx(1, abs=0.1)
    assert np.median(regions.leg[around("foot.L")]) == pytest.approx(2, abs=0.1)
    assert regions.head_weight[BODY.head_top] > 0.9
    assert regions.arm_weight[around("spine02")].max() < 0.3


def test_people_are_as_tall_as_people() -> None:
    everyone = [shape.attributes for shape in shapes()]
    men = [a["height"] for a in everyone if a["age_years"] > 20 and a["gender"] < 0.3]
    women = [a["height"] for a in everyone if a["age_years"] > 20 and a["gender"] > 0.7]
    assert 1.65 < np.mean(men) < 1.82
    assert 1.55 < np.mean(women) < 1.72
    assert all(0.9 < a["height"] < 2.1 and 3 < a["age_years"] < 90 for a in everyone)


def test_shapes_are_made_again_from_their_seed_and_differ() -> None:
    first, second = (sample_shape(BODY, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.vertices, second.vertices)
    assert first.attributes == second.attributes
    other = sample_shape(BODY, np.random.default_rng(8))
    assert np.abs(other.vertices - first.vertices).max() > 0.01
    assert first.vertices.dtype == first.bone_heads.dtype == np.float32


def test_bones_stay_within_the_body_they_belong_to() -> None:
    for shape in shapes(10):
        wrist = shape.bone_heads[BODY.bone("wrist.L")]
        moved = BODY.skin_bones[:, 0] == BODY.bone("wrist.L")
        assert np.linalg.norm(shape.vertices[moved] - wrist, axis=1).min() < 0.05
