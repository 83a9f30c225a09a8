"""Photographs and drawn places behind synthetic people."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from unittest.mock import ANY

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.errors import SourceError
from ltsh_deploy.images import read_image
from ltsh_deploy.train.synth_backgrounds import Backdrop, Photographs, open_backgrounds
from ltsh_deploy.train.synth_camera import aim_camera, focal_length, sample_camera
from ltsh_deploy.train.synth_drawn_places import draw_place_for
from ltsh_deploy.train.synth_palettes import car_colour, furnishing_colour, srgb_from_linear
from ltsh_deploy.train.synth_place_plan import Plan
from ltsh_deploy.train.synth_place_rays import PlaceView
from ltsh_deploy.train.synth_place_surfaces import PAINT
from ltsh_deploy.train.synth_places import draw_place
from ltsh_deploy.train.synth_rooms import plan_room
from ltsh_deploy.train.synth_streets import plan_outdoors
from ltsh_deploy.train.synth_types import Camera
from tests.synth_views import horizon_row


def write_picture(path: Path, width: int = 300, height: int = 200, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.linspace(0, 60, height)[:, None, None]
    picture = np.clip(value + rows + np.zeros((height, width, 3)), 0, 255).astype(np.uint8)
    assert cv2.imwrite(str(path), picture)


def camera_for(size: tuple[int, int] = (120, 90), pitch: float = 12.0, seed: int = 0) -> Camera:
    return sample_camera(np.random.default_rng(seed), size, (pitch, pitch))


def draw(folder: Path, seed: int = 0, size: tuple[int, int] = (120, 90)) -> Backdrop:
    return open_backgrounds(folder, size).draw(np.random.default_rng(seed), camera_for(size))


def test_photographs_fill_the_picture_and_come_back_with_the_seed(tmp_path: Path) -> None:
    for n in range(4):
        write_picture(tmp_path / "deep" / f"{n}.png", value=40 * n)
    drawn = [draw(tmp_path, seed) for seed in range(24)]
    assert all(place.image.shape == (90, 120, 3) and place.image.dtype == np.uint8 for place in drawn)
    assert all(place.light is None and place.ground is None for place in drawn)
    assert len({place.record["photograph"] for place in drawn}) == 4
    assert draw(tmp_path, 5).image.tobytes() == drawn[5].image.tobytes()


@pytest.mark.parametrize("size", [(1, 1), (640, 48), (33, 77)])
def test_photographs_of_any_shape_fill_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    write_picture(tmp_path / "wide.png", 900, 120)
    write_picture(tmp_path / "tall.png", 250, 700)
    for seed in range(6):
        assert draw(tmp_path, seed, size).image.shape == (size[1], size[0], 3)


def test_pictures_that_cannot_be_used_are_passed_over(tmp_path: Path) -> None:
    write_picture(tmp_path / "good.jpg")
    write_picture(tmp_path / "tiny.png", 20, 10)
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "good.jpg").read_bytes()[:300])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.jpg").write_bytes(b"nothing")
    assert {draw(tmp_path, seed).record["photograph"] for seed in range(8)} == {"good.jpg"}


def test_one_good_picture_among_many_bad_ones_is_found_and_the_others_are_counted_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_picture(tmp_path / "zz.jpg")
    data = (tmp_path / "zz.jpg").read_bytes()
    for n in range(40):
        (tmp_path / f"a{n}.jpg").write_bytes(data[: len(data) // 2])
        write_picture(tmp_path / f"b{n}.png", 20, 10)
    backgrounds = open_backgrounds(tmp_path, (120, 90))
    (told,) = caplog.messages
    assert "80 of 81 pictures cannot be used as backgrounds" in told
    assert f"(first: {tmp_path / 'a0.jpg'}: " in told
    drawn = [backgrounds.draw(np.random.default_rng(seed), camera_for()) for seed in range(3)]
    assert {place.record["photograph"] for place in drawn} == {"zz.jpg"}
    assert backgrounds.record() == {"pictures": 1, "digest": ANY}
    assert len(caplog.messages) == 1


def test_a_picture_that_looks_whole_and_is_not_is_passed_over_too(tmp_path: Path) -> None:
    write_picture(tmp_path / "good.png")
    head = (tmp_path / "good.png").read_bytes()[:33]
    chunks = [(b"IDAT", b"no pixels"), (b"IEND", b"")]
    rest = [struct.pack(">I", len(d)) + name + d + struct.pack(">I", zlib.crc32(name + d)) for name, d in chunks]
    for n in range(60):
        (tmp_path / f"bad{n}.png").write_bytes(head + b"".join(rest))
    assert {draw(tmp_path, seed).record["photograph"] for seed in range(4)} == {"good.png"}


def test_pictures_that_are_turned_upright_count_as_they_are_shown(tmp_path: Path) -> None:
    """Both are stored as 40 x 300 pixels; the first is shown as 300 x 40."""
    write_picture(tmp_path / "turned.jpg", 40, 300)
    data = (tmp_path / "turned.jpg").read_bytes()
    (tmp_path / "upright.jpg").write_bytes(data)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (tmp_path / "turned.jpg").write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:])
    assert read_image(tmp_path / "turned.jpg").shape == (40, 300, 3)
    for size, name in (((300, 40), "turned.jpg"), ((40, 300), "upright.jpg")):
        assert {draw(tmp_path, seed, size).record["photograph"] for seed in range(6)} == {name}


def test_a_folder_of_no_use_is_refused_with_its_name_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere: there is no such folder of backgrounds\n.*leave the option out"):
        open_backgrounds(tmp_path / "nowhere", (120, 90))
    with pytest.raises(SourceError, match="holds no picture"):
        open_backgrounds(tmp_path, (120, 90))
    write_picture(tmp_path / "tiny.png", 20, 10)
    with pytest.raises(
        SourceError, match=r"none of 1 pictures.*tiny\.png: 20 x 10 pixels are too few.*\n.*40 x 30 pixels"
    ):
        open_backgrounds(tmp_path, (120, 90))
    with pytest.raises(SourceError, match="no such folder"):
        open_backgrounds(tmp_path / "tiny.png", (120, 90))


def test_pictures_that_vanish_later_are_an_error_that_names_the_folder(tmp_path: Path) -> None:
    write_picture(tmp_path / "one.png")
    backgrounds = open_backgrounds(tmp_path, (120, 90))
    (tmp_path / "one.png").unlink()
    with pytest.raises(SourceError, match=r"none of 1 pictures"):
        backgrounds.draw(np.random.default_rng(0), camera_for())


def test_the_record_changes_with_the_pictures(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    before = Photographs(tmp_path, (120, 90)).record()
    assert before == Photographs(tmp_path, (120, 90)).record()
    write_picture(tmp_path / "b.png")
    after = Photographs(tmp_path, (120, 90)).record()
    assert before is not None
    assert after is not None
    assert (before["pictures"], after["pictures"]) == (1, 2)
    assert before["digest"] != after["digest"]
    assert open_backgrounds(None, (120, 90)).record() is None


@given(st.integers(0, 10_000), st.floats(0, 45), st.tuples(st.integers(1, 90), st.integers(1, 90)))
@settings(max_examples=25, deadline=None)
def test_drawn_places_are_whole(seed: int, pitch: float, size: tuple[int, int]) -> None:
    camera = camera_for(size, pitch, seed)
    place = open_backgrounds(None, size).draw(np.random.default_rng(seed), camera)
    again = open_backgrounds(None, size).draw(np.random.default_rng(seed), camera)
    assert place.image.shape == (size[1], size[0], 3)
    assert place.image.dtype == np.uint8
    assert place.image.tobytes() == again.image.tobytes()
    assert place.record == again.record
    assert place.ground is not None
    assert place.ground.min() >= 0
    assert place.ground.max() <= 1
    assert place.light is not None
    assert np.linalg.norm(place.light.key_direction) == pytest.approx(1, abs=1e-5)
    assert place.light.key_direction[2] > 0.1
    assert np.isfinite(place.light.ambient).all()
    assert (place.light.key_colour >= 0).all()


def test_places_are_of_many_kinds_and_neither_black_nor_white() -> None:
    kinds, levels = set(), []
    for seed in range(40):
        image, _, _, kind = draw_place_for(np.random.default_rng(seed), camera_for(seed=seed))
        kinds.add(kind)
        levels.append(image.mean())
    assert {"room", "hall", "street", "square", "park"} <= kinds
    assert min(levels) > 15
    assert max(levels) < 250
    assert np.ptp(levels) > 40


@pytest.mark.parametrize("seed", range(8))
def test_no_ground_is_seen_above_the_horizon(seed: int) -> None:
    camera = aim_camera((0.0, 0.0, 0.85), 6.0, 5.0, focal_length(50, 160), (160, 120), roll=4.0)
    _, _, ground, _ = draw_place_for(np.random.default_rng(seed), camera)
    for column in range(0, 160, 20):
        row = horizon_row(camera, column)
        assert ground[: max(0, int(row) - 4), column].max(initial=0) == 0
    assert ground[-10:].mean() > 0.5


def _plain_view(plan: Plan, camera: Camera) -> PlaceView:
    return PlaceView(
        centre=np.asarray(camera.centre, np.float64),
        rotation=np.asarray(camera.rotation, np.float64),
        focal=camera.focal,
        principal=np.array(camera.principal, np.float64),
        room=plan.room,
        solids=plan.solids(np.array([0.0, -100.0, 1.0]), 0.0),
        surfaces=plan.surfaces,
        ambient=plan.ambient,
        key_direction=plan.key_direction,
        key_colour=plan.key_colour,
        sky=plan.sky,
        seed=0.0,
    )


@pytest.mark.parametrize("blob", [False, True])
def test_things_appear_where_the_camera_projects_them(blob: bool) -> None:
    plan = Plan(np.random.default_rng(0), "test")
    for colour in (0.2, 0.2, 0.2, 0.9):
        plan.surface(PAINT, np.full(3, colour), np.full(3, colour))
    plan.ambient[0] = 1.0
    middle, half = np.array([0.7, 2.0, 0.4]), np.array([0.3, 0.2, 0.4])
    plan.box(middle.tolist(), half.tolist(), 3, blob=blob)
    camera = aim_camera((0.0, 0.0, 0.85), 6.0, 15.0, 300.0, (200, 160), yaw=20.0, roll=5.0)
    image, ground = np.empty((160, 200, 3), np.float32), np.empty((160, 200), np.float32)
    draw_place(_plain_view(plan, camera), image, ground)
    rows, columns = np.nonzero(image[..., 0] > 0.4)
    corners = middle + half * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    pixels, _ = camera.project(corners)
    seen = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
    expected = np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])
    slack = 12 if blob else 1.5
    assert np.abs(seen - expected).max() < slack
    assert (ground[rows, columns] == 0).all()


def test_shadows_fall_away_from_the_key_light() -> None:
    plan = Plan(np.random.default_rng(0), "test")
    for _ in range(3):
        plan.surface(PAINT, np.full(3, 0.5), np.full(3, 0.5))
    plan.ambient[0], plan.key_colour = 0.3, np.ones(3)
    plan.key_direction = np.array([0.8, 0.0, 0.6])
    plan.box((0.0, 0.0, 0.5), (0.2, 0.2, 0.5), 1)
    camera = aim_camera((0.0, 0.0, 0.0), 8.0, 60.0, 300.0, (240, 200))
    image, ground = np.empty((200, 240, 3), np.float32), np.empty((200, 240), np.float32)
    draw_place(_plain_view(plan, camera), image, ground)
    spots, _ = camera.project(np.array([[-0.8, 0.0, 0.0], [0.8, 0.0, 0.0]]))
    (dark_x, dark_y), (light_x, light_y) = np.rint(spots).astype(int)
    assert ground[dark_y, dark_x] == ground[light_y, light_x] == 1
    assert image[dark_y, dark_x, 0] < 0.5 * image[light_y, light_x, 0]


@pytest.mark.parametrize("seed", range(6))
def test_nothing_stands_between_the_camera_and_the_people(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = plan_room(rng, 3.0, 1.6) if seed % 2 else plan_outdoors(rng, 3.0)
    centre = np.array([0.0, -6.0, 1.6])
    solids = plan.solids(centre, 6.0)
    tall = solids[solids["half"][:, 2] > 0.05]
    for share in np.linspace(0, 0.85, 30):
        point = centre * (1 - share)
        inside = (np.abs(tall["middle"] - point) < tall["half"])[:, :2].all(axis=1)
        assert not inside.any()


@pytest.mark.parametrize("height", [1.2, 7.9])
def test_rooms_hold_the_free_space_and_the_camera_below_the_ceiling(height: float) -> None:
    for seed in range(10):
        plan = plan_room(np.random.default_rng(seed), 4.0, height)
        assert plan.room[1, 2] > height
        assert (np.abs(plan.room[:, :2]) > 4.0).all()


def test_nothing_that_rooms_are_furnished_with_is_loud_and_few_cars_are() -> None:
    rng = np.random.default_rng(0)
    furniture, cars = (
        np.array([srgb_from_linear(draw(rng)) for _ in range(800)]) for draw in (furnishing_colour, car_colour)
    )
    # The difference of a colour's largest and smallest channel; pinks and purples have more red and blue than green.
    assert np.ptp(furniture, axis=1).max() < 0.55
    purple = np.minimum(furniture[:, 0], furniture[:, 2]) - furniture[:, 1]
    assert purple.max() < 0.1
    assert np.ptp(furniture.mean(axis=1)) > 0.4
    assert 0.6 < (np.ptp(cars, axis=1) < 0.02).mean() < 0.85
    assert (np.ptp(cars, axis=1) > 0.3).any()
