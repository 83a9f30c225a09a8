"""COCO keypoints: people with joints are learned from, everybody else is ignored."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltsh_deploy.datasets import SampleList, open_dataset
from ltsh_deploy.errors import InputError, LtshError, UsageError
from ltsh_deploy.skeletons import COCO17, LTSH15
from tests.dataset_files import STANDING, picture


def keypoints(count: int = 12) -> list[float]:
    """COCO's numbers of a standing person: the face is not labelled."""
    numbers: list[float] = []
    for j, name in enumerate(COCO17.joints):
        x, y = STANDING.get(name, (0, 0))
        numbers += [x + 100, y + 20, 2] if name in STANDING and j < 5 + count else [0, 0, 0]
    return numbers


def annotation(**changes: Any) -> dict[str, Any]:
    form = {
        "id": 1,
        "image_id": 7,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": keypoints(),
        "num_keypoints": 12,
        "bbox": [70, 20, 60, 182],
        "area": 9000.0,
        "segmentation": [[70, 20, 130, 20, 130, 202]],
    }
    return {key: value for key, value in (form | changes).items() if value is not None}


def coco(folder: Path, *annotations: Any, name: str = "person_keypoints_train2017.json", **changes: Any) -> Path:
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.joints), "skeleton": [[16, 14]]}
    data = {
        "images": [{"id": 7, "file_name": "p.png", "width": 200, "height": 220}],
        "annotations": list(annotations),
        "categories": [category, {"id": 2, "name": "dog"}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "p.png").write_bytes(picture())
    (folder / name).write_text(json.dumps(data | changes))
    return folder / name


def ignored(dataset: SampleList) -> np.ndarray[Any, Any]:
    found = dataset[0].read_ignore((200, 220))
    assert found is not None
    return found


def test_a_person_with_joints(tmp_path: Path) -> None:
    (sample,) = open_dataset("coco", coco(tmp_path, annotation()))
    assert sample.id == "p.png"
    assert sample.skeleton == COCO17
    assert sample.joints[0, :5, 2].tolist() == [0] * 5
    assert sample.joints[0, 5].tolist() == [119, 54, 2]
    np.testing.assert_allclose(sample.centres, [[99.5, 110.5]])
    np.testing.assert_allclose(sample.scales, [0.91], rtol=0.1)
    assert sample.trainable.all()
    converted = sample.to_skeleton(LTSH15)
    assert converted.joints[0, LTSH15.joints.index("head_top"), 2] == 0
    assert converted.joints[0, LTSH15.joints.index("neck"), :2].tolist() == [100, 54]
    assert converted.joints[0, LTSH15.joints.index("torso_centre"), :2].tolist() == [100, 83]


def test_somebody_small_or_with_few_joints_is_no_centre(tmp_path: Path) -> None:
    people = [annotation(id=1), annotation(id=2, keypoints=keypoints(4)), annotation(id=3, area=900)]
    file = coco(tmp_path, *people)
    (sample,) = open_dataset("coco", file)
    assert sample.trainable.tolist() == [True, False, False]
    (sample,) = open_dataset("coco", file, min_joints=4)
    assert sample.trainable.tolist() == [True, True, False]
    with pytest.raises(UsageError, match="min_joints"):
        open_dataset("coco", file, min_joints=0)


def test_a_face_in_a_large_box_is_no_dwarf(tmp_path: Path) -> None:
    face = [100.0, 40, 2, 103, 37, 2, 97, 37, 2, *[0] * 42]
    (sample,) = open_dataset("coco", coco(tmp_path, annotation(keypoints=face)))
    np.testing.assert_allclose(sample.scales, [182 / 200])


def test_crowds_are_ignored_by_their_run_lengths(tmp_path: Path) -> None:
    runs = {"size": [220, 200], "counts": [220 * 150, 220 * 20, 220 * 30]}
    dataset = open_dataset(
        "coco", coco(tmp_path, annotation(), annotation(id=2, iscrowd=1, segmentation=runs, keypoints=[0] * 51))
    )
    assert len(dataset[0]) == 1
    expected = np.zeros((220, 200), bool)
    expected[:, 150:170] = True
    np.testing.assert_array_equal(ignored(dataset), expected)


@pytest.mark.parametrize(
    ("changes", "box"),
    [
        ({"segmentation": [[10.5, 20.5, 31.5, 20.5, 31.5, 41.5, 10.5, 41.5]]}, (10, 20, 31, 41)),
        ({"segmentation": None, "bbox": [10.5, 20.5, 21, 21]}, (10, 20, 31, 41)),
        ({"segmentation": [], "bbox": [10.5, 20.5, 21, 21], "keypoints": None}, (10, 20, 31, 41)),
    ],
)
def test_people_without_joints_are_ignored(tmp_path: Path, changes: dict[str, Any], box: tuple[int, ...]) -> None:
    nobody = annotation(**{"id": 2, "keypoints": [0] * 51, **changes})
    dataset = open_dataset("coco", coco(tmp_path, annotation(), nobody))
    x1, y1, x2, y2 = box
    expected = np.zeros((220, 200), bool)
    expected[y1 : y2 + 1, x1 : x2 + 1] = True
    np.testing.assert_array_equal(ignored(dataset), expected)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_id": "x"}, "'image_id': expected a number"),
        ({"keypoints": [1, 2, 3]}, "'keypoints' must be 51 numbers, found 3"),
        ({"keypoints": [1, 2, 7] * 17}, "the third number of a keypoint must be 0, 1 or 2"),
        ({"keypoints": ["x"] * 51}, "'keypoints': expected a number"),
        ({"bbox": [1, 2]}, "'bbox' must be four numbers"),
        ({"keypoints": None, "segmentation": [[1, 2]]}, "a polygon needs three points"),
        ({"iscrowd": 1, "segmentation": {"size": [220, 200], "counts": [5]}}, "do not sum to 200 x 220"),
        ({"iscrowd": 1, "segmentation": {"size": [220], "counts": [5]}}, "'size'"),
        ({"iscrowd": 1, "segmentation": {"size": [220, 200], "counts": "oooooooooooooooooo"}}, "do not sum"),
        ({"iscrowd": 1, "segmentation": {"size": [220, 200], "counts": [-5, 44005]}}, "do not sum"),
        ({"id": 1}, ""),
    ],
)
def test_annotations_that_are_wrong_are_counted_and_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    file = coco(tmp_path, annotation(), annotation(**({"id": 2} | changes)))
    dataset = open_dataset("coco", file)
    (reason,) = dataset.skipped
    assert reason in ("annotations that contradict the format", "annotations with an id that came before")
    (example,) = dataset.skips.examples[reason]
    assert f"{file}: annotations[1]" in example
    assert said in example
    assert dataset.skips.broken


def test_pictures_that_are_wrong_are_counted(tmp_path: Path) -> None:
    images = [
        {"id": 7, "file_name": "p.png", "width": 200, "height": 220},
        {"id": 8, "file_name": "gone.png", "width": 200, "height": 220},
        {"id": 9, "width": 200, "height": 220},
        {"id": 10, "file_name": "p.png", "width": 200, "height": 220},
        3,
    ]
    people = [annotation(id=n, image_id=n) for n in (7, 8, 10, 99)]
    dataset = open_dataset("coco", coco(tmp_path, *people, images=images))
    assert len(dataset) == 1
    assert dataset.skipped == {
        "pictures that contradict the format": 2,
        "pictures that are not there": 1,
        "pictures with an id that came before": 1,
        "annotations of pictures that are not listed": 1,
    }


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("person_keypoints_val2017", "val"),
        ("person_keypoints_train2017", "train"),
        ("person_keypoints_minival2014", "val"),
        ("person_keypoints_valminusminival2014", "train"),
        ("person_keypoints_trainval35k", "train"),
        ("my-Validation", "val"),
        ("carnival", "train"),
    ],
)
def test_a_files_name_tells_its_split(tmp_path: Path, name: str, split: str) -> None:
    (sample,) = open_dataset("coco", coco(tmp_path, annotation(), name=f"{name}.json"))
    assert sample.split == split
    other = {"val": "train", "train": "val"}[split]
    with pytest.raises(InputError, match=rf"no annotations for split '{other}'\n.*person_keypoints_val2017\.json"):
        open_dataset("coco", tmp_path / f"{name}.json", split=other)


def test_cocos_folder_has_both_splits(tmp_path: Path) -> None:
    for split in ("train2017", "val2017"):
        coco(tmp_path / "annotations", annotation(), name=f"person_keypoints_{split}.json")
        (tmp_path / split).mkdir()
        (tmp_path / split / "p.png").write_bytes(picture())
    only = open_dataset("coco", tmp_path, split="val")
    assert [s.image for s in only] == [tmp_path / "val2017" / "p.png"]
    with pytest.raises(InputError, match="no annotations for split 'val'"):
        open_dataset("coco", tmp_path / "annotations" / "person_keypoints_train2017.json", split="val")
    both = open_dataset("coco", tmp_path)
    assert [(s.id, s.split) for s in both] == [("train2017/p.png", "train"), ("val2017/p.png", "val")]


def test_other_joints_make_another_skeleton(tmp_path: Path) -> None:
    category = {
        "id": 1,
        "name": "arm",
        "keypoints": ["left_shoulder", "right_shoulder", "neck"],
        "skeleton": [[1, 3], [2, 3]],
    }
    file = coco(tmp_path, annotation(keypoints=[10, 20, 2, 30, 20, 1, 20, 10, 2]), categories=[category])
    (sample,) = open_dataset("coco", file, min_joints=2)
    assert sample.skeleton.joints == ("left_shoulder", "right_shoulder", "neck")
    assert sample.skeleton.limbs == ((0, 2), (1, 2))
    assert sample.skeleton.flip_pairs == ((1, 0),)


def test_files_that_are_not_of_this_kind(tmp_path: Path) -> None:
    file = tmp_path / "person_keypoints.json"
    for text, said in (
        ("[]", "expected an object"),
        ("{}", "'categories': expected a list"),
        ('{"categories": [{"id": 1, "name": "dog"}]}', "no category has keypoints"),
        ('{"categories": [{"id": 1, "keypoints": ["a", "b"], "skeleton": [[1, 9]]}]}', "categories[0]"),
        (
            '{"categories": [{"id": 1, "keypoints": ["a"]}, {"id": 2, "keypoints": ["b"]}]}',
            "its categories have different joints",
        ),
    ):
        file.write_text(text)
        with pytest.raises(InputError) as caught:
            open_dataset("coco", file)
        assert said in caught.value.message
        assert "person_keypoints.json" in caught.value.message
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no person_keypoints"):
        open_dataset("coco", tmp_path / "empty")


def test_an_area_that_no_float_can_hold_is_a_large_one(tmp_path: Path) -> None:
    (sample,) = open_dataset("coco", coco(tmp_path, annotation(area=10**400)))
    assert sample.trainable.tolist() == [True]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | st.sampled_from(["x", "", "o0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["size", "counts"]), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(annotation())), json_values))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_annotations_of_any_kind_are_read_or_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with suppress(LtshError):
        dataset = open_dataset("coco", coco(tmp_path, annotation(id=5), annotation() | changes))
        dataset[0].read_ignore((200, 220))


def test_real_annotations(shared: Path) -> None:
    dataset = open_dataset("coco", shared / "data" / "real" / "coco")
    assert [len(s) for s in dataset] == [1, 2, 4, 5]
    assert sum(len(s.regions) for s in dataset) == 2
    assert not dataset.skipped
    for sample in dataset:
        image = sample.read_image()
        mask = sample.read_ignore((image.shape[1], image.shape[0]))
        if mask is not None:
            assert 0 < mask.mean() < 0.05
