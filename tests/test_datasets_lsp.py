"""Leeds Sports Pose in both orders of its array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltsh_deploy.datasets import open_dataset
from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.skeletons import LSP14
from tests.dataset_files import person, picture

scipy_io = pytest.importorskip("scipy.io")


def lsp(folder: Path, joints: Any, digits: int = 4, pictures: int | None = None) -> Path:
    (folder / "images").mkdir(parents=True)
    scipy_io.savemat(folder / "joints.mat", {"joints": joints})
    count = np.shape(joints)[2] if pictures is None else pictures
    for n in range(1, count + 1):
        (folder / "images" / f"im{n:0{digits}d}.jpg").write_bytes(picture(kind=".jpg"))
    return folder


def people(count: int) -> np.ndarray[Any, Any]:
    """[N, 14, 3] standing people with a flag of 0."""
    found = np.stack([person(LSP14, x=100 + n) for n in range(count)])
    found[:, :, 2] = 0
    return found


def test_lsp_marks_hidden_joints(tmp_path: Path) -> None:
    joints = people(3)
    joints[1, 5, 2] = 1
    first, second, third = open_dataset("lsp", lsp(tmp_path, joints.transpose(2, 1, 0)))
    assert first.skeleton == LSP14
    assert (first.id, third.id) == ("im0001", "im0003")
    assert first.joints[0, :, 2].tolist() == [2] * 14
    assert second.joints[0, 5, 2] == 1
    np.testing.assert_array_equal(third.joints[0, :, :2], joints[2, :, :2])
    np.testing.assert_allclose(first.scales, [0.9], rtol=0.1)


def test_lsp_extended_marks_labelled_joints(tmp_path: Path) -> None:
    joints = people(2)
    joints[:, :12, 2] = 1
    first, second = open_dataset("lsp", lsp(tmp_path, joints.transpose(1, 2, 0), digits=5) / "joints.mat")
    assert first.id == "im00001"
    assert second.joints[0, :, 2].tolist() == [2] * 12 + [0] * 2
    assert np.isnan(second.joints[0, 12:, :2]).all()
    assert second.joints[0, 0, 0] == joints[1, 0, 0]


@pytest.mark.parametrize("extended", [False, True])
def test_the_array_of_one_picture_may_lack_its_last_dimension(tmp_path: Path, extended: bool) -> None:
    joints = people(1)
    joints[0, :12, 2] = 1
    folder = lsp(tmp_path, joints[0] if extended else joints[0].T, pictures=1)
    (sample,) = open_dataset("lsp", folder)
    assert sample.joints[0, :, 2].tolist() == ([2] * 12 + [0] * 2 if extended else [1] * 12 + [2] * 2)
    np.testing.assert_array_equal(sample.joints[0, :12, :2], joints[0, :12, :2])


def test_splits(tmp_path: Path) -> None:
    path = lsp(tmp_path, people(4).transpose(2, 1, 0))
    assert [s.split for s in open_dataset("lsp", path)] == ["train"] * 4
    assert [s.split for s in open_dataset("lsp", path, val_from=4)] == ["train"] * 3 + ["val"]
    with pytest.raises(UsageError, match="val_from"):
        open_dataset("lsp", path, val_from="half")


def test_of_two_thousand_the_second_half_is_for_validation(tmp_path: Path) -> None:
    joints = np.repeat(people(1), 2000, axis=0).transpose(2, 1, 0)
    path = lsp(tmp_path, joints, pictures=0)
    for n in (1, 1000, 1001, 2000):
        (path / "images" / f"im{n:04d}.jpg").write_bytes(b"")
    dataset = open_dataset("lsp", path)
    assert [(s.id, s.split) for s in dataset] == [
        ("im0001", "train"), ("im1000", "train"), ("im1001", "val"), ("im2000", "val")
    ]  # fmt: skip
    assert dataset.skipped == {"pictures that are not there": 1996}


def test_pictures_and_labels_must_fit(tmp_path: Path) -> None:
    dataset = open_dataset("lsp", lsp(tmp_path, people(2).transpose(2, 1, 0), pictures=3))
    assert dataset.skipped == {"pictures without labels": 1}
    assert "im0003.jpg" in dataset.skips.examples["pictures without labels"][0]


def test_numbers_that_are_none_are_missing_joints(tmp_path: Path) -> None:
    joints = people(1)
    joints[0, 3, 0] = np.nan
    (sample,) = open_dataset("lsp", lsp(tmp_path, joints.transpose(2, 1, 0)))
    assert sample.joints[0, 3, 2] == 0


def test_files_that_are_not_of_this_kind(tmp_path: Path) -> None:
    path = tmp_path / "joints.mat"
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match="there is no such file"):
        open_dataset("lsp", tmp_path)
    for variables, said in (
        ({"x": 1}, "has no array of numbers"),
        ({"joints": "text"}, "has no array of numbers"),
        ({"joints": np.zeros((14, 4))}, r"found \[14, 4\]"),
        ({"joints": np.zeros((1, 14, 3, 2))}, r"found \[1, 14, 3, 2\]"),
        ({"joints": np.zeros((16, 3, 5))}, r"found \[16, 3, 5\]"),
    ):
        scipy_io.savemat(path, variables)
        with pytest.raises(InputError, match=said):
            open_dataset("lsp", tmp_path)
