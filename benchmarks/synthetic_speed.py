"""How fast synthetic people are made, by stage and by process, and what a worker needs."""

from __future__ import annotations

import functools
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing import active_children
from pathlib import Path
from statistics import mean, median
from typing import Any
from unittest.mock import patch

import cv2

from benchmarks.report import table
from ltsh_deploy.train import synth_backgrounds, synth_cast, synth_render, synth_scenes
from ltsh_deploy.train.synth_run import make_pictures
from ltsh_deploy.train.synth_scenes import PurelySynthetic
from ltsh_deploy.train.synth_writers import ShardWriter

__all__ = ["SIZE", "recipe_of", "speed"]

SIZE = (640, 640)
PEOPLE = 9
_WARM_UP = 4
_GOAL_RATE, _GOAL_RATIO, _GOAL_MIB, _GOAL_FIRST = 4.0, 1.8, 512.0, 10.0

# What belongs to which stage: the functions that the scenes' maker and the renderer call.
_STAGES: tuple[tuple[str, tuple[tuple[Any, str], ...]], ...] = (
    ("bodies and poses", ((synth_cast, "sample_shape"), (synth_cast, "sample_posed_body"))),
    ("clothes, hair, props", ((synth_cast, "dress"),)),
    ("places among each other", ((synth_scenes, "find_place"),)),
    (
        "background and its light",
        (
            (synth_backgrounds.DrawnBackgrounds, "draw"),
            (synth_backgrounds.Photographs, "draw"),
            (synth_scenes, "light_from_background"),
        ),
    ),
    ("raster", ((synth_render, "place_samples"), (synth_render, "rasterise"))),
    (
        "shadows and occlusion",
        ((synth_render, "shadow_map"), (synth_render, "ambient_occlusion"), (synth_render, "ground_light")),
    ),
    ("shading", ((synth_render, "shade_pixels"),)),
    ("joining figures, laying over the background", ((synth_scenes, "render"),)),
    ("truth", ((synth_scenes, "people_truth"),)),
    ("lens", ((synth_scenes, "photograph"),)),
    ("labels, compression", ((synth_scenes, "encode_picture"),)),
    ("writing", ((ShardWriter, "add"),)),
)


def recipe_of(backgrounds: Path | None, seed: int = 0, people: float = PEOPLE) -> PurelySynthetic:
    """D_S as the goals have it."""
    return PurelySynthetic(seed, people, (0, 45), SIZE, backgrounds)


class Stopwatch:
    """Processor seconds of this thread by stage, those of stages within a stage taken off."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._within: list[float] = []

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time is noted."""

        @functools.wraps(function)
        def measured(*arguments: Any, **options: Any) -> Any:
            self._within.append(0.0)
            begin = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                spent = time.thread_time() - begin
                self.seconds[stage] += spent - self._within.pop()
                if self._within:
                    self._within[-1] += spent

        return measured

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, the stages' functions are measured."""
        with ExitStack() as stack:
            for stage, functions in _STAGES:
                for owner, name in functions:
                    stack.enter_context(patch.object(owner, name, self.timed(stage, getattr(owner, name))))
            yield


def by_stage(backgrounds: Path | None, pictures: int) -> tuple[dict[str, float], float, float]:
    """Milliseconds of processor time a picture by stage, and processor and wall seconds a picture, in one process."""
    watch = Stopwatch()
    maker = recipe_of(backgrounds).open()
    spent, walls = [], []
    with tempfile.TemporaryDirectory() as folder, ShardWriter(Path(folder), "train", 0) as writer, watch.watching():
        for index in range(_WARM_UP + pictures):
            if index == _WARM_UP:
                watch.seconds.clear()
            begin, wall = time.process_time(), time.perf_counter()
            writer.add(maker.make(index))
            spent.append(time.process_time() - begin)
            walls.append(time.perf_counter() - wall)
    stages = {stage: 1000 * watch.seconds[stage] / pictures for stage, _ in _STAGES}
    return stages, mean(spent[_WARM_UP:]), mean(walls[_WARM_UP:])


def with_workers(backgrounds: Path | None, workers: int, pictures: int) -> tuple[float, float, float]:
    """(pictures a second, processor seconds a picture, peak MiB of the largest worker) of a run, once it is warm."""
    marks: list[tuple[float, float]] = []
    largest = 0.0

    def done(count: int) -> None:
        nonlocal largest
        if count != 1:
            return
        spent = 0.0
        for child in active_children():
            seconds, peak = _used_by(child.pid or 0)
            spent, largest = spent + seconds, max(largest, peak)
        marks.append((time.perf_counter(), spent))

    warm_up = _WARM_UP * workers + 4
    with tempfile.TemporaryDirectory() as folder:
        make_pictures(
            recipe_of(backgrounds),
            Path(folder) / "out",
            range(warm_up + pictures),
            per_shard=1000,
            workers=workers,
            ltsh=False,
            done=done,
        )
    # Near the end workers run out of pictures, and some are finished before the first process asks for them.
    (first, first_spent), (last, last_spent) = marks[warm_up - 1], marks[-1 - 2 * workers]
    counted = len(marks) - warm_up - 2 * workers
    return counted / (last - first), (last_spent - first_spent) / counted, largest


def _used_by(process: int) -> tuple[float, float]:
    """Processor seconds and peak MiB of a running process (Linux)."""
    folder = Path("/proc") / str(process)
    after_name = (folder / "stat").read_text().rpartition(")")[2].split()
    ticks = int(after_name[11]) + int(after_name[12])
    found = re.search(r"VmHWM:\s*(\d+) kB", (folder / "status").read_text())
    return ticks / os.sysconf("SC_CLK_TCK"), int(found[1]) / 1024 if found else 0.0


def first_pictures(backgrounds: Path | None) -> list[tuple[float, float]]:
    """Wall and processor seconds of `ltsh synthesize purely --count 1`, start to exit: with numba's cache empty, full.

    The second is the median of three.
    """
    folder = Path(tempfile.mkdtemp())
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache")}
    command = [sys.executable, "-m", "ltsh_deploy", "synthesize", "purely", "--count", "1", "--workers", "1"]
    command += ["--no-sheet", "--no-ltsh"] + (["--backgrounds", str(backgrounds)] if backgrounds else [])
    times = []
    try:
        for run in range(4):
            before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            out = ["--out", str(folder / f"out{run}")]
            subprocess.run([*command, *out], check=True, env=environment, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            times.append((time.perf_counter() - begin, spent))
    finally:
        shutil.rmtree(folder)
    return [times[0], (median(t[0] for t in times[1:]), median(t[1] for t in times[1:]))]


def speed(photographs: Path | None, pictures: int = 40) -> Sequence[str]:
    """The paragraphs of the section."""
    cv2.setNumThreads(1)
    places = [("drawn places", None)] + ([("photographs", photographs)] if photographs else [])
    measured = {name: by_stage(folder, pictures) for name, folder in places}
    runs = [(name, n, with_workers(folder, n, pictures)) for name, folder in places for n in (1, 2)]
    firsts = first_pictures(None)
    rates = {(name, n): result[0] for name, n, result in runs}
    worst_rate = min(1 / spent for _, spent, _ in measured.values())
    ratio = rates[places[0][0], 2] / rates[places[0][0], 1]
    memory = max(result[2] for *_, result in runs)

    def kept(found: float, goal: float, *, least: bool) -> str:
        return "yes" if (found >= goal if least else found <= goal) else "no"

    goals = [
        ["pictures a second of processor time, one process, warm", "at least 4", worst_rate,
         kept(worst_rate, _GOAL_RATE, least=True)],
        ["pictures a second by the clock, 2 workers over 1", "at least 1.8", ratio,
         kept(ratio, _GOAL_RATIO, least=True)],
        ["peak memory of a worker, MiB", "at most 512", memory, kept(memory, _GOAL_MIB, least=False)],
        ["first picture, nothing compiled yet, seconds by the clock", "at most 10", firsts[0][0],
         kept(firsts[0][0], _GOAL_FIRST, least=False)],
    ]  # fmt: skip
    stage_rows: list[list[object]] = [
        [stage, *(result[0][stage] for result in measured.values())] for stage, _ in _STAGES
    ]
    inside = [sum(result[0].values()) for result in measured.values()]
    totals = [1000 * spent for _, spent, _ in measured.values()]
    stage_rows.append(["all else", *(total - own for total, own in zip(totals, inside, strict=True))])
    stage_rows.append(["a picture", *totals])
    return [
        "### Goals",
        table(["goal", "", "measured", "kept"], goals),
        "### Time by stage",
        f"Milliseconds of processor time a picture, in one process, the mean of {pictures} pictures after {_WARM_UP}; "
        "about 9 people each, at 640 x 640.",
        table(["stage", *measured], stage_rows),
        "### Processes",
        "Whole runs, from the first pictures' end to the last's. Processor time is that of all workers.",
        table(
            ["places", "workers", "pictures/s by the clock", "pictures/s of processor time", "peak MiB a worker"],
            [[name, n, rate, 1 / spent, peak] for name, n, (rate, spent, peak) in runs],
        ),
        "### The first picture",
        "`ltsh synthesize purely --count 1 --workers 1`, from start to exit.",
        table(
            ["compiled code", "seconds by the clock", "seconds of processor time"],
            [["none yet", *firsts[0]], ["from an earlier run", *firsts[1]]],
        ),
    ]
