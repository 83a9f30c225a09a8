"""How long each stage takes on the way from a file to a drawn picture.

The stages run one after the other, as in ``ltsh infer``, so that a frame's latency is the sum of its stages. Several
networks are measured in turns, a round of each and then the next round, all on the same frames: a machine that slows
down slows all of them, and how far the rounds of one differ says what a difference between two is worth.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ltsh_deploy.drawing import draw_poses
from ltsh_deploy.errors import SourceError, UsageError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.frames import Frame, Source

__all__ = ["STAGES", "Plan", "StageTimes", "Summary", "measure_stages", "repeat_frames"]

#: In the order in which a frame goes through them.
STAGES = ("read", "preprocess", "network", "decode", "draw")

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        frames: to measure of each network, at least.
        warmup: frames that open each round, and are not counted.
        rounds: turns that each network has.
        batch: frames that go through the stages together.

    Raises:
        UsageError: for numbers that cannot be.
    """

    frames: int = 200
    warmup: int = 10
    rounds: int = 5
    batch: int = 1

    def __post_init__(self) -> None:
        if self.frames < 1 or self.rounds < 1 or self.batch < 1 or self.warmup < 0:
            raise UsageError("frames, rounds and a batch are at least 1, and a warm-up at least 0")
        if self.frames < self.rounds * self.batch:
            raise UsageError(
                f"{self.frames} frames are too few for {self.rounds} rounds of {self.batch} at once",
                f"Measure at least {self.rounds * self.batch}, or fewer rounds.",
            )

    @property
    def batches(self) -> int:
        """Batches that a round counts: so many that all rounds together have at least as many frames as wanted."""
        return -(-self.frames // (self.rounds * self.batch))


@dataclass(frozen=True)
class Summary:
    """Times of one stage, or of all.

    Attributes:
        p50: milliseconds in which half of the batches were done.
        p95: in which 95 of 100 were.
        p99: in which 99 of 100 were.
        frames_per_s: frames a second, if this were all there is to do.
        share: part of the whole time, 0 to 1.
    """

    p50: float
    p95: float
    p99: float
    frames_per_s: float
    share: float


@dataclass(frozen=True)
class StageTimes:
    """What was measured of one network.

    Attributes:
        seconds: [rounds, batches, stages] that each stage of each batch took.
        batch: frames in a batch.
        people: found in the measured frames.
        sizes: (width, height) of all that the network was given, in order.
    """

    seconds: FloatArray
    batch: int
    people: int
    sizes: tuple[tuple[int, int], ...]

    @property
    def frames(self) -> int:
        """How many frames were measured."""
        return self.seconds[..., 0].size * self.batch

    def summarise(self, stage: str | None = None) -> Summary:
        """Times of a stage, one of :data:`STAGES`; or of all together."""
        whole = self.seconds.sum(axis=-1)
        times = (whole if stage is None else self.seconds[..., STAGES.index(stage)]).ravel()
        # A latency that was measured, not one between two: interpolation would make p99 of few batches look better.
        p50, p95, p99 = (1000 * float(v) for v in np.quantile(times, (0.5, 0.95, 0.99), method="inverted_cdf"))
        total = float(times.sum())
        return Summary(p50, p95, p99, self.frames / total if total else 0.0, total / float(whole.sum() or 1))

    @property
    def round_rates(self) -> list[float]:
        """Frames a second of each round."""
        per_round = self.frames / len(self.seconds)
        return [per_round / float(seconds) for seconds in self.seconds.sum(axis=(1, 2))]

    @property
    def spread(self) -> float:
        """How far the rounds differ: the fastest's rate beyond the slowest's, as a part of the middle one's."""
        rates = self.round_rates
        return (max(rates) - min(rates)) / float(np.median(rates))


def repeat_frames(open_sources: Callable[[], Sequence[Source]]) -> Generator[Frame, None, None]:
    """The frames of all sources, again and again without end; opening a source is part of its first frame.

    Raises:
        SourceError: when there is no frame at all; what the sources raise.
    """
    while True:
        empty = True
        for source in open_sources():
            with source:
                for frame in source:
                    empty = False
                    yield frame
        if empty:
            raise SourceError("the sources hold no frame")


def measure_stages(
    estimators: Sequence[PoseEstimator],
    open_sources: Callable[[], Sequence[Source]],
    plan: Plan = Plan(),
    done: Callable[[int], None] = lambda frames: None,
) -> list[StageTimes]:
    """Times of each network on the same frames.

    Args:
        estimators: the networks; their ``batch`` is set to the plan's.
        open_sources: gives the sources afresh.
        plan: how much is measured.
        done: is told of every frame that is through, warm-up included.

    Raises:
        LtshError: when a source cannot be read, or a network fails on a frame.
    """
    with ExitStack() as stack:
        runs = []
        for estimator in estimators:
            estimator.batch = plan.batch
            frames = stack.enter_context(closing(repeat_frames(open_sources)))
            runs.append(_Run(estimator, frames, plan, done))
        for _ in range(plan.rounds):
            for run in runs:
                run.take_turn()
        return [run.result() for run in runs]


class _Run:
    """The measuring of one network."""

    def __init__(
        self, estimator: PoseEstimator, frames: Iterator[Frame], plan: Plan, done: Callable[[int], None]
    ) -> None:
        self.estimator, self.frames, self.plan, self.done = estimator, frames, plan, done
        self.rounds: list[list[list[float]]] = []
        self.people = 0
        self.sizes: dict[tuple[int, int], None] = {}

    def take_turn(self) -> None:
        """One round: the warm-up, and what counts."""
        for _ in range(-(-self.plan.warmup // self.plan.batch)):
            self._pass()
        counted = []
        for _ in range(self.plan.batches):
            seconds, people = self._pass()
            counted.append(seconds)
            self.people += people
        self.rounds.append(counted)

    def _pass(self) -> tuple[list[float], int]:
        """One batch through all stages: the seconds of each, and how many people were found."""
        estimator, now = self.estimator, time.perf_counter
        marks = [now()]
        frames = list(itertools.islice(self.frames, self.plan.batch))
        marks.append(now())
        views = estimator.prepare([frame.image for frame in frames])
        marks.append(now())
        passes = estimator.run(views)
        marks.append(now())
        poses = [estimator.decode(passes[index]) for index in range(len(frames))]
        marks.append(now())
        for frame, each in zip(frames, poses, strict=True):
            draw_poses(frame.image, each)
        marks.append(now())
        for view in views:
            self.sizes[view.pixels.shape[1], view.pixels.shape[0]] = None
        self.done(len(frames))
        return [end - begin for begin, end in itertools.pairwise(marks)], sum(map(len, poses))

    def result(self) -> StageTimes:
        return StageTimes(np.array(self.rounds), self.plan.batch, self.people, tuple(self.sizes))
