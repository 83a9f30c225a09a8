"""A folder of shards as Leeds Sports Pose Extended is kept, with drawn people, and a study of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ltsh_deploy.skeletons import LSP14
from ltsh_deploy.train import synth_run
from studies.ltsh.data import make_data
from studies.ltsh.plan import Layout, Study, load_study
from studies.ltsh.running import run_row
from tests.dataset_files import write_tar
from tests.synth_stub import InThisProcess
from tests.training_data import person, picture


def write_people(folder: Path, train: int = 10, val: int = 9) -> Path:
    """One labelled person a picture of 160 x 140, in LSP's joints."""
    rng = np.random.default_rng(5)
    for split, count in (("train", train), ("val", val)):
        members = {}
        for number in range(count):
            fifteen = person(rng, (80 + rng.uniform(-8, 8), 70 + rng.uniform(-8, 8)))
            joints = [[*map(float, fifteen[FROM_LTSH[j], :2]), 1] for j in range(LSP14.num_joints)]
            labels = {"skeleton": "lsp14", "width": 160, "height": 140, "joints": joints}
            members[f"{split}{number:03d}.png"] = picture(rng, fifteen[None], (160, 140))
            members[f"{split}{number:03d}.json"] = json.dumps(labels).encode()
        write_tar(folder / f"{split}-00.tar", members)
    return folder


def _columns() -> list[int]:
    from ltsh_deploy.skeletons import LTSH15

    return [LTSH15.joints.index(name) for name in LSP14.joints]


FROM_LTSH = _columns()


def small_study(people: Path) -> Study:
    """The study, on those people, its synthetic ones in drawn rooms."""
    return replace(load_study(), real=people, backgrounds=None)


def run_tiny(study: Study, out: Path, sets: Sequence[str], runs: Iterable[tuple[str, int]]) -> Layout:
    """A study of the budget ``tiny`` with these data sets, of which these rows have been run from these seeds."""
    layout = Layout(out, "tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synth_run, "ProcessPoolExecutor", InThisProcess)
        make_data(study, study.budgets["tiny"], layout, sets)
    for row, seed in runs:
        assert run_row(study, "tiny", row, seed, layout)
    return layout
