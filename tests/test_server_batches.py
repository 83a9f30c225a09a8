"""Turns and batches of the thread that owns the network, without any network protocol around it."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import pytest

from ltsh_deploy.errors import LtshError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.fields import Fields
from ltsh_deploy.runtimes import Runtime
from ltsh_deploy.server_batches import Batcher, Looked, Work
from ltsh_deploy.server_errors import RequestError
from ltsh_deploy.server_pictures import Prepared, Wishes
from tests.serving import ColourRuntime, pixels, wait_for


class Desk:
    """Hands pictures in and keeps what comes back, in its order."""

    def __init__(self, runtime: ColourRuntime, batcher: Batcher, estimator: PoseEstimator) -> None:
        self.runtime, self.batcher, self._estimator = runtime, batcher, estimator
        self.back: list[tuple[Hashable, Looked | RequestError]] = []
        self.unwanted: set[Hashable] = set()

    def submit(self, lane: Hashable, width: int = 128, height: int = 96, name: Hashable = None) -> None:
        image = pixels(width, height)
        prepared = Prepared(width, height, self._estimator.prepare([image]), Wishes(), 0.0)
        name = lane if name is None else name
        done = lambda result: self.back.append((name, result))  # noqa: E731  (it keeps its name)
        self.batcher.submit(Work(prepared, lane, done, lambda: name not in self.unwanted))

    @contextmanager
    def held(self) -> Iterator[None]:
        """While this is entered, the network is busy with a first picture; all that is submitted waits."""
        self.runtime.open.clear()
        self.submit("first")
        wait_for(lambda: self.batcher.waiting == 0)
        yield
        self.runtime.open.set()

    @property
    def batches(self) -> list[int]:
        return [shape[0] for shape in self.runtime.batches]


@contextmanager
def desk(
    runtime: ColourRuntime | None = None, batch: int = 4, wait_s: float = 0.0, coming: bool = False
) -> Iterator[Desk]:
    runtime = runtime or ColourRuntime()
    estimator = PoseEstimator(cast(Runtime, runtime))
    batcher = Batcher(estimator, batch, wait_s, lambda: coming)
    batcher.start()
    try:
        yield Desk(runtime, batcher, estimator)
    finally:
        runtime.open.set()
        batcher.stop()


def test_lanes_take_turns_however_much_one_of_them_wants() -> None:
    with desk(batch=1) as at:
        with at.held():
            for number in range(5):
                at.submit("greedy", name=f"greedy {number}")
            at.submit("modest")
            at.submit("other")
        wait_for(lambda: len(at.back) == 8)
        names = [name for name, _ in at.back]
        assert names[:4] == ["first", "greedy 0", "modest", "other"]
        assert names[4:] == [f"greedy {number}" for number in range(1, 5)]


def test_pictures_of_one_shape_go_together_and_no_shape_starves() -> None:
    with desk(batch=4) as at:
        with at.held():
            for number in range(6):
                at.submit(f"wide {number}")
            at.submit("high", 96, 128)
            at.submit("wide 6")
        wait_for(lambda: len(at.back) == 9)
        assert at.batches == [1, 4, 3, 1]
        assert all(isinstance(result, Looked) and len(result.poses) == 1 for _, result in at.back)
        assert [result.together for _, result in at.back if isinstance(result, Looked)] == [1, *[4] * 4, *[3] * 3, 1]


def test_a_shape_whose_turn_it_is_goes_before_more_of_another() -> None:
    with desk(batch=2) as at:
        with at.held():
            for lane in ("wide 0", "high", "wide 1", "wide 2", "wide 3"):
                at.submit(lane, *((96, 128) if lane == "high" else (128, 96)))
        wait_for(lambda: len(at.back) == 6)
        assert [name for name, _ in at.back] == ["first", "wide 0", "wide 1", "high", "wide 2", "wide 3"]


@pytest.mark.parametrize(("coming", "waited"), [(True, True), (False, False)])
def test_a_picture_waits_a_little_only_if_others_are_coming(coming: bool, waited: bool) -> None:
    with desk(wait_s=0.3, coming=coming) as at:
        begin = time.perf_counter()
        at.submit("only")
        wait_for(lambda: at.back)
        assert (time.perf_counter() - begin >= 0.29) == waited


def test_a_full_batch_waits_for_nobody() -> None:
    with desk(batch=2, wait_s=5.0, coming=True) as at:
        begin = time.perf_counter()
        at.submit("one")
        at.submit("other")
        wait_for(lambda: len(at.back) == 2)
        assert time.perf_counter() - begin < 2
        assert at.batches == [2]


class ChoosyRuntime(ColourRuntime):
    """Fails on batches that hold a picture without red, as one that runs out of memory may."""

    def run(self, images: np.ndarray[Any, Any]) -> list[Fields]:
        found = super().run(images)
        if not all((image.astype(int)[..., 0] - image[..., 1] > 100).any() for image in images):
            raise LtshError("it failed")
        return found


def test_a_picture_that_the_network_fails_on_costs_only_itself() -> None:
    with desk(ChoosyRuntime()) as at:
        with at.held():
            at.submit("good")
            grey = np.full((96, 128, 3), 128, np.uint8)
            views = PoseEstimator(cast(Runtime, ColourRuntime())).prepare([grey])
            prepared = Prepared(128, 96, views, Wishes(), 0.0)
            at.batcher.submit(Work(prepared, "bad", lambda result: at.back.append(("bad", result)), lambda: True))
            at.submit("also good")
        wait_for(lambda: len(at.back) == 4)
        results = dict(at.back)
        assert isinstance(results["bad"], RequestError)
        assert results["bad"].code == "failed"
        assert isinstance(results["good"], Looked)
        assert isinstance(results["also good"], Looked)
        assert at.batcher.fit


def test_what_nobody_waits_for_any_more_is_not_looked_at() -> None:
    with desk() as at:
        with at.held():
            at.submit("gone")
            at.submit("here")
            at.unwanted.add("gone")
        wait_for(lambda: len(at.back) == 2)
        assert at.batches == [1, 1]
        assert [name for name, _ in at.back] == ["first", "here"]


def test_at_the_end_everybody_who_waits_is_told() -> None:
    with desk() as at:
        ending = threading.Thread(target=at.batcher.stop)
        with at.held():
            at.submit("late")
            ending.start()
            wait_for(lambda: not at.batcher.fit)
        ending.join(10)
        at.submit("too late")
        results = dict(at.back)
        assert isinstance(results["first"], Looked)
        for name in ("late", "too late"):
            assert isinstance(results[name], RequestError)
            assert results[name].code == "ending"
