"""The input pipeline: crops a second of one core, and the share of a training step spent waiting for them. Run with
``python -m benchmarks.data``.

Pictures are drawn by the program, at three sizes, as JPEG of quality 90; each has four people. A crop is read, decoded,
warped, and its people and what is ignored with it. The light network trains on one thread.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.report import machine, median_ms, table, write_section
from ltsh_deploy.datasets import Sample, SampleList, open_dataset
from ltsh_deploy.demo import draw_scene, scene_people
from ltsh_deploy.skeletons import LTSH15
from ltsh_deploy.train.batches import CropMaker, Loader, collate
from ltsh_deploy.train.config import RunConfig
from ltsh_deploy.train.config_file import parse_config
from ltsh_deploy.train.loop import Record
from ltsh_deploy.train.pools import find_people
from ltsh_deploy.train.sampling import Sampler
from ltsh_deploy.train.start import prepare
from ltsh_deploy.train.targets import make_targets

PICTURES = ((320, 240), (640, 480), (1280, 720))
COLOURS = {"brightness": 0.15, "contrast": 0.3, "saturation": 0.3, "hue": 10, "grey": 0.05}
STRIDE = 8


@lru_cache(maxsize=8)
def drawn(path: str | Path, scenes: int = 12, **options: Any) -> SampleList:
    """A data set of kind ``benchmarks.data:drawn``; the path is the pictures' size, such as 640x480."""
    width, height = (int(side) for side in str(path).split("x"))
    samples = []
    for seed in range(scenes):
        image, people = draw_scene(seed, (width, height)), scene_people(seed, (width, height))
        data: bytes = cv2.imencode(".jpg", image[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, 90))[1].tobytes()
        known = np.isfinite(people.xy).all(axis=2)
        low, high = np.nanmin(people.xy, axis=1), np.nanmax(people.xy, axis=1)
        count = len(people)
        samples.append(
            Sample(
                id=f"scene{seed}",
                image=data,
                skeleton=LTSH15,
                joints=np.concatenate([people.xy, 2.0 * known[:, :, None]], axis=2),
                centres=(low + high) / 2,
                scales=np.maximum(high - low, 8).max(axis=1) / 200,
                is_synthetic=np.zeros(count, np.bool_),
                trainable=np.ones(count, np.bool_),
            )
        )
    return SampleList(samples, str(path), LTSH15)


def config_of(path: str, kind: str = "benchmarks.data:drawn", **changes: Any) -> RunConfig:
    """A run on one data set."""
    data = {"sets": {"set": {"kind": kind, "path": path}}, "mix": {"set": 1.0}}
    return parse_config({"data": data, "device": "cpu", "threads": 1, **changes}, "benchmarks.data")


def maker(config: RunConfig) -> CropMaker:
    """Makes the crops of a run."""
    entry = config.data.sets["set"]
    own = drawn(entry.path) if entry.kind.startswith("benchmarks") else open_dataset(entry.kind, entry.path)
    pool = find_people("set", own, LTSH15, "train")
    return CropMaker(Sampler([pool], [1.0], config.batch, config.seed), config, STRIDE)


def crops_a_second(config: RunConfig, workers: int, steps: int = 7) -> float:
    """The median over batches of 32, after two to warm up."""
    with Loader(maker(config), range(config.batch), workers, 2) as loader:
        times = []
        begin = time.perf_counter()
        for _ in loader.batches(0, steps + 2):
            now = time.perf_counter()
            times.append(now - begin)
            begin = now
    return config.batch / median(times[2:])


def pipeline(lspet: Path | None) -> str:
    """Crops a second by the pictures, the crop's size, and what is done to it; with one worker and with two."""
    sources = [(f"{w} x {h}", "benchmarks.data:drawn", f"{w}x{h}") for w, h in PICTURES]
    if lspet is not None:
        sources.insert(0, ("LSPET, 183 x 201", "shards", str(lspet)))
    rows = []
    for title, kind, path in sources:
        for side, name, changes in (
            (192, "none", {}),
            (368, "none", {}),
            (368, "colours", {"colour": COLOURS}),
            (368, "mosaic", {"compose": {"mosaic": 1.0}}),
            (368, "paste", {"compose": {"paste": 1.0}}),
        ):
            config = config_of(path, kind, size=[side, side], **changes)
            one, two = (crops_a_second(config, workers) for workers in (1, 2))
            rows.append([title, f"{side} x {side}", name, one, two])
    return table(["pictures", "crop", "besides the warp", "crops/s, 1 worker", "2 workers"], rows)


def targets() -> str:
    """Target maps of a batch of 32 crops on the CPU, one thread."""
    rows = []
    for side in (192, 368):
        config = config_of("640x480", size=[side, side])
        make = maker(config)
        batch = collate([make(0, slot) for slot in range(config.batch)])
        rows.append([f"{side} x {side}", median_ms(lambda b=batch: make_targets(b.people, b.ignored, LTSH15), 9)])
    return table(["crop", "ms"], rows)


def waiting() -> str:
    """Training the light network, on the CPU with one thread: images a second, and the share of the time in which it
    waits for crops. Medians over steps of 16 crops, after three to warm up.
    """
    rows = []
    for side in (192, 368):
        for workers in (1, 2):
            records: list[Record] = []
            options = {"size": [side, side], "batch": 16, "steps": 9, "log_every": 1, "workers": workers}
            with tempfile.TemporaryDirectory() as folder:
                prepare(config_of("640x480", **options), Path(folder)).train(records.append)
            steps = [record.values for record in records if record.kind == "train"][3:]
            images = median(step["images_per_s"] for step in steps)
            rows.append([f"{side} x {side}", workers, images, 100 * median(step["wait"] for step in steps)])
    return table(["crop", "workers", "images/s", "waiting %"], rows)


def main() -> None:
    """Measure all and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    shared = Path(__file__).parent.parent.parent / "shared" / "data" / "lspet"
    parser.add_argument("--lspet", type=Path, default=shared, help="shards to measure too, if they are there")
    lspet = parser.parse_args().lspet
    # Others that compete for the cores make every number here smaller, and a second worker useless.
    load = f"Programs that were running already, on average over a minute: {os.getloadavg()[0]:.1f}."
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    write_section(
        "data",
        "\n\n".join(
            [
                "## Training data",
                f"`python -m benchmarks.data`, medians. {machine()}. {load}",
                (__doc__ or "").split("\n\n", 1)[1].strip(),
                "### Crops",
                (pipeline.__doc__ or "").strip(),
                pipeline(lspet if lspet.is_dir() else None),
                "### Targets",
                (targets.__doc__ or "").strip(),
                targets(),
                "### Waiting",
                " ".join((waiting.__doc__ or "").split()),
                waiting(),
            ]
        ),
    )


if __name__ == "__main__":
    main()
