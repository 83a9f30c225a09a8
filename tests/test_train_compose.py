"""Several people in one crop: where they are, what counts, and that it is always the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.datasets import Sample, SampleList
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.augment import Warp
from ltsh_deploy.train.batches import CropMaker, collate
from ltsh_deploy.train.compose import cut_out, draw_split, mosaic, outline, paste, tiles
from ltsh_deploy.train.crops import Crop, make_crop
from ltsh_deploy.train.pools import find_people
from ltsh_deploy.train.sampling import Sampler
from ltsh_deploy.train.targets import make_targets
from ltsh_deploy.train.teacher import Choice
from tests.training_data import make_samples, person, tiny_config

SIZE = (96, 64)


def crop(number: int, size: tuple[int, int] = SIZE, centre: tuple[float, float] | None = None) -> Crop:
    """One colour, one person; a column of cells is ignored."""
    width, height = size
    joints = person(np.random.default_rng(number), centre or (width / 2, height / 2), height / 2)[None]
    ignored = np.zeros((height // 8, width // 8), np.bool_)
    ignored[:, 0] = True
    whole = np.array([[-0.5, -0.5, width - 0.5, height - 0.5]])
    box = np.array([[-20.0, 0, width / 2, height + 30]])
    return Crop(
        np.full((height, width, 3), 20 * number + 10, np.uint8),
        joints,
        whole,
        box,
        np.array([number % 2 == 1]),
        np.array([False]),
        ignored,
        f"c{number}",
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 20), st.integers(2, 20), st.integers(0, 10_000))
def test_tiles_fill_a_crop_and_are_whole_cells(w: int, h: int, seed: int) -> None:
    size = (8 * w, 8 * h)
    covered = np.zeros((size[1], size[0]), int)
    for x, y, width, height in tiles(size, draw_split(np.random.default_rng(seed), size, 8)):
        assert {v % 8 for v in (x, y, width, height)} == {0}
        assert min(width, height) >= 8
        covered[y : y + height, x : x + width] += 1
    assert (covered == 1).all()


def test_a_mosaic_holds_its_crops_where_they_are_to_be() -> None:
    places = [tiles(SIZE, (40, 24))[i] for i in (3, 0, 1, 2)]
    crops = [crop(i, place[2:]) for i, place in enumerate(places)]
    whole = mosaic(crops, places, 8)
    assert whole.image.shape == (64, 96, 3)
    assert whole.name == "c0 + c1 + c2 + c3"
    assert whole.is_synthetic.tolist() == [False, True, False, True]
    for i, (part, (x, y, width, height)) in enumerate(zip(crops, places, strict=True)):
        assert (whole.image[y : y + height, x : x + width] == part.image).all()
        cells = whole.ignored[y // 8 : (y + height) // 8, x // 8 : (x + width) // 8]
        np.testing.assert_array_equal(cells, part.ignored)
        np.testing.assert_allclose(whole.joints[i], part.joints[0] + [x, y, 0])
        tile = np.array([x - 0.5, y - 0.5, x + width - 0.5, y + height - 0.5])
        np.testing.assert_allclose(whole.clips[i], tile)
        # The box was larger than the tile.
        np.testing.assert_allclose(whole.boxes[i], [tile[0], y, x + width / 2, tile[3]])


def test_in_a_mosaic_limbs_and_joints_end_at_the_tiles_edge() -> None:
    places = tiles(SIZE, (48, 32))
    crops = [crop(i, place[2:], centre=(46, 16)) for i, place in enumerate(places)]
    batch = collate([mosaic(crops, places, 8)])
    targets = make_targets(batch.people, batch.ignored * False, LTSH15, 8, limb_width=2.0, sigma=2.0)
    joints = crops[0].joints[0]
    outside = joints[:, 0] >= 47.5
    assert outside.any()
    # With nobody in the other tiles, what is left of this person ends where the tile ends.
    nobody = [crop(9, place[2:], centre=(500, 500)) for place in places[1:]]
    alone = collate([mosaic([crops[0], *nobody], places, 8)])
    only = make_targets(alone.people, alone.ignored * False, LTSH15, 8, limb_width=2.0, sigma=2.0)
    assert only.pafs[0, :, :, :6].any()
    assert not only.pafs[0, :, :, 6:].any()
    assert not only.heatmaps[0, :-1][outside].any()
    in_view = ((joints[:, :2] >= -0.5) & (joints[:, :2] < [47.5, 31.5])).all(axis=1)
    assert only.counts[0] == in_view.sum()
    assert targets.counts[0] > 3 * only.counts[0]


def body(size: tuple[int, int] = (120, 160)) -> Crop:
    return crop(3, size)


def test_an_outline_holds_the_limbs_and_little_else() -> None:
    whole = body()
    alpha = outline(whole, LTSH15, 80.0)
    assert alpha.shape == (160, 120)
    assert (alpha.min(), alpha.max()) == (0, pytest.approx(1, abs=0.01))
    joints = whole.joints[0]
    for a, b in LTSH15.limbs:
        x, y = np.rint((joints[a, :2] + joints[b, :2]) / 2).astype(int)
        assert alpha[y, x] > 0.9
    # A standing body covers about a fifth of the square of its height.
    assert 0.12 < alpha.sum() / 80**2 < 0.3
    assert alpha[0, 0] == 0


def test_an_outline_of_few_or_far_joints_is_no_error() -> None:
    whole = body()
    whole.joints[0, 2:] = [np.nan, np.nan, 0]
    assert outline(whole, LTSH15, 80.0).any()
    whole.joints[0] = [np.nan, np.nan, 0]
    assert not outline(whole, LTSH15, 80.0).any()
    whole.joints[0] = [1e9, -1e9, 2]
    assert not outline(whole, LTSH15, 80.0).any()


def test_a_mask_of_instances_is_used_where_there_is_one() -> None:
    joints = person(np.random.default_rng(0), (40, 40), 60)[None].repeat(2, axis=0)
    mask = np.zeros((80, 100), np.uint8)
    mask[10:20, 30:50], mask[40:60, 5:25] = 1, 2
    sample = Sample(
        id="a",
        image=cv2.imencode(".png", np.zeros((80, 100, 3), np.uint8))[1].tobytes(),
        skeleton=LTSH15,
        joints=joints,
        centres=np.full((2, 2), 40.0),
        scales=np.full(2, 0.3),
        is_synthetic=np.zeros(2, bool),
        trainable=np.ones(2, bool),
        instances=cv2.imencode(".png", mask)[1].tobytes(),
    )
    warp = Warp(np.array([[1.0, 0, 8], [0, 1, -8]]), False, SIZE)
    alpha = cut_out(sample, 1, warp, make_crop(sample, 1, warp, 8), (100, 80))
    expected = np.zeros((64, 96))
    expected[32:52, 13:33] = 1
    np.testing.assert_array_equal(alpha, expected)


def test_pieces_of_a_body_are_not_cut_out() -> None:
    (sample,) = make_samples(1)
    warp = Warp(np.eye(2, 3), False, (160, 136))
    assert cut_out(sample, 0, warp, make_crop(sample, 0, warp, 8), (160, 140)).any()
    joints = sample.joints.copy()
    joints[0, :4] = [np.nan, np.nan, 0]
    part = replace(sample, joints=joints)
    assert not cut_out(part, 0, warp, make_crop(part, 0, warp, 8), (160, 140)).any()


def test_who_is_pasted_is_seen_and_labelled() -> None:
    below, above = crop(0, centre=(20, 32)), crop(3, centre=(70, 32))
    alpha = np.zeros((64, 96), np.float32)
    alpha[:, 56:] = 1
    pasted = paste(below, above, alpha, 8)
    assert pasted is not None
    assert (pasted.image[:, :56] == 10).all()
    assert (pasted.image[:, 56:] == 70).all()
    np.testing.assert_array_equal(pasted.joints, np.concatenate([below.joints, above.joints]))
    assert pasted.is_synthetic.tolist() == [False, True]
    # The source's ignored column was not pasted.
    np.testing.assert_array_equal(pasted.ignored, below.ignored)
    assert (below.image == 10).all()
    assert len(below.joints) == 1


def test_what_does_not_count_where_it_was_cut_out_does_not_count_here() -> None:
    below, above = crop(0, centre=(20, 32)), crop(1, centre=(70, 32))
    above.ignored[:, 9:] = True
    alpha = np.zeros((64, 96), np.float32)
    alpha[:, 56:] = 1
    pasted = paste(below, above, alpha, 8)
    assert pasted is not None
    assert pasted.ignored[:, 9:].all()
    assert not pasted.ignored[:, 1:9].any()
    # Joints there may not be what their picture shows, so they are not labelled; the others are.
    outside = above.joints[0, :, 0] >= 71.5
    assert outside.any()
    assert (pasted.joints[1, outside, 2] == 0).all()
    assert np.isnan(pasted.joints[1, outside, 0]).all()
    assert (pasted.joints[1, ~outside, 2] == 2).all()


def test_what_somebody_else_hid_is_not_labelled() -> None:
    below, above = crop(0, centre=(20, 32)), crop(3, centre=(70, 32))
    alpha = np.zeros((64, 96), np.float32)
    # Of the person, who is 32 pixels tall, the lower half was behind somebody else.
    alpha[:32, 56:] = 1
    pasted = paste(below, above, alpha, 8)
    assert pasted is not None
    y = above.joints[0, :, 1]
    # What is cut out is not known to the pixel.
    kept, lost = y < 34, y > 37
    assert min(kept.sum(), lost.sum()) >= 4
    np.testing.assert_array_equal(pasted.joints[1, kept], above.joints[0, kept])
    assert (pasted.joints[1, lost, 2] == 0).all()
    assert np.isnan(pasted.joints[1, lost, :2]).all()
    # Nothing is learned of these joints where the person may be, and of the others all is.
    targets = make_targets(*((batch := collate([pasted])).people, batch.ignored * False), LTSH15, 8)
    assert not targets.heatmap_weights[0, :-1][lost][:, 5, 5].any()
    assert targets.heatmap_weights[0, :-1][kept].all()


def test_joints_out_of_view_stay_labelled_whatever_is_pasted() -> None:
    below, above = crop(0, centre=(20, 32)), crop(3, centre=(94, 32))
    alpha = np.zeros((64, 96), np.float32)
    alpha[:, 90:] = 1
    pasted = paste(below, above, alpha, 8)
    assert pasted is not None
    assert (above.joints[0, :, 0] > 95.5).any()
    np.testing.assert_array_equal(pasted.joints[1], above.joints[0])


def test_nobody_is_pasted_over_the_one_in_the_middle() -> None:
    alpha = np.ones((64, 96), np.float32)
    assert paste(crop(0), crop(1), alpha, 8) is None
    assert paste(crop(0), crop(1), 0 * alpha, 8) is None


def with_picture(synthetic: list[bool]) -> Sample:
    """A picture of 160 x 140 pixels with people side by side, real or synthetic."""
    count = len(synthetic)
    joints = np.stack([person(np.random.default_rng(i), (40 + 60 * i, 70), 60) for i in range(count)])
    return Sample(
        id="".join("s" if each else "r" for each in synthetic),
        image=cv2.imencode(".png", np.zeros((140, 160, 3), np.uint8))[1].tobytes(),
        skeleton=LTSH15,
        joints=joints,
        centres=joints[:, 14, :2],
        scales=np.full(count, 0.3),
        is_synthetic=np.array(synthetic),
        trainable=np.ones(count, bool),
    )


def crop_of(*synthetic: bool) -> Crop:
    return make_crop(with_picture(list(synthetic)), 0, Warp(np.eye(2, 3), False, (160, 136)), 8)


def test_a_persons_box_reaches_half_their_height_beyond_what_is_known_of_them() -> None:
    joints = np.full((2, 15, 3), np.nan)
    joints[:, :, 2] = 0
    joints[0, [2, 5]] = [[60, 50, 2], [72, 58, 1]]
    joints[1, 0] = 110, 90, 2
    sample = replace(
        with_picture([False, False]),
        joints=joints,
        centres=np.array([[66.0, 74.0], [110.0, 90.0]]),
        scales=np.array([0.3, 0.1]),
    )
    crop = make_crop(sample, 0, Warp(np.array([[0.5, 0, 10], [0, 0.5, -4]]), False, (96, 64)), 8)
    # Their heights are 60 and 20 pixels of the picture, so 30 and 10 of the crop.
    np.testing.assert_allclose(crop.boxes[0], [40 - 15, 21 - 15, 46 + 15, 33 + 15])
    np.testing.assert_allclose(crop.boxes[1], [65 - 5, 41 - 5, 65 + 5, 41 + 5])


@pytest.mark.parametrize(
    ("synthetic", "masked"), [((True, True), 0), ((False, False), 0), ((False, True), 1)], ids=["fake", "real", "mixed"]
)
def test_the_masked_condition_is_for_pictures_with_real_people(synthetic: tuple[bool, ...], masked: int) -> None:
    batch = collate([crop_of(*synthetic)])
    assert batch.is_synthetic.tolist() == [synthetic[0]]
    plain, other = (make_targets(batch.people, batch.ignored, LTSH15, masked=on) for on in (False, True))
    assert plain.counts.tolist() == [30]
    assert other.counts.tolist() == [30 - 15 * masked]
    assert (other.heatmap_weights.sum() < plain.heatmap_weights.sum()) == bool(masked)
    assert (other.paf_weights.sum() < plain.paf_weights.sum()) == bool(masked)


def test_composed_crops_know_who_is_a_synthetic_person_among_real_ones() -> None:
    places = tiles((320, 272), (160, 136))
    crops = [crop_of(True, True), crop_of(False, True), crop_of(True), crop_of(False)]
    assert mosaic(crops, places, 8).among_real.tolist() == [False, False, False, True, False, False]
    alpha = np.zeros((136, 160), np.float32)
    alpha[:40, :40] = 1
    for below, above, among_real in (
        (crop_of(False), crop_of(True), [False, True]),
        (crop_of(True), crop_of(True), [False, False]),
        # The one who comes makes of those who are there synthetic people among real ones.
        (crop_of(True, True), crop_of(False), [True, True, False]),
        (crop_of(False, True), crop_of(True, True), [False, True, True]),
    ):
        pasted = paste(below, above, alpha, 8)
        assert pasted is not None
        assert pasted.among_real.tolist() == among_real


def test_colours_change_as_configured() -> None:
    plain, grey = (maker(), maker(colour={"grey": 1.0}))
    for one, other in zip(made(plain), made(grey), strict=True):
        assert np.ptp(one.image, axis=2).max() > 30
        assert np.ptp(other.image, axis=2).max() == 0
        np.testing.assert_array_equal(one.joints, other.joints)
    # Colours are those of the whole crop, whatever it was put together from.
    assert all(np.ptp(each.image, axis=2).max() == 0 for each in made(maker(colour={"grey": 1.0}, mosaic=1.0)))


def test_a_picture_is_read_once_for_its_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = replace(with_picture([False]), instances=cv2.imencode(".png", np.ones((140, 160), np.uint8))[1].tobytes())
    pool = find_people("set", SampleList([sample], "set", LTSH15), LTSH15, "train")
    read = []
    monkeypatch.setattr(Sample, "read_image", lambda own: read.append(own.id) or np.zeros((140, 160, 3), np.uint8))
    make = CropMaker(Sampler([pool], [1.0], 1, 0), tiny_config(compose={"paste": 1.0}), 8)
    make(0, 0)
    # Who is in the middle, and who is pasted.
    assert read == ["r", "r"]


def maker(synthetic: bool = False, colour: Any = None, **compose: float) -> CropMaker:
    config = tiny_config(compose=compose, batch=8, size=[96, 64], colour=colour or {})
    pool = find_people("set", make_samples(30, synthetic=synthetic), LTSH15, "train")
    sampler = Sampler([pool], [1.0], 8, 0, [np.arange(30) % 3] if synthetic else [])
    return CropMaker(sampler, config, 8)


def made(make: CropMaker, choice: Choice | None = None) -> list[Crop]:
    return [make(step, slot, choice) for step in range(2) for slot in range(8)]


def same(one: Crop, other: Crop) -> bool:
    return one.name == other.name and all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "joints")
        for name in ("image", "joints", "clips", "boxes", "ignored")
    )


@pytest.mark.parametrize("compose", [{"mosaic": 1.0}, {"paste": 1.0}, {"mosaic": 0.5, "paste": 0.5}])
def test_composed_crops_are_always_the_same_and_sound(compose: dict[str, float]) -> None:
    first, second = made(maker(**compose)), made(maker(**compose))
    assert all(map(same, first, second))
    people = [len(each.joints) for each in first]
    assert sum(people) > 1.3 * len(first)
    for each in first:
        assert each.image.shape == (64, 96, 3)
        assert each.is_useful
        assert each.name.count("+") + 1 == len(each.joints)
    if compose.get("mosaic") == 1:
        assert set(people) == {4}
    collate(first)


def test_nothing_changes_where_it_is_off() -> None:
    assert all(map(same, made(maker()), made(maker(mosaic=0.0, paste=0.0))))
    # Where it is on, the person in the middle is still the one whose turn it is.
    names = [each.name for each in made(maker())]
    assert [each.name.split(" + ")[0] for each in made(maker(mosaic=1.0))] == names
    assert [each.name.split(" + ")[0] for each in made(maker(paste=1.0))] == names


@pytest.mark.parametrize("compose", [{"mosaic": 1.0}, {"paste": 1.0}])
def test_everybody_in_a_synthetic_crop_is_of_the_teachers_group(compose: dict[str, float]) -> None:
    for each in made(maker(True, **compose), Choice(2, (), explored=False, window=0)):
        assert {int(name.rpartition("p")[2]) % 3 for name in each.name.split(" + ")} == {2}
        assert each.is_synthetic.all()


def test_the_pasted_person_is_where_the_labels_say() -> None:
    """The pictures are grey but for the people's limbs, which have colours."""
    colourful = []
    for each in made(maker(paste=1.0)):
        for joints in each.joints[1:]:
            for a, b in LTSH15.limbs:
                x, y = (joints[a, :2] + joints[b, :2]) / 2
                if joints[a, 2] > 0 and joints[b, 2] > 0 and 2 <= x < 93 and 2 <= y < 61:
                    colourful.append(np.ptp(each.image[round(y), round(x)]) > 30)
    assert len(colourful) > 30
    assert np.mean(colourful) > 0.9
