"""Limits to where synthetic people stand in photographs, to the pixel; a pixel is a centimetre at four metres here."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ltsh_deploy.datasets import Sample
from ltsh_deploy.skeletons import LSP14
from ltsh_deploy.train.synth_camera import aim_camera
from ltsh_deploy.train.synth_render import render
from ltsh_deploy.train.synth_standing_room import StandingRoom, cover_joints
from ltsh_deploy.train.synth_types import Figure
from tests.dataset_files import person
from tests.synth_dummies import NO_TEXTURES, card, dummy, figure, light

SIDE, DISTANCE = 200, 4.0
CAMERA = aim_camera((0, 0, 0.85), DISTANCE, 0, 400, (SIDE, SIDE))
JOINT = {name: j for j, name in enumerate(LSP14.joints)}


class Drawn:
    """Stands in for random numbers: the figure comes to this depth, in the picture's middle."""

    def __init__(self, depth: float) -> None:
        self._numbers = [depth if depth <= DISTANCE else depth / DISTANCE, 0.5 - 0.5 / SIDE]
        self._near = depth <= DISTANCE

    def random(self) -> float:
        return 0.0 if self._near else 1.0

    def uniform(self, low: float, high: float) -> float:
        return self._numbers.pop(0)


def joints_at(places: dict[str, tuple[float, float]]) -> npt.NDArray[np.float64]:
    joints = np.full((14, 3), np.nan)
    joints[:, 2] = 0
    for name, place in places.items():
        joints[JOINT[name]] = *place, 2
    return joints


def annotated(*people: npt.NDArray[np.float64], scale: float = 0.85) -> Sample:
    count = len(people)
    joints = np.array(people).reshape(count, 14, 3)
    return Sample(
        "real", b"", LSP14, joints, np.full((count, 2), 100.0), np.full(count, scale), np.zeros(count, bool),
        np.ones(count, bool),
    )  # fmt: skip


def room(*people: npt.NDArray[np.float64], scale: float = 0.85) -> StandingRoom:
    return StandingRoom(annotated(*people, scale=scale), CAMERA, 170)


def fits(place: StandingRoom, somebody: Figure, depth: float = DISTANCE) -> bool:
    return place.draw_offset(Drawn(depth), somebody) is not None  # type: ignore[arg-type]


def pixels(left: int, right: int, top: int, bottom: int, **changes: Any) -> Figure:
    """Somebody who covers columns ``left`` to ``right`` and rows ``top`` to ``bottom``, without the last of either."""
    across = (left - 100) / 100, (right - 100) / 100
    up = 0.85 + (100 - bottom) / 100, 0.85 + (100 - top) / 100
    return card(across, 0.0, up, **({"attributes": {"height": 0.5}} | changes))


def test_what_is_covered_is_what_will_be_rendered() -> None:
    rng, place, figures = np.random.default_rng(4), room(), list[Figure]()
    for _ in range(40):
        somebody = dummy(rng)
        offset = place.draw_offset(rng, somebody)
        if offset is not None:
            figures.append(somebody.moved(offset))
            place.take()
    background = np.zeros((SIDE, SIDE, 3), np.uint8)
    found = render(figures, CAMERA, background, light(), NO_TEXTURES).instances
    assert len(np.unique(found)) > 3
    np.testing.assert_array_equal(place.covered, found > 0)
    assert 0.3 < place.covered.mean() <= 0.4


def test_what_reaches_past_the_camera_is_covered_too() -> None:
    """A pole from the picture's middle to behind the camera, which leaves the picture far from its end."""
    end = pixels(98, 102, 98, 102)
    points = np.concatenate([end.vertices, [[0.3, -5.0, 0.6], [0.3, -5.0, 0.5]]]).astype(np.float32)
    pole = figure(points, [(0, 1, 2), (0, 2, 3), (1, 4, 5), (1, 5, 2)], joints=end.joints, attributes={"height": 0.5})
    place = room()
    # What was tried before must not show through.
    assert fits(place, pixels(0, 150, 100, 200))
    assert fits(place, pole)
    place.take()
    found = render([pole], CAMERA, np.zeros((SIDE, SIDE, 3), np.uint8), light(), NO_TEXTURES).instances > 0
    assert found.sum() > 60
    assert found[-1].any() or found[:, -1].any()
    np.testing.assert_array_equal(place.covered, found)


def test_two_fifths_of_the_picture_and_no_more() -> None:
    assert fits(room(), pixels(0, 160, 50, 150))
    assert not fits(room(), pixels(0, 161, 50, 150))
    place = room()
    assert fits(place, pixels(0, 100, 0, 100))
    place.take()
    assert place.covered.sum() == 10_000
    # Of these, 50 x 110 pixels and 50 x 10 below what is taken are new: 6,000.
    assert fits(place, pixels(50, 150, 0, 110))
    assert not fits(place, pixels(50, 150, 0, 111))


def test_who_was_only_tried_takes_no_place() -> None:
    place = room()
    assert fits(place, pixels(0, 160, 50, 150))
    assert fits(place, pixels(0, 160, 0, 50))
    place.take()
    assert place.covered.sum() == 8000


#: Fourteen joints ten pixels apart, those that the torso's centre is computed from last.
_LAST = ("head_top", "left_hip", "right_hip", "neck")
ROW = joints_at(
    {
        name: (10.0 + 10 * n, 100.0)
        for n, name in enumerate([*(name for name in LSP14.joints if name not in _LAST), *_LAST])
    }
)


def test_half_of_each_persons_joints_and_no_more() -> None:
    far = ROW - [0, 60, 0]
    hidden = ROW.copy()
    hidden[:, 2] = 1  # joints that are hidden already are annotated all the same
    for people in ((ROW,), (far, ROW), (hidden,)):
        assert fits(room(*people), pixels(0, 76, 95, 105))
        assert not fits(room(*people), pixels(0, 86, 95, 105))
    place = room(ROW)
    assert fits(place, pixels(0, 46, 95, 105))
    place.take()
    assert fits(place, pixels(45, 76, 95, 105))
    assert not fits(place, pixels(45, 86, 95, 105))
    ten = ROW.copy()
    ten[[JOINT[name] for name in _LAST]] = np.nan, np.nan, 0
    assert fits(room(ten), pixels(0, 56, 95, 105))
    assert not fits(room(ten), pixels(0, 66, 95, 105))


def test_half_of_the_joints_that_are_written_too() -> None:
    trunk = {"neck": (50.0, 50.0), "left_hip": (150.0, 150.0), "right_hip": (150.0, 100.0)}  # its centre: (100, 87.5)
    # The torso's centre is labelled as hidden where the neck is: three of five, though two of the data set's four.
    four = room(joints_at(trunk | {"left_knee": (50.0, 60.0)}))
    assert fits(four, pixels(40, 60, 40, 55))
    assert not fits(four, pixels(40, 60, 40, 70))
    # Its place is covered too: four of seven, though three of the data set's six.
    limbs = {"left_knee": (100.0, 80.0), "right_knee": (100.0, 82.0), "left_wrist": (100.0, 84.0)}
    six = room(joints_at(trunk | limbs))
    assert fits(six, pixels(90, 110, 75, 86))
    assert not fits(six, pixels(90, 110, 75, 90))


@pytest.mark.parametrize(("nearer", "joints", "fit"), [(0.0, 16, True), (0.05, 7, True), (0.05, 9, False)])
def test_nobody_is_taller_than_1_3_times_the_annotated_person(nearer: float, joints: int, fit: bool) -> None:
    """Somebody of 1.7 m is 221 pixels tall, 1.3 times 170, at 3.077 m; half of the joints decide."""
    somebody = pixels(80, 120, 80, 120, attributes={"height": 1.7})
    somebody.joints[:joints, 1] -= nearer
    assert fits(room(), somebody, 3.08) == fit


def test_nobody_stands_behind_people_whom_they_would_be_drawn_over() -> None:
    standing = person(LSP14, 100, 10)
    somebody = pixels(95, 105, 70, 80)
    assert fits(room(standing, scale=0.9), somebody, DISTANCE + 0.25)
    assert not fits(room(standing, scale=0.9), somebody, DISTANCE + 0.35)
    assert fits(room(standing, scale=0.9), pixels(20, 30, 70, 80), DISTANCE + 0.35)


def test_nobody_stands_where_nothing_of_them_is_seen() -> None:
    assert not fits(room(), pixels(210, 230, 80, 90))
    assert fits(room(), pixels(190, 230, 80, 90))


def test_covered_joints_are_hidden_and_no_others() -> None:
    joints = person(LSP14, 30, 10, 0.3)
    joints[0] = np.nan, np.nan, 0
    joints[1, 2] = 1
    joints[2, :2] = -40, 5
    covered = np.zeros((80, 60), bool)
    covered[:30] = True
    found = cover_joints(annotated(joints), covered).joints[0]
    np.testing.assert_array_equal(found[:, :2], joints[:, :2])
    under = (np.rint(joints[:, 1]) < 30) & (joints[:, 0] >= 0) & (joints[:, 2] == 2)
    assert under.any()
    np.testing.assert_array_equal(found[:, 2], np.where(under, 1, joints[:, 2]))
