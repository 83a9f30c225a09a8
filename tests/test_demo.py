from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ltsh_deploy import demo
from ltsh_deploy.demo import draw_scene, main, scene_people
from ltsh_deploy.demo_bodies import POSTURES, make_figure
from ltsh_deploy.demo_render import render
from ltsh_deploy.skeletons import LTSH15

SMALL = (300, 200)


def test_one_seed_one_picture() -> None:
    pictures = [draw_scene(seed, SMALL) for seed in (1, 1, 2)]
    digests = [hashlib.sha256(p.tobytes()).digest() for p in pictures]
    assert digests[0] == digests[1] != digests[2]
    np.testing.assert_array_equal(scene_people(1, SMALL).xy, scene_people(1, SMALL).xy)


@pytest.mark.parametrize("size", [(64, 64), (301, 201), (90, 400), (700, 64)])
@pytest.mark.parametrize("people", [1, 6])
def test_any_size_and_number(size: tuple[int, int], people: int) -> None:
    picture = draw_scene(3, size, people)
    assert picture.shape == (size[1], size[0], 3)
    assert picture.dtype == np.uint8
    assert 40 < picture.mean() < 220
    assert picture.std() > 20
    poses = scene_people(3, size, people)
    assert len(poses) == people
    assert poses.present.all()


@pytest.mark.parametrize(("size", "people"), [((63, 100), 1), ((100, 100), 0), ((100, 100), 7)])
def test_impossible_scenes(size: tuple[int, int], people: int) -> None:
    for make in (draw_scene, scene_people):
        with pytest.raises(ValueError, match="scene"):
            make(0, size, people)
    with pytest.raises(ValueError, match="seed"):
        draw_scene(-1)


def test_people_stand_inside_the_picture() -> None:
    for seed in range(5):
        xy = scene_people(seed).xy
        assert (xy >= 0).all()
        assert (xy < (960, 640)).all()
        feet = xy[:, [LTSH15.joints.index(f"{side}_ankle") for side in ("right", "left")], 1].max(axis=1)
        assert (np.diff(feet) <= 2).all(), "the nearest first"


@pytest.mark.parametrize("posture", range(len(POSTURES)))
def test_joints_lie_where_the_body_was_drawn(posture: int) -> None:
    rng = np.random.default_rng(posture)
    figure = make_figure(posture, rng)
    _, coverage, origin = render(figure, 200.0, rng)
    inside = cv2.erode((coverage > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))
    for name in LTSH15.joints:
        x, y = np.rint(figure.joints[name][:2] * 200 + origin - 0.5).astype(int)
        # The top of the head is its edge.
        assert inside[y + (4 if name == "head_top" else 0), x], name
    rows = np.flatnonzero(coverage.max(axis=1) > 0.5)
    top = figure.joints["head_top"][1] * 200 + origin[1] - 0.5
    if posture not in (1, 4):  # whose hands are higher
        assert abs(rows[0] - top) < 0.03 * 200


def test_the_right_is_on_the_left_of_the_picture() -> None:
    poses = scene_people(0)
    right, left = (LTSH15.joints.index(f"{side}_shoulder") for side in ("right", "left"))
    assert (poses.xy[:, right, 0] < poses.xy[:, left, 0]).all()


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(demo, "draw_scene", lambda seed, people: draw_scene(seed, SMALL, people))
    assert main([str(tmp_path / "a.png"), "--seed", "5", "--people", "2"]) == 0
    read = cv2.cvtColor(cv2.imread(str(tmp_path / "a.png")), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(read, draw_scene(5, SMALL, 2))
    assert main([str(tmp_path / "absent" / "a.png")]) == 1
    assert "absent" in capsys.readouterr().err
    for wrong in (["--people", "9"], ["--seed", "-1"], ["--seed", "x"]):
        with pytest.raises(SystemExit) as caught:
            main([str(tmp_path / "b.png"), *wrong])
        assert caught.value.code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_the_module_runs() -> None:
    done = subprocess.run([sys.executable, "-m", "ltsh_deploy.demo", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "--seed" in done.stdout


def test_a_real_network_takes_them_for_people(shared: Path) -> None:
    from ltsh_deploy.estimator import PoseEstimator

    truth = scene_people(0)
    with PoseEstimator.open(shared / "models" / "coco_paf_mobilenet_v2_small.onnx", device="cpu") as estimator:
        found = estimator(draw_scene(0))
    names = [n for n in LTSH15.joints if n in found.skeleton.joints and n != "neck"]
    there, here = ([s.joints.index(n) for n in names] for s in (found.skeleton, LTSH15))
    heights = np.ptp(truth.xy[:, :, 1], axis=1)
    distance = np.linalg.norm(found.xy[None, :, there] - truth.xy[:, None, here], axis=3)
    joints = (distance < 0.06 * heights[:, None, None]).sum(axis=2).max(axis=1)
    assert len(names) == 12
    assert (joints >= 9).all(), joints
