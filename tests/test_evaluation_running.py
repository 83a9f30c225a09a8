"""A model looks at units: at the protocol's sizes, whatever the batch, and goes on after an interruption."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ltsh_deploy.decode_config import DecodeConfig
from ltsh_deploy.descriptions import ModelDescription
from ltsh_deploy.errors import DeviceError, InputError, SkeletonError, UsageError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.evaluation.evaluation import evaluate_model
from ltsh_deploy.evaluation.opening import open_evaluation_set
from ltsh_deploy.evaluation.protocols import LONGEST_SIDE, Protocol, choose_protocol
from ltsh_deploy.evaluation.units import EvaluationSet, Unit
from ltsh_deploy.skeletons import MPII16
from tests.colour_model import write_colour_model
from tests.evaluation_data import arm_set, write_arm_model

PICTURES = [[(8, 16), (40, 80)], [(24, 40)], [], [(16, 96)], [(8, 8), (56, 56)]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_arm_model(tmp_path_factory.mktemp("model") / "arms.onnx")


@pytest.fixture
def estimator(model: Path) -> Iterator[PoseEstimator]:
    with PoseEstimator.open(model, device="cpu") as estimator:
        yield estimator


@pytest.fixture
def data(tmp_path: Path) -> EvaluationSet:
    return open_evaluation_set("conformance", arm_set(tmp_path / "set", *PICTURES), images=tmp_path / "set" / "images")


def unit(mean_scale: float | None) -> Unit:
    return Unit("u", MPII16, np.zeros((0, 16, 3)), np.zeros(0), np.zeros(0), np.zeros((0, 2)), mean_scale=mean_scale)


@pytest.mark.parametrize("protocol", [Protocol(), Protocol("paper", (1.0,)), Protocol("paper", (1.0, 2.0))])
def test_arms_are_found_where_they_are(estimator: PoseEstimator, data: EvaluationSet, protocol: Protocol) -> None:
    evaluation = evaluate_model(estimator, data, protocol)
    for truth, found in zip(data, evaluation.predictions, strict=True):
        assert found.unit_id == truth.id
        assert len(found.poses) == len(truth)
        arms = np.flatnonzero(truth.labelled.any(axis=0))
        wanted = sorted(truth.joints[:, arms, :2].tolist())
        np.testing.assert_allclose(sorted(found.poses.xy[:, arms].tolist()), wanted, atol=1.0)
    values = evaluation.scores.values
    assert {values["ap"][f"right_{part}"] for part in ("shoulder", "elbow", "wrist")} == {100}
    assert values["ap"]["left_knee"] is None
    assert evaluation.scores.headline == 100
    assert any("never annotated" in note and "left_knee" in note for note in evaluation.notes)
    assert any(note.startswith("never found") and "left_knee" in note for note in evaluation.notes)


def test_the_paper_scales_people_to_its_size(estimator: PoseEstimator) -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    views, limited = Protocol("paper", (0.7, 1.0, 1.3), flip=True).views(estimator, unit(2.0), image, 5)
    factor = 41 / 35 / 2.0
    wanted = [round(300 * factor * scale) for scale in (0.7, 1.0, 1.3) for _ in range(2)]
    assert [view.placement.content_size[0] for view in views] == wanted
    assert [view.mirrored for view in views] == [False, True] * 3
    assert {view.image for view in views} == {5}
    assert not limited
    views, limited = Protocol("paper", (0.7, 1.3)).views(estimator, unit(0.1), image, 0)
    assert [view.placement.content_size[0] for view in views] == [round(300 * 41 / 3.5 * 0.7), LONGEST_SIDE]
    assert limited
    # Where no scale is known, the box is the model's own, 160 x 120.
    views, limited = Protocol("paper", (0.5, 1.0)).views(estimator, unit(None), image, 0)
    assert [view.placement.content_size for view in views] == [(80, 53), (160, 107)]
    assert not limited


def test_fast_fits_pictures_into_the_box(estimator: PoseEstimator) -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    (view,), _ = Protocol().views(estimator, unit(2.0), image, 0)
    assert view.placement.content_size == (160, 107)
    (view,), _ = Protocol(scales=(2.0,), size=(60, 100)).views(estimator, unit(None), image, 0)
    assert view.placement.content_size == (120, 80)


def test_units_of_which_no_scale_is_known_are_looked_at_all_the_same(model: Path, data: EvaluationSet) -> None:
    known, unknown = data.units[:2], tuple(replace(unit, mean_scale=None) for unit in data.units[2:])
    some = replace(data, units=(*known, *unknown))
    evaluation = evaluate_model(model, some, Protocol("paper", (1.0,)), device="cpu")
    assert not evaluation.failures
    assert [len(prediction.poses) for prediction in evaluation.predictions] == [2, 1, 0, 1, 2]
    (note,) = (note for note in evaluation.notes if "no scale" in note)
    assert note == "3 units of which no scale is known, looked at in the model's own box"
    everything = evaluate_model(model, some, Protocol(), device="cpu")
    assert not any("no scale" in note for note in everything.notes)


def test_protocols_that_cannot_be(data: EvaluationSet) -> None:
    for options, message in (
        ({"name": "slow"}, "no protocol 'slow'"),
        ({"scales": ()}, "scales of a protocol"),
        ({"scales": (0.0,)}, "scales of a protocol"),
        ({"name": "paper", "size": (3, 3)}, "takes no size"),
    ):
        with pytest.raises(UsageError, match=message):
            Protocol(**options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="needs the mean scale"):
        Protocol("paper").check(EvaluationSet("coco", "a", "oks", (unit(None),), MPII16))


def test_each_data_set_has_its_own_protocol() -> None:
    chosen = {
        kind: choose_protocol(EvaluationSet(kind, "a", "ap", (unit(1.0),), MPII16))
        for kind in ("mpii", "mpii-json", "coco", "lsp")
    }
    assert {kind: protocol.name for kind, protocol in chosen.items()} == {
        "mpii": "paper", "mpii-json": "paper", "coco": "fast", "lsp": "fast",
    }  # fmt: skip
    assert (chosen["mpii"].scales, chosen["lsp"].scales) == ((0.7, 1.0, 1.3), (1.0,))


def test_the_batch_changes_nothing(model: Path, data: EvaluationSet) -> None:
    alone, together = (evaluate_model(model, data, batch=batch, device="cpu") for batch in (1, 4))
    for a, b in zip(alone.predictions, together.predictions, strict=True):
        np.testing.assert_array_equal(a.poses.xy, b.poses.xy)
    assert alone.scores == together.scores


def test_a_bad_picture_costs_itself_alone(model: Path, data: EvaluationSet, tmp_path: Path) -> None:
    images = tmp_path / "set" / "images"
    (images / "a0.png").unlink()
    (images / "a3.png").write_bytes(b"no picture")
    for batch in (1, 3):
        evaluation = evaluate_model(model, data, batch=batch, device="cpu")
        assert list(evaluation.failures) == ["a0.png", "a3.png"]
        assert [len(p.poses) for p in evaluation.predictions] == [0, 1, 0, 0, 2]
        assert evaluation.scores.values["n_gt"]["right_wrist"] == 6
        assert 0 < evaluation.scores.headline < 100
        assert any(note.startswith("2 pictures that could not be used") for note in evaluation.notes)
    for picture in images.iterdir():
        picture.unlink()
    with pytest.raises(InputError, match="not one of 5 pictures could be used"):
        evaluate_model(model, data, device="cpu")


def test_a_model_without_any_joint_of_the_metric_is_refused_at_once(data: EvaluationSet, tmp_path: Path) -> None:
    other = write_colour_model(tmp_path / "other.onnx")
    with pytest.raises(SkeletonError, match="shoulder, elbow, wrist"):
        evaluate_model(other, data, device="cpu", done=lambda units: pytest.fail("it looked"))


class Interrupter:
    """Stands for a user who presses Ctrl-C when so many units are done; counts them."""

    def __init__(self, after: int | None = None) -> None:
        self.after, self.calls = after, [0]

    def __call__(self, units: int) -> None:
        self.calls.append(units)
        if sum(self.calls) == self.after:
            raise KeyboardInterrupt


def test_an_interrupted_evaluation_goes_on_where_it_was(model: Path, data: EvaluationSet, tmp_path: Path) -> None:
    keep = tmp_path / "p.jsonl"
    with pytest.raises(KeyboardInterrupt):
        evaluate_model(model, data, keep=keep, device="cpu", done=Interrupter(3))
    assert len(keep.read_text().splitlines()) == 1 + 3
    # The fourth line was being written when the power failed.
    with keep.open("a") as file:
        file.write('{"id": "a3.png", "peo')
    # Pictures that were looked at are not needed again.
    for name in ("a0.png", "a1.png", "a2.png"):
        (tmp_path / "set" / "images" / name).unlink()
    counter = Interrupter()
    resumed = evaluate_model(model, data, keep=keep, device="cpu", done=counter)
    assert counter.calls == [0, 3, 1, 1]
    assert resumed.scores.headline == 100
    assert not resumed.failures
    assert [json.loads(line).get("id") for line in keep.read_text().splitlines()[1:]] == [u.id for u in data]


def test_what_is_kept_is_exact(model: Path, data: EvaluationSet, tmp_path: Path) -> None:
    protocol = Protocol(scales=(0.8, 1.0))
    first, second = (evaluate_model(model, data, protocol, keep=tmp_path / "p", device="cpu") for _ in range(2))
    for a, b in zip(first.predictions, second.predictions, strict=True):
        np.testing.assert_array_equal(a.poses.xy, b.poses.xy)
        np.testing.assert_array_equal(a.poses.joint_scores, b.poses.joint_scores)
    assert sum(len(p.poses) for p in second.predictions) == 6


def test_a_picture_that_failed_is_tried_again(model: Path, data: EvaluationSet, tmp_path: Path) -> None:
    picture = tmp_path / "set" / "images" / "a1.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:60])
    assert list(evaluate_model(model, data, keep=tmp_path / "p", device="cpu").failures) == ["a1.png"]
    picture.write_bytes(whole)
    assert not evaluate_model(model, data, keep=tmp_path / "p", device="cpu").failures


def test_other_settings_do_not_go_on(model: Path, data: EvaluationSet, tmp_path: Path) -> None:
    keep = tmp_path / "p"
    evaluate_model(model, data, keep=keep, device="cpu")
    with pytest.raises(UsageError, match="other settings: protocol"):
        evaluate_model(model, data, Protocol(flip=True), keep=keep, device="cpu")
    fewer = EvaluationSet("conformance", "a", "ap", data.units[:2], MPII16)
    with pytest.raises(UsageError, match="other settings: data_set"):
        evaluate_model(model, fewer, keep=keep, device="cpu")
    before = len(keep.read_text().splitlines())
    evaluate_model(model, fewer, keep=keep, device="cpu", restart=True)
    assert (before, len(keep.read_text().splitlines())) == (6, 3)


@pytest.mark.parametrize("line", [b"{}", b"nonsense", b'{"id": "a0.png", "people": 3}', b"\xff\xfe"])
def test_a_damaged_file_is_not_built_upon(model: Path, data: EvaluationSet, tmp_path: Path, line: bytes) -> None:
    keep = tmp_path / "p"
    evaluate_model(model, data, keep=keep, device="cpu")
    lines = keep.read_bytes().splitlines()
    for place, message in ((2, "line 3"), (0, "settings|line 1")):
        damaged = [line if number == place else whole for number, whole in enumerate(lines)]
        keep.write_bytes(b"\n".join(damaged) + b"\n")
        with pytest.raises((InputError, UsageError), match=message) as error:
            evaluate_model(model, data, keep=keep, device="cpu")
        assert "--restart" in error.value.remedy


def altered(model: Path, path: Path, sigmas: tuple[float, ...] = (0.1,) * 3) -> Path:
    """The same network in a file of other bytes, described as if its joints had these constants."""
    network = onnx.load(model)
    network.producer_name = "somebody else"
    told = {entry.key: entry.value for entry in network.metadata_props}
    description = ModelDescription.from_metadata(told, "the model")
    changed = description.model_copy(update={"skeleton": replace(description.skeleton, sigmas=sigmas)})
    onnx.helper.set_model_props(network, changed.to_metadata())
    path.write_bytes(network.SerializeToString())
    return path


def with_scales(data: EvaluationSet, scale: float) -> EvaluationSet:
    return replace(data, units=tuple(replace(u, mean_scale=scale) for u in data))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "same"}, "model"),
        ({"decode": DecodeConfig(peak_threshold=0.3)}, "decoder"),
        ({"protocol": Protocol(size=(320, 240))}, "protocol"),
        ({"protocol": Protocol(scales=(1.0, 2.0))}, "protocol"),
    ],
)
def test_each_setting_by_itself_forbids_to_go_on(
    model: Path, data: EvaluationSet, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    own: dict[str, Any] = {"model": model, "data": data, "keep": tmp_path / "p", "device": "cpu"}
    evaluate_model(**own)
    if "model" in change:
        change = {"model": altered(model, tmp_path / "same.onnx")}
    with pytest.raises(UsageError, match=rf"settings: {told}\n"):
        evaluate_model(**(own | change))


def test_estimators_that_are_described_otherwise_do_not_go_on(model: Path, data: EvaluationSet, tmp_path: Path) -> None:
    # An estimator that is open already is told by its description alone.
    def look(path: Path) -> None:
        with PoseEstimator.open(path, device="cpu") as estimator:
            evaluate_model(estimator, data, keep=tmp_path / "p")

    look(model)
    look(altered(model, tmp_path / "same.onnx"))
    other = altered(model, tmp_path / "other.onnx", sigmas=(0.2,) * 3)
    with pytest.raises(UsageError, match=r"settings: model_description\n"):
        look(other)


def test_the_size_that_people_are_told_to_have_is_a_setting(model: Path, data: EvaluationSet, tmp_path: Path) -> None:
    own: dict[str, Any] = {"protocol": Protocol("paper", (1.0,)), "keep": tmp_path / "p", "device": "cpu"}
    evaluate_model(model, data, **own)
    with pytest.raises(UsageError, match=r"settings: data_set\n"):
        evaluate_model(model, with_scales(data, 1.5), **own)


def test_settings_that_change_nothing_go_on(model: Path, data: EvaluationSet, tmp_path: Path) -> None:
    keep, counter = tmp_path / "p", Interrupter()
    evaluate_model(model, data, keep=keep, device="cpu")
    # The box is the model's own, and nobody's scale is looked at.
    evaluate_model(model, with_scales(data, 9.0), Protocol(size=(160, 120)), keep=keep, device="cpu", done=counter)
    assert counter.calls == [0, 5]


def test_every_unit_is_on_disk_before_the_next_is_looked_at(model: Path, data: EvaluationSet, tmp_path: Path) -> None:
    keep, lines = tmp_path / "p", []
    evaluate_model(
        model, data, keep=keep, device="cpu", done=lambda _: lines.append(len(keep.read_bytes().splitlines()))
    )
    assert lines == [1, 2, 3, 4, 5, 6]


def test_what_cannot_go_through_together_goes_one_by_one(
    model: Path, data: EvaluationSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, sizes = PoseEstimator.run, []

    def small(self: PoseEstimator, views: Any) -> Any:
        sizes.append(len(views))
        if len(views) > 1 or views[0].image == 2:
            raise DeviceError("out of memory")
        return run(self, views)

    monkeypatch.setattr(PoseEstimator, "run", small)
    evaluation = evaluate_model(model, data, batch=3, device="cpu")
    assert sizes == [3, 1, 1, 1, 2, 1, 1]
    assert list(evaluation.failures) == ["a2.png"]
    assert [len(p.poses) for p in evaluation.predictions] == [2, 1, 0, 1, 2]
