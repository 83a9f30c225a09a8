"""Options of a run that nothing else would notice if they were not heeded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ltsh_deploy.checkpoints import load_checkpoint
from ltsh_deploy.network_base import ImageNetwork
from ltsh_deploy.train import keeping
from ltsh_deploy.train.batches import Loader
from ltsh_deploy.train.loop import Record
from ltsh_deploy.train.pck import PckScore
from ltsh_deploy.train.start import prepare
from ltsh_deploy.train.targets import People
from ltsh_deploy.train.validation import Measurement
from tests.test_train_run import losses, own_datasets, trained  # noqa: F401  (a fixture of every test)
from tests.training_data import tiny_config

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_gradient_is_clipped_as_configured(tmp_path: Path) -> None:
    def moved(clip: float | None) -> tuple[float, float]:
        run = prepare(
            tiny_config(steps=1, average=0, optimiser={"lr": 1.0, "eps": 1.0, "clip": clip}), tmp_path / str(clip)
        )
        before = [p.detach().clone() for p in run.network.parameters()]
        records: list[Record] = []
        run.train(records.append)
        after = run.network.parameters()
        change = sum(float((p.detach() - b).square().sum()) for p, b in zip(after, before, strict=True)) ** 0.5
        return change, records[0].values["gradient_norm"]

    free, norm = moved(None)
    # Adam with a large eps moves the weights nearly by the gradient itself, where that is small.
    tight, same_norm = moved(0.01)
    assert same_norm == norm > 1
    assert tight <= 0.01 < free
    assert moved(1e6) == (free, norm)


def test_the_weights_of_the_losses_parts_are_those_configured(tmp_path: Path) -> None:
    both, heatmaps, doubled, nothing = (
        losses(trained(tiny_config(steps=1, loss=loss, validation={"every": 9}), tmp_path / str(i))[1])[0]
        for i, loss in enumerate(
            [
                {},
                {"paf_weight": 0},
                {"paf_weight": 2, "heatmap_weight": 2},
                {"paf_weight": 0, "heatmap_weight": 0},
            ]
        )
    )
    assert nothing == 0 < heatmaps < both
    assert doubled == pytest.approx(2 * both)


def test_what_is_masked_counts_where_it_is_not(tmp_path: Path) -> None:
    """Synthetic people in pictures with real ones: see tests/test_train_targets.py for which cells they take."""
    found = []
    for masked in (False, True):
        run = prepare(tiny_config(targets={"masked": masked}), tmp_path / str(masked))
        batch = next(iter(Loader(run._maker, range(4), 1, 1).batches(0, 1)))
        people = batch.people
        # Everybody has a synthetic neighbour at the same place.
        two = People(*(torch.cat([part, part], dim=1) for part in (people.joints, people.clips, people.boxes)),
                     torch.tensor([[False, True]] * 4))  # fmt: skip
        losses_, _ = run._student.forward(replace(batch, people=two))
        found.append(float(losses_.total.detach()))
    assert 0 < found[1] < 0.9 * found[0]


def test_only_so_many_people_are_measured(tmp_path: Path) -> None:
    for people in (1, 3):
        _, records = trained(tiny_config(steps=1, validation={"people": people}), tmp_path / str(people))
        (measured,) = (record.values for record in records if record.kind == "validation")
        assert measured["people"] == people


def test_what_is_measured_is_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The averaged weights; and of equally good ones, the first, which need not be written again."""
    measured: list[dict[str, torch.Tensor]] = []
    scores = iter([10.0, 10.0, 20.0, 15.0])

    def watched(images: ImageNetwork, pool: Any, *arguments: Any, **options: Any) -> Measurement:
        measured.append({key: value.clone() for key, value in images.network.state_dict().items()})
        return Measurement(PckScore(next(scores), {}, 4), 1.0, {})

    monkeypatch.setattr(keeping, "validate", watched)
    run, _ = trained(tiny_config(steps=4, validation={"every": 1}), tmp_path)
    assert run.best == 20
    best = load_checkpoint(tmp_path / "best.safetensors")[0].state_dict()
    assert all(torch.equal(best[key], value) for key, value in measured[2].items())
    assert not all(torch.equal(value, measured[3][key]) for key, value in run.network.state_dict().items())
    last = load_checkpoint(tmp_path / "last.safetensors")[0].state_dict()
    assert all(torch.equal(last[key], value) for key, value in measured[3].items())
    _, provenance = load_checkpoint(tmp_path / "best.safetensors")
    assert "step 3 of 4" in provenance.notes


def test_the_first_of_equally_good_weights_are_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "validate", lambda *a, **o: Measurement(PckScore(10.0, {}, 4), 1.0, {}))
    trained(tiny_config(steps=3, validation={"every": 1}), tmp_path)
    assert "step 1 of 3" in load_checkpoint(tmp_path / "best.safetensors")[1].notes
