"""``ltsh infer`` on cameras and streams, several at once, over real connections that break."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ltsh_deploy.cli import infer_window
from ltsh_deploy.images import Image
from ltsh_deploy.outputs import write_image
from ltsh_deploy.video_sink import VideoSink
from tests.colour_model import paint, write_colour_model
from tests.mjpeg_server import MjpegServer, mjpeg_server

ROOT = Path(__file__).parent.parent
#: Where the arms of each path are, so that a record whose source is wrong is seen.
ARMS = {"/one": [(8, 16)], "/two": [(40, 80)], "/crowd": [(8, 16), (40, 80)]}


@pytest.fixture
def cameras() -> Iterator[MjpegServer]:
    with mjpeg_server({path: [paint(arms)] for path, arms in ARMS.items()}) as server:
        yield server


def by_source(text: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in text.splitlines():
        record = json.loads(line)
        found.setdefault(record["source"], []).append(record)
    return found


def shoulders(record: dict[str, Any]) -> list[tuple[float, float]]:
    return sorted((p["joints"][0][0], p["joints"][0][1]) for p in record["people"])


def write_video(path: Path, frames: int, first: int = 0) -> Path:
    """An arm that walks to the right, one cell every two frames."""
    with VideoSink(path, 12.5) as sink:
        for i in range(frames):
            sink.write(paint([(8 * ((first + i) // 2), 40)]))
    return path


@pytest.mark.parametrize("batch", [1, 8])
def test_streams_files_and_pictures_at_once_though_a_connection_breaks_and_one_is_never_there(
    infer: Callable[..., int],
    tmp_path: Path,
    cameras: MjpegServer,
    capsys: pytest.CaptureFixture[str],
    batch: int,
) -> None:
    write_video(tmp_path / "walk.avi", 12)
    write_image(tmp_path / "a.png", paint([(16, 64)]))
    write_image(tmp_path / "b.png", np.zeros((50, 300, 3), np.uint8))
    cameras.hang_up_after["/one"] = 6
    one, two, gone = map(cameras.address, ("/one", "/two", "/nothing"))
    names = [one, "walk.avi", gone, "b.png", two, "missing.mp4", "a.png"]
    assert infer(*names, "--json", "-", "--track", "--max-frames", 12, "--batch", batch) == 3
    output = capsys.readouterr()
    found = by_source(output.out)
    assert set(found) == {one, two, "walk.avi", "a.png", "b.png"}
    # More came than before the connection broke, so it was made again.
    assert cameras.connections["/one"] >= 2
    for address, arms in ((one, ARMS["/one"]), (two, ARMS["/two"])):
        frames = [record["frame"] for record in found[address]]
        assert len(frames) == 12
        assert frames == sorted(set(frames))
        times = [record["time_s"] for record in found[address]]
        assert times == sorted(times)
        assert 0 <= times[0] < 1
        for record in found[address]:
            np.testing.assert_allclose(shoulders(record), [(x + 3.5, y + 3.5) for x, y in arms], atol=0.6)
        # Each source has people of its own, so each counts from 1.
        assert [person["id"] for person in found[address][0]["people"]] == [1]
    assert [record["frame"] for record in found["walk.avi"]] == list(range(12))
    assert {person["id"] for record in found["walk.avi"] for person in record["people"]} == {1}
    assert [record["frame"] for record in found["a.png"] + found["b.png"]] == [None, None]
    errors = output.err
    assert "Traceback" not in errors
    assert f"{one}: lost; trying again in 0.5 s" in errors
    assert re.search(rf"{one}: capture to result p50 \d+ ms, p95 \d+ ms, p99 \d+ ms", errors)
    assert re.search(rf"{one}: \d+ frames passed over, 1 reconnects", errors)
    assert re.search(rf"{two}: \d+ frames passed over, 0 reconnects", errors)
    # Of what fails is told at once, for there might be no end, and at the end.
    for name in (gone, "missing.mp4"):
        assert re.search(rf"warning: {name}: ", errors)
        assert re.search(rf"error: {name}: ", errors)


def test_a_live_stream_does_not_keep_a_file_waiting(
    infer: Callable[..., int], tmp_path: Path, cameras: MjpegServer, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "walk.avi", 10)
    assert infer(cameras.address("/one"), "walk.avi", "--json", "-", "--max-frames", 30) == 0
    order = [json.loads(line)["source"] for line in capsys.readouterr().out.splitlines()]
    assert sorted(order) == sorted([cameras.address("/one")] * 30 + ["walk.avi"] * 10)
    # The stream is named first, and goes on long after the file's end.
    assert order[-1] == cameras.address("/one")


def test_each_source_has_drawings_of_its_own(
    infer: Callable[..., int], tmp_path: Path, cameras: MjpegServer, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "walk.avi", 9)
    # The same camera twice: its name does not show what is behind the question mark.
    names = [cameras.address("/one?key=1"), cameras.address("/one?key=2"), "walk.avi"]
    assert infer(*names, "--json", "out.jsonl", "--draw", "drawn", "--max-frames", 8) == 0
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["one.mp4", "one_2.mp4", "walk.mp4"]
    for path in (tmp_path / "drawn").iterdir():
        video = cv2.VideoCapture(str(path))
        assert sum(iter(lambda v=video: v.read()[0], False)) >= 4
    plain = cameras.address("/one")
    assert set(by_source((tmp_path / "out.jsonl").read_text())) == {plain, f"{plain}#2", "walk.avi"}
    output = capsys.readouterr()
    assert "walk.avi: 8 frames" in output.out
    assert "key=" not in output.out + output.err + (tmp_path / "out.jsonl").read_text()


def test_max_frames_without_anything_live(infer: Callable[..., int], tmp_path: Path) -> None:
    for name in ("a.avi", "b.avi"):
        write_video(tmp_path / name, 9)
    write_image(tmp_path / "c.png", paint([(16, 64)]))
    assert infer("a.avi", "b.avi", "c.png", "--json", "out.jsonl", "--max-frames", 4, "--batch", 3) == 0
    found = by_source((tmp_path / "out.jsonl").read_text())
    assert {name: len(records) for name, records in found.items()} == {"a.avi": 4, "b.avi": 4, "c.png": 1}


def test_a_drawing_or_network_that_fails_for_one_source_costs_the_others_nothing(
    infer: Callable[..., int], tmp_path: Path, cameras: MjpegServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "drawn/one.mp4").mkdir(parents=True)
    one, two = cameras.address("/one"), cameras.address("/two")
    assert infer(one, two, "--json", "out.jsonl", "--draw", "drawn", "--max-frames", 5) == 1
    found = by_source((tmp_path / "out.jsonl").read_text())
    assert {name: len(records) for name, records in found.items()} == {one: 5, two: 5}
    assert (tmp_path / "drawn/two.mp4").is_file()
    broken = write_colour_model(tmp_path / "nan.onnx", paf=float("nan"))
    capsys.readouterr()
    assert infer(one, two, "--model", broken, "--json", "-", "--max-frames", 3, "--batch", 2) == 3
    output = capsys.readouterr()
    assert output.out == ""
    for name in (one, two):
        assert re.search(rf"error: {name}: the network's PAFs hold NaN or infinity \(3 times\)", output.err)


@pytest.mark.parametrize("piped", [False, True], ids=["two streams", "a stream and stdin"])
def test_an_interrupt_loses_nothing_that_was_written(
    arms_model: str, tmp_path: Path, cameras: MjpegServer, piped: bool
) -> None:
    write_image(tmp_path / "a.jpg", paint([(8, 16)]))
    names = [cameras.address("/one"), "-" if piped else cameras.address("/two")]
    line = [sys.executable, "-m", "ltsh_deploy", "infer", *names, "--model", arms_model, "--device", "cpu"]
    line += ["--json", "-", "--draw", str(tmp_path / "drawn")]
    with subprocess.Popen(
        line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        if piped:
            # Standard input stays open, so that its thread waits in a read when the process ends.
            process.stdin.buffer.write((tmp_path / "a.jpg").read_bytes() * 6)
            process.stdin.buffer.flush()
        lines = [process.stdout.readline() for _ in range(30)]
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
        lines += process.stdout.read().splitlines(keepends=True)
        assert process.wait(timeout=30) == 130
    assert "Traceback" not in errors
    assert "Fatal" not in errors
    found = by_source("".join(lines))
    assert set(found) == {names[0], "stdin" if piped else names[1]}
    assert all(record["people"] for records in found.values() for record in records)
    drawn = sorted((tmp_path / "drawn").iterdir())
    assert [path.name for path in drawn] == ["one.mp4", "stdin.mp4" if piped else "two.mp4"]
    for path in drawn:
        video = cv2.VideoCapture(str(path))
        assert sum(iter(lambda v=video: v.read()[0], False)) >= 4


def test_a_video_that_is_named_twice_is_two_sources(
    infer: Callable[..., int], tmp_path: Path, cameras: MjpegServer
) -> None:
    write_video(tmp_path / "walk.avi", 6)
    (tmp_path / "same").mkdir()
    (tmp_path / "same" / "walk.avi").write_bytes((tmp_path / "walk.avi").read_bytes())
    for more in ([], [cameras.address("/one")]):
        names = ["walk.avi", "walk.avi", "same/walk.avi", *more]
        assert infer(*names, "--json", "out.jsonl", "--draw", "drawn", "--max-frames", 6) == 0
        found = by_source((tmp_path / "out.jsonl").read_text())
        videos = ["walk.avi", "walk.avi#2", "same/walk.avi"]
        assert set(found) == {*videos, *more}
        for name in videos:
            assert [record["frame"] for record in found[name]] == list(range(6))
        drawn = {"walk.mp4", "walk_2.mp4", "walk_3.mp4", *(["one.mp4"] if more else [])}
        assert {path.name for path in (tmp_path / "drawn").iterdir()} == drawn


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
def test_a_video_that_is_named_twice_sounds_twice(infer: Callable[..., int], tmp_path: Path) -> None:
    line = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=160x120:d=1:r=10", "-f", "lavfi", "-i", "sine=d=1"]
    subprocess.run([*line, "-c:v", "mpeg4", "-c:a", "aac", "clip.mp4"], cwd=tmp_path, check=True)
    assert infer("clip.mp4", "clip.mp4", "--draw", "drawn") == 0
    for name in ("clip.mp4", "clip_2.mp4"):
        streams = subprocess.run(["ffprobe", "drawn/" + name], cwd=tmp_path, capture_output=True, text=True).stderr
        assert "Audio:" in streams


def test_a_reader_of_stdout_who_goes_away_costs_no_file(arms_model: str, tmp_path: Path, cameras: MjpegServer) -> None:
    (tmp_path / "pictures").mkdir()
    for n in range(400):
        write_image(tmp_path / "pictures" / f"{n}.png", paint([(8, 16)]))
    line = [sys.executable, "-m", "ltsh_deploy", "infer", "--model", arms_model, "--device", "cpu"]
    runs = [
        # Poses go into a file, and the lines for people to one who reads one of them.
        [str(tmp_path / "pictures"), "--json", str(tmp_path / "kept.jsonl")],
        # Poses go to one who reads one of them, and the drawing into a file.
        [cameras.address("/one"), "--json", "-", "--draw", str(tmp_path / "kept.mp4")],
    ]
    for arguments in runs:
        with subprocess.Popen(
            [*line, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            assert process.stderr
            lines = [process.stdout.readline() for _ in range(10)]
            process.stdout.close()
            errors = process.stderr.read()
            assert process.wait(timeout=60) == 1
        assert all(lines)
        assert "Traceback" not in errors
    records = (tmp_path / "kept.jsonl").read_text().splitlines()
    assert 10 <= len(records) < 400
    assert all(json.loads(record)["people"] for record in records)
    video = cv2.VideoCapture(str(tmp_path / "kept.mp4"))
    assert sum(iter(lambda: video.read()[0], False)) >= 4


class PaintedWindow:
    """Stands in for a window: what was shown, and when the user presses Q."""

    shown: list[tuple[Image, bool]]
    last = 10**9
    delay_s = 0.0

    def __init__(self, title: str) -> None:
        self.shown = PaintedWindow.shown = []

    def show(self, image: Image, wait: bool) -> bool:
        time.sleep(self.delay_s)
        self.shown.append((image.copy(), wait))
        return len(self.shown) < self.last

    def __enter__(self) -> PaintedWindow:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def test_the_window_and_the_summary_tell_how_late_it_shows(
    infer: Callable[..., int],
    cameras: MjpegServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(infer_window, "Display", PaintedWindow)
    monkeypatch.setattr(PaintedWindow, "delay_s", 0.06)
    texts: list[str] = []
    plain = infer_window.write_corner
    monkeypatch.setattr(infer_window, "write_corner", lambda image, text: texts.append(text) or plain(image, text))
    assert infer(cameras.address("/one"), "--show", "--max-frames", 12) == 0
    errors = capsys.readouterr().err
    result, display = (
        int(re.search(rf"capture to {end} p50 (\d+) ms", errors)[1])  # type: ignore[index]
        for end in ("result", "display")
    )
    # What the window itself takes is in the one figure, and not in the other.
    assert display >= result + 55
    assert len(PaintedWindow.shown) == 12
    # The first two frames have none before them to tell of.
    assert len(texts) == 10
    for text in texts:
        shown = re.fullmatch(r"(\d+) ms to display, (\d+\.\d) frames/s", text)
        assert shown
        assert int(shown[1]) >= 60
        assert 0 < float(shown[2]) < 17
    images = [image for image, _ in PaintedWindow.shown]
    assert {image.shape for image in images} == {(120, 160, 3)}
    assert (images[5][:12, :100] > 200).any()


def test_the_window_shows_several_sources_side_by_side_until_the_user_stops(
    infer: Callable[..., int], tmp_path: Path, cameras: MjpegServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infer_window, "Display", PaintedWindow)
    monkeypatch.setattr(PaintedWindow, "last", 20)
    write_image(tmp_path / "a.png", paint([(16, 64)]))
    names = [cameras.address("/one"), cameras.address("/two"), "a.png"]
    assert infer(*names, "--show", "--json", "out.jsonl", "--draw", "drawn") == 0
    assert len(PaintedWindow.shown) == 20
    # A picture does not stop the streams until a key is pressed.
    assert not any(wait for _, wait in PaintedWindow.shown)
    assert {image.shape for image, _ in PaintedWindow.shown} == {(1080, 1920, 3)}
    last = PaintedWindow.shown[-1][0]
    tiles = [last[:540, :960], last[:540, 960:], last[540:, :960], last[540:, 960:]]
    reds = [int(((t[:, :, 0] > 150) & (t[:, :, 1:] < 90).all(axis=2)).sum()) for t in tiles]
    assert [count > 500 for count in reds] == [True, True, True, False]
    # What was written when the user stopped is whole, the last frame's record and drawing included.
    assert sum(map(len, by_source((tmp_path / "out.jsonl").read_text()).values())) == 20
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["a.png", "one.mp4", "two.mp4"]
