"""Who counts as found again, and what the gate lets pass."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ltsh_deploy.default_model import default_model
from ltsh_deploy.errors import ExportError, InputError, SourceError, UsageError
from ltsh_deploy.export.accuracy import LIMITS, Accuracy, open_verification, verify
from ltsh_deploy.export.agreement import SURE, Agreement, compare_poses, found_again
from ltsh_deploy.outputs import write_image
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import LTSH15
from tests.arms_onnx import write_arms
from tests.colour_model import paint

FINE = Agreement(pictures=10, people=20, lost=0, distance=0.1)


def people(count: int = 4, score: float = 0.5) -> Poses:
    xy = np.random.default_rng(0).uniform(0, 100, (count, 15, 2)) + 500 * np.arange(count)[:, None, None]
    return Poses(LTSH15, xy, np.ones((count, 15)), np.full(count, score))


def moved(poses: Poses, pixels: float) -> Poses:
    return Poses(poses.skeleton, poses.xy + pixels, poses.joint_scores, poses.scores)


def test_the_same_people_in_another_order_are_found_again() -> None:
    poses = people()
    order = np.array([2, 0, 3, 1])
    assert found_again(poses, poses.select(order)).tolist() == [1, 3, 0, 2]
    agreement = compare_poses([(poses, moved(poses.select(order), 3.0)), (poses, poses)])
    assert (agreement.pictures, agreement.people, agreement.lost) == (2, 8, 0)
    assert agreement.distance == pytest.approx(1.5 * math.sqrt(2))


def test_who_is_lost() -> None:
    poses, nobody = people(), Poses.empty(LTSH15)
    assert compare_poses([(poses, poses.select(np.array([0, 2])))]).lost == 2
    assert compare_poses([(poses, nobody)]).share_lost == 1
    assert compare_poses([(poses, moved(poses, 60.0))]).lost == 4
    # More people than before are no loss; that is for a metric to judge.
    assert compare_poses([(poses.select(np.array([1])), poses)]).lost == 0
    found = compare_poses([(nobody, poses), (nobody, nobody)])
    assert (found.people, found.lost, found.share_lost) == (0, 0, 0)
    assert math.isnan(found.distance)
    assert json.loads(json.dumps(found.to_dict()))["distance"] is None


def test_people_of_whom_the_model_is_not_sure_may_come_and_go() -> None:
    faint = people(score=0.99 * SURE)
    assert compare_poses([(faint, Poses.empty(LTSH15))]).people == 0
    # But the second may see anybody faintly.
    assert compare_poses([(people(score=SURE), faint)]).lost == 0


def test_a_straight_arm_has_a_size_and_half_a_person_is_another() -> None:
    xy = np.full((1, 15, 2), np.nan)
    xy[0, :3] = [[0, 50], [40, 50], [80, 50]]
    poses = Poses(LTSH15, xy, np.isfinite(xy[..., 0]) * 1.0, np.ones(1))
    assert compare_poses([(poses, moved(poses, 1.0))]).lost == 0
    whole = people(1)
    half = np.where(np.arange(15)[:, None] < 6, whole.xy, np.nan)
    rest = Poses(LTSH15, half, np.isfinite(half[..., 0]) * 1.0, whole.scores)
    assert compare_poses([(whole, rest)]).lost == 1
    assert compare_poses([(rest, whole)]).lost == 0


def test_somebody_seen_twice_may_be_seen_once() -> None:
    one = people(1)
    twice = Poses(LTSH15, np.concatenate([one.xy, one.xy + 1]), np.ones((2, 15)), np.array([0.5, 0.4]))
    assert compare_poses([(twice, one)]).lost == 0


@pytest.mark.parametrize(
    ("precision", "metric", "loss", "lost", "passes"),
    [
        ("fp16", "mAP", 0.1, 0, True),
        ("fp16", "mAP", 0.11, 0, False),
        ("fp16", "mAP", -5.0, 0, True),
        ("fp16", "mAP", 0.0, 1, False),
        ("fp16", None, math.nan, 1, False),
        ("fp32", None, math.nan, 1, False),
        ("fp16", "mAP", math.nan, 0, False),
        ("int8", "mAP", 1.0, 0, True),
        ("int8", "mAP", 1.01, 0, False),
        # Labels say whether other people are worse people.
        ("int8", "mAP", 0.5, 15, True),
        ("int8", None, math.nan, 5, True),
        ("int8", None, math.nan, 6, False),
    ],
)
def test_what_each_precision_may_lose(precision: str, metric: str | None, loss: float, lost: int, passes: bool) -> None:
    agreement = Agreement(10, 20, lost, 0.5)
    # Binary fractions, so that nothing is rounded.
    accuracy = Accuracy("data", precision, agreement, metric, 64.0, 64.0 - loss, LIMITS[precision])
    if abs(loss) in (0.1, 1.0):
        accuracy = Accuracy("data", precision, agreement, metric, loss, 0.0, LIMITS[precision])
    if passes:
        accuracy.check()
        return
    with pytest.raises(ExportError, match=f"{precision} may lose") as caught:
        accuracy.check()
    assert caught.value.remedy.startswith("Nothing was written. ")


@pytest.mark.parametrize("metric", [None, "mAP"])
def test_pictures_of_nobody_verify_nothing(metric: str | None) -> None:
    nobody = Agreement(10, 0, 0, math.nan)
    with pytest.raises(InputError, match="data: the model is sure of nobody in these pictures"):
        Accuracy("data", "int8", nobody, metric, 0.0, 0.0, LIMITS["int8"]).check()


def test_a_report_is_json() -> None:
    labelled = Accuracy("a", "int8", FINE, "mAP", 50.0, 49.5, LIMITS["int8"]).to_dict()
    assert (labelled["metric"], labelled["loss"], labelled["lost"], labelled["limit"]["points"]) == ("mAP", 0.5, 0, 1.0)
    unlabelled = Accuracy("a", "int8", FINE, None, math.nan, math.nan, LIMITS["int8"]).to_dict()
    assert "metric" not in unlabelled
    json.loads(json.dumps([labelled, unlabelled], allow_nan=False))


def test_data_that_cannot_be(tmp_path: Path, shared: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    cases: list[tuple[type[Exception], str, str, dict[str, str]]] = [
        (SourceError, "holds no picture", str(tmp_path), {}),
        (SourceError, "no such file", str(tmp_path / "none"), {}),
        (UsageError, "no such file, and 'voc' is no kind of labelled data", "voc:pictures", {}),
        (SourceError, "no such file", str(tmp_path / "a:b"), {}),
        (UsageError, "is no picture", str(shared / "data" / "real" / "video" / "demo.mp4"), {}),
        (UsageError, "pictures have no options", str(tmp_path), {"split": "val"}),
        (UsageError, "have no option 'size'", "lsp:somewhere", {"size": "val"}),
        (UsageError, "have no split", "coco:somewhere", {"split": "val"}),
        (UsageError, "names no file or folder", "coco:", {}),
        (InputError, "somewhere", "coco:somewhere", {}),
    ]
    for kind, message, name, settings in cases:
        with pytest.raises(kind, match=message):
            open_verification(name, settings)


def test_pictures_with_a_colon_in_their_name_are_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(Path("coco:a.png"), paint([(16, 24)]))
    assert len(open_verification("coco:a.png", {})) == 1


def test_both_models_look_at_pictures_of_the_same_size(tmp_path: Path) -> None:
    """At its own, smaller size the first would find nobody."""
    big = write_arms(tmp_path / "big.onnx")
    small = write_arms(tmp_path / "small.onnx", changes={"size": (32, 24)})
    write_image(tmp_path / "a.png", paint([(16, 24)]))
    data = open_verification(str(tmp_path / "a.png"), {})
    assert verify(small, big, "fp16", data).agreement == Agreement(1, 1, 0, 0.0)
    assert verify(big, small, "fp16", data).agreement.people == 0


@pytest.mark.usefixtures("one_thread")
def test_labelled_data_tell_what_is_lost(tmp_path: Path, shared: Path) -> None:
    real = shared / "data" / "real"
    data = open_verification(f"coco:{real / 'coco' / 'person_keypoints.json'}", {"images": str(real / "coco")})
    assert len(data) == 4
    model = default_model()
    looks: list[int] = []
    same = verify(model, model, "fp32", data, device="cpu", done=looks.append)
    assert (same.metric, same.loss, same.agreement.lost) == ("AP", 0.0, 0)
    assert same.agreement.people > 0
    assert sum(looks) == 2 * len(data)
    same.check()
    worse = onnx.load(model)
    last = max(i for i, tensor in enumerate(worse.graph.initializer) if tensor.name.endswith("weight"))
    tensor = worse.graph.initializer[last]
    values: Any = onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(values), tensor.name))
    path = tmp_path / "worse.onnx"
    path.write_bytes(worse.SerializeToString())
    other = verify(model, path, "int8", data, device="cpu")
    assert other.after == 0 < other.before
    assert other.agreement.lost == other.agreement.people
    with pytest.raises(ExportError, match=rf"points of AP on coco:.* \(0\.00 after {other.before:.2f}\)"):
        other.check()
