"""``ltsh data check`` tells what is in a data set and what is wrong; ``ltsh data show`` draws it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ltsh_deploy.cli.data_pictures import draw_sample
from ltsh_deploy.cli.main import main
from ltsh_deploy.datasets import open_dataset
from ltsh_deploy.datasets.checks import check_dataset
from ltsh_deploy.images import read_image
from ltsh_deploy.skeletons import LSP14
from tests.dataset_files import labels, ltsh_entry, ltsh_set, mask, person, picture, shard


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """Three pictures of one person each, one of them for validation."""
    for n, name in enumerate(("train-0", "train-1", "val-0")):
        shard(tmp_path / "set" / f"{name}.tar", a__json=labels(), a__png=picture(shade=50 + n))
    return tmp_path / "set"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def report(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    code, out, _ = run(capsys, "data", "check", *arguments, "--json")
    found: dict[str, Any] = json.loads(out)
    return code, found


@pytest.mark.parametrize("read", [[], ["--read"]])
def test_a_sound_data_set(sound: Path, capsys: pytest.CaptureFixture[str], read: list[str]) -> None:
    code, found = report(capsys, "shards", sound, *read)
    assert code == 0
    assert not found["broken"]
    assert not found["findings"]
    assert found["samples"] == {"train": 2, "val": 1}
    assert found["people"]["all"] == found["people"]["trainable"] == found["people"]["real"] == 3
    assert found["joints"]["neck"] == {"labelled": 3, "visible": 3}
    assert found["outside"] == {"joints": 0, "people": 0, "pictures_of_unknown_size": 0}
    assert found["height_px"]["median"] == 180
    code, found = report(capsys, "shards", sound, "--split", "val")
    assert found["samples"] == {"train": 0, "val": 1}


def test_the_text_says_the_same(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "data", "check", "shards", sound)
    assert code == 0
    assert "2 for training, 1 for validation" in out
    assert "Nothing is broken." in out
    assert not err


def test_joints_outside_and_histograms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = [
        {"joints": person(LSP14, x).tolist(), "characteristics": {} if x == 150 else {"camera_pitch": x}}
        for x in (100, 5, 150, 198)
    ]
    shard(tmp_path / "train.tar", a__json=labels(people=people), a__png=picture())
    _, found = report(capsys, "shards", tmp_path / "train.tar")
    # At 5 the right side, but for the hip and the leg at -6 all of it; at 198 the left side.
    assert found["outside"]["people"] == 2
    assert found["outside"]["joints"] == 2 * 6
    histogram = found["characteristics"]["camera_pitch"]
    assert (histogram["known"], histogram["unknown"]) == (3, 1)
    assert histogram["counts"] == [1, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert histogram["edges"][0] == 5
    assert histogram["edges"][-1] == 198
    _, out, _ = run(capsys, "data", "check", "shards", tmp_path)
    assert "camera_pitch: known for 3 people, unknown for 1" in out


@pytest.mark.parametrize("values", [[5.0, 5.0], [1e300, -1e300], [1e15, 1e15 + 0.125], [np.nan, np.nan]])
def test_histograms_of_any_range(tmp_path: Path, capsys: pytest.CaptureFixture[str], values: list[float]) -> None:
    people = [
        {"joints": person(LSP14).tolist(), "characteristics": {"x": None if np.isnan(value) else value}}
        for value in values
    ]
    shard(tmp_path / "train.tar", a__json=labels(people=people), a__png=picture())
    code, found = report(capsys, "shards", tmp_path)
    assert code == 0
    for histogram in found["characteristics"].values():
        assert sum(histogram["counts"]) == histogram["known"]
    assert run(capsys, "data", "check", "shards", tmp_path)[0] == 0


def test_what_is_wrong_makes_the_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = picture(shade=50)
    shard(
        tmp_path / "train.tar",
        a__json=labels(),
        a__png=data,
        b__json=labels(),
        b__png=data[:-20],
        c__json=labels(),
        c__png=b"no picture",
        d__json=b"{",
        d__png=data,
        e__json=labels(),
        e__png=picture(shade=51),
        e__ignore__png=mask(np.zeros((10, 10), np.uint8)),
        f__json=labels(people=[{"joints": person(LSP14).tolist(), "centre": [1, 1], "scale": 1}]),
        f__png=picture(shade=52),
        f__instances__png=mask(np.full((220, 200), 2, np.uint8)),
        g__json=labels(),
        g__png=picture(shade=53),
        g__ignore__png=mask(np.full((220, 200), 255, np.uint8)),
        h__json=labels(),
        h__png=data,
    )
    shard(tmp_path / "val.tar", a__json=labels(), a__png=data)
    code, found = report(capsys, "shards", tmp_path, "--read")
    assert code == 3
    assert found["broken"]
    counts = {finding["what"]: finding["count"] for finding in found["findings"]}
    assert counts == {
        "labels that are not JSON": 1,
        "pictures that cannot be read": 2,
        "masks that cannot be read": 1,
        "instance masks of more people than are labelled": 1,
        "pictures that are ignored as a whole": 1,
        "pictures that are there twice": 1,
        "pictures that are in both splits": 1,
    }
    notes = {finding["what"] for finding in found["findings"] if not finding["broken"]}
    assert notes == {"pictures that are there twice"}
    code, out, err = run(capsys, "data", "check", "shards", tmp_path)
    assert code == 3
    assert "BROKEN: 2 pictures that cannot be read" in out
    assert "The data set is broken." in out
    assert "1 labels that are not JSON" in err


def test_rules_of_a_format_are_no_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ltsh_set(tmp_path, ltsh_entry(), ltsh_entry(isValidation="_NaN_"))
    code, found = report(capsys, "ltsh", file)
    assert code == 0
    (note,) = found["findings"]
    assert note["what"] == "entries whose isValidation is not a number"
    assert not note["broken"]


def test_files_that_vanish_are_found(tmp_path: Path) -> None:
    dataset = open_dataset("ltsh", ltsh_set(tmp_path, ltsh_entry()))
    (tmp_path / "a.png").unlink()
    for read in (False, True):
        found = check_dataset(dataset, read=read)
        assert found.is_broken
        assert found.findings.counts == {"pictures that cannot be read": 1}
    assert not dataset.skips.counts


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["shard", "."], 2, "Did you mean shards?"),
        (["shards", "gone"], 3, "gone: there is no such file or folder"),
        (["shards", ".", "--set", "images"], 2, "expected KEY=VALUE"),
        (["shards", ".", "--set", "images=[1"], 2, "the value is not YAML"),
        (["shards", ".", "--set", "images=x"], 2, "have no option 'images'"),
        (["shards", ".", "--set", "name=2024-13-45"], 2, "the value is not YAML: month must be in"),
        (["shards", ".", "--set", "name={a: 1, a: 2}"], 2, "the value has the key 'a' twice"),
        (["shards", ".", "--set", "name=5"], 2, "name must be text, got 5"),
        (["shards", ".", "--set", "kind=5"], 2, "have no option 'kind'"),
        (["coco", ".", "--set", "images=7"], 2, "images must be text, got 7"),
        (["mpii", ".", "--set", "val=true"], 2, "val must be text, got True"),
        (["shards", ".", "--set", "split=val"], 2, "--split"),
        (["shards", ".", "--set", "ignore-outside=2"], 2, "--ignore-outside"),
        (["shards", ".", "--ignore-outside", "0.5"], 2, "ignore-outside"),
        (["shards"], 2, "PATH"),
        (["lsp", "."], 3, "joints.mat: there is no such file"),
        (["coco", "."], 3, "person_keypoints"),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    got, _, err = run(capsys, "data", "check", *arguments)
    assert got == code
    assert said in err
    assert "Traceback" not in err


def test_options_of_a_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ltsh_set(tmp_path, ltsh_entry(isSynth=False))
    code, found = report(capsys, "ltsh", file, "--set", "synthetic=true", "--set", f"images={tmp_path}")
    assert code == 0
    assert found["people"]["synthetic"] == 1


def shown(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {path.name: read_image(path) for path in sorted(folder.iterdir())}


def test_show_draws_people_and_what_is_ignored(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "shown"
    line = ("data", "show", "shards", sound, "--out", out, "--crops", 0, "--ignore-outside", 1.2)
    assert run(capsys, *line)[:2] == (0, f"3 pictures in {out}\n")
    pictures = shown(out)
    assert list(pictures) == ["0000_train-0_a.jpg", "0001_train-1_a.jpg", "0002_val-0_a.jpg"]
    drawn = pictures["0000_train-0_a.jpg"].astype(int)
    ratio = drawn.shape[1] / 200
    background = drawn[round(40 * ratio), round(75 * ratio)]
    outside = drawn[round(100 * ratio) - 1, 5]
    limb = drawn[round(115 * ratio), round(111 * ratio)]
    assert abs(background - 50).max() < 12
    assert abs(outside - background).max() > 20
    assert abs(limb - background).max() > 40


def test_show_draws_crops_with_their_maps(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    line = ("data", "show", "shards", sound, "--count", 2, "--crops", 2, "--seed", 5, "--out")
    assert run(capsys, *line, tmp_path / "one")[:2] == (0, f"6 pictures in {tmp_path / 'one'}\n")
    run(capsys, *line, tmp_path / "two")
    first, second = shown(tmp_path / "one"), shown(tmp_path / "two")
    assert list(first) == list(second)
    for name, image in first.items():
        np.testing.assert_array_equal(image, second[name])
    crops = [image for name, image in first.items() if "crop" in name]
    assert {image.shape for image in crops} == {(2 * (368 + 22), 2 * 368, 3)}
    assert not np.array_equal(crops[0], crops[1])
    heatmaps = crops[0][:368, 368:].astype(int)
    assert (heatmaps.max(axis=2) > 150).sum() > 50


def test_show_follows_a_training_configuration(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    config = tmp_path / "train.yaml"
    sets = {"s": {"kind": "shards", "path": str(sound)}}
    config.write_text(json.dumps({"size": [128, 192], "data": {"sets": sets, "mix": {"s": 1}}}))
    line = ("data", "show", "shards", sound, "--count", 1, "--out", tmp_path / "out", "--config")
    assert run(capsys, *line, config)[0] == 0
    (crop,) = [image for name, image in shown(tmp_path / "out").items() if "crop" in name]
    assert crop.shape == (2 * (192 + 22), 2 * 128, 3)
    assert run(capsys, *line, tmp_path / "gone.yaml")[0] == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": {"name": "nope"}}, "train.yaml: network.name: there is no network 'nope'"),
        ({"network": {"config": {"nope": 1}}}, "train.yaml: network.config: network ltsh_light has no"),
        ({"size": [60, 70]}, "train.yaml: size: both sides must be multiples of 8, got [60, 70]"),
        ({"skeleton": "nope"}, "nope"),
    ],
)
def test_show_refuses_what_training_refuses(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], said: str
) -> None:
    pytest.importorskip("torch")
    config = tmp_path / "train.yaml"
    sets = {"s": {"kind": "shards", "path": str(sound)}}
    config.write_text(json.dumps({"data": {"sets": sets, "mix": {"s": 1}}} | changes))
    code, _, err = run(capsys, "data", "show", "shards", sound, "--out", tmp_path / "out", "--config", config)
    assert code == 3
    assert said in err
    assert "unexpected" not in err
    assert not (tmp_path / "out").exists()


def test_show_composes_and_colours_crops_as_training_does(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    config = tmp_path / "train.yaml"
    sets = {"s": {"kind": "shards", "path": str(sound)}}

    def crop(**changes: Any) -> Any:
        options = {"size": [128, 128], "crop": {"zoom": [1, 1]}, "targets": {"sigma": 7}}
        config.write_text(json.dumps({"data": {"sets": sets, "mix": {"s": 1}}} | options | changes))
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        line = ("data", "show", "shards", sound, "--count", 1, "--out", out, "--config", config)
        assert run(capsys, *line)[0] == 0
        (found,) = [image for name, image in shown(out).items() if "crop" in name]
        return found.astype(int)

    plain = crop()
    # Four people's heads and feet, and what is between the tiles of a mosaic.
    heat = [(image[:128, 128:].max(axis=2) > 150).sum() for image in (plain, crop(compose={"mosaic": 1}))]
    assert heat[1] > 1.5 * heat[0]
    bright = crop(colour={"brightness": 1})
    assert abs(bright[:128, :128] - plain[:128, :128]).mean() > 20
    sharp = crop(targets={"sigma": 3})
    assert (sharp[:128, 128:].max(axis=2) > 150).sum() < 0.7 * heat[0]


def test_show_draws_no_crops_where_nobody_can_be_in_the_middle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    people = [{"joints": person(LSP14).tolist(), "trainable": False}]
    shard(tmp_path / "train.tar", a__json=labels(people=people), a__png=picture())
    code, out, err = run(capsys, "data", "show", "shards", tmp_path / "train.tar", "--out", tmp_path / "out")
    assert (code, out) == (0, f"1 pictures in {tmp_path / 'out'}\n")
    assert "nobody to train on" in err


def test_show_goes_on_after_a_picture_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard(tmp_path / "train.tar", a__json=labels(), a__png=b"damaged", b__json=labels(), b__png=picture())
    code, out, err = run(capsys, "data", "show", "shards", tmp_path, "--out", tmp_path / "out", "--crops", 0)
    assert code == 3
    assert "train.tar: a.png" in err
    assert out.startswith("1 pictures")


def test_show_says_when_it_cannot_write(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_bytes(b"")
    code, _, err = run(capsys, "data", "show", "shards", sound, "--out", tmp_path / "file" / "x", "--crops", 0)
    assert code == 1
    assert "could not be written" in err


def test_quiet_stands_anywhere(sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shard(sound / "test.tar", a__json=labels(), a__png=picture())
    assert run(capsys, "data", "check", "shards", sound)[2]
    for line in (("-q", "data", "check"), ("data", "-q", "check"), ("data", "check", "-q")):
        code, _, err = run(capsys, *line, "shards", sound)
        assert (code, err) == (0, "")


@pytest.mark.parametrize("size", [(1, 1), (3000, 20), (20, 3000), (2400, 1800)])
def test_pictures_of_any_size_are_drawn(tmp_path: Path, size: tuple[int, int]) -> None:
    shard(tmp_path / "train.tar", a__json=labels(width=None), a__png=picture(*size))
    (sample,) = open_dataset("shards", tmp_path, ignore_outside=1.5)
    drawn = draw_sample(sample)
    assert max(drawn.shape[0] - 22, drawn.shape[1]) <= 1600
    assert cv2.imencode(".jpg", drawn)[0]


def test_lspet_can_be_looked_at(shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = report(capsys, "shards", shared / "data" / "lspet", "--split", "val")
    assert code == 0
    assert found["people"]["all"] == 1000
    assert found["joints"]["head_top"]["labelled"] > 900
    line = ("data", "show", "shards", shared / "data" / "lspet", "--split", "val", "--count", 2, "--crops", 0)
    assert run(capsys, *line, "--out", tmp_path)[0] == 0
    assert len(shown(tmp_path)) == 2
