"""Whole runs: the same seed gives the same run, and a run that was stopped goes on as if it had not been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ltsh_deploy.checkpoints import load_checkpoint, read_checkpoint
from ltsh_deploy.cli.main import main
from ltsh_deploy.errors import ImageError, InputError, OutputError, TrainingError, UsageError
from ltsh_deploy.export.to_onnx import export_onnx
from ltsh_deploy.train.batches import CropMaker, Loader, collate
from ltsh_deploy.train.config import RunConfig
from ltsh_deploy.train.config_file import save_config
from ltsh_deploy.train.data import open_pools
from ltsh_deploy.train.loop import Record, Run
from ltsh_deploy.train.sampling import Sampler
from ltsh_deploy.train.start import prepare
from ltsh_deploy.train.student import Student
from tests.training_data import tiny_config

ROOT = Path(__file__).parent.parent
FILES = {"config.yaml", "best.safetensors", "last.safetensors", "state.pt"}
COMMANDS_FILES = {".lock", "metrics.jsonl", "curves.png", "model_card.md"}
HALF = {"real": 0.5, "synthetic": 0.5}
TEACHER = {
    "kind": "group",
    "window": 3,
    "inputs": 2,
    "groups": {"count": 4, "boundaries": "quantile"},
    "network": {"features": "student", "head_channels": [4, 4], "hidden": [8, 8]},
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def own_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The data sets of tests.training_data, without a file."""
    from ltsh_deploy.train import data
    from tests import training_data

    monkeypatch.setattr(
        data, "open_dataset", lambda kind, path, **options: getattr(training_data, kind.rpartition(":")[2])(path)
    )


def trained(config: RunConfig, out: Path, *, resume: bool = False) -> tuple[Run, list[Record]]:
    records: list[Record] = []
    run = prepare(config, out, resume=resume)
    run.train(records.append)
    return run, records


def losses(records: list[Record]) -> list[float]:
    return [record.values["loss"] for record in records if record.kind == "train"]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def same_states(first: Path, second: Path) -> None:
    one, other = (torch.load(folder / "state.pt", weights_only=True) for folder in (first, second))
    same(one, other, "state")


def same(one: Any, other: Any, where: str) -> None:
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for i, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{where}[{i}]")
    else:
        assert one == other, where


def test_a_run_leaves_weights_and_state_and_gets_better(tmp_path: Path) -> None:
    run, records = trained(tiny_config(steps=40, validation={"every": 20}), tmp_path)
    assert files(tmp_path) == FILES
    assert sum(losses(records)[-5:]) < 0.9 * sum(losses(records)[:5])
    measured = [record for record in records if record.kind == "validation"]
    assert [record.step for record in measured] == [20, 40]
    assert measured[0].values["people"] == 4
    assert run.best == max(record.values["pck"] for record in measured)
    network, provenance = load_checkpoint(tmp_path / "last.safetensors")
    assert network.skeleton.name == "ltsh15"
    assert provenance.training_data == "real"
    # They were measured at this size, and so are to be used at it.
    for name in ("best.safetensors", "last.safetensors"):
        assert read_checkpoint(tmp_path / name).size == (64, 64)


@pytest.mark.slow
def test_what_is_exported_is_used_at_the_size_of_training(tmp_path: Path) -> None:
    trained(tiny_config(steps=1), tmp_path)
    report = export_onnx(
        tmp_path / "best.safetensors", tmp_path / "best.onnx", images=[np.zeros((64, 64, 3), np.uint8)]
    )
    assert report.description.size == (64, 64)


def test_the_same_seed_gives_the_same_run_whatever_the_workers(tmp_path: Path) -> None:
    _, first = trained(tiny_config(workers=1, prefetch=1), tmp_path / "a")
    _, second = trained(tiny_config(workers=5, prefetch=3), tmp_path / "b")
    _, third = trained(tiny_config(seed=1), tmp_path / "c")
    assert losses(first) == losses(second)
    assert losses(first) != losses(third)


@pytest.mark.parametrize("changes", [{}, {"data": None, "teacher": TEACHER}, {"average": 0, "precision": "bf16"}])
@pytest.mark.parametrize("stop", [4, 5])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path: Path, changes: dict[str, Any], stop: int) -> None:
    if "data" in changes:
        changes = changes | {"data": tiny_config().data.model_dump() | {"mix": HALF}}
    config = tiny_config(**changes, steps=9)
    _, whole = trained(config, tmp_path / "whole")
    run, records = prepare(config, tmp_path / "parts"), []

    def interrupt(record: Record) -> None:
        records.append(record)
        if record.kind == "train" and record.step == stop:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run.train(interrupt)
    # The signal is heeded after the step that was under way when it came.
    assert run.step in (stop, stop + 1)
    _, rest = trained(config, tmp_path / "parts", resume=True)
    assert losses(records) + losses(rest) == losses(whole)
    same_states(tmp_path / "whole", tmp_path / "parts")
    windows = [record.values for record in (*records, *rest) if record.kind == "window"]
    assert windows == [record.values for record in whole if record.kind == "window"]
    assert len(windows) == (3 if config.teacher else 0)


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    config = tiny_config(steps=8, checkpoint_every=3)
    trained(config, tmp_path / "whole")
    run = prepare(config, tmp_path / "parts")

    class Killed(BaseException):
        pass

    def kill(record: Record) -> None:
        if record.kind == "train" and record.step == 5:
            raise Killed

    with pytest.raises(Killed):
        run.train(kill)
    (tmp_path / "parts" / ".last.0123abcd.part.safetensors").write_bytes(b"half")
    _, records = trained(config, tmp_path / "parts", resume=True)
    assert [record.step for record in records if record.kind == "train"] == [4, 5, 6, 7, 8]
    same_states(tmp_path / "whole", tmp_path / "parts")
    assert ".last.0123abcd.part.safetensors" not in files(tmp_path / "parts")


def test_synthetic_samples_come_from_the_teachers_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tiny_config().data.model_dump() | {"mix": HALF}
    run = prepare(tiny_config(data=data, teacher=TEACHER, steps=6), tmp_path)
    seen: dict[int, list[str]] = {}
    forward = Student.forward

    def watched(self: Student, batch: Any) -> Any:
        seen[run.step] = list(batch.names)
        return forward(self, batch)

    monkeypatch.setattr(Student, "forward", watched)
    records: list[Record] = []
    run.train(records.append)
    groups = [record.values["group"] for record in records if record.kind == "window"]
    assert len(groups) == 2
    for step, names in seen.items():
        assert [name.split(":")[0] for name in names] == ["real"] * 2 + ["synthetic"] * 2
        for name in names[2:]:
            # tests.training_data: person i has pitch i % 4.
            assert int(name.split(" p")[1]) % 4 == groups[step // 3]


def test_the_random_teacher_only_keeps_a_record(tmp_path: Path) -> None:
    """docs/teacher.md: training is, to the bit, what it is without a teacher."""
    data = tiny_config().data.model_dump() | {"mix": HALF}
    _, alone = trained(tiny_config(data=data), tmp_path / "alone")
    _, recorded = trained(tiny_config(data=data, teacher={"kind": "random", "window": 3}), tmp_path / "random")
    assert losses(recorded) == losses(alone)
    windows = [record for record in recorded if record.kind == "window"]
    assert [(record.step, record.values["group"]) for record in windows] == [(3, None), (6, None)]
    assert all(record.values["synthetic_signal"] > 0 for record in windows)


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_batch(tmp_path: Path) -> None:
    run = prepare(tiny_config(optimiser={"lr": 1e30}, average=0), tmp_path)
    with pytest.raises(TrainingError, match="no longer a number") as caught:
        run.train()
    assert run.step < 2
    # There is no checkpoint yet.
    assert "then begin again" in caught.value.remedy
    batch = torch.load(tmp_path / "bad_batch.pt", weights_only=True)
    assert batch["images"].shape == (4, 64, 64, 3)
    assert batch["step"] == run.step
    # It is the batch that the run stopped at, and not the one before.
    make = CropMaker(Sampler(run.pools.training, (1.0,), 4, 0), run.config, 8)
    crops = [make(run.step, slot) for slot in range(4)]
    assert batch["names"] == [crop.name for crop in crops]
    assert torch.equal(batch["images"], collate(crops).images)


def test_a_gradient_that_is_no_number_stops_the_run_before_it_does_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = prepare(tiny_config(average=0), tmp_path)
    before = {key: value.clone() for key, value in run._student.network.named_parameters()}
    backward = torch.Tensor.backward

    def spoiled(self: torch.Tensor, *arguments: Any, **options: Any) -> None:
        backward(self, *arguments, **options)
        next(run._student.network.parameters()).grad.fill_(torch.nan)  # type: ignore[union-attr]

    monkeypatch.setattr(torch.Tensor, "backward", spoiled)
    with pytest.raises(TrainingError, match="the gradient is no longer a number"):
        run.train()
    for key, value in run._student.network.named_parameters():
        assert torch.equal(value, before[key]), key
    assert "bad_batch.pt" in files(tmp_path)


def test_the_best_of_another_validation_does_not_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained(tiny_config(steps=2), tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.save(state | {"best": 99.0}, tmp_path / "state.pt")
    run, _ = trained(tiny_config(steps=3), tmp_path, resume=True)
    assert run.best == 99
    run, _ = trained(tiny_config(steps=4, validation={"every": 4, "view": "crop"}), tmp_path, resume=True)
    assert run.best is not None
    assert run.best < 99
    assert "no longer counts" in caplog.text


def test_weights_can_be_those_of_another_run(tmp_path: Path) -> None:
    trained(tiny_config(average=0), tmp_path / "first")
    config = tiny_config(init=str(tmp_path / "first" / "last.safetensors"), frozen_convolutions=3, average=0)
    trained(config, tmp_path / "second")
    before = load_checkpoint(tmp_path / "first" / "last.safetensors")[0].state_dict()
    after = load_checkpoint(tmp_path / "second" / "last.safetensors")[0].state_dict()
    kept = [key for key in before if torch.equal(before[key], after[key])]
    changed = set(before) - set(kept)
    convolutions = [key for key in before if before[key].ndim == 4]
    assert set(convolutions[:3]) <= set(kept)
    assert set(convolutions[3:]) <= changed
    # The running statistics of frozen layers stay too.
    assert not {key for key in changed if key.startswith("fine.0")}
    with pytest.raises(InputError, match="another configuration of the network"):
        prepare(tiny_config(init=config.init, network={"name": "ltsh_light"}), tmp_path / "third")


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    trained(tiny_config(steps=1), tmp_path)
    with pytest.raises(UsageError, match="holds a run already"):
        prepare(tiny_config(steps=1), tmp_path)
    with pytest.raises(InputError, match="no run to resume"):
        prepare(tiny_config(steps=1), tmp_path / "other", resume=True)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "other"])
def test_a_damaged_state_is_named(tmp_path: Path, damage: str) -> None:
    trained(tiny_config(steps=1), tmp_path)
    state = tmp_path / "state.pt"
    data = state.read_bytes()
    if damage == "other":
        torch.save({"weights": torch.zeros(3)}, state)
    else:
        state.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"hello"}[damage])
    with pytest.raises(InputError, match=r"state\.pt"):
        prepare(tiny_config(steps=1), tmp_path, resume=True)


def test_resuming_with_another_network_or_skeleton_is_refused(tmp_path: Path) -> None:
    trained(tiny_config(steps=1), tmp_path)
    with pytest.raises(InputError, match="skeleton"):
        prepare(tiny_config(steps=1, skeleton="lsp14"), tmp_path, resume=True)
    other = {"name": "ltsh_light", "config": {**tiny_config().network.config, "feature_channels": 12}}
    with pytest.raises(InputError, match="does not fit the network"):
        prepare(tiny_config(steps=1, network=other), tmp_path, resume=True)


def test_a_picture_that_cannot_be_read_is_replaced_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from ltsh_deploy.datasets import Sample

    config = tiny_config()
    read = Sample.read_image

    def read_image(self: Sample) -> Any:
        if self.id in ("p0", "p1", "p2", "p3", "p4"):
            raise ImageError(f"{self.id}: is broken")
        return read(self)

    monkeypatch.setattr(Sample, "read_image", read_image)

    def names(workers: int) -> tuple[list[tuple[str, ...]], int]:
        pools = open_pools(config.data, tiny_config_skeleton())
        sampler = Sampler(pools.training, pools.parts, config.batch, config.seed)
        make = CropMaker(sampler, config, 8)
        with Loader(make, range(config.batch), workers, 2) as loader:
            batches = list(loader.batches(0, 10))
        return [batch.names for batch in batches], sum(b.skipped["pictures that cannot be read"] for b in batches)

    first, count = names(1)
    assert not {name for step in first for name in step} & {f"real: p{i}" for i in range(5)}
    # Two epochs of 20 people, five of them broken, and perhaps a broken one again in their place.
    assert count >= 10
    assert names(4) == (first, count)

    monkeypatch.setattr(Sample, "read_image", lambda self: (_ for _ in ()).throw(ImageError("all broken")))
    with pytest.raises(InputError, match="in a row could not be used"):
        names(2)


def tiny_config_skeleton() -> Any:
    from ltsh_deploy.skeletons import LTSH15

    return LTSH15


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tiny_config(steps=2), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        trained(tiny_config(steps=4), tmp_path, resume=True)
    assert (tmp_path / "state.pt").read_bytes() == before["state.pt"]
    assert not [name for name in files(tmp_path) if "part" in name]


def test_a_first_checkpoint_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    trained(tiny_config(steps=1, skeleton="lsp14"), tmp_path / "first")
    init = tmp_path / "first" / "last.safetensors"
    with pytest.raises(InputError, match="another skeleton"):
        prepare(tiny_config(init=str(init)), tmp_path / "second")
    data = init.read_bytes()
    init.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"last\.safetensors"):
        prepare(tiny_config(init=str(init), skeleton="lsp14"), tmp_path / "third")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": [64, 60]}, "multiples of 8"),
        ({"device": "tpu"}, "none of auto"),
        ({"precision": "fp16"}, "needs a GPU"),
        ({"network": {"name": "resnet"}}, "no network"),
        ({"network": {"name": "ltsh_light", "config": {"depth": 3}}}, "no configuration key"),
        ({"skeleton": "ltsh16"}, "ltsh16"),
        ({"init": "/nowhere.safetensors"}, "nowhere"),
        ({"frozen_convolutions": 500}, "convolutions"),
        ({"teacher": "uniform"}, "no data set in data.mix is of synthetic people"),
        (
            {"teacher": "group", "data": tiny_config().data.model_dump() | {"mix": {"synthetic": 1.0}}},
            "the group teacher looks at crops of real people",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_cannot_be_is_said_before_training(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    from ltsh_deploy.errors import LtshError

    with pytest.raises(LtshError, match=message):
        prepare(tiny_config(**changes), tmp_path)


def write_command(tmp_path: Path, **changes: Any) -> Path:
    config = tmp_path / "tiny.yaml"
    save_config(config, tiny_config(**changes))
    return config


def test_the_command_trains_and_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, out = write_command(tmp_path, steps=3), tmp_path / "run"
    assert main(["train", str(config), "--out", str(out)]) == 0
    assert main(["train", str(config), "--out", str(out)]) == 2
    assert main(["train", str(config), "--out", str(out), "--resume", "--set", "steps=5"]) == 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [1, 2, 3, 4, 5]
    assert files(out) == {*FILES, *COMMANDS_FILES}
    (final,) = [line for line in lines if line["kind"] == "final" and line["step"] == 5]
    said = capsys.readouterr().err
    assert f"PCK@0.2 {final['pck']:.1f} on whole pictures of 4 people" in said
    card = (out / "model_card.md").read_text()
    assert f"| {final['pck']:.4g} |" in card
    assert "training, 100 % of every batch" in card
    assert main(["train", str(config), "--set", "optimizer.lr=1"]) == 2
    assert "optimiser" in capsys.readouterr().err


def test_tensorboard_gets_curves_and_people(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = write_command(tmp_path, steps=4, tensorboard=True, validation={"every": 2, "pictures": 2})
    assert main(["-q", "train", str(config), "--out", str(tmp_path / "run")]) == 0
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    assert {"train/loss", "train/lr", "validation/pck"} <= set(tags["scalars"])
    assert len([name for name in tags["images"] if name.startswith("people/")]) == 2


def test_the_progress_bar_says_how_it_goes(tmp_path: Path) -> None:
    from tests.test_cli import on_terminal

    config = write_command(tmp_path, steps=3)
    said = on_terminal(_PROGRAM.replace("sys.argv[1:]", repr(["train", str(config), "--out", str(tmp_path / "run")])))
    assert "3/3" in said
    assert "images/s" in said
    assert "waiting" in said


def test_without_validation_there_is_no_figure_but_a_card(tmp_path: Path) -> None:
    data = tiny_config().data.model_dump() | {"validation": None}
    assert main(["train", str(write_command(tmp_path, steps=2, data=data)), "--out", str(tmp_path / "run")]) == 0
    assert files(tmp_path / "run") == {*FILES, *COMMANDS_FILES} - {"best.safetensors"}
    assert "Nothing was measured." in (tmp_path / "run" / "model_card.md").read_text()


def test_the_recipes_are_sound() -> None:
    from ltsh_deploy.train.config_file import read_config

    recipes = sorted((ROOT / "recipes").glob("*.yaml"))
    assert recipes
    for recipe in recipes:
        read_config(recipe)


_PROGRAM = """
import sys
import torch
from ltsh_deploy.cli.main import main
from ltsh_deploy.train import data
from tests import training_data
data.open_dataset = lambda kind, path, **options: getattr(training_data, kind.rpartition(":")[2])(path)
torch.set_num_threads(1)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_kill_nine_loses_only_the_steps_since_the_last_checkpoint(tmp_path: Path) -> None:
    config = write_command(tmp_path, steps=60, checkpoint_every=2, validation={"every": 60})

    def start(folder: str, *more: str) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-c", _PROGRAM, "-q", "train", str(config), "--out", str(tmp_path / folder), *more]
        return subprocess.Popen(line, cwd=ROOT)

    killed = start("killed")
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed" / "state.pt").exists():
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(0.1)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    reached = torch.load(tmp_path / "killed" / "state.pt", weights_only=True)["step"]
    assert 0 < reached < 60
    assert start("killed", "--resume").wait() == 0
    trained(tiny_config(steps=60, checkpoint_every=2, validation={"every": 60}), tmp_path / "whole")
    same_states(tmp_path / "whole", tmp_path / "killed")
    lines = [json.loads(line) for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == list(range(1, 61))
