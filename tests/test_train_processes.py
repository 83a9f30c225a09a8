"""Two processes that train together: they sample by the same choices and end with the same weights."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ltsh_deploy.errors import UsageError
from ltsh_deploy.train.config_file import save_config
from ltsh_deploy.train.processes import first_alone, gathered, joined_processes, together
from tests.training_data import tiny_config

ROOT = Path(__file__).parent.parent

# What torchrun starts, once for each process: the command itself, and then what this process saw and has.
PROGRAM = """
import os, sys
import torch
from ltsh_deploy.cli.main import main
from ltsh_deploy.train import data, loop
from ltsh_deploy.train.batches import CropMaker
from tests import training_data

place = sys.argv.pop(1)
torch.set_num_threads(1)
data.open_dataset = lambda kind, path, **options: getattr(training_data, kind.rpartition(":")[2])(path)
choices, trained_on = [], []
make, train = CropMaker.__call__, loop.Run.train

def watched_make(self, step, slot, choice=None):
    crop = make(self, step, slot, choice)
    trained_on.append(f"{step} {slot} {crop.name}")
    return crop

def watched_train(self, *arguments):
    begun = self._recorder._sums.clone()
    propose = self._teacher.propose
    def watched_propose():
        choices.append(propose())
        return choices[-1]
    self._teacher.propose = watched_propose
    train(self, *arguments)
    torch.save({
        "choices": [choice.record() for choice in choices],
        "trained_on": sorted(trained_on),
        "sums": begun,
        "weights": dict(self._student.network.named_parameters()),
    }, place)

CropMaker.__call__, loop.Run.train = watched_make, watched_train
exec(os.environ.get("FIRST", "") if os.environ.get("RANK") == "0" else os.environ.get("OTHER", ""))
code = main(sys.argv[1:])
sys.stderr.flush()
# On a busy machine, gloo's threads now and then abort a Python that ends in the usual way, after all is done.
os._exit(code)
"""

TEACHER = {
    "kind": "group",
    "window": 2,
    "inputs": 3,
    "learning_rate": 0.01,
    "groups": {"count": 4, "boundaries": "quantile"},
    "network": {"features": "student", "head_channels": [4, 4], "hidden": [8, 8]},
}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def run_both(tmp_path: Path, *arguments: str, first: str = "", other: str = "") -> list[tuple[int, str]]:
    """Exit codes and stderr of two processes, each of which runs a program of its own before."""
    port = str(free_port())
    started = []
    for rank in range(2):
        ours = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        ours |= {"FIRST": first, "OTHER": other}
        environment = {**os.environ, **ours, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        line = [sys.executable, "-c", PROGRAM, str(tmp_path / f"rank{rank}.pt"), "train", *arguments]
        started.append(subprocess.Popen(line, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
    said = [process.communicate(timeout=120)[1] for process in started]
    return [(process.returncode, text) for process, text in zip(started, said, strict=True)]


def write_config(tmp_path: Path, **changes: Any) -> str:
    data = tiny_config().data.model_dump() | {"mix": {"real": 0.5, "synthetic": 0.5}}
    save_config(tmp_path / "c.yaml", tiny_config(data=data, teacher=TEACHER, batch=4, checkpoint_every=3, **changes))
    return str(tmp_path / "c.yaml")


def test_two_processes_make_the_same_choices_and_the_same_weights(tmp_path: Path) -> None:
    config, out = write_config(tmp_path, steps=6), tmp_path / "run"
    for code, said in run_both(tmp_path, config, "--out", str(out)):
        assert code == 0, said
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert len(first["choices"]) == 3
    assert first["choices"] == second["choices"]
    # The teacher has learned: what it thinks of the groups changes.
    assert first["choices"][0]["probabilities"] != first["choices"][2]["probabilities"]
    assert first["weights"].keys() == second["weights"].keys()
    for name, weights in first["weights"].items():
        assert torch.equal(weights, second["weights"][name]), name
    # Each process made its own half of every batch.
    slots = [{tuple(entry.split()[:2]) for entry in each["trained_on"]} for each in (first, second)]
    assert slots[0] == {(str(step), str(slot)) for step in range(6) for slot in (0, 2)}
    assert slots[1] == {(str(step), str(slot)) for step in range(6) for slot in (1, 3)}
    # The first one alone wrote: every step once, and no file of the other one's.
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [1, 2, 3, 4, 5, 6]
    windows = [line for line in lines if line["kind"] == "window"]
    assert [line["group"] for line in windows] == [choice["group"] for choice in first["choices"]]
    assert torch.load(out / "state.pt", weights_only=True)["step"] == 6


@pytest.mark.slow
def test_two_processes_go_on_where_they_stopped(tmp_path: Path) -> None:
    config = write_config(tmp_path, steps=8)
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    begun, resumed = ["-o", parts, "--set", "steps=4"], ["-o", parts, "--resume"]
    for arguments in (["-o", whole], begun, resumed):
        for code, said in run_both(tmp_path, config, *arguments):
            assert code == 0, said
    states = [torch.load(Path(folder) / "state.pt", weights_only=True) for folder in (whole, parts)]
    assert all(torch.equal(states[0]["network"][name], weights) for name, weights in states[1]["network"].items())
    lines = [(Path(folder) / "metrics.jsonl").read_text().splitlines() for folder in (whole, parts)]
    losses = [[(r["step"], r["loss"]) for r in map(json.loads, each) if r["kind"] == "train"] for each in lines]
    assert losses[0] == losses[1]


def test_a_mistake_is_said_by_both_and_hangs_neither(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "state.pt").write_bytes(b"")
    for code, said in run_both(tmp_path, write_config(tmp_path), "--out", str(tmp_path / "run")):
        assert code == 2
        assert "holds a run already" in said
        assert "Traceback" not in said


FULL = """
def full(*arguments, **options):
    raise OSError(28, "No space left on device")
"""


@pytest.mark.parametrize(
    ("first", "other", "code", "words"),
    [
        (f"{FULL}\ntorch.save = full", "", 1, "state.pt: could not be written (No space left"),
        pytest.param(
            f"{FULL}\nfrom ltsh_deploy.train import history\nhistory.History.write = full\n"
            "history.History.write = lambda *a: (_ for _ in ()).throw(history.OutputError('metrics: full'))",
            "", 1, "metrics: full", marks=pytest.mark.slow,
        ),
        pytest.param(
            "from ltsh_deploy.train import results\n"
            "results.write_whole = lambda path, data: (_ for _ in ()).throw(results.MissingPartError('no card'))",
            "", 4, "no card", marks=pytest.mark.slow,
        ),
        pytest.param(
            "", "from ltsh_deploy.datasets import Sample\nfrom ltsh_deploy.errors import ImageError\n"
            "Sample.read_image = lambda self: (_ for _ in ()).throw(ImageError('broken'))",
            3, "people in a row could not be used", marks=pytest.mark.slow,
        ),
    ],
    ids=["full disk", "full disk in the history", "no card", "broken pictures"],
)  # fmt: skip
def test_a_mistake_of_one_is_said_by_both(tmp_path: Path, first: str, other: str, code: int, words: str) -> None:
    config = write_config(tmp_path, steps=4)
    for found, said in run_both(tmp_path, config, "-o", str(tmp_path / "run"), first=first, other=other):
        assert (found, words in said) == (code, True), said
        assert "Traceback" not in said


def test_a_state_that_is_missing_for_one_is_refused_by_both(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    absent = "from ltsh_deploy.train import start\nstart.STATE = 'absent.pt'"
    (tmp_path / "run" / "state.pt").write_bytes(b"cut")
    results = run_both(tmp_path, write_config(tmp_path), "-o", str(tmp_path / "run"), "--resume", first=absent)
    for code, said in results:
        assert (code, "absent.pt" in said) == (3, True), said
        assert "Traceback" not in said


@pytest.mark.slow
def test_the_death_of_one_is_said_by_the_other(tmp_path: Path) -> None:
    death = "import os\nfrom ltsh_deploy.train.student import Student\nStudent.learn = lambda *a: os._exit(7)"
    (first, said), (other, _) = run_both(tmp_path, write_config(tmp_path), "-o", str(tmp_path / "run"), other=death)
    assert (first, other) == (1, 7)
    assert "another process of this run has ended" in said


@pytest.mark.slow
def test_a_signal_to_one_stops_both(tmp_path: Path) -> None:
    stop = "import os, signal\nfrom ltsh_deploy.train.student import Student\nforward = Student.forward\n"
    stop += "Student.forward = lambda *a: (os.kill(os.getpid(), signal.SIGTERM), forward(*a))[1]"
    config = write_config(tmp_path, steps=9)
    for code, said in run_both(tmp_path, config, "-o", str(tmp_path / "run"), other=stop):
        assert code == 143, said
    # Within a window of the teacher's, of which each has a part.
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert state["step"] == 1
    assert state["window"]["sums"][:, [1, 3]].tolist() == [[1, 1], [1, 1]]
    assert len(state["window"]["crops"]) == 2
    for code, said in run_both(tmp_path, config, "-o", str(tmp_path / "run"), "--resume", "--set", "steps=2"):
        assert code == 0, said
    sums = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)["sums"] for rank in range(2)]
    assert torch.equal(torch.stack(sums), state["window"]["sums"])


@pytest.mark.slow
def test_what_one_process_had_of_a_window_counts_once_for_two(tmp_path: Path) -> None:
    from ltsh_deploy.train import data
    from ltsh_deploy.train.config_file import read_config
    from ltsh_deploy.train.start import prepare
    from tests import training_data

    config = write_config(tmp_path, steps=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            data, "open_dataset", lambda kind, path, **options: getattr(training_data, kind.rpartition(":")[2])(path)
        )
        prepare(read_config(config), tmp_path / "run").train()
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    assert state["window"]["sums"].shape == (1, 4)
    for code, said in run_both(tmp_path, config, "-o", str(tmp_path / "run"), "--resume", "--set", "steps=4"):
        assert code == 0, said
    first, other = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)["sums"] for rank in range(2))
    assert torch.equal(first, state["window"]["sums"][0])
    assert not other.any()


def test_one_process_asks_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_processes("cpu"):
        assert first_alone(lambda: 3) == together(lambda: 3) == 3
        assert gathered(3) == [3]


def test_an_environment_that_is_not_torchruns_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="torchrun"), joined_processes("cpu"):
        raise AssertionError("nothing may be trained")
