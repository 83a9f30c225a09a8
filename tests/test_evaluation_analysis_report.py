"""The report: what it says agrees with the scores, opens without anything else, and survives odd data."""

from __future__ import annotations

import html.parser
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from ltsh_deploy.errors import OutputError, UsageError
from ltsh_deploy.evaluation.comparison import Interval
from ltsh_deploy.evaluation.error_kinds import KINDS
from ltsh_deploy.evaluation.evaluation import Evaluation, evaluate_predictions
from ltsh_deploy.evaluation.judging import judge
from ltsh_deploy.evaluation.page import page
from ltsh_deploy.evaluation.page_texts import top_down
from ltsh_deploy.evaluation.plots import Row, curve_plot, difference_plot, interval_plot, share_plot
from ltsh_deploy.evaluation.predictions import StoredPredictions
from ltsh_deploy.evaluation.report import HTML, JSON, analyse, write_report
from ltsh_deploy.evaluation.units import CocoTruth, EvaluationSet, Unit
from ltsh_deploy.evaluation.worst import SIDE, UnitTally, draw_unit, worst_first
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO17, LSP14, MPII16, Skeleton

SKELETONS = {"ap": MPII16, "pckh": MPII16, "pck": LSP14, "oks": COCO17}
#: A person who stands, in a box of 60 x 160: where joints of either side and of the middle are.
HEIGHTS = {"ankle": 150, "knee": 120, "hip": 90, "pelvis": 88, "thorax": 35, "neck": 28, "head_top": 0, "wrist": 85}
HEIGHTS |= {"elbow": 60, "shoulder": 35, "nose": 12, "eye": 10, "ear": 11}


def person(skeleton: Skeleton, x: float, y: float, size: float = 1.0) -> npt.NDArray[np.float64]:
    places = []
    for name in skeleton.joints:
        side, _, part = name.partition("_")
        aside = {"left": 25.0, "right": -25.0}.get(side, 0.0)
        places.append((x + size * aside, y + size * HEIGHTS[part if aside else name]))
    return np.array(places)


def make_set(metric: str, count: int = 6, seed: int = 0, **changes: Any) -> EvaluationSet:
    """Pictures of grey with one person (where the metric is of single people) or up to three."""
    skeleton = SKELETONS[metric]
    rng = np.random.default_rng(seed)
    _, picture = cv2.imencode(".png", np.full((240, 400, 3), 90, np.uint8))
    units = []
    for n in range(count):
        people = 1 if metric in ("pck", "pckh") else 1 + n % 3
        xy = np.stack([person(skeleton, 80 + 110 * p, 30) for p in range(people)])
        labels = rng.choice([0, 1, 2], size=xy.shape[:2], p=[0.1, 0.3, 0.6]).astype(np.float64)
        labels[:, :14] = np.maximum(labels[:, :14], 1)
        xy[labels == 0] = np.nan
        coco = None
        if metric == "oks":
            boxes = np.tile([30.0, 20.0, 100.0, 180.0], (people, 1))
            coco = CocoTruth(n, np.full(people, 9000.0), boxes, np.zeros(people, bool), np.zeros(people, bool))
        unit = Unit(
            id=f"unit{n}",
            skeleton=skeleton,
            joints=np.concatenate([xy, labels[..., None]], axis=2),
            head_sizes=np.full(people, 20.0),
            scales=np.full(people, 0.8),
            centres=np.full((people, 2), np.nan),
            image=picture.tobytes(),
            image_name=f"picture{n}.png",
            size=(400, 240),
            coco=coco,
            characteristics={"camera_pitch": rng.uniform(-90, 90, people), "min_distance": rng.uniform(0, 99, people)},
        )
        units.append(replace(unit, **changes))
    return EvaluationSet("synthetic", "made.json", metric, tuple(units), skeleton)


def evaluated(data: EvaluationSet, spread: float = 6.0, seed: int = 1, source: str = "models/one.onnx") -> Evaluation:
    """The true people, each joint somewhere near, a few missing, and one person who is not there."""
    rng = np.random.default_rng(seed)
    found = {}
    for unit in data:
        xy = np.nan_to_num(unit.joints[:, :, :2], nan=50.0) + rng.normal(0, spread, (*unit.joints.shape[:2], 2))
        xy[rng.random(xy.shape[:2]) < 0.1] = np.nan
        xy = np.concatenate([xy, person(data.skeleton, 360, 60, 0.5)[None]])
        scores = rng.uniform(0.2, 1, xy.shape[:2])
        found[unit.id] = Poses(data.skeleton, xy, np.where(np.isfinite(xy).all(axis=2), scores, 0), scores.mean(axis=1))
    return evaluate_predictions(data, StoredPredictions(source, data.skeleton, found))


class Tags(html.parser.HTMLParser):
    """Every tag with its attributes, and whether each was closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(text)
    assert parser.open == []
    return parser.found


@pytest.mark.parametrize("metric", ["ap", "pckh", "pck", "oks"])
def test_the_analysis_has_the_headline_of_the_scores(metric: str) -> None:
    data = make_set(metric)
    evaluation = evaluated(data)
    judgement = judge(data, evaluation.predictions)
    assert judgement.measure.names[0] == evaluation.scores.name
    assert judgement.measure.figures()[0] == pytest.approx(evaluation.scores.headline, abs=1e-9)
    assert 5 < evaluation.scores.headline < 95


def test_people_whose_torso_is_unknown_take_no_part() -> None:
    data = make_set("pck")
    joints = data.units[0].joints.copy()
    joints[0, LSP14.joints.index("right_hip")] = [np.nan, np.nan, 0]
    data = replace(data, units=(replace(data.units[0], joints=joints), *data.units[1:]))
    evaluation = evaluated(data)
    report = analyse([evaluation], draws=5)
    assert report.models[0].figures["PCK"] == pytest.approx(evaluation.scores.headline)
    assert report.people == 5
    assert report.models[0].kinds.sum() == 5 * 14
    assert "unit0" not in {unit.unit_id for unit in report.models[0].worst}


@pytest.mark.parametrize("metric", ["ap", "pckh", "pck", "oks"])
def test_kinds_are_of_all_annotated_joints_and_some_of_each(metric: str) -> None:
    data = make_set(metric, count=12)
    report = analyse([evaluated(data, spread=12)], draws=5, worst=2)
    model = report.models[0]
    columns = [data.skeleton.joints.index(name) for name in report.joints]
    annotated = sum((unit.joints[:, columns, 2] > 0).sum(axis=0) for unit in data)
    assert (model.kinds.sum(axis=0) == annotated).all()
    by_kind = model.kinds.sum(axis=1)
    assert by_kind[0] > 0  # found
    assert by_kind[1] > 0  # jitter
    assert by_kind[5] > 0  # missed
    # Whoever else is in the picture is no mistake where one person alone is asked for.
    assert (model.extra[2].sum() > 0) == (metric in ("ap", "oks"))


def test_hidden_joints_are_not_visible_ones() -> None:
    data = make_set("ap", count=12)
    report = analyse([evaluated(data)], draws=5, worst=0)
    columns = [MPII16.joints.index(name) for name in report.joints]
    ratios = np.concatenate([(unit.joints[:, columns, 2] == 2).mean(axis=1) for unit in data])
    expected, _ = np.histogram(ratios, bins=[0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert (expected > 0).sum() > 2
    assert [own.people for own in report.breakdowns[0].bins] == expected.tolist()
    alone, pairs, three, *_ = report.breakdowns[1].bins
    assert (alone.people, pairs.people, three.people) == (4, 8, 12)


def test_people_who_need_not_be_found_are_nobodys_mistake() -> None:
    data = make_set("oks", count=3)
    coco = data.units[0].coco
    assert coco is not None
    first = replace(data.units[0], coco=replace(coco, ignored=np.ones(1, bool)))
    data = replace(data, units=(first, *data.units[1:]))
    report = analyse([nobody(data)], draws=5)
    assert report.people == 5
    assert "unit0" not in {unit.unit_id for unit in report.models[0].worst}


def test_a_report_is_two_files_that_agree(tmp_path: Path) -> None:
    data = make_set("ap")
    path = write_report(tmp_path / "new" / "folder", [evaluated(data)], draws=20, worst=3)
    assert path == tmp_path / "new" / "folder" / HTML
    numbers = json.loads((path.parent / JSON).read_text(encoding="utf-8"))
    text = path.read_text(encoding="utf-8")
    headline = numbers["models"][0]["figures"]["mAP"]
    assert f"<b>{headline:.2f}</b>" in text
    assert numbers["models"][0]["name"] == "one.onnx"
    assert numbers["data_set"] == {"kind": "synthetic", "source": "made.json", "metric": "ap", "units": 6, "people": 12}
    assert [own["name"] for own in numbers["breakdowns"]] == [
        "visible_joints", "people", "camera_pitch", "min_distance",
    ]  # fmt: skip
    for breakdown in numbers["breakdowns"]:
        assert sum(own["people"] for own in breakdown["bins"]) == 12
    assert len(numbers["breakdowns"][0]["bins"]) == 5
    assert len(numbers["models"][0]["precision_recall"]) == 14
    assert set(numbers["models"][0]["error_kinds"]) == set(numbers["joints"])
    assert len(numbers["models"][0]["worst_units"]) == 3
    assert numbers["comparison"] is None
    assert "Comparison" not in text


@pytest.mark.parametrize("metric", ["ap", "pckh", "pck", "oks"])
def test_the_page_stands_alone(metric: str, tmp_path: Path) -> None:
    data = make_set(metric)
    both = [evaluated(data), evaluated(data, seed=2, source="models/two.onnx")]
    text = write_report(tmp_path, both, draws=20, worst=2).read_text(encoding="utf-8")
    found = tags(text)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in found}
    sources = [
        value for _, attrs in found for name, value in attrs.items() if name in ("src", "href", "data", "action")
    ]
    assert sources
    assert all(value is not None and value.startswith("data:image/jpeg;base64,") for value in sources)
    assert not re.search(r"https?:|url\(|@import|javascript:", text)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    for drawing in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        assert ElementTree.fromstring(drawing).attrib["aria-label"]
    assert "nan" not in re.sub(r"base64,[^\"]*", "", text).lower().replace("nanmean", "")


def test_names_are_shown_not_obeyed(tmp_path: Path) -> None:
    data = make_set("ap", count=2, image_name='<script>alert("1")</script>&')
    data = replace(data, source="<b>set</b>")
    evaluation = replace(evaluated(data, source="<i>one</i>.onnx"), notes=("<u>odd</u>",))
    other = replace(evaluated(data, seed=2), source="x\udcff'\"><img src=http://a.example/b>.onnx")
    text = write_report(tmp_path, [evaluation, other], draws=5).read_text(encoding="utf-8")
    assert not {"script", "u"} & {tag for tag, _ in tags(text)}
    assert "&lt;u&gt;odd&lt;/u&gt;" in text
    assert not [attrs for tag, attrs in tags(text) if tag == "img" and not str(attrs["src"]).startswith("data:")]
    assert json.loads((tmp_path / JSON).read_text(encoding="utf-8"))["models"][0]["notes"] == ["<u>odd</u>"]


def test_two_models_are_compared_on_the_same_units(tmp_path: Path) -> None:
    data = make_set("ap", count=9)
    better = evaluated(data, spread=2, source="b/model.onnx")
    worse = evaluated(data, spread=12, source="a/model.onnx")
    path = write_report(tmp_path, [worse, better], draws=50, worst=1)
    numbers = json.loads((tmp_path / JSON).read_text(encoding="utf-8"))
    headline = numbers["comparison"]["differences"][0]
    assert headline["name"] == "mAP"
    assert headline["change"]["low"] > 0
    assert headline["p_value"] < 0.05
    assert [model["name"] for model in numbers["models"]] == ["a/model.onnx", "b/model.onnx"]
    again = write_report(tmp_path / "again", [worse, better], draws=50, worst=1)
    assert again.read_bytes() == path.read_bytes()
    # Each bin has a value of each model.
    assert all(len(own["values"]) == 2 for group in numbers["breakdowns"] for own in group["bins"])


def test_models_of_one_name_are_numbered() -> None:
    data = make_set("pck", count=2)
    report = analyse([evaluated(data, source="/a/m.onnx"), evaluated(data, source="/a/m.onnx")], draws=5, worst=0)
    assert [model.name for model in report.models] == ["m.onnx (1)", "m.onnx (2)"]


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    one, other = evaluated(make_set("ap")), evaluated(make_set("ap", count=5), source="two.onnx")
    with pytest.raises(UsageError, match=r"two\.onnx are not of the units of made\.json"):
        write_report(tmp_path, [one, other])
    for wrong in ([], [one] * 3):
        with pytest.raises(UsageError, match="of one model or of two"):
            write_report(tmp_path, wrong)
    with pytest.raises(UsageError, match="1 draw at least"):
        write_report(tmp_path, [one, one], draws=0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    evaluation = evaluated(make_set("pck", count=2))
    with pytest.raises(OutputError, match="file"):
        write_report(tmp_path / "file", [evaluation], draws=5)
    (tmp_path / HTML).mkdir()
    with pytest.raises(OutputError, match=r"report\.html: is a folder"):
        write_report(tmp_path, [evaluation], draws=5)


def nobody(data: EvaluationSet) -> Evaluation:
    return evaluate_predictions(data, StoredPredictions("empty.json", data.skeleton, {}))


@pytest.mark.parametrize("metric", ["ap", "pckh", "pck", "oks"])
def test_predictions_of_nobody_are_all_missed(metric: str) -> None:
    data = make_set(metric)
    report = analyse([nobody(data), evaluated(data)], draws=10, worst=2)
    model = report.models[0]
    assert next(iter(model.figures.values())) == 0
    assert model.kinds[:5].sum() == model.extra.sum() == 0
    assert model.kinds[5].sum() > 0
    assert all(curve.area == 0 for curve in model.curves)
    assert report.comparison is not None
    assert report.comparison.differences[0].change.low > 0
    tags(page(report))


def test_nothing_is_wrong_with_the_truth_itself() -> None:
    data = make_set("ap")
    found = {unit.id: Poses(MPII16, unit.joints[:, :, :2], np.where(unit.labelled, 0.5, 0), np.ones(len(unit)))
             for unit in data}  # fmt: skip
    report = analyse([evaluate_predictions(data, StoredPredictions("truth", MPII16, found))], draws=5)
    assert report.models[0].worst == ()
    assert report.models[0].figures["mAP"] == 100
    assert set(report.models[0].mended.values()) == {100.0}
    assert "In no unit is anything wrong." in page(report)


def test_odd_data_do_no_harm(tmp_path: Path) -> None:
    data = make_set("ap")
    units = list(data.units)
    units[0] = replace(units[0], image=None, size=None)
    units[1] = replace(units[1], image=b"no picture", head_sizes=np.full(len(units[1]), np.nan))
    units[2] = replace(units[2], image=tmp_path / "absent.jpg", characteristics={})
    joints = units[3].joints.copy()
    joints[:] = [np.nan, np.nan, 0]
    units[3] = replace(units[3], joints=joints, size=None, image=None)
    data = replace(data, units=tuple(units))
    evaluation = evaluated(data)
    far = evaluation.predictions[0].poses
    far = replace(far, xy=far.xy * 1e7, joint_scores=far.joint_scores * 50 - 20)
    evaluation = replace(
        evaluation, predictions=[replace(evaluation.predictions[0], poses=far), *evaluation.predictions[1:]]
    )
    text = write_report(tmp_path, [evaluation], draws=5).read_text(encoding="utf-8")
    tags(text)
    assert "Drawn without the picture" in text
    assert "absent.jpg" in text
    numbers = json.loads((tmp_path / JSON).read_text(encoding="utf-8"))
    pitch = numbers["breakdowns"][2]
    assert pitch["unknown"] == len(units[2])
    assert numbers["data_set"]["people"] == sum(map(len, units)) - len(units[3])


def test_crowds_excuse_whoever_is_found_there() -> None:
    data = make_set("oks", count=1)
    unit = data.units[0]
    xy = person(COCO17, 300, 30)
    joints = np.concatenate([unit.joints, np.full((1, 17, 3), [np.nan, np.nan, 0])])
    coco = CocoTruth(0, np.array([9000.0] * 2), np.array([[30.0, 20, 100, 180], [250, 20, 100, 180]]),
                     np.array([False, True]), np.array([False, True]))  # fmt: skip
    unit = replace(
        unit, joints=joints, head_sizes=np.full(2, 20.0), scales=np.ones(2), centres=np.full((2, 2), np.nan), coco=coco,
        characteristics={},
    )  # fmt: skip
    data = replace(data, units=(unit,))
    found = Poses(COCO17, xy[None], np.ones((1, 17)), np.ones(1))
    evaluation = evaluate_predictions(data, StoredPredictions("x", COCO17, {unit.id: found}))
    assert analyse([evaluation], draws=5).models[0].extra.sum() == 0
    alone = replace(data, units=(replace(unit, coco=replace(coco, boxes=coco.boxes[[0, 0]])),))
    evaluation = evaluate_predictions(alone, StoredPredictions("x", COCO17, {unit.id: found}))
    assert analyse([evaluation], draws=5).models[0].extra.sum() == 17


def test_the_worst_units_come_first() -> None:
    def unit(annotated: int, predicted: int, found: int) -> UnitTally:
        return UnitTally(annotated, predicted, found, {})

    tallies = [unit(10, 10, 10), unit(10, 10, 5), unit(0, 0, 0), unit(0, 4, 0), unit(20, 20, 10), unit(10, 0, 0)]
    assert tallies[2].score == 1
    assert worst_first(tallies, 10) == [5, 3, 4, 1]
    assert worst_first(tallies, 2) == [5, 3]


def pixels(data: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def test_a_unit_is_drawn_where_its_people_are() -> None:
    unit = make_set("ap", count=1).units[0]
    empty = Poses.empty(MPII16)
    true, predicted, reason = draw_unit(unit, empty, LSP14)
    assert reason == ""
    first, second = pixels(true), pixels(predicted)
    assert first.shape == second.shape
    assert max(first.shape) == SIDE
    # Nobody is drawn on the right: there is nothing but the picture's grey.
    assert np.ptp(second) <= 2
    assert abs(int(second.mean()) - 90) <= 1
    # The person takes up most of the height, and the part of the picture is as wide and high as the person.
    drawn = np.argwhere(np.abs(first.astype(int) - 90).max(axis=2) > 30)
    assert np.ptp(drawn[:, 0]) > 0.6 * first.shape[0]
    assert first.shape[0] > first.shape[1]


def test_predictions_far_away_do_not_shrink_the_drawing() -> None:
    unit = make_set("ap", count=1).units[0]
    near = Poses(MPII16, person(MPII16, 80, 30)[None], np.ones((1, 16)), np.ones(1))
    far = Poses(MPII16, person(MPII16, 1e6, 1e6)[None], np.ones((1, 16)), np.ones(1))
    for bare in (unit, replace(unit, image=None), replace(unit, image=None, size=None)):
        assert pixels(draw_unit(bare, far, LSP14)[0]).shape == pixels(draw_unit(bare, near, LSP14)[0]).shape


def test_joints_are_told_from_the_head_down() -> None:
    names = ("mAP", "left_ankle", "right_ankle", "neck", "left_shoulder", "right_shoulder", "head_top", "tail")
    order = [names[i] for i in top_down(names)]
    assert order == [
        "mAP", "tail", "head_top", "neck", "right_shoulder", "left_shoulder", "right_ankle", "left_ankle",
    ]  # fmt: skip


def drawn(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def of_kind(text: str, name: str) -> list[dict[str, str]]:
    return [e.attrib for e in drawn(text).iter() if name in e.attrib.get("class", "").split()]


def test_bars_are_as_long_as_their_parts() -> None:
    plot = share_plot("Title", [Row("a", (3, 1, 0)), Row("b", (0, 0, 0))], ("x", "y", "z"))
    bars = [e.attrib for e in drawn(plot).iter("rect")]
    assert [bar["class"] for bar in bars] == ["kind0", "kind1"]
    # A unit less is drawn, as a gap.
    assert (float(bars[0]["width"]) + 1) / (float(bars[1]["width"]) + 1) == pytest.approx(3, rel=1e-3)


def test_intervals_stand_at_their_values() -> None:
    nan = Interval(math.nan, math.nan, math.nan)
    plot = interval_plot("Title", [("a", "1"), ("b", "2")], [[Interval(50, 25, 75), nan], [nan, Interval(100, 0, 100)]])
    dots = of_kind(plot, "dot")
    assert [dot["class"] for dot in dots] == ["dot model0", "dot model1"]
    lines = {e["y1"] for e in of_kind(plot, "grid")}
    top, bottom = min(map(float, lines)), max(map(float, lines))
    assert float(dots[0]["cy"]) == pytest.approx((top + bottom) / 2)
    assert float(dots[1]["cy"]) == top
    whisker = of_kind(plot, "whisker")[0]
    assert float(whisker["y1"]) - float(whisker["y2"]) == pytest.approx((bottom - top) / 2)


@pytest.mark.parametrize(
    "ends", [(0.0, 0.0), (-3.0, 4.0), (0.001, 0.002), (-97.3, -12.0), (12.0, 99.9), (math.nan, math.nan), (-1e-12, 0.0)]
)
def test_differences_stay_within_their_axis(ends: tuple[float, float]) -> None:
    low, high = ends
    plot = difference_plot("Title", [("a", Interval((low + high) / 2, low, high)), ("b", Interval(0, 0, 0))])
    axis = [float(e["x1"]) for e in (*of_kind(plot, "grid"), *of_kind(plot, "axis"))]
    assert len(of_kind(plot, "axis")) == 1
    assert 2 <= len(axis) <= 7
    for whisker in of_kind(plot, "whisker"):
        assert min(axis) - 0.1 <= float(whisker["x1"]) <= float(whisker["x2"]) <= max(axis) + 0.1
    clear = len(of_kind(plot, "clear"))
    assert clear == int(low > 0 or high < 0)


def test_a_curve_ends_where_its_recall_does() -> None:
    recalls: Sequence[float] = [0.0, 0.5, 1.0]
    plot = curve_plot("Title", [(recalls, [1.0, 0.5, 0.0]), (recalls, [0.0, 0.0, 0.0])], ["62.5", "0.0"])
    curves = [e.attrib["points"] for e in drawn(plot).iter("polyline")]
    assert len(curves) == 1
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in curves[0].split())
    assert x1 - x0 == pytest.approx(y1 - y0)


def test_the_published_predictions_are_analysed_as_they_are_scored(shared: Path) -> None:
    from ltsh_deploy.evaluation.opening import open_evaluation_set, read_predictions

    folder = shared / "data" / "conformance" / "mp_ap_real350"
    data = open_evaluation_set("conformance", folder / "gt.json")
    evaluation = evaluate_predictions(data, read_predictions(folder / "pred.json", data))
    report = analyse([evaluation], draws=5, worst=0)
    expected = json.loads((folder / "expected.json").read_text())["pred"]["poseval"]
    assert report.models[0].figures["mAP"] == pytest.approx(expected["table"]["mAP"], abs=1e-6)
    for row, value in expected["table"].items():
        assert report.models[0].rows[row] == pytest.approx(value, abs=1e-6)
    bins = report.breakdowns[0].bins
    assert [own.people for own in bins] == [1, 32, 206, 364, 299]
    values = [own.values[0].value for own in bins]
    assert values == sorted(values)


def test_where_nothing_is_labelled_nothing_is_measured() -> None:
    data = make_set("ap", count=1)
    joints = np.full(data.units[0].joints.shape, [np.nan, np.nan, 0.0])
    bare = replace(data, units=(replace(data.units[0], joints=joints),))
    report = analyse([evaluated(bare), evaluated(bare)], draws=5)
    assert math.isnan(report.models[0].figures["mAP"])
    assert report.to_json()["models"][0]["figures"]["mAP"] is None
    assert report.people == 0
    tags(page(report))


def coco_of_one(similarity: float) -> tuple[EvaluationSet, Evaluation]:
    """One person, each of whose joints is found at a place of this similarity."""
    data = make_set("oks", count=1)
    unit = data.units[0]
    distances = np.sqrt(-2 * np.log(similarity) * 9000.0) * 2 * np.array(COCO17.sigmas)
    xy = unit.joints[:, :, :2] + np.stack([distances, np.zeros(17)], axis=1)
    scores = np.where(np.isfinite(xy).all(axis=2), 0.5, 0.0)
    found = {unit.id: Poses(COCO17, xy, scores, np.ones(1))}
    return data, evaluate_predictions(data, StoredPredictions("x", COCO17, found))


@pytest.mark.parametrize(
    ("similarity", "kind"),
    [(0.86, "found"), (0.84, "jitter"), (0.53, "jitter"), (0.15, "background"), (0.08, "missed")],
)
def test_joints_of_coco_are_judged_by_their_similarity(similarity: float, kind: str) -> None:
    data, evaluation = coco_of_one(similarity)
    unit = data.units[0]
    # Two joints that are far from all others are labelled.
    keep = [COCO17.joints.index(name) for name in ("left_wrist", "left_ankle")]
    joints = np.full_like(unit.joints, [np.nan, np.nan, 0])
    joints[:, keep] = unit.joints[:, keep]
    data = replace(data, units=(replace(unit, joints=joints),))
    report = analyse([replace(evaluation, data=data)], draws=2, worst=0)
    kinds = dict(zip(KINDS, report.models[0].kinds.sum(axis=1).tolist(), strict=True))
    assert kinds[kind] == 2
    assert sum(kinds.values()) == 2


def test_bins_of_one_unit_have_no_interval() -> None:
    text = page(analyse([evaluated(make_set("ap", count=3))], draws=10, worst=0))
    assert "(n/a)" in text
    assert "nan" not in text.lower()
    assert "1 / 1" in text
    both = [evaluated(make_set("ap", count=1), seed=seed, source=f"{seed}.onnx") for seed in (1, 2)]
    tags(page(analyse(both, draws=10, worst=0)))
    assert "nan" not in page(analyse(both, draws=10, worst=0)).lower()


def test_labels_at_the_end_of_the_numbers_are_drawn(tmp_path: Path) -> None:
    data = make_set("ap", count=1)
    joints = data.units[0].joints.copy()
    joints[:, ::2, :2], joints[:, 1::2, :2] = 1e308, -1e308
    data = replace(data, units=(replace(data.units[0], joints=joints, image=None, size=None),))
    with np.errstate(all="raise", under="ignore"):
        tags(write_report(tmp_path, [evaluated(data)], draws=5).read_text(encoding="utf-8"))
