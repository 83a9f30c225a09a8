"""Both decoders: time by step and number of people, accuracy, worst case. Run with ``python -m benchmarks.decode``.

Everything runs on one thread. Times are set beside U: the time that cv2.resize takes, in the same run, to upsample the
same 57-channel 46 x 54 maps by four with INTER_CUBIC, which is where other decoders begin. U is measured anew beside
every row, so that a machine that slows down slows both.
"""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

import ltsh_deploy.compiled
import ltsh_deploy.decode
from benchmarks.people import random_people
from benchmarks.report import machine, median_ms, table, write_section
from ltsh_deploy.decode import DecodeConfig, check_fields, decode_fields
from ltsh_deploy.encode import encode_fields
from ltsh_deploy.fields import Fields
from ltsh_deploy.skeletons import COCO18, LTSH15, Skeleton

SIZES = ((46, 54), (92, 164))
PEOPLE = (1, 5, 10, 30, 60)
TITLES = {"numpy": "NumPy", "compiled": "Compiled"}


def yardstick() -> float:
    """U, in ms."""
    maps = np.random.default_rng(0).random((46, 54, 57), np.float32)
    return median_ms(lambda: cv2.resize(maps, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC))


def peak_memory(work: Callable[[], object]) -> float:
    """MiB that NumPy and Python held at most while ``work`` ran, over what they held before."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


@contextmanager
def decoder(name: str) -> Iterator[None]:
    """Have ``decode_fields`` take this decoder."""
    before = os.environ.get("LTSH_DECODER", "")
    os.environ["LTSH_DECODER"] = name
    yield
    os.environ["LTSH_DECODER"] = before


def speed(steps_of: ModuleType) -> list[list[object]]:
    """Medians of the three steps and of the whole, 57-channel maps of people who may overlap and be cut off."""
    rows: list[list[object]] = []
    for h, w in SIZES:
        for count in PEOPLE:
            rng = np.random.default_rng(count)
            people = random_people(rng, count, COCO18, (w * 8, h * 8), apart=0, inside=False)
            fields = encode_fields(people, COCO18, (h, w))
            heatmaps = fields.heatmaps[: COCO18.num_joints]
            peaks = steps_of.find_peaks(heatmaps)
            connections = steps_of.score_limbs(fields.pafs, peaks, COCO18)
            u = yardstick()
            steps = [
                median_ms(work)
                for work in (
                    lambda fields=fields: check_fields(fields, COCO18),
                    lambda heatmaps=heatmaps: steps_of.find_peaks(heatmaps),
                    lambda fields=fields, peaks=peaks: steps_of.score_limbs(fields.pafs, peaks, COCO18),
                    lambda peaks=peaks, connections=connections: steps_of.assemble_poses(peaks, connections, COCO18),
                    lambda fields=fields: decode_fields(fields, COCO18),
                )
            ]
            memory = peak_memory(lambda fields=fields: decode_fields(fields, COCO18))
            rows.append([f"{h} x {w}", count, len(peaks), *steps, u, steps[-1] / u, memory])
    return rows


def noise() -> list[list[object]]:
    """Maps of white noise, the most peaks and pairs there can be."""
    rows: list[list[object]] = []
    for size in ((46, 54), (184, 216)):
        for name in ("uniform", "normal"):
            rng = np.random.default_rng(0)
            if name == "uniform":
                maps = rng.random((19, *size), np.float32), rng.uniform(-1, 1, (38, *size)).astype(np.float32)
            else:
                maps = rng.standard_normal((19, *size), np.float32), rng.standard_normal((38, *size), np.float32)
            fields = Fields(*maps, 8)
            poses = decode_fields(fields, COCO18)
            memory = peak_memory(lambda fields=fields: decode_fields(fields, COCO18))
            time = median_ms(lambda fields=fields: decode_fields(fields, COCO18), 11)
            rows.append([f"{size[0]} x {size[1]}", name, poses.dropped_peaks, len(poses), time, memory])
    return rows


def accuracy() -> list[list[object]]:
    """Maps of people of whom no two have the same joint within two cells, so that the maps hold every joint."""
    rows: list[list[object]] = []
    for skeleton in (LTSH15, COCO18):
        for sigma in (0.0, 0.02):
            for count in (1, 5, 10, 20, 30):
                rows.append([skeleton.name, sigma, count, *accuracy_of(skeleton, sigma, count)])
    return rows


def accuracy_of(skeleton: Skeleton, sigma: float, count: int, scenes: int = 20) -> list[object]:
    """Errors over scenes of 368 x 656 pixels, in pixels of the network's input."""
    errors: list[npt.NDArray[np.float64]] = []
    exact = 0
    for scene in range(scenes):
        rng = np.random.default_rng([scene, count])
        people = random_people(rng, count, skeleton, (656, 368))
        fields = encode_fields(people, skeleton, (46, 82))
        heatmaps, pafs = (m + rng.normal(0, sigma, m.shape).astype(np.float32) for m in (fields.heatmaps, fields.pafs))
        poses = decode_fields(Fields(heatmaps, pafs, 8), skeleton, DecodeConfig())
        exact += len(poses) == count
        error = poses.xy[:, None] - people[None]
        distance = np.nan_to_num(np.hypot(error[..., 0], error[..., 1]), nan=100.0)
        rows, columns = linear_sum_assignment(np.minimum(distance, 100).mean(axis=2))
        own = np.full(people.shape, np.nan)
        own[columns] = error[rows, columns]
        errors.append(own.reshape(-1, 2))
    all_errors = np.concatenate(errors)
    distances = np.hypot(all_errors[:, 0], all_errors[:, 1])
    # Farther than a cell it is not this joint's peak that was found.
    near = distances < 8
    bias = all_errors[near].mean(axis=0)
    return [
        float(distances[near].mean()),
        float(np.median(distances[near])),
        float(bias[0]),
        float(bias[1]),
        float(100 * (1 - near.mean())),
        f"{exact} of {scenes}",
    ]


def goals(
    times: dict[str, list[list[object]]], worst: dict[str, list[list[object]]], errors: list[list[object]]
) -> str:
    """What was promised, and whether this run kept it."""

    def largest(rows: list[list[object]], column: int, *where: object) -> float:
        kept = [row for row in rows if list(row[: len(where)]) == list(where)]
        return max(abs(float(str(row[column]))) for row in kept)

    clean, noisy = ([row for row in errors if (row[1] == 0) is wanted] for wanted in (True, False))
    rows: list[list[object]] = []
    speeds = [
        (f"{name}, {what}", limits[name], largest(rows_of[name], column, *where))
        for what, limits, rows_of, column, where in (
            ("10 people, 46 x 54 cells, in U", {"numpy": 0.6, "compiled": 1 / 9}, times, 9, ("46 x 54", 10)),
            ("30 people, 46 x 54 cells, in U", {"numpy": 4.0, "compiled": 1 / 5}, times, 9, ("46 x 54", 30)),
            ("white noise, 46 x 54 cells, ms", {"numpy": 15.0, "compiled": 5.0}, worst, 4, ("46 x 54",)),
            ("white noise, 184 x 216 cells, ms", {"numpy": 60.0, "compiled": 20.0}, worst, 4, ("184 x 216",)),
        )
        for name in rows_of
    ]
    for promise, limit, measured in (
        *speeds,
        ("mean error on clean maps, px", 0.1, largest(clean, 3)),
        ("bias on clean maps, px an axis", 0.05, max(largest(clean, 5), largest(clean, 6))),
        ("mean error with noise of 0.02, px", 0.35, largest(noisy, 3)),
    ):
        rows.append([promise, limit, measured, "yes" if measured <= limit else "no"])
    for name, some in (("clean maps", clean), ("noisy maps", noisy)):
        missed = sum(int(b) - int(a) for a, b in (str(row[8]).split(" of ") for row in some))
        rows.append([f"scenes of {name} with a wrong number of people", 0, missed, "no" if missed else "yes"])
    return table(["goal", "at most", "measured, worst row", "kept"], rows)


def main() -> None:
    """Measure all and write the tables."""
    cv2.setNumThreads(1)
    times, worst = {}, {}
    for name, steps_of in {"numpy": ltsh_deploy.decode, "compiled": ltsh_deploy.compiled}.items():
        with decoder(name):
            times[name], worst[name] = speed(steps_of), noise()
    errors = accuracy()
    steps = ["check ms", "peaks ms", "limbs ms", "assembly ms", "all ms", "U ms", "all / U"]
    accuracies = ["mean error px", "median px", "bias x px", "bias y px", "joints missed or on another person %"]
    write_section(
        "decode",
        "\n\n".join(
            [
                "## Decoder",
                f"`python -m benchmarks.decode`, one thread, medians. {machine()}.",
                (__doc__ or "").split("\n\n", 1)[1].strip(),
                "### Goals",
                goals(times, worst, errors),
                "Where the number of people is wrong, limbs of two people lie on one line, so that nothing in the maps "
                "tells which end belongs to whom; or noise made a false peak on a true limb.",
                "### Time by step",
                (speed.__doc__ or "").strip() + " Memory is what Python and NumPy allocate; what the "
                "compiled decoder takes for itself is not counted.",
                *(
                    part
                    for name, rows in times.items()
                    for part in (f"{TITLES[name]}:", table(["cells", "people", "peaks", *steps, "peak MiB"], rows))
                ),
                "### Worst case",
                (noise.__doc__ or "").strip(),
                *(
                    part
                    for name, rows in worst.items()
                    for part in (
                        f"{TITLES[name]}:",
                        table(["cells", "noise", "peaks dropped", "people", "ms", "peak MiB"], rows),
                    )
                ),
                "### Accuracy",
                (accuracy.__doc__ or "").strip()
                + " Errors are those of joints found within a cell of their place; the others are counted apart.",
                table(["skeleton", "noise", "people", *accuracies, "people exact"], errors),
            ]
        ),
    )


if __name__ == "__main__":
    main()
