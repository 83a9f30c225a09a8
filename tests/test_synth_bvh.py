"""Poses from motion files: what is read from sound ones, and what is said about others."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.errors import InputError
from ltsh_deploy.train.synth_body import load_body, sample_shape
from ltsh_deploy.train.synth_bvh import MotionLibrary, find_limbs, read_mocap
from ltsh_deploy.train.synth_bvh_file import read_bvh
from ltsh_deploy.train.synth_bvh_poses import clip_of
from ltsh_deploy.train.synth_kinematics import pose_body
from ltsh_deploy.train.synth_types import Pose
from tests.bvh_files import SKELETON, Frame, bvh

BODY = load_body()
SHAPE = sample_shape(BODY, np.random.default_rng(1))
WALK: Frame = {
    "LeftUpLeg": (0, -35, 0), "LeftLeg": (0, 20, 0), "RightUpLeg": (0, 20, 0), "RightLeg": (0, 35, 0),
    "LeftArm": (-70, 0, 20), "RightArm": (70, 0, 20), "LeftForeArm": (0, 0, -30), "RightForeArm": (0, 0, 40),
    "Spine": (0, 8, 4), "Hips": (0, 0, 25), "Head": (0, 5, 10),
}  # fmt: skip
LIMBS = {
    ("LeftArm", "LeftForeArm"): ("upperarm01.L", "lowerarm01.L"),
    ("RightForeArm", "RightHand"): ("lowerarm01.R", "wrist.R"),
    ("RightArm", "RightForeArm"): ("upperarm01.R", "lowerarm01.R"),
    ("LeftUpLeg", "LeftLeg"): ("upperleg01.L", "lowerleg01.L"),
    ("RightLeg", "RightFoot"): ("lowerleg01.R", "foot.R"),
    ("LeftLeg", "LeftFoot"): ("lowerleg01.L", "foot.L"),
}


def library(folder: Path, **files: str) -> MotionLibrary:
    for name, text in files.items():
        (folder / f"{name}.bvh").write_text(text)
    return read_mocap(folder)


def poses(found: MotionLibrary, number: int = 200) -> list[Pose]:
    rng = np.random.default_rng(0)
    return [found.sample_pose(rng) for _ in range(number)]


def heading_angles(pose: Pose, start: str, end: str) -> np.ndarray:
    """Height and length along the ground of a bone of the posed body: what no turn and no mirror changes."""
    body = pose_body(BODY, SHAPE, pose)
    along = body.bone_heads[BODY.bone(end)] - body.bone_heads[BODY.bone(start)]
    along = along / np.linalg.norm(along)
    return np.array([along[2], math.hypot(along[0], along[1])])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-60, 60), min_size=12, max_size=12))
def test_limbs_point_as_they_do_in_the_file(tmp_path_factory: pytest.TempPathFactory, turns: list[float]) -> None:
    folder = tmp_path_factory.mktemp("motions")
    names = ("LeftUpLeg", "RightLeg", "LeftArm", "RightArm")
    frame = {name: (turns[i], turns[i + 4], turns[i + 8]) for i, name in enumerate(names)}
    (folder / "a.bvh").write_text(bvh([{**WALK, **frame}]))
    motion = read_bvh(folder / "a.bvh")
    # Left as captured: feet that are nearly on the ground are brought there otherwise.
    pose = replace(poses(read_mocap(folder), 1)[0], stance="captured")
    places = {name: motion.positions[0, i] for i, name in enumerate(motion.names)}
    for (start, end), bones in LIMBS.items():
        along = places[end] - places[start]
        height = along[1] / np.linalg.norm(along)
        both = {heading_angles(pose, *pair)[0] for pair in (bones, tuple(b.translate(_OTHER_SIDE) for b in bones))}
        assert min(abs(height - found) for found in both) < 0.09, (start, end)


_OTHER_SIDE = str.maketrans({"L": "R", "R": "L"})


def test_a_body_faces_where_the_skeleton_does_and_its_left_is_left(tmp_path: Path) -> None:
    found = library(tmp_path, a=bvh([{"LeftArm": (-80, 0, 0), "RightArm": (0, 0, 80)}]))
    for pose in poses(found, 8):
        # One arm hangs, the other points ahead, on either side; the feet point ahead too.
        hanging, ahead = sorted(range(2), key=lambda side: pose.arms[side, 0, 2])
        assert pose.arms[hanging, 0, 2] < -0.9
        assert pose.arms[ahead, 0, 1] > 0.9
        np.testing.assert_allclose(pose.legs[..., 2], -1, atol=1e-6)
        assert pose.root[2, 2] > 0.99
        assert np.abs(pose.foot_turns).max() < 8
        assert pose.stance == "standing"
        assert pose.flat_feet.all()


def test_poses_are_mirrored_and_turned(tmp_path: Path) -> None:
    drawn = poses(library(tmp_path, a=bvh([{"LeftArm": (-80, 0, 0), "Head": (0, 0, 30), "Hips": (15, 0, 0)}, {}])))
    hanging = [int(np.argmin(pose.arms[:, 0, 2])) for pose in drawn if pose.arms[:, 0, 2].min() < -0.9]
    assert 0.3 < np.mean(hanging) < 0.7
    facing = [math.atan2(*(pose.root @ [0, -1, 0])[:2]) for pose in drawn]
    assert np.histogram(facing, bins=4, range=(-math.pi, math.pi))[0].min() > 25
    assert all(abs(np.linalg.det(pose.root) - 1) < 1e-6 for pose in drawn)


def test_every_frame_of_every_file_is_drawn_alike(tmp_path: Path) -> None:
    found = library(tmp_path, a=bvh([WALK] * 3), b=bvh([WALK]))
    names = [pose.name for pose in poses(found, 800)]
    assert {name: round(names.count(name) / 200) for name in set(names)} == {"a:0": 1, "a:1": 1, "a:2": 1, "b:0": 1}
    assert len(found) == 4


def test_about_ten_frames_a_second_are_taken(tmp_path: Path) -> None:
    assert len(library(tmp_path, a=bvh([WALK] * 120, frame_time=1 / 120))) == 10


PARTS = ("Shoulder", "Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot")
NAMED = {
    "mixamo": ("mixamorig:{0}{1}", "Left Right", "Shoulder Arm ForeArm Hand UpLeg Leg Foot"),
    "capitals": ("{0}{1}", "LEFT RIGHT", "SHOULDER ARM FOREARM HAND UPLEG LEG FOOT"),
    "poser": ("{0}{1}", "l r", "Collar Shldr ForeArm Hand Thigh Shin Foot"),
    "unreal": ("{1}_{0}", "l r", "clavicle upperarm lowerarm hand thigh calf foot"),
    "biped": ("Bip01 {0} {1}", "L R", "Clavicle UpperArm Forearm Hand Thigh Calf Foot"),
    "blender": ("{1}.{0}", "L R", "shoulder upper_arm forearm hand thigh shin foot"),
    "makehuman": ("{1}.{0}", "L R", "clavicle upperarm01 lowerarm01 wrist upperleg01 lowerleg01 foot"),
    "joints": ("{0}{1}", "Left Right", "Collar Shoulder Elbow Wrist Hip Knee Ankle"),
    "kinect": ("{1}{0}", "Left Right", "Collar Shoulder Elbow Wrist Hip Knee Ankle"),
}


@pytest.mark.parametrize("convention", NAMED)
def test_names_of_common_skeletons_are_known(tmp_path: Path, convention: str) -> None:
    form, sides, parts = NAMED[convention]

    def rename(name: str) -> str:
        for ours, theirs in zip(("Left", "Right"), sides.split(), strict=True):
            if name.startswith(ours):
                return form.format(theirs, parts.split()[PARTS.index(name.removeprefix(ours))])
        return name

    (tmp_path / "own.bvh").write_text(bvh([WALK]))
    (tmp_path / "named.bvh").write_text(bvh([WALK], rename))
    own, named = (read_bvh(tmp_path / f"{name}.bvh") for name in ("own", "named"))
    assert find_limbs(named, "named") == find_limbs(own, "own")


def test_units_and_the_axis_that_is_up_do_not_matter(tmp_path: Path) -> None:
    text = bvh([WALK])
    small, turned = bvh([WALK], scale=0.0254), text
    # +Z up: the root is turned a quarter about X, before all its other angles.
    turned = turned.replace(
        "6 Xposition Yposition Zposition Zrotation", "7 Xposition Yposition Zposition Xrotation Zrotation"
    )
    head, _, row = turned.rpartition("Frame Time: 0.1\n")
    values = row.split()
    values[:3] = ["0", "0", "90"]
    turned = head + "Frame Time: 0.1\n" + " ".join([*values[:3], "90", *values[3:]]) + "\n"
    clips = []
    for number, content in enumerate((text, small, turned)):
        path = tmp_path / f"{number}.bvh"
        path.write_text(content)
        motion = read_bvh(path)
        clips.append(clip_of(motion, find_limbs(motion, path), "a"))
    for other in clips[1:]:
        np.testing.assert_allclose(other.limbs, clips[0].limbs, atol=1e-4)
        np.testing.assert_allclose(other.chest, clips[0].chest, atol=1e-4)


def test_who_jumps_is_above_the_ground_by_as_much_as_in_the_file(tmp_path: Path) -> None:
    frames: list[Frame] = [{**WALK, "at": (0, 90, 0)}] * 9 + [{**WALK, "at": (0, 90 + 41, 0)}]
    lifts = {pose.name: (pose.lift, pose.stance) for pose in poses(library(tmp_path, a=bvh(frames)))}
    # The skeleton's legs are 82 long, the body's 0.78 m.
    assert lifts["a:9"] == (pytest.approx(0.39, abs=0.01), "airborne")
    assert lifts["a:3"] == (0, "standing")


def test_who_lies_in_the_file_is_left_as_captured(tmp_path: Path) -> None:
    frames: list[Frame] = [{}] * 5 + [{"Hips": (0, 80, 0), "at": (0, 12, 0)}]
    pose = next(pose for pose in poses(library(tmp_path, a=bvh(frames))) if pose.name == "a:5")
    assert pose.stance == "captured"
    body = pose_body(BODY, SHAPE, pose)
    assert body.vertices[:, 2].max() < 0.8


def test_the_head_is_turned_from_how_it_is_held_on_the_whole(tmp_path: Path) -> None:
    frames: list[Frame] = [{"Head": (0, 0, turn)} for turn in (0, 0, 0, 0, 40)]
    turns = {pose.name: abs(pose.head[2]) for pose in poses(library(tmp_path, a=bvh(frames)))}
    assert turns["a:4"] - turns["a:0"] > 20


def test_only_a_foot_that_is_down_in_the_file_is_flat(tmp_path: Path) -> None:
    raised: Frame = {"LeftUpLeg": (0, -50, 0), "LeftLeg": (0, 50, 0)}
    drawn = {pose.name: pose for pose in poses(library(tmp_path, a=bvh([{}] * 5 + [raised])))}
    assert drawn["a:0"].flat_feet.all()
    assert sorted(drawn["a:5"].flat_feet) == [False, True]


def test_toes_that_point_do_so_on_the_body(tmp_path: Path) -> None:
    frames: list[Frame] = [{}] * 5 + [{"LeftFoot": (0, 40, 0), "RightFoot": (0, 40, 0)}]
    pose = next(pose for pose in poses(library(tmp_path, a=bvh(frames))) if pose.name == "a:5")
    np.testing.assert_allclose(pose.ankles, 40, atol=3)
    assert not pose.flat_feet.any()


GOOD = bvh([WALK] * 4)
LINES = GOOD.splitlines()
BROKEN = {
    "empty": "",
    "text": "These are notes.\n",
    "binary": "\x00\x01\x02" * 400,
    "no_motion": GOOD.partition("MOTION")[0],
    "no_frames": GOOD[: GOOD.index("Frame Time: 0.1\n") + len("Frame Time: 0.1\n")],
    "open_brace": GOOD.replace("}\nMOTION", "MOTION"),
    "extra_brace": GOOD.replace("}\nMOTION", "}\n}\nMOTION"),
    "channel": GOOD.replace("Xrotation", "Wrotation", 1),
    "channel_count": GOOD.replace("CHANNELS 3", "CHANNELS three", 1),
    "negative_channels": GOOD.replace("CHANNELS 3", "CHANNELS -1", 1),
    "offset": GOOD.replace("OFFSET 9", "OFFSET nine", 1),
    "offset_nan": GOOD.replace("OFFSET 9.0000", "OFFSET nan", 1),
    "short_rows": "\n".join(line[:40] if line[0].isdigit() else line for line in LINES),
    "not_numbers": "\n".join("x" + line if line[0].isdigit() else line for line in LINES),
    "nan_rows": "\n".join("nan" + line[line.index(" "):] if line[0].isdigit() else line for line in LINES),
    "unknown": bvh([WALK], lambda name: {"LeftArm": "Tentacle"}.get(name, name)),
    "no_length": bvh([WALK], scale=0),
    "cut_short": GOOD[:300],
    "deep": "HIERARCHY\n" + "ROOT a {\n" * 3000 + "MOTION\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError) as raised:
        library(tmp_path, broken=BROKEN[kind])
    assert "broken.bvh" in raised.value.message
    assert raised.value.remedy


HIERARCHY = GOOD.partition("MOTION")[0]
MOTION = "MOTION\nFrames: 1\nFrame Time: 0.1\n0 0 0\n"


def test_a_hierarchy_that_is_cut_off_anywhere_is_named_with_the_line(tmp_path: Path) -> None:
    path, kept = tmp_path / "cut.bvh", ""
    words = [(line, word) for line, text in enumerate(HIERARCHY.splitlines(), 1) for word in text.split()]
    for (line, word), (following, _) in pairwise(words):
        kept += word
        path.write_text(f"{kept}\n{MOTION}")
        with pytest.raises(InputError, match=rf"cut\.bvh, line {line}: cannot read the HIERARCHY: ") as raised:
            read_bvh(path)
        assert raised.value.remedy
        kept += " " if following == line else "\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("CHANNELS 3 Z", "CHANNELS 3 W", "line 9: cannot read the HIERARCHY: unknown channel 'Wrotation'"),
        ("CHANNELS 3", "CHANNELS " + "9" * 5000, "line 9: cannot read the HIERARCHY: '999"),
        ("OFFSET 9.0000", "OFFSET nine", "line 8: cannot read the HIERARCHY: 'nine' is no number of an offset"),
        ("Frames: 4", "Frames: four", "'four' is no number of frames"),
        ("Frames: 4", "Frames: -4", "'-4' is no number of frames"),
        ("Frames: 4", "Frames: " + "4" * 5000, "is no number of frames"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(InputError) as raised:
        library(tmp_path, a=GOOD.replace(old, new, 1))
    assert said in raised.value.message
    assert re.search(r"a\.bvh, line \d+: ", raised.value.message)
    assert len(raised.value.message) < 500


@pytest.mark.parametrize(
    ("said", "end", "poses_kept", "broken"),
    [
        (4, "\n", 4, 0),
        (100, "\n", 4, 0),
        # Half a number is a number too.
        (100, "", 3, 0),
        (4, "", 4, 0),
        (3, "\n", 3, 0),
        (1, "", 1, 0),
        (999_999_999, "\n", 4, 0),
    ],
)
def test_frames_are_as_many_as_the_file_says_and_has(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, said: int, end: str, poses_kept: int, broken: int
) -> None:
    text = GOOD.replace("Frames: 4", f"Frames: {said}").rstrip("\n") + end
    with caplog.at_level(logging.WARNING):
        found = library(tmp_path, walk=text, good=GOOD)
    assert (len(found) - 4, found.broken_frames) == (poses_kept, broken)
    assert ("in 1 motion files, frames are missing or too many" in caplog.text) == (said != 4)
    assert (f"walk.bvh: it says {said} frames and has 4" in caplog.text) == (said != 4)


def test_a_file_that_says_it_has_no_frames_has_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no whole frame \(0 broken; it says 0 frames and has 4\)"):
        library(tmp_path, walk=GOOD.replace("Frames: 4", "Frames: 0"))


NAMES, EXPORT, LENGTHS = "must be named as in", "Export the motion again as", "with the lengths of its bones"


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [("unknown", NAMES), ("no_length", LENGTHS), ("no_motion", EXPORT), ("no_frames", EXPORT), ("short_rows", EXPORT)],
)
def test_the_remedy_is_that_of_the_first_file(tmp_path: Path, kind: str, remedy: str) -> None:
    with pytest.raises(InputError) as raised:
        library(tmp_path, a=BROKEN[kind], b=BROKEN["deep" if kind == "unknown" else "unknown"])
    assert remedy in raised.value.remedy


def test_hidden_files_are_no_motions(tmp_path: Path) -> None:
    (tmp_path / "._walk.bvh").write_bytes(b"\0\5\x16\7")
    assert not library(tmp_path, walk=GOOD).skipped


def test_unknown_joints_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown joints: no upper arm of either side among .*Tentacle") as raised:
        library(tmp_path, a=bvh([WALK], lambda name: {"LeftArm": "Tentacle"}.get(name, name)))
    assert "LeftForeArm" in raised.value.remedy


def test_a_limb_whose_joints_do_not_hang_on_each_other_is_no_limb(tmp_path: Path) -> None:
    swapped = {"LeftArm": "LeftForeArm", "LeftForeArm": "LeftArm"}
    with pytest.raises(InputError, match="LeftForeArm does not hang on LeftArm"):
        library(tmp_path, a=bvh([WALK], lambda name: swapped.get(name, name)))


def test_single_broken_frames_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = bvh([WALK] * 5).splitlines()
    rows[-2], rows[-4] = rows[-2] + " 7", rows[-4].replace("0", "?", 1)
    with caplog.at_level(logging.WARNING):
        found = library(tmp_path, a="\n".join(rows))
    assert (len(found), found.broken_frames) == (3, 2)
    assert {pose.name for pose in poses(found)} == {"a:0", "a:2", "a:4"}
    assert "left out 2 broken frames" in caplog.text


def test_one_bad_file_does_not_stop_the_rest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = library(tmp_path, bad="nothing", good=GOOD)
    assert len(found) == 4
    assert [path.name for path, _ in found.skipped] == ["bad.bvh"]
    assert "left out 1 of 2 motion files" in caplog.text


def test_files_are_found_in_folders_within_and_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "WALK.BVH").write_text(GOOD)
    (tmp_path / "folder.bvh").mkdir()
    assert [clip.name for clip in read_mocap(tmp_path).clips] == ["WALK"]


def test_a_folder_without_motions_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no BVH files"):
        read_mocap(tmp_path)
    with pytest.raises(InputError, match="no folder of motion files"):
        read_mocap(tmp_path / "absent")


@pytest.mark.parametrize("time", ["0", "nan", "-1", "1e9", "soon", ""])
def test_a_frame_time_that_means_nothing_does_not_matter(tmp_path: Path, time: str) -> None:
    assert len(library(tmp_path, a=GOOD.replace("Frame Time: 0.1", f"Frame Time: {time}"))) >= 1


def test_other_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.bvh").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert len(read_mocap(tmp_path)) == 4


def test_every_joint_of_the_test_skeleton_has_a_parent_before_it() -> None:
    seen = {""}
    for name, parent, _ in SKELETON:
        assert parent in seen
        seen.add(name)
