"""PCK@0.2, and who is taken for the labelled person."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from ltsh_deploy.checkpoints import save_checkpoint
from ltsh_deploy.datasets import Sample, SampleList
from ltsh_deploy.encode import encode_fields
from ltsh_deploy.errors import ImageError, InputError
from ltsh_deploy.evaluation.choosing import choose_person
from ltsh_deploy.evaluation.evaluation import evaluate_model
from ltsh_deploy.evaluation.predictions import UnitPredictions
from ltsh_deploy.evaluation.protocols import Protocol
from ltsh_deploy.evaluation.sample_units import single_unit
from ltsh_deploy.evaluation.units import EvaluationSet, Unit
from ltsh_deploy.fields import Fields
from ltsh_deploy.images import place
from ltsh_deploy.network_base import ImageNetwork, PoseNetwork
from ltsh_deploy.networks import create_network
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO17, LSP14, LTSH15, Skeleton
from ltsh_deploy.train.augment import centred_warp
from ltsh_deploy.train.batches import CropMaker, collate
from ltsh_deploy.train.config import RunConfig
from ltsh_deploy.train.pck import PckScore, has_torso, pck
from ltsh_deploy.train.pools import find_people
from ltsh_deploy.train.sampling import Sampler
from ltsh_deploy.train.student import Student
from ltsh_deploy.train.validation import NO_PICTURE, NO_TORSO, Measurement, validate
from tests.training_data import TINY_NETWORK, make_samples, person, picture, tiny_config

HIP, SHOULDER, WRIST = (LTSH15.joints.index(name) for name in ("right_hip", "left_shoulder", "left_wrist"))
FAR = 1e4


def unit(joints: npt.NDArray[np.float64], skeleton: Skeleton = LTSH15, name: str = "one") -> Unit:
    nothing = np.full(1, np.nan)
    return Unit(name, skeleton, joints[None], nothing, nothing, np.full((1, 2), np.nan), size=(200, 200))


def scored(joints: npt.NDArray[np.float64], found: npt.NDArray[np.float64], skeleton: Skeleton = LTSH15) -> PckScore:
    """Of people [P, J, 3] of whom [P, J, 2] was found."""
    units = [unit(each, skeleton, f"u{i}") for i, each in enumerate(joints)]
    ones = np.ones((1, skeleton.num_joints))
    predictions = [
        UnitPredictions(one.id, Poses(skeleton, xy[None], ones, ones[:, 0]))
        for one, xy in zip(units, found, strict=True)
    ]
    return pck(units, predictions, "people")


def people(count: int, skeleton: Skeleton = LTSH15) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 200, (count, skeleton.num_joints, 2))
    return np.concatenate([xy, np.full((*xy.shape[:2], 1), 2.0)], axis=2)


def test_pck_is_the_mean_of_the_rates_of_fourteen_joints() -> None:
    joints = people(4)
    found = joints[:, :, :2].copy()
    found[:, LTSH15.joints.index("torso_centre")] += FAR
    found[0, HIP] += FAR
    found[:3, SHOULDER] += FAR
    # Of one person only this joint is labelled, and it is found.
    joints[1:, WRIST] = [np.nan, np.nan, 0]
    score = scored(joints, found)
    assert score.pck == pytest.approx((12 * 100 + 75 + 25) / 14)
    assert (score.joints["right_hip"], score.joints["left_shoulder"], score.joints["left_wrist"]) == (75, 25, 100)
    assert len(score.joints) == 14
    assert score.people == 4


def test_a_joint_that_nobody_has_labelled_does_not_count() -> None:
    joints = people(2)
    joints[:, WRIST] = [np.nan, np.nan, 0]
    score = scored(joints, joints[:, :, :2])
    assert "left_wrist" not in score.joints
    assert score.pck == 100
    # The neck of COCO's people is between the shoulders; of their heads, nobody knows the top.
    assert len(scored(people(1, COCO17), people(1, COCO17)[:, :, :2], COCO17).joints) == 13


def test_the_torso_reaches_from_the_right_hip_to_the_left_shoulder() -> None:
    joints = people(1)[0]
    assert has_torso(unit(joints))
    for joint in (HIP, SHOULDER):
        unlabelled = joints.copy()
        unlabelled[joint] = [np.nan, np.nan, 0]
        assert not has_torso(unit(unlabelled))
    joints[HIP] = joints[SHOULDER]
    assert not has_torso(unit(joints))
    assert not has_torso(unit(np.ones((2, 3)), Skeleton("wings", ("a", "b"), ((0, 1),), (), (0.1, 0.1))))


def test_a_hit_is_within_a_fifth_of_the_torso() -> None:
    joints = people(1)
    joints[0, HIP, :2], joints[0, SHOULDER, :2] = [0, 0], [60, 80]
    found = joints[:, :, :2].copy()
    for offset, rate in (([12, 16], 100), ([12.1, 16], 0), ([np.nan, np.nan], 0)):
        found[0, WRIST] = joints[0, WRIST, :2] + offset
        assert scored(joints, found).joints["left_wrist"] == rate


def at(*centres: tuple[float, float], scores: tuple[float, ...]) -> Poses:
    xy = np.array([person(np.random.default_rng(0), centre)[:, :2] for centre in centres])
    return Poses(LTSH15, xy, np.repeat(np.array(scores)[:, None], 15, axis=1), np.array(scores))


@pytest.mark.parametrize(
    ("first", "second", "scores", "chosen"),
    [
        ((100, 100), (100, 20), (0.5, 0.5), 0),
        ((100, 20), (100, 100), (0.5, 0.5), 1),
        # As near, but surer.
        ((60, 100), (140, 100), (0.4, 0.5), 1),
        # Far surer, and not much farther away.
        ((100, 100), (120, 100), (0.1, 0.9), 1),
    ],
)
def test_the_person_who_is_sure_and_near_is_meant(first: Any, second: Any, scores: Any, chosen: int) -> None:
    poses = at(first, second, scores=scores)
    found = choose_person(poses, np.array([100.0, 100.0]), (200, 200))
    assert found is not None
    np.testing.assert_array_equal(found, poses.xy[chosen])
    assert choose_person(Poses.empty(LTSH15), np.zeros(2), (10, 10)) is None


class Oracle(nn.Module):
    """Draws the maps of people whom it recognises by their picture; a stand-in for a network that is right."""

    stride, skeleton = 8, LTSH15

    def __init__(self, truth: dict[bytes, npt.NDArray[np.float64]], network: PoseNetwork) -> None:
        super().__init__()
        self.truth, self.name, self.config = truth, network.name, network.config

    def forward(self, images: torch.Tensor) -> Any:
        h, w = images.shape[2:]
        maps = [encode_fields(self.truth[key(image)], LTSH15, (h // 8, w // 8)) for image in images]
        heat, pafs = (np.stack([getattr(m, name) for m in maps]) for name in ("heatmaps", "pafs"))
        return [(torch.from_numpy(heat).float(), torch.from_numpy(pafs).float())]


def key(image: torch.Tensor) -> bytes:
    return bytes(image.numpy().tobytes())


def sample(number: int, size: tuple[int, int], joints: npt.NDArray[np.float64], **changes: Any) -> Sample:
    rng = np.random.default_rng(number)
    count = len(joints)
    values: dict[str, Any] = {
        "id": f"s{number}",
        "image": picture(rng, joints, size),
        "skeleton": LTSH15,
        "joints": joints,
        "centres": np.nanmean(joints[:, :, :2], axis=1),
        "scales": np.full(count, 0.5),
        "is_synthetic": np.zeros(count, bool),
        "trainable": np.ones(count, bool),
        "split": "val",
    }
    return Sample(**values | changes)


def measure(samples: list[Sample], shown: Any = None, **options: Any) -> Measurement:
    """Validate an oracle that sees ``shown`` (by default all labelled) people of each sample."""
    from ltsh_deploy.train import validation

    config: RunConfig = tiny_config(size=[128, 128], validation={"batch": 2})
    pool = find_people("set", SampleList(samples, "set", LTSH15), LTSH15, "val")
    real = create_network("ltsh_light", LTSH15, 0, **TINY_NETWORK)
    truth: dict[bytes, npt.NDArray[np.float64]] = {}
    network = ImageNetwork(Oracle(truth, real))  # type: ignore[arg-type]
    for view in validation._views(pool, list(range(len(pool))), config, 8, options.get("view", "picture")):
        if view is not None:
            number = next(i for i, s in enumerate(samples) if view.crop.name == f"set: {s.id}")
            joints = samples[number].joints if shown is None else shown[number]
            image = network.normalise(torch.from_numpy(view.crop.image)[None])[0].contiguous()
            truth[key(image)] = view.warp.points(joints[:, :, :2])
    return validate(network, pool, config, torch.device("cpu"), **options)


def standing(*centres: tuple[float, float], height: float = 100.0) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(int(sum(map(sum, centres))))
    return np.stack([person(rng, centre, height) for centre in centres])


SIZES = [(160, 140), (200, 130), (120, 220), (160, 140), (160, 140)]


@pytest.mark.parametrize("view", ["picture", "crop"])
def test_a_network_that_is_right_finds_everything(view: str) -> None:
    samples = [sample(i, size, standing((size[0] / 2, size[1] / 2))) for i, size in enumerate(SIZES)]
    measured = measure(samples, view=view, pictures=3)
    assert measured.score.pck == 100
    assert measured.score.people == 5
    assert measured.left_out == {}
    assert len(measured.pictures) == 3
    assert measured.loss < 1e-3
    assert {"pck", "loss", "people", "people_left_out", "pck_left_wrist"} <= measured.values.keys()


def test_everybody_who_is_drawn_has_a_picture_of_their_own() -> None:
    joints = standing((60, 70), (240, 70))
    drawn = measure([sample(0, (300, 140), joints), sample(1, (160, 140), standing((80, 70)))], pictures=3).pictures
    assert set(drawn) == {"set: s0, person 0", "set: s0, person 1", "set: s1"}


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": {"paf_weight": 10.0}},
        {"loss": {"heatmap_weight": 0.0}},
        {"targets": {"sigma": 3.0}},
        {"targets": {"limb_width": 3.0}},
        {"targets": {"masked": True}},
    ],
    ids=str,
)
def test_the_loss_is_the_one_that_is_trained(changes: dict[str, Any]) -> None:
    """Crops that nothing random happens to, in training and in validation."""
    still = {"zoom": [1, 1], "rotation": 0, "shift": 0, "mirror": 0}
    crowd = [
        sample(i, (160, 140), standing((60, 70), (100, 70)), is_synthetic=np.array([False, True])) for i in range(2)
    ]
    losses = {}
    for name, options in (("plain", {}), ("changed", changes)):
        config = tiny_config(crop=still, validation={"view": "crop", "batch": 2}, **options)
        pool = find_people("set", SampleList(crowd, "set", LTSH15), LTSH15, "val")
        network = create_network("ltsh_light", LTSH15, 0, **TINY_NETWORK)
        losses[name] = validate(ImageNetwork(network).eval(), pool, config, torch.device("cpu")).loss
        make = CropMaker(Sampler([pool], [1.0], 2, 0), config, 8)
        student = Student(network, config, torch.device("cpu"))
        student.network.eval()
        trained = student.forward(collate([make(0, slot) for slot in range(2)]))[0].total.item()
        assert losses[name] == pytest.approx(trained, rel=1e-5)
    assert losses["plain"] != pytest.approx(losses["changed"], rel=1e-3)


def test_what_is_wrong_by_more_than_a_fifth_of_the_torso_is_missed() -> None:
    samples = [sample(i, (160, 140), standing((80, 70))) for i in range(2)]
    torso = float(np.hypot(*(samples[0].joints[0, HIP] - samples[0].joints[0, SHOULDER])[:2]))
    moved = [s.joints.copy() for s in samples]
    wrist = LTSH15.joints.index("right_wrist")
    moved[0][0, wrist, 0] -= 0.3 * torso
    moved[1][0, wrist, 0] -= 0.1 * torso
    assert measure(samples, moved).score.joints["right_wrist"] == 50


def test_in_a_picture_with_others_the_labelled_centre_says_who_is_meant() -> None:
    joints = standing((60, 70), (240, 70))
    samples = [sample(0, (300, 140), joints)]
    assert measure(samples).score.pck == 100
    assert measure(samples).score.people == 2


def test_where_one_person_is_labelled_the_labels_do_not_say_where() -> None:
    # The labelled person stands at the side; in the middle is somebody nobody labelled.
    labelled, all_people = standing((40, 70)), standing((40, 70), (160, 70))
    assert measure([sample(0, (320, 140), labelled)], [all_people]).score.pck == 0
    assert measure([sample(0, (320, 140), labelled)], [labelled]).score.pck == 100


def test_people_who_cannot_be_measured_are_counted() -> None:
    half = standing((80, 70))
    half[0, HIP] = [np.nan, np.nan, 0]
    samples = [sample(0, (160, 140), standing((80, 70))), sample(1, (160, 140), half)]
    samples.append(sample(2, (160, 140), standing((80, 70)), image=b"no picture"))
    measured = measure(samples)
    assert measured.left_out == {NO_PICTURE: 1, NO_TORSO: 1}
    assert measured.score.people == 1
    with pytest.raises(InputError, match="not one person"):
        measure(samples[1:])
    with pytest.raises(ImageError):
        samples[2].read_image()


def test_a_part_of_the_people_is_spread_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    from ltsh_deploy.train import validation

    seen: list[int] = []
    views = validation._views

    def watched(pool: Any, rows: list[int], *rest: Any) -> Any:
        seen.extend(rows)
        return views(pool, rows, *rest)

    monkeypatch.setattr(validation, "_views", watched)
    pool = find_people("set", make_samples(10, val=10), LTSH15, "val")
    network = ImageNetwork(create_network("ltsh_light", LTSH15, 0, **TINY_NETWORK)).eval()
    measured = validate(network, pool, tiny_config(), torch.device("cpu"), people=5)
    assert seen == [0, 2, 4, 6, 8]
    assert measured.score.people == 5
    assert validate(network, pool, tiny_config(), torch.device("cpu"), people=99).score.people == 10


def test_maps_that_hold_no_numbers_find_nobody() -> None:
    pool = find_people("set", make_samples(2, val=2), LTSH15, "val")
    network = create_network("ltsh_light", LTSH15, 0, **TINY_NETWORK).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(torch.nan)
    assert validate(ImageNetwork(network), pool, tiny_config(), torch.device("cpu")).score.pck == 0


def evaluated_and_validated(
    samples: list[Sample], found: Poses, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[float, float]:
    """PCK of the same people by ``ltsh evaluate`` and in training, where a network finds these in every picture."""
    size = (160, 160)

    def decode(fields: Fields, skeleton: Skeleton, *options: Any) -> Poses:
        """In pixels of the network's input; all pictures are of one size."""
        picture = samples[0].read_image()
        return replace(found, xy=place((picture.shape[1], picture.shape[0]), size, 8).to_input(found.xy))

    monkeypatch.setattr("ltsh_deploy.estimator.decode_fields", decode)
    monkeypatch.setattr("ltsh_deploy.train.validation.decode_fields", decode)
    network = create_network("ltsh_light", LTSH15, 0, **TINY_NETWORK)
    save_checkpoint(folder / "tiny.safetensors", network, size=size)
    units = [single_unit(each, p) for each in samples for p in np.flatnonzero(each.labelled.any(axis=1)).tolist()]
    data = EvaluationSet("lsp", "set", "pck", tuple(units), samples[0].skeleton)
    evaluation = evaluate_model(folder / "tiny.safetensors", data, Protocol("fast", size=size), device="cpu", threads=1)
    pool = find_people("set", SampleList(samples, "set", samples[0].skeleton), LTSH15, "val")
    config = tiny_config(size=list(size))
    measured = validate(ImageNetwork(network).eval(), pool, config, torch.device("cpu"))
    rates = {name: rate for name, rate in evaluation.scores.values["joints"].items() if rate is not None}
    assert measured.score.joints == rates
    assert measured.score.people == evaluation.scores.values["people"]
    return evaluation.scores.headline, measured.score.pck


def two_found(first: tuple[float, float], second: tuple[float, float]) -> Poses:
    body = person(np.random.default_rng(0), (0, 0))[:, :2]
    return Poses(LTSH15, np.stack([body + first, body + second]), np.ones((2, 15)), np.ones(2))


def of_lsp(joints: npt.NDArray[np.float64], size: tuple[int, int]) -> Sample:
    return sample(0, size, joints).to_skeleton(LSP14)


def test_padding_is_no_part_of_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 400 x 205 pixels become 160 x 82 and are padded to 160 x 88: with the padding, the middle would be 7.5 lower.
    found = two_found((200, 60), (200, 152))
    labelled = np.concatenate([found.xy[:1], np.full((1, 15, 1), 2.0)], axis=2)
    low, high = found.xy.min(axis=1), found.xy.max(axis=1)
    first, second = np.abs((low + high)[:, 1] / 2 - 102)
    assert first < second < first + 15
    assert evaluated_and_validated([of_lsp(labelled, (400, 205))], found, tmp_path, monkeypatch) == (100, 100)


def test_a_joint_that_is_not_measured_says_nothing_of_who_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As near to the middle as the other one but for a pixel, and with a torso's centre that nobody saw.
    found = two_found((160, 100), (241, 100))
    labelled = np.concatenate([found.xy[:1], np.full((1, 15, 1), 2.0)], axis=2)
    found.joint_scores[0, LTSH15.joints.index("torso_centre")] = 0.2
    assert evaluated_and_validated([of_lsp(labelled, (400, 200))], found, tmp_path, monkeypatch) == (100, 100)


def test_a_joint_beyond_the_picture_is_moved_to_its_edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = two_found((200, 100), (200, 100)).select(slice(1))
    labelled = np.concatenate([found.xy, np.full((1, 15, 1), 2.0)], axis=2)
    labelled[0, WRIST, :2] = [399, 100]
    found.xy[0, WRIST] = [450, 100]
    assert evaluated_and_validated([of_lsp(labelled, (400, 200))], found, tmp_path, monkeypatch) == (100, 100)


def test_of_several_labelled_people_each_is_looked_for_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = two_found((100, 100), (300, 95))
    labelled = np.concatenate([found.xy, np.full((2, 15, 1), 2.0)], axis=2)
    labelled[1, WRIST] = [np.nan, np.nan, 0]
    found.xy[1, HIP] += FAR
    figures = evaluated_and_validated([of_lsp(labelled, (400, 205))], found, tmp_path, monkeypatch)
    assert figures[0] == figures[1] == pytest.approx(100 - 50 / 14)


def test_a_labelled_joint_that_the_network_does_not_have_is_always_missed() -> None:
    pool = find_people("set", SampleList([of_lsp(standing((80, 70)), (160, 140))], "set", LSP14), COCO17, "val")
    network = ImageNetwork(create_network("ltsh_light", COCO17, 0, **TINY_NETWORK)).eval()
    score = validate(network, pool, tiny_config(), torch.device("cpu")).score
    assert len(score.joints) == 14
    assert score.joints["head_top"] == 0


def test_who_is_found_in_the_grey_around_a_crop_is_as_far_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    found = two_found((80, 70), (80, 70))
    # Surer, and, if those of their joints beside the picture were in it, as near.
    found.xy[1, ::2, 0] = -300
    found.xy[1, 1::2, 0] = 155
    found.joint_scores[0] = 0.5
    labelled = np.concatenate([found.xy[:1], np.full((1, 15, 1), 2.0)], axis=2)
    one, config = sample(0, (160, 140), labelled), tiny_config(size=[160, 160], validation={"view": "crop"})
    warp = centred_warp(config.crop, one.centres[0], 0.5, config.size)
    monkeypatch.setattr(
        "ltsh_deploy.train.validation.decode_fields", lambda *a: replace(found, xy=warp.points(found.xy))
    )
    pool = find_people("set", SampleList([one], "set", LTSH15), LTSH15, "val")
    network = ImageNetwork(create_network("ltsh_light", LTSH15, 0, **TINY_NETWORK)).eval()
    assert validate(network, pool, config, torch.device("cpu")).score.pck == 100
