from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.errors import InputError, SkeletonError
from ltsh_deploy.pose_formats import (
    CSV_HEADER,
    FramePoses,
    from_coco,
    from_openpose,
    from_record,
    image_id,
    source_stem,
    to_coco,
    to_csv_rows,
    to_openpose,
    to_record,
)
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO17, COCO18, LTSH15, SKELETONS, Skeleton

coordinates = st.integers(-(10**7), 10**7).map(lambda v: v / 100)
score_values = st.integers(1, 10_000).map(lambda v: v / 10_000)


@st.composite
def pose_sets(draw: st.DrawFn, skeleton: Skeleton | None = None) -> Poses:
    """Poses whose numbers are already rounded as the forms round them."""
    skeleton = skeleton or draw(st.sampled_from(list(SKELETONS.values())))
    people, joints = draw(st.integers(0, 3)), skeleton.num_joints
    xy = np.array(draw(st.lists(coordinates, min_size=2 * people * joints, max_size=2 * people * joints)))
    scores = np.array(draw(st.lists(score_values, min_size=people * joints, max_size=people * joints)))
    absent = np.array(draw(st.lists(st.booleans(), min_size=people * joints, max_size=people * joints)), dtype=bool)
    xy, scores, absent = xy.reshape(people, joints, 2), scores.reshape(people, joints), absent.reshape(people, joints)
    ids = draw(st.none() | st.lists(st.integers(0, 2**40), min_size=people, max_size=people, unique=True))
    return Poses(
        skeleton,
        np.where(absent[..., None], np.nan, xy),
        np.where(absent, 0.0, scores),
        np.array(draw(st.lists(score_values, min_size=people, max_size=people)), dtype=float),
        None if ids is None else np.array(ids, dtype=np.int64),
    )


frames = st.builds(
    FramePoses,
    poses=pose_sets(),
    source=st.text(max_size=20),
    width=st.integers(1, 20_000),
    height=st.integers(1, 20_000),
    frame=st.none() | st.integers(0, 10**6),
    time_s=st.none() | st.integers(0, 10**9).map(lambda v: v / 1000),
)


def through_json(value: Any) -> Any:
    """What another program would read; NaN and infinity are not JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(json.dumps(value, allow_nan=False), parse_constant=refuse)


def assert_equal(a: Poses, b: Poses) -> None:
    assert a.skeleton == b.skeleton
    np.testing.assert_array_equal(a.xy, b.xy)
    np.testing.assert_array_equal(a.joint_scores, b.joint_scores)
    np.testing.assert_array_equal(a.scores, b.scores)
    assert (a.ids is None) == (b.ids is None)
    if a.ids is not None:
        np.testing.assert_array_equal(a.ids, b.ids)


@settings(deadline=None, max_examples=60)
@given(frames)
def test_record_round_trip(frame: FramePoses) -> None:
    back = from_record(through_json(to_record(frame)))
    assert (back.source, back.frame, back.time_s) == (frame.source, frame.frame, frame.time_s)
    assert (back.width, back.height) == (frame.width, frame.height)
    # Ids live on the people, so nobody has none.
    expected = frame.poses if len(frame.poses) else Poses.empty(frame.poses.skeleton)
    assert_equal(back.poses, expected)


@settings(deadline=None, max_examples=60)
@given(frames)
def test_openpose_round_trip(frame: FramePoses) -> None:
    back = from_openpose(through_json(to_openpose(frame)), frame.poses.skeleton)
    np.testing.assert_array_equal(back.xy, frame.poses.xy)
    np.testing.assert_array_equal(back.joint_scores, frame.poses.joint_scores)
    if len(back):
        assert (back.ids is None) == (frame.poses.ids is None)


@settings(deadline=None, max_examples=60)
@given(pose_sets(COCO17), st.integers(0, 10**12))
def test_coco_round_trip(poses: Poses, number: int) -> None:
    seen = poses.present.any(axis=1)
    results = through_json(to_coco(FramePoses(poses, f"{number:012d}.jpg", 640, 480)))
    back = from_coco(results)
    if not seen.any():
        assert results == []
        return
    assert list(back) == [number]
    np.testing.assert_array_equal(back[number].xy, poses.xy[seen])
    np.testing.assert_array_equal(back[number].scores, poses.scores[seen])


@settings(deadline=None, max_examples=40)
@given(frames)
def test_csv_has_one_row_a_joint_whatever_the_source_is_called(frame: FramePoses) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(to_csv_rows(frame))
    rows = list(csv.DictReader(io.StringIO(text.getvalue(), newline=""), fieldnames=CSV_HEADER))
    assert len(rows) == frame.poses.present.sum()
    for row in rows:
        person, joint = int(row["person"]), frame.poses.skeleton.joints.index(row["joint"])
        assert (float(row["x"]), float(row["y"])) == tuple(frame.poses.xy[person, joint])
        assert row["source"] == frame.source
        assert row["id"] == ("" if frame.poses.ids is None else str(frame.poses.ids[person]))


def one_person(skeleton: Skeleton = LTSH15, **joints: tuple[float, float, float]) -> Poses:
    xy, scores = np.full((1, skeleton.num_joints, 2), np.nan), np.zeros((1, skeleton.num_joints))
    for name, (x, y, score) in joints.items():
        xy[0, skeleton.joints.index(name)] = x, y
        scores[0, skeleton.joints.index(name)] = score
    return Poses(skeleton, xy, scores, np.array([0.51234567]))


def test_numbers_are_rounded_and_absent_joints_are_null() -> None:
    poses = one_person(neck=(10.126, -0.001, 0.123456), left_ankle=(np.inf, 2.0, 1.0))
    record = to_record(FramePoses(poses, "v.mp4", 64, 48, frame=3, time_s=0.1234567))
    assert record["time_s"] == 0.123457
    (person,) = record["people"]
    assert "id" not in person
    assert person["score"] == 0.5123
    assert [j for j in person["joints"] if j] == [[10.13, 0.0, 0.1235]]
    assert "-0.0" not in json.dumps(person)


def test_huge_coordinates_stay_json() -> None:
    frame = FramePoses(one_person(neck=(1e308, -1e308, 1.0)), "a.png", 1, 1)
    for written in (to_record(frame), to_openpose(frame), to_coco(FramePoses(frame.poses, "a", 1, 1))):
        through_json(written)


def test_a_joint_with_score_zero_is_not_written_as_absent() -> None:
    poses = one_person(COCO18, nose=(5.0, 6.0, 0.0))
    frame = FramePoses(poses, "a.png", 10, 10)
    assert from_openpose(to_openpose(frame), COCO18).present[0, 0]
    assert to_coco(frame)[0]["keypoints"][:3] == [5.0, 6.0, 0.0001]


def test_openpose_form_is_what_its_readers_expect() -> None:
    poses = one_person(COCO18, neck=(5.0, 6.0, 0.5))
    data = to_openpose(FramePoses(poses, "a.png", 10, 10))
    assert data["version"] == 1.3
    (person,) = data["people"]
    assert person["person_id"] == [-1]
    assert person["pose_keypoints_2d"] == [0, 0, 0, 5.0, 6.0, 0.5] + [0.0] * 48
    assert person["hand_left_keypoints_2d"] == []


def test_coco_takes_joints_by_name_and_leaves_out_people_without_any() -> None:
    person, head = one_person(right_knee=(3.0, 4.0, 0.7)), one_person(head_top=(1.0, 1.0, 0.9))
    both = Poses(
        LTSH15,
        np.concatenate([head.xy, person.xy]),
        np.concatenate([head.joint_scores, person.joint_scores]),
        np.array([0.9, 0.8]),
    )
    (entry,) = to_coco(FramePoses(both, "COCO_val2014_000000000192.jpg", 10, 10))
    knee = 3 * COCO17.joints.index("right_knee")
    assert entry["image_id"] == 192
    assert entry["score"] == 0.8
    assert entry["keypoints"][knee : knee + 3] == [3.0, 4.0, 0.7]
    assert sum(map(abs, entry["keypoints"])) == pytest.approx(7.7)


def test_coco_of_a_skeleton_without_any_of_its_joints() -> None:
    tail = Skeleton("tail", ("tip",), (), (), (0.1,))
    with pytest.raises(SkeletonError):
        to_coco(FramePoses(Poses.empty(tail), "a.png", 1, 1))


@pytest.mark.parametrize("writer", [to_record, to_openpose, to_coco, to_csv_rows])
@pytest.mark.parametrize("where", ["scores", "joint_scores"])
def test_scores_that_are_not_numbers_are_refused(writer: Any, where: str) -> None:
    poses = one_person(neck=(1.0, 1.0, 0.5), left_hip=(1.0, 1.0, 0.5))
    getattr(poses, where)[...] = np.nan
    with pytest.raises(InputError, match="NaN"):
        writer(FramePoses(poses, "a.png", 1, 1))


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("photos/a b.jpg", "a b"),
        ("archive.tar.gz", "archive.tar"),
        ("stdin", "stdin"),
        ("camera 0", "camera_0"),
        ("photos/123", "123"),
        ("123", "123"),
        ("rtsp://user:secret@10.0.0.1:554/live/ch1?token=x", "ch1"),
        ("rtsp://user:secret@10.0.0.1:554", "10.0.0.1_554"),
        ("http://host.org/v.mp4#t=3", "v"),
        ("", "source"),
        ("a/..", ".."),
    ],
)
def test_source_stem(source: str, stem: str) -> None:
    assert source_stem(source) == stem


@pytest.mark.parametrize(
    ("source", "frame", "expected"),
    [
        ("x/000000197388.jpg", None, 197388),
        ("COCO_val2014_000000000192.jpg", None, 192),
        ("beach-7.png", None, 7),
        ("holiday.png", None, "holiday"),
        ("photo1.png", None, "photo1"),
        ("9" * 30 + ".png", None, "9" * 30),
        ("٣.png", None, "٣"),
        ("walk_3.avi", 12, 12),
    ],
)
def test_image_id(source: str, frame: int | None, expected: int | str) -> None:
    assert image_id(FramePoses(Poses.empty(LTSH15), source, 1, 1, frame)) == expected


GOOD = {"source": "a", "frame": None, "time_s": None, "width": 1, "height": 1, "skeleton": "ltsh15", "people": []}
JOINTS = [[1.0, 2.0, 0.5], *[None] * 14]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"skeleton": "horse"}, "horse"),
        ({"skeleton": None}, "None"),
        ({"skeleton": ["ltsh15"]}, "skeleton"),
        ({"people": {}}, "people"),
        ({"people": [3]}, "person 0"),
        ({"people": [{"score": 1, "joints": [None] * 14}]}, "15 joints, found 14"),
        ({"people": [{"score": 1, "joints": [[1, 2], *[None] * 14]}]}, "x, y, score"),
        ({"people": [{"score": 1, "joints": [["1", 2, 3], *[None] * 14]}]}, "number"),
        ({"people": [{"score": math.nan, "joints": JOINTS}]}, "score"),
        ({"people": [{"score": True, "joints": JOINTS}]}, "score"),
        ({"people": [{"joints": JOINTS}]}, "score"),
        ({"people": [{"score": 1, "joints": JOINTS, "id": 1.5}]}, "id"),
        ({"people": [{"score": 1, "joints": JOINTS, "id": 10**400}]}, "id"),
        ({"people": [{"score": 1, "joints": JOINTS, "id": 1}, {"score": 1, "joints": JOINTS}]}, "some have none"),
        ({"width": "wide"}, "width"),
        ({"time_s": "late"}, "time_s"),
    ],
)
def test_bad_records_are_named(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        from_record({**GOOD, **change}, where="poses.jsonl, line 3")
    assert "poses.jsonl, line 3" in caught.value.message


@pytest.mark.parametrize("value", [None, 3, "x", [], {"people": [{"pose_keypoints_2d": [1, 2]}]}, {"people": [{}]}])
def test_bad_openpose_is_named(value: Any) -> None:
    with pytest.raises(InputError, match="the file"):
        from_openpose(value, COCO18, where="the file")


@pytest.mark.parametrize("value", [None, {}, [1], [{}], [{"image_id": 1, "keypoints": [0] * 50, "score": 1}]])
def test_bad_coco_is_named(value: Any) -> None:
    with pytest.raises(InputError, match="the file"):
        from_coco(value, where="the file")


def test_a_skeleton_of_ones_own_reads_back_when_given() -> None:
    stick = Skeleton("stick", ("top", "end"), ((0, 1),), (), (0.1, 0.1))
    poses = Poses(stick, np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.ones((1, 2)), np.ones(1))
    record = to_record(FramePoses(poses, "a.png", 5, 5))
    assert_equal(from_record(record, stick).poses, poses)
    with pytest.raises(InputError, match="stick"):
        from_record(record)
    with pytest.raises(InputError, match="stick"):
        from_record(record, LTSH15)


def test_openpose_of_a_person_without_joints_or_id() -> None:
    back = from_openpose({"people": [{"pose_keypoints_2d": [0] * 54}]}, COCO18)
    assert len(back) == 1
    assert back.scores[0] == 0
    assert back.ids is None
