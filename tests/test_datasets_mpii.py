"""MPII's annotation file with all its irregular forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ltsh_deploy.datasets import open_dataset
from ltsh_deploy.datasets.mpii_mat import MpiiImage, multi_person_groups, read_mpii_annotations, read_mpii_groups
from ltsh_deploy.datasets.regions import Polygon
from ltsh_deploy.errors import InputError
from ltsh_deploy.skeletons import MPII16
from tests.dataset_files import picture

scipy_io = pytest.importorskip("scipy.io")


@pytest.fixture
def conformance(shared: Path) -> Path:
    return shared / "data" / "conformance" / "mpii_mat"


def as_expected(image: MpiiImage) -> dict[str, Any]:
    return {
        "index": image.index,
        "file_name": image.file_name,
        "img_train": int(image.is_train),
        "single_person_1based": list(image.single_person),
        "vididx": image.video,
        "frame_sec": image.frame_sec,
        "act_id": image.activity,
        "people": [
            {
                "joints": [
                    None if np.isnan(x) else [x, y, None if np.isnan(v) else int(v)] for x, y, v in p.joints.tolist()
                ],
                "head_box": p.head_box and list(p.head_box),
                "scale": p.scale,
                "objpos": p.objpos and list(p.objpos),
            }
            for p in image.people
        ],
    }


def test_the_miniature_release_is_read_exactly(conformance: Path) -> None:
    expected = json.loads((conformance / "expected.json").read_text())
    images = read_mpii_annotations(conformance / "mini_release.mat")
    assert len(images) == len(expected["images"])
    for image, wanted in zip(images, expected["images"], strict=True):
        assert as_expected(image) == {k: v for k, v in wanted.items() if k not in ("groups_1based", "note")}
    assert not any(p.ignored_points for image in images for p in image.people)


def test_the_miniature_groups_are_read_exactly(conformance: Path) -> None:
    expected = json.loads((conformance / "expected.json").read_text())
    images = read_mpii_annotations(conformance / "mini_release.mat")
    groups = read_mpii_groups(conformance / "mini_groups.mat", images)
    assert [[list(g) for g in own] for own in groups] == [e["groups_1based"] for e in expected["images"]]
    chosen = multi_person_groups(images, groups)
    for subset, is_train in (("train", True), ("test", False)):
        members = [image.index for image in images if image.is_train == is_train]
        found = [
            {
                "imgidx_in_subset_1based": members.index(index) + 1,
                "file_name": images[index].file_name,
                "rectidxs_1based": list(group),
            }
            for index, group in chosen
            if index in members
        ]
        assert found == expected[f"multi_person_groups_{subset}"]


def test_the_release_as_samples(conformance: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for n in range(14):
        if n != 4:
            (tmp_path / "images" / f"{n:09d}.jpg").write_bytes(picture())
    (tmp_path / "release.mat").write_bytes((conformance / "mini_release.mat").read_bytes())
    (tmp_path / "val.txt").write_text("000000001.jpg\n\n")
    dataset = open_dataset("mpii", tmp_path, val=tmp_path / "val.txt")
    by_id = {s.id: s for s in dataset}
    assert sorted(by_id) == [f"{n:09d}.jpg" for n in (0, 1, 2, 3, 5, 6, 10, 11, 12)]
    assert dataset.skipped == {
        "pictures of MPII's test set, which has no joints": 3,
        "pictures that are not there": 1,
        "pictures without labelled people": 1,
    }
    assert [s.id for s in dataset if s.split == "val"] == ["000000001.jpg"]

    first = by_id["000000000.jpg"]
    assert first.skeleton == MPII16
    np.testing.assert_allclose(first.scales, [2.104349780811165, 3.1698176603710184])
    np.testing.assert_allclose(first.centres[0], [855, 410])
    # Visible, hidden, and said nothing of.
    assert first.joints[0, [0, 1, 8], 2].tolist() == [2, 1, 2]
    # The character '0' is not true.
    assert set(by_id["000000003.jpg"].joints[0, :8, 2].tolist()) == {1.0, 2.0}
    # A person with a head box only becomes a region.
    alone = by_id["000000006.jpg"]
    assert len(alone) == 1
    ignored = alone.read_ignore((1280, 720))
    assert ignored is not None
    assert ignored[330, 568]
    assert not ignored[330, 176]
    # Outside the picture, and kept.
    assert by_id["000000012.jpg"].joints[0, 0].tolist()[:2] == [-749, 403]


NOBODY = np.empty((1, 1), dtype=object)
NOBODY[0, 0] = np.zeros((0, 0))


def release(path: Path, people: Any, points: Any = None) -> Path:
    """A release of one training picture, written with scipy."""
    annorect = people if people is not None else {}
    annolist = {"image": {"name": "a.jpg"}, "annorect": annorect}
    scipy_io.savemat(path, {"RELEASE": {"annolist": annolist, "img_train": 1, "single_person": NOBODY}})
    return path


def test_points_that_say_nothing_are_counted(tmp_path: Path) -> None:
    rows = [
        {"id": 0, "x": 50.5, "y": 60.0, "is_visible": 1},
        {"id": 0, "x": 1.0, "y": 2.0, "is_visible": 1},
        {"id": 16, "x": 1.0, "y": 2.0, "is_visible": 1},
        {"id": 3, "x": np.nan, "y": 2.0, "is_visible": 1},
        {"id": 5, "x": 90.0, "y": 60.0, "is_visible": []},
    ]
    point = np.array([tuple(row.values()) for row in rows], dtype=[(k, object) for k in rows[0]])
    path = release(tmp_path / "r.mat", {"annopoints": {"point": point}, "scale": 2.0, "objpos": {"x": 70, "y": 60}})
    (image,) = read_mpii_annotations(path)
    (found,) = image.people
    assert found.ignored_points == 3
    assert np.flatnonzero(np.isfinite(found.joints[:, 0])).tolist() == [0, 5]
    assert found.joints[0].tolist() == [50.5, 60, 1]
    assert np.isnan(found.joints[5, 2])
    (tmp_path / "a.jpg").write_bytes(picture())
    dataset = open_dataset("mpii", path)
    assert dataset.skipped == {"people with points that say nothing": 1}
    assert not dataset.skips.broken


@pytest.mark.parametrize("wrong", ["a", "images/a.jpg", "b.jpg"])
def test_names_for_validation_that_are_nobodys_are_refused(tmp_path: Path, wrong: str) -> None:
    point = {"id": 0, "x": 50.0, "y": 60.0}
    path = release(tmp_path / "r.mat", {"annopoints": {"point": point}, "scale": 2.0, "objpos": {"x": 70, "y": 60}})
    (tmp_path / "a.jpg").write_bytes(picture())
    (tmp_path / "val.txt").write_text("a.jpg\n")
    assert [sample.split for sample in open_dataset("mpii", path, val=tmp_path / "val.txt")] == ["val"]
    (tmp_path / "val.txt").write_text(f"a.jpg\n{wrong}\n")
    with pytest.raises(InputError, match=rf"r\.mat: has no picture '{wrong}' \(1 of those") as error:
        open_dataset("mpii", path, val=tmp_path / "val.txt")
    assert "suffix" in error.value.remedy


def test_a_scale_that_is_absent_comes_from_the_head(tmp_path: Path) -> None:
    point = np.array([(0, 50.0, 60.0)], dtype=[(k, object) for k in ("id", "x", "y")])
    head = {"x1": 10, "y1": 10, "x2": 40, "y2": 50}
    path = release(tmp_path / "r.mat", {"annopoints": {"point": point}, "scale": [], "objpos": []} | head)
    (tmp_path / "a.jpg").write_bytes(picture())
    (sample,) = open_dataset("mpii", path)
    np.testing.assert_allclose(sample.scales, [4.8 * 50 / 200])
    np.testing.assert_allclose(sample.centres, [[50, 60]])


def test_of_a_person_who_is_but_a_head_the_body_is_ignored(tmp_path: Path) -> None:
    point = np.array([(0, 250.0, 60.0)], dtype=[("id", object), ("x", object), ("y", object)])
    known = {"annopoints": {"point": point}, "scale": 1.0, "objpos": {"x": 250, "y": 60}}
    nothing: dict[str, Any] = {"annopoints": [], "scale": [], "objpos": []}
    # The box's diagonal is 40, so the person is 192 pixels tall; the box leaves out 0.15 of that above the face.
    heads = [{"x1": 0, "y1": 0, "x2": 3, "y2": 4}, {"x1": 100, "y1": 40, "x2": 124, "y2": 72}]
    rows = [someone | head for someone, head in zip((known, nothing), heads, strict=True)]
    people = np.empty(2, dtype=[(key, object) for key in rows[0]])
    people[:] = [tuple(row.values()) for row in rows]
    (tmp_path / "a.jpg").write_bytes(picture())
    (sample,) = open_dataset("mpii", release(tmp_path / "r.mat", people))
    assert len(sample) == 1
    (region,) = sample.regions
    assert isinstance(region, Polygon)
    np.testing.assert_allclose(region.corners, [[16, 11.2], [208, 11.2], [208, 232], [16, 232]])


def test_files_that_are_not_mpiis_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.mat"
    (tmp_path / "images").mkdir()
    for content in (b"", b"no matlab", b"MATLAB 5.0 MAT-file" + bytes(200)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"r\.mat"):
            open_dataset("mpii", path)
    scipy_io.savemat(path, {"joints": np.zeros(3)})
    with pytest.raises(InputError, match="has no RELEASE"):
        open_dataset("mpii", path)
    scipy_io.savemat(path, {"RELEASE": {"annolist": {"image": 3}}})
    with pytest.raises(InputError, match="RELEASE lacks"):
        open_dataset("mpii", path)
    scipy_io.savemat(path, {"RELEASE": {"annolist": {"image": 3}, "img_train": [1, 0], "single_person": []}})
    with pytest.raises(InputError, match="1 pictures, img_train 2"):
        open_dataset("mpii", path)
    scipy_io.savemat(path, {"RELEASE": {"annolist": {"image": 3, "annorect": 1}, "img_train": 1}})
    with pytest.raises(InputError, match="picture 0"):
        open_dataset("mpii", path)
    with pytest.raises(InputError, match="holds no"):
        open_dataset("mpii", tmp_path / "images")
    with pytest.raises(InputError, match="no such folder of pictures"):
        open_dataset("mpii", release(path, {"scale": 1.0}), images=tmp_path / "gone")


def test_a_groups_file_must_fit(conformance: Path, tmp_path: Path) -> None:
    images = read_mpii_annotations(conformance / "mini_release.mat")
    with pytest.raises(InputError, match="has no 'groups'"):
        read_mpii_groups(conformance / "mini_release.mat", images)
    with pytest.raises(InputError, match="has 14 pictures, the annotations 3"):
        read_mpii_groups(conformance / "mini_groups.mat", images[:3])
    wrong = tmp_path / "g.mat"
    scipy_io.savemat(wrong, {"groups": np.array([np.array([[5]])], dtype=object)})
    with pytest.raises(InputError, match="picture 0 has 2 people"):
        read_mpii_groups(wrong, images[:1])


def test_a_hidden_file_is_not_taken_for_the_annotations(tmp_path: Path) -> None:
    for name in ("own.mat", "._own.mat"):
        (tmp_path / name).write_bytes(b"none")
    with pytest.raises(InputError, match=r"/own\.mat"):
        open_dataset("mpii", tmp_path)
