"""The numbers of the published evaluators, on the data of ../shared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltsh_deploy.evaluation.groups import box_around, mean_of
from ltsh_deploy.metrics import (
    MPII_JOINTS,
    MultiPersonPrediction,
    MultiPersonTruth,
    UnitMatches,
    head_sizes,
    mpii_table,
    multi_person_ap,
    multi_person_matches,
    oks_matrix,
)
from ltsh_deploy.skeletons import COCO17, MPII16
from tests.test_metrics_oks import check, prediction_of, truth_of

IDS = [MPII16.joints.index(name) for name in MPII_JOINTS]
CASES = [
    "01_perfect",
    "02_gt_missing_joints",
    "03_jitter_0.20",
    "06_threshold_boundary",
    "07_pred_missing_joints",
    "09_extra_false_people",
    "12_some_images_without_predictions",
    "13_no_predictions_at_all",
    "17_matching_order",
]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def joints_of(people: list[dict[str, Any]]) -> Any:
    """[P, 14, 3] of the benchmark's joints; NaN where null."""
    nothing = [None, None, None]
    rows = [[person["joints"][i] or nothing for i in IDS] for person in people]
    return np.array(rows, np.float64).reshape(-1, 14, 3)


def matches_of(ground_truth: Any, predictions: Any, limit: int | None = None) -> list[UnitMatches]:
    found = {image["id"]: image["people"] for image in predictions["images"]}
    matches = []
    for image in ground_truth["images"][:limit]:
        people, predicted = image["people"], joints_of(found.get(image["id"], []))
        boxes = np.array([person["head_box"] or [np.nan] * 4 for person in people], np.float64).reshape(-1, 4)
        sizes = head_sizes(boxes, np.array([person["scale"] for person in people], np.float64))
        truth = MultiPersonTruth(joints_of(people)[..., :2], sizes)
        matches.append(multi_person_matches(truth, MultiPersonPrediction(predicted[..., :2], predicted[..., 2])))
    return matches


def check_multi_person(matches: list[UnitMatches], expected: dict[str, Any], names: list[str]) -> float:
    measured = multi_person_ap(matches)
    by_id = [np.nan if expected["ap_by_id"][i] is None else expected["ap_by_id"][i] for i in IDS]
    np.testing.assert_allclose(measured.ap, by_id, rtol=0, atol=1e-6)
    table = mpii_table(measured.ap, MPII_JOINTS)
    assert table == pytest.approx(expected["table"], abs=1e-6, nan_ok=True)
    assert table["mAP"] == pytest.approx(measured.mean_ap, abs=1e-9)
    for key, counts in (
        ("n_gt", measured.n_gt),
        ("n_det", measured.n_detections),
        ("n_tp", measured.n_true_positives),
    ):
        assert counts.tolist() == [expected[key][names[i]] for i in IDS]
    return table["mAP"]


@pytest.mark.parametrize("case", CASES)
def test_multi_person_average_precision(shared: Path, case: str) -> None:
    folder = shared / "data" / "conformance" / "mp_ap" / case
    ground_truth = read(folder / "gt.json")
    matches = matches_of(ground_truth, read(folder / "pred.json"))
    check_multi_person(matches, read(folder / "expected.json")["poseval"], ground_truth["joint_names"])


@pytest.mark.parametrize(
    ("expected", "predictions", "limit", "mean"),
    [
        ("pred", "pred", None, 79.3135),
        ("pred_gt", "pred_gt", None, 100.0),
        ("pred_jitter", "pred_jitter", None, 49.6381),
        ("pred_first50", "pred", 50, None),
    ],
)
def test_a_published_method_on_real_groups(
    shared: Path, expected: str, predictions: str, limit: int | None, mean: float | None
) -> None:
    folder = shared / "data" / "conformance" / "mp_ap_real350"
    ground_truth = read(folder / "gt.json")
    matches = matches_of(ground_truth, read(folder / f"{predictions}.json"), limit)
    numbers = read(folder / "expected.json")[expected]["poseval"]
    found = check_multi_person(matches, numbers, ground_truth["joint_names"])
    assert mean is None or round(found, 4) == mean


def test_what_is_known_of_real_groups(shared: Path) -> None:
    folder = shared / "data" / "conformance" / "mp_ap_real350"
    expected = read(folder / "group_boxes_expected.json")
    for image, group in zip(read(folder / "gt.json")["images"], expected, strict=True):
        people = image["people"]
        assert (image["id"], len(people)) == (group["id"], group["n"])
        assert box_around(np.array([person["objpos"] for person in people])) == tuple(group["box"])
        scale = mean_of(np.array([person["scale"] for person in people]))
        assert scale == pytest.approx(group["mean_scale_3dec"], abs=5e-4)


@pytest.mark.parametrize("case", ["01_perfect", "02_jitter", "05_score_ties"])
def test_coco_average_precision(shared: Path, case: str) -> None:
    folder = shared / "data" / "conformance" / "oks_coco17" / case
    ground_truth, results, expected = (read(folder / f"{n}.json") for n in ("coco_gt", "coco_dt", "expected"))
    measured = check(ground_truth, results)
    stats = {name: value for name, value in expected["stats"].items() if name != "AP_per_threshold"}
    assert measured.stats == pytest.approx(stats, abs=1e-9)
    assert measured.ap_per_threshold.tolist() == pytest.approx(expected["stats"]["AP_per_threshold"], abs=1e-9)
    for image, matrix in expected["oks_first_images"].items():
        people = [person for person in ground_truth["annotations"] if person["image_id"] == int(image)]
        found = [person for person in results if person["image_id"] == int(image)]
        found.sort(key=lambda each: -each["score"])
        assert [person["id"] for person in people] == matrix["gt_ids"]
        oks = oks_matrix(truth_of(people), prediction_of(found), COCO17.sigmas)
        np.testing.assert_allclose(oks, matrix["oks"], rtol=1e-9)
