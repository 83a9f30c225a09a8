"""Windows of student steps: what is collected, and one teacher for several processes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ltsh_deploy.train.teacher import Choice
from ltsh_deploy.train.windows import WindowRecorder, synchronised
from tests.test_teacher import through_a_file

ROOT = Path(__file__).parent.parent
CHOICE = Choice(0, (1.0,), explored=False, window=0)


def add(recorder: WindowRecorder, signals: list[float], synthetic: list[bool]) -> None:
    """A step of crops that are filled with their own signals."""
    values = torch.tensor(signals)
    crops = values.reshape(-1, 1, 1, 1).expand(-1, 3, 2, 4)
    recorder.add(crops, values, torch.tensor(synthetic))


def test_means_are_over_samples_and_the_hardest_real_crops_are_kept() -> None:
    recorder = WindowRecorder(3)
    add(recorder, [1.0, 9.0, 5.0], [False, True, False])
    add(recorder, [4.0, 1.0], [True, True])
    add(recorder, [7.0, 2.0, 5.0], [False, False, False])
    outcome = recorder.outcome(CHOICE)
    assert outcome.synthetic_signal == pytest.approx(14 / 3)
    assert outcome.real_signal == 4
    assert outcome.hardest.shape == (3, 3, 2, 4)
    assert outcome.hardest[:, 0, 0, 0].tolist() == [7, 5, 5]
    assert outcome.choice is CHOICE


def test_a_window_begins_empty() -> None:
    recorder = WindowRecorder(3)
    add(recorder, [1.0, 9.0], [False, True])
    recorder.outcome(CHOICE)
    outcome = recorder.outcome(CHOICE)
    assert math.isnan(outcome.synthetic_signal)
    assert math.isnan(outcome.real_signal)
    assert len(outcome.hardest) == 0


def test_a_crop_whose_loss_is_no_number_is_not_the_hardest() -> None:
    recorder = WindowRecorder(2)
    add(recorder, [math.nan, 1.0, math.inf], [False, False, False])
    outcome = recorder.outcome(CHOICE)
    assert outcome.hardest[:, 0, 0, 0].tolist() == [1]
    assert math.isnan(outcome.real_signal)


def test_nothing_is_kept_for_a_teacher_that_looks_at_nothing() -> None:
    recorder = WindowRecorder(0)
    add(recorder, [1.0, 3.0], [False, False])
    outcome = recorder.outcome(CHOICE)
    assert (outcome.real_signal, len(outcome.hardest)) == (2, 0)


def test_what_is_kept_is_the_students_no_longer() -> None:
    recorder = WindowRecorder(2)
    crops = torch.ones(2, 3, 2, 2, dtype=torch.float16)
    recorder.add(crops, torch.ones(2, requires_grad=True), torch.tensor([False, False]))
    crops.zero_()
    hardest = recorder.outcome(CHOICE).hardest
    assert hardest.dtype == torch.float32
    assert float(hardest.min()) == 1


def test_an_unfinished_window_goes_on_from_a_file() -> None:
    def record(recorder: WindowRecorder, steps: range) -> WindowRecorder:
        for step in steps:
            signals = torch.rand(4, generator=torch.Generator().manual_seed(step)).tolist()
            add(recorder, signals, [False, True, False, True])
        return recorder

    whole = record(WindowRecorder(3), range(6)).outcome(CHOICE)
    begun = record(WindowRecorder(3), range(2))
    resumed = WindowRecorder(3)
    resumed.load_state_dict(through_a_file(begun.state_dict()))
    outcome = record(resumed, range(2, 6)).outcome(CHOICE)
    assert outcome.synthetic_signal == whole.synthetic_signal
    assert outcome.real_signal == whole.real_signal
    assert torch.equal(outcome.hardest, whole.hardest)
    # Saving took nothing away.
    assert torch.equal(record(begun, range(2, 6)).outcome(CHOICE).hardest, whole.hardest)


def test_what_several_processes_had_of_a_window_counts_once() -> None:
    """Here their state comes to one process alone; test_train_processes.py has one's that comes to two."""
    states = []
    for signals in ([1.0, 9.0, 5.0], [4.0, 2.0, 3.0]):
        recorder = WindowRecorder(2)
        add(recorder, signals, [False, True, False])
        states.append(recorder.state_dict())
    both = WindowRecorder(2)
    add(both, [1.0, 9.0, 5.0, 4.0, 2.0, 3.0], [False, True, False] * 2)
    resumed = WindowRecorder(2)
    resumed.load_state_dict(both.state_dict() | {"sums": torch.cat([state["sums"] for state in states])})
    outcome, expected = resumed.outcome(CHOICE), both.outcome(CHOICE)
    assert (outcome.synthetic_signal, outcome.real_signal) == (expected.synthetic_signal, expected.real_signal)
    assert torch.equal(outcome.hardest, expected.hardest)


def test_a_window_may_go_on_with_fewer_or_other_crops() -> None:
    begun = WindowRecorder(3)
    add(begun, [1.0, 9.0, 5.0], [False] * 3)
    fewer = WindowRecorder(2)
    fewer.load_state_dict(begun.state_dict())
    assert fewer.outcome(CHOICE).hardest[:, 0, 0, 0].tolist() == [9, 5]
    larger = WindowRecorder(3)
    larger.load_state_dict(begun.state_dict())
    larger.add(torch.full((1, 3, 8, 8), 2.0), torch.tensor([2.0]), torch.tensor([False]))
    outcome = larger.outcome(CHOICE)
    assert outcome.real_signal == 17 / 4
    assert outcome.hardest.shape == (1, 3, 8, 8)


def test_one_process_has_the_teacher_itself() -> None:
    teacher: Any = object()
    assert synchronised(lambda: teacher) is teacher
    assert synchronised(lambda: None) is None


# Both processes run this. Their losses differ, and rank 1's would by themselves lead to other choices.
PROGRAM = """
import copy, json, os, sys
import numpy as np, torch
from torch import distributed
from ltsh_deploy.errors import LtshError
from ltsh_deploy.train.teacher import create_teacher
from ltsh_deploy.train.teacher_config import GroupTeacherConfig, TeacherNetworkConfig
from ltsh_deploy.train.windows import WindowRecorder, synchronised

rank, place = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
network = TeacherNetworkConfig(input_size=32, trunk_channels=(2, 2, 2, 2), feature_channels=(2, 2),
                               head_channels=(2, 2), hidden=(8, 8))
config = GroupTeacherConfig(learning_rate=1e-2, inputs=3, network=network)

def create(seed):
    return lambda: create_teacher(config, [50] * 4, seed)

def window(teacher, recorder, number, steps=range(3)):
    for step in steps:
        r = np.random.default_rng([rank, number, step])
        signals = torch.tensor(r.random(4), dtype=torch.float32)
        # In every other window rank 1 has no real samples at all.
        synthetic = torch.tensor([True, True, rank == 1 and number % 2 == 1, rank == 1 and number % 2 == 1])
        recorder.add(signals.reshape(4, 1, 1, 1).expand(4, 3, 32, 32), signals, synthetic)

said = []
def finish(teacher, recorder):
    choice = teacher.propose()
    outcome = recorder.outcome(choice)
    said.append([choice.record(), outcome.synthetic_signal, outcome.real_signal,
                 outcome.hardest[:, 0, 0, 0].tolist(), str(teacher.observe(outcome))])

teacher, recorder = synchronised(create(rank)), WindowRecorder(3)
for number in range(8):
    window(teacher, recorder, number)
    finish(teacher, recorder)
window(teacher, recorder, 8, range(2))
state, part = copy.deepcopy(teacher.state_dict()), copy.deepcopy(recorder.state_dict())
window(teacher, recorder, 8, range(2, 3))
finish(teacher, recorder)

resumed, recorder = synchronised(create(9)), WindowRecorder(3)
resumed.load_state_dict(state)
recorder.load_state_dict(part)
window(resumed, recorder, 8, range(2, 3))
finish(resumed, recorder)

nothing = synchronised(lambda: None)
try:
    synchronised(lambda: create_teacher(config, [1, 1], 0))
    error = ""
except LtshError as e:
    error = type(e).__name__ + ": " + e.message
print(json.dumps({"said": said, "has": bool(state), "nothing": nothing is None, "error": error}), flush=True)
distributed.barrier()
# gloo's threads may still run when the interpreter ends, and would abort it; what is tested here is over.
os._exit(0)
"""


@pytest.mark.slow
def test_two_processes_have_one_teacher(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), str(tmp_path / "meeting")],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        answers = [run.communicate(timeout=100) for run in runs]
    finally:
        for run in runs:
            run.kill()
    assert [run.returncode for run in runs] == [0, 0], answers
    first, second = (json.loads(out) for out, _ in answers)
    assert first["said"] == second["said"]
    assert (first["has"], second["has"]) == (True, False)
    assert first["nothing"]
    assert second["nothing"]
    assert first["error"] == second["error"] == first["error"]
    assert first["error"].startswith("InputError: teacher: of 2 groups")

    def drawn(rank: int, window: int) -> list[list[float]]:
        draws = [np.random.default_rng([rank, window, step]).random(4).astype(np.float32) for step in range(3)]
        return [[float(x) for draw in draws for x in draw[:2]], [float(x) for draw in draws for x in draw[2:]]]

    for number in range(9):
        _, synthetic_signal, real_signal, hardest, _ = first["said"][number]
        synthetic, real = (drawn(0, number)[kind] + drawn(1, number)[kind] for kind in (0, 1))
        if number % 2:
            synthetic, real = synthetic + drawn(1, number)[1], drawn(0, number)[1]
        assert synthetic_signal == pytest.approx(sum(synthetic) / len(synthetic), rel=1e-12)
        assert real_signal == pytest.approx(sum(real) / len(real), rel=1e-12)
        assert hardest == sorted(real, reverse=True)[:3]
    # Resumed within the last window, the two go on as they would have.
    assert first["said"][9] == first["said"][8]
