"""Whether a student that saw synthetic people first learns more from few real ones, in the same number of steps.

Every run is kept in a folder of its own, and so are the synthetic pictures: the same command goes on where it stopped.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import table
from ltsh_deploy.checkpoints import load_checkpoint
from ltsh_deploy.datasets import Sample, open_dataset
from ltsh_deploy.network_base import ImageNetwork
from ltsh_deploy.train.config import RunConfig
from ltsh_deploy.train.config_file import parse_config
from ltsh_deploy.train.folder import LAST, STATE
from ltsh_deploy.train.loop import Run
from ltsh_deploy.train.start import prepare
from ltsh_deploy.train.synth_run import make_pictures
from ltsh_deploy.train.synth_scenes import PurelySynthetic
from ltsh_deploy.train.validation import validate
from ltsh_deploy.whole_files import write_whole

__all__ = ["few_people", "transfer"]

PEOPLE, SEEDS = 300, (0, 1, 2)
#: Of all steps of the student that begins with synthetic people.
SYNTHETIC_PART = 2 / 3
_GOAL = 3.0
_RESULT = "result.json"
_NETWORK = {"stem_channels": 16, "channels": [24, 48, 96], "blocks": [2, 2, 4], "feature_channels": 96}


def few_people(path: str | Path, people: int, seed: int) -> list[Sample]:
    """A data set of kind ``benchmarks.transfer:few_people``: so many training samples of a folder of shards."""
    dataset = open_dataset("shards", path, split="train")
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:people]
    return [dataset[int(index)] for index in np.sort(chosen)]


def config_of(lspet: Path, mix: str, steps: int, seed: int, **changes: Any) -> RunConfig:
    """A run on one of the sets "few" and "synthetic", measured on all validation people of LSPET."""
    sets = {
        "few": {
            "kind": "benchmarks.transfer:few_people",
            "path": str(lspet),
            "options": {"people": PEOPLE, "seed": 0},
        },
        "lspet": {"kind": "shards", "path": str(lspet)},
        **changes.pop("sets", {}),
    }
    data = {
        "network": {"name": "ltsh_light", "config": _NETWORK},
        "data": {"sets": sets, "mix": {mix: 1.0}, "validation": "lspet"},
        "size": [128, 128],
        "crop": {"target_scale": 1.5, "zoom": [0.6, 1.4], "rotation": 40, "shift": 40, "mirror": 0.5},
        "colour": {"brightness": 0.15, "contrast": 0.3, "saturation": 0.3, "hue": 10, "grey": 0.05},
        "batch": 32,
        "steps": steps,
        "optimiser": {"lr": 0.002, "betas": [0.9, 0.999], "weight_decay": 0.0001, "clip": 200},
        "schedule": {"kind": "cosine", "warm_up": min(200, steps // 10), "final": 0.01},
        "average": 0.99,
        # Progress does not count: the weights after the last step are measured, once.
        "validation": {"every": 10 * steps, "people": 50},
        "checkpoint_every": 200,
        "seed": seed,
        **changes,
    }
    return parse_config(data, "benchmarks.transfer")


def trained(config: RunConfig, folder: Path) -> float:
    """PCK@0.2 on the whole validation set after the last step; trained, or gone on with, where it is not known yet."""
    result = folder / _RESULT
    if not result.is_file():
        begin = time.perf_counter()
        run = prepare(config, folder, resume=(folder / STATE).is_file())
        run.train()
        score = _measure(run)
        measured = {"pck": score, "steps": config.steps, "seconds": time.perf_counter() - begin}
        write_whole(result, json.dumps(measured).encode())
    return float(json.loads(result.read_text())["pck"])


def _measure(run: Run) -> float:
    assert run.pools.validation is not None
    network, _ = load_checkpoint(run.folder / LAST)
    images = ImageNetwork(network).to(run.device).eval()
    return validate(images, run.pools.validation, run.config, run.device, view="picture").score.pck


def transfer(lspet: Path, photographs: Path, work: Path, steps: int, pictures: int) -> Sequence[str]:
    """The paragraphs of the section."""
    if not (lspet.is_dir() and photographs.is_dir()):
        raise SystemExit(f"{lspet} and {photographs} are needed: real people, and photographs without any.")
    folder = work / f"{steps}-{pictures}"
    shards = folder / "synthetic"
    recipe = PurelySynthetic(0, 9, (0, 45), (640, 640), photographs)
    make_pictures(recipe, shards, range(pictures), per_shard=100, workers=2, ltsh=False, done=lambda count: None)
    sets = {"synthetic": {"kind": "shards", "path": str(shards)}}
    first = round(SYNTHETIC_PART * steps)
    rows: list[list[object]] = []
    gains = []
    for seed in SEEDS:
        alone = trained(config_of(lspet, "few", steps, seed), folder / f"few-{seed}")
        begun = folder / f"synthetic-{seed}"
        synthetic = trained(config_of(lspet, "synthetic", first, seed, sets=sets), begun)
        after = config_of(lspet, "few", steps - first, seed, init=str(begun / LAST))
        tuned = trained(after, folder / f"tuned-{seed}")
        gains.append(tuned - alone)
        rows.append([seed, alone, synthetic, tuned, f"{tuned - alone:+.1f}"])
    gain, spread = statistics.mean(gains), statistics.stdev(gains)
    spent = [json.loads(path.read_text())["seconds"] for path in folder.glob(f"*/{_RESULT}")]
    return [
        f"Students of one kind (the light network, made smaller), crops of 128 x 128, batches of 32, {steps} steps in "
        f"all: on {PEOPLE} people of Leeds Sports Pose Extended alone, or {first} steps on {pictures} pictures of D_S "
        f"and then {steps - first} on those {PEOPLE}. PCK@0.2 after the last step, on whole pictures of the validation "
        f"people. All runs together took {sum(spent) / 60:.0f} minutes.",
        table(
            ["goal", "at least", "measured", "kept"],
            [
                [
                    "points of PCK@0.2 gained by synthetic people first",
                    _GOAL,
                    f"{gain:+.1f} (standard deviation over seeds {spread:.1f})",
                    "yes" if gain >= _GOAL else "no",
                ]
            ],
        ),
        table(["seed", "real alone", "synthetic alone", "synthetic, then real", "gain"], rows),
    ]
