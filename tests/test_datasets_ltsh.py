"""LTSH and CPM annotation files in all the forms their writer gives them."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltsh_deploy.datasets import open_dataset
from ltsh_deploy.datasets.ltsh_entries import read_entry
from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.skeletons import LTSH15, MPII16
from tests.dataset_files import ltsh_entry, ltsh_set, mask, person, picture


def standing(x: float) -> list[list[float]]:
    joints = person(MPII16, x=x)
    joints[:, 2] = 1
    return joints.tolist()


def test_one_person_alone(tmp_path: Path) -> None:
    joints = standing(100)
    joints[3] = [0, 0, 0]
    joints[4][2] = 0
    joints[5][2] = 2
    (sample,) = open_dataset("ltsh", ltsh_set(tmp_path, ltsh_entry(joint_self=joints)))
    assert sample.id == "a.png"
    assert sample.skeleton == MPII16
    assert sample.joints[0, [2, 3, 4, 5], 2].tolist() == [2, 0, 1, 1]
    assert np.isnan(sample.joints[0, 3, :2]).all()
    assert sample.scales.tolist() == [0.9]
    assert sample.centres.tolist() == [[100, 110]]
    assert not sample.is_synthetic.any()
    assert sample.trainable.all()
    assert not sample.characteristics
    assert sample.to_skeleton(LTSH15).joints[0, 14, 2] == 2


@pytest.mark.parametrize(
    ("joints", "objpos", "scale", "people"),
    [
        ({}, {}, {}, 1),
        ([], [], [], 1),
        (None, None, None, 1),
        (standing(50), [50, 110], 0.8, 2),
        ([standing(50)], [[50, 110]], [0.8], 2),
        ([standing(50)], [[50, 110]], [[0.8]], 2),
        ([standing(50), standing(150)], [[50, 110], [150, 110]], [0.8, 0.7], 3),
        ([standing(50), standing(150)], [[50, 110], [150, 110]], [[0.8], [0.7]], 3),
    ],
)
def test_others_in_every_form(tmp_path: Path, joints: Any, objpos: Any, scale: Any, people: int) -> None:
    entry = ltsh_entry(joint_others=joints, objpos_other=objpos, scale_provided_other=scale)
    (sample,) = open_dataset("ltsh", ltsh_set(tmp_path, entry))
    assert len(sample) == people
    assert sample.trainable.tolist() == [True] + [False] * (people - 1)
    np.testing.assert_allclose(sample.scales, [0.9, 0.8, 0.7][:people])
    np.testing.assert_allclose(sample.centres[:, 0], [100, 50, 150][:people])


def test_everybody_is_counted_once(tmp_path: Path) -> None:
    """Three people, two of them with entries, who name each other."""
    places = {1: 50.0, 2: 100.0, 3: 150.0}

    def entry(index: int) -> dict[str, Any]:
        others = [x for n, x in places.items() if n != index]
        return ltsh_entry(
            people_index=index,
            joint_self=standing(places[index]),
            objpos=[places[index], 110],
            joint_others=[standing(x) for x in others],
            objpos_other=[[x, 110] for x in others],
            scale_provided_other=[0.9, 0.9],
        )

    dataset = open_dataset("ltsh", ltsh_set(tmp_path, entry(1), entry(3), entry(3)))
    (sample,) = dataset
    assert sample.centres[:, 0].tolist() == [50, 150, 100]
    assert sample.trainable.tolist() == [True, True, False]
    assert dataset.skipped == {"entries about a person who has one already": 1}


@pytest.mark.parametrize("value", ["_NaN_", "1", {}, [], None, float("nan"), "missing"])
def test_entries_without_a_numeric_is_validation_are_one_warning(
    tmp_path: Path, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    odd = ltsh_entry("b.png", isValidation=value)
    if value == "missing":
        del odd["isValidation"]
    dataset = open_dataset("ltsh", ltsh_set(tmp_path, ltsh_entry(), odd, odd, pictures=("a.png", "b.png")))
    assert [s.id for s in dataset] == ["a.png"]
    assert dataset.skipped == {"entries whose isValidation is not a number": 2}
    assert not dataset.skips.broken
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "2 entries whose isValidation is not a number (first:" in record.getMessage()
    assert "entry 1" in record.getMessage()


def test_is_validation_parts_the_pictures(tmp_path: Path) -> None:
    entries = [
        ltsh_entry("a.png", isValidation=0),
        ltsh_entry("b.png", isValidation=1.0),
        ltsh_entry("c.png", isValidation=0),
        ltsh_entry("c.png", isValidation=1, joint_self=standing(150), objpos=[150, 110]),
    ]
    dataset = open_dataset("ltsh", ltsh_set(tmp_path, *entries, pictures=("a.png", "b.png", "c.png")))
    assert {s.id: s.split for s in dataset} == {"a.png": "train", "b.png": "val", "c.png": "val"}
    assert dataset.skipped == {"pictures with people of both splits, now for validation": 1}
    assert [s.id for s in open_dataset("ltsh", tmp_path, split="train")] == ["a.png"]


def test_characteristics_of_synthetic_people(tmp_path: Path) -> None:
    entries = [
        ltsh_entry("a.png", camera_angle=12.5, minDist=80, visibility_person=[[0.75]], nr_people=2),
        ltsh_entry("b.png", camera_angle=3, minDist="_NaN_", median_dist={}, std_dist=float("nan")),
        ltsh_entry("c.png", camera_angle="_Inf_", minDist={}, cropped_person="none"),
    ]
    dataset = open_dataset("ltsh", ltsh_set(tmp_path, *entries, pictures=("a.png", "b.png", "c.png")))
    a, b, c = dataset
    assert a.is_synthetic.all()
    assert {k: v.item() for k, v in a.characteristics.items()} == {
        "camera_pitch": 12.5,
        "min_distance": 80,
        "visibility": 0.75,
        "people": 2,
    }
    assert b.characteristics["camera_pitch"] == 3
    for name in ("min_distance", "median_distance", "std_distance"):
        assert np.isnan(b.characteristics[name]).all()
    assert np.isnan([c.characteristics[name].item() for name in ("camera_pitch", "min_distance", "cropped")]).all()
    assert dataset.skipped == {"characteristics that are not numbers": 1}
    assert a.trainable.all()
    assert b.trainable.all()


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        (True, False, [True, False]),
        ([[True]], [[False]], [True, False]),
        (0, 1, [False, True]),
        ([0], [[1]], [False, True]),
        ({}, {}, [False, False]),
    ],
)
def test_mixed_pictures_say_who_is_synthetic(tmp_path: Path, own: Any, other: Any, expected: list[bool]) -> None:
    entry = ltsh_entry(
        isSynth=own,
        isSynth_other=other,
        joint_others=standing(50),
        objpos_other=[50, 110],
        scale_provided_other=0.8,
    )
    file = ltsh_set(tmp_path, entry)
    if expected == [True, False]:
        with_real = dict(entry, joint_self=standing(50), objpos=[50, 110], isSynth=False, joint_others={})
        file = ltsh_set(tmp_path, entry, dict(with_real, objpos_other={}, scale_provided_other={}, isSynth_other={}))
    (sample,) = open_dataset("ltsh", file)
    assert sample.is_synthetic.tolist() == expected
    # Only real people are centres of crops in a mixed picture.
    if expected == [True, False]:
        assert sample.trainable.tolist() == [False, True]


def test_two_others_of_each_kind(tmp_path: Path) -> None:
    entry = ltsh_entry(
        isSynth=False,
        isSynth_other=[[True], [False]],
        joint_others=[standing(50), standing(150)],
        objpos_other=[[50, 110], [150, 110]],
        scale_provided_other=[0.8, 0.8],
    )
    (sample,) = open_dataset("ltsh", ltsh_set(tmp_path, entry))
    assert sample.is_synthetic.tolist() == [False, True, False]


def test_the_user_may_know_better_who_is_synthetic(tmp_path: Path) -> None:
    file = ltsh_set(tmp_path, ltsh_entry(isSynth=False))
    assert all(s.is_synthetic.all() for s in open_dataset("ltsh", file, synthetic=True))
    file = ltsh_set(tmp_path, ltsh_entry(camera_angle=3))
    assert not any(s.is_synthetic.any() for s in open_dataset("ltsh", file, synthetic=False))
    with pytest.raises(UsageError, match="synthetic must be true or false"):
        open_dataset("ltsh", file, synthetic="yes")


@pytest.mark.parametrize(
    ("changes", "usable"),
    [
        ({}, True),
        ({"objpos": [250, 110]}, False),
        ({"joint_self": [[x, y, 0] for x, y, _ in standing(100)]}, False),
        ({"joint_self": standing(-400)}, False),
        ({"joint_self": [[0, 0, 0]] * 16}, None),
    ],
)
def test_synthetic_people_who_cannot_be_centred_on(
    tmp_path: Path, changes: dict[str, Any], usable: bool | None
) -> None:
    file = ltsh_set(tmp_path, ltsh_entry(camera_angle=3, **changes))
    if usable is None:
        with pytest.raises(InputError, match="1 pictures without labelled people"):
            open_dataset("ltsh", file)
    else:
        (sample,) = open_dataset("ltsh", file)
        assert sample.trainable.tolist() == [usable]


def test_a_folder_of_files_with_masks(tmp_path: Path) -> None:
    ltsh_set(tmp_path / "one", ltsh_entry("images/a.png"), pictures=("images/a.png",))
    ltsh_set(tmp_path / "two", ltsh_entry("a.png"), pictures=("images/a.png",))
    values = np.zeros((220, 200), np.uint8)
    values[:7] = 255
    (tmp_path / "one" / "masks").mkdir()
    (tmp_path / "one" / "masks" / "a.png").write_bytes(mask(values))
    one, two = open_dataset("ltsh", tmp_path)
    assert (one.id, two.id) == ("one/images/a.png", "two/images/a.png")
    ignored = one.read_ignore((200, 220))
    assert ignored is not None
    assert ignored.sum() == 7 * 200
    assert two.read_ignore((200, 220)) is None


@pytest.mark.parametrize(
    "hidden", [".train-00000006-00000009.0a1b2c3d.part.json", "deep/._people.json", ".checkpoints/people.json"]
)
def test_hidden_files_are_no_annotations(tmp_path: Path, hidden: str) -> None:
    ltsh_set(tmp_path, ltsh_entry())
    (tmp_path / hidden).parent.mkdir(exist_ok=True)
    for text in ('{"root":[', json.dumps({"root": [ltsh_entry("b.png")]})):
        (tmp_path / hidden).write_text(text)
        assert [s.id for s in open_dataset("ltsh", tmp_path)] == ["a.png"]


def test_masks_may_lie_as_the_pictures_do(tmp_path: Path) -> None:
    file = ltsh_set(tmp_path, ltsh_entry("s/a.png"), ltsh_entry("s/b.png"), pictures=("s/a.png", "s/b.png"))
    (tmp_path / "m" / "s").mkdir(parents=True)
    (tmp_path / "m" / "s" / "a.png").write_bytes(mask(np.zeros((220, 200), np.uint8)))
    dataset = open_dataset("ltsh", file, masks=tmp_path / "m")
    assert [s.id for s in dataset] == ["s/a.png"]
    assert dataset.skipped == {"masks that are not there": 1}
    assert "m/s/b.png" in dataset.skips.examples["masks that are not there"][0]
    with pytest.raises(InputError, match="no such folder of masks"):
        open_dataset("ltsh", file, masks=tmp_path / "gone")


@pytest.mark.parametrize(
    ("written", "options", "where"),
    [
        ("{folder}/s/a.png", {}, "masks/s/a.png"),
        ("{folder}/s/a.png", {}, "masks/a.png"),
        ("{folder}/s/a.png", {"images": "s"}, "masks/a.png"),
        ("{folder}/elsewhere/a.png", {"images": "s"}, "masks/a.png"),
        ("../s/a.png", {"masks": "masks"}, "masks/a.png"),
    ],
)
def test_masks_are_looked_for_in_their_folder_alone(
    tmp_path: Path, written: str, options: dict[str, str], where: str
) -> None:
    """However the picture's path is written: a PNG would else be its own mask."""
    for folder in ("s", "elsewhere", "deep"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(picture())
    values = np.zeros((220, 200), np.uint8)
    values[:7] = 255
    (tmp_path / where).parent.mkdir(parents=True)
    (tmp_path / where).write_bytes(mask(values))
    file = ltsh_set(
        tmp_path / "deep" if written.startswith("..") else tmp_path,
        ltsh_entry(written.format(folder=tmp_path)),
        pictures=(),
    )
    (sample,) = open_dataset("ltsh", file, **{name: tmp_path / value for name, value in options.items()})
    ignored = sample.read_ignore((200, 220))
    assert ignored is not None
    assert ignored.sum() == 7 * 200


@pytest.mark.parametrize("written", [".", "..", "/", "s", "//", "s/.."])
def test_a_path_that_is_a_folder_is_no_picture(tmp_path: Path, written: str) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "a.png").write_bytes(mask(np.zeros((220, 200), np.uint8)))
    file = ltsh_set(tmp_path, ltsh_entry(), ltsh_entry(written))
    dataset = open_dataset("ltsh", file)
    assert [sample.id for sample in dataset] == ["a.png"]
    assert sum(dataset.skipped.values()) == 1


def test_a_picture_is_not_its_own_mask(tmp_path: Path) -> None:
    file = ltsh_set(tmp_path, ltsh_entry("s/a.png"), pictures=("s/a.png",))
    for folder in ("s", "deep/../s", "."):
        (tmp_path / "deep").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=r"s/a\.png: is a picture, and would be its own mask"):
            open_dataset("ltsh", file, masks=tmp_path / folder)


def test_pictures_that_are_missing_are_counted(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.png").write_bytes(picture())
    file = ltsh_set(tmp_path, ltsh_entry("a.png"), ltsh_entry("b.png"))
    dataset = open_dataset("ltsh", file)
    assert dataset.skipped == {"pictures that are not there": 1}
    assert dataset.skips.broken == {"pictures that are not there"}
    (sample,) = open_dataset("ltsh", file, images=tmp_path / "elsewhere")
    assert sample.image == tmp_path / "elsewhere" / "b.png"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"img_paths": 3}, "'img_paths' must be a path"),
        ({"img_paths": ""}, "'img_paths' must be a path"),
        ({"joint_self": {}}, "'joint_self' must be 16 x"),
        ({"joint_self": [standing(1), standing(2)]}, "'joint_self' must be 16 x"),
        ({"joint_self": standing(1)[:14]}, "'joint_self': expected 16 x 3 numbers"),
        ({"joint_self": [[1, 2, 5]] * 16}, "must be 0 (hidden), 1 (visible) or 2 (cropped)"),
        ({"joint_self": "joints"}, "'joint_self': expected 16 x 3 numbers"),
        ({"objpos": [1, 2, 3]}, "'objpos': expected 2 numbers"),
        ({"objpos": "middle"}, "'objpos': expected 2 numbers"),
        ({"joint_others": standing(3)}, "'joint_others' has 1 people, 'objpos_other' 0"),
        ({"scale_provided_other": [1, 2]}, "'joint_others' has 0 people, 'scale_provided_other' 2"),
        ({"isSynth": "no"}, "'isSynth' must be true or false"),
        ({"isSynth_other": "no"}, "'isSynth_other': expected single numbers"),
    ],
)
def test_entries_that_are_wrong_are_counted_and_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    file = ltsh_set(tmp_path, ltsh_entry(), ltsh_entry("a.png", **changes))
    dataset = open_dataset("ltsh", file)
    assert dataset.skipped == {"entries that contradict the format": 1}
    (example,) = dataset.skips.examples["entries that contradict the format"]
    assert example.startswith(f"{file}: entry 1: ")
    assert said in example


@pytest.mark.parametrize("scale", ["_NaN_", {}, 0, -1, 1e9, None])
def test_a_scale_that_says_nothing_is_computed(tmp_path: Path, scale: Any) -> None:
    (sample,) = open_dataset("ltsh", ltsh_set(tmp_path, ltsh_entry(scale_provided=scale, objpos={})))
    np.testing.assert_allclose(sample.scales, [0.9], rtol=0.1)
    np.testing.assert_allclose(sample.centres, [[100, 110]])


def test_files_that_are_not_of_this_kind(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for text, said in (
        ("{", "line 1: is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("3", "is not an LTSH or CPM file"),
        ('{"images": []}', "is not an LTSH or CPM file"),
        ('{"root": []}', "holds no usable samples"),
        ('{"root": [3]}', "1 entries that are no objects"),
    ):
        file.write_text(text)
        with pytest.raises(InputError) as caught:
            open_dataset("ltsh", file)
        assert said in caught.value.message
        assert "x.json" in caught.value.message
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not JSON"):
        open_dataset("ltsh", file)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no \.json files"):
        open_dataset("ltsh", tmp_path / "empty")


def test_of_a_folder_of_the_generator_the_ltsh_files_are_read(tmp_path: Path) -> None:
    ltsh_set(tmp_path / "ltsh", ltsh_entry("images/a.png"), pictures=("images/a.png",))
    index = tmp_path / "index.json"
    index.write_text('{"skeleton": "ltsh15"}')
    assert [sample.id for sample in open_dataset("ltsh", tmp_path)] == ["images/a.png"]
    # A folder of somebody's own that is called so hides nothing.
    index.unlink()
    ltsh_set(tmp_path, ltsh_entry())
    assert sorted(sample.id for sample in open_dataset("ltsh", tmp_path)) == ["a.png", "ltsh/images/a.png"]


def test_shards_are_not_of_this_kind(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"skeleton": "ltsh15"}')
    with pytest.raises(InputError, match=r"index\.json: is not an LTSH or CPM file.*\n.*kind shards"):
        open_dataset("ltsh", tmp_path)


def test_a_list_of_one_may_be_bare(tmp_path: Path) -> None:
    file = ltsh_set(tmp_path)
    file.write_text(json.dumps({"root": ltsh_entry()}))
    assert len(open_dataset("ltsh", file)) == 1
    file.write_text(json.dumps([ltsh_entry()]))
    assert len(open_dataset("ltsh", file)) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | st.sampled_from(["_NaN_", "x", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*ltsh_entry(), "isSynth", "isSynth_other", "camera_angle"]), json_values))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_entries_of_any_kind_are_read_or_refused(changes: dict[str, Any]) -> None:
    with suppress(InputError):
        entry = read_entry(ltsh_entry() | changes, "here", None)
        assert entry.person.joints.shape == (16, 3)
