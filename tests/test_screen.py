"""What a window shows beside the people."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.display import Display
from ltsh_deploy.screen import Tiles, write_corner

COLOURS = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (250, 250, 10), (10, 250, 250), (250, 10, 250), (250, 120, 10)]


def filled(colour: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), colour, np.uint8)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 2000), st.integers(1, 1200), st.text(max_size=90))
def test_any_text_on_any_picture_changes_its_corner_only_and_no_argument(width: int, height: int, text: str) -> None:
    image = filled((90, 120, 150), (width, height))
    before = image.copy()
    written = write_corner(image, text)
    assert written.shape == image.shape
    assert (image == before).all()
    if width >= 600 and height >= 100:
        assert (written[60:] == image[60:]).all()


def test_the_text_can_be_read_and_ends_within_the_picture() -> None:
    text = "63 ms to display, 14.2 frames/s"
    for width, height in ((320, 240), (640, 480), (1920, 1080)):
        written = write_corner(filled((200, 200, 200), (width, height)), text)
        bright = np.argwhere((written > 225).all(axis=2))
        assert len(bright) > 60
        assert 0.25 * width < bright[:, 1].max() < 0.98 * width
        assert bright[:, 0].max() < 0.12 * height


def test_the_corner_of_a_tile_has_the_text_at_the_tiles_own_size() -> None:
    whole = Tiles(2).put("a", filled((90, 90, 90), (16, 12)), "camera 0")
    assert ((whole > 225).all(axis=2)).sum() > 100
    assert not (whole[:, 960:] > 225).any()


@pytest.mark.parametrize("count", range(1, 8))
def test_every_source_has_its_own_place_and_keeps_it(count: int) -> None:
    tiles = Tiles(count)
    for colour in COLOURS[:count]:
        whole = tiles.put(colour, filled(colour))
    whole = tiles.put(COLOURS[0], filled(COLOURS[0], (30, 60))).copy()
    height, width = whole.shape[:2]
    assert width <= 1920
    assert height <= 1080
    areas = [int((whole == colour).all(axis=2).sum()) for colour in COLOURS]
    assert all(area > 0.3 * width * height / (count + 2) for area in areas[1:count])
    assert areas[0] > 0
    assert areas[count:] == [0] * (7 - count)


def test_shapes_are_kept() -> None:
    for size in ((400, 100), (100, 400), (3000, 3000), (1, 1), (5000, 2)):
        whole = Tiles(2).put("a", filled(COLOURS[0], size))
        y, x = np.nonzero((whole == COLOURS[0]).all(axis=2))
        shown = (x.max() - x.min() + 1, y.max() - y.min() + 1)
        assert abs(shown[0] * size[1] - shown[1] * size[0]) <= max(size)


def test_the_place_of_one_that_has_ended_is_emptied_and_given_to_the_next() -> None:
    tiles = Tiles(2)
    tiles.put(None, filled(COLOURS[0]))
    tiles.put("b", filled(COLOURS[1]))
    tiles.free("b")
    tiles.free("never there")
    whole = tiles.put("c", filled(COLOURS[2]))
    shown = [bool((whole == colour).all(axis=2).any()) for colour in COLOURS[:3]]
    assert shown == [True, False, True]
    with pytest.raises(IndexError):
        tiles.put("d", filled(COLOURS[3]))


def test_the_window_opens_as_large_as_what_it_shows_and_no_larger_than_a_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OpenCV's own functions are replaced: the one that is installed here has no windows."""
    monkeypatch.setenv("DISPLAY", ":0")
    sizes: list[tuple[int, int]] = []
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "resizeWindow", lambda _, width, height: sizes.append((width, height)))
    monkeypatch.setattr(cv2, "imshow", lambda *_: None)
    monkeypatch.setattr(cv2, "waitKey", lambda _: -1)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: 1.0)
    monkeypatch.setattr(cv2, "destroyWindow", lambda *_: None)
    for size in ((640, 480), (1920, 1080), (3, 4000)):
        with Display("ltsh") as display:
            # Resized by the user, it stays so.
            assert display.show(filled(COLOURS[0], size), wait=False)
            assert display.show(filled(COLOURS[0], size), wait=False)
    assert sizes == [(640, 480), (1280, 720), (1, 720)]
