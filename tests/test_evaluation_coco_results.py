"""COCO results with boxes and odd numbers: the figures of pycocotools, and what it does not take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.evaluation.coco_results import from_coco_results
from ltsh_deploy.evaluation.coco_units import BODY
from ltsh_deploy.evaluation.evaluation import Evaluation, evaluate_predictions
from ltsh_deploy.evaluation.opening import open_evaluation_set, read_predictions
from ltsh_deploy.evaluation.results import write_results
from ltsh_deploy.skeletons import COCO17, LSP14
from tests.evaluation_data import write_json

# People about as large as the limits of COCO's "medium" and "large", so that it matters whose area is taken.
SIDES = (25.0, 60.0, 90.0, 150.0)


def labels(rng: np.random.Generator, images: int = 12) -> dict[str, Any]:
    annotations: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        for _ in range(3):
            side = float(rng.choice(SIDES))
            xy = rng.uniform(0, 400, 2) + rng.uniform(0, side, (17, 2))
            seen = rng.integers(0, 3, 17)
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image, "category_id": 1, "iscrowd": 0,
                    "keypoints": np.column_stack([xy, seen]).ravel().tolist(), "num_keypoints": int((seen > 0).sum()),
                    "area": side * side, "bbox": [*xy.min(axis=0).tolist(), *np.ptp(xy, axis=0).tolist()],
                }
            )  # fmt: skip
    return {
        "info": {},
        "images": [{"id": n, "file_name": f"{n}.png", "width": 640, "height": 480} for n in range(1, images + 1)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.joints)}],
        "annotations": annotations,
    }


def results(rng: np.random.Generator, truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Everybody a little beside, and as many strangers; boxes of any size, so that they are not those of the joints."""
    entries = []
    for person in truth["annotations"]:
        joints = np.array(person["keypoints"]).reshape(-1, 3)
        for offset in (rng.normal(0, 3, (17, 2)), rng.uniform(-300, 300, 2)):
            keypoints = np.column_stack([joints[:, :2] + offset, rng.random(17)])
            keypoints[rng.random(17) < 0.1] = 0
            box = [*rng.uniform(0, 400, 2).tolist(), *rng.choice(SIDES, 2).tolist()]
            entries.append(
                {
                    "image_id": person["image_id"], "category_id": 1, "score": float(rng.random()),
                    "keypoints": keypoints.ravel().tolist(), "bbox": box,
                }
            )  # fmt: skip
    return entries


def stats_of_pycocotools(truth: Path, entries: Path) -> list[float]:
    coco = pytest.importorskip("pycocotools.coco")
    evaluator = pytest.importorskip("pycocotools.cocoeval")
    labelled = coco.COCO(str(truth))
    official = evaluator.COCOeval(labelled, labelled.loadRes(str(entries)), "keypoints")
    official.evaluate()
    official.accumulate()
    official.summarize()
    found: list[float] = official.stats.tolist()
    return found


def evaluated(truth: Path, entries: Path) -> Evaluation:
    data = open_evaluation_set("coco", truth)
    return evaluate_predictions(data, read_predictions(entries, data))


def stats(evaluation: Evaluation) -> list[float]:
    return [value for name, value in evaluation.scores.values["stats"].items() if name != "AP_per_threshold"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("boxes", ["all", "none", "not the first", "an empty first"])
def test_areas_are_those_that_pycocotools_takes(tmp_path: Path, seed: int, boxes: str) -> None:
    rng = np.random.default_rng(seed)
    truth = labels(rng)
    entries = results(rng, truth)
    for n, entry in enumerate(entries):
        if boxes == "none" or (boxes == "not the first" and n == 0):
            del entry["bbox"]
    if boxes == "an empty first":
        entries[0]["bbox"] = []
    files = write_json(tmp_path / "gt.json", truth), write_json(tmp_path / "r.json", entries)
    found = evaluated(*files)
    np.testing.assert_allclose(stats(found), stats_of_pycocotools(*files), atol=1e-12)
    # What is written is worth the same, here and for pycocotools.
    write_results(tmp_path, found)
    for name in ("coco_results.json", "predictions.json"):
        assert stats(evaluated(files[0], tmp_path / name)) == stats(found)
    official = stats_of_pycocotools(files[0], tmp_path / "coco_results.json")
    np.testing.assert_allclose(stats(found), official, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("joints", [BODY, ("nose",), ("left_knee", "right_knee")])
def test_some_joints_alone_are_measured_as_if_the_labels_had_no_others(
    tmp_path: Path, seed: int, joints: tuple[str, ...]
) -> None:
    rng = np.random.default_rng(seed)
    truth = labels(rng)
    files = write_json(tmp_path / "gt.json", truth), write_json(tmp_path / "r.json", results(rng, truth))
    data = open_evaluation_set("coco", files[0], joints=joints)
    found = evaluate_predictions(data, read_predictions(files[1], data))
    for person in truth["annotations"]:
        for j, name in enumerate(COCO17.joints):
            if name not in joints:
                person["keypoints"][3 * j + 2] = 0
        person["num_keypoints"] = sum(label > 0 for label in person["keypoints"][2::3])
    if len(joints) < 12:
        assert not all(person["num_keypoints"] for person in truth["annotations"])
    edited = write_json(tmp_path / "edited.json", truth)
    np.testing.assert_allclose(stats(found), stats_of_pycocotools(edited, files[1]), atol=1e-12)
    assert found.notes[0] == f"measured by these joints alone: {', '.join(joints)}"


def test_joints_that_are_not_measured_are_not_missed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = write_json(tmp_path / "gt.json", labels(rng))
    people = [{"id": "1", "people": [{"joints": [[1.0, 2.0, 0.5]] * 14, "score": 1}]}]
    entries = write_json(tmp_path / "p.json", {"joint_names": list(LSP14.joints), "images": people})
    for joints, missed in ((None, True), (BODY, False), (COCO17.joints, True)):
        data = open_evaluation_set("coco", truth, joints=joints)
        notes = evaluate_predictions(data, read_predictions(entries, data)).notes
        assert any("always missed: nose" in note for note in notes) == missed


def test_joints_that_cannot_be_measured_are_refused(tmp_path: Path) -> None:
    truth = write_json(tmp_path / "gt.json", labels(np.random.default_rng(0)))
    with pytest.raises(UsageError, match="COCO has no joint 'head_top'"):
        open_evaluation_set("coco", truth, joints=("nose", "head_top"))
    with pytest.raises(UsageError, match="have no joints"):
        open_evaluation_set("conformance", truth, joints=BODY)


def test_boxes_matter(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = labels(rng)
    entries = results(rng, truth)
    labelled = write_json(tmp_path / "gt.json", truth)
    told = stats(evaluated(labelled, write_json(tmp_path / "r.json", entries)))
    for entry in entries:
        del entry["bbox"]
    assert stats(evaluated(labelled, write_json(tmp_path / "r.json", entries))) != told


def entry(**changes: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 1, "keypoints": [1.0, 2.0, 0.5] * 17, "score": 0.5} | changes


def changed(*values: Any) -> list[Any]:
    """The numbers of a person whose first ones are these."""
    return [*values, *[1.0, 2.0, 0.5] * 17][:51]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_positions_that_are_no_numbers_are_not_predicted_and_counted(value: Any) -> None:
    stored = from_coco_results([entry(keypoints=changed(value, 2.0, 0.5, 1.0, value, 0.5))], "r")
    assert stored.by_unit["1"].present[0].tolist() == [False, False, *[True] * 15]
    assert [(text.split(",")[0], count) for text, count in stored.notes.items()] == [
        ("predicted joints whose position is no finite number", 2)
    ]
    # An absent joint, as COCO writes it, is nothing odd.
    assert not from_coco_results([entry(keypoints=changed(0, 0, 0))], "r").notes


def test_scores_out_of_range_rank_and_are_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = labels(rng)
    entries = results(rng, truth)
    labelled = write_json(tmp_path / "gt.json", truth)
    inside = evaluated(labelled, write_json(tmp_path / "r.json", entries))
    for each in entries:
        each["score"] = 100 * each["score"] - 200
    entries[0]["keypoints"] = [*entries[0]["keypoints"][:-1], 2.0]
    outside = evaluated(labelled, write_json(tmp_path / "r.json", entries))
    assert stats(outside) == stats(inside)
    assert f"{len(entries)} predicted people with a score outside [0, 1], taken as it is" in outside.notes
    assert "1 predicted joints with a score outside [0, 1], taken as it is" in outside.notes


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (entry(score=float("nan")), "entry 1: 'score'"),
        (entry(score=None), "entry 1: 'score'"),
        (entry(keypoints=changed(1.0, 2.0, float("nan"))), "entry 1: nose has a position and no score"),
        (entry(keypoints=changed(1.0, 2.0, None)), "entry 1: nose has a position and no score"),
        (entry(keypoints=changed("1")), "entry 1: 'keypoints': expected numbers"),
        (entry(keypoints=changed(10**400)), "too large"),
        (entry(keypoints=[1.0] * 50), "entry 1: 'keypoints' must be 51 numbers, found 50"),
        (entry(keypoints=None), "entry 1: 'keypoints': expected a list"),
        (entry(image_id=None), "entry 1: 'image_id'"),
        (5, "entry 1: expected an object"),
    ],
)
def test_what_cannot_be_ranked_or_read_is_refused_by_its_entry(bad: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_coco_results([entry(), bad], "r")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (entry(), "entry 1: has no 'bbox', and the first entry has one"),
        (entry(bbox=[1, 2, 3]), "entry 1: 'bbox' must be 4 numbers, found 3"),
        (entry(bbox=[1, 2, 3, float("nan")]), "entry 1: 'bbox': expected a number"),
        (entry(bbox=None), "entry 1: 'bbox': expected a list"),
    ],
)
def test_boxes_that_are_none_are_refused_by_their_entry(bad: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_coco_results([entry(bbox=[1, 2, 3, 4]), bad], "r")


def test_boxes_in_the_projects_own_form(tmp_path: Path) -> None:
    truth = write_json(tmp_path / "gt.json", labels(np.random.default_rng(0), 1))
    data = open_evaluation_set("coco", truth)
    person = {"joints": [[1, 2, 0.5]] * 17, "score": 0.5}
    boxed = person | {"bbox": [1, 2, 3, 4]}
    path = write_json(tmp_path / "p.json", {"images": [{"id": "1", "people": [boxed, boxed]}]})
    assert read_predictions(path, data).boxes["1"].tolist() == [[1, 2, 3, 4]] * 2
    for bad, message in (
        (person, r"p\.json: images\[0\]: person 1 has no 'bbox', and images\[0\]: person 0 has one"),
        (person | {"bbox": [1]}, r"p\.json: images\[0\]: person 1: 'bbox' must be 4 numbers"),
    ):
        write_json(path, {"images": [{"id": "1", "people": [boxed, bad]}]})
        with pytest.raises(InputError, match=message):
            read_predictions(path, data)


def test_boxes_on_some_pictures_alone_are_refused(tmp_path: Path) -> None:
    """COCO results of them could not be read again."""
    truth = write_json(tmp_path / "gt.json", labels(np.random.default_rng(0), 2))
    data = open_evaluation_set("coco", truth)
    person = {"joints": [[1, 2, 0.5]] * 17, "score": 0.5}
    boxed = person | {"bbox": [1, 2, 3, 4]}
    images = [{"id": "1", "people": [person]}, {"id": "2", "people": [boxed]}]
    path = write_json(tmp_path / "p.json", {"images": images})
    with pytest.raises(InputError, match=r"images\[0\]: person 0 has no 'bbox', and images\[1\]: person 0 has one"):
        read_predictions(path, data)
    # Where nobody is, nobody lacks a box.
    write_json(path, {"images": [{"id": "1", "people": []}, images[1]]})
    assert {name: own.tolist() for name, own in read_predictions(path, data).boxes.items()} == {"2": [[1, 2, 3, 4]]}
    write_results(tmp_path, evaluated(truth, path))
    assert read_predictions(tmp_path / "coco_results.json", data).boxes["2"].tolist() == [[1, 2, 3, 4]]


def test_boxes_stay_with_their_people_where_somebody_is_left_out(tmp_path: Path) -> None:
    truth = write_json(tmp_path / "gt.json", labels(np.random.default_rng(0), 1))
    names = ["left_wrist", "belly"]
    people = [
        {"joints": [None, [1, 2, 0.5]], "score": 0.9, "bbox": [0, 0, 1, 1]},
        {"joints": [[3, 4, 0.5], None], "score": 0.8, "bbox": [0, 0, 2, 3]},
    ]
    path = write_json(tmp_path / "p.json", {"joint_names": names, "images": [{"id": "1", "people": people}]})
    (prediction,) = evaluated(truth, path).predictions
    assert prediction.poses.scores.tolist() == [0.8]
    assert prediction.areas is not None
    assert prediction.areas.tolist() == [6]


def test_an_area_beyond_all_numbers_is_out_of_range(tmp_path: Path) -> None:
    truth = write_json(tmp_path / "gt.json", labels(np.random.default_rng(0), 1))
    path = write_json(tmp_path / "r.json", [entry(bbox=[0, 0, 1e300, 1e300])])
    with np.errstate(all="raise", under="ignore"):
        values = evaluated(truth, path).scores.values
    assert values["stats"]["AP"] == 0
    json.dumps(values, allow_nan=False)
