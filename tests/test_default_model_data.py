"""What the default model learns from besides labels: who was found, people in other photographs, averaged weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsh_deploy.checkpoints import Provenance, load_checkpoint, read_checkpoint, save_checkpoint
from ltsh_deploy.datasets import Sample, open_dataset
from ltsh_deploy.networks import create_network
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO18, LTSH15, MPII16, Skeleton
from studies.default_model import making
from studies.default_model.command import main
from studies.default_model.others import Others, choose_others
from studies.default_model.scenes import Scene, draw_inset, set_in
from tests.study_data import write_people
from tests.training_data import TINY_NETWORK, person

FloatArray = npt.NDArray[np.float64]
RIGHT_WRIST, LEFT_WRIST = (LTSH15.joints.index(f"{side}_wrist") for side in ("right", "left"))


def standing(x: float, y: float = 100, height: float = 150) -> FloatArray:
    return person(np.random.default_rng(1), (x, y), height)


def labelled(joints: FloatArray, image: bytes = b"", height: float = 150) -> Sample:
    return Sample(
        id="a",
        image=image,
        skeleton=LTSH15,
        joints=joints[None],
        centres=joints[None, 14, :2],
        scales=np.array([height / 200]),
        is_synthetic=np.array([False]),
        trainable=np.array([True]),
    )


def found(*people: tuple[FloatArray, float]) -> Poses:
    """People as a decoder gives them: joints without label are absent."""
    xy = np.array([np.where(joints[:, 2:] > 0, joints[:, :2], np.nan) for joints, _ in people]).reshape(-1, 15, 2)
    scores = np.array([score for _, score in people])
    return Poses(LTSH15, xy, np.isfinite(xy).all(axis=2) * scores[:, None], scores)


def only(joints: FloatArray, names: str) -> FloatArray:
    """Somebody of whom no other joints were found."""
    part = np.zeros_like(joints)
    rows = [LTSH15.joints.index(name) for name in names.split()]
    part[rows] = joints[rows]
    return part


def test_who_is_labelled_is_not_labelled_again() -> None:
    own = standing(100)
    arm = only(own, "right_shoulder right_elbow right_wrist neck head_top")
    others = choose_others(labelled(own), found((own + np.array([3, -3, 0]), 0.6), (arm, 0.9)))
    assert len(others.joints) == len(others.doubtful) == 0
    assert others.found.tolist() == [0.9]
    assert choose_others(labelled(own), found()).found.tolist() == [0.0]


def test_who_was_found_where_the_labelled_person_is_but_otherwise_is_the_same() -> None:
    own = standing(100)
    turned = own.copy()
    turned[:, :2] = 2 * own[14, :2] - own[:, :2]
    others = choose_others(labelled(own), found((turned, 0.5)))
    assert len(others.joints) == len(others.doubtful) == 0


def test_somebody_small_behind_the_labelled_person_is_another_one() -> None:
    own = standing(100, height=400)
    # An arm stretched out, and somebody below it.
    own[[LTSH15.joints.index("left_elbow"), LEFT_WRIST], :2] = [[200, 40], [300, 40]]
    others = choose_others(labelled(own, height=400), found((standing(230, 220, 70), 0.5)))
    assert len(others.joints) == 1
    assert others.found.tolist() == [0.0]


def test_people_beside_are_labelled_where_the_network_is_sure_and_ignored_where_not() -> None:
    sure, unsure, piece = standing(300), standing(500), only(standing(700), "neck head_top left_shoulder")
    others = choose_others(labelled(standing(100)), found((sure, 0.5), (unsure, 0.1), (piece, 0.8)))
    np.testing.assert_array_equal(others.joints, sure[None])
    assert others.trainable.tolist() == [True]
    for box, joints in zip(others.doubtful, (unsure, piece), strict=True):
        there = joints[joints[:, 2] > 0, :2]
        assert (box[:2] < there.min(axis=0)).all()
        assert (box[2:] > there.max(axis=0)).all()


@pytest.mark.parametrize(
    ("joints", "score"),
    [
        (standing(300), 0.25),
        (standing(300, height=50), 0.9),
        (only(standing(300), "neck right_shoulder left_shoulder right_hip left_hip torso_centre head_top"), 0.9),
    ],
)
def test_no_crop_is_centred_on_who_is_unsure_small_or_half_found(joints: FloatArray, score: float) -> None:
    others = choose_others(labelled(standing(100)), found((joints, score)))
    assert others.trainable.tolist() == [False]


def test_a_joint_that_was_not_found_is_not_labelled() -> None:
    part = standing(300)
    part[0] = 0
    others = choose_others(labelled(standing(100)), found((part, 0.5)))
    assert (others.joints[0, 0] == 0).all()
    assert (others.joints[0, 1:, 2] == 2).all()


@given(st.floats(-500, 500), st.floats(-500, 500), st.permutations(range(4)))
def test_places_and_order_change_nothing(x: float, y: float, order: list[int]) -> None:
    own = standing(100)
    people = [(own, 0.4), (standing(180), 0.6), (standing(260, height=40), 0.3), (standing(60, 60, 65), 0.15)]
    moved = [(people[i][0] + np.array([x, y, 0]), people[i][1]) for i in order]
    before = choose_others(labelled(own), found(*people))
    after = choose_others(labelled(own + np.array([x, y, 0])), found(*moved))

    def ordered(others: Others) -> FloatArray:
        return np.array(sorted(others.joints[:, 14, 0]))

    np.testing.assert_allclose(ordered(after), ordered(before) + x, atol=1e-6)
    assert sorted(after.trainable) == sorted(before.trainable)
    assert len(after.doubtful) == len(before.doubtful)
    np.testing.assert_allclose(after.found, before.found)


def spotted(joints: FloatArray, size: tuple[int, int]) -> bytes:
    """A picture that is red around the right wrist and blue around the left one."""
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    for joint, colour in ((RIGHT_WRIST, (0, 0, 255)), (LEFT_WRIST, (255, 0, 0))):
        cv2.circle(image, np.rint(joints[joint, :2]).astype(int).tolist(), 6, colour, -1)
    return bytes(cv2.imencode(".png", image)[1])


@pytest.mark.parametrize("height", [60.0, 150.0, 260.0])
def test_an_inset_shows_its_people_where_their_joints_are(height: float) -> None:
    own = standing(120, 110)
    mirrored = set()
    for seed in range(8):
        inset = draw_inset(np.random.default_rng(seed), labelled(own, spotted(own, (240, 220))), height)
        assert inset.scales.tolist() == pytest.approx([height / 200])
        spread = np.ptp(own[:, 1]) * height / 150
        assert np.ptp(inset.joints[0, :, 1]) == pytest.approx(spread, rel=0.05)
        for joint, channel in ((RIGHT_WRIST, 0), (LEFT_WRIST, 2)):
            rows, columns = np.nonzero(inset.image[:, :, channel] > inset.image[:, :, 1].astype(int) + 80)
            if len(rows):
                middle = [columns.mean(), rows.mean()]
                # A mirrored person's right wrist is where the left one's colour is.
                own_joint = joint if flipped_back(inset) else LEFT_WRIST + RIGHT_WRIST - joint
                np.testing.assert_allclose(inset.joints[0, own_joint, :2], middle, atol=1.5 * max(1, height / 150))
                mirrored.add(flipped_back(inset))
    assert mirrored == {True, False}


def flipped_back(inset: Scene) -> bool:
    """Whether right and left are as they were drawn: :func:`standing` has its right side on the left."""
    return bool(inset.image[:, : inset.image.shape[1] // 2, 0].max() > 200)


def flat(shade: int, people: list[FloatArray], size: tuple[int, int] = (60, 80)) -> Scene:
    joints = np.array(people).reshape(-1, 15, 3)
    ignored = np.zeros(size[::-1], np.bool_)
    ignored[:10] = True
    image = np.full((*size[::-1], 3), shade, np.uint8)
    count = len(joints)
    return Scene(image, ignored, joints, joints[:, 14, :2], np.full(count, 0.3), np.ones(count, np.bool_))


def test_an_inset_replaces_what_it_covers() -> None:
    scene = Scene.of(np.full((120, 200, 3), 20, np.uint8), 15)
    assert set_in(np.random.default_rng(0), scene, flat(250, [standing(30, 40, 60)]))
    covered = scene.image[:, :, 0] > 135
    assert 0 < covered.sum() <= 60 * 80
    assert ((scene.image == 20).all(axis=2) | covered | (scene.image[:, :, 0] > 20)).all()
    assert scene.ignored.any()
    assert not scene.ignored[~covered].any()
    seen = scene.joints[0, scene.joints[0, :, 2] > 0, :2]
    assert len(seen) > 0
    columns, rows = np.rint(seen).astype(int).T
    assert covered[rows, columns].all()


def test_people_who_are_covered_lose_those_joints_and_who_is_gone_is_left_out() -> None:
    scene = Scene.of(np.zeros((100, 100, 3), np.uint8), 15)
    nowhere = np.full((15, 3), [-50.0, -50.0, 2.0])
    scene.joints = np.array([standing(50, 50, 90)])
    scene.centres, scene.scales, scene.trainable = np.array([[50.0, 50.0]]), np.array([0.45]), np.array([True])
    before = scene.joints.copy()
    for seed in range(30):
        if set_in(np.random.default_rng(seed), scene, flat(250, [nowhere], (30, 30))):
            break
    else:
        pytest.fail("no place was found")
    # Whoever lies outside of the picture is not there.
    assert len(scene.joints) == 1
    lost = scene.joints[0, :, 2] == 0
    hidden = scene.image[tuple(np.rint(before[0, :, [1, 0]]).astype(int))][:, 0] > 130
    np.testing.assert_array_equal(lost, hidden)


def test_no_inset_hides_those_before_it() -> None:
    scene = Scene.of(np.zeros((60, 60, 3), np.uint8), 15)
    scene.joints = np.array([standing(30, 30, 56)])
    scene.centres, scene.scales, scene.trainable = np.array([[30.0, 30.0]]), np.array([0.28]), np.array([True])
    whole = replace(flat(250, [], (400, 400)), joints=np.zeros((0, 15, 3)), centres=np.zeros((0, 2)))
    assert not set_in(np.random.default_rng(0), scene, whole)
    assert not scene.image.any()
    assert (scene.joints[0, :, 2] == 2).all()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    (folder / "people").mkdir()
    write_people(folder / "people", train=5, val=2)
    (folder / "places").mkdir()
    for shade in (40, 200):
        cv2.imwrite(str(folder / "places" / f"{shade}.png"), np.full((300, 400, 3), shade, np.uint8))
    return folder


class Annotator:
    """Finds one person beside the labelled one, of another skeleton, and counts how often it is asked."""

    skeleton: Skeleton = COCO18
    asked = 0

    def __call__(self, image: npt.NDArray[np.uint8]) -> Poses:
        Annotator.asked += 1
        return found((standing(150, 60, 100), 0.7)).to_skeleton(COCO18)

    def __enter__(self) -> Annotator:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def run(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setattr(making, "open_annotator", lambda path: Annotator())
    monkeypatch.setattr(making, "_CHUNK", 2)
    monkeypatch.setattr(making, "_PER_SHARD", 3)
    Annotator.asked = 0
    (tmp_path / "annotator.onnx").write_bytes(b"first")

    def command(**options: str) -> int:
        given = {
            "real": str(sources / "people"),
            "backgrounds": str(sources / "places"),
            "annotator": str(tmp_path / "annotator.onnx"),
            "scenes": "4",
            "out": str(tmp_path / "out"),
        }
        return main(["data", *(f"--{name}={value}" for name, value in (given | options).items())])

    return command


def test_everybody_and_scenes_are_data_sets_to_train_on(run: Callable[..., int], tmp_path: Path) -> None:
    assert run() == 0
    everybody = open_dataset("shards", tmp_path / "out/everybody", ignore_outside=1.6)
    assert len(everybody) == 5
    assert all(len(sample) == 2 and sample.trainable.tolist() == [True, True] for sample in everybody)
    assert all(sample.characteristics[making.FOUND][0] == 0 for sample in everybody)
    # COCO's joints lack the top of the head, which is then not labelled, and the trunk's centre, which the others give.
    assert everybody[0].joints[1, :, 2].tolist() == [0] + [2] * 14
    scenes = open_dataset("shards", tmp_path / "out/scenes")
    assert len(scenes) == 4
    assert {scene.read_image().shape for scene in scenes} <= {(384, 512, 3), (512, 384, 3)}
    assert sum(len(scene) for scene in scenes) >= 4
    assert all(scene.read_ignore(scene.read_image().shape[1::-1]) is not None for scene in scenes)


def test_what_was_found_is_not_looked_for_again(run: Callable[..., int], tmp_path: Path) -> None:
    assert run() == 0
    assert Annotator.asked == 5
    shards = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.tar")}
    assert len(shards) == 4
    (stored,) = (tmp_path / "out").glob("found-*")
    (stored / "00002.json").unlink()
    assert run() == 0
    assert Annotator.asked == 7
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.tar")} == shards
    # Another annotator has to look for itself.
    (tmp_path / "annotator.onnx").write_bytes(b"second")
    assert run() == 0
    assert Annotator.asked == 12


def test_fewer_scenes_leave_no_shards_of_more(run: Callable[..., int], tmp_path: Path) -> None:
    assert run() == 0
    assert run(scenes="2") == 0
    assert len(open_dataset("shards", tmp_path / "out/scenes")) == 2


@pytest.mark.parametrize("content", [b"[]", b"[[], [{}]]", b"{", b"[1, 2]", b'[[{"xy": [[1]], "score": 1}], []]'])
def test_a_damaged_file_is_named(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    assert run() == 0
    (stored,) = (tmp_path / "out").glob("found-*")
    (stored / "00000.json").write_bytes(content)
    assert run() == 3
    assert "00000.json: is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["real", "backgrounds", "annotator"])
def test_what_is_not_there_is_said_before_anything_is_looked_at(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    assert run(**{what: str(tmp_path / "nowhere")}) != 0
    assert "nowhere" in capsys.readouterr().err
    assert Annotator.asked == 0


def test_a_file_that_is_no_model_is_refused(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no model")
    places = ["--real", str(sources / "people"), "--backgrounds", str(sources / "places"), "--out", str(tmp_path / "o")]
    assert main(["data", "--annotator", str(tmp_path / "a.onnx"), *places]) == 3
    assert "a.onnx" in capsys.readouterr().err


def checkpoint(path: Path, seed: int, skeleton: Skeleton = LTSH15) -> Path:
    network = create_network("ltsh_light", skeleton, seed, **TINY_NETWORK)
    save_checkpoint(path, network, Provenance(notes=f"{seed}"))
    return path


def test_weights_are_averaged(tmp_path: Path) -> None:
    paths = [checkpoint(tmp_path / f"{seed}.safetensors", seed) for seed in range(3)]
    out = tmp_path / "mean.safetensors"
    assert main(["average", *map(str, paths), "--out", str(out)]) == 0
    states = [load_checkpoint(path)[0].state_dict() for path in paths]
    mean = read_checkpoint(out)
    for key, tensor in mean.network.state_dict().items():
        expected = np.mean([state[key].double().numpy() for state in states], axis=0)
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-6, atol=1e-7)
    assert mean.provenance.notes == "0"


def test_one_alone_stays_as_it_is(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a.safetensors", 0)
    assert main(["average", str(path), "--out", str(tmp_path / "b.safetensors")]) == 0
    assert (tmp_path / "b.safetensors").read_bytes() == path.read_bytes()


def test_other_networks_are_not_averaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, other = checkpoint(tmp_path / "a.safetensors", 0), checkpoint(tmp_path / "b.safetensors", 0, MPII16)
    out = tmp_path / "c.safetensors"
    assert main(["average", str(first), str(other), "--out", str(out)]) == 2
    assert "b.safetensors: is another network" in capsys.readouterr().err
    assert not out.exists()
    assert main(["average", "--out", str(out)]) == 2
    assert main(["average", str(tmp_path / "nowhere"), "--out", str(out)]) == 3


def test_found_people_are_stored_as_they_were_found(tmp_path: Path) -> None:
    part = standing(30.126)
    part[3] = 0
    poses = found((part, 0.51234), (standing(80), 0.3))
    path = tmp_path / "found.json"
    path.write_text(json.dumps([making._stored(poses), making._stored(found())]))
    annotator = Annotator()
    annotator.skeleton = LTSH15
    again, nobody = making._read_found(path, annotator, 2)  # type: ignore[arg-type]
    np.testing.assert_allclose(again.xy, poses.xy, atol=0.006)
    np.testing.assert_allclose(again.scores, poses.scores, atol=1e-4)
    assert len(nobody) == 0


def test_pictures_stay_as_they_were(run: Callable[..., int], sources: Path, tmp_path: Path) -> None:
    assert run() == 0
    before = open_dataset("shards", sources / "people", split="train")
    after = open_dataset("shards", tmp_path / "out/everybody")
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.read_image(), other.read_image())
        np.testing.assert_allclose(one.to_skeleton(LTSH15).joints[0], other.joints[0], atol=0.006)
