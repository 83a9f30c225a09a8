"""The commands that make what the default model learns from, and average weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from ltsh_deploy.checkpoints import Provenance, read_checkpoint, save_checkpoint
from ltsh_deploy.datasets import Sample, SampleList, open_dataset
from ltsh_deploy.errors import InputError
from ltsh_deploy.networks import create_network
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO18, LTSH15, MPII16, Skeleton
from ltsh_deploy.train.synth_backgrounds import Photographs
from studies.default_model import finding, making
from studies.default_model.command import main
from studies.default_model.scenes import Scene
from tests.study_data import write_people
from tests.training_data import TINY_NETWORK, make_samples, person


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for name, train in (("people", 5), ("others", 5)):
        (folder / name).mkdir()
        write_people(folder / name, train=train, val=2)
    # The same pictures under other names.
    (folder / "others" / "train-00.tar").rename(folder / "others" / "train-01.tar")
    (folder / "places").mkdir()
    for shade in (40, 200):
        cv2.imwrite(str(folder / "places" / f"{shade}.png"), np.full((300, 400, 3), shade, np.uint8))
    return folder


def standing(x: float, y: float) -> npt.NDArray[np.float64]:
    return person(np.random.default_rng(1), (x, y), 100)


class Annotator:
    """Finds somebody beside the labelled person, and one of whom it is not sure; every other time that person too."""

    skeleton: Skeleton = COCO18
    asked = 0
    # Interrupted when it is asked so often.
    limit = 1000

    def __call__(self, image: npt.NDArray[np.uint8]) -> Poses:
        Annotator.asked += 1
        if Annotator.asked == Annotator.limit:
            raise KeyboardInterrupt
        people = [(standing(150, 60), 0.7), (standing(10, 100), 0.1)]
        people += [(standing(80, 70), 0.9)] * (Annotator.asked % 2)
        xy, scores = np.array([joints[:, :2] for joints, _ in people]), np.array([score for _, score in people])
        return Poses(LTSH15, xy, np.tile(scores[:, None], 15), scores).to_skeleton(COCO18)

    def __enter__(self) -> Annotator:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def run(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.setattr(finding, "open_annotator", lambda path: Annotator())
    monkeypatch.setattr(finding, "_CHUNK", 2)
    monkeypatch.setattr(making, "_PER_SHARD", 3)
    Annotator.asked, Annotator.limit = 0, 1000
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


def shards(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*.tar")}


def test_everybody_is_a_data_set_to_train_on(run: Callable[..., int], sources: Path, tmp_path: Path) -> None:
    assert run() == 0
    before = open_dataset("shards", sources / "people", split="train")
    everybody = open_dataset("shards", tmp_path / "out/everybody")
    assert len(everybody) == len(before) == 5
    for number, (one, other) in enumerate(zip(before, everybody, strict=True)):
        np.testing.assert_array_equal(one.read_image(), other.read_image())
        own = one.to_skeleton(LTSH15)
        np.testing.assert_allclose(own.joints[0], other.joints[0], atol=0.006)
        np.testing.assert_allclose(own.centres[0], other.centres[0])
        assert own.scales[0] == pytest.approx(other.scales[0])
        assert other.trainable.tolist() == [True, True]
        # Every other labelled person was found, the first one too.
        assert other.characteristics[making.FOUND][0] == 0.9 * (number % 2 == 0)
        # COCO's joints lack the top of the head, which is then not labelled, and the trunk's centre, which others give.
        assert other.joints[1, :, 2].tolist() == [0] + [2] * 14
        np.testing.assert_allclose(other.joints[1, 1:14, :2], standing(150, 60)[1:14, :2], atol=0.006)
        ignored = other.read_ignore((160, 140))
        assert ignored is not None
        assert ignored[100, 10]
        assert not ignored[70, 80]
    made = json.loads((tmp_path / "out/everybody/made.json").read_text())
    assert made["annotator"] == "annotator.onnx"
    assert (made["pictures"], made["others"], made["doubtful"], made["labelled people who are found too"]) == (
        5,
        5,
        5,
        3,
    )


def test_scenes_are_a_data_set_to_train_on(run: Callable[..., int], tmp_path: Path) -> None:
    assert run() == 0
    scenes = open_dataset("shards", tmp_path / "out/scenes")
    assert len(scenes) == 4
    for scene in scenes:
        assert scene.read_image().shape in {(384, 512, 3), (512, 384, 3)}
        ignored = scene.read_ignore(scene.read_image().shape[1::-1])
        assert ignored is not None
        assert ignored.mean() < 0.5
    assert any(scene.read_ignore(scene.read_image().shape[1::-1]).any() for scene in scenes)  # type: ignore[union-attr]


def test_scenes_know_who_is_found_and_where_nothing_is_known(
    run: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, given = making.draw_scene, []

    def record(*arguments: Any) -> Scene:
        given.append(arguments)
        return draw(*arguments)

    monkeypatch.setattr(making, "draw_scene", record)
    assert run(scenes="1") == 0
    _, people, known, everyday, _ = given[0]
    assert list(known) == [0, 1, 2, 3, 4]
    # Every other labelled person was found.
    assert list(everyday) == [0, 2, 4]
    assert all(sample.keep_boxes is not None for sample in people)


def test_what_was_found_is_not_looked_for_again(run: Callable[..., int], tmp_path: Path) -> None:
    assert run() == 0
    assert Annotator.asked == 5
    made = shards(tmp_path / "out")
    assert len(made) == 4
    assert run() == 0
    assert Annotator.asked == 5
    assert shards(tmp_path / "out") == made


def test_an_interrupted_search_goes_on(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Annotator.limit = 4
    assert run() == 130
    assert "what was found is kept" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("everybody"))
    # The fourth picture is looked at again, and those before are not.
    Annotator.asked, Annotator.limit = 3, 1000
    assert run() == 0
    assert Annotator.asked == 5
    Annotator.asked = 0
    assert run(out=str(tmp_path / "whole")) == 0
    kept, whole = (
        {path.name: path.read_bytes() for path in (tmp_path / out / "found").iterdir()} for out in ("out", "whole")
    )
    assert kept == whole
    assert sorted(kept) == ["00000.json", "00002.json", "00004.json"]


@pytest.mark.parametrize("part", ["write_everybody", "write_scenes"])
def test_what_was_made_is_replaced_by_what_is_whole(
    run: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    assert run() == 0
    made = shards(tmp_path / "out")

    def fails(*_: object) -> None:
        raise InputError("a picture is damaged")

    monkeypatch.setattr(making, part, fails)
    assert run() == 3
    left = shards(tmp_path / "out")
    assert left.items() <= made.items()
    # Scenes of other people than those in `everybody` would be worse than none.
    assert {path.parent.name for path in left} == (
        {"everybody", "scenes"} if part == "write_everybody" else {"everybody"}
    )
    assert not list((tmp_path / "out").glob(".*"))


def test_fewer_scenes_leave_no_shards_of_more(run: Callable[..., int], tmp_path: Path) -> None:
    assert run() == 0
    assert run(scenes="2") == 0
    assert len(open_dataset("shards", tmp_path / "out/scenes")) == 2


@pytest.mark.parametrize("other", ["annotator", "pictures"])
def test_what_was_found_elsewhere_is_refused(
    run: Callable[..., int], sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], other: str
) -> None:
    assert run() == 0
    made = shards(tmp_path / "out")
    if other == "annotator":
        (tmp_path / "annotator.onnx").write_bytes(b"second")
    assert run(real=str(sources / ("others" if other == "pictures" else "people"))) == 3
    assert "00000.json: is of other pictures, or another network found it" in capsys.readouterr().err
    assert shards(tmp_path / "out") == made


def edited(change: Callable[[list[dict[str, object]]], object]) -> Callable[[bytes], bytes]:
    """What a kept file holds with its first picture's people changed."""

    def edit(data: bytes) -> bytes:
        stored = json.loads(data)
        change(next(iter(stored["pictures"].values())))
        return json.dumps(stored).encode()

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: b"",
        lambda data: b"[]",
        lambda data: data[:-9],
        lambda data: b"[" * 100_000,
        edited(lambda people: people[0].pop("score")),
        edited(lambda people: people[0].update(score=9)),
        edited(lambda people: people[0].update(score=float("nan"))),
        edited(lambda people: people[0].update(score=10**400)),
        edited(lambda people: people[0].update(xy=[[1, 2]])),
        edited(lambda people: people[0].update(xy=[[1]] * 18)),
        edited(lambda people: people[0].update(xy=[[float("inf"), 1]] * 18)),
        edited(lambda people: people.append(7)),  # type: ignore[arg-type]
    ],
)
def test_a_damaged_file_is_named(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], edit: Callable[[bytes], bytes]
) -> None:
    assert run() == 0
    kept = tmp_path / "out/found/00000.json"
    kept.write_bytes(edit(kept.read_bytes()))
    made = shards(tmp_path / "out")
    assert run() == 3
    assert "00000.json: is damaged" in capsys.readouterr().err
    assert shards(tmp_path / "out") == made


@pytest.mark.parametrize("what", ["real", "backgrounds", "annotator"])
def test_what_is_not_there_is_said_before_anything_is_looked_at(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    assert run(**{what: str(tmp_path / "nowhere")}) == 3
    assert "nowhere" in capsys.readouterr().err
    assert Annotator.asked == 0


def test_a_folder_that_cannot_be_made_is_named(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(out=str(tmp_path / "annotator.onnx" / "below")) != 0
    said = capsys.readouterr().err
    assert "annotator.onnx" in said
    assert "check the path" in said


def test_a_file_that_is_no_model_is_refused(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no model")
    places = ["--real", str(sources / "people"), "--backgrounds", str(sources / "places"), "--out", str(tmp_path / "o")]
    assert main(["data", "--annotator", str(tmp_path / "a.onnx"), *places]) == 3
    assert "a.onnx" in capsys.readouterr().err


def test_half_of_the_people_in_scenes_are_those_whom_the_annotator_knows(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def record(rng: np.random.Generator, sample: Sample, height: float) -> Scene:
        drawn.append(sample.id)
        return Scene.of(np.zeros((1, 1, 3), np.uint8), 15)

    monkeypatch.setattr(making, "draw_inset", record)
    people, photographs = make_samples(20), Photographs(sources / "places", (512, 384))
    for seed in range(200):
        making.draw_scene(np.random.default_rng(seed), people, range(20), [3], photographs)
    # One draw of two, and one of twenty of the others.
    assert 0.45 < drawn.count("p3") / len(drawn) < 0.6
    assert len(set(drawn)) == 20


def test_nobody_of_whom_little_is_known_is_set_into_scenes(sources: Path, tmp_path: Path) -> None:
    photographs = Photographs(sources / "places", (512, 384))
    few = []
    for sample in make_samples(3):
        joints = np.full((1, 15, 3), [np.nan, np.nan, 0])
        joints[0, :3] = sample.joints[0, :3]
        few.append(
            Sample(sample.id, sample.image, LTSH15, joints, sample.centres, sample.scales, *[np.zeros(1, bool)] * 2)
        )
    with pytest.raises(InputError, match="nobody has 4 labelled joints"):
        making.write_scenes(SampleList(few, "few", LTSH15), photographs, 1, tmp_path)


def checkpoint(path: Path, seed: int, skeleton: Skeleton = LTSH15) -> Path:
    network = create_network("ltsh_light", skeleton, seed, **TINY_NETWORK)
    save_checkpoint(path, network, Provenance(training_data="LSPET" if seed < 2 else "COCO", notes=f"seed {seed}"))
    return path


@pytest.mark.parametrize("count", [1, 3])
def test_weights_are_averaged(tmp_path: Path, count: int) -> None:
    paths = [checkpoint(tmp_path / f"{seed}.safetensors", seed) for seed in range(count)]
    out = tmp_path / "mean.safetensors"
    assert main(["average", *map(str, paths), "--out", str(out)]) == 0
    states = [read_checkpoint(path).network.state_dict() for path in paths]
    mean = read_checkpoint(out)
    for key, tensor in mean.network.state_dict().items():
        expected = np.mean([state[key].double().numpy() for state in states], axis=0)
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-6, atol=1e-7)
    assert mean.provenance.training_data == ("LSPET" if count == 1 else "LSPET; COCO")
    assert all(str(path) in mean.provenance.notes for path in paths)
    assert "seed 0" in mean.provenance.notes


def test_an_average_says_what_it_is_told_to(tmp_path: Path) -> None:
    path, out = checkpoint(tmp_path / "a.safetensors", 0), tmp_path / "mean.safetensors"
    told = ["--training-data", "people of Leeds", "--licence", "Apache-2.0"]
    assert main(["average", str(path), "--out", str(out), *told]) == 0
    provenance = read_checkpoint(out).provenance
    assert (provenance.training_data, provenance.licence) == ("people of Leeds", "Apache-2.0")


def test_other_networks_are_not_averaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, other = checkpoint(tmp_path / "a.safetensors", 0), checkpoint(tmp_path / "b.safetensors", 0, MPII16)
    out = tmp_path / "c.safetensors"
    assert main(["average", str(first), str(other), "--out", str(out)]) == 2
    assert "b.safetensors: is another network" in capsys.readouterr().err
    assert not out.exists()
    assert main(["average", "--out", str(out)]) == 2
    assert main(["average", str(tmp_path / "nowhere"), "--out", str(out)]) == 3
