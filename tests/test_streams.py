"""The newest frame and no other, reconnection, prompt ends: with scripted devices, and over a real local server."""

from __future__ import annotations

import contextlib
import http.server
import itertools
import logging
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from ltsh_deploy.errors import DeviceError, SourceError
from ltsh_deploy.frames import Frame
from ltsh_deploy.newest_frame import Captured, NewestFrame, Reconnect
from ltsh_deploy.sources import open_sources
from ltsh_deploy.streams import LatencyMeter, LiveSource, open_device

AT_ONCE = Reconnect(first_tries=3, tries=4, first_s=0.001, longest_s=0.002)
ABSENT = SourceError("never there")
END = "end"


class Device:
    """A camera whose frames the test hands in one by one; a number is a frame of that grey level."""

    def __init__(self, *script: object, opened: bool = True, rate: float = 30.0, length: float = -1.0) -> None:
        self.script: queue.Queue[object] = queue.Queue()
        for item in script:
            self.script.put(item)
        self.opened, self.rate, self.length = opened, rate, length
        self.released = threading.Event()
        self.threads: set[str] = set()

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def read(self) -> tuple[bool, np.ndarray | None]:
        assert not self.released.is_set()
        self.threads.add(threading.current_thread().name)
        item = self.script.get()
        if isinstance(item, Exception):
            raise item
        return (True, np.full((4, 6, 3), item, np.uint8)) if isinstance(item, int) else (False, None)

    def get(self, prop: int, /) -> float:
        return {cv2.CAP_PROP_FPS: self.rate, cv2.CAP_PROP_FRAME_COUNT: self.length}[prop]

    def release(self) -> None:
        self.released.set()


def opener(*devices: Device) -> Callable[..., Device]:
    """Hands out the devices one after the other, then ones that do not open."""
    remaining = list(devices)
    return lambda *_: remaining.pop(0) if remaining else Device(opened=False)


def level(captured: Captured | None) -> int:
    assert captured is not None
    return int(captured.bgr[0, 0, 0])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_only_the_newest_frame_is_handed_over() -> None:
    device = Device(10, 20, 30)
    with NewestFrame(opener(device), "cam", ABSENT) as reader:
        wait_until(lambda: reader.dropped == 2)
        first = reader.read()
        assert (level(first), first and first.number) == (30, 2)
        device.script.put(40)
        second = reader.read()
        assert (level(second), second and second.number) == (40, 3)
        assert first is not None
        assert second is not None
        assert first.captured_at < second.captured_at
        assert reader.dropped == 2
        assert reader.rate == 30
        device.script.put(END)
    assert "frames of cam" in device.threads
    assert threading.current_thread().name not in device.threads


def test_the_reader_waits_for_a_new_frame() -> None:
    device = Device(10)
    with NewestFrame(opener(device), "cam", ABSENT) as reader:
        assert level(reader.read()) == 10
        results: queue.Queue[Captured | None] = queue.Queue()
        waiting = threading.Thread(target=lambda: results.put(reader.read()))
        waiting.start()
        with pytest.raises(queue.Empty):
            results.get(timeout=0.05)
        device.script.put(20)
        assert level(results.get(timeout=10)) == 20
        waiting.join()
        device.script.put(END)


def test_lost_stream_is_opened_again(caplog: pytest.LogCaptureFixture) -> None:
    first, second, third = Device(10), Device(opened=False), Device(20)
    with (
        caplog.at_level(logging.WARNING, "ltsh_deploy"),
        NewestFrame(opener(first, second, third), "cam", ABSENT, AT_ONCE) as reader,
    ):
        assert level(reader.read()) == 10
        first.script.put(END)
        newest = reader.read()
        assert (level(newest), newest and newest.number) == (20, 1)
        assert reader.reconnects == 1
        assert first.released.is_set()
        assert second.released.is_set()
        third.script.put(END)
    assert "cam: lost; trying again in 0.0 s" in caplog.text


def test_failures_are_counted_anew_after_each_success() -> None:
    def dead() -> Device:
        return Device(opened=False)

    devices = [Device(1), dead(), dead(), Device(2), dead(), dead(), Device(3)]
    with NewestFrame(opener(*devices), "cam", ABSENT, AT_ONCE) as reader:
        for number, device in enumerate(devices[::3], 1):
            assert level(reader.read()) == number
            device.script.put(END)
        with pytest.raises(SourceError, match="lost after 3 frames, and 4 attempts"):
            reader.read()
        with pytest.raises(SourceError):
            reader.read()


def test_the_last_frame_comes_before_the_error() -> None:
    with NewestFrame(opener(Device(10, END)), "cam", ABSENT, AT_ONCE) as reader:
        wait_until(lambda: not reader._thread.is_alive())
        assert level(reader.read()) == 10
        with pytest.raises(SourceError, match="lost after 1 frames"):
            reader.read()


def test_device_that_never_opens() -> None:
    with NewestFrame(opener(), "cam", ABSENT, AT_ONCE) as reader, pytest.raises(SourceError, match="never there"):
        reader.read()


def test_device_that_opens_but_gives_nothing() -> None:
    devices = [Device(END) for _ in range(3)]
    with NewestFrame(opener(*devices), "cam", ABSENT, AT_ONCE) as reader:
        with pytest.raises(SourceError, match="gives no picture"):
            reader.read()
        assert all(device.released.is_set() for device in devices)


def test_trouble_in_the_thread_reaches_the_reader() -> None:
    device = Device(10, cv2.error("bad cable"))
    with NewestFrame(opener(device), "cam", ABSENT, AT_ONCE) as reader:
        wait_until(lambda: not reader._thread.is_alive())
        assert level(reader.read()) == 10
        with pytest.raises(cv2.error, match="bad cable"):
            reader.read()
        assert device.released.is_set()


@pytest.mark.parametrize("length", [2.0, 1.0])
def test_recording_served_as_a_stream_ends(length: float) -> None:
    with NewestFrame(opener(Device(10, 20, END, length=length)), "cam", ABSENT, AT_ONCE) as reader:
        wait_until(lambda: not reader._thread.is_alive())
        assert level(reader.read()) == 20
        assert reader.read() is None


def test_close_wakes_a_waiting_reader_though_the_device_blocks() -> None:
    device = Device()
    reader = NewestFrame(opener(device), "cam", ABSENT)
    results: queue.Queue[Captured | None] = queue.Queue()
    waiting = threading.Thread(target=lambda: results.put(reader.read()))
    waiting.start()
    started = time.monotonic()
    reader.close()
    assert results.get(timeout=10) is None
    assert time.monotonic() - started < 2
    waiting.join()
    assert reader.read() is None
    assert not device.released.is_set()
    device.script.put(10)
    assert device.released.wait(10)


def test_close_ends_a_long_wait_for_reconnection() -> None:
    reader = NewestFrame(opener(), "cam", ABSENT, Reconnect(first_s=1000, longest_s=1000))
    started = time.monotonic()
    reader.close()
    wait_until(lambda: not reader._thread.is_alive())
    assert time.monotonic() - started < 5
    assert reader.read() is None


def test_waits_grow_and_are_limited() -> None:
    plan = Reconnect(first_s=0.5, factor=2, longest_s=10)
    assert [plan.delay(n) for n in (1, 2, 3, 6, 10**6)] == [0.5, 1, 2, 10, 10]


def test_live_source_gives_rgb_frames_with_capture_times() -> None:
    device = Device(10)
    source = LiveSource(2, open_device=opener(device))
    frames = iter(source)
    first = next(frames)
    assert (first.kind, first.source, first.index, first.time_s) == ("live", "camera 2", 0, 0.0)
    assert (source.rate, source.size, source.frames) == (30, (6, 4), None)
    device.script.put(20)
    second = next(frames)
    assert second.time_s == pytest.approx(second.captured_at - first.captured_at)
    threading.Timer(0.05, source.close).start()
    assert list(frames) == []
    device.script.put(END)


def test_colours_of_live_frames() -> None:
    class Blue(Device):
        def read(self) -> tuple[bool, np.ndarray | None]:
            return True, np.full((4, 6, 3), (250, 20, 10), np.uint8)

    source = LiveSource("rtsp://cam/1", open_device=opener(Blue()))
    assert next(iter(source)).image[0, 0].tolist() == [10, 20, 250]


def test_camera_that_is_not_there() -> None:
    attempts: list[int | str] = []

    def nothing(target: int | str) -> Device:
        attempts.append(target)
        return Device(opened=False)

    (source,) = open_sources(["5"], device=nothing)
    with pytest.raises(DeviceError, match="camera 5 cannot be opened"):
        list(source)
    assert attempts == [5]


def test_real_camera_index_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match="camera 63"):
        list(LiveSource(63))


def test_address_that_cannot_be_opened_names_the_host_and_no_password() -> None:
    (source,) = open_sources(["http://me:sesame@127.0.0.1:9/live"], reconnect=AT_ONCE)
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9/live") as caught:
        list(source)
    assert "sesame" not in str(caught.value)


class Camera(http.server.BaseHTTPRequestHandler):
    """An MJPEG camera: each connection gets the next series of grey levels, and then hangs up."""

    programme: queue.Queue[Iterable[int]]

    def do_GET(self) -> None:
        try:
            levels = self.programme.get_nowait()
        except queue.Empty:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with contextlib.suppress(OSError):
            for grey in levels:
                data = cv2.imencode(".jpg", np.full((32, 48, 3), grey, np.uint8))[1].tobytes()
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data))
                self.wfile.write(data + b"\r\n")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def camera() -> Iterator[tuple[str, queue.Queue[Iterable[int]]]]:
    programme: queue.Queue[Iterable[int]] = queue.Queue()
    handler = type("Handler", (Camera,), {"programme": programme})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/stream", programme
        server.shutdown()


def test_real_server_that_dies_and_comes_back(camera: tuple[str, queue.Queue[Iterable[int]]]) -> None:
    address, programme = camera
    programme.put([40] * 20)
    programme.put([200] * 20)
    (source,) = open_sources([address], reconnect=AT_ONCE)
    assert isinstance(source, LiveSource)
    frames: list[Frame] = []
    with pytest.raises(SourceError, match="lost after 40 frames") as caught:
        frames.extend(source)
    assert address in caught.value.message
    assert {frame.image.shape for frame in frames} == {(32, 48, 3)}
    seen = [round(float(frame.image.mean())) for frame in frames]
    numbers = [frame.index for frame in frames]
    assert set(seen) <= {40, 200}
    assert seen == sorted(seen)
    assert seen[-1] == 200
    assert numbers == sorted(set(numbers))
    assert len(numbers) + source.dropped == 40
    assert source.reconnects == 1


def test_real_server_that_only_refuses(camera: tuple[str, queue.Queue[Iterable[int]]]) -> None:
    (source,) = open_sources([camera[0]], reconnect=AT_ONCE)
    with pytest.raises(SourceError, match="cannot be opened"):
        list(source)


def test_process_that_forgets_to_close_a_stream_ends_well(camera: tuple[str, queue.Queue[Iterable[int]]]) -> None:
    """The reader thread must not be inside OpenCV while the interpreter is taken down: that aborts the process."""
    address, programme = camera
    programme.put(itertools.repeat(90))
    program = (
        "import builtins, sys; from ltsh_deploy.sources import open_sources\n"
        "builtins.kept = iter(open_sources([sys.argv[1]])[0])\n"
        "print(next(builtins.kept).image.shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, address],
        capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "(32, 48, 3)\n", "")


def test_open_device_raises_nothing() -> None:
    assert not open_device("http://127.0.0.1:9/x").isOpened()
    assert not open_device(63).isOpened()


def test_latency_percentiles() -> None:
    meter = LatencyMeter(window=100)
    assert meter.percentiles() == {}
    for i in range(1000):
        meter.add(10.0, 10.0 + (i % 100) / 1000)
    assert meter.percentiles() == pytest.approx({"p50": 49.5, "p95": 94.05, "p99": 98.01})
    assert meter.count == 1000
    meter.add(time.perf_counter())
    assert meter.percentiles()["p50"] == pytest.approx(49, abs=1)
