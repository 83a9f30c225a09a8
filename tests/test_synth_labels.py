"""What is written about people whose truth was set by hand: every figure is worked out here, none by the generator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from ltsh_deploy.datasets import Sample, open_dataset
from ltsh_deploy.skeletons import COCO17, LSP14, LTSH15, MPII16, Skeleton
from ltsh_deploy.train.synth_camera import aim_camera
from ltsh_deploy.train.synth_labels import Scene, encode_picture, scene_labels
from ltsh_deploy.train.synth_ltsh import people_entries, write_ltsh
from ltsh_deploy.train.synth_visibility import Person, State
from ltsh_deploy.train.synth_writers import ShardWriter
from tests.dataset_files import STANDING, person
from tests.synth_dummies import card, light

WIDTH, HEIGHT, FOCAL, PITCH = 240, 200, 100.0, 12.5
CAMERA = aim_camera((0, 0, 1), 4, PITCH, FOCAL, (WIDTH, HEIGHT))
#: Where in a row of joints these are.
LTSH = {name: j for j, name in enumerate(LTSH15.joints)}
MPII = {name: j for j, name in enumerate(MPII16.joints)}


def someone(
    centre: tuple[float, float],
    *,
    depth: float = 2.0,
    visibility: float = 1.0,
    cropped: float = 0.0,
    states: dict[str, State] | None = None,
) -> Person:
    """Somebody 90 pixels tall, so many metres away, whose joints' box has this middle."""
    joints = person(MPII16, centre[0], centre[1] - 45, 0.5)[:, :2]
    points = np.column_stack([(joints - [WIDTH / 2, HEIGHT / 2]) / FOCAL * depth, np.full(16, depth)])
    # Nearer hands and feet: the mean of the depths is not the median.
    points[[MPII["left_wrist"], MPII["right_wrist"], MPII["left_ankle"]], 2] -= 0.75
    state = np.full(16, int(State.VISIBLE), np.int8)
    for name, value in (states or {}).items():
        state[MPII[name]] = value
    return Person(joints, points, state, visibility, cropped)


def scene(*truths: Person, heights: Sequence[float] = (), seen: Sequence[int] | None = None, **changes: Any) -> Scene:
    """A picture of these people; figure p covers rows 10p to 10p + 9 unless ``seen`` leaves it out."""
    instances = np.zeros((HEIGHT, WIDTH), np.uint8)
    for p in range(len(truths)):
        if seen is None or p in seen:
            instances[10 * p : 10 * p + 10, :50] = p + 1
    tall = [*heights, *[1.7] * (len(truths) - len(heights))]
    values: dict[str, Any] = {
        "picture": np.full((HEIGHT, WIDTH, 3), 90, np.uint8),
        "instances": instances,
        "depth": np.where(instances > 0, 2.5, 0).astype(np.float32),
        "material_kind": np.where(instances > 0, 1, -1).astype(np.int8),
        "camera": CAMERA,
        "light": light(),
        "figures": [card((0, 1), 0, (0, 1), attributes={"height": height}) for height in tall],
        "truths": truths,
        "asked": len(truths) + 2,
        "rejected": {"no_place": 2},
        "place": {"drawn": "park"},
    }
    return Scene(**(values | changes))


def labelled(picture: Scene) -> list[dict[str, Any]]:
    people = scene_labels(picture, range(len(picture.truths)), {})["people"]
    assert isinstance(people, list)
    return people


def annotated(joints: npt.NDArray[np.float64], skeleton: Skeleton, **changes: Any) -> Sample:
    """A real picture with these people [P, J, 3]."""
    count = len(joints)
    values: dict[str, Any] = {
        "id": "real", "image": b"", "skeleton": skeleton, "joints": joints,
        "centres": np.tile([100.0, 30.0], (count, 1)), "scales": np.full(count, 0.5),
        "is_synthetic": np.zeros(count, bool), "trainable": np.ones(count, bool),
    }  # fmt: skip
    return Sample(**(values | changes))


#: Pairs are 50, 80, 100, 90 ... pixels apart: see the tests.
A, B, C, D = (100.0, 110.0), (160.0, 190.0), (70.0, 150.0), (100.0, 30.0)


def test_who_is_alone_has_no_distances() -> None:
    (only,) = labelled(scene(someone(A, visibility=0.75, cropped=0.25)))
    assert only["characteristics"] == {
        "camera_pitch": PITCH, "visibility": 0.75, "cropped": 0.25, "visibility_total": 0.75, "cropped_total": 0.25,
        "people": 1, "median_scale": 0.425, "std_scale": 0.0,
    }  # fmt: skip


def test_two_people() -> None:
    # Two metres and four away: 1.7 m x 100 pixels / 2 m / 200 = 0.425, and half of that.
    first, second = labelled(
        scene(someone(A, visibility=0.9, cropped=0.1), someone(B, depth=4, visibility=0.5, cropped=0.4))
    )
    together = {
        "camera_pitch": PITCH, "visibility_total": 0.7, "cropped_total": 0.25, "people": 2,
        "median_scale": 0.319, "std_scale": 0.106,  # (0.425 +- 0.2125) / 2
        "min_distance": 100.0, "median_distance": 100.0, "std_distance": 0.0,
    }  # fmt: skip
    assert first["characteristics"] == together | {"visibility": 0.9, "cropped": 0.1}
    assert second["characteristics"] == together | {"visibility": 0.5, "cropped": 0.4}
    assert (first["centre"], second["centre"]) == (list(A), list(B))
    assert (first["scale"], second["scale"]) == (0.425, 0.2125)


def test_three_people() -> None:
    # A to B: (60, 80); A to C: (30, 40); B to C: (90, 40), whose length is 98.489.
    people = labelled(
        scene(
            someone(A, visibility=0.9, cropped=0.1),
            someone(B, visibility=0.6, cropped=0.0),
            someone(C, depth=5, visibility=0.3, cropped=0.5),
            heights=(1.7, 2.0, 1.0),
        )
    )
    together = {
        "camera_pitch": PITCH, "visibility_total": 0.6, "cropped_total": 0.2, "people": 3,
        "median_scale": 0.425, "std_scale": 0.174,  # of 0.425, 0.5 and 0.1; their mean is 0.342
    }  # fmt: skip
    own = [(0.9, 0.1, 50.0, 75.0, 25.0), (0.6, 0.0, 98.489, 99.244, 0.756), (0.3, 0.5, 50.0, 74.244, 24.244)]
    names = "visibility", "cropped", "min_distance", "median_distance", "std_distance"
    for found, values in zip(people, own, strict=True):
        assert found["characteristics"] == together | dict(zip(names, values, strict=True))
    assert [found["scale"] for found in people] == [0.425, 0.5, 0.1]


def test_of_three_distances_the_median_is_the_middle_one() -> None:
    # From A the others are 100, 50 and 80 pixels away: the mean would be 76.667.
    first, *_ = labelled(scene(*(someone(centre) for centre in (A, B, C, D))))
    values = first["characteristics"]
    assert (values["min_distance"], values["median_distance"], values["std_distance"]) == (50.0, 80.0, 20.548)


def test_annotated_people_count_among_the_others_but_have_no_shares_of_their_own() -> None:
    real = annotated(person(LSP14, 100, -60, 0.5)[None], LSP14)  # its centre is D, its scale 0.5
    first, second, third = labelled(scene(someone(A, visibility=0.4), someone(C, depth=4, cropped=0.5), real=real))
    assert (first["is_synthetic"], second["is_synthetic"]) == (False, True)
    assert first["characteristics"] == {}
    # A is 80 pixels from D and 50 from C; C is (30, 120) from D. Shares are those of the two synthetic people.
    values = second["characteristics"]
    assert (values["min_distance"], values["median_distance"], values["std_distance"]) == (50.0, 65.0, 15.0)
    assert third["characteristics"]["median_distance"] == 86.847
    assert (values["visibility_total"], values["cropped_total"]) == (0.7, 0.25)
    assert (values["people"], values["median_scale"]) == (3, 0.425)  # of 0.5, 0.425 and 0.2125


def test_joints_their_states_and_labels() -> None:
    one = someone(
        A,
        states={
            "left_knee": State.SELF_OCCLUDED,
            "right_knee": State.OTHER_OCCLUDED,
            "left_ankle": State.OUTSIDE,
            "thorax": State.OTHER_OCCLUDED,
        },
    )
    one.joints3d[MPII["left_ankle"], 2] = -0.5
    one.joints2d[MPII["left_ankle"]] = np.nan
    (found,) = labelled(scene(one))
    states = dict(zip(LTSH15.joints, found["extra"]["states"], strict=True))
    expected = dict.fromkeys(LTSH15.joints, "visible") | {
        "left_knee": "self_occluded",
        "right_knee": "other_occluded",
        "left_ankle": "outside",
        "torso_centre": "other_occluded",  # like the thorax, though the pelvis is seen
    }
    assert states == expected
    for name, j in LTSH.items():
        x, y = np.array(A) + [0, -45] + 0.5 * np.array(STANDING[name])
        if name == "torso_centre":  # the middle of pelvis and thorax
            y = A[1] - 45 + 0.5 * (92 + 38) / 2
        wanted = None if name == "left_ankle" else [x, y, 2 if expected[name] == "visible" else 1]
        assert found["joints"][j] == wanted, name
    for name, j in MPII.items():
        x, y = np.array(A) + [0, -45] + 0.5 * np.array(STANDING[name])
        label = 1 if name in ("left_knee", "right_knee", "thorax") else 2
        assert found["extra"]["mpii16"][j] == (None if name == "left_ankle" else [x, y, label]), name
    points = np.array(found["extra"]["joints_3d"])
    np.testing.assert_allclose(points[LTSH["left_wrist"]], one.joints3d[MPII["left_wrist"]], atol=1e-4)
    middle = (one.joints3d[MPII["pelvis"]] + one.joints3d[MPII["thorax"]]) / 2
    np.testing.assert_allclose(points[LTSH["torso_centre"]], middle, atol=1e-4)


def test_files_say_who_is_where() -> None:
    """Whoever is neither seen nor has a joint in the picture is not listed, and the others' numbers close up."""
    outside = dict.fromkeys(MPII16.joints, State.OUTSIDE)
    picture = scene(
        someone(A, states=outside),  # seen, without a joint
        someone(B, states=outside),  # not there at all
        someone(C),  # hidden as a whole
        someone(D),
        seen=(0, 3),
        ignore=np.arange(HEIGHT)[:, None].repeat(WIDTH, 1) < 5,
        real=annotated(person(LSP14, 30, 20, 0.5)[None], LSP14),
    )
    picture.depth[0, 0] = 99.0
    picture.material_kind[35, 0] = 4
    members = encode_picture(picture, {"kind": "test"})

    def read(name: str) -> npt.NDArray[Any]:
        found = cv2.imdecode(np.frombuffer(members[name], np.uint8), cv2.IMREAD_UNCHANGED)
        assert found is not None
        return found

    # The annotated person is number 1, then come A, C and D.
    instances = np.zeros((HEIGHT, WIDTH), np.uint8)
    instances[:10, :50], instances[30:40, :50] = 2, 4
    np.testing.assert_array_equal(read("instances.png"), instances)
    depth = np.where(instances > 0, 2500, 0)
    depth[0, 0] = 65_535
    np.testing.assert_array_equal(read("depth.png"), depth)
    kinds = np.where(instances > 0, 2, 0)
    kinds[35, 0] = 5
    np.testing.assert_array_equal(read("materials.png"), kinds)
    np.testing.assert_array_equal(read("ignore.png") > 0, np.arange(HEIGHT)[:, None].repeat(WIDTH, 1) < 5)
    labels = json.loads(members["json"])
    assert [found["centre"] for found in labels["people"][1:]] == [list(A), list(C), list(D)]
    assert (labels["asked"], labels["placed"], labels["rejected"]) == (6, 4, {"no_place": 2})
    assert (labels["width"], labels["height"], labels["generator"]) == (WIDTH, HEIGHT, {"kind": "test"})
    assert labels["camera"]["pitch"] == PITCH
    assert labels["camera"]["focal"] == FOCAL
    assert labels["camera"]["principal"] == [119.5, 99.5]


def entries_of(picture: Scene, *, is_val: bool = False) -> list[dict[str, Any]]:
    labels = scene_labels(picture, range(len(picture.truths)), {})
    return people_entries(labels, "images/00000007.jpg", is_val)


def flags(entry: dict[str, Any]) -> dict[str, float]:
    return dict(zip(MPII16.joints, np.array(entry["joint_self"])[:, 2].tolist(), strict=True))


def test_an_entry_of_the_ltsh_layout_who_is_alone() -> None:
    (entry,) = entries_of(scene(someone(A, visibility=0.75, cropped=0.25)), is_val=True)
    joints = person(MPII16, A[0], A[1] - 45, 0.5)
    joints[:, 2] = 1
    assert entry == {
        "img_paths": "images/00000007.jpg", "img_width": WIDTH, "img_height": HEIGHT, "isValidation": 1,
        "people_index": 1, "objpos": list(A), "joint_self": joints.tolist(), "scale_provided": 0.425,
        "joint_others": {}, "objpos_other": {}, "scale_provided_other": {}, "isSynth": True, "isSynth_other": {},
        "camera_angle": PITCH, "minDist": "_NaN_", "median_dist": "_NaN_", "std_dist": "_NaN_", "median_scale": 0.425,
        "std_scale": 0.0, "nr_people": 1, "visibility_ratio_total": 0.75, "visibility_person": 0.75,
        "cropped_ratio_total": 0.25, "cropped_person": 0.25,
    }  # fmt: skip


def test_entries_of_two_people_have_the_bare_other() -> None:
    first, second = entries_of(
        scene(someone(A, visibility=0.9, cropped=0.1), someone(B, depth=4, visibility=0.5, cropped=0.4))
    )
    joints = [person(MPII16, x, y - 45, 0.5) for x, y in (A, B)]
    # Feet at 190 + 45 are below the picture's 200 rows; so are the knees, at 190 - 45 + 68.
    for number, beyond in enumerate(((), ("right_ankle", "left_ankle", "right_knee", "left_knee"))):
        joints[number][:, 2] = [2 if name in beyond else 1 for name in MPII16.joints]
    together = {
        "img_paths": "images/00000007.jpg", "img_width": WIDTH, "img_height": HEIGHT, "isValidation": 0,
        "isSynth": True, "isSynth_other": True, "camera_angle": PITCH, "minDist": 100.0, "median_dist": 100.0,
        "std_dist": 0.0, "median_scale": 0.319, "std_scale": 0.106, "nr_people": 2, "visibility_ratio_total": 0.7,
        "cropped_ratio_total": 0.25,
    }  # fmt: skip
    assert first == together | {
        "people_index": 1, "objpos": list(A), "joint_self": joints[0].tolist(), "scale_provided": 0.425,
        "objpos_other": list(B), "joint_others": joints[1].tolist(), "scale_provided_other": 0.2125,
        "visibility_person": 0.9, "cropped_person": 0.1,
    }  # fmt: skip
    assert second == together | {
        "people_index": 2, "objpos": list(B), "joint_self": joints[1].tolist(), "scale_provided": 0.2125,
        "objpos_other": list(A), "joint_others": joints[0].tolist(), "scale_provided_other": 0.425,
        "visibility_person": 0.5, "cropped_person": 0.4,
    }  # fmt: skip


def test_entries_of_three_people_list_the_others_in_their_order() -> None:
    real = annotated(person(MPII16, 100, -15, 0.5)[None], MPII16)
    entries = entries_of(scene(someone(A), someone(C, depth=4), real=real))
    joints = [entry["joint_self"] for entry in entries]
    for p, (own, others) in enumerate(((0, (1, 2)), (1, (0, 2)), (2, (0, 1)))):
        entry = entries[p]
        assert entry["people_index"] == p + 1
        assert entry["objpos"] == [list(D), list(A), list(C)][own]
        assert entry["objpos_other"] == [[list(D), list(A), list(C)][q] for q in others]
        assert entry["scale_provided_other"] == [[0.5, 0.425, 0.2125][q] for q in others]
        assert entry["joint_others"] == [joints[q] for q in others]
        assert entry["isSynth"] is [False, True, True][own]
        # As the format has it: a list around each, but the bare value where there is one other.
        assert entry["isSynth_other"] == [[[False, True, True][q]] for q in others]
        assert ("camera_angle" in entry) == (p > 0)
    assert (entries[1]["minDist"], entries[1]["median_dist"], entries[1]["std_dist"]) == (50.0, 65.0, 15.0)
    assert joints[0] == [[x, y, 1 if y >= -0.5 else 2] for x, y, _ in person(MPII16, 100, -15, 0.5).tolist()]


def test_flags_of_joints_in_the_ltsh_layout() -> None:
    one = someone(A, states={"left_knee": State.SELF_OCCLUDED, "right_knee": State.OTHER_OCCLUDED})
    for name, xy in (("left_wrist", (-0.6, 50)), ("right_wrist", (WIDTH - 0.4, 50)), ("left_elbow", (50, -0.6))):
        one.joints2d[MPII[name]] = xy
    one.joints2d[MPII["right_elbow"]] = 50, HEIGHT - 0.4
    one.joints2d[MPII["left_ankle"]] = -0.4, HEIGHT - 0.6
    one.joints2d[MPII["head_top"]] = 0, 0  # which would be read as not labelled
    one.joints2d[MPII["right_hip"]] = np.nan
    (entry,) = entries_of(scene(one))
    found = flags(entry)
    beyond = ("left_wrist", "right_wrist", "left_elbow", "right_elbow")
    assert {name for name, flag in found.items() if flag == 2} == set(beyond)
    assert {name for name, flag in found.items() if flag == 0} == {"left_knee", "right_knee", "right_hip"}
    assert entry["joint_self"][MPII["right_hip"]] == [0, 0, 0]
    assert entry["joint_self"][MPII["head_top"]] != [0, 0, 1]
    assert np.abs(entry["joint_self"][MPII["head_top"]][:2]).max() < 1e-9


def both_layouts(folder: Path, picture: Scene) -> list[Sample]:
    """The picture, read from a shard and from the LTSH layout."""
    with ShardWriter(folder, "train", 0) as writer:
        writer.add(encode_picture(picture, {}))
    write_ltsh(folder / "train-00000000-00000000.tar")
    (shard,), (entries,) = open_dataset("shards", folder), open_dataset("ltsh", folder / "ltsh")
    return [shard, entries]


@pytest.mark.parametrize("synthetic", [0, 1])
def test_who_is_no_centre_of_a_crop_is_none_in_the_ltsh_layout(synthetic: int, tmp_path: Path) -> None:
    joints = np.stack([person(MPII16, 30 + 50 * p, 20, 0.5) for p in range(3)])
    centres = np.nanmean(joints[..., :2], axis=1)
    picture = scene(
        *[someone(A)] * synthetic,
        real=annotated(joints, MPII16, centres=centres, trainable=np.array([True, False, True])),
    )
    entries = entries_of(picture)
    assert [entry["people_index"] for entry in entries] == [1, 3, 4][: 2 + synthetic]
    assert all(len(entry["joint_others"]) == 2 + synthetic for entry in entries)
    for sample in both_layouts(tmp_path, picture):
        assert len(sample) == 3 + synthetic
        np.testing.assert_allclose(sorted(sample.centres[sample.trainable].tolist()), centres[[0, 2]])


def test_a_picture_without_anybody_for_the_centre_is_not_lost(tmp_path: Path) -> None:
    real = annotated(person(MPII16, 100, 20, 0.5)[None], MPII16, trainable=np.array([False]))
    assert [len(sample) for sample in both_layouts(tmp_path, scene(real=real))] == [1, 1]


#: What somebody's own data set may have beside the torso's centre.
NO_PELVIS, NO_THORAX = (
    Skeleton(
        f"without_{name}", (*(joint for joint in MPII16.joints if joint != name), "torso_centre"), (), (), (1.0,) * 16
    )
    for name in ("pelvis", "thorax")
)


@pytest.mark.parametrize(
    "skeleton", [LSP14, LTSH15, MPII16, COCO17, NO_PELVIS, NO_THORAX], ids=lambda skeleton: str(skeleton.name)
)
def test_every_joint_of_annotated_people_is_read_back_from_either_layout(skeleton: Skeleton, tmp_path: Path) -> None:
    places = dict(STANDING) | {"nose": (0, 18), "left_eye": (3, 15), "right_eye": (-3, 15)}
    places |= {"left_ear": (8, 16), "right_ear": (-8, 16)}
    joints = np.array([[[*places[name], 2] for name in skeleton.joints] for _ in range(4)], np.float64)
    joints[..., :2] = joints[..., :2] * 0.5 + [[[60, 30]], [[90, 40]], [[130, 30]], [[170, 50]]]
    joints[1, skeleton.joints.index("left_hip"), 2] = 1
    joints[2, skeleton.joints.index("right_hip")] = np.nan, np.nan, 0
    joints[3, skeleton.joints.index("left_shoulder")] = np.nan, np.nan, 0
    if skeleton == MPII16:
        joints[0, MPII["thorax"], 2] = joints[1, MPII["pelvis"], 2] = 1
    centres = np.nanmean(joints[..., :2], axis=1)
    picture = scene(someone(A), real=annotated(joints, skeleton, centres=centres))
    shard, entry = both_layouts(tmp_path, picture)
    wanted = annotated(joints, skeleton).to_skeleton(LTSH15).joints
    np.testing.assert_array_equal(shard.joints[:4], wanted)
    np.testing.assert_allclose(entry.to_skeleton(LTSH15).joints, shard.joints, atol=2e-3)
    np.testing.assert_allclose(entry.scales, shard.scales)
    if skeleton == MPII16:
        np.testing.assert_array_equal(entry.joints[:4], joints)
    if skeleton in (LSP14, LTSH15):
        hips = entry.joints[0, [MPII["left_hip"], MPII["right_hip"]], :2]
        np.testing.assert_allclose(entry.joints[0, MPII["pelvis"], :2], hips.mean(axis=0))
