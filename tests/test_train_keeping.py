"""The best weights of a run that goes on: when they still count, and that they are those of its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ltsh_deploy.checkpoints import load_checkpoint
from ltsh_deploy.errors import OutputError
from ltsh_deploy.train import keeping
from ltsh_deploy.train.loop import Record
from ltsh_deploy.train.pck import PckScore
from ltsh_deploy.train.start import prepare
from ltsh_deploy.train.state import load_state
from ltsh_deploy.train.validation import Measurement
from tests import training_data
from tests.test_train_run import own_datasets, trained  # noqa: F401  (a fixture of every test)
from tests.training_data import tiny_config

pytestmark = pytest.mark.usefixtures("one_thread")

BEST = "best.safetensors"


class Killed(BaseException):
    pass


def killed_after_measuring(config: Any, folder: Path, step: int) -> None:
    def kill(record: Record) -> None:
        if record.kind == "validation" and record.step == step:
            raise Killed

    with pytest.raises(Killed):
        prepare(config, folder).train(kill)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is measured, one after the other."""
    waiting: list[float] = []
    monkeypatch.setattr(keeping, "validate", lambda *a, **o: Measurement(PckScore(waiting.pop(0), {}, 4), 1.0, {}))
    return waiting


def with_set(name: str, **changes: Any) -> dict[str, Any]:
    data = tiny_config().data.model_dump()
    data["sets"][name] |= changes
    return {"data": data | {"mix": {"real": 0.5, "synthetic": 0.5}}}


CROP: dict[str, Any] = {"validation": {"view": "crop"}}


@pytest.mark.parametrize(
    ("before", "after", "counts"),
    [
        pytest.param({}, {"optimiser": {"lr": 0.001}, "steps": 5}, True, id="optimiser"),
        pytest.param({}, CROP, False, id="view"),
        pytest.param({}, {"validation": {"people": 3}}, False, id="people"),
        pytest.param({}, {"size": [64, 72]}, False, id="size"),
        pytest.param(with_set("real"), with_set("real", path="elsewhere"), False, id="path"),
        pytest.param(with_set("real"), with_set("real", options={"val_from": 7}), False, id="options"),
        pytest.param(with_set("real"), with_set("synthetic", path="elsewhere"), True, id="path of another set"),
        pytest.param(CROP, CROP | {"crop": {"target_scale": 0.6}}, False, id="scale of crops"),
        pytest.param(CROP, CROP | {"crop": {"rotation": 10}}, True, id="rotation of crops"),
        # The whole picture is as large whatever the crops are.
        pytest.param({}, {"crop": {"target_scale": 0.6}}, True, id="scale of crops, whole pictures"),
    ],
)
def test_the_best_counts_while_it_is_measured_alike(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], counts: bool
) -> None:
    first, _ = trained(tiny_config(**{"steps": 2, **before}), tmp_path)
    run = prepare(tiny_config(**{"steps": 2, **after}), tmp_path, resume=True)
    assert run.best == (first.best if counts else None)


@pytest.mark.parametrize(("count", "val", "counts"), [(25, 4, True), (25, 5, False)])
def test_the_best_counts_while_it_is_measured_on_as_many_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, val: int, counts: bool
) -> None:
    first, _ = trained(tiny_config(steps=2), tmp_path)
    monkeypatch.setattr(training_data, "real", lambda path: training_data.make_samples(count, val=val))
    assert prepare(tiny_config(steps=2), tmp_path, resume=True).best == (first.best if counts else None)


def test_the_best_weights_are_not_those_of_steps_that_are_lost(tmp_path: Path, figures: list[float]) -> None:
    options: dict[str, Any] = {"steps": 8, "checkpoint_every": 4, "validation": {"every": 1}}
    figures += [1, 2, 3, 10, 20]
    killed_after_measuring(tiny_config(**options), tmp_path, 5)
    assert "step 5 of 8, best PCK@0.2 20.0" in load_checkpoint(tmp_path / BEST)[1].notes
    # Other steps follow, and are worse.
    figures += [5, 6, 7, 8]
    run, _ = trained(tiny_config(**options, optimiser={"lr": 1e-5}), tmp_path, resume=True)
    assert run.best == 10
    assert "step 4 of 8, best PCK@0.2 10.0" in load_checkpoint(tmp_path / BEST)[1].notes


def test_weights_of_lost_steps_are_not_the_best_where_none_were_measured_before(
    tmp_path: Path, figures: list[float]
) -> None:
    figures += [20, 5]
    options: dict[str, Any] = {"checkpoint_every": 4, "validation": {"every": 5}}
    killed_after_measuring(tiny_config(steps=8, **options), tmp_path, 5)
    assert load_state(tmp_path / "state.pt")["best"] is None
    # Nothing is left to do, but to measure what is there.
    run, _ = trained(tiny_config(steps=4, **options), tmp_path, resume=True)
    assert run.best == 5
    assert "step 4 of 4, best PCK@0.2 5.0" in load_checkpoint(tmp_path / BEST)[1].notes


@pytest.mark.parametrize("damage", ["gone", "half"])
def test_the_best_weights_are_kept_in_the_state_too(tmp_path: Path, damage: str) -> None:
    first, _ = trained(tiny_config(steps=2), tmp_path)
    path = tmp_path / BEST
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[:100])
    assert prepare(tiny_config(steps=4), tmp_path, resume=True).best == first.best
    assert path.read_bytes() == whole


def test_a_best_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    trained(tiny_config(steps=2), tmp_path)
    (tmp_path / BEST).unlink()
    (tmp_path / BEST).mkdir()
    with pytest.raises(OutputError, match=r"best\.safetensors: is a folder"):
        prepare(tiny_config(steps=4), tmp_path, resume=True)


def older_states(state: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """As they were before they held the best weights; the first ones do not say how the best was measured."""
    old = {key: value for key, value in state.items() if key != "best_file"}
    yield old
    yield old | {"best_by": "real picture None [64, 64]"}


def test_states_that_do_not_hold_the_best_weights_go_on(tmp_path: Path) -> None:
    first, _ = trained(tiny_config(steps=2), tmp_path)
    whole = (tmp_path / BEST).read_bytes()
    for state in older_states(load_state(tmp_path / "state.pt")):
        torch.save(state, tmp_path / "state.pt")
        assert prepare(tiny_config(steps=4), tmp_path, resume=True).best == first.best
        assert (tmp_path / BEST).read_bytes() == whole
        assert prepare(tiny_config(steps=4, **CROP), tmp_path, resume=True).best is None
    (tmp_path / BEST).unlink()
    run = prepare(tiny_config(steps=4), tmp_path, resume=True)
    assert run.best is None
    run.train()
    assert (tmp_path / BEST).exists()
    assert load_state(tmp_path / "state.pt")["best_file"] is not None
