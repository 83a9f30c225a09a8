"""People set into other photographs: they are where their joints say, and joints that cannot be seen have no label."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from ltsh_deploy.datasets import Sample
from ltsh_deploy.skeletons import LTSH15
from studies.default_model.scenes import Scene, draw_inset, set_in
from tests.training_data import person

FloatArray = npt.NDArray[np.float64]
RIGHT_WRIST, LEFT_WRIST, TRUNK = (LTSH15.joints.index(name) for name in ("right_wrist", "left_wrist", "torso_centre"))
BACKGROUND, INSET = 20, 250


def standing(x: float, y: float, height: float) -> FloatArray:
    return person(np.random.default_rng(1), (x, y), height)


def blob(size: tuple[int, int], place: FloatArray) -> FloatArray:
    """[H, W] a round spot, 255 in the middle."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    return np.asarray(255 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * 5.0**2)))


def photograph(joints: FloatArray, size: tuple[int, int]) -> Sample:
    """Red around the right wrist, blue around the left one, and green where nothing may be learned."""
    image = np.zeros((size[1], size[0], 3))
    image[:, :, 0], image[:, :, 2] = blob(size, joints[RIGHT_WRIST]), blob(size, joints[LEFT_WRIST])
    image[: size[1] // 2, : size[0] // 2, 1] = 255
    ignored = np.where(image[:, :, 1] > 0, 255, 0).astype(np.uint8)
    return Sample(
        id="a",
        image=cv2.imencode(".png", np.rint(image[:, :, ::-1]).astype(np.uint8))[1].tobytes(),
        skeleton=LTSH15,
        joints=joints[None],
        centres=joints[None, TRUNK, :2],
        scales=np.array([0.75]),
        is_synthetic=np.array([False]),
        trainable=np.array([True]),
        ignore=cv2.imencode(".png", ignored)[1].tobytes(),
    )


def middle_of(spot: npt.NDArray[np.uint8]) -> list[float]:
    weights = np.where(spot > 20, spot, 0).astype(float)
    y, x = np.indices(spot.shape)
    return [float((x * weights).sum() / weights.sum()), float((y * weights).sum() / weights.sum())]


@pytest.mark.parametrize("height", [60.0, 150.0, 260.0])
def test_an_inset_shows_its_people_where_their_joints_are(height: float) -> None:
    own = standing(150, 140, 150)
    sample, sides = photograph(own, (300, 280)), set()
    for seed in range(8):
        inset = draw_inset(np.random.default_rng(seed), sample, height)
        assert inset.scales.tolist() == pytest.approx([height / 200])
        assert np.ptp(inset.joints[0, :, 1]) == pytest.approx(np.ptp(own[:, 1]) * height / 150, rel=0.02)
        np.testing.assert_allclose(inset.centres[0], inset.joints[0, TRUNK, :2])
        red, blue = (middle_of(inset.image[:, :, channel]) for channel in (0, 2))
        # A mirrored person's left wrist is where the right one's colour is.
        mirrored = (red[0] > blue[0]) != (own[RIGHT_WRIST, 0] > own[LEFT_WRIST, 0])
        places = (blue, red) if mirrored else (red, blue)
        for joint, place in zip((RIGHT_WRIST, LEFT_WRIST), places, strict=True):
            np.testing.assert_allclose(inset.joints[0, joint, :2], place, atol=0.2)
        green = inset.image[:, :, 1] > 127
        assert green.any()
        assert not green.all()
        assert (green != inset.ignored).mean() < 0.02
        sides.add(mirrored)
    assert sides == {True, False}


def flat(people: list[FloatArray], size: tuple[int, int] = (60, 80)) -> Scene:
    """An inset of one colour, the upper ten rows of which may hold people."""
    joints = np.array(people).reshape(-1, 15, 3)
    ignored = np.zeros(size[::-1], np.bool_)
    ignored[:10] = True
    count = len(joints)
    image = np.full((*size[::-1], 3), INSET, np.uint8)
    return Scene(image, ignored, joints, joints[:, TRUNK, :2], np.full(count, 0.3), np.ones(count, np.bool_))


def empty(size: tuple[int, int]) -> Scene:
    return Scene.of(np.full((*size[::-1], 3), BACKGROUND, np.uint8), 15)


def occupied(size: tuple[int, int], joints: FloatArray) -> Scene:
    scene = empty(size)
    scene.joints, scene.centres = joints[None], joints[None, TRUNK, :2]
    scene.scales, scene.trainable = np.array([0.45]), np.array([True])
    return scene


@pytest.mark.parametrize("seed", range(12))
def test_an_inset_replaces_what_it_covers(seed: int) -> None:
    scene, inset = empty((200, 120)), flat([standing(30, 40, 60)])
    scene.ignored[:, 100:] = True
    assert set_in(np.random.default_rng(seed), scene, inset)
    level = scene.image[:, :, 0]
    # Half way between both colours.
    covered = level >= (BACKGROUND + INSET) / 2
    assert set(level[~covered & (level != BACKGROUND)]) <= set(range(BACKGROUND, 136))
    rows, columns = np.nonzero(level != BACKGROUND)
    assert np.ptp(columns) < 60
    assert np.ptp(rows) < 80
    # Where the edges are within the picture, they say where the inset lies.
    x = columns.min() if columns.min() > 0 else columns.max() - 59
    y = rows.min() if rows.min() > 0 else rows.max() - 79
    ignored = np.zeros((120 + 160, 200 + 120), np.bool_)
    ignored[80 + y : 80 + y + 80, 60 + x : 60 + x + 60] = inset.ignored
    ignored = ignored[80:200, 60:260]
    np.testing.assert_array_equal(scene.ignored[covered], ignored[covered])
    np.testing.assert_array_equal(scene.ignored[~covered], np.broadcast_to(np.arange(200) >= 100, (120, 200))[~covered])
    wanted = inset.joints[0] + np.array([x, y, 0])
    seen = np.array([in_sight(joint, covered) for joint in wanted])
    if seen.any():
        np.testing.assert_array_equal(scene.joints[0, seen], wanted[seen])
        assert (scene.joints[0, ~seen, 2] == 0).all()
        assert np.isnan(scene.joints[0, ~seen, :2]).all()
        np.testing.assert_array_equal(scene.centres, inset.centres + np.array([x, y]))
    else:
        assert len(scene.joints) == 0


def in_sight(joint: FloatArray, covered: npt.NDArray[np.bool_]) -> bool:
    column, row = np.rint(joint[:2]).astype(int)
    inside = 0 <= row < covered.shape[0] and 0 <= column < covered.shape[1]
    return bool(inside and covered[row, column])


def test_people_who_are_covered_lose_those_joints() -> None:
    lost = []
    for seed in range(20):
        scene = occupied((100, 100), standing(50, 50, 90))
        before = scene.joints[0].copy()
        if not set_in(np.random.default_rng(seed), scene, flat([], (30, 30))):
            continue
        covered = scene.image[:, :, 0] >= (BACKGROUND + INSET) / 2
        hidden = np.array([in_sight(joint, covered) for joint in before])
        np.testing.assert_array_equal(scene.joints[0, :, 2] == 0, hidden)
        np.testing.assert_array_equal(scene.joints[0, ~hidden], before[~hidden])
        lost.append(hidden.sum())
    assert max(lost) > 0


def test_who_is_not_in_sight_is_left_out_and_of_whom_little_is_is_no_centre() -> None:
    nowhere, part = np.full((15, 3), [-50.0, -50.0, 2.0]), standing(30, 40, 60)
    part[4:] = [-50, -50, 2]
    part[TRUNK] = [30, 40, 2]
    scene = empty((400, 400))
    whole = standing(30, 40, 40)
    while not len(scene.joints):
        # Until it lies within the picture.
        scene = empty((400, 400))
        set_in(np.random.default_rng(3), scene, flat([nowhere, part, whole]))
    assert len(scene.joints) == 2
    assert (scene.joints[:, :, 2] > 0).sum(axis=1).tolist() == [5, 15]
    assert scene.trainable.tolist() == [True, True]
    scene = empty((400, 400))
    part[0] = [-50, -50, 2]
    set_in(np.random.default_rng(3), scene, flat([nowhere, part, whole]))
    assert scene.trainable.tolist() == [False, True]


@pytest.mark.parametrize("joints", [standing(30, 30, 56), np.full((15, 3), [30.0, 30.0, 2.0])])
def test_no_inset_hides_those_before_it(joints: FloatArray) -> None:
    scene = occupied((60, 60), joints)
    assert not set_in(np.random.default_rng(0), scene, flat([], (400, 400)))
    assert (scene.image == BACKGROUND).all()
    assert (scene.joints[0, :, 2] == 2).all()
