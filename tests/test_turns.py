"""Several sources at once: nobody starves, nothing is lost that has an end, and one failure is one source's."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltsh_deploy.errors import SourceError
from ltsh_deploy.frames import Frame, Kind, Source
from ltsh_deploy.newest_frame import Reconnect
from ltsh_deploy.streams import LiveSource
from ltsh_deploy.turns import FILES_AT_ONCE, Turn, Turns


class Scripted(Source):
    """So many frames, then an error or the end; it counts who reads at the same time."""

    open_now = 0
    most_open = 0
    lock = threading.Lock()

    def __init__(
        self, name: str, frames: int, kind: Kind | None = "video", error: Exception | None = None, wait_s: float = 0.0
    ) -> None:
        super().__init__(kind, name)
        self.given = 0
        self.closed = False
        self._frames, self._error, self._wait_s = frames, error, wait_s

    def __iter__(self) -> Iterator[Frame]:
        with Scripted.lock:
            Scripted.open_now += 1
            Scripted.most_open = max(Scripted.most_open, Scripted.open_now)
        try:
            for index in range(self._frames):
                time.sleep(self._wait_s)
                self.given += 1
                yield Frame(np.zeros((2, 2, 3), np.uint8), self.name, self.kind or "video", index)
            if self._error is not None:
                raise self._error
        finally:
            with Scripted.lock:
                Scripted.open_now -= 1

    def close(self) -> None:
        self.closed = True


class Camera:
    """A device that gives a frame whenever the test says so, and hangs until then."""

    def __init__(self) -> None:
        self.allowed = threading.Semaphore(0)
        self.count = 0

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def read(self) -> tuple[bool, np.ndarray]:
        self.allowed.acquire()
        self.count += 1
        return True, np.full((4, 6, 3), self.count % 256, np.uint8)

    def get(self, prop: int, /) -> float:
        return 30.0 if prop == cv2.CAP_PROP_FPS else -1.0

    def release(self) -> None:
        pass

    def give(self, frames: int) -> None:
        self.allowed.release(frames)


def live(camera: Camera, name: str = "cam") -> LiveSource:
    return LiveSource(0, name, Reconnect(tries=1), lambda target: camera)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def take_all(turns: Turns, most: int) -> list[list[Turn]]:
    return list(iter(lambda: turns.take(most), []))


def frames_of(taken: list[list[Turn]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for turn in itertools.chain(*taken):
        found.setdefault(turn.source.name, [])
        if turn.frame is not None:
            assert turn.frame.source == turn.source.name
            found[turn.source.name].append(turn.frame.index)
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["image", "video", None])), max_size=14),
    st.integers(1, 6),
    st.none() | st.integers(1, 4),
)
def test_every_frame_of_what_has_an_end_comes_once_in_order_and_then_the_end(
    given_sources: list[tuple[int, Kind | None]], most: int, limit: int | None
) -> None:
    sources = [
        Scripted(str(n), min(frames, 1) if kind == "image" else frames, kind)
        for n, (frames, kind) in enumerate(given_sources)
    ]
    with Turns(sources, limit) as turns:
        taken = take_all(turns, most)
    for together in taken:
        names = [turn.source.name for turn in together]
        assert len(names) == len(set(names))
        assert sum(turn.frame is not None for turn in together) <= most
    wanted = {source.name: list(range(source._frames))[:limit] for source in sources}
    assert frames_of(taken) == wanted
    ends = [turn.source.name for turn in itertools.chain(*taken) if turn.frame is None]
    assert Counter(ends) == Counter(wanted.keys())
    for name in wanted:
        own = [turn.frame is None for turn in itertools.chain(*taken) if turn.source.name == name]
        assert own == sorted(own)
    assert all(source.closed for source in sources)


def test_nobody_starves_and_the_turns_are_fair() -> None:
    """All always have a frame ready; one is taken at a time."""
    sources = [Scripted(name, 1000) for name in "abcd"]
    with Turns(sources) as turns:
        counts: Counter[str] = Counter()
        for _ in range(200):
            # The reading threads must have caught up, or it is their pace that is measured.
            wait_until(lambda: all(lane.ready for lane in turns._lanes))
            counts.update(turn.source.name for turn in turns.take(1))
    assert counts == {"a": 50, "b": 50, "c": 50, "d": 50}


def test_one_that_waits_holds_up_no_other() -> None:
    silent, file = live(Camera(), "silent"), Scripted("file", 300)
    began = time.monotonic()
    with Turns([silent, file]) as turns:
        taken = [turns.take(4) for _ in range(301)]
    assert frames_of(taken) == {"file": list(range(300))}
    assert time.monotonic() - began < 5


def test_files_wait_for_the_one_who_takes_and_are_not_read_ahead() -> None:
    file = Scripted("file", 10_000)
    with Turns([file, live(Camera())]) as turns:
        for _ in range(5):
            turns.take(1)
        time.sleep(0.05)
        assert file.given <= 5 + 2


def test_a_live_one_gives_its_newest_frame_and_counts_the_others() -> None:
    camera, file = Camera(), Scripted("file", 10_000)
    source = live(camera)
    with Turns([source, file]) as turns:
        camera.give(1)
        wait_until(lambda: any(t.source is source for t in turns.take(2)))
        camera.give(50)
        wait_until(lambda: camera.count == 51 and source.dropped == 49)
        newest = next(t.frame for t in turns.take(2) if t.source is source)
        assert newest is not None
        assert newest.index == 50
        assert int(newest.image[0, 0, 0]) == 51
        camera.give(1)
        wait_until(lambda: any(t.source is source for t in turns.take(2)))
        for replaced in range(5):
            # One by one, so that the thread of the turns, not the camera's, has each in its hands.
            camera.give(1)
            wait_until(lambda wanted=replaced: camera.count == 53 + wanted and source.dropped == 49 + wanted)
            wait_until(lambda: any(lane.ready for lane in turns._lanes if lane._source is source))
        newest = next(t.frame for t in turns.take(2) if t.source is source)
        assert newest is not None
        assert newest.index == 56
    assert source.dropped == 53


def test_frames_of_several_come_together_but_never_wait_to() -> None:
    cameras = [Camera() for _ in range(3)]
    sources = [live(camera, str(n)) for n, camera in enumerate(cameras)]
    with Turns(sources) as turns:
        cameras[1].give(1)
        assert [t.source.name for t in turns.take(8)] == ["1"]
        for camera in cameras:
            camera.give(1)
        wait_until(lambda: all(lane.ready for lane in turns._lanes))
        assert [t.source.name for t in turns.take(8)] == ["2", "0", "1"]


def test_a_failure_is_told_in_its_turn_and_the_others_go_on() -> None:
    broken = SourceError("cut off")
    sources = [Scripted("a", 3, error=broken), Scripted("b", 20), Scripted("c", 0, error=broken)]
    with Turns(sources) as turns:
        taken = take_all(turns, 8)
    assert frames_of(taken) == {"a": [0, 1, 2], "b": list(range(20)), "c": []}
    errors = {t.source.name: t.error for t in itertools.chain(*taken) if t.frame is None}
    assert errors == {"a": broken, "b": None, "c": broken}


def test_a_mistake_of_ours_is_not_taken_for_a_failure_of_the_source() -> None:
    with Turns([Scripted("a", 1, error=ZeroDivisionError("ours"))]) as turns:
        assert [t.source.name for t in turns.take(1)] == ["a"]
        with pytest.raises(ZeroDivisionError, match="ours"):
            turns.take(1)


def test_only_so_many_files_are_open_at_once() -> None:
    Scripted.most_open = 0
    sources = [Scripted(str(n), 4, wait_s=0.001) for n in range(3 * FILES_AT_ONCE)]
    with Turns(sources) as turns:
        assert turns.at_once == FILES_AT_ONCE
        taken = take_all(turns, 4)
    assert frames_of(taken) == {source.name: [0, 1, 2, 3] for source in sources}
    assert 1 < Scripted.most_open <= FILES_AT_ONCE


def test_a_limit_ends_a_live_source_at_once_though_its_camera_hangs() -> None:
    camera = Camera()
    camera.give(1)
    source = live(camera)
    with Turns([source], max_frames=1) as turns:
        first, end = turns.take(1), turns.take(1)
    assert [t.frame is None for t in first + end] == [False, True]
    assert end[0].error is None


def test_leaving_ends_every_thread() -> None:
    before = threading.active_count()
    cameras = [Camera() for _ in range(3)]
    with Turns([*(live(camera) for camera in cameras), Scripted("file", 10_000)]) as turns:
        turns.take(1)
    for camera in cameras:
        camera.give(1)  # what was inside the device's read comes back
    wait_until(lambda: threading.active_count() <= before)


def test_no_sources_are_no_turns() -> None:
    with Turns([]) as turns:
        assert turns.take(1) == []
