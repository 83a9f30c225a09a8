from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from ltsh_deploy.errors import ImageError, OutputError
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
        "import resource, signal, sys, numpy as np\nfrom ltsh_deploy.video_sink import VideoSink\n"
        "from ltsh_deploy.errors import OutputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))\n"
        "noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)\n"
        "try:\n    with VideoSink(sys.argv[1], 25) as sink:\n        for _ in range(40): sink.write(noise)\n"
        "except OutputError as error: sys.exit(0 if sys.argv[1] in str(error) else 1)\n"
        "sys.exit(2)\n"
    )
    environment = dict(os.environ) if program else {**os.environ, "PATH": ""}
    command = [sys.executable, "-c", code, str(tmp_path / "v.mp4")]
    assert subprocess.run(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL).returncode == 0
    assert not list(tmp_path.iterdir())


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
