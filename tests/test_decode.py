"""Every decoder against the slow reference, at the edges, and from poses to maps and back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import linear_sum_assignment

import ltsh_deploy.decode as numpy_decoder
from benchmarks.people import random_people
from ltsh_deploy import compiled
from ltsh_deploy.decode import Connections, DecodeConfig, Peaks, decode_fields
from ltsh_deploy.encode import encode_fields
from ltsh_deploy.errors import FieldsError, UsageError
from ltsh_deploy.fields import Fields, cells_to_pixels
from ltsh_deploy.skeletons import COCO17, COCO18, LTSH15, Skeleton
from tests import reference_decoder

ARM = Skeleton("arm", ("shoulder", "elbow", "wrist"), ((0, 1), (1, 2)), (), (0.1,) * 3)
RING = Skeleton("ring", ("a", "b", "c"), ((0, 1), (1, 2), (2, 0)), (), (0.1,) * 3)


@pytest.fixture(scope="module", params=["numpy", "compiled", "cuda"], autouse=True)
def decoder(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Every implementation with decode.py's signatures; decode_fields, too, takes the one that is given."""
    if request.param == "compiled" and compiled.why_missing():
        pytest.skip(f"needs the compiled decoder: {compiled.why_missing()}")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "cuda":
            steps = request.getfixturevalue("cuda_steps")
            # decode_fields has no way to the GPU: whoever has maps there calls the decoder itself.
            patch.setattr(numpy_decoder, "find_peaks", steps.find_peaks)
            patch.setattr(numpy_decoder, "score_limbs", steps.score_limbs)
            patch.setenv("LTSH_DECODER", "numpy")
            yield steps
            return
        patch.setenv("LTSH_DECODER", request.param)
        yield {"numpy": numpy_decoder, "compiled": compiled}[request.param]


def assert_same_peaks(got: Peaks, want: Peaks) -> None:
    np.testing.assert_array_equal(got.joints, want.joints)
    np.testing.assert_array_equal(got.starts, want.starts)
    np.testing.assert_array_equal(got.dropped, want.dropped)
    np.testing.assert_allclose(got.xy, want.xy, atol=1e-3)
    np.testing.assert_allclose(got.scores, want.scores, atol=1e-4)


def assert_same_connections(got: Connections, want: Connections) -> None:
    for name in ("limbs", "first", "second"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
    np.testing.assert_allclose(got.scores, want.scores, atol=1e-5)


def maps(name: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Skeleton]:
    """Heat maps and PAFs of one of the cases that decoders are compared on."""
    rng = np.random.default_rng(7)
    skeleton = COCO18 if "coco" in name else LTSH15
    size = (20, 27)
    if "people" in name:
        xy = random_people(rng, 6, skeleton, (size[1] * 8, size[0] * 8), apart=0, inside=False)
        fields = encode_fields(xy, skeleton, size)
        heatmaps, pafs = fields.heatmaps[:-1], fields.pafs
        if "noisy" in name:
            heatmaps = heatmaps + rng.normal(0, 0.02, heatmaps.shape).astype(np.float32)
            pafs = pafs + rng.normal(0, 0.02, pafs.shape).astype(np.float32)
    else:
        shapes: dict[str, tuple[int, int]] = {"cell": (1, 1), "row": (1, 9), "column": (9, 1), "narrow": (2, 2)}
        size = shapes.get(name, (12, 9))
        heatmaps = rng.random((skeleton.num_joints, *size), np.float32)
        pafs = rng.uniform(-1, 1, (2 * skeleton.num_limbs, *size)).astype(np.float32)
    if "levels" in name:
        heatmaps = np.round(heatmaps * 4) / np.float32(4)
    if name == "empty":
        heatmaps = np.zeros_like(heatmaps)
    if name == "negative":
        heatmaps = heatmaps - 2
    if name == "constant":
        heatmaps = np.full_like(heatmaps, 0.5)
    if name == "one joint only":
        heatmaps[1:] = 0
    if name == "not contiguous":
        heatmaps, pafs = (np.asfortranarray(m)[:, ::-1, ::-1] for m in (heatmaps, pafs))
    return heatmaps, pafs, skeleton


CASES = [
    "people", "people coco", "people noisy", "people noisy coco", "people levels", "noise", "noise levels", "empty",
    "negative", "constant", "one joint only", "not contiguous", "cell", "row", "column", "narrow",
]  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_step_agrees_with_the_reference(decoder: Any, name: str) -> None:
    heatmaps, pafs, skeleton = maps(name)
    peaks = reference_decoder.find_peaks(heatmaps, max_peaks=20)
    assert_same_peaks(decoder.find_peaks(heatmaps, max_peaks=20), peaks)
    connections = reference_decoder.score_limbs(pafs, peaks, skeleton)
    assert_same_connections(decoder.score_limbs(pafs, peaks, skeleton), connections)
    poses = reference_decoder.assemble_poses(peaks, connections, skeleton)
    got = decoder.assemble_poses(peaks, connections, skeleton)
    np.testing.assert_allclose(got.scores, poses.scores, atol=1e-9)
    np.testing.assert_allclose(got.xy, poses.xy, atol=1e-9)
    np.testing.assert_allclose(got.joint_scores, poses.joint_scores, atol=1e-9)


@pytest.mark.parametrize(
    "config",
    [
        DecodeConfig(samples=2, min_samples=1),
        DecodeConfig(samples=2, min_samples=2),
        DecodeConfig(samples=7, min_samples=7),
        DecodeConfig(samples=10, min_samples=1),
        DecodeConfig(max_limb=0.1, sample_threshold=0.3),
        DecodeConfig(sure_peak=0.9),
    ],
)
def test_every_setting_of_limbs_agrees_with_the_reference(decoder: Any, config: DecodeConfig) -> None:
    heatmaps, pafs, skeleton = maps("noise")
    peaks = reference_decoder.find_peaks(heatmaps, max_peaks=8)
    want = reference_decoder.score_limbs(pafs, peaks, skeleton, config)
    assert len(want.limbs)
    assert_same_connections(decoder.score_limbs(pafs, peaks, skeleton, config), want)


@cache
def very_many_pairs(strength: float) -> tuple[np.ndarray[Any, Any], Peaks, Connections]:
    """PAFs, peaks, and what the reference, which takes seconds, makes of them."""
    rng = np.random.default_rng(3)
    peaks = reference_decoder.find_peaks(rng.random((3, 40, 40), np.float32), max_peaks=60)
    pafs = rng.uniform(-1, 1, (4, 40, 40)).astype(np.float32)
    # Weak but for a part of the picture, in which limbs are found.
    pafs[:, 9:] *= np.float32(strength)
    return pafs, peaks, reference_decoder.score_limbs(pafs, peaks, ARM)


@pytest.mark.parametrize("strength", [1.0, 0.005])
def test_very_many_pairs_agree_with_the_reference(decoder: Any, strength: float) -> None:
    """So many that scoring goes through several blocks and stages, in fields that are strong and in weak ones."""
    pafs, peaks, want = very_many_pairs(strength)
    assert len(peaks) == 180
    assert len(want.limbs) > 5
    assert_same_connections(decoder.score_limbs(pafs, peaks, ARM), want)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)),
        elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    ),
    st.integers(1, 9),
)
def test_peaks_of_maps_full_of_plateaus_agree_with_the_reference(decoder: Any, heatmaps: Any, max_peaks: int) -> None:
    assert_same_peaks(
        decoder.find_peaks(heatmaps, 0.1, max_peaks), reference_decoder.find_peaks(heatmaps, 0.1, max_peaks)
    )


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.just(1), st.integers(1, 6), st.integers(1, 6)),
        elements=st.floats(0.0625, 1, width=32),
        # On a plateau it is the first cell that counts, and that does not mirror.
        unique=True,
    ),
)
def test_a_mirrored_map_has_mirrored_peaks_to_the_last_bit(decoder: Any, heatmaps: Any) -> None:
    """So that of two people who mirror each other neither is preferred by rounding."""
    plain, mirrored = decoder.find_peaks(heatmaps), decoder.find_peaks(heatmaps[:, :, ::-1])
    assert len(plain) == len(mirrored)
    assert sorted(plain.scores) == sorted(mirrored.scores)
    # What mirrors exactly is the place within a cell. Added to the cell's number, below 8, it rounds by 2^-51 at most.
    np.testing.assert_allclose(
        sorted(heatmaps.shape[2] - 1 - plain.xy[:, 0]), sorted(mirrored.xy[:, 0]), rtol=0, atol=2**-50
    )


@pytest.mark.parametrize(
    ("rows", "centres"),
    [
        (["....", ".##.", "...."], [(1.5, 1.0)]),
        (["....", ".##.", ".##.", "...."], [(1.5, 1.5)]),
        (["#####"], [(2.0, 0.0)]),
        (["#..", ".#.", "..#"], [(1.0, 1.0)]),
        (["#.#", "#.#", "###"], [(1.0, 8 / 7)]),
        (["##@"], [(2.0, 0.0)]),
        (["#.#"], [(0.0, 0.0), (2.0, 0.0)]),
    ],
)
def test_a_plateau_is_one_peak_or_a_step_to_a_higher_one(
    decoder: Any, rows: list[str], centres: list[tuple[float, float]]
) -> None:
    levels = {".": 0.0, "#": 0.5, "@": 0.9}
    heatmap = np.array([[[levels[c] for c in row] for row in rows]], np.float32)
    peaks = decoder.find_peaks(heatmap)
    assert len(peaks) == len(centres)
    if "@" not in "".join(rows):
        np.testing.assert_allclose(peaks.xy, centres, atol=1e-6)


@pytest.mark.parametrize("place", [(0, 0), (-3.5, 100), (367, 367), (371, -3), (180, 371.4), (3.6, 3.4), (183.5, 91.5)])
def test_a_joint_is_found_where_it_is_also_at_borders_corners_and_between_cells(
    decoder: Any, place: tuple[float, float]
) -> None:
    dot = Skeleton("dot", ("dot",), (), (), (0.1,))
    fields = encode_fields(np.array([[place]]), dot, (46, 46))
    peaks = decoder.find_peaks(fields.heatmaps[:1])
    np.testing.assert_allclose(cells_to_pixels(peaks.xy, 8), [place], atol=1e-3)
    np.testing.assert_allclose(peaks.scores, min(1, 2 * fields.heatmaps[0].max()), atol=1e-4)


def test_the_strongest_peaks_are_kept_in_order_and_the_rest_counted(decoder: Any) -> None:
    heatmaps = np.zeros((2, 5, 21), np.float32)
    values = np.linspace(0.1, 1, 10, dtype=np.float32)
    heatmaps[0, 2, 1::2] = values[[3, 1, 4, 0, 5, 9, 2, 6, 8, 7]]
    peaks = decoder.find_peaks(heatmaps, max_peaks=4)
    np.testing.assert_array_equal(peaks.dropped, [6, 0])
    np.testing.assert_allclose(peaks.xy[:, 0], [11, 15, 17, 19])
    heatmaps[0, 2, 1::2] = 0.5
    np.testing.assert_allclose(decoder.find_peaks(heatmaps, max_peaks=2).xy[:, 0], [1, 3])


def peaks_at(joints: list[int], xy: list[tuple[float, float]], count: int) -> Peaks:
    starts = np.searchsorted(joints, np.arange(count + 1))
    return Peaks(np.array(joints), np.array(xy, float), np.ones(len(joints)), starts, np.zeros(count, np.intp))


def test_partial_people_that_meet_through_a_limb_become_one(decoder: Any) -> None:
    """Shoulder-elbow and wrist-hand are found first and share no joint; the elbow-wrist limb then joins them."""
    chain = Skeleton("chain", ("s", "e", "w", "h"), ((0, 1), (2, 3), (1, 2)), (), (0.1,) * 4)
    peaks = peaks_at([0, 1, 2, 3], [(0, 0), (1, 0), (2, 0), (3, 0)], 4)
    links = Connections(np.array([0, 1, 2]), np.array([0, 2, 1]), np.array([1, 3, 2]), np.array([0.9, 0.8, 0.7]))
    poses = decoder.assemble_poses(peaks, links, chain)
    assert len(poses) == 1
    assert poses.present.all()
    assert poses.scores[0] == pytest.approx((4 + 0.9 + 0.8 + 0.7) / 8)


def test_people_with_a_joint_of_one_kind_are_not_merged_and_the_weaker_limb_gives_way(decoder: Any) -> None:
    peaks = peaks_at([0, 0, 1, 2], [(0, 0), (5, 0), (1, 0), (2, 0)], 3)
    ring = Connections(np.array([0, 1, 2]), np.array([0, 2, 3]), np.array([2, 3, 1]), np.array([0.5, 0.9, 0.6]))
    poses = decoder.assemble_poses(peaks, ring, RING)
    assert len(poses) == 1
    np.testing.assert_array_equal(poses.xy[0], [(5, 0), (1, 0), (2, 0)])


def test_limits_on_joints_and_score_hold(decoder: Any) -> None:
    peaks = peaks_at([0, 1, 2], [(0, 0), (1, 0), (2, 0)], 3)
    links = Connections(np.array([0]), np.array([0]), np.array([1]), np.array([0.4]))
    counts = {
        limit: [
            len(decoder.assemble_poses(peaks, links, ARM, DecodeConfig(min_joints=j, min_score=limit)))
            for j in (1, 2, 3)
        ]
        for limit in (0.0, 0.6, 0.7)
    }
    assert counts == {0.0: [2, 1, 0], 0.6: [1, 1, 0], 0.7: [0, 0, 0]}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("which", ["heatmaps", "pafs"])
def test_a_map_that_is_not_finite_is_an_error_never_poses(value: float, which: str) -> None:
    fields = encode_fields(random_people(np.random.default_rng(0), 1, LTSH15, (160, 160)), LTSH15, (20, 20))
    getattr(fields, which)[3, 4, 5] = value
    with pytest.raises(FieldsError, match="NaN or infinity"):
        decode_fields(fields, LTSH15)


def test_maps_of_another_skeleton_are_an_error() -> None:
    fields = encode_fields(np.zeros((0, 15, 2)), LTSH15, (4, 4))
    with pytest.raises(FieldsError, match="do not fit skeleton 'coco18'"):
        decode_fields(fields, COCO18)
    with pytest.raises(FieldsError, match="one size"):
        Fields(fields.heatmaps, fields.pafs[:, 1:], 8)
    with pytest.raises(FieldsError, match="at least one cell"):
        Fields(fields.heatmaps[:, :0], fields.pafs[:, :0], 8)


@pytest.mark.parametrize(
    "wrong",
    [
        {"peak_threshold": -0.1},
        {"max_peaks": 0},
        {"samples": 1},
        {"min_samples": 11},
        {"min_score": float("nan")},
        {"max_peaks": 2.5},
        {"samples": "a"},
        {"min_joints": True},
        {"max_peaks": np.float64(60)},
        {"peak_threshold": np.float32("nan")},
        {"min_score": np.True_},
        {"sure_peak": float("inf")},
        {"sure_peak": 1e200},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        DecodeConfig(**wrong)


def test_numpys_numbers_are_settings_and_become_pythons() -> None:
    config = DecodeConfig(max_peaks=np.int64(7), samples=np.uint8(9), sure_peak=np.float32(0.25), max_limb=np.int32(2))
    assert config == DecodeConfig(max_peaks=7, samples=9, sure_peak=0.25, max_limb=2)
    assert {type(value) for value in vars(config).values()} == {int, float}


def test_the_faintest_peaks_still_join_where_peaks_must_be_the_surest(decoder: Any) -> None:
    """A score of zero joins two peaks for some decoders, and for others not."""
    faint = np.float32(1e-45)
    heatmaps, pafs = np.zeros((3, 1, 9), np.float32), np.zeros((4, 1, 9), np.float32)
    heatmaps[0, 0, 1] = heatmaps[1, 0, 7] = faint
    pafs[0] = 1
    config = DecodeConfig(peak_threshold=0, sure_peak=1e6, max_limb=9, sample_threshold=0)
    links = decoder.score_limbs(pafs, decoder.find_peaks(heatmaps, 0), ARM, config)
    assert len(links.scores) == 1
    assert links.scores[0] > 0


def match(poses: Any, people: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Distances [M, J] of matched people's joints, in pixels (NaN where not found), and the signed errors [M, J, 2]."""
    errors = poses.xy[:, None] - people[None]
    distances = np.hypot(errors[..., 0], errors[..., 1])
    cost = np.where(np.isnan(distances), 100.0, np.minimum(distances, 100)).mean(axis=2)
    rows, columns = linear_sum_assignment(cost)
    return distances[rows, columns], errors[rows, columns]


@pytest.mark.parametrize("skeleton", [LTSH15, COCO18, COCO17], ids=lambda s: s.name)
@pytest.mark.parametrize("count", [1, 2, 5, 12, 20, 30, 40])
def test_targets_of_people_decode_to_those_people(skeleton: Skeleton, count: int) -> None:
    people = random_people(np.random.default_rng(count), count, skeleton, (736, 368))
    poses = decode_fields(encode_fields(people, skeleton, (46, 92)), skeleton)
    assert len(poses) == count
    distances, errors = match(poses, people)
    found = distances < 8
    assert np.median(distances[found]) < 0.01
    assert distances[found].mean() <= 0.1
    assert np.abs(errors[found].mean(axis=0)).max() < 0.05
    # Limbs that lie on one line are told apart by nothing in the maps, so a few joints may go to a neighbour.
    assert found.mean() >= (1.0 if count <= 5 else 0.97)


@pytest.mark.parametrize("count", [1, 10, 30])
def test_noise_moves_joints_by_little(count: int) -> None:
    rng = np.random.default_rng(count)
    people = random_people(rng, count, LTSH15, (656, 368))
    clean = encode_fields(people, LTSH15, (46, 82))
    noisy = [(m + rng.normal(0, 0.02, m.shape)).astype(np.float32) for m in (clean.heatmaps, clean.pafs)]
    distances, errors = match(decode_fields(Fields(*noisy, 8), LTSH15), people)
    near = distances < 8
    assert distances[near].mean() <= 0.35
    assert np.abs(errors[near].mean(axis=0)).max() < 0.05
    assert near.mean() > 0.95


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([LTSH15, COCO18]))
def test_overlapping_people_cut_by_the_border_decode_within_half_a_pixel(
    count: int, seed: int, skeleton: Skeleton
) -> None:
    """Joints of two people that share a cell have one peak; every peak that is found lies where a joint is."""
    rng = np.random.default_rng(seed)
    people = random_people(rng, count, skeleton, (368, 368), apart=0, inside=False)
    poses = decode_fields(encode_fields(people, skeleton, (46, 46)), skeleton)
    distances = np.hypot(*np.moveaxis(poses.xy[:, None] - people[None], -1, 0)).min(axis=1)
    if np.isfinite(distances).any():
        assert np.nanmedian(distances) <= 0.5
    visible = ((people > -4) & (people < 371)).all(axis=(1, 2))
    assert len(poses) >= visible.sum() * 0.5


def test_the_same_maps_give_the_same_poses_whatever_their_memory_layout() -> None:
    heatmaps, pafs, skeleton = maps("people noisy")
    once = decode_fields(Fields(heatmaps, pafs, 8), skeleton)
    again = decode_fields(Fields(np.asfortranarray(heatmaps), np.asfortranarray(pafs), 8), skeleton)
    np.testing.assert_array_equal(once.xy, again.xy)
    np.testing.assert_array_equal(once.scores, again.scores)
    assert (np.diff(once.scores) <= 0).all()


def test_memory_stays_bounded_on_noise() -> None:
    import tracemalloc

    rng = np.random.default_rng(0)
    fields = Fields(rng.random((19, 184, 216), np.float32), rng.uniform(-1, 1, (38, 184, 216)).astype(np.float32), 8)
    tracemalloc.start()
    poses = decode_fields(fields, COCO18)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert poses.dropped_peaks > 10_000
    assert peak < 64 * 2**20
