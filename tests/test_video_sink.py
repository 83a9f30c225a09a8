from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from ltsh_deploy import video_sink
from ltsh_deploy.errors import ImageError, OutputError
from ltsh_deploy.video_encoders import why_ffmpeg_failed
from ltsh_deploy.video_sink import VideoSink

ROOT = Path(__file__).parent.parent
Frames = list[npt.NDArray[np.uint8]]


@pytest.fixture(params=["program", "opencv"])
def encoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test with it runs with and without the ffmpeg program."""
    if request.param == "program" and shutil.which("ffmpeg") is None:
        pytest.skip("needs the ffmpeg program")
    if request.param == "opencv":
        monkeypatch.setenv("PATH", "")
    return str(request.param)


def frames(count: int, height: int = 48, width: int = 64) -> Frames:
    """A grey ramp over a red-ish and a blue-ish half."""
    made = []
    for i in range(count):
        image = np.full((height, width, 3), (180, 40 + 3 * i, 60), np.uint8)
        image[:, width // 2 :] = (60, 40 + 3 * i, 180)
        made.append(image)
    return made


def draw(path: Path, images: Frames, sound: Path | None = None, stop: BaseException | None = None) -> None:
    """A whole video; ``stop`` strikes after the last frame."""
    with VideoSink(path, 25, sound) as sink:
        for image in images:
            sink.write(image)
        if stop is not None:
            raise stop


def read(path: Path) -> tuple[Frames, float]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    assert capture.isOpened()
    found: Frames = []
    while True:
        got, image = capture.read()
        if not got:
            return found, capture.get(cv2.CAP_PROP_FPS)
        found.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8))


@pytest.mark.parametrize("suffix", [".mp4", ".MP4", ".mov", ".mkv", ".avi"])
def test_frames_come_back(tmp_path: Path, encoder: str, suffix: str) -> None:
    path = tmp_path / f"v%03d{suffix}"
    with VideoSink(path, 25) as sink:
        for image in frames(6):
            sink.write(image)
        assert not path.exists(), "not before it is whole"
    found, rate = read(path)
    assert rate == pytest.approx(25)
    assert len(found) == 6
    for image, back in zip(frames(6), found, strict=True):
        assert np.abs(image.astype(int) - back)[:, [8, 56]].mean() < 12
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("rate", [29.97, 30000 / 1001, 24000 / 1001, 12.5, 7.4925, 59.94, 50, 0.5])
def test_rates_are_kept(tmp_path: Path, encoder: str, rate: float) -> None:
    with VideoSink(tmp_path / "v.mp4", rate) as sink:
        for image in frames(8):
            sink.write(image)
    found, read_rate = read(tmp_path / "v.mp4")
    assert len(found) == 8
    assert read_rate == pytest.approx(rate, rel=1e-6 if encoder == "program" else 2e-4)


@pytest.mark.parametrize("size", [(47, 63), (48, 63), (1, 1)])
def test_odd_sizes(tmp_path: Path, encoder: str, size: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    with VideoSink(tmp_path / "v.mp4", 25) as sink:
        for image in frames(3, *size):
            sink.write(image)
    height, width = read(tmp_path / "v.mp4")[0][0].shape[:2]
    if encoder == "program":
        assert (height, width) == size
    else:
        assert (height, width) == (size[0] + size[0] % 2, size[1] + size[1] % 2), "padded, never cut"
        assert "odd sizes" in caplog.text


def test_a_frame_of_another_size_is_fitted(tmp_path: Path, encoder: str) -> None:
    with VideoSink(tmp_path / "v.mkv", 25) as sink:
        sink.write(np.full((48, 64, 3), 200, np.uint8))
        sink.write(np.full((200, 20, 3), 200, np.uint8)[:, ::-1])
    second = read(tmp_path / "v.mkv")[0][1]
    assert second.shape == (48, 64, 3)
    assert second[24, 32].min() > 180
    assert second[24, 5].max() < 30


def test_an_interrupt_leaves_what_was_drawn_so_far(tmp_path: Path, encoder: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        draw(tmp_path / "v.mp4", frames(4), stop=KeyboardInterrupt())
    assert len(read(tmp_path / "v.mp4")[0]) == 4


def test_a_failure_leaves_the_older_video(tmp_path: Path, encoder: str) -> None:
    (tmp_path / "v.mp4").write_text("older")
    with pytest.raises(RuntimeError):
        draw(tmp_path / "v.mp4", frames(1), stop=RuntimeError())
    assert [p.read_text() for p in tmp_path.iterdir()] == ["older"]


def test_no_frame_no_file(tmp_path: Path, encoder: str) -> None:
    with VideoSink(tmp_path / "v.mp4", 25):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 90000.0])
def test_impossible_rates(tmp_path: Path, rate: float) -> None:
    with pytest.raises(OutputError, match="rate"):
        VideoSink(tmp_path / "v.mp4", rate)


@pytest.mark.parametrize("name", ["v.gif", "v", "absent/v.mp4"])
def test_impossible_places(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="v"):
        VideoSink(tmp_path / name, 25)


def placed(path: Path, rate: float, times: list[float | None]) -> list[int]:
    """Which of the frames given stands at each place of the video written with these times."""
    levels = [10 + 8 * i % 240 for i in range(len(times))]
    with VideoSink(path, rate) as sink:
        for level, time_s in zip(levels, times, strict=True):
            sink.write(np.full((16, 16, 3), level, np.uint8), time_s)
    found = [float(image.mean()) for image in read(path)[0]]
    return [int(np.abs(np.array(levels) - level).argmin()) for level in found]


@pytest.mark.parametrize("rate", [30000 / 1001, 29.97, 24000 / 1001, 12.5, 60, 59.94])
@pytest.mark.parametrize("clock", ["exact", "milliseconds", "half a frame late", "jitter"])
def test_frames_at_the_videos_own_rate_are_written_once_each(
    rate: float, clock: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written: list[int] = []

    class Recorder:
        def write(self, image: npt.NDArray[np.uint8]) -> None:
            written.append(int.from_bytes(image[0, 0].tobytes(), "big"))

        def close(self) -> None: ...
        def abort(self) -> None: ...

    monkeypatch.setattr(video_sink, "open_encoder", lambda file, form: Recorder())
    rng = np.random.default_rng(0)
    sink = VideoSink(tmp_path / "v.mp4", rate)
    for i in range(4_000):
        time_s = i / rate
        if clock == "milliseconds":
            time_s = round(time_s, 3)
        elif clock == "half a frame late":
            time_s = round(time_s + 0.5 / rate, 3)
        elif clock == "jitter":
            time_s += rng.uniform(-0.5, 0.5) / rate
        sink.write(np.array([[list(i.to_bytes(3, "big"))]], np.uint8), time_s)
    assert written == list(range(4_000))


def test_frames_are_shown_at_their_times(tmp_path: Path, encoder: str) -> None:
    path = tmp_path / "v.mkv"
    assert placed(path, 10, [0, 0.1, 0.4, 0.5, 0.9]) == [0, 1, 1, 1, 2, 3, 3, 3, 3, 4]
    assert placed(path, 10, [0.3, 0.4]) == [0, 0, 0, 0, 1], "a source that begins late"
    assert placed(path, 10, [0, 0.02, 0.04, 0.06, 0.2]) == [0, 2, 4], "more frames than there are places"
    assert placed(path, 10, [0, 0.2, 0.1, -5, 0.3]) == [0, 0, 1, 4], "times that go back"
    assert placed(path, 10, [0, None, None, 0.5]) == [0, 1, 2, 2, 2, 3]
    assert placed(path, 10, [0, float("nan"), float("inf"), 0.3]) == [0, 1, 2, 3]


def test_a_frame_that_is_repeated_is_the_one_that_was_given(tmp_path: Path) -> None:
    image = np.full((16, 16, 3), 200, np.uint8)
    with VideoSink(tmp_path / "v.mkv", 10) as sink:
        sink.write(image, 0.0)
        image[:] = 50
        sink.write(image, 0.3)
    assert [round(float(found.mean()), -1) for found in read(tmp_path / "v.mkv")[0]] == [200, 200, 200, 50]


def test_an_endless_gap_is_shortened_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(video_sink, "LONGEST_STILL", 5)
    assert placed(tmp_path / "v.mkv", 10, [0, 3600, 3600.1, 3600.3]) == [0, 0, 0, 0, 0, 0, 1, 2, 2, 3]
    assert "3600 s" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
@pytest.mark.parametrize("size", [(20, 20000), (9000, 16)])
def test_long_frames_find_a_codec(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the ffmpeg program")
    draw(tmp_path / f"v{suffix}", [np.full((*size, 3), 120, np.uint8)])
    (image,) = read(tmp_path / f"v{suffix}")[0]
    assert image.shape == (*size, 3)
    assert np.abs(image.astype(int) - 120).max() < 5


def test_frames_too_long_for_any_codec_are_refused(tmp_path: Path, encoder: str) -> None:
    with pytest.raises(OutputError, match="70000 x 2"):
        draw(tmp_path / "v.mkv", [np.zeros((2, 70000, 3), np.uint8)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_shape_of_pixels_is_kept(tmp_path: Path, encoder: str, suffix: str, caplog: Any) -> None:
    path = tmp_path / f"v{suffix}"
    for aspect in ((4, 3), (3, 4)):
        with VideoSink(path, 25, pixel_aspect=aspect) as sink:
            for image in frames(3):
                sink.write(image)
        capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        told = (capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN))
        if encoder == "program":
            assert told == aspect
        else:
            assert "squeezed" in caplog.text


def test_what_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        draw(tmp_path / "v.mp4", [np.zeros((4, 4, 3), np.float32)])  # type: ignore[list-item]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", [True, False])
def test_a_full_disk_is_an_error(tmp_path: Path, program: bool) -> None:
    if program and shutil.which("ffmpeg") is None:
        pytest.skip("needs the ffmpeg program")
    pytest.importorskip("resource")
    code = (
        "import re, resource, signal, sys, numpy as np\nfrom ltsh_deploy.video_sink import VideoSink\n"
        "from ltsh_deploy.errors import OutputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))\n"
        "noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)\n"
        "try:\n    with VideoSink(sys.argv[1], 25) as sink:\n        for _ in range(40): sink.write(noise)\n"
        "except OutputError as error: sys.exit(0 if re.search('too large|limit|full', str(error)) else 1)\n"
        "sys.exit(2)\n"
    )
    environment = dict(os.environ) if program else {**os.environ, "PATH": ""}
    command = [sys.executable, "-c", code, str(tmp_path / "v.mp4")]
    assert subprocess.run(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL).returncode == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("said", "code", "reason"),
    [
        ("", 0, ""),
        ("[aac @ 0x55] a complaint of no consequence", 0, ""),
        ("Error closing file v.mp4: No space left on device", 0, "No space left on device"),
        ("first\nunknown encoder", 1, "^unknown encoder"),
        ("", -9, "stopped: Killed"),
        ("", 3, "code 3"),
    ],
)
def test_why_the_program_failed(said: str, code: int, reason: str) -> None:
    """FFmpeg 5 ends with 0 when the disk is full as it closes the file."""
    told = why_ffmpeg_failed(said.encode(), code)
    assert re.search(reason, told)
    assert bool(told) == bool(reason)


def source_with_sound(path: Path, codec: str) -> None:
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("needs the ffmpeg program")
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=25:duration=2"]
    sound = ["-f", "lavfi", "-i", "sine=frequency=440:duration=2", "-c:a", codec]
    command = [program, "-loglevel", "error", *picture, *sound, "-c:v", "mpeg4", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def sound_of(path: Path) -> bytes:
    """The compressed sound packets' checksum, as they lie in the file."""
    command = ["ffmpeg", "-loglevel", "error", "-i", str(path), "-map", "0:a", "-c", "copy", "-f", "md5", "-"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).stdout


def test_sound_is_copied_untouched(tmp_path: Path) -> None:
    source_with_sound(tmp_path / "source.mp4", "aac")
    draw(tmp_path / "v.mp4", frames(50), tmp_path / "source.mp4")
    assert sound_of(tmp_path / "source.mp4") == sound_of(tmp_path / "v.mp4") != b""
    assert len(read(tmp_path / "v.mp4")[0]) == 50
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source.mp4", "v.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("late", ["pictures", "sound"])
def test_sound_and_pictures_start_as_far_apart_as_in_the_source(tmp_path: Path, suffix: str, late: str) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("needs the ffprobe program")
    source_with_sound(tmp_path / "both.mp4", "aac")
    first, second = ("1:v", "0:a") if late == "pictures" else ("0:v", "1:a")
    inputs = ["-i", str(tmp_path / "both.mp4"), "-itsoffset", "0.8", "-i", str(tmp_path / "both.mp4")]
    command = ["ffmpeg", "-loglevel", "error", *inputs, "-map", first, "-map", second, "-c", "copy"]
    subprocess.run([*command, str(tmp_path / "source.mkv")], check=True, stdin=subprocess.DEVNULL)
    draw(tmp_path / f"v{suffix}", frames(50), tmp_path / "source.mkv")
    pictures, sound = (start_of(tmp_path / f"v{suffix}", kind) for kind in ("v", "a"))
    assert pictures - sound == pytest.approx(0.8 if late == "pictures" else -0.8, abs=0.03)
    assert len(read(tmp_path / f"v{suffix}")[0]) == 50


def start_of(path: Path, kind: str) -> float:
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        kind,
        "-show_entries",
        "stream=start_time",
        "-of",
        "csv=p=0",
    ]
    return float(subprocess.run([*command, str(path)], capture_output=True, check=True).stdout)


def test_sound_ends_with_an_interrupted_video(tmp_path: Path) -> None:
    source_with_sound(tmp_path / "source.mp4", "aac")
    with pytest.raises(KeyboardInterrupt):
        draw(tmp_path / "v.mp4", frames(10), tmp_path / "source.mp4", KeyboardInterrupt())
    assert len(read(tmp_path / "v.mp4")[0]) == 10
    probe = subprocess.run(["ffmpeg", "-i", str(tmp_path / "v.mp4")], stdin=subprocess.DEVNULL, capture_output=True)
    assert b"Duration: 00:00:00.4" in probe.stderr
    assert b"Audio: aac" in probe.stderr


def test_sound_the_container_cannot_hold_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source_with_sound(tmp_path / "source.mkv", "wmav2")
    for suffix, kept in ((".mov", False), (".mkv", True)):
        draw(tmp_path / f"v{suffix}", frames(5), tmp_path / "source.mkv")
        assert len(read(tmp_path / f"v{suffix}")[0]) == 5
        if kept:
            assert sound_of(tmp_path / "v.mkv") == sound_of(tmp_path / "source.mkv") != b""
    if not sound_of(tmp_path / "v.mov"):
        assert "without sound" in caplog.text


def test_a_source_without_sound_or_no_video_at_all(tmp_path: Path, encoder: str) -> None:
    draw(tmp_path / "a.mp4", frames(1))
    (tmp_path / "text.mp4").write_text("no video")
    for source in ("a.mp4", "text.mp4", "absent.mp4"):
        draw(tmp_path / "v.mp4", frames(3), tmp_path / source)
        assert len(read(tmp_path / "v.mp4")[0]) == 3


def test_ctrl_c_at_the_terminal(tmp_path: Path, encoder: str) -> None:
    """The signal goes to the whole process group, as from a terminal: the encoder must outlive it."""
    code = (
        "import sys; sys.path.insert(0, 'tests')\nfrom test_video_sink import frames\n"
        "from ltsh_deploy.video_sink import VideoSink\nimage = frames(1, 480, 640)[0]\n"
        "with VideoSink(sys.argv[1], 25) as sink:\n"
        "    for i in range(10**9): sink.write(image); i == 5 and print('go', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "v.mp4")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=20)
    assert len(read(tmp_path / "v.mp4")[0]) >= 5
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]
