"""Every data set as units: who is in them, what is told of them, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltsh_deploy.errors import InputError, LtshError, UsageError
from ltsh_deploy.evaluation.evaluation import evaluate_predictions
from ltsh_deploy.evaluation.opening import KINDS, open_evaluation_set
from ltsh_deploy.evaluation.predictions import StoredPredictions
from ltsh_deploy.evaluation.units import Unit
from ltsh_deploy.skeletons import COCO17, LSP14, MPII16
from tests.dataset_files import labels, ltsh_entry, ltsh_set, person, picture, shard
from tests.evaluation_data import mpii_files, neutral, standing, write_json
from tests.test_datasets_lsp import lsp, people


def test_the_neutral_form(tmp_path: Path) -> None:
    hidden = standing(100)
    hidden[3, 2] = 0
    content = neutral([hidden, standing(300)], [])
    first, second = content["images"][0]["people"]
    first["joints"][0][2] = 0
    first["joints"][1][2] = None
    second |= {"head_box": None, "scale": 2.0, "objpos": [310, 90]}
    data = open_evaluation_set("conformance", write_json(tmp_path / "gt.json", content))
    unit = data.units[0]
    assert (data.metric, data.skeleton, len(data), len(data.units[1])) == ("ap", MPII16, 2, 0)
    assert unit.joints[0, [0, 1, 2, 3], 2].tolist() == [1, 2, 2, 0]
    assert unit.head_sizes.tolist() == [30, 50]
    assert (unit.group_box, unit.mean_scale) == ((100, 90, 310, 100), 1.5)
    assert data.units[1].group_box is None


def test_names_of_joints_decide_whose_they_are(tmp_path: Path) -> None:
    short = [n.replace("right_", "r_").replace("left_", "l_").replace("neck", "upper_neck") for n in MPII16.joints]
    data = open_evaluation_set("conformance", write_json(tmp_path / "a.json", neutral([standing()], joint_names=short)))
    assert data.skeleton == MPII16
    assert data.labels == tuple(short)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"].append(c["images"][0]), "two entries have the id 'p0'"),
        (lambda c: c["images"].clear(), "holds nothing to evaluate on"),
        (lambda c: c["images"][0].update(id=None), "'id' must be a name"),
        (lambda c: c["images"][0]["people"][0].update(joints=[]), "expected 16 joints, found 0"),
        (lambda c: c["images"][0]["people"][0]["joints"][0].__setitem__(0, float("nan")), "joint 0: expected a number"),
        (lambda c: c["images"][0]["people"][0].update(head_box=[1, 2, 3]), "'head_box': expected 4 numbers"),
        (lambda c: c.update(joint_names=["a"] * 16), "must be present and unique"),
        (lambda c: c.update(joint_names=[str(n) for n in range(16)]), "none of MPII's joints"),
        (lambda c: c.update(images={}), "'images': expected a list"),
    ],
)
def test_damaged_labels_are_refused_by_name(tmp_path: Path, change: Any, message: str) -> None:
    content = neutral([standing()])
    change(content)
    with pytest.raises(InputError, match=message) as error:
        open_evaluation_set("conformance", write_json(tmp_path / "gt.json", content))
    assert "gt.json" in error.value.message


def test_boxes_and_scales_of_real_groups(shared: Path) -> None:
    folder = shared / "data" / "conformance" / "mp_ap_real350"
    data = open_evaluation_set("conformance", folder / "gt.json")
    expected = json.loads((folder / "group_boxes_expected.json").read_text())
    assert len(data) == len(expected) == 350
    for unit, wanted in zip(data, expected, strict=True):
        assert (unit.id, len(unit)) == (wanted["id"], wanted["n"])
        np.testing.assert_allclose(unit.group_box or (), wanted["box"], atol=1e-9)
        assert unit.mean_scale == pytest.approx(wanted["mean_scale_3dec"], abs=6e-4)


def test_the_groups_of_mpii(shared: Path) -> None:
    folder = shared / "data" / "conformance" / "mpii_mat"
    data = open_evaluation_set("mpii", folder / "mini_release.mat", groups=folder / "mini_groups.mat")
    expected = json.loads((folder / "expected.json").read_text())
    wanted = expected["multi_person_groups_train"]
    assert [(u.image_name, len(u)) for u in data] == [(g["file_name"], len(g["rectidxs_1based"])) for g in wanted]
    images = {image["file_name"]: image for image in expected["images"]}
    for unit, group in zip(data, wanted, strict=True):
        members = [images[group["file_name"]]["people"][n - 1] for n in group["rectidxs_1based"]]
        scales = [np.nan if member["scale"] is None else member["scale"] for member in members]
        np.testing.assert_array_equal(unit.scales, scales)
        assert unit.mean_scale == np.nanmean(scales)
        for member, joints in zip(members, unit.joints, strict=True):
            labelled = [j for j, joint in enumerate(member["joints"]) if joint is not None]
            assert np.flatnonzero(joints[:, 2]).tolist() == labelled
            assert joints[labelled, :2].tolist() == [member["joints"][j][:2] for j in labelled]


def test_mpii_test_pictures_can_be_looked_at(shared: Path) -> None:
    folder = shared / "data" / "conformance" / "mpii_mat"
    places = {"annotations": folder / "mini_release.mat", "groups": folder / "mini_groups.mat"}
    data = open_evaluation_set("mpii", split="test", **places)
    wanted = json.loads((folder / "expected.json").read_text())["multi_person_groups_test"]
    assert [(u.image_name, len(u)) for u in data] == [(g["file_name"], len(g["rectidxs_1based"])) for g in wanted]
    scores = evaluate_predictions(data, StoredPredictions("nobody", MPII16, {})).scores
    assert np.isnan(scores.headline)
    assert set(scores.values["ap"].values()) == {None}
    with pytest.raises(UsageError, match="no split 'val'"):
        open_evaluation_set("mpii", split="val", **places)


def test_several_groups_of_a_picture_are_several_units(tmp_path: Path) -> None:
    pictures = [[standing(100), standing(200), standing(900)], [standing(50)]]
    annotations, groups = mpii_files(tmp_path, pictures, [[[1, 2], [3]], [[1]]])
    data = open_evaluation_set("mpii", annotations, groups=groups)
    assert [(unit.id, len(unit)) for unit in data] == [("0.png:1", 2), ("0.png:2", 1), ("1.png:1", 1)]
    assert data.units[0].group_box == (100, 112, 200, 112)
    (tmp_path / "only.txt").write_text("1.png\n")
    data = open_evaluation_set("mpii", annotations, groups=groups, only=tmp_path / "only.txt")
    assert [unit.id for unit in data] == ["1.png:1"]
    (tmp_path / "only.txt").write_text("2.png\n")
    with pytest.raises(InputError, match=r"has no picture '2\.png'"):
        open_evaluation_set("mpii", annotations, groups=groups, only=tmp_path / "only.txt")


def test_groups_of_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    annotations, groups = mpii_files(tmp_path, [[standing()], [standing()]], [[[1]], [[1]]])
    _, fewer = mpii_files(tmp_path / "other", [[standing()]], [[[1]]])
    with pytest.raises(InputError, match="has 1 pictures, the annotations 2"):
        open_evaluation_set("mpii", annotations, groups=fewer)
    _, strangers = mpii_files(tmp_path / "other", [[standing()], [standing()]], [[[1]], [[2]]])
    with pytest.raises(InputError, match="picture 1 has 1 people"):
        open_evaluation_set("mpii", annotations, groups=strangers)
    _, none = mpii_files(tmp_path / "other", [[standing()], [standing()]], [[], []])
    with pytest.raises(InputError, match="no group of people"):
        open_evaluation_set("mpii", annotations, groups=none)
    with pytest.raises(InputError, match="has no 'groups'"):
        open_evaluation_set("mpii", annotations, groups=annotations)
    with pytest.raises(UsageError, match="needs its file of groups"):
        open_evaluation_set("mpii", annotations)
    assert len(open_evaluation_set("mpii", annotations, groups=groups)) == 2


def single(**changes: Any) -> dict[str, Any]:
    joints = standing()[:, :2].tolist()
    return {"image": "a.png", "joints": joints, "joints_vis": [1] * 16, "center": [100, 110], "scale": 2.0} | changes


def test_single_people_of_mpii(tmp_path: Path) -> None:
    entries = [single(joints_vis=[0, *[1] * 15]), single(), single(image="b.png")]
    data = open_evaluation_set("mpii-json", write_json(tmp_path / "a.json", entries))
    assert [unit.id for unit in data] == ["a.png", "a.png:2", "b.png"]
    unit = data.units[0]
    assert data.metric == "pckh"
    assert unit.labelled.sum() == 15
    assert np.isnan(unit.joints[0, 0, :2]).all()
    assert (unit.head_sizes.tolist(), unit.mean_scale, unit.image) == ([50], 2, tmp_path / "a.png")


@pytest.mark.parametrize(
    "change", [{"scale": 0}, {"joints": []}, {"joints_vis": [1]}, {"center": [1]}, {"image": None}]
)
def test_single_people_that_contradict_the_form(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="entry 1"):
        open_evaluation_set("mpii-json", write_json(tmp_path / "a.json", [single(), single(**change)]))


def coco(**changes: Any) -> dict[str, Any]:
    keypoints = [1.0, 2.0, 2] * 17
    annotation = {
        "id": 1, "image_id": 7, "category_id": 1, "keypoints": keypoints, "num_keypoints": 17,
        "area": 50.0, "bbox": [1, 2, 3, 4], "iscrowd": 0,
    }  # fmt: skip
    return {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 5, "height": 6} for n in (9, 7)],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.joints)}],
        "annotations": [annotation, annotation | {"id": 2, "iscrowd": 1}, annotation | {"id": 3, "num_keypoints": 0}],
    } | changes


def test_every_picture_of_coco_is_a_unit(tmp_path: Path) -> None:
    data = open_evaluation_set("coco", write_json(tmp_path / "a.json", coco()))
    assert [(unit.id, len(unit)) for unit in data] == [("7", 3), ("9", 0)]
    truth = data.units[0].coco
    assert truth is not None
    assert truth.ignored.tolist() == [False, True, True]
    assert truth.crowds.tolist() == [False, True, False]
    assert (data.metric, data.units[0].size) == ("oks", (5, 6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"categories": [{"id": 1, "name": "person"}]}, "no category has COCO's 17 joints"),
        ({"images": [{"id": 7}, {"id": 7}]}, r"images\[1\]: the id 7 came before"),
        ({"annotations": [{"image_id": 7, "category_id": 1, "keypoints": [1]}]}, "must be 51 numbers"),
        ({"annotations": [{"image_id": 7, "category_id": 1, "area": float("nan")}]}, "'area'"),
        (
            {"annotations": [{"image_id": 7, "category_id": 1, "area": -2, "bbox": [1] * 4}]},
            r"a\.json: annotations\[0\]: 'area' is negative: -2",
        ),
        (
            {"annotations": [{"image_id": 7, "category_id": 1, "keypoints": [*[1.0, 2, 2] * 16, 1, float("nan"), 1]}]},
            r"a\.json: annotations\[0\]: 'keypoints': right_ankle: expected a number, found nan",
        ),
        ({"annotations": [{"image_id": 7, "category_id": 1, "area": 1, "bbox": [1]}]}, "'bbox' must be 4"),
        ({"images": []}, "nothing to evaluate"),
    ],
)
def test_damaged_annotations_of_coco(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_evaluation_set("coco", write_json(tmp_path / "a.json", coco(**change)))


def test_what_stands_for_joints_without_a_label_is_not_looked_at(tmp_path: Path) -> None:
    content = coco()
    content["annotations"][0]["keypoints"] = [float("nan"), float("inf"), 0, *[1.0, 2.0, 2] * 16]
    unit = open_evaluation_set("coco", write_json(tmp_path / "a.json", content)).units[0]
    assert unit.labelled[0].tolist() == [False, *[True] * 16]
    joints = [[float("nan"), float("nan")], None, [-1, -1], *single()["joints"][3:]]
    entry = single(joints=joints, joints_vis=[0, 0, 0, *[1] * 13])
    unit = open_evaluation_set("mpii-json", write_json(tmp_path / "b.json", [entry])).units[0]
    assert unit.labelled[0].tolist() == [False] * 3 + [True] * 13
    assert np.isnan(unit.joints[0, :3, :2]).all()
    entry["joints_vis"][0] = 1
    with pytest.raises(InputError, match=r"b\.json: entry 0: 'joints': right_ankle: expected a number, found nan"):
        open_evaluation_set("mpii-json", write_json(tmp_path / "b.json", [entry]))


def test_joints_of_mpii_that_say_nothing_are_counted(tmp_path: Path) -> None:
    lost = standing(100)
    lost[3, 0], lost[4, 1] = np.nan, np.inf
    annotations, groups = mpii_files(tmp_path, [[lost, standing(300)]], [[[1, 2]]])
    data = open_evaluation_set("mpii", annotations, groups=groups)
    assert np.flatnonzero(~data.units[0].labelled[0]).tolist() == [3, 4]
    assert dict(data.notes) == {"joints without a position or with an impossible id, which count as not labelled": 2}


def test_data_sets_of_training(tmp_path: Path) -> None:
    data = open_evaluation_set("lsp", lsp(tmp_path / "lsp", people(3).transpose(2, 1, 0)))
    assert (data.metric, data.skeleton, len(data)) == ("pck", LSP14, 3)
    assert data.units[0].mean_scale is None
    kinds = "synthetic", "ltsh"
    named, data = (open_evaluation_set(kind, ltsh_set(tmp_path / "ltsh", ltsh_entry())) for kind in kinds)
    assert [unit.id for unit in named] == [unit.id for unit in data]
    assert (data.metric, data.skeleton, len(data)) == ("ap", MPII16, 1)
    assert data.units[0].mean_scale == pytest.approx(data.units[0].scales.mean())
    np.testing.assert_allclose(data.units[0].head_sizes, 25 * data.units[0].scales)


def test_each_person_of_a_shard_with_the_joints_of_lsp_is_a_unit(tmp_path: Path) -> None:
    two = [{"joints": person(LSP14, x).tolist(), "centre": [x, 110], "scale": 0.9} for x in (60, 140)]
    shard(
        tmp_path / "val-0.tar",
        a__png=picture(shade=1), a__json=labels(), b__png=picture(shade=2), b__json=labels(people=two),
    )  # fmt: skip
    shard(tmp_path / "train-0.tar", c__png=picture(shade=3), c__json=labels())
    data = open_evaluation_set("shards", tmp_path, split="val")
    assert [unit.id for unit in data] == ["val-0/a", "val-0/b:1", "val-0/b:2"]
    assert data.metric == "pck"
    # The one person of a picture is looked for in its middle; only where there are several is it told where.
    assert np.isnan(data.units[0].centres).all()
    assert data.units[2].centres.tolist() == [[140, 110]]
    assert data.units[2].joints[0, 13, 0] == 140


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_file_is_named(tmp_path: Path, kind: str) -> None:
    groups = {"groups": tmp_path / "groups"} if kind == "mpii" else {}
    with pytest.raises(InputError, match="absent"):
        open_evaluation_set(kind, tmp_path / "absent.json", **groups)


@pytest.mark.parametrize("option", [{"groups": "a"}, {"split": "val"}, {"only": "a"}])
def test_options_that_a_kind_does_not_have(tmp_path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="data sets of kind coco have no"):
        open_evaluation_set("coco", tmp_path, **option)


def test_an_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no kind of data set 'voc'"):
        open_evaluation_set("voc", tmp_path)


def test_a_unit_without_a_picture_says_what_to_do() -> None:
    unit = Unit("u", MPII16, np.zeros((0, 16, 3)), np.zeros(0), np.zeros(0), np.zeros((0, 2)))
    with pytest.raises(LtshError, match="--images"):
        unit.read_image()
    with pytest.raises(InputError, match=r"unit 'u': head_sizes must have the shape \[0\]"):
        Unit("u", MPII16, np.zeros((0, 16, 3)), np.zeros(1), np.zeros(0), np.zeros((0, 2)))


def test_a_scale_of_zero_is_unknown(tmp_path: Path) -> None:
    content = neutral([standing(100), standing(200)])
    content["images"][0]["people"][0] |= {"scale": 0, "head_box": None}
    unit = open_evaluation_set("conformance", write_json(tmp_path / "gt.json", content)).units[0]
    assert np.isnan([unit.scales[0], unit.head_sizes[0]]).all()
    assert unit.mean_scale == 1
    annotations, groups = mpii_files(tmp_path, [[standing(100), standing(200)]], [[[1, 2]]], scales=(0.0, 3.0))
    unit = open_evaluation_set("mpii", annotations, groups=groups).units[0]
    np.testing.assert_array_equal(unit.scales, [np.nan, 3])
    assert unit.mean_scale == 3


def test_a_head_that_is_too_large_is_refused_by_its_place(tmp_path: Path) -> None:
    for change in ({"head_box": [-1e308, 0, 1e308, 1]}, {"head_box": None, "scale": 1e308}):
        content = neutral([], [standing(100), standing(200)])
        content["images"][1]["people"][1] |= change
        with pytest.raises(
            InputError, match=r"gt\.json: images\[1\]: person 1: the head box or the scale is too large"
        ):
            open_evaluation_set("conformance", write_json(tmp_path / "gt.json", content))
    with pytest.raises(InputError, match=r"a\.json: entry 1: person 0: .* too large"):
        open_evaluation_set("mpii-json", write_json(tmp_path / "a.json", [single(), single(scale=1e308)]))
