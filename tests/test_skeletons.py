from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ltsh_deploy.errors import SkeletonError
from ltsh_deploy.skeletons import (
    COCO17,
    COCO18,
    LSP14,
    LTSH15,
    MPII16,
    SKELETONS,
    Skeleton,
    conversion_matrix,
    load_skeleton,
)

BUILT_IN = list(SKELETONS.values())
built_in = st.sampled_from(BUILT_IN)


@st.composite
def skeletons(draw: st.DrawFn) -> Skeleton:
    """Any sound skeleton: sided joints that pair up, others between, limbs closed under mirroring."""
    sided = draw(st.lists(st.sampled_from(["hand", "foot", "horn", "wing"]), unique=True, max_size=4))
    plain = draw(st.lists(st.sampled_from(["head", "tail", "hump"]), unique=True, min_size=0 if sided else 1))
    joints = draw(st.permutations([*plain, *(f"{side}_{name}" for name in sided for side in ("left", "right"))]))
    pairs = tuple((joints.index(f"right_{name}"), joints.index(f"left_{name}")) for name in sided)
    partner = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    limbs: list[tuple[int, int]] = []
    if len(joints) > 1:
        ends = st.tuples(*[st.integers(0, len(joints) - 1)] * 2).filter(lambda ends: ends[0] != ends[1])
        for a, b in draw(st.lists(ends, max_size=6)):
            for limb in ((a, b), (partner.get(a, a), partner.get(b, b))):
                if frozenset(limb) not in map(frozenset, limbs):
                    limbs.append(limb)
    sigmas = draw(st.lists(st.floats(0.01, 1), min_size=len(joints), max_size=len(joints)))
    return Skeleton("any", tuple(joints), tuple(limbs), pairs, tuple(sigmas))


@pytest.mark.parametrize("skeleton", BUILT_IN, ids=lambda s: s.name)
def test_built_in_skeletons_join_every_joint_into_one_body(skeleton: Skeleton) -> None:
    reached = {skeleton.limbs[0][0]}
    for _ in skeleton.limbs:
        reached |= {j for limb in skeleton.limbs if reached & set(limb) for j in limb}
    assert reached == set(range(skeleton.num_joints))


@pytest.mark.parametrize("skeleton", BUILT_IN, ids=lambda s: s.name)
def test_built_in_skeletons_swap_every_sided_joint(skeleton: Skeleton) -> None:
    for j, name in enumerate(skeleton.joints):
        other = skeleton.joints[skeleton.flip_joints[j]]
        if name.startswith(("left_", "right_")):
            assert other == name.replace("left_", "?").replace("right_", "left_").replace("?", "right_")
        else:
            assert other == name


def test_orders_are_the_published_ones() -> None:
    assert (LTSH15.num_joints, MPII16.num_joints, LSP14.num_joints) == (15, 16, 14)
    assert (COCO17.num_joints, COCO18.num_joints, COCO18.num_limbs) == (17, 18, 19)
    assert COCO17.joints[:3] == ("nose", "left_eye", "right_eye")
    assert COCO18.joints[:3] == ("nose", "neck", "right_shoulder")
    assert MPII16.joints[6:10] == ("pelvis", "thorax", "neck", "head_top")
    assert LSP14.joints[0] == "right_ankle"
    assert LTSH15.joints[-1] == "torso_centre"
    # COCO's published constants, left and right alike.
    published = (26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89)
    assert tuple(round(1000 * s) for s in COCO17.sigmas) == published


@given(skeletons())
def test_mirroring_twice_changes_nothing(skeleton: Skeleton) -> None:
    joints = skeleton.flip_joints
    assert [joints[j] for j in joints] == list(range(skeleton.num_joints))
    for limb, (mirrored, turned) in enumerate(skeleton.flip_limbs):
        assert skeleton.flip_limbs[mirrored] == (limb, turned)


@given(skeletons())
def test_a_mirrored_limb_joins_the_mirrored_joints(skeleton: Skeleton) -> None:
    assert len(skeleton.flip_limbs) == skeleton.num_limbs
    for (a, b), (mirrored, turned) in zip(skeleton.limbs, skeleton.flip_limbs, strict=True):
        ends = (skeleton.flip_joints[a], skeleton.flip_joints[b])
        assert skeleton.limbs[mirrored] == (ends[::-1] if turned else ends)


@given(skeletons())
def test_the_stored_form_is_read_back_exactly(skeleton: Skeleton) -> None:
    assert Skeleton.from_dict(skeleton.to_dict()) == skeleton
    assert Skeleton.from_dict(yaml.safe_load(yaml.safe_dump(skeleton.to_dict()))) == skeleton


@given(skeletons())
def test_limbs_may_be_numbered_instead_of_named(skeleton: Skeleton) -> None:
    data = skeleton.to_dict() | {"limbs": [list(limb) for limb in skeleton.limbs]}
    assert Skeleton.from_dict(data) == skeleton


def test_left_out_keys_have_their_documented_values() -> None:
    skeleton = Skeleton.from_dict({"joints": ["left_knee", "right_knee", "hump"], "limbs": [[0, 1]]})
    assert skeleton.flip_pairs == ((1, 0),)
    assert skeleton.sigmas == (0.087, 0.087, 0.1)
    assert skeleton.name == "unnamed"


@given(built_in)
def test_conversion_to_itself_changes_nothing(skeleton: Skeleton) -> None:
    np.testing.assert_array_equal(conversion_matrix(skeleton, skeleton), np.eye(skeleton.num_joints))


@given(built_in, built_in)
def test_conversion_keeps_joints_by_name_and_averages_the_rest(source: Skeleton, target: Skeleton) -> None:
    matrix = conversion_matrix(source, target)
    assert matrix.shape == (target.num_joints, source.num_joints)
    for j, name in enumerate(target.joints):
        if name in source.joints:
            assert matrix[j].nonzero()[0].tolist() == [source.joints.index(name)]
        assert matrix[j].sum() in (0, 1)
    assert (matrix >= 0).all()


@given(built_in, built_in)
def test_conversion_is_the_same_in_the_mirror(source: Skeleton, target: Skeleton) -> None:
    matrix = conversion_matrix(source, target)
    mirrored = matrix[list(target.flip_joints)][:, list(source.flip_joints)]
    np.testing.assert_array_equal(mirrored, matrix)


def weights(source: Skeleton, target: Skeleton, joint: str) -> dict[str, float]:
    row = conversion_matrix(source, target)[target.joints.index(joint)]
    return {source.joints[j]: row[j] for j in row.nonzero()[0]}


def test_joints_that_others_define_are_derived() -> None:
    assert weights(COCO17, COCO18, "neck") == {"left_shoulder": 0.5, "right_shoulder": 0.5}
    assert weights(MPII16, LTSH15, "torso_centre") == {"pelvis": 0.5, "thorax": 0.5}
    shoulders_and_hips = dict.fromkeys(("left_shoulder", "right_shoulder", "left_hip", "right_hip"), 0.25)
    assert weights(COCO17, LTSH15, "torso_centre") == shoulders_and_hips
    assert weights(COCO17, LTSH15, "head_top") == {}


def test_skeletons_without_a_joint_in_common_are_not_converted() -> None:
    with pytest.raises(SkeletonError, match=r"'snail'.*share no joint"):
        conversion_matrix(Skeleton("snail", ("horn",), (), (), (0.1,)), COCO17)


def test_a_cached_matrix_cannot_be_spoilt() -> None:
    with pytest.raises(ValueError, match="read-only"):
        conversion_matrix(COCO17, COCO18)[0, 0] = 7


@pytest.mark.parametrize("name", SKELETONS)
def test_built_in_skeletons_are_found_by_name(name: str) -> None:
    assert load_skeleton(name) is load_skeleton(name.upper()) is SKELETONS[name]


def test_a_users_own_skeleton_needs_no_code(tmp_path: Path) -> None:
    path = tmp_path / "snail.yaml"
    path.write_text("name: snail\njoints: [foot, left_horn, right_horn]\nlimbs: [[foot, left_horn], [0, 2]]\n")
    skeleton = load_skeleton(path)
    assert skeleton.joints == ("foot", "left_horn", "right_horn")
    assert skeleton.flip_limbs == ((1, False), (0, False))


GOOD: dict[str, Any] = {"joints": ["a", "b", "c"], "limbs": [["a", "b"], ["b", "c"]]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("a word", "a skeleton is a mapping"),
        (None, "a skeleton is a mapping"),
        ([], "a skeleton is a mapping"),
        ({}, "'joints' must be a list of names"),
        (GOOD | {"joints": "abc"}, "'joints' must be a list of names"),
        (GOOD | {"joints": [1, 2, 3]}, "'joints' must be a list of names"),
        (GOOD | {"joints": []}, "unknown joint"),
        ({"joints": [], "limbs": []}, "present and unique"),
        (GOOD | {"joints": ["a", "b", "c", "a"]}, "present and unique"),
        ({"joints": ["a"]}, "'limbs' must be a list of pairs"),
        (GOOD | {"limbs": [["a", "b", "c"]]}, "'limbs' must be a list of pairs"),
        (GOOD | {"limbs": {"a": "b"}}, "'limbs' must be a list of pairs"),
        (GOOD | {"limbs": [["a", "d"]]}, "unknown joint 'd'"),
        (GOOD | {"limbs": [[0, 3]]}, "unknown joint 3"),
        (GOOD | {"limbs": [[0, -1]]}, "unknown joint -1"),
        (GOOD | {"limbs": [[0, True]]}, "unknown joint True"),
        (GOOD | {"limbs": [["a", "a"]]}, "are not two of its joints"),
        (GOOD | {"limbs": [["a", "b"], ["b", "a"]]}, "a limb is listed twice"),
        (GOOD | {"flip_pairs": [["a", "b"], ["b", "c"]]}, "in two flip pairs"),
        (GOOD | {"flip_pairs": [["a", "b"]]}, "no mirror image"),
        (GOOD | {"sigmas": [0.1]}, "one positive OKS sigma"),
        (GOOD | {"sigmas": [0.1, 0.1, 0]}, "one positive OKS sigma"),
        (GOOD | {"sigmas": [0.1, 0.1, float("nan")]}, "one positive OKS sigma"),
        (GOOD | {"sigmas": [0.1, 0.1, float("inf")]}, "one positive OKS sigma"),
        (GOOD | {"sigmas": ["wide", 0.1, 0.1]}, "'sigmas' must be a list of numbers"),
        (GOOD | {"sigmas": [10**400, 0.1, 0.1]}, "'sigmas' must be a list of numbers"),
        (GOOD | {"sigmas": 7}, "'sigmas' must be a list of numbers"),
        (GOOD | {"bones": []}, "unknown skeleton keys ['bones']"),
        (GOOD | {3: []}, "unknown skeleton keys ['3']"),
    ],
)
def test_a_skeleton_file_that_is_wrong_says_where_and_shows_one_that_is_right(
    data: Any, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "snail.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(SkeletonError) as caught:
        load_skeleton(path)
    assert said in caught.value.message
    assert str(path) in caught.value.message
    assert "joints: [head_top" in caught.value.remedy


@pytest.mark.parametrize(
    "content",
    [
        b"joints: [a, b",
        b"\xff\xfe\x00",
        b"a: b: c",
        b"!!python/object:os.system x",
        b"\x00",
        b"name: 2020-13-45",
        b"joints: !!int x",
        b"[" * 50_000,
        b"sigmas: [" + b"1" * 5000 + b"]",
        b"name: !!int ''",
        b"name: !!bool x",
        b"name: !!timestamp x",
        b"joints: !!map [a]",
    ],
)
def test_a_file_that_is_no_yaml_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "snail.yaml"
    path.write_bytes(content)
    with pytest.raises(SkeletonError, match=r"snail\.yaml: is not YAML: "):
        load_skeleton(path)


def test_a_key_that_stands_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "snail.yaml"
    path.write_text("joints: [a, b]\nlimbs: []\njoints: [c, d]\n")
    with pytest.raises(SkeletonError, match=r"snail\.yaml: has the key 'joints' twice \(line 3\)"):
        load_skeleton(path)


def test_the_shown_template_is_itself_a_skeleton() -> None:
    with pytest.raises(SkeletonError) as caught:
        load_skeleton("no such thing")
    assert "coco17" in caught.value.message
    _, _, template = caught.value.remedy.partition("\n")
    assert Skeleton.from_dict(yaml.safe_load(template)).name == "my_skeleton"


def test_a_folder_is_no_skeleton(tmp_path: Path) -> None:
    with pytest.raises(SkeletonError, match="neither a built-in skeleton"):
        load_skeleton(tmp_path)


def test_a_users_skeleton_may_not_pass_for_a_built_in_one() -> None:
    assert Skeleton.from_dict(COCO18.to_dict()) == COCO18
    with pytest.raises(SkeletonError, match="'coco18' is a built-in skeleton with other joints"):
        Skeleton.from_dict({**COCO18.to_dict(), "limbs": [["nose", "neck"]]})
