"""Poses as other programs take them."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from ltsh_deploy.errors import InputError, MissingPartError, SkeletonError
from ltsh_deploy.pose_formats import FramePoses, from_coco, from_openpose, to_coco, to_openpose
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO17, COCO18, Skeleton
from tests.test_poses import poses


@given(poses())
def test_openpose_is_what_the_file_would_hold(people: Poses) -> None:
    found = people.to_openpose()
    assert found == to_openpose(FramePoses(people, "anything.jpg", 640, 480))
    again = from_openpose(json.loads(json.dumps(found, allow_nan=False)), people.skeleton)
    np.testing.assert_array_equal(again.present, people.present)
    np.testing.assert_allclose(again.xy, people.xy, atol=0.0051)


@given(poses())
def test_coco_results_carry_the_image_that_they_are_of(people: Poses) -> None:
    for name in (197388, "beach"):
        found = people.to_coco(name)
        assert {result["image_id"] for result in found} <= {name}
        plain = to_coco(FramePoses(people, "1.jpg", 640, 480))
        assert [{**result, "image_id": 1} for result in found] == plain
        assert from_coco(found).keys() == ({name} if plain else set())


def test_what_no_form_can_hold_is_refused() -> None:
    one = Poses(COCO17, np.ones((1, 17, 2)), np.ones((1, 17)), np.array([np.nan]))
    with pytest.raises(InputError):
        one.to_coco(1)
    with pytest.raises(InputError):
        one.to_openpose()
    hand = Skeleton("hand", ("thumb", "nail"), ((0, 1),), (), (0.1, 0.1))
    with pytest.raises(SkeletonError):
        Poses.empty(hand).to_coco(1)


@dataclass
class KeyPoints:
    """The fields of supervision 0.29 and later."""

    xy: Any
    class_id: Any = None
    keypoint_confidence: Any = None
    detection_confidence: Any = None
    visible: Any = None
    data: Any = field(default_factory=dict)


@dataclass
class OldKeyPoints:
    """The fields before."""

    xy: Any
    class_id: Any = None
    confidence: Any = None
    data: Any = field(default_factory=dict)


def with_supervision(monkeypatch: pytest.MonkeyPatch, key_points: type) -> None:
    module = ModuleType("supervision")
    module.KeyPoints = key_points  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "supervision", module)
    monkeypatch.setattr(module, "__spec__", None)


def two_people(ids: Any = None) -> Poses:
    xy = np.full((2, 18, 2), np.nan)
    xy[0, :3] = [[10.25, 20], [30, 40], [50, 60]]
    scores = np.where(np.isfinite(xy).all(axis=2), 0.75, 0.0)
    return Poses(COCO18, xy, scores, np.array([0.5, 0.25]), ids)


def test_supervision_gets_pixels_scores_and_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    with_supervision(monkeypatch, KeyPoints)
    found = two_people(np.array([4, 7])).to_supervision()
    assert found.xy.dtype == found.keypoint_confidence.dtype == found.detection_confidence.dtype == np.float32
    assert found.xy.shape == (2, 18, 2)
    np.testing.assert_array_equal(found.xy[0, :4], [[10.25, 20], [30, 40], [50, 60], [0, 0]])
    np.testing.assert_array_equal(found.keypoint_confidence[0, :4], [0.75, 0.75, 0.75, 0])
    np.testing.assert_array_equal(found.visible[:, :4], [[True, True, True, False], [False] * 4])
    np.testing.assert_array_equal(found.detection_confidence, [0.5, 0.25])
    np.testing.assert_array_equal(found.class_id, [0, 0])
    assert found.data["tracker_id"].tolist() == [4, 7]
    assert two_people().to_supervision().data == {}
    assert Poses.empty(COCO17).to_supervision().xy.shape == (0, 17, 2)


def test_an_older_supervision_gets_what_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    with_supervision(monkeypatch, OldKeyPoints)
    found = two_people().to_supervision()
    np.testing.assert_array_equal(found.confidence[0, :4], np.float32([0.75, 0.75, 0.75, 0]))


@given(poses())
def test_what_supervision_gets_is_a_copy_without_nan(people: Poses) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        with_supervision(monkeypatch, KeyPoints)
        found = people.to_supervision()
    assert np.isfinite(found.xy).all()
    np.testing.assert_array_equal(found.visible, people.present)
    before = people.joint_scores.copy()
    found.keypoint_confidence += 1
    np.testing.assert_array_equal(people.joint_scores, before)


def test_without_supervision_the_error_has_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingPartError, match="supervision, which is not installed") as caught:
        two_people().to_supervision()
    assert caught.value.remedy.endswith("pip install supervision")


def test_the_real_supervision_takes_and_draws_them() -> None:
    supervision = pytest.importorskip("supervision", reason="needs the package supervision")
    found = two_people(np.array([4, 7])).to_supervision()
    assert len(found) == 2
    picture = np.zeros((80, 80, 3), np.uint8)
    drawn = supervision.VertexAnnotator().annotate(picture.copy(), found)
    assert drawn[40, 30].any()
    assert not drawn[:5, :5].any()


def test_the_real_supervision_takes_nobody_and_people_of_no_joint() -> None:
    supervision = pytest.importorskip("supervision", reason="needs the package supervision")
    picture = np.zeros((80, 80, 3), np.uint8)
    edges = [(a + 1, b + 1) for a, b in COCO18.limbs]
    xy = np.full((1, 18, 2), np.nan)
    for people in (Poses.empty(COCO18), Poses(COCO18, xy, np.zeros((1, 18)), np.array([0.1]))):
        found = people.to_supervision()
        for annotator in (supervision.VertexAnnotator(), supervision.EdgeAnnotator(edges=edges)):
            assert not annotator.annotate(picture.copy(), found).any()
        assert len(found.as_detections()) == 0


def test_pycocotools_takes_the_results_and_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="needs the package pycocotools")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    rng = np.random.default_rng(1)
    xy = rng.uniform(20, 200, (2, 17, 2)).round(2) + np.array([0, 300])[:, None, None]
    xy[1, 3:9] = np.nan
    present = np.isfinite(xy).all(axis=2)
    # Nobody's score is so low that COCO takes a joint that is there for one that is not.
    people = Poses(COCO17, xy, np.where(present, 1e-7, 0.0), np.array([0.9, 0.4]))
    annotations = [
        {
            "id": p + 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "area": 4e4, "bbox": [0, 0, 500, 500],
            "num_keypoints": int(present[p].sum()),
            "keypoints": np.column_stack([np.nan_to_num(xy[p]), 2 * present[p]]).ravel().tolist(),
        }
        for p in range(2)
    ]  # fmt: skip
    truth = {"info": {}, "images": [{"id": 7}], "categories": [{"id": 1}], "annotations": annotations}
    (tmp_path / "truth.json").write_text(json.dumps(truth), encoding="utf-8")
    (tmp_path / "found.json").write_text(json.dumps(people.to_coco(7)), encoding="utf-8")
    labelled = coco.COCO(str(tmp_path / "truth.json"))
    run = evaluation.COCOeval(labelled, labelled.loadRes(str(tmp_path / "found.json")), "keypoints")
    run.evaluate()
    run.accumulate()
    run.summarize()
    assert run.stats[0] == pytest.approx(1.0)
    capsys.readouterr()
    assert [sum(v > 0 for v in each["keypoints"][2::3]) for each in people.to_coco(7)] == present.sum(axis=1).tolist()
    assert Poses.empty(COCO17).to_coco(7) == []


@given(poses())
def test_an_adapter_keeps_ids_and_scores(people: Poses) -> None:
    again = from_openpose(json.loads(json.dumps(people.to_openpose())), people.skeleton)
    np.testing.assert_array_equal(again.joint_scores > 0, people.present)
    kept = np.where(people.present, people.joint_scores, 0.0)
    np.testing.assert_allclose(again.joint_scores, kept, atol=1.5e-4)
    if people.ids is None or not len(people):
        assert again.ids is None
    elif (people.ids >= 0).all():
        np.testing.assert_array_equal(again.ids, people.ids)
