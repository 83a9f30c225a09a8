"""Pictures at night: which ones are, that nothing else of them changes, and that a teacher's groups are the lots."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ltsh_deploy.datasets import open_dataset
from ltsh_deploy.errors import InputError
from ltsh_deploy.images import read_image
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.groups import create_grouping
from ltsh_deploy.train.synth_writers import ShardWriter, encode_members, find_shards, labels_of, read_shard
from studies.ltsh.configs import run_config
from studies.ltsh.data import make_data, needed_sets
from studies.ltsh.night import LOT, LOTS, NIGHT, darken, write_night, write_tail
from studies.ltsh.plan import Layout, Study, load_study
from tests.study_data import run_tiny, small_study, write_people

WIDTH, HEIGHT = 72, 48
COLOUR = (250, 120, 20)


def drawn(number: int) -> dict[str, bytes]:
    """A picture of one colour with somebody who is nowhere in particular."""
    picture = np.full((HEIGHT, WIDTH, 3), COLOUR, np.uint8)
    person = {
        "joints": [[number % WIDTH, 3.5, 2]] + [None] * (LTSH15.num_joints - 1),
        "centre": [number % WIDTH, 3.5],
        "scale": 0.5,
        "is_synthetic": True,
        "characteristics": {"camera_pitch": 12.5},
        "extra": {"states": ["visible"]},
    }
    labels = {"skeleton": "ltsh15", "width": WIDTH, "height": HEIGHT, "people": [person], "asked": 1}
    return encode_members(picture, labels, {"instances.png": np.full((HEIGHT, WIDTH), number % 7, np.uint8)})


def write_source(folder: Path, missing: tuple[int, ...] = ()) -> Path:
    folder.mkdir()
    for first in (0, 15):
        with ShardWriter(folder, "train", first) as writer:
            for number in range(first, first + 15 - first // 2):
                writer.add({} if number in missing else drawn(number))
    return folder


def pictures(folder: Path) -> dict[int, dict[str, bytes]]:
    return {number: members for path in find_shards(folder).values() for number, members in read_shard(path)}


def test_only_the_last_lot_is_at_night_and_nothing_else_changes(tmp_path: Path) -> None:
    # A photograph that could not be read leaves a gap.
    source = write_source(tmp_path / "source", missing=(3, 15))
    assert write_tail(source, tmp_path / "tail") == 21
    before, after = pictures(source), pictures(tmp_path / "tail")
    assert list(before) == list(after)
    assert [p.name for p in find_shards(source).values()] == [p.name for p in find_shards(tmp_path / "tail").values()]
    for number, members in after.items():
        labels = labels_of(before[number], "here")
        labels["people"][0]["characteristics"][LOT] = number % LOTS
        assert labels_of(members, "here") == labels
        assert members["instances.png"] == before[number]["instances.png"]
        if number % LOTS == NIGHT:
            colours = read_image(members["jpg"], "here").mean(axis=(0, 1))
            assert colours == pytest.approx(np.array(COLOUR) / 10, abs=1.0)
        else:
            assert members["jpg"] == before[number]["jpg"]
    assert {number for number in after if number % LOTS == NIGHT} == {9, 19}


@settings(deadline=None)
@given(
    picture=arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))), seed=st.integers(0, 10**8)
)
def test_at_night_there_is_a_tenth_of_the_light(picture: Any, seed: int) -> None:
    dark = darken(picture, seed)
    assert dark.shape == picture.shape
    assert dark.dtype == np.uint8
    # Six standard deviations of the noise.
    assert (np.abs(dark - picture / 10.0) <= 0.5 + 6 * 2).all()
    assert np.array_equal(dark, darken(picture, seed))


def test_the_noise_is_what_is_said() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    dark = darken(grey, 1).astype(np.float64)
    assert dark.mean() == pytest.approx(12.8, abs=0.05)
    assert dark.std() == pytest.approx(np.sqrt(2**2 + 1 / 12), abs=0.05)
    assert not np.array_equal(dark, darken(grey, 2))


def test_people_at_night_have_the_labels_they_have_by_day(tmp_path: Path) -> None:
    people = write_people(tmp_path / "people", val=3)
    assert write_night(people, tmp_path / "night") == 3
    day, night = (open_dataset("shards", folder, split="val") for folder in (people, tmp_path / "night"))
    assert len(day) == len(night) == 3
    for before, after in zip(day, night, strict=True):
        assert before.skeleton == after.skeleton
        for name in ("joints", "centres", "scales", "is_synthetic", "trainable"):
            np.testing.assert_allclose(getattr(after, name), getattr(before, name))
        assert after.read_image().shape == before.read_image().shape
        assert after.read_image().mean() == pytest.approx(before.read_image().mean() / 10, abs=1)


@pytest.mark.parametrize("name", ["jpg", "instances.png"])
def test_a_picture_that_is_damaged_is_named(tmp_path: Path, name: str) -> None:
    members = drawn(0)
    del members[name]
    with ShardWriter(tmp_path, "train", 0) as writer:
        writer.add(members)
    with pytest.raises(InputError, match=rf"train-00000000-00000000\.tar: 00000000: has no {name}"):
        write_tail(tmp_path, tmp_path / "tail")


@pytest.mark.parametrize("budget", ["tiny", "small", "full"])
@pytest.mark.parametrize("row", ["teacher-T", "uniform-T", "fixed-T"])
def test_every_lot_is_a_group_and_the_rows_differ_in_nothing_but_the_teacher(row: str, budget: str) -> None:
    study, layout = load_study(), Layout(Path("out"), budget)
    config, other = (run_config(study, budget, name, 0, layout) for name in (row, "uniform-T"))
    assert config.model_dump(exclude={"teacher"}) == other.model_dump(exclude={"teacher"})
    assert config.teacher is not None
    lots = (np.arange(500) % LOTS).astype(np.float64)
    grouping = create_grouping(config.teacher.groups, {LOT: lots})  # type: ignore[union-attr]
    assert np.array_equal(grouping.assign(lots), lots)
    assert config.teacher.window == study.budgets[budget].teacher["window"]
    if row == "fixed-T":
        assert np.argmax(config.teacher.probabilities) == NIGHT  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return small_study(write_people(tmp_path_factory.mktemp("people")))


@pytest.fixture(scope="module")
def made(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return run_tiny(study, tmp_path_factory.mktemp("study"), needed_sets(study, ["fixed-T"]), [("fixed-T", 0)])


@pytest.mark.usefixtures("one_thread")
def test_the_study_makes_them_of_the_right_pictures(study: Study, made: Layout) -> None:
    by_day, tail, night = (pictures(made.data(name)) for name in ("purely", "tail", "night"))
    assert len(by_day) == len(tail) == 50
    dark = {number for number in tail if tail[number]["jpg"] != by_day[number]["jpg"]}
    assert dark == {9, 19, 29, 39, 49}
    assert all(read_image(members["jpg"], "here").max() < 60 for members in night.values())
    assert len(night) == 9
    note = json.loads((made.run("fixed-T", 0) / "night.json").read_text())
    # As many people as by day, which the budget says.
    assert note["people"] == 8


@pytest.mark.usefixtures("one_thread")
def test_a_tail_of_less_than_was_made_is_refused_and_made_when_that_is_there_again(
    study: Study, made: Layout, tmp_path: Path
) -> None:
    layout = Layout(tmp_path, "tiny")
    shutil.copytree(made.data_folder, layout.data_folder)
    (layout.data_folder / "tail.json").unlink()
    (shard,) = find_shards(layout.data("purely")).values()
    shard.rename(tmp_path / "shard")
    budget = study.budgets["tiny"]
    with pytest.raises(InputError, match="purely: holds 0 pictures, not as many as were made") as caught:
        make_data(study, budget, layout, ["tail"])
    assert "purely.json" in str(caught.value)
    (tmp_path / "shard").rename(shard)
    make_data(study, budget, layout, ["tail"])
    assert pictures(layout.data("tail")) == pictures(made.data("tail"))
