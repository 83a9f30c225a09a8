"""Predictions: what is written is read back to the last digit, what is odd has a documented result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.errors import InputError, SkeletonError
from ltsh_deploy.evaluation.coco_results import from_coco_results, write_coco_results
from ltsh_deploy.evaluation.evaluation import Evaluation, evaluate_predictions
from ltsh_deploy.evaluation.groups import filter_group
from ltsh_deploy.evaluation.matching import single_people, submit
from ltsh_deploy.evaluation.matlab_predictions import read_matlab, write_matlab
from ltsh_deploy.evaluation.neutral_predictions import from_neutral, write_neutral
from ltsh_deploy.evaluation.opening import open_evaluation_set, read_predictions
from ltsh_deploy.evaluation.predictions import StoredPredictions, UnitPredictions
from ltsh_deploy.evaluation.units import Unit
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO17, LTSH15, MPII16, Skeleton
from tests.dataset_files import labels, picture, shard
from tests.evaluation_data import arm_set, mpii_files, neutral, predicted, standing, structs, write_json

scipy_io = pytest.importorskip("scipy.io")

NUMBERS = st.floats(-1e5, 1e5, allow_nan=False)
SCORES = st.floats(0, 1)


@st.composite
def poses(draw: st.DrawFn, skeleton: Skeleton = MPII16) -> Poses:
    """People with joints here and there; everybody has at least one."""
    people = draw(st.integers(0, 3))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    xy = generator.normal(0, draw(st.sampled_from([1.0, 1e4])), (people, skeleton.num_joints, 2))
    absent = generator.random((people, skeleton.num_joints)) < draw(st.sampled_from([0, 0.5]))
    absent[:, 0] = False
    scores = generator.random((people, skeleton.num_joints))
    xy[absent], scores[absent] = np.nan, 0
    return Poses(skeleton, xy, scores, generator.random(people))


def same(stored: StoredPredictions, given_poses: Sequence[Poses], names: Sequence[str]) -> None:
    assert list(stored.by_unit) == list(names)
    for found, wanted in zip(stored.by_unit.values(), given_poses, strict=True):
        np.testing.assert_array_equal(found.xy, wanted.xy)
        np.testing.assert_array_equal(found.joint_scores, wanted.joint_scores)
        np.testing.assert_array_equal(found.scores, wanted.scores)


@settings(max_examples=30, deadline=None)
@given(st.lists(poses(), min_size=1, max_size=3))
def test_both_forms_are_read_back_exactly(tmp_path_factory: pytest.TempPathFactory, people: list[Poses]) -> None:
    folder = tmp_path_factory.mktemp("forms")
    names = [f"ü {n}.jpg:1" for n in range(len(people))]
    predictions = [UnitPredictions(name, own) for name, own in zip(names, people, strict=True)]
    write_neutral(folder / "p.json", predictions, {})
    same(from_neutral(json.loads((folder / "p.json").read_text()), COCO17, "p"), people, names)
    write_matlab(folder / "p.mat", predictions)
    same(read_matlab(folder / "p.mat", []), people, names)


@settings(max_examples=30, deadline=None)
@given(st.lists(poses(COCO17), min_size=1, max_size=3))
def test_coco_results_are_read_back_exactly(tmp_path_factory: pytest.TempPathFactory, people: list[Poses]) -> None:
    path = tmp_path_factory.mktemp("coco") / "r.json"
    write_coco_results(path, [UnitPredictions(str(n), own) for n, own in enumerate(people)])
    stored = from_coco_results(json.loads(path.read_text()), "r")
    known = [n for n, own in enumerate(people) if len(own)]
    same(stored, [people[n] for n in known], [str(n) for n in known])


def test_people_of_another_category_than_cocos_own_are_people(tmp_path: Path) -> None:
    own = Poses(COCO17, np.zeros((1, 17, 2)) + 3, np.ones((1, 17)), np.ones(1))
    write_coco_results(tmp_path / "r.json", [UnitPredictions("4", own)], category=7)
    entries = json.loads((tmp_path / "r.json").read_text())
    assert entries[0]["category_id"] == 7
    assert len(from_coco_results(entries, "r", (7,)).by_unit["4"]) == 1
    assert not from_coco_results(entries, "r").by_unit


def test_matlab_files_named_after_their_pictures_go_by_their_order(tmp_path: Path) -> None:
    xy = np.full((1, 16, 2), np.nan)
    xy[0, 9] = 3, 4
    own = [Poses(MPII16, xy + n, np.where(np.isfinite(xy[..., 0]), 0.5, 0), np.ones(1)) for n in range(2)]
    write_matlab(tmp_path / "p.mat", [UnitPredictions("a.jpg", poses) for poses in own])
    units = [("a.jpg:1", "a.jpg"), ("a.jpg:2", "a.jpg")]
    same(read_matlab(tmp_path / "p.mat", units), own, ["a.jpg:1", "a.jpg:2"])
    with pytest.raises(InputError, match="came before"):
        read_matlab(tmp_path / "p.mat", [("a.jpg", "a.jpg"), ("b.jpg", "b.jpg")])


def test_matlab_files_are_read_where_every_picture_has_one_group(tmp_path: Path) -> None:
    people = [[standing(100), standing(200)], [standing(50), standing(300)]]
    annotations, groups = mpii_files(tmp_path, people, [[[1, 2]], [[1, 2]]])
    data = open_evaluation_set("mpii", annotations, groups=groups)
    named = [UnitPredictions(unit.image_name, unit.to_poses()) for unit in data]
    write_matlab(tmp_path / "p.mat", named)
    stored = read_predictions(tmp_path / "p.mat", data)
    assert list(stored.by_unit) == ["0.png:1", "1.png:1"]
    assert evaluate_predictions(data, stored).scores.headline == 100
    # In another order, or not of all pictures, names of pictures name no unit.
    for some in (named[::-1], named[:1]):
        write_matlab(tmp_path / "p.mat", some)
        with pytest.raises(InputError, match="none of its"):
            evaluate_predictions(data, read_predictions(tmp_path / "p.mat", data))


@pytest.mark.parametrize(("name", "content"), [("p.json", b" \n"), ("p.mat", b""), ("p.json", b"")])
def test_files_without_anything_hold_nobody(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    arm_set(tmp_path / "set", [(8, 16)])
    data = open_evaluation_set("conformance", tmp_path / "set" / "gt.json")
    assert not read_predictions(tmp_path / name, data).by_unit


def test_the_matlab_structure_is_the_one_of_the_toolkit(tmp_path: Path) -> None:
    xy = np.full((1, 16, 2), np.nan)
    xy[0, 9], xy[0, 0] = (3.25, 4), (-1, 2)
    scores = np.where(np.isfinite(xy[:, :, 0]), 0.5, 0.0)
    write_matlab(
        tmp_path / "p.mat",
        [UnitPredictions("a", Poses(MPII16, xy, scores, np.ones(1))), UnitPredictions("b", Poses.empty(MPII16))],
    )
    pred = scipy_io.loadmat(tmp_path / "p.mat")["pred"]
    assert pred.shape == (1, 2)
    point = pred[0, 0]["annorect"][0, 0]["annopoints"][0, 0]["point"]
    assert [int(p["id"][0, 0]) for p in point.ravel()] == [0, 9]
    assert [p["x"][0, 0] for p in point.ravel()] == [-1, 3.25]
    assert {p["score"].dtype for p in point.ravel()} == {np.dtype(np.float64)}
    assert pred[0, 1]["annorect"].size == 0


def matlab(path: Path, *units: Any) -> Path:
    """A file as others write it: no names of units; each unit is a list of people, each a list of points."""
    entries = [
        {"annorect": structs([{"annopoints": structs([{"point": structs(points)}])} for points in people])}
        for people in units
    ]
    scipy_io.savemat(path, {"pred": structs(entries)})
    return path


def test_matlab_files_of_others_go_by_their_order(tmp_path: Path) -> None:
    point = {"x": np.uint16(3), "y": 4.5, "id": np.uint8(15), "score": 2.0}
    stored = read_matlab(matlab(tmp_path / "p.mat", [[point]], []), [("a", ""), ("b", "")])
    assert list(stored.by_unit) == ["a", "b"]
    assert stored.by_unit["a"].xy[0, 15].tolist() == [3, 4.5]
    assert len(stored.by_unit["b"]) == 0
    with pytest.raises(InputError, match="has 2 entries, the data set 3 units"):
        read_matlab(tmp_path / "p.mat", [("a", ""), ("b", ""), ("c", "")])
    for change, message in (
        ({"id": 16}, "there is no joint 16"),
        ({"id": 0.5}, r"there is no joint 0\.5"),
        ({"score": np.zeros((0, 0))}, "expected one number as 'score'"),
    ):
        with pytest.raises(InputError, match=message):
            read_matlab(matlab(tmp_path / "q.mat", [[point | change]]), [("a", "")])
    with pytest.raises(InputError, match="joint 15 comes twice"):
        read_matlab(matlab(tmp_path / "q.mat", [[point, point]]), [("a", "")])
    nowhere = point | {"x": np.nan, "y": np.nan, "score": np.nan}
    stored = read_matlab(matlab(tmp_path / "q.mat", [[nowhere, point | {"id": 3}]]), [("a", "")])
    assert np.flatnonzero(stored.by_unit["a"].present[0]).tolist() == [3]
    assert [count for text, count in stored.notes.items() if "position" in text] == [1]
    with pytest.raises(InputError, match="joint 15 comes twice"):
        read_matlab(matlab(tmp_path / "q.mat", [[nowhere, point]]), [("a", "")])
    with pytest.raises(InputError, match=r"pred\(1\)\.annorect\(1\): right_ankle has a position and no score"):
        read_matlab(matlab(tmp_path / "q.mat", [[point | {"id": 0, "score": np.nan}]]), [("a", "")])
    scipy_io.savemat(tmp_path / "r.mat", {"other": 1})
    with pytest.raises(InputError, match="has no 'pred'"):
        read_matlab(tmp_path / "r.mat", [("a", "")])


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    return write_json(tmp_path / "gt.json", neutral([standing(100), standing(300)], [standing(50)]))


def evaluate(labelled: Path, content: Any) -> Evaluation:
    path = labelled.parent / "pred.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        write_json(path, content)
    data = open_evaluation_set("conformance", labelled)
    return evaluate_predictions(data, read_predictions(path, data))


def right() -> dict[str, Any]:
    return predicted([standing(100), standing(300)], [standing(50)])


def test_right_predictions_are_right(labelled: Path) -> None:
    assert evaluate(labelled, right()).scores.headline == 100


@pytest.mark.parametrize("content", [b"", [], {}, {"images": []}])
def test_a_file_of_nobody_has_an_ap_of_0(labelled: Path, content: Any) -> None:
    evaluation = evaluate(labelled, content)
    assert evaluation.scores.headline == 0
    assert any("2 units without predictions" in note for note in evaluation.notes)


def test_pictures_that_nobody_asked_for_are_left_out_and_said(labelled: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = right()
    content["images"].append({"id": "stranger", "people": []})
    evaluation = evaluate(labelled, content)
    assert evaluation.scores.headline == 100
    assert "1 pictures that are not in the data set, left out" in evaluation.notes
    assert "stranger" in caplog.text
    with pytest.raises(InputError, match="none of its 1 pictures is among the 2"):
        evaluate(labelled, {"images": content["images"][2:]})


def test_a_position_that_is_no_number_is_no_prediction(labelled: Path) -> None:
    content = right()
    joints = content["images"][0]["people"][0]["joints"]
    joints[0][0], joints[1][1], joints[2] = float("nan"), float("inf"), [float("nan")] * 3
    evaluation = evaluate(labelled, content)
    joints[0] = joints[1] = joints[2] = None
    assert evaluation.scores == evaluate(labelled, content).scores
    assert evaluation.scores.values["n_det"]["right_ankle"] == 2
    assert any(note.startswith("3 predicted joints whose position") for note in evaluation.notes)


def test_scores_rank_whatever_their_range(labelled: Path) -> None:
    content = right()
    wrong = predicted([standing(2000)])["images"][0]["people"]
    content["images"][0]["people"] += wrong
    inside = evaluate(labelled, content)
    for image in content["images"]:
        for person in image["people"]:
            person["joints"] = [[x, y, 1000 * score - 700] for x, y, score in person["joints"]]
    outside = evaluate(labelled, content)
    assert outside.scores == inside.scores
    assert any("outside [0, 1]" in note for note in outside.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"].append(c["images"][0]), r"images\[2\]: 'p0' came before"),
        (lambda c: c["images"][0]["people"][1]["joints"][0].__setitem__(2, float("nan")), "person 1: right_ankle has"),
        (lambda c: c["images"][0]["people"][1]["joints"][0].__setitem__(2, None), "person 1: right_ankle has"),
        (lambda c: c["images"][0]["people"][1]["joints"][0].__setitem__(0, "1"), "person 1: expected numbers"),
        (lambda c: c["images"][0]["people"][1]["joints"][0].__setitem__(0, True), "person 1: expected numbers"),
        (lambda c: c["images"][0]["people"][1]["joints"][0].__setitem__(0, 10**400), "too large"),
        (lambda c: c["images"][0]["people"][1]["joints"][0].pop(), "must be"),
        (lambda c: c["images"][0]["people"][1]["joints"].pop(), "expected 16 joints, found 15"),
        (lambda c: c["images"][0]["people"][1].update(score="high"), "'score'"),
        (lambda c: c["images"][0]["people"][1].update(score=float("nan")), "person 1: 'score'"),
        (lambda c: c["images"][0].pop("people"), "'people': expected a list"),
    ],
)
def test_what_cannot_be_ranked_or_read_is_refused_by_name(labelled: Path, change: Any, message: str) -> None:
    content = right()
    change(content)
    with pytest.raises(InputError, match=message) as error:
        evaluate(labelled, content)
    assert "pred.json" in error.value.message


def test_coco_results_for_another_data_set_and_damaged_files(labelled: Path) -> None:
    with pytest.raises(InputError, match="holds COCO results"):
        evaluate(labelled, [{"image_id": 1}])
    with pytest.raises(InputError, match="is not JSON"):
        evaluate(labelled, b'{"images": [')
    with pytest.raises(SkeletonError, match="are none that conformance is measured by"):
        evaluate(labelled, {"joint_names": ["tail"], "images": [{"id": "p0", "people": []}]})


def test_the_order_of_joint_names_does_not_matter(labelled: Path) -> None:
    content = predicted([standing(110)], [standing(40), standing(100)])
    order = np.random.default_rng(0).permutation(16).tolist()
    turned = json.loads(json.dumps(content)) | {"joint_names": [MPII16.joints[j] for j in order]}
    for image in turned["images"]:
        for person in image["people"]:
            person["joints"] = [person["joints"][j] for j in order]
    first, second = evaluate(labelled, content), evaluate(labelled, turned)
    assert first.scores == second.scores
    assert 0 < first.scores.headline < 100


def test_neither_pelvis_nor_thorax_nor_torso_centre_is_submitted(labelled: Path) -> None:
    data = open_evaluation_set("conformance", labelled)
    people = Poses(LTSH15, np.full((1, 15, 2), 7.0), np.ones((1, 15)), np.ones(1))
    lone = people.xy.copy()
    lone[:, :14] = np.nan
    nobody = Poses(LTSH15, lone, np.ones((1, 15)), np.ones(1))
    first, second = submit(data, [UnitPredictions("p0", people), UnitPredictions("p1", nobody)])
    assert first.poses.skeleton == MPII16
    assert [MPII16.joints[j] for j in np.flatnonzero(~first.poses.present[0])] == ["pelvis", "thorax"]
    assert len(second.poses) == 0
    everything = Poses(MPII16, np.full((1, 16, 2), 7.0), np.ones((1, 16)), np.ones(1))
    first, _ = submit(data, [UnitPredictions("p0", everything), UnitPredictions("p1", everything)])
    assert first.poses.joint_scores[0, [6, 7]].tolist() == [0, 0]


def group_of(box: tuple[float, float, float, float] | None, scale: float | None) -> Unit:
    empty = np.zeros(0)
    return Unit("u", MPII16, np.zeros((0, 16, 3)), empty, empty, np.zeros((0, 2)), group_box=box, mean_scale=scale)


def at(*places: tuple[float, float]) -> Poses:
    """People of two joints each, whose mean lies here."""
    xy = np.full((len(places), 16, 2), np.nan)
    middle, offset = np.array(places), np.array([5, 50])
    xy[:, 3], xy[:, 12] = middle - offset, middle + offset
    return Poses(MPII16, xy, np.ones((len(places), 16)), np.arange(float(len(places))))


def test_who_cannot_belong_to_the_group_is_left_out() -> None:
    unit = group_of((100, 100, 200, 120), 2.0)
    # 62.8 px to the sides and 78.6 px above and below.
    sides = at((37.21, 110), (37.19, 110), (262.79, 110), (262.81, 110))
    assert filter_group(sides, unit).scores.tolist() == [0, 2]
    ends = at((150, 21.41), (150, 21.39), (150, 198.59), (150, 198.61))
    assert filter_group(ends, unit).scores.tolist() == [0, 2]
    # A margin that is a whole number: its edge belongs to it.
    edge = at((100 - 314, 110), (200 + 314, 110), (150, 100 - 393), (150, 120 + 393))
    assert len(filter_group(edge, group_of((100, 100, 200, 120), 10.0))) == 4
    assert len(filter_group(at((1e6, 0)), group_of(None, 2.0))) == 1
    assert len(filter_group(at((1e6, 0)), group_of((0, 0, 1, 1), None))) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=6), st.floats(0.1, 100), NUMBERS, NUMBERS)
def test_filtering_twice_is_filtering_once(places: list[tuple[float, float]], scale: float, x: float, y: float) -> None:
    unit = group_of((x, y, x + 100, y + 50), scale)
    once = filter_group(at(*places) if places else Poses.empty(MPII16), unit)
    np.testing.assert_array_equal(filter_group(once, unit).scores, once.scores)


def test_groups_are_filtered_for_mpii_unless_otherwise_asked(tmp_path: Path) -> None:
    annotations, groups = mpii_files(tmp_path, [[standing(100), standing(140)]], [[[1, 2]]])
    data = open_evaluation_set("mpii", annotations, groups=groups)
    content = predicted([standing(100), standing(140), standing(900)])
    content["images"][0]["id"] = "0.png:1"
    stored = read_predictions(write_json(tmp_path / "p.json", content), data)
    filtered, raw = (evaluate_predictions(data, stored, filter_groups=choice) for choice in (None, False))
    assert filtered.scores.values["predicted_people"] == 2
    assert raw.scores.values["predicted_people"] == 3
    assert any("1 people found who cannot belong" in note for note in filtered.notes)


def test_files_for_coco_have_the_figures_of_pycocotools(shared: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    evaluator = pytest.importorskip("pycocotools.cocoeval")
    folder = shared / "data" / "conformance" / "oks_coco17"
    for case in sorted(folder.iterdir()):
        data = open_evaluation_set("coco", case / "coco_gt.json")
        evaluation = evaluate_predictions(data, read_predictions(case / "coco_dt.json", data))
        expected = json.loads((case / "expected.json").read_text())["stats"]
        for name, value in evaluation.scores.values["stats"].items():
            np.testing.assert_allclose(value, expected[name], atol=1e-9)
        write_coco_results(tmp_path / "r.json", evaluation.predictions)
        truth = coco.COCO(str(case / "coco_gt.json"))
        official = evaluator.COCOeval(truth, truth.loadRes(str(tmp_path / "r.json")), "keypoints")
        official.evaluate()
        official.accumulate()
        official.summarize()
        assert official.stats[0] == pytest.approx(expected["AP"], abs=1e-9)


def test_nobody_is_in_no_group() -> None:
    nobody = Poses(MPII16, np.full((1, 16, 2), np.nan), np.zeros((1, 16)), np.ones(1))
    assert len(filter_group(nobody, group_of((-10, -10, 10, 10), 1.0))) == 0


def test_joints_of_pelvis_and_thorax_alone_are_none_of_the_benchmark(labelled: Path) -> None:
    content = {"joint_names": ["pelvis", "thorax"], "images": [{"id": "p0", "people": []}]}
    with pytest.raises(SkeletonError, match=r"pelvis, thorax.* are none that conformance is measured by"):
        evaluate(labelled, content)
    middle = Skeleton("middle", ("pelvis", "thorax"), ((0, 1),), (), (0.1, 0.1))
    data = open_evaluation_set("conformance", labelled)
    with pytest.raises(SkeletonError, match="are none that"):
        submit(data, [UnitPredictions(unit.id, Poses.empty(middle)) for unit in data])


def test_the_one_who_is_meant_is_near_by_the_persons_scale(tmp_path: Path) -> None:
    joints = standing(100)[:, :2]
    entry = {"image": "a.png", "joints": joints.tolist(), "joints_vis": [1] * 16, "center": [100, 100], "scale": 1.0}
    data = open_evaluation_set("mpii-json", write_json(tmp_path / "a.json", [entry]))
    place = np.array([100.0, 100.0])

    def chosen(first: float, second: float) -> float:
        """How far to the right of the place the chosen one is, of two, the second of whom is twice as sure."""
        xy = np.tile((place + np.array([[first, 0], [second, 0]]))[:, None], (1, 16, 1))
        scores = np.stack([np.full(16, 0.4), np.full(16, 0.8)])
        submitted = submit(data, [UnitPredictions("a.png", Poses(MPII16, xy, scores, np.ones(2)))])
        return float(single_people(data, submitted).found[0, 0, 0] - place[0])

    # The person is 200 pixels tall; 20 pixels further away is hardly less near, and 110 are much.
    assert chosen(40, 60) == 60
    assert chosen(40, 150) == 40


def test_people_without_a_known_head_are_told(tmp_path: Path) -> None:
    content = neutral([standing(100), standing(300), standing(500)])
    people = content["images"][0]["people"]
    people[0] |= {"head_box": None, "scale": None}
    people[1] |= {"head_box": [5, 5, 5, 5]}
    data = open_evaluation_set("conformance", write_json(tmp_path / "g.json", content))
    path = write_json(tmp_path / "p.json", predicted([standing(100), standing(300), standing(500)]))
    evaluation = evaluate_predictions(data, read_predictions(path, data))
    assert any(note.startswith("2 people whose head size is unknown or zero") for note in evaluation.notes)
    assert evaluation.scores.values["people_without_head_size"] == 2
    assert evaluation.scores.values["n_tp"]["head_top"] == 1


def test_who_is_found_where_labels_are_not_complete_is_no_mistake(tmp_path: Path) -> None:
    people = [{"joints": standing(60).tolist(), "centre": [60, 110], "scale": 0.9}]
    content = predicted([standing(60), standing(140)])
    content["images"][0]["id"] = "val-0/a"
    path = write_json(tmp_path / "p.json", content)
    found = []
    for number, box in enumerate(([0, 0, 1, 1], [100, 0, 199, 219], [100, 0, 199, 60], [0, 0, 199, 219])):
        described = labels(skeleton="mpii16", people=people, ignore_boxes=[box])
        (tmp_path / str(number)).mkdir()
        shard(tmp_path / str(number) / "val-0.tar", a__png=picture(), a__json=described)
        data = open_evaluation_set("shards", tmp_path / str(number))
        values = evaluate_predictions(data, read_predictions(path, data)).scores.values
        found.append((sum(values["n_det"].values()), sum(values["n_tp"].values())))
    # Fewer than half of the joints in such a box excuse nobody, and whoever is matched counts in any case.
    assert found == [(28, 14), (14, 14), (28, 14), (14, 14)]
