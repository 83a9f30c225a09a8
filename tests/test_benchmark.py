"""``ltsh benchmark`` gives each stage its own time, measures all networks alike, and says what its figures are worth.

No time that a machine takes is looked at: where times matter, the clock is a made-up one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ltsh_deploy import stage_times
from ltsh_deploy.checkpoints import save_checkpoint
from ltsh_deploy.cli import main
from ltsh_deploy.descriptions import ModelDescription
from ltsh_deploy.errors import LtshError, SourceError, UsageError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.frames import Frame, Source
from ltsh_deploy.machine import describe_machine
from ltsh_deploy.networks import create_network
from ltsh_deploy.outputs import write_image
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.stage_times import STAGES, Plan, StageTimes, measure_stages, repeat_frames
from tests.colour_model import paint, write_colour_model
from tests.test_networks import TINY
from tests.tiny_onnx import described

pytestmark = pytest.mark.usefixtures("one_thread")


class Clock:
    """A clock that stands still but for what it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Pictures(Source):
    """Frames that take a second each to read, and are noted as they are read and closed."""

    def __init__(self, count: int, clock: Clock, notes: list[str]) -> None:
        super().__init__("video", "pictures")
        self._count, self._clock, self._notes = count, clock, notes

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            self._clock.now += 1
            self._notes.append(f"read {index}")
            yield Frame(np.full((40, 24 + 8 * (index % 2), 3), index, np.uint8), self.name, "video", index)

    def close(self) -> None:
        self._notes.append("closed")


class StubEstimator(PoseEstimator):
    """Takes 2 s to prepare, 4 to run and 8 to decode a frame, and finds one person in each."""

    def __init__(self, name: str, clock: Clock, notes: list[str], fails_at: int = -1) -> None:
        runtime: Any = SimpleNamespace(description=ModelDescription(**described()), device="cpu", close=lambda: None)
        super().__init__(runtime, size=(64, 48))
        self._name, self._clock, self._notes, self._fails_at = name, clock, notes, fails_at
        self.seen: list[int] = []

    def prepare(self, images: Any) -> Any:
        self._clock.now += 2 * len(images)
        self.seen += [int(image[0, 0, 0]) for image in images]
        return super().prepare(images)

    def run(self, views: Any) -> Any:
        self._notes.append(f"{self._name} runs {len(views)}")
        self._clock.now += 4 * len(views)
        if len(self.seen) == self._fails_at:
            raise LtshError("out of memory")
        return {index: [] for index in range(len(views))}

    def decode(self, passes: Any) -> Poses:
        self._clock.now += 8
        return Poses(self.skeleton, np.full((1, 2, 2), 4.0), np.ones((1, 2)), np.ones(1))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stage_times, "time", clock)

    def draw(image: Any, poses: Poses) -> None:
        clock.now += 16 * len(poses)

    monkeypatch.setattr(stage_times, "draw_poses", draw)
    return clock


@pytest.mark.parametrize("batch", [1, 3])
def test_each_stage_gets_its_own_time(clock: Clock, batch: int) -> None:
    notes: list[str] = []
    estimator = StubEstimator("a", clock, notes)
    plan = Plan(frames=12, warmup=4, rounds=2, batch=batch)
    (times,) = measure_stages([estimator], lambda: [Pictures(5, clock, notes)], plan)
    for stage, seconds in zip(STAGES, (1, 2, 4, 8, 16), strict=True):
        summary = times.summarise(stage)
        assert (summary.p50, summary.p95, summary.p99) == (1000 * seconds * batch,) * 3
        assert summary.frames_per_s == 1 / seconds
        assert summary.share == seconds / 31
    total = times.summarise()
    assert (total.p50, total.p99, total.share) == (31000 * batch, 31000 * batch, 1)
    assert math.isclose(total.frames_per_s, 1 / 31)
    assert (times.frames, times.people, times.spread) == (12, 12, 0)
    assert times.sizes == ((32, 48), (40, 48))


def test_the_warm_up_is_not_counted_and_short_sources_begin_anew(clock: Clock) -> None:
    notes: list[str] = []
    estimator = StubEstimator("a", clock, notes)
    steps: list[int] = []
    sources = [Pictures(3, clock, notes), Pictures(1, clock, notes)]
    (times,) = measure_stages([estimator], lambda: sources, Plan(frames=4, warmup=3, rounds=2), steps.append)
    assert times.frames == 4
    assert estimator.seen == [0, 1, 2, 0, 0, 1, 2, 0, 0, 1]
    assert steps == [1] * 10
    # Every source that was begun is closed, the last one though it was not read to its end.
    assert [note for note in notes if not note.startswith("a")] == [
        *("read 0", "read 1", "read 2", "closed", "read 0", "closed") * 2,
        *("read 0", "read 1", "closed"),
    ]


def test_networks_take_turns_on_the_same_frames(clock: Clock) -> None:
    notes: list[str] = []
    pair = [StubEstimator(name, clock, notes) for name in "ab"]
    measure_stages(pair, lambda: [Pictures(7, clock, [])], Plan(frames=6, warmup=1, rounds=3, batch=2))
    # One batch of warm-up and one that counts.
    assert notes == ["a runs 2", "a runs 2", "b runs 2", "b runs 2"] * 3
    assert pair[0].seen == pair[1].seen == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4]
    assert [estimator.batch for estimator in pair] == [2, 2]


def test_a_network_that_fails_ends_it_and_leaves_no_source_open(clock: Clock) -> None:
    notes: list[str] = []
    estimator = StubEstimator("a", clock, notes, fails_at=2)
    # The error is kept, and with it all that was going on: nothing is closed merely because it is forgotten.
    with pytest.raises(LtshError, match="out of memory") as caught:
        measure_stages([estimator], lambda: [Pictures(9, clock, notes)], Plan(frames=5, rounds=1))
    assert caught.value.message == "out of memory"
    assert notes[-1] == "closed"


def test_sources_without_a_frame_are_an_error_and_no_endless_loop(clock: Clock) -> None:
    with pytest.raises(SourceError, match="no frame"):
        next(repeat_frames(lambda: [Pictures(0, clock, [])]))
    with pytest.raises(SourceError, match="no frame"):
        next(repeat_frames(list))


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"rounds": 0}, {"batch": 0}, {"warmup": -1}])
def test_plans_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least"):
        Plan(**wrong)


@given(st.integers(1, 500), st.integers(1, 9), st.integers(1, 40))
def test_a_plan_measures_at_least_what_is_wanted(frames: int, rounds: int, batch: int) -> None:
    if frames < rounds * batch:
        with pytest.raises(UsageError, match="too few"):
            Plan(frames, 0, rounds, batch)
        return
    measured = Plan(frames, 0, rounds, batch).batches * rounds * batch
    assert frames <= measured < frames + rounds * batch


def test_percentiles_are_times_that_were_measured() -> None:
    seconds = np.zeros((2, 100, 5))
    seconds[..., 2] = np.random.default_rng(0).permutation(np.arange(1, 201)).reshape(2, 100) / 1000
    summary = StageTimes(seconds, 1, 0, ()).summarise("network")
    np.testing.assert_allclose([summary.p50, summary.p95, summary.p99], [100, 190, 198], rtol=1e-12)
    assert summary.share == 1
    nothing = StageTimes(seconds, 1, 0, ()).summarise("read")
    assert (nothing.p99, nothing.share, nothing.frames_per_s) == (0, 0, 0)


def test_the_spread_is_that_of_the_rounds() -> None:
    # Rounds of 2 batches of 4 frames, at 8, 10 and 16 frames a second.
    seconds = np.zeros((3, 2, 5))
    seconds[:, 0, 1] = [1, 0.8, 0.5]
    times = StageTimes(seconds, 4, 0, ())
    np.testing.assert_allclose(times.round_rates, [8, 10, 16])
    assert math.isclose(times.spread, 0.8)


def test_a_machine_says_what_it_is() -> None:
    machine = describe_machine()
    assert 1 <= machine.usable_cores <= machine.cores
    assert machine.processor in str(machine)
    loads = (None, machine.usable_cores - 0.1, machine.usable_cores)
    assert [replace(machine, load=load).is_busy for load in loads] == [False, False, True]
    assert machine.packages["numpy"] == np.__version__
    assert f"numpy {np.__version__}" in str(machine)


# The command.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network, a checkpoint, and pictures of two sizes; the current one."""
    write_colour_model(tmp_path / "arms.onnx")
    save_checkpoint(tmp_path / "light.safetensors", create_network("ltsh_light", LTSH15, **TINY["ltsh_light"]))
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in/1.png", paint([(8, 16), (40, 80)]))
    write_image(tmp_path / "in/2.png", paint([(8, 16)], (160, 80)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> int:
    return main.main(["benchmark", *map(str, arguments)])


def test_figures_for_each_runtime_that_works(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ["arms.onnx", "light.safetensors"]
    few = ["--frames", 4, "--warmup", 1, "--rounds", 2, "--threads", 1]
    assert run(*models, "--source", "in", *few, "--json") == 0
    form = json.loads(capsys.readouterr().out)
    assert (form["sources"], form["batch"], form["rounds"], form["threads"]) == (["in"], 1, 2, 1)
    assert form["decoder"] in ("compiled", "numpy")
    assert form["machine"]["processor"]
    on_cpu = [(r["model"], r["runtime"]) for r in form["runs"] if r["device"] == "cpu"]
    assert on_cpu == [("arms.onnx", "onnxruntime"), ("light.safetensors", "torch")]
    # What has no GPU here is told, not passed over.
    assert len(form["runs"]) + len(form["not_run"]) == 4
    assert {missed["device"] for missed in form["not_run"]} <= {"cuda"}
    arms = form["runs"][0]
    assert arms["people_per_frame"] == 1.5
    assert arms["input_sizes"] == [[160, 120], [160, 80]]
    assert list(arms["stages"]) == list(STAGES)
    assert math.isclose(sum(stage["share"] for stage in arms["stages"].values()), 1)
    assert arms["frames"] == 4
    assert len(arms["round_rates"]) == 2


def test_the_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("arms.onnx", "--source", "in/1.png", "--device", "cpu", "--batch", 2, "--frames", 4, "--size", "80x60") == 0
    )
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0] == "in/1.png: 4 frames, 2 at a time; latencies are those of 2 together"
    assert lines[1].startswith("2 rounds of 2, each after 10 that do not count; ")
    assert "arms.onnx, onnxruntime on cpu; input 80x64; " in out
    table = {line.split()[0]: line.split()[1:] for line in lines if line.startswith((*STAGES, "all"))}
    assert list(table) == [*STAGES, "all"]
    assert all(len(row) == 5 and float(row[0]) <= float(row[1]) <= float(row[2]) for row in table.values())
    assert "Of 2 measurements of each stage, none took longer than p99." in out
    assert "Not run" not in out


def test_the_package_s_own_model_where_none_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--source", "in", "--frames", 1, "--warmup", 0, "--json") == 0
    form = json.loads(capsys.readouterr().out)
    assert Path(form["runs"][0]["model"]).name == "default.onnx"
    assert form["rounds"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--source", "0"], 2, "pace of its own"),
        (["--source", "-"], 2, "pace of its own"),
        (["--source", "rtsp://127.0.0.1/camera"], 2, "pace of its own"),
        (["--source", "http://127.0.0.1:9/a.jpg"], 2, "pace of its own"),
        (["--source", "absent.avi"], 3, "no such file"),
        (["--source", "arms.onnx"], 3, "neither a picture nor a video"),
        (["absent.onnx", "--source", "in"], 3, "absent.onnx"),
        (["in/1.png", "--source", "in"], 3, "no kind of model file"),
        (["--source", "in", "--frames", "3", "--batch", "4"], 2, "too few"),
        (["--source", "in", "--frames", "3", "--rounds", "4"], 2, "too few"),
        (["--source", "in", "--device", "tpu"], 2, "there is no device"),
        (["--source", "in", "--device", "cuda:99"], 4, "cuda:99"),
        (["fake.engine", "--source", "in"], 4, "GPU"),
        (["arms.onnx", "--source", "broken"], 3, "2.png"),
        (["nan.onnx", "--source", "in"], 3, "NaN"),
        ([], 2, "--source"),
    ],
)
def test_mistakes_are_told(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    (folder / "fake.engine").write_bytes(b"no engine")
    write_colour_model(folder / "nan.onnx", paf=float("nan"))
    (folder / "broken").mkdir()
    (folder / "broken/1.png").write_bytes((folder / "in/1.png").read_bytes())
    (folder / "broken/2.png").write_bytes((folder / "in/2.png").read_bytes()[:-40])
    assert run(*arguments) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert message in told.err
    assert "Traceback" not in told.err


def test_a_model_without_its_runtime_does_not_hold_up_the_others(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "fake.engine").write_bytes(b"no engine")
    assert run("fake.engine", "arms.onnx", "--source", "in", "--frames", 2, "--device", "cpu") == 4
    capsys.readouterr()
    try:
        code = run("fake.engine", "arms.onnx", "--source", "in", "--frames", 2)
    finally:
        told = capsys.readouterr()
    if code == 0:
        assert "Not run: fake.engine" in told.out
        assert "arms.onnx, onnxruntime on cpu" in told.out
    else:
        # With a GPU and TensorRT, the file itself is what is wrong.
        assert (code, "fake.engine" in told.err) == (3, True)


def test_a_real_video(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    video, model = shared / "data/real/video/walkers.avi", shared / "models/coco_paf_mobilenet_v2_small.onnx"
    assert run(model, "--source", video, "--frames", 3, "--warmup", 0, "--device", "cpu", "--json") == 0
    (figures,) = json.loads(capsys.readouterr().out)["runs"]
    assert figures["people_per_frame"] >= 1
