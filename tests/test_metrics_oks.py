"""COCO's average precision against pycocotools, digit by digit."""

from __future__ import annotations

import contextlib
import io
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params

from ltsh_deploy.errors import InputError
from ltsh_deploy.metrics import OksAp, OksPrediction, OksTruth, oks_ap, oks_ap_draws, oks_matches, oks_matrix
from ltsh_deploy.skeletons import COCO17

JOINTS = 17
#: Theirs, some of which differ from those of our skeleton in the last digit.
SIGMAS = Params("keypoints").kpt_oks_sigmas
Json = dict[str, Any]


def pycocotools(ground_truth: Json, results: list[Json]) -> COCOeval:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = ground_truth
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        if evaluation.eval["recall"].size:
            evaluation.summarize()
    return evaluation


def triples(people: list[Json]) -> Any:
    return np.array([person["keypoints"] for person in people], np.float64).reshape(-1, JOINTS, 3)


def truth_of(people: list[Json]) -> OksTruth:
    keypoints = triples(people)
    return OksTruth(
        np.where(keypoints[..., 2:] > 0, keypoints[..., :2], np.nan),
        np.array([person["area"] for person in people], np.float64),
        np.array([person["bbox"] for person in people], np.float64).reshape(-1, 4),
        np.array([person["iscrowd"] for person in people], np.bool_),
        np.array([person["num_keypoints"] == 0 for person in people], np.bool_),
    )


def prediction_of(people: list[Json]) -> OksPrediction:
    areas = [person["bbox"][2] * person["bbox"][3] for person in people if "bbox" in person]
    scores = np.array([person["score"] for person in people], np.float64)
    return OksPrediction(triples(people)[..., :2], scores, np.array(areas) if areas else None)


def ours(ground_truth: Json, results: list[Json], sigmas: Any = COCO17.sigmas) -> OksAp:
    matches = []
    for image in sorted(image["id"] for image in ground_truth["images"]):
        people = [person for person in ground_truth["annotations"] if person["image_id"] == image]
        found = [person for person in results if person["image_id"] == image]
        matches.append(oks_matches(truth_of(people), prediction_of(found), sigmas))
    return oks_ap(matches)


def check(ground_truth: Json, results: list[Json]) -> OksAp:
    theirs, measured = pycocotools(ground_truth, results), ours(ground_truth, results, SIGMAS)
    precision = np.moveaxis(theirs.eval["precision"][:, :, 0, :, 0], 2, 0)
    recall = theirs.eval["recall"][:, 0, :, 0].T
    np.testing.assert_allclose(measured.precision, np.where(precision < 0, np.nan, precision), rtol=0, atol=1e-12)
    np.testing.assert_allclose(measured.recall, np.where(recall < 0, np.nan, recall), rtol=0, atol=1e-12)
    stats = np.where(theirs.stats < 0, np.nan, theirs.stats)
    np.testing.assert_allclose(list(measured.stats.values()), stats, rtol=0, atol=1e-9)
    again = ours(ground_truth, results)
    np.testing.assert_allclose(list(again.stats.values()), stats, rtol=0, atol=1e-9)
    return again


def scene(rng: np.random.Generator, pictures: int) -> tuple[Json, list[Json]]:
    """Crowded pictures with ties, duplicates, crowds, people without joints, areas on the limits, and far too many."""
    annotations: list[Json] = []
    results: list[Json] = []
    for image in range(1, pictures + 1):
        labelled = int(rng.integers(0, 5))
        for _ in range(labelled):
            corner, side = rng.integers(0, 200, 2), float(rng.choice([20, 32, 64, 96, 150]))
            keypoints = np.zeros((JOINTS, 3))
            keypoints[:, :2] = corner + rng.integers(0, int(side) + 1, (JOINTS, 2))
            keypoints[:, 2] = rng.integers(0, 3, JOINTS) if rng.random() < 0.8 else 0
            keypoints[keypoints[:, 2] == 0] = 0
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": 1,
                    "keypoints": keypoints.ravel().tolist(),
                    "num_keypoints": int((keypoints[:, 2] > 0).sum()),
                    "area": side * side * float(rng.choice([1, 1, 0.6, 0])),
                    "bbox": [*corner.tolist(), side, side],
                    "iscrowd": int(rng.random() < 0.15),
                }
            )
        here = annotations[len(annotations) - labelled :]
        for _ in range(int(rng.choice([0, 2, 6, 25]))):
            if here and rng.random() < 0.7:
                person = here[int(rng.integers(labelled))]
                spread = float(rng.choice([0, 0.02, 0.05, 0.1])) * math.sqrt(person["area"])
                keypoints = np.reshape(person["keypoints"], (JOINTS, 3)) + rng.normal(0, 1, (JOINTS, 3)) * spread
                # Joints that are right beside some that are far away: similarities of exactly n / 17.
                keypoints[rng.random(JOINTS) < rng.choice([0, 0.3])] = 1e5
            else:
                keypoints = rng.uniform(0, 300, (JOINTS, 3))
            score = float(rng.choice([0.1, 0.5, 0.5, 0.9]) if rng.random() < 0.7 else rng.random())
            found = {"image_id": image, "category_id": 1, "keypoints": keypoints.ravel().tolist(), "score": score}
            results += [found] * int(rng.choice([1, 1, 1, 2]))
    ground_truth = {
        "info": {},
        "images": [{"id": image} for image in range(1, pictures + 1)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}],
    }
    return ground_truth, [dict(found) for found in results]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_every_number_is_that_of_pycocotools(seed: int, pictures: int) -> None:
    ground_truth, results = scene(np.random.default_rng(seed), pictures)
    # pycocotools refuses a list of results that is empty; test_nobody_found_is_an_average_of_nothing is about that.
    if results:
        check(ground_truth, results)


def test_the_numbers_of_a_larger_set_are_neither_0_nor_1() -> None:
    stats = check(*scene(np.random.default_rng(0), 60)).stats
    assert all(0.02 < value < 0.98 for value in stats.values()), stats


def test_of_equally_similar_people_the_last_is_taken() -> None:
    everything = np.tile([50.0, 50.0, 2.0], (JOINTS, 1))
    some, arms = everything.copy(), everything.copy()
    some[5:], arms[5:, :2] = 0, 900
    common = {"image_id": 1, "category_id": 1, "area": 5000.0, "bbox": [0, 0, 99, 99], "iscrowd": 0}
    annotations = [
        {**common, "id": i, "keypoints": joints.ravel().tolist(), "num_keypoints": count}
        for i, joints, count in ((1, everything, 17), (2, some, 5))
    ]
    ground_truth = {"info": {}, "images": [{"id": 1}], "annotations": annotations, "categories": [{"id": 1}]}
    results: list[Json] = [
        {"image_id": 1, "category_id": 1, "keypoints": joints.ravel().tolist(), "score": score}
        for joints, score in ((everything, 0.9), (arms, 0.8))
    ]
    # The surer one fits both and takes the second, whom alone the other one would fit.
    assert check(ground_truth, results).stats["AR"] == 0.5


def test_similarities_are_those_of_pycocotools() -> None:
    ground_truth, results = scene(np.random.default_rng(5), 30)
    theirs = pycocotools(ground_truth, results)
    compared = 0
    for image in range(1, 31):
        people = [person for person in ground_truth["annotations"] if person["image_id"] == image]
        found = sorted((person for person in results if person["image_id"] == image), key=lambda each: -each["score"])
        expected = theirs.ious[image, 1]
        if len(expected):
            oks = oks_matrix(truth_of(people), prediction_of(found[:20]), SIGMAS)
            np.testing.assert_allclose(oks, expected, rtol=1e-9, atol=1e-300)
            compared += oks.size
    assert compared > 300


def person(place: float, area: float = 100.0) -> OksTruth:
    joints = np.full((1, JOINTS, 2), place)
    return OksTruth(joints, np.array([area]), np.zeros((1, 4)), np.zeros(1, np.bool_), np.zeros(1, np.bool_))


def test_nobody_found_is_an_average_of_nothing() -> None:
    nobody = OksPrediction(np.zeros((0, JOINTS, 2)), np.zeros(0))
    measured = oks_ap([oks_matches(person(5.0, 5000.0), nobody, COCO17.sigmas)])
    assert (measured.stats["AP"], measured.stats["AR"], measured.stats["APm"]) == (0, 0, 0)
    assert np.isnan([measured.stats["APl"], measured.stats["ARl"]]).all()
    assert measured.ap_per_threshold.tolist() == [0] * 10


def test_a_joint_that_is_not_predicted_is_one_at_the_origin() -> None:
    joints = np.full((1, JOINTS, 2), 50.0)
    joints[0, 3:] = [np.nan, 7]
    joints[0, 0, 1] = np.inf
    zeros = np.where(np.isfinite(joints).all(axis=2, keepdims=True), joints, 0)
    oks = [oks_matrix(person(50.0), OksPrediction(each, np.ones(1)), COCO17.sigmas)[0, 0] for each in (joints, zeros)]
    assert oks[0] == oks[1] == pytest.approx(2 / 17)


def test_what_is_infinitely_far_away_is_not_similar() -> None:
    far = OksPrediction(np.full((1, JOINTS, 2), 1e300), np.ones(1))
    with np.errstate(all="raise", under="ignore"):
        measured = oks_ap([oks_matches(person(50.0), far, COCO17.sigmas)])
    assert measured.stats["AP"] == 0


def test_what_cannot_be_measured_is_refused() -> None:
    found = OksPrediction(np.zeros((1, JOINTS, 2)), np.ones(1))
    with pytest.raises(InputError, match="no picture"):
        oks_ap([])
    with pytest.raises(InputError, match="score NaN"):
        OksPrediction(np.zeros((1, JOINTS, 2)), np.array([np.nan]))
    for area in (np.nan, np.inf, -1.0):
        with pytest.raises(InputError, match="areas"):
            person(0.0, area)
    with pytest.raises(ValueError, match="different joints"):
        oks_matrix(person(0.0), found, [0.1] * 3)
    with pytest.raises(ValueError, match="different joints"):
        oks_matrix(person(0.0), OksPrediction(np.zeros((1, 3, 2)), np.ones(1)), COCO17.sigmas)
    with pytest.raises(ValueError, match="needs joints"):
        OksPrediction(np.zeros((2, JOINTS, 2)), np.zeros(1))
    with pytest.raises(ValueError, match="need joints"):
        OksTruth(np.zeros((1, JOINTS, 3)), np.ones(1), np.zeros((1, 4)), np.zeros(1), np.zeros(1))  # type: ignore[arg-type]


@pytest.mark.parametrize("boxed", [10.0, 50.0])
def test_results_with_boxes_have_the_areas_of_these(boxed: float) -> None:
    ground_truth, results = scene(np.random.default_rng(3), 40)
    rng = np.random.default_rng(4)
    boxes = [[0.0, 0.0, boxed, float(rng.choice([10.0, 50.0, 200.0]))] for _ in results]
    # check() compares every figure with those of pycocotools, which takes the areas from the boxes.
    with_boxes = check(ground_truth, [entry | {"bbox": box} for entry, box in zip(results, boxes, strict=True)])
    assert with_boxes.stats["APm"] != check(ground_truth, results).stats["APm"]
    with pytest.raises(ValueError, match="areas"):
        OksPrediction(np.zeros((2, JOINTS, 2)), np.zeros(2), np.zeros(3))


def test_draws_of_pictures_are_as_if_each_copy_were_one() -> None:
    rng = np.random.default_rng(9)
    ground_truth, results = scene(rng, 25)
    # Of equal scores the copies of one person follow each other, which repeated pictures do not; so all differ.
    results = [entry | {"score": float(rng.random())} for entry in results]
    matches = []
    for image in ground_truth["images"]:
        people = [each for each in ground_truth["annotations"] if each["image_id"] == image["id"]]
        found = [each for each in results if each["image_id"] == image["id"]]
        matches.append(oks_matches(truth_of(people), prediction_of(found), SIGMAS))
    counts = rng.multinomial(len(matches), np.full(len(matches), 1 / len(matches)), size=5)
    for drawn, count in zip(oks_ap_draws(matches, counts), counts, strict=True):
        expected = oks_ap([m for m, n in zip(matches, count.tolist(), strict=True) for _ in range(n)])
        np.testing.assert_allclose(drawn.precision, expected.precision, atol=1e-12)
        np.testing.assert_allclose(drawn.recall, expected.recall, atol=1e-12)
    with pytest.raises(ValueError, match="need counts"):
        oks_ap_draws(matches, counts[:, 1:])
