"""What a synthesised data set notes of the data that it was made of, by which it refuses to go on with other data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ltsh_deploy
from ltsh_deploy.datasets import SampleList, open_dataset
from ltsh_deploy.datasets.regions import RunLengths, box_polygon
from ltsh_deploy.errors import UsageError
from ltsh_deploy.skeletons import LSP14
from ltsh_deploy.train.synth_digests import digest_of_files, digest_of_samples
from ltsh_deploy.train.synth_folder import INDEX, claimed
from ltsh_deploy.train.synth_mixed import MixedIn
from ltsh_deploy.train.synth_run import Recipe
from ltsh_deploy.train.synth_scenes import PurelySynthetic
from ltsh_deploy.train.synth_stylised import Stylised
from tests.bvh_files import bvh
from tests.dataset_files import labels, ltsh_entry, ltsh_set, person, picture, shard


def real(folder: Path, name: str = "a", kind: str = ".png", **changes: Any) -> Path:
    """A data set of one picture."""
    members = {f"{name}__json": labels(**changes), f"{name}__{kind[1:]}": picture(kind=kind)}
    return shard(folder / "train-0.tar", **members).parent


def mixed_in(dataset: Path, seed: int = 0) -> MixedIn:
    return MixedIn(seed, "shards", dataset, "train", None, "{}", 5, 4.0)


def mixed_folder(folder: Path, dataset: Path) -> Path:
    with claimed(folder, mixed_in(dataset).record(), range(5)):
        return folder


ANOTHER: dict[str, Callable[[Path], Path]] = {
    "another id": lambda folder: real(folder, name="b"),
    "another size of the file": lambda folder: real(folder, kind=".jpg"),
    "joints elsewhere": lambda folder: real(
        folder, people=[{"joints": person(LSP14, 101).tolist(), "centre": [100, 110], "scale": 0.9}]
    ),
    "hidden joints": lambda folder: real(
        folder,
        people=[{"joints": [[x, y, 1] for x, y, _ in person(LSP14).tolist()], "centre": [100, 110], "scale": 0.9}],
    ),
    "another scale": lambda folder: real(
        folder, people=[{"joints": person(LSP14).tolist(), "centre": [100, 110], "scale": 0.8}]
    ),
    "another centre": lambda folder: real(
        folder, people=[{"joints": person(LSP14).tolist(), "centre": [100, 111], "scale": 0.9}]
    ),
    "synthetic people": lambda folder: real(folder, is_synthetic=True),
    "people who are no centre of a crop": lambda folder: real(folder, trainable=False),
    "characteristics": lambda folder: real(folder, characteristics={"camera_pitch": 3}),
    "parts to ignore": lambda folder: real(folder, ignore_boxes=[[0, 0, 40, 40]]),
    "other names of joints": lambda folder: real(folder, skeleton=[*LSP14.joints[1:], LSP14.joints[0]]),
}


def test_the_same_data_elsewhere_are_the_same(tmp_path: Path) -> None:
    first, second = (digest_of_samples(open_dataset("shards", real(tmp_path / name))) for name in ("one", "two"))
    assert first == second
    assert len(first) == 16


BOX, LARGER = (0.0, 0.0, 40.0, 40.0), (0.0, 0.0, 199.0, 219.0)


def runs(*counts: int) -> RunLengths:
    return RunLengths(np.array(counts), (200, 220))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("regions", [(), (box_polygon(BOX),), (box_polygon(LARGER),), (runs(0, 44_000),), (runs(44_000),)]),
        ("keep_boxes", [None, [BOX], [LARGER]]),
        ("ignore", [None, b"", b"a mask"]),
        ("trainable", [[True], [False]]),
        ("characteristics", [{}, {"a": [1.0]}, {"a": [2.0]}, {"b": [1.0]}, {"a": [np.nan]}]),
    ],
)
def test_all_that_labels_say_of_a_picture_counts(tmp_path: Path, name: str, values: list[Any]) -> None:
    (sample,) = open_dataset("shards", real(tmp_path))
    changed = [SampleList([replace(sample, **{name: value})], "set", sample.skeleton) for value in values]
    assert len({digest_of_samples(each) for each in changed}) == len(values)


@pytest.mark.parametrize("change", ANOTHER)
def test_a_folder_refuses_another_data_set_of_the_same_name(tmp_path: Path, change: str) -> None:
    first, second = real(tmp_path / "1" / "set"), ANOTHER[change](tmp_path / "2" / "set")
    out = mixed_folder(tmp_path / "out", first)
    mixed_folder(out, first)
    with pytest.raises(UsageError, match="pictures made with dataset"):
        mixed_folder(out, second)


def test_a_stylised_folder_refuses_mixed_pictures_of_another_data_set_of_the_same_name(tmp_path: Path) -> None:
    first, second = real(tmp_path / "1" / "set"), real(tmp_path / "2" / "set", name="b")
    records = [
        Stylised(0, mixed_folder(tmp_path / place / "mixed", dataset), 0.8).record()
        for place, dataset in (("x", first), ("y", second), ("z", first))
    ]
    assert records[0] == records[2]
    with claimed(tmp_path / "out", records[0], range(3)):
        pass
    with pytest.raises(UsageError, match="pictures made with mixed"), claimed(tmp_path / "out", records[1], range(3)):
        pass


def test_more_mixed_pictures_of_the_same_kind_do_not_make_it_another(tmp_path: Path) -> None:
    mixed = mixed_folder(tmp_path / "mixed", real(tmp_path / "set"))
    before = Stylised(0, mixed, 0.8).record()
    shard(mixed / "train-00000000-00000004.tar", a__json=b"{}")
    assert Stylised(0, mixed, 0.8).record() == before


def test_pictures_that_are_files_count_by_their_size_and_may_be_gone(tmp_path: Path) -> None:
    ltsh_set(tmp_path, ltsh_entry())
    samples = open_dataset("ltsh", tmp_path)
    before = digest_of_samples(samples)
    (tmp_path / "a.png").write_bytes(picture(shade=10) + b"more")
    assert digest_of_samples(samples) != before
    (tmp_path / "a.png").unlink()
    assert len({before, digest_of_samples(samples)}) == 2


def test_files_count_by_name_and_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"22")
    a, b = tmp_path / "a", tmp_path / "b"
    both = digest_of_files(tmp_path, [a, b])
    assert both == digest_of_files(tmp_path, [a, b])
    assert len({both, digest_of_files(tmp_path, [a]), digest_of_files(tmp_path, [b, a])}) == 3
    a.write_bytes(b"2")
    assert digest_of_files(tmp_path, [a, b]) != both
    b.unlink()
    assert digest_of_files(tmp_path, [a, b]) != digest_of_files(tmp_path, [a])


def test_other_motions_of_the_same_number_are_others(tmp_path: Path) -> None:
    for name, turn in (("one", 20.0), ("two", 30.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "walk.bvh").write_text(bvh([{"LeftArm": (turn, 0.0, 0.0)}]))
    records = [PurelySynthetic(0, 3, (0, 45), (64, 64), None, tmp_path / name).record() for name in ("one", "two")]
    assert records[0] != records[1]


def test_other_photographs_of_the_same_size_are_others(tmp_path: Path) -> None:
    recipe = PurelySynthetic(0, 3, (0, 45), (64, 64), tmp_path)
    records = []
    for shade in (20, 200):
        (tmp_path / "a.bmp").write_bytes(picture(shade=shade, kind=".bmp"))
        records.append(recipe.record())
    assert records[0] != records[1]


def test_every_record_has_the_packages_version(tmp_path: Path) -> None:
    mixed = mixed_folder(tmp_path / "mixed", real(tmp_path / "set"))
    recipes: list[Recipe] = [
        PurelySynthetic(0, 3, (0, 45), (64, 64)),
        mixed_in(tmp_path / "set"),
        Stylised(0, mixed, 0.8),
    ]
    assert [recipe.record()["version"] for recipe in recipes] == [ltsh_deploy.__version__] * 3
    assert json.loads((mixed / INDEX).read_text())["generator"]["version"] == ltsh_deploy.__version__


def test_pictures_of_another_version_do_not_get_into_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = mixed_folder(tmp_path / "mixed", real(tmp_path / "set"))
    monkeypatch.setattr(ltsh_deploy, "__version__", "99.0")
    with pytest.raises(UsageError, match=r'version "[0-9.a-z]+", and now it is "99.0"'):
        mixed_folder(out, tmp_path / "set")
