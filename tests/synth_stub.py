"""Stand-ins for what takes the generator's time: a recipe without triangles, a pool without processes."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ltsh_deploy.datasets.files import visible_files
from ltsh_deploy.errors import ImageError, InputError
from ltsh_deploy.skeletons import LTSH15, MPII16
from ltsh_deploy.train import synth_run
from ltsh_deploy.train.synth_writers import encode_members, find_shards, read_shard
from tests.dataset_files import person


@dataclass(frozen=True)
class StubRecipe:
    """``trouble``: number of a picture at which ``what`` happens: "error", "unreadable", "bug", "death" or "slow"."""

    seed: int = 0
    trouble: int = -1
    what: str = "error"
    split: str = "train"

    def record(self) -> dict[str, Any]:
        return {"kind": "stub", "seed": self.seed}

    def open(self) -> StubMaker:
        return StubMaker(self)


class StubMaker:
    def __init__(self, recipe: StubRecipe) -> None:
        self._recipe = recipe

    def make(self, index: int) -> dict[str, bytes]:
        recipe = self._recipe
        if index == recipe.trouble:
            if recipe.what == "error":
                raise InputError(f"picture {index} cannot be made", "mend it")
            if recipe.what == "unreadable":
                raise ImageError("a.jpg: is damaged", "copy it again")
            if recipe.what == "bug":
                raise ZeroDivisionError("nought")
            if recipe.what == "death":
                os._exit(9)
        if recipe.what == "slow":
            Path(f"{os.environ['STUB_STARTED']}").touch()
            time.sleep(0.2)
        rng = np.random.default_rng([recipe.seed, index])
        picture = rng.integers(0, 255, (60, 80, 3), np.uint8)
        people = [stub_person(10 + 20 * p, 5) for p in range(1 + index % 3)]
        instances = np.zeros((60, 80), np.uint8)
        instances[10:50, 10:20] = 1
        labels = {
            "skeleton": LTSH15.name,
            "width": 80,
            "height": 60,
            "people": people,
            "camera": {"pitch": 10.0 + index},
            "generator": {**recipe.record(), "index": index},
            "asked": 4,
            "placed": len(people),
            "rejected": {"collided": 4 - len(people)},
        }
        masks = {"instances.png": instances, "depth.png": instances.astype(np.uint16) * 3000}
        return encode_members(picture, labels, masks)


def stub_person(x: float, y: float) -> dict[str, Any]:
    """A visible synthetic person's labels, 36 pixels tall."""
    return {
        "joints": person(LTSH15, x, y, 0.2).tolist(),
        "centre": [x, y + 18],
        "scale": 0.18,
        "is_synthetic": True,
        "characteristics": {"camera_pitch": 12.0, "min_distance": 20.0, "visibility": 1.0, "cropped": 0.0},
        "extra": {"mpii16": person(MPII16, x, y, 0.2).tolist(), "states": ["visible"] * LTSH15.num_joints},
    }


def make(folder: Path, wanted: range, recipe: StubRecipe = StubRecipe(), **changes: Any) -> int:
    """How many pictures a run made."""
    options = {"per_shard": 10, "workers": 1, "ltsh": True, "done": lambda steps: None} | changes
    return synth_run.make_pictures(recipe, folder, wanted, **options).made


def files_of(folder: Path) -> dict[str, bytes]:
    """What a user sees and copies."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in visible_files(folder, "**/*") if p.is_file()}


def numbers_in(folder: Path) -> list[int]:
    return [number for shard in find_shards(folder).values() for number, _ in read_shard(shard)]


class InThisProcess:
    """Stands in for a pool: starting processes takes longer than all the rest of a test."""

    def __init__(self, *_: Any) -> None:
        synth_run._opened.cache_clear()

    def submit(self, function: Any, *arguments: Any) -> Any:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, **_: Any) -> None:
        pass
