"""The tail: which pictures are turned, and that joints and masks go with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsh_deploy.errors import InputError
from ltsh_deploy.images import read_image
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.synth_writers import ShardWriter, encode_members, find_shards, labels_of, read_shard
from studies.ltsh.turned import LOTS, TURNED_LOT, write_tail, write_turned

WIDTH, HEIGHT = 72, 48


def drawn(number: int) -> dict[str, bytes]:
    """A picture with a white square at the centre of one person, who has three joints."""
    rng = np.random.default_rng(number)
    x, y = int(rng.integers(8, WIDTH - 8)), int(rng.integers(8, HEIGHT - 8))
    picture, instances = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    picture[y - 4 : y + 5, x - 4 : x + 5] = 255
    instances[y - 4 : y + 5, x - 4 : x + 5] = 1
    joints = [None] * LTSH15.num_joints
    joints[LTSH15.joints.index("left_wrist")] = [x - 3.5, y + 1.25, 2]
    joints[LTSH15.joints.index("right_wrist")] = [x + 3.5, y, 1]
    person = {
        "joints": joints,
        "centre": [x, y],
        "scale": 0.5,
        "is_synthetic": True,
        "characteristics": {"camera_pitch": 12.5},
    }
    labels = {"skeleton": "ltsh15", "width": WIDTH, "height": HEIGHT, "people": [person], "camera": {"pitch": 12.5}}
    return encode_members(picture, labels, {"instances.png": instances, "depth.png": instances})


def write_source(folder: Path, split: str = "train", count: int = 2 * LOTS + 3) -> Path:
    folder.mkdir()
    for first in range(0, count, 15):
        with ShardWriter(folder, split, first) as writer:
            for number in range(first, min(first + 15, count)):
                writer.add(drawn(number))
    return folder


def pictures(folder: Path) -> dict[int, dict[str, bytes]]:
    return {number: members for path in find_shards(folder).values() for number, members in read_shard(path)}


def only_person(members: dict[str, bytes]) -> dict[str, Any]:
    (person,) = labels_of(members, "here")["people"]
    return dict(person)


def instances_of(members: dict[str, bytes]) -> Any:
    return cv2.imdecode(np.frombuffer(members["instances.png"], np.uint8), cv2.IMREAD_UNCHANGED)


def test_pictures_of_the_last_lot_alone_are_turned(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source")
    assert write_tail(source, tmp_path / "tail") == 2 * LOTS + 3
    before, after = pictures(source), pictures(tmp_path / "tail")
    assert before.keys() == after.keys()
    for number, members in after.items():
        old, new = only_person(before[number]), only_person(members)
        assert new["characteristics"] == {"camera_pitch": 12.5, "lot": number % LOTS}
        turned = number % LOTS == TURNED_LOT
        assert (members["jpg"] == before[number]["jpg"]) is not turned
        assert (new["joints"] == old["joints"]) is not turned
        assert np.array_equal(instances_of(members), instances_of(before[number])) is not turned
        # What was known of the camera does not hold any more.
        assert "camera" not in labels_of(members, "here")


def test_joints_and_masks_go_where_the_picture_goes(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", "val")
    write_turned(source, tmp_path / "turned")
    assert [path.name for path in find_shards(tmp_path / "turned").values()] == [
        path.name for path in find_shards(source).values()
    ]
    for number, members in pictures(tmp_path / "turned").items():
        person, old = only_person(members), only_person(pictures(source)[number])
        bright = np.argwhere(read_image(members["jpg"], "here")[..., 0] > 128)
        seen = np.argwhere(instances_of(members) == 1)
        assert bright.mean(axis=0)[::-1] == pytest.approx(person["centre"], abs=0.2)
        assert seen.mean(axis=0)[::-1] == pytest.approx(person["centre"])
        left, right = (LTSH15.joints.index(f"{side}_wrist") for side in ("left", "right"))
        # What was to the left and below of the centre is to the right and above; whose left it is stays.
        assert np.subtract(person["joints"][left][:2], person["centre"]) == pytest.approx([3.5, -1.25])
        assert [joint is None for joint in person["joints"]] == [joint is None for joint in old["joints"]]
        assert (person["joints"][left][2], person["joints"][right][2]) == (2, 1)
        assert "lot" not in person["characteristics"]


@given(number=st.integers(0, 10**6))
def test_a_picture_turned_twice_is_what_it_was(number: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("twice")
    with ShardWriter(folder, "val", 0) as writer:
        writer.add(drawn(number))
    write_turned(folder, folder / "once")
    write_turned(folder / "once", folder / "twice")
    (before,), (after,) = pictures(folder).values(), pictures(folder / "twice").values()
    assert only_person(before) == only_person(after)
    assert np.array_equal(instances_of(before), instances_of(after))


def test_a_mask_that_is_missing_is_named(tmp_path: Path) -> None:
    members = drawn(0)
    del members["instances.png"]
    with ShardWriter(tmp_path, "train", 0) as writer:
        writer.add(members)
    with pytest.raises(InputError, match=r"00000000: its instances\.png is missing or damaged"):
        write_turned(tmp_path, tmp_path / "turned")
