"""The three data sets from end to end, small: what is known of a picture agrees with itself and is read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import ltsh_deploy
from ltsh_deploy.cli.main import main
from ltsh_deploy.datasets import Sample, open_dataset
from ltsh_deploy.errors import ExitCode
from ltsh_deploy.skeletons import LSP14, LTSH15
from ltsh_deploy.train import synth_compiled, synth_run
from ltsh_deploy.train.synth_mixed import MixedIn, guess_camera
from ltsh_deploy.train.synth_scenes import PurelySynthetic
from ltsh_deploy.train.synth_stylised import Stylised, colour_map, stylise
from ltsh_deploy.train.synth_writers import find_shards, labels_of, read_shard
from tests.bvh_files import bvh
from tests.dataset_files import labels, mask, person, write_tar
from tests.synth_stub import InThisProcess

ROOT = Path(__file__).parent.parent
BVH_UNKNOWN = (
    "HIERARCHY\nROOT Box\n{\nOFFSET 0 0 0\nCHANNELS 3 Xrotation Yrotation Zrotation\nEnd Site\n{\nOFFSET 0 1 0\n}\n}\n"
    "MOTION\nFrames: 1\nFrame Time: 0.1\n0 0 0\n"
)
SMALL = PurelySynthetic(seed=5, people=3, pitch=(5, 40), size=(160, 128))


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synth_run, "ProcessPoolExecutor", InThisProcess)


@pytest.fixture(scope="module")
def made() -> list[dict[str, bytes]]:
    maker = SMALL.open()
    return [maker.make(index) for index in range(6)]


def photo(seed: int, width: int = 200, height: int = 220) -> npt.NDArray[np.uint8]:
    """Something with edges, colours and a little noise."""
    rng = np.random.default_rng(seed)
    picture = cv2.resize(rng.integers(40, 220, (6, 5, 3), np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)


def encoded(picture: npt.NDArray[np.uint8], kind: str = ".png") -> bytes:
    return bytes(cv2.imencode(kind, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1])


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three pictures with one or two standing people; the last picture has a mask."""
    two = [
        {"joints": person(LSP14, 60, 20).tolist(), "centre": [60, 110], "scale": 0.9},
        {"joints": person(LSP14, 150, 60, 0.6).tolist(), "centre": [150, 110], "scale": 0.54},
    ]
    ignored = np.zeros((220, 200), np.uint8)
    ignored[:, 150:] = 255
    members = {
        "a.png": encoded(photo(1)),
        "a.json": labels(),
        "b.png": encoded(photo(2)),
        "b.json": labels(people=two),
        "c.png": encoded(photo(3)),
        "c.json": labels(),
        "c.ignore.png": mask(ignored),
    }
    return write_tar(tmp_path_factory.mktemp("real") / "train-0.tar", members).parent


def mixed_in(dataset: Path, **changes: Any) -> MixedIn:
    options: dict[str, Any] = {
        "seed": 3, "kind": "shards", "dataset": dataset, "split": "train", "ignore_outside": None, "options": "{}",
        "per_image": 2, "people": 3.0,
    }  # fmt: skip
    return MixedIn(**(options | changes))


@pytest.fixture(scope="module")
def mixed_folder(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(synth_run, "ProcessPoolExecutor", InThisProcess)
        out = tmp_path_factory.mktemp("mixed") / "out"
        assert main(["synthesize", "mixed", str(real), "--per-image", "2", "--people", "3", "--out", str(out)]) == 0
    return out


def images_of(folder: Path) -> list[dict[str, bytes]]:
    return [members for shard in find_shards(folder).values() for _, members in read_shard(shard)]


def check_same(found: list[dict[str, bytes]], wanted: list[dict[str, bytes]]) -> None:
    """Without showing a picture's bytes where they differ."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert json.loads(one["json"]) == json.loads(other["json"])
        assert [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)] == []


def decoded(members: dict[str, bytes], name: str) -> npt.NDArray[Any]:
    picture = cv2.imdecode(np.frombuffer(members[name], np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


def test_a_picture_is_made_again_from_its_seed_and_number_alone(made: list[dict[str, bytes]]) -> None:
    again = SMALL.open()
    assert again.make(4) == made[4]
    assert again.make(1) == made[1]
    assert made[4] != made[1]


def test_another_seed_gives_another_picture(made: list[dict[str, bytes]]) -> None:
    from dataclasses import replace

    assert replace(SMALL, seed=6).open().make(0)["jpg"] != made[0]["jpg"]


def test_what_is_known_of_a_picture_agrees_with_itself(made: list[dict[str, bytes]]) -> None:
    for members in made:
        known = labels_of(members, "here")
        width, height = known["width"], known["height"]
        assert known["generator"]["version"] == ltsh_deploy.__version__
        assert decoded(members, "jpg").shape == (128, 160, 3)
        assert (width, height) == (160, 128)
        instances, depth = decoded(members, "instances.png"), decoded(members, "depth.png")
        kinds = decoded(members, "materials.png")
        assert ((instances > 0) == (depth > 0)).all()
        assert ((instances > 0) == (kinds > 0)).all()
        assert 5 - 1e-3 <= known["camera"]["pitch"] <= 40 + 1e-3
        assert known["placed"] <= known["asked"]
        assert set(np.unique(instances)) <= set(range(len(known["people"]) + 1))
        centres = np.array([p["centre"] for p in known["people"]])
        for p, someone in enumerate(known["people"]):
            joints = np.array([j or (np.nan, np.nan, 0) for j in someone["joints"]])
            states = someone["extra"]["states"]
            points = np.array(someone["extra"]["joints_3d"])
            camera = known["camera"]
            seen = points[:, :2] / points[:, 2:] * camera["focal"] + np.array(camera["principal"])
            # The torso's centre is the mean of two joints in the picture, which perspective moves a little.
            np.testing.assert_allclose(seen[:14], joints[:14, :2], atol=0.2)
            assert [s == "visible" for s in states] == (joints[:, 2] == 2).tolist()
            outside = (joints[:, :2] < -0.5).any(1) | (joints[:, :2] > np.array([width, height]) - 0.5).any(1)
            assert [s == "outside" for s in states[:14]] == outside[:14].tolist()
            values = someone["characteristics"]
            assert values["camera_pitch"] == pytest.approx(camera["pitch"], abs=1e-3)
            assert 0 <= values["visibility"] <= 1
            assert 0 <= values["cropped"] <= 1
            others = np.delete(np.hypot(*(centres - centres[p]).T), p)
            assert ("min_distance" in values) == (len(others) > 0)
            if len(others):
                assert values["min_distance"] == pytest.approx(others.min(), abs=1e-2)
            mine = instances == p + 1
            if mine.sum() > 50:
                assert abs(np.median(depth[mine]) / 1000 - np.median(points[:, 2])) < 0.5
            assert someone["extra"]["person"]["pose_parameters"]["name"]


def test_the_command_makes_what_the_recipe_makes_and_the_data_sets_read_it(
    tmp_path: Path, made: list[dict[str, bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["synthesize", "purely", "--out", str(tmp_path / "out"), "--people", "3", "--pitch", "5", "40"]
    line += ["--size", "160x128", "--seed", "5", "--shards", "3"]
    assert main([*line, "--count", "2"]) == 0
    assert main([*line, "--start", "4", "--count", "2", "--no-sheet"]) == 0
    assert main([*line, "--count", "6"]) == 0
    assert "2 pictures made" in capsys.readouterr().out
    names = [path.name for path in find_shards(tmp_path / "out").values()]
    assert names == [f"train-{a:08d}-{b:08d}.tar" for a, b in ((0, 1), (2, 2), (3, 3), (4, 5))]
    check_same(images_of(tmp_path / "out"), made)
    shards, entries = open_dataset("shards", tmp_path / "out"), open_dataset("ltsh", tmp_path / "out" / "ltsh")
    assert len(shards) == len(entries) == 6
    assert not shards.skipped
    # The folder's own name will do, too.
    assert [sample.id for sample in open_dataset("ltsh", tmp_path / "out")] == [sample.id for sample in entries]
    for sample, other, members in zip(shards, entries, made, strict=True):
        assert sample.is_synthetic.all()
        np.testing.assert_array_equal(sample.read_instances((160, 128)), decoded(members, "instances.png"))
        np.testing.assert_allclose(other.to_skeleton(LTSH15).joints[:, :14], sample.joints[:, :14], atol=2e-3)
        np.testing.assert_allclose(other.characteristics["visibility"], sample.characteristics["visibility"])


def test_photographs_are_used_where_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "flat.png").write_bytes(encoded(np.full((150, 200, 3), (10, 200, 40), np.uint8)))
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no picture")
    scene = PurelySynthetic(1, 1, (0, 10), (160, 128), tmp_path / "photos").open().scene(0)
    assert scene.place["photograph"] == "flat.png"
    background = scene.picture[scene.instances == 0].astype(int)
    assert np.median(background[:, 1] - background[:, 0]) > 100


def test_poses_come_from_motion_files_too_and_what_is_broken_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    motions = tmp_path / "motions"
    motions.mkdir()
    (motions / "walk.bvh").write_text(bvh([{"LeftUpLeg": (0.0, -20.0 - n, 0.0)} for n in range(4)]) + "1 2 oops\n")
    (motions / "alien.bvh").write_text(BVH_UNKNOWN)
    line = ["synthesize", "purely", "--count", "6", "--people", "4", "--size", "96", "--out", str(tmp_path / "out")]
    assert main([*line, "--mocap", str(motions)]) == 0
    told = capsys.readouterr().err
    assert "left out 1 of 2 motion files" in told
    assert "alien.bvh" in told
    known = [labels_of(members, "here") for members in images_of(tmp_path / "out")]
    names = [p["extra"]["person"]["pose_parameters"]["name"] for one in known for p in one["people"]]
    assert any("walk" in name for name in names)
    assert not all("walk" in name for name in names)
    assert known[0]["generator"]["mocap"]["files"] == 1
    (motions / "walk.bvh").write_text(bvh([{}]))
    assert main([*line, "--mocap", str(motions)]) == ExitCode.USAGE
    assert "mocap" in capsys.readouterr().err


def test_annotated_people_stay_as_they_are_but_for_what_is_covered(real: Path) -> None:
    maker, samples = mixed_in(real).open(), open_dataset("shards", real)
    covered_any = False
    for index in range(6):
        members = maker.make(index)
        known, sample = labels_of(members, "here"), samples[index // 2]
        instances = decoded(members, "instances.png")
        photograph = sample.read_image()
        assert decoded(members, "jpg").shape == photograph.shape
        own = [p for p in known["people"] if not p["is_synthetic"]]
        assert known["people"][: len(own)] == own
        assert set(np.unique(instances)) <= {0, *range(len(own) + 1, len(known["people"]) + 1)}
        before = sample.to_skeleton(LTSH15).joints
        for p, someone in enumerate(own):
            joints = np.array([j or (np.nan, np.nan, 0) for j in someone["joints"]])
            np.testing.assert_array_equal(joints[:, :2], before[p, :, :2])
            assert someone["scale"] == sample.scales[p]
            assert someone["centre"] == sample.centres[p].tolist()
            columns, rows = np.rint(joints[:14, :2]).astype(int).T
            hidden = instances[rows, columns] > 0
            np.testing.assert_array_equal(joints[:14, 2], np.where(hidden, 1, before[p, :14, 2]))
            covered_any |= bool(hidden.any())
        if "ignore.png" in members:
            np.testing.assert_array_equal(
                decoded(members, "ignore.png") > 0, (np.arange(200) >= 150)[None] & (instances == 0)
            )
    assert covered_any


def test_a_crowd_in_a_photograph_keeps_within_limits(real: Path) -> None:
    maker, samples = mixed_in(real, people=12.0).open(), open_dataset("shards", real)
    most_covered = most_hidden = 0.0
    for index in range(6):
        known = labels_of(members := maker.make(index), "here")
        instances = decoded(members, "instances.png")
        most_covered = max(most_covered, (instances > 0).mean())
        before = samples[index // 2].to_skeleton(LTSH15).joints
        tallest = samples[index // 2].scales.max()
        for someone, joints in zip(known["people"], before, strict=False):
            columns, rows = np.rint(joints[:, :2]).astype(int).T
            hidden = (instances[rows, columns] > 0) | (np.array(someone["joints"])[:, 2] < joints[:, 2])
            most_hidden = max(most_hidden, hidden.mean())
        assert all(p["scale"] <= 1.3 * tallest + 1e-4 for p in known["people"])
    assert 0.3 < most_covered <= 0.4
    assert 0.3 < most_hidden <= 0.5


def test_a_mixed_data_set_is_read_back_with_real_people_to_train_on(mixed_folder: Path, real: Path) -> None:
    shards, entries = open_dataset("shards", mixed_folder), open_dataset("ltsh", mixed_folder / "ltsh")
    assert len(shards) == len(entries) == 6
    for sample, other in zip(shards, entries, strict=True):
        assert (sample.trainable == ~sample.is_synthetic).all()
        np.testing.assert_array_equal(sample.is_synthetic, other.is_synthetic)
        np.testing.assert_allclose(other.to_skeleton(LTSH15).joints[:, :14], sample.joints[:, :14], atol=2e-3)
        assert np.isnan(sample.characteristics["camera_pitch"][~sample.is_synthetic]).all()
    assert images_of(mixed_folder)[3]["json"] == mixed_in(real, seed=0).open().make(3)["json"]


def test_pixels_that_no_person_or_shadow_reaches_stay_the_photographs(real: Path) -> None:
    scene = mixed_in(real).open().scene(0)
    photograph = open_dataset("shards", real)[0].read_image()
    same = (scene.picture == photograph).all(axis=2)
    reached = cv2.dilate((scene.instances > 0).astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    above = np.arange(220)[:, None] < np.flatnonzero((scene.instances > 0).any(axis=1)).min() - 10
    assert same[above & ~reached].all()
    assert same.mean() > 0.2


def test_people_in_a_photograph_without_colour_have_none(tmp_path: Path) -> None:
    grey = np.repeat(photo(4)[..., :1], 3, axis=2)
    write_tar(tmp_path / "train-0.tar", {"a.png": encoded(grey), "a.json": labels()})
    scene = mixed_in(tmp_path).open().scene(0)
    people = scene.picture[cv2.erode((scene.instances > 0).astype(np.uint8), np.ones((3, 3))) > 0].astype(int)
    assert len(people) > 100
    assert np.median(np.ptp(people, axis=1)) <= 8


@pytest.mark.parametrize(("size", "scale"), [((30, 40), 0.15), ((200, 220), 0.05)])
def test_pictures_and_people_too_small_are_passed_through(tmp_path: Path, size: tuple[int, int], scale: float) -> None:
    someone = {"joints": person(LSP14, 15, 5, 0.1).tolist(), "centre": [15, 15], "scale": scale}
    text = labels(people=[someone], width=size[0], height=size[1])
    write_tar(tmp_path / "train-0.tar", {"a.png": encoded(photo(1, *size)), "a.json": text})
    scene = mixed_in(tmp_path).open().scene(0)
    assert not scene.figures
    assert scene.rejected["picture_too_small"] == scene.asked > 0
    np.testing.assert_array_equal(scene.picture, open_dataset("shards", tmp_path)[0].read_image())


def test_a_damaged_real_picture_is_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = {"a.png": encoded(photo(1)), "a.json": labels(), "b.png": encoded(photo(2))[:900], "b.json": labels()}
    write_tar(tmp_path / "real" / "train-0.tar", members)
    line = ["synthesize", "mixed", str(tmp_path / "real"), "--per-image", "1", "--out", str(tmp_path / "out")]
    assert main(line) == ExitCode.BAD_INPUT
    assert "picture 1 is left out" in capsys.readouterr().err
    assert len(open_dataset("shards", tmp_path / "out")) == 1
    assert main(line) == ExitCode.BAD_INPUT
    told = capsys.readouterr()
    assert "1 of the pictures were left out before" in " ".join(told.err.split())
    assert "0 pictures made" in told.out
    assert "1 were there" in told.out
    assert main(["synthesize", "stylised", str(tmp_path / "out"), "--out", str(tmp_path / "st")]) == ExitCode.BAD_INPUT
    assert len(open_dataset("shards", tmp_path / "st")) == 1


def test_people_are_mixed_into_synthetic_pictures_too(tmp_path: Path) -> None:
    line = ["synthesize", "purely", "--count", "2", "--people", "2", "--size", "160", "--out", str(tmp_path / "first")]
    assert main([*line, "--no-sheet"]) == 0
    assert main(["synthesize", "mixed", str(tmp_path / "first"), "--out", str(tmp_path / "second")]) == 0
    assert main(["synthesize", "stylised", str(tmp_path / "second"), "--out", str(tmp_path / "third")]) == 0
    before, after = open_dataset("shards", tmp_path / "first"), open_dataset("shards", tmp_path / "third")
    assert len(after) == 10
    for index, sample in enumerate(after):
        first = before[index // 5]
        np.testing.assert_array_equal(sample.joints[: len(first), :, :2], first.joints[:, :, :2])
        np.testing.assert_array_equal(
            sample.characteristics["min_distance"][: len(first)],
            first.characteristics.get("min_distance", np.full(len(first), np.nan)),
        )


def test_a_picture_that_shows_nobody_annotated_gets_people_all_the_same() -> None:
    none, flags = np.zeros(0), np.zeros(0, bool)
    nobody = Sample("x", b"", LSP14, np.zeros((0, 14, 3)), np.zeros((0, 2)), none, flags, flags)
    camera, height = guess_camera(nobody, photo(1), np.random.default_rng(0))
    assert height == pytest.approx(0.6 * 220)
    assert camera.size == (200, 220)


def test_stylising_changes_the_pixels_of_synthetic_people_alone(mixed_folder: Path) -> None:
    members = images_of(mixed_folder)
    changed_any = False
    for one in members:
        picture = cv2.cvtColor(decoded(one, "jpg"), cv2.COLOR_BGR2RGB)
        kinds = decoded(one, "materials.png").astype(np.int8) - 1
        changed = stylise(picture, kinds, np.zeros(kinds.shape, bool), 0.8, np.random.default_rng(0))
        assert (changed[kinds < 0] == picture[kinds < 0]).all()
        changed_any |= bool((changed != picture).any())
    assert changed_any


def test_a_stylised_data_set_has_the_mixed_ones_labels(mixed_folder: Path, tmp_path: Path) -> None:
    assert main(["synthesize", "stylised", str(mixed_folder), "--out", str(tmp_path / "out"), "--seed", "2"]) == 0
    before, after = images_of(mixed_folder), images_of(tmp_path / "out")
    assert len(before) == len(after) == 6
    for one, other in zip(before, after, strict=True):
        old, new = json.loads(one["json"]), json.loads(other["json"])
        assert old.pop("generator")["kind"] == "mixed"
        assert new.pop("generator")["kind"] == "stylised"
        assert old == new
        assert {k: v for k, v in one.items() if k not in ("jpg", "json")} == {
            k: v for k, v in other.items() if k not in ("jpg", "json")
        }
    assert any(one["jpg"] != other["jpg"] for one, other in zip(before, after, strict=True))
    assert Stylised(2, mixed_folder, 0.8).open().make(4) == after[4]
    samples, originals = open_dataset("shards", tmp_path / "out"), open_dataset("shards", mixed_folder)
    for sample, original in zip(samples, originals, strict=True):
        np.testing.assert_array_equal(sample.joints, original.joints)


@pytest.mark.parametrize("damage", ["extra", "scale", "joints", "a joint"])
def test_labels_that_no_mixed_picture_has_are_named_with_their_shard(
    damage: str, mixed_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "mixed"
    changed.mkdir()
    (changed / "index.json").write_bytes((mixed_folder / "index.json").read_bytes())
    (shard,) = find_shards(mixed_folder).values()
    members = {}
    for number, files in read_shard(shard):
        known = json.loads(files["json"])
        if damage == "a joint":
            known["people"][0]["joints"].pop()
        else:
            del known["people"][0][damage]
        files["json"] = json.dumps(known).encode()
        members |= {f"{number:08d}.{extension}": data for extension, data in files.items()}
    write_tar(changed / shard.name, members)
    line = ["synthesize", "stylised", str(changed), "--count", "1", "--out", str(tmp_path / "out")]
    assert main(line) == ExitCode.BAD_INPUT
    told = " ".join(capsys.readouterr().err.split())
    assert f"{changed / shard.name}: 00000000: its labels are not those of a synthesised picture" in told
    assert f"Delete {changed / shard.name}" in told


def test_what_is_no_synthetic_person_changes_by_nothing_but_compression(mixed_folder: Path, tmp_path: Path) -> None:
    """The same JPEG settings once more leave most pixels as they are, and the others nearly so."""
    assert main(["synthesize", "stylised", str(mixed_folder), "--out", str(tmp_path / "out")]) == 0
    for one, other in zip(images_of(mixed_folder), images_of(tmp_path / "out"), strict=True):
        # JPEG works on blocks of 8 x 8 pixels; what is in one changes no other.
        people = decoded(one, "instances.png")[:216, :200].reshape(27, 8, 25, 8).any(axis=(1, 3))
        untouched = ~people.repeat(8, 0).repeat(8, 1)
        before, after = (decoded(members, "jpg")[:216, :200][untouched].astype(int) for members in (one, other))
        assert (before == after).mean() > 0.9
        assert np.abs(before - after).max() <= 4
    for folder, told in (
        (mixed_folder, "the photograph's, but for JPEG's"),
        (tmp_path / "out", "compression once more"),
    ):
        assert told in (folder / "datasheet.md").read_text()


def test_colours_move_towards_the_photographs() -> None:
    rng = np.random.default_rng(0)
    picture = np.full((80, 80, 3), (60, 90, 60), np.uint8)
    picture[20:60, 20:60] = rng.integers(120, 180, (40, 40, 3))
    kinds = np.full((80, 80), -1, np.int8)
    kinds[20:60, 20:60] = 1
    changed = stylise(picture, kinds, np.zeros((80, 80), bool), 1.0, rng)
    inner = (slice(30, 50), slice(30, 50))
    before = np.abs(picture[inner].reshape(-1, 3).mean(0) - (60, 90, 60)).sum()
    after = np.abs(changed[inner].reshape(-1, 3).mean(0) - (60, 90, 60)).sum()
    assert after < before - 10
    np.testing.assert_array_equal(stylise(picture, kinds * 0 - 1, kinds < 5, 1.0, rng), picture)


def test_a_map_of_colours_gives_the_targets_mean_and_covariance() -> None:
    rng = np.random.default_rng(1)
    source = (rng.normal(size=(4000, 3)) @ np.diag([10, 4, 3]) + [50, 5, 9]).astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    target = (rng.normal(size=(4000, 3)) @ np.diag([8, 5, 4]) @ turn + [40, 0, 3]).astype(np.float32)
    matrix, offset = colour_map(source, target)
    moved = source @ matrix.T + offset
    np.testing.assert_allclose(moved.mean(0), target.mean(0), atol=0.05)
    gains = np.linalg.svd(matrix)[1]
    assert gains.max() <= 1.8 + 1e-5
    assert gains.min() >= 0.5 - 1e-5
    if gains.max() < 1.79 and gains.min() > 0.51:
        np.testing.assert_allclose(np.cov(moved.T), np.cov(target.T), atol=0.5)


def test_people_get_the_grain_that_their_photograph_has_more_of() -> None:
    rng = np.random.default_rng(2)
    picture = np.full((160, 160, 3), 120.0)
    picture[:, 80:] += rng.normal(0, 5, (160, 80, 1))
    picture[:, :80] += rng.normal(0, 2, (160, 80, 1))
    kinds = np.where(np.arange(160) < 80, 1, -1).astype(np.int8)[None].repeat(160, 0)
    shown = np.rint(picture).astype(np.uint8)
    changed = stylise(shown, kinds, np.zeros((160, 160), bool), 0.0, rng)
    assert changed[:, :80].astype(float).std() == pytest.approx(5, rel=0.1)
    # Who has more already gets none, and where too little can be measured none is guessed.
    mirrored = np.ascontiguousarray(shown[:, ::-1])
    np.testing.assert_array_equal(stylise(mirrored, kinds, np.zeros((160, 160), bool), 0.0, rng), mirrored)
    few = np.full((160, 160), -1, np.int8)
    few[20:34, 20:34] = 1
    np.testing.assert_array_equal(stylise(shown, few, np.zeros((160, 160), bool), 0.0, rng), shown)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["purely", "--people", "0"], 2, "above 0"),
        (["purely", "--people", "-3"], 2, "above 0"),
        (["purely", "--people", "nan"], 2, "above 0"),
        (["purely", "--people", "1000"], 2, "up to 60"),
        (["purely", "--count", "0"], 2, "--count"),
        (["purely", "--pitch", "40", "10"], 2, "the smaller first"),
        (["purely", "--pitch", "nan", "nan"], 2, "the smaller first"),
        (["purely", "--size", "32"], 2, "at least 64"),
        (["purely", "--size", "big"], 2, "not a size"),
        (["purely", "--start", "99999999"], 2, "numbered up to"),
        (["purely", "--backgrounds", "{nowhere}"], 3, "no such folder"),
        (["purely", "--backgrounds", "{empty}"], 3, "holds no picture"),
        (["purely", "--backgrounds", "{unreadable}"], 3, "none of 1 pictures can be used"),
        (["purely", "--backgrounds", "{tiny}"], 3, "too few"),
        (["purely", "--mocap", "{empty}"], 3, "no BVH files"),
        (["purely", "--mocap", "{motions}"], 3, "unknown joints"),
        (["purely", "--out", "{file}"], 1, "not a folder"),
        (["mixed", "{nowhere}"], 3, "no such file"),
        (["mixed", "{empty}"], 3, "no tar files"),
        (["mixed", "{real}", "--people", "0"], 2, "above 0"),
        (["mixed", "{real}", "--kind", "nonsense"], 2, "no kind of data set"),
        (["mixed", "{real}", "--split", "val"], 3, "val"),
        (["mixed", "{real}", "--start", "500"], 2, "number 0 to"),
        (["mixed", "{real}", "--set", "colour=red"], 2, "no option"),
        (["mixed", "{real}", "--set", "split=val"], 2, "have options of their own"),
        (["mixed", "{real}", "--set", "ignore-outside=2"], 2, "have options of their own"),
        (["mixed", "{real}", "--set", "x=.nan"], 2, "--set x=.nan: a value cannot be kept"),
        (["mixed", "{real}", "--set", "x={{1: a, b: c}}"], 2, "a value cannot be kept"),
        (["mixed", "{real}", "--set", "x=&a [*a]"], 2, "a value cannot be kept"),
        (["mixed", "{real}", "--ignore-outside", "nan"], 2, "'nan' is not a finite number"),
        (["mixed", "{real}", "--ignore-outside", "inf"], 2, "'inf' is not a finite number"),
        (["mixed", "{real}", "--out", "{real}"], 2, "among what is read"),
        (["mixed", "{real}/train-0.tar", "--out", "{real}"], 2, "among what is read"),
        (["stylised", "{nowhere}"], 3, "no such folder"),
        (["stylised", "{real}"], 3, "no mixed data set"),
        (["stylised", "{real}", "--strength", "nan"], 2, "'nan' is not a finite number"),
        (["stylised", "{real}", "--strength", "inf"], 2, "not in the range"),
        (["stylised", "{empty}", "--out", "{empty}"], 2, "among what is read"),
        (["mixed", "{real}", "--out", "{real}/ltsh"], 2, "among what is read"),
        (["mixed", "{real}/ltsh/a.json", "--kind", "ltsh", "--out", "{real}"], 2, "among what is read"),
        (["mixed", "{real}", "--mocap", "{motions}", "--out", "{motions}/out"], 2, "among what is read"),
        (["stylised", "{empty}", "--out", "{empty}/deep/out"], 2, "among what is read"),
        (["purely", "--backgrounds", "{tiny}", "--out", "{tiny}"], 2, "among what is read"),
        (["purely", "--backgrounds", "{link}", "--out", "{tiny}/out"], 2, "among what is read"),
        (["purely", "--backgrounds", "{tiny}", "--out", "{link}/out"], 2, "among what is read"),
        (["purely", "--mocap", "{motions}", "--out", "{motions}/out"], 2, "among what is read"),
        (["purely", "--mocap", "{circle}"], 3, "no folder of motion files"),
    ],
)
def test_a_mistake_is_told_with_its_remedy(
    arguments: list[str], code: int, told: str, tmp_path: Path, real: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {name: tmp_path / name for name in ("nowhere", "empty", "unreadable", "tiny", "motions", "file")}
    for name in ("empty", "unreadable", "tiny", "motions"):
        places[name].mkdir()
    (places["unreadable"] / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 not much")
    (places["tiny"] / "a.png").write_bytes(encoded(np.zeros((12, 12, 3), np.uint8)))
    (places["motions"] / "a.bvh").write_text(BVH_UNKNOWN)
    places["file"].write_text("")
    places["real"] = real
    places["link"], places["circle"] = tmp_path / "link", tmp_path / "circle"
    places["link"].symlink_to(places["tiny"])
    places["circle"].symlink_to(places["circle"])
    line = [argument.format(**places) for argument in arguments]
    if line[0] == "purely" and "--count" not in line:
        line += ["--count", "2"]
    if "--out" not in line:
        line += ["--out", str(tmp_path / "out")]
    assert main(["synthesize", *line]) == code
    shown = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert told in shown
    assert "Traceback" not in shown


def test_without_numba_the_line_that_installs_it_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    assert main(["synthesize", "purely", "--count", "1", "--out", str(tmp_path / "o")]) == ExitCode.MISSING_PART
    assert "synth]" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_compiled_code_has_a_place_where_nothing_can_be_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import numba

    def refuse(name: str) -> None:
        raise RuntimeError("cannot cache function 'lattice_value': no locator available for file 'synth_noise.py'")

    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setattr(synth_compiled.importlib, "import_module", refuse)
    monkeypatch.setattr(synth_compiled, "import_part", lambda *_: numba)
    synth_compiled.prepare_numba()
    assert Path(os.environ["NUMBA_CACHE_DIR"]).is_dir()
    assert os.environ["NUMBA_CACHE_DIR"] == numba.config.CACHE_DIR
    assert "NUMBA_CACHE_DIR names one" in caplog.text


def test_the_generator_needs_no_torch() -> None:
    code = (
        "import ltsh_deploy.train.synth_mixed, ltsh_deploy.train.synth_scenes, ltsh_deploy.train.synth_stylised, sys\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


@pytest.mark.slow
def test_worker_processes_make_the_same(
    tmp_path: Path, made: list[dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    line = ["synthesize", "purely", "--out", str(tmp_path / "out"), "--people", "3", "--pitch", "5", "40"]
    assert main([*line, "--size", "160x128", "--seed", "5", "--count", "4", "--workers", "2", "--no-sheet"]) == 0
    check_same(images_of(tmp_path / "out"), made[:4])
