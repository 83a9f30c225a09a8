"""Shards: what is in them is read; what is wrong with them is counted or named."""

from __future__ import annotations

import datetime
import io
import json
import logging
import os
import pickle
import re
import tarfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltsh_deploy.datasets import open_dataset
from ltsh_deploy.datasets.shard_labels import read_labels
from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.skeletons import LSP14, LTSH15
from tests.dataset_files import labels, mask, person, picture, shard, write_tar


def one(**changes: Any) -> dict[str, Any]:
    """A person as in the JSON, with changes; None takes a key away."""
    form: dict[str, Any] = {"joints": person(LSP14).tolist()} | changes
    return {key: value for key, value in form.items() if value is not None}


def test_the_short_form_reads_third_numbers_as_labelled(tmp_path: Path) -> None:
    joints = [[float(j), 10.0 * j, 1] for j in range(13)] + [[0, 0, 0]]
    shard(tmp_path / "train-0.tar", a__json=json.dumps({"joints": joints, "source": "a"}).encode(), a__jpg=picture())
    (tmp_path / "index.json").write_text(json.dumps({"joints": short_names(), "splits": {"train": 1}}))
    (sample,) = open_dataset("shards", tmp_path)
    assert sample.skeleton == LSP14
    assert sample.id == "train-0/a"
    assert sample.split == "train"
    assert sample.joints[0, :13, 2].tolist() == [2.0] * 13
    assert np.isnan(sample.joints[0, 13, :2]).all()
    np.testing.assert_allclose(sample.centres[0], [6, 60])
    assert sample.trainable.all()
    assert not sample.is_synthetic.any()
    assert sample.read_image().shape == (220, 200, 3)


def short_names() -> list[str]:
    return [name.replace("right_", "r_").replace("left_", "l_") for name in LSP14.joints]


def test_the_long_form_reads_everything(tmp_path: Path) -> None:
    people = [
        one(centre=[100, 110], scale=1.5, characteristics={"min_distance": 80.5, "visibility": None}, extra={"id": 3}),
        one(centre=[50, 60], scale=0.7, trainable=False, characteristics={"camera_pitch": 2}),
    ]
    people[1]["joints"][3] = None
    people[1]["joints"][4][2] = 1
    instances = np.zeros((220, 200), np.uint8)
    instances[30:60, 40:80] = 2
    ignore = np.zeros((220, 200), np.uint8)
    ignore[:9] = 255
    shard(
        tmp_path / "train-0.tar",
        a__json=labels(
            people=people, is_synthetic=True, characteristics={"camera_pitch": 12}, ignore_boxes=[[1, 2, 3, 4]]
        ),
        a__ignore__png=mask(ignore),
        a__png=picture(),
        a__instances__png=mask(instances),
    )
    (sample,) = open_dataset("shards", tmp_path / "train-0.tar", name="made", licence="none")
    assert sample.scales.tolist() == [1.5, 0.7]
    assert sample.is_synthetic.all()
    assert sample.trainable.tolist() == [True, False]
    assert sample.joints[1, 3, 2] == 0
    assert sample.joints[1, 4, 2] == 1
    np.testing.assert_array_equal(sample.characteristics["camera_pitch"], [12, 2])
    np.testing.assert_array_equal(sample.characteristics["min_distance"], [80.5, np.nan])
    ignored = sample.read_ignore((200, 220))
    assert ignored is not None
    assert ignored[:9].all()
    assert int(ignored[9:].sum()) == 0
    np.testing.assert_array_equal(sample.read_instances((200, 220)), instances)


def test_splits_come_from_the_shards_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train-0", "val-0", "more", "test-0"):
        shard(tmp_path / f"{name}.tar", a__json=labels(), a__png=picture())
    dataset = open_dataset("shards", tmp_path)
    assert {s.id: s.split for s in dataset} == {"more/a": "train", "train-0/a": "train", "val-0/a": "val"}
    assert dataset.skipped == {"shards that are neither for training nor validation": 1}
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert [s.id for s in open_dataset("shards", tmp_path, split="val")] == ["val-0/a"]
    with pytest.raises(UsageError, match="split must be one of"):
        open_dataset("shards", tmp_path, split="test")


@pytest.mark.parametrize("hidden", [".train-00000006.0a1b2c3d.part.tar", "._train-0.tar"])
def test_hidden_files_are_no_shards(tmp_path: Path, hidden: str) -> None:
    """A killed run leaves half a shard under such a name, and some systems files of their own."""
    path = shard(tmp_path / "train-0.tar", a__json=labels(), a__png=picture())
    for data in (path.read_bytes(), path.read_bytes()[:700], b"none"):
        (tmp_path / hidden).write_bytes(data)
        dataset = open_dataset("shards", tmp_path)
        assert [s.id for s in dataset] == ["train-0/a"]
        assert not dataset.skipped
    path.unlink()
    with pytest.raises(InputError, match="holds no tar files"):
        open_dataset("shards", tmp_path)


def test_names_may_have_folders_and_long_paths(tmp_path: Path) -> None:
    folder = "./" + "deep/" * 40
    write_tar(tmp_path / "train.tar", {})
    with tarfile.open(tmp_path / "train.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in ((f"{folder}a.json", labels()), (f"{folder}a.png", picture()), ("b.png", picture())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    dataset = open_dataset("shards", tmp_path)
    (sample,) = dataset
    assert sample.id == f"train/{'deep/' * 40}a"
    assert sample.read_image().shape == (220, 200, 3)
    assert dataset.skipped == {"pictures without labels": 1}


def test_real_people_without_joints_are_ignored_and_synthetic_ones_kept(tmp_path: Path) -> None:
    nobody = {"joints": [None] * 14, "centre": [50, 60], "scale": 0.2}
    lost = {"joints": [None] * 14}
    shard(
        tmp_path / "train.tar",
        a__json=labels(people=[one(), nobody, lost]),
        a__png=picture(),
        b__json=labels(people=[one(), nobody], is_synthetic=True),
        b__png=picture(),
        c__json=labels(people=[nobody]),
        c__png=picture(),
    )
    dataset = open_dataset("shards", tmp_path)
    real, synthetic = dataset
    assert len(real) == 1
    ignored = real.read_ignore((200, 220))
    assert ignored is not None
    assert ignored[40:81, 30:71].all()
    assert ignored.sum() == 41 * 41
    assert len(synthetic) == 2
    assert synthetic.trainable.tolist() == [True, False]
    assert dataset.skipped == {"people without a place and a size": 1, "pictures without labelled people": 1}
    assert not dataset.skips.broken


def test_synthetic_people_who_cannot_be_centred_on(tmp_path: Path) -> None:
    def moved(x: float, label: int = 2) -> list[list[float]]:
        joints = person(LSP14, x=x)
        joints[:, 2] = label
        return joints.tolist()

    people = [
        {"joints": moved(100), "centre": [100, 110], "scale": 0.9, "is_synthetic": True},
        {"joints": moved(100), "centre": [200, 110], "scale": 0.9, "is_synthetic": True},
        {"joints": moved(100, label=1), "centre": [100, 110], "scale": 0.9, "is_synthetic": True},
        {"joints": moved(500), "centre": [100, 110], "scale": 0.9, "is_synthetic": True},
    ]
    shard(
        tmp_path / "train.tar",
        a__json=labels(people=people),
        a__png=picture(),
        b__json=labels(people=[*people, one()]),
        b__png=picture(),
        c__json=labels(people=people, width=None, height=None),
        c__png=picture(),
    )
    synthetic, mixed, of_unknown_size = open_dataset("shards", tmp_path)
    assert synthetic.trainable.tolist() == [True, False, False, False]
    assert mixed.trainable.tolist() == [False, False, False, False, True]
    assert of_unknown_size.trainable.tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"people": [one(joints=None)]}, "person 0: has no 'joints'"),
        ({"people": [one(joints=[[1, 2, 2]] * 13)]}, "person 0: has 13 joints, skeleton 'lsp14' 14"),
        ({"people": [one(joints=[[1, 2]] * 14)]}, "each of 'joints' must be [x, y, label] or null"),
        ({"people": [one(joints=[[1, "a", 2]] * 14)]}, "each of 'joints' must be [x, y, label] or null"),
        ({"people": [one(joints=[[1, 2, 3]] * 14)]}, "labels of joints must be 0, 1 or 2"),
        ({"people": [one(joints=[[1, float("nan"), 1]] * 14)]}, "a labelled joint has no finite position"),
        ({"people": [one(scale=0)]}, "'scale' must be positive"),
        ({"people": [one(scale="big")]}, "'scale': expected a number"),
        ({"people": [one(centre=[1])]}, "'centre' must be two numbers"),
        ({"people": [one(center=[1, 2])]}, "unknown keys ['center']"),
        ({"people": [one(is_synthetic="no")]}, "'is_synthetic' must be true or false"),
        ({"people": [one(characteristics={"camera_pitch": "steep"})]}, "characteristic 'camera_pitch'"),
        ({"people": {"joints": []}}, "'people': expected a list"),
        ({"people": None}, "has neither 'people' nor 'joints'"),
        ({"skeleton": "lsp15"}, "there is no skeleton 'lsp15'"),
        ({"skeleton": "ltsh15"}, "skeleton 'ltsh15'"),
        ({"width": 0}, "a picture cannot have 0 x 220 pixels"),
        ({"ignore_boxes": [[1, 2, 3]]}, "'ignore_boxes' must have four numbers"),
    ],
)
def test_labels_that_are_wrong_are_counted_and_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    shard(tmp_path / "train.tar", a__json=labels(), a__png=picture(), b__json=labels(**changes), b__png=picture())
    dataset = open_dataset("shards", tmp_path)
    assert dataset.skipped == {"labels that contradict the format": 1}
    (example,) = dataset.skips.examples["labels that contradict the format"]
    assert example.startswith("train.tar: b.json")
    assert said in example
    assert dataset.skips.broken


def test_what_is_missing_or_doubled_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shard(
        tmp_path / "train.tar",
        a__json=labels(),
        a__png=picture(),
        b__json=labels(),
        c__jpg=picture(),
        d__json=b"{",
        d__png=picture(),
        e__json=labels(people=[one()]),
        e__png=picture(),
        e__instances__png=mask(np.zeros((220, 200), np.uint8)),
        f__json=labels(people=[one(joints=[[1e9, 1, 2], *[None] * 13])]),
        f__png=picture(),
    )
    dataset = open_dataset("shards", tmp_path)
    assert [s.id for s in dataset] == ["train/a", "train/e"]
    assert dataset.skipped == {
        "labels without a picture": 1,
        "pictures without labels": 1,
        "labels that are not JSON": 1,
        "people with joints a million pixels away": 1,
        "people without a place and a size": 1,
        "pictures without labelled people": 1,
    }
    (record,) = caplog.records
    assert "train.tar: b" in record.getMessage()


def test_members_that_are_there_twice_are_counted(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.png")
    path = shard(tmp_path / "train.tar", a__json=labels(), a__png=picture(shade=9))
    with tarfile.open(path, "a") as archive:
        data = picture(shade=10)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    dataset = open_dataset("shards", path)
    assert dataset.skipped == {"members that are there twice": 1}
    assert dataset[0].read_image()[0, 0, 0] == 9


@pytest.mark.parametrize("kind", ["shards", "ltsh", "coco", "mpii", "lsp"])
def test_devices_and_pipes_are_not_waited_for(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe"):
        with pytest.raises(InputError, match="is a device or a pipe"):
            open_dataset(kind, path)


def test_an_instance_mask_counts_on_everybody(tmp_path: Path) -> None:
    lost = {"joints": [None] * 14}
    instances = mask(np.zeros((220, 200), np.uint8))
    shard(
        tmp_path / "train.tar",
        a__json=labels(people=[one(), lost]),
        a__png=picture(),
        a__instances__png=instances,
        b__json=labels(people=[lost | {"centre": [9, 9], "scale": 1}, one()]),
        b__png=picture(),
        b__instances__png=instances,
    )
    dataset = open_dataset("shards", tmp_path)
    (sample,) = dataset
    assert len(sample) == 2
    assert sample.trainable.tolist() == [False, True]
    assert dataset.skipped == {"pictures with an instance mask, and people without centre and scale": 1}


def test_damaged_archives_are_errors_that_name_them(tmp_path: Path) -> None:
    whole = shard(tmp_path / "train.tar", a__json=labels(), a__png=picture(), b__json=labels(), b__png=picture())
    data = whole.read_bytes()
    for damaged, said in (
        (b"", "not a tar archive"),
        (b"x" * 4096, "not a tar archive"),
        (data[:1800], "unexpected end of data"),
        (data[: 512 * 3 + 100], ""),
        (data[: data.rindex(b"b.png")], "cut off"),
    ):
        whole.write_bytes(damaged)
        with pytest.raises(InputError, match=r"train\.tar") as caught:
            open_dataset("shards", tmp_path)
        assert said in caught.value.message


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("{", "index.json: is not JSON"),
        ("[]", "index.json: must hold an object"),
        ('{"joints": ["a", "a"]}', "index.json"),
        ('{"joints": [1]}', "index.json"),
        ('{"skeleton": {"joints": 3}}', "index.json"),
    ],
)
def test_a_wrong_index_is_an_error(tmp_path: Path, index: str, said: str) -> None:
    shard(tmp_path / "train.tar", a__json=labels(), a__png=picture())
    (tmp_path / "index.json").write_text(index)
    with pytest.raises(InputError) as caught:
        open_dataset("shards", tmp_path)
    assert said in caught.value.message


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no tar files"):
        open_dataset("shards", tmp_path)
    with pytest.raises(InputError, match="there is no such file or folder"):
        open_dataset("shards", tmp_path / "gone")
    shard(tmp_path / "train.tar", a__json=labels())
    with pytest.raises(InputError, match="no usable samples: left out 1 labels without a picture") as caught:
        open_dataset("shards", tmp_path)
    assert "train.tar: a" in caught.value.message
    shard(tmp_path / "train.tar", a__json=labels(), a__png=picture())
    with pytest.raises(InputError, match="no shards for split 'val'"):
        open_dataset("shards", tmp_path, split="val")
    shard(tmp_path / "train.tar", a__json=labels(skeleton=None), a__png=picture())
    with pytest.raises(InputError, match="nor an index"):
        open_dataset("shards", tmp_path)


@pytest.mark.parametrize("factor", [0.9, float("inf"), float("nan"), "2", True])
def test_ignoring_outside_needs_a_factor(tmp_path: Path, factor: Any) -> None:
    shard(tmp_path / "train.tar", a__json=labels(), a__png=picture())
    with pytest.raises(UsageError, match="ignore_outside"):
        open_dataset("shards", tmp_path, ignore_outside=factor)


def test_ignoring_outside_keeps_every_labelled_person(tmp_path: Path) -> None:
    people = [{"joints": person(LSP14, x, 20, 0.3).tolist()} for x in (40, 150)]
    shard(tmp_path / "train.tar", a__json=labels(people=people), a__png=picture())
    (sample,) = open_dataset("shards", tmp_path, ignore_outside=1.2)
    ignored = sample.read_ignore((200, 220))
    assert ignored is not None
    for x, y in sample.joints[:, :, :2].reshape(-1, 2):
        assert not ignored[int(y), int(x)]
    assert ignored[100:].all()
    assert ignored[40, 95]


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_a_scale_that_nobody_has_is_computed_from_the_joints(tmp_path: Path, scale: float) -> None:
    people = [{"joints": person(LSP14).tolist(), "centre": [100, 110], "scale": scale}]
    shard(tmp_path / "train.tar", a__json=labels(people=people), a__png=picture())
    (sample,) = open_dataset("shards", tmp_path)
    np.testing.assert_allclose(sample.scales, [0.9], rtol=0.1)


def test_unknown_options_and_kinds_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="have no option 'masks'"):
        open_dataset("shards", tmp_path, masks="x")
    with pytest.raises(UsageError, match="no kind of data set 'shard'") as caught:
        open_dataset("shard", tmp_path)
    assert "Did you mean shards?" in caught.value.remedy


@pytest.mark.parametrize(
    ("kind", "option", "value", "said"),
    [
        ("shards", "name", 5, "name must be text, got 5"),
        ("shards", "name", datetime.date(2024, 1, 2), "name must be text, got 2024-01-02"),
        ("shards", "licence", 2011, "licence must be text, got 2011"),
        ("shards", "licence", None, "licence must be text, got None"),
        ("shards", "kind", 5, "have no option 'kind'"),
        ("shards", "path", 5, "have no option 'path'"),
        ("shards", "skips", 5, "have no option 'skips'"),
        ("coco", "images", 7, "images must be text, got 7"),
        ("coco", "min_joints", True, "min_joints must be a whole number, got True"),
        ("coco", "min_joints", 2.0, r"min_joints must be a whole number, got 2\.0"),
        ("coco", "min_joints", None, "min_joints must be a whole number, got None"),
        ("mpii", "images", ["a"], r"images must be text, got \['a'\]"),
        ("mpii", "masks", 5, "masks must be text, got 5"),
        ("mpii", "val", True, "val must be text, got True"),
        ("lsp", "val_from", True, "val_from must be a whole number, got True"),
        ("ltsh", "synthetic", 1, "synthetic must be true or false, got 1"),
    ],
)
def test_options_of_a_wrong_type_are_usage_errors(
    tmp_path: Path, kind: str, option: str, value: Any, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        open_dataset(kind, tmp_path, **{option: value})


@pytest.mark.parametrize(("kind", "path", "said"), [(5, "x", "kind must be text"), ("shards", 5, "path must be text")])
def test_kind_and_path_are_text(kind: Any, path: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        open_dataset(kind, path)


def test_threads_and_copies_read_the_same(tmp_path: Path) -> None:
    shades = range(40)
    members = {
        f"{n:02d}.{kind}": data for n in shades for kind, data in (("json", labels()), ("png", picture(shade=n)))
    }
    write_tar(tmp_path / "train.tar", members)
    dataset = pickle.loads(pickle.dumps(open_dataset("shards", tmp_path)))
    wrong: list[int] = []

    def read() -> None:
        wrong.extend(n for n in shades if dataset[n].read_image()[0, 0, 0] != n)

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["joints", "scale", "x"]), inner),
    max_leaves=8,
)


@given(
    person_changes=st.dictionaries(
        st.sampled_from(["joints", "centre", "scale", "is_synthetic", "trainable", "characteristics"]), json_values
    ),
    top_changes=st.dictionaries(
        st.sampled_from(["people", "joints", "width", "height", "ignore_boxes", "characteristics", "skeleton"]),
        json_values,
    ),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_labels_of_any_kind_are_read_or_refused(person_changes: dict[str, Any], top_changes: dict[str, Any]) -> None:
    data = {"skeleton": "lsp14", "people": [one() | person_changes]} | top_changes
    with suppress(InputError):
        found = read_labels(data, None, "here")
        assert all(p.joints.shape == (found.skeleton.num_joints, 3) for p in found.people)


def test_lspet_is_read_fast_and_whole(shared: Path) -> None:
    began = time.process_time()
    dataset = open_dataset("shards", shared / "data" / "lspet")
    took = time.process_time() - began
    assert took < 6, f"indexing took {took:.1f} s of one core"
    assert len(dataset) == 10_000
    assert dataset.skeleton == LSP14
    assert not dataset.skipped
    assert sum(s.split == "val" for s in dataset) == 1000
    sample = next(s for s in dataset if s.id == "val-00/im00003")
    assert sample.joints[0, 0].tolist() == [117.3, 118.5, 2]
    assert sample.joints[0, 6, 2] == 0
    assert sample.read_image().shape == (180, 180, 3)
    assert sample.to_skeleton(LTSH15).joints.shape == (1, 15, 3)


def test_the_documented_labels_are_read() -> None:
    text = (Path(__file__).parent.parent / "docs" / "data.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```json\n(.*?)^```$", text, re.M | re.S)
    data = json.loads(example)
    data["people"][0]["joints"] += [None] * 12
    found = read_labels(data, None, "docs/data.md")
    assert found.skeleton == LTSH15
    assert found.people[0].is_synthetic
    assert found.people[0].characteristics == {"camera_pitch": 12.5, "min_distance": 84.1, "visibility": 0.93}
    assert len(found.regions) == 1
