"""Video files: every frame once, in order, in the right colours and the right way up; cut files are noticed."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ltsh_deploy import videos
from ltsh_deploy.errors import SourceError
from ltsh_deploy.frames import Frame
from ltsh_deploy.videos import VideoFile, recognise_video

FORMATS = [("mp4", "mp4v"), ("avi", "MJPG"), ("mkv", "mp4v"), ("avi", "XVID"), ("webm", "VP80"), ("mov", "mp4v")]


def write_video(path: Path, code: str, frames: int = 40, rate: float = 25) -> Path:
    """64 x 48 frames: red above, blue below, and a green bar in the left half whose height tells the frame."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), rate, (64, 48))
    assert writer.isOpened()
    for i in range(frames):
        image = np.zeros((48, 64, 3), np.uint8)
        image[:24, 32:, 2] = 250
        image[24:, 32:, 0] = 250
        image[: i + 1, :32, 1] = 250
        writer.write(image)
    writer.release()
    return path


def numbers(frames: list[Frame]) -> list[int]:
    """The frames' numbers as their pictures tell them."""
    return [round(float(frame.image[:, 4:28, 1].mean() / 250 * 48)) - 1 for frame in frames]


def read_until_error(source: VideoFile) -> tuple[list[Frame], SourceError]:
    frames: list[Frame] = []
    with pytest.raises(SourceError) as caught:
        frames.extend(source)
    return frames, caught.value


@pytest.mark.parametrize(("suffix", "code"), FORMATS)
def test_every_frame_once_in_order(suffix: str, code: str, tmp_path: Path) -> None:
    source = VideoFile(str(write_video(tmp_path / f"a.{suffix}", code)))
    assert (source.frames, source.rate, source.size) == (None, None, None)
    frames = list(source)
    assert numbers(frames) == pytest.approx(range(40), abs=0.51)
    assert [frame.index for frame in frames] == list(range(40))
    assert [frame.time_s for frame in frames] == pytest.approx([i / 25 for i in range(40)], abs=1e-3)
    assert (source.frames, source.rate, source.size) == (40, 25, (64, 48))
    red, blue = frames[0].image[6, 48], frames[0].image[42, 48]
    assert red[0] > 200 > 60 > max(red[1:])
    assert blue[2] > 200 > 60 > max(blue[:2])
    assert len(list(source)) == 40


@pytest.mark.parametrize(
    ("rate", "reported", "expected"),
    [
        pytest.param(10, [0, 0.5, 1.5, 1.5, 2], [0, 0.5, 1.5, 1.5, 2], id="two at one time"),
        pytest.param(10, [0, 0.02, 0.02, 0.04], [0, 0.02, 0.02, 0.04], id="faster than its rate"),
        pytest.param(10, [0.3, 0.3, 0.3, 0.4], [0.3, 0.3, 0.3, 0.4], id="from the beginning"),
        pytest.param(10, [0, 0, 0, 0], [0, 0.1, 0.2, 0.3], id="a raw stream"),
        pytest.param(10, [0, 0.5, 0.4, 0.6], [0, 0.5, 0.5, 0.6], id="out of order"),
        pytest.param(10, [0, 0.1, 0, 0.1, 0.2], [0, 0.1, 0.2, 0.3, 0.4], id="two videos in a row"),
        pytest.param(10, [-0.1, 0.1, np.nan, 0.3], [0, 0.1, 0.2, 0.3], id="no time"),
        pytest.param(0, [0, 0, 0], [0, None, None], id="a raw stream without a rate"),
        pytest.param(0, [0, 2, 2, 1, 3], [0, 2, 2, 2, 3], id="times without a rate"),
    ],
)
def test_times_are_those_of_the_file_and_never_go_back(
    rate: float, reported: list[float], expected: list[float | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Capture:
        """One whose frames come at these times."""

        index = -1

        def isOpened(self) -> bool:  # noqa: N802  (OpenCV's name)
            return True

        def read(self) -> tuple[bool, np.ndarray | None]:
            self.index += 1
            return (True, np.zeros((4, 4, 3), np.uint8)) if self.index < len(reported) else (False, None)

        def get(self, what: int) -> float:
            return {cv2.CAP_PROP_FPS: rate, cv2.CAP_PROP_POS_MSEC: 1000 * reported[self.index]}.get(what, 0)

        def release(self) -> None:
            pass

    monkeypatch.setattr(videos, "_open", lambda target, is_file: Capture())
    (tmp_path / "a.mkv").write_bytes(b"a")
    assert [frame.time_s for frame in VideoFile(str(tmp_path / "a.mkv"))] == pytest.approx(expected)


def turn_clockwise(path: Path) -> None:
    """Make a movie 48 pixels high say that it was taken with the camera on its side."""
    data = bytearray(path.read_bytes())
    matrix = data.find(b"tkhd") + 4 + 40
    assert struct.unpack_from(">i", data, matrix) == (1 << 16,)
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30)
    path.write_bytes(data)


def test_rotated_video_is_turned_upright(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", "mp4v")
    turn_clockwise(path)
    source = VideoFile(str(path))
    frames = list(source)
    assert source.size == (48, 64)
    assert {frame.image.shape for frame in frames} == {(64, 48, 3)}
    # Turned clockwise, what was the upper right corner is the lower right one.
    assert frames[0].image[50, 40].argmax() == 0
    assert frames[0].image[50, 6].argmax() == 2


def test_pixels_that_are_not_square_are_told(tmp_path: Path) -> None:
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("needs the ffmpeg program")
    path = tmp_path / "a.mp4"
    made = ["-f", "lavfi", "-i", "testsrc=size=64x48:duration=0.2", "-vf", "setsar=4/3", "-c:v", "mpeg4", str(path)]
    subprocess.run([program, "-loglevel", "error", *made], check=True, stdin=subprocess.DEVNULL)
    source = VideoFile(str(path))
    assert source.pixel_aspect is None
    list(source)
    assert source.pixel_aspect == (4, 3)
    turn_clockwise(path)
    list(source)
    assert (source.size, source.pixel_aspect) == ((48, 64), (3, 4))
    square = VideoFile(str(write_video(tmp_path / "b.mp4", "mp4v", 3)))
    list(square)
    assert square.pixel_aspect is None


@pytest.mark.parametrize(("suffix", "code"), [("avi", "MJPG"), ("mkv", "mp4v"), ("webm", "VP80")])
def test_cut_off_video_gives_what_there_is_and_then_an_error(suffix: str, code: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / f"a.{suffix}", code)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    frames, error = read_until_error(VideoFile(str(path)))
    assert 0 < len(frames) < 35
    assert numbers(frames) == pytest.approx(range(len(frames)), abs=0.51)
    assert str(path) in error.message
    assert f"after frame {len(frames) - 1}," in error.message
    assert "40" in error.message


def test_movie_damaged_in_the_middle_is_noticed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", "MJPG")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(min(20_000, len(data) - middle))
    path.write_bytes(data)
    frames, error = read_until_error(VideoFile(str(path)))
    assert 0 < len(frames) < 35
    assert "frames" in error.message


def test_trimmed_movie_is_no_cut_off_movie(tmp_path: Path) -> None:
    """Phones trim by an edit list: the frames are in the file, but the movie says that they are not shown."""
    path = write_video(tmp_path / "a.mp4", "mp4v")
    data = bytearray(path.read_bytes())
    header = data.find(b"mvhd") + 4
    (duration,) = struct.unpack_from(">I", data, header + 16)
    struct.pack_into(">I", data, header + 16, duration // 4)
    edit = data.find(b"elst") + 4
    assert struct.unpack_from(">I", data, edit + 4) == (1,)
    struct.pack_into(">I", data, edit + 8, duration // 4)
    path.write_bytes(data)
    source = VideoFile(str(path))
    frames = list(source)
    assert source.frames == 10
    assert len(frames) == 10


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "the file is empty"), (b"junk" * 2000, "no video"), (bytes(5000), "no video"), (b"GIF89a", "no video")],
)
def test_what_is_no_video(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=message) as caught:
        list(VideoFile(str(path)))
    assert str(path) in caught.value.message


def test_decoders_write_nothing_to_stderr(tmp_path: Path) -> None:
    """In a process of its own: FFmpeg asks how loud it may be when it is first used."""
    for suffix, code in (("mp4", "mp4v"), ("avi", "MJPG"), ("mkv", "mp4v")):
        path = write_video(tmp_path / f"a.{suffix}", code)
        path.write_bytes(path.read_bytes()[:-1000])
    (tmp_path / "junk.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(300))
    (tmp_path / "junk.tif").write_bytes(b"II*\0" + bytes(300))
    program = (
        "import logging, sys; from ltsh_deploy.sources import open_sources; from ltsh_deploy.streams import Reconnect\n"
        "from ltsh_deploy.errors import LtshError; logging.getLogger('ltsh_deploy').setLevel('ERROR')\n"
        "named = [sys.argv[1], '/dev/video63', 'rtsp://127.0.0.1:9/x']\n"
        "for source in open_sources(named, reconnect=Reconnect(first_s=0.01)):\n"
        "    try: list(source)\n"
        "    except LtshError: print(source.name)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_")}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=True, env=environment, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    # The AVI has lost its index but no frame.
    assert len(done.stdout.splitlines()) == 6
    assert done.stderr == ""


def test_movie_without_its_index_is_called_cut_off(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", "mp4v")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(SourceError, match="cut off"):
        list(VideoFile(str(path)))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mp4", tmp_path):
        with pytest.raises(SourceError, match="cannot be read"):
            list(VideoFile(str(path)))


def test_names_that_mean_something_to_decoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a%03d.avi", "http:a.avi", "-a.avi", "Ünï cödé.avi"):
        write_video(tmp_path / "plain.avi", "MJPG", 3).rename(tmp_path / name)
        assert len(list(VideoFile(name))) == 3


def test_names_that_are_not_utf8_are_an_error(tmp_path: Path) -> None:
    """OpenCV 5.0 would crash."""
    path = write_video(tmp_path / "a.avi", "MJPG", 3).rename(tmp_path / os.fsdecode(b"\xff.avi"))
    with pytest.raises(SourceError, match="rename") as caught:
        list(VideoFile(str(path)))
    assert str(path) in caught.value.message, "as it stands, so that nobody needs to name it once more"


def test_container_headers_that_lie_do_no_harm(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for suffix, code in (("mp4", "mp4v"), ("mkv", "mp4v"), ("avi", "MJPG")):
        whole = write_video(tmp_path / f"whole.{suffix}", code, 4).read_bytes()
        for _ in range(15):
            data = bytearray(whole)
            for position in rng.integers(0, min(len(data), 400), 4):
                data[position] = rng.integers(0, 256)
            path = tmp_path / f"bad.{suffix}"
            path.write_bytes(data)
            try:
                count = len(list(VideoFile(str(path))))
            except SourceError:
                continue
            assert count <= 5


def test_videos_are_recognised_by_content(tmp_path: Path) -> None:
    for suffix, code in FORMATS:
        assert recognise_video(write_video(tmp_path / f"a.{suffix}", code, 3).read_bytes()[:200])
    for head in (b"", b"G", b"hello" * 50, b"\x89PNG\r\n\x1a\n" + bytes(200)):
        assert not recognise_video(head)


def test_real_videos(shared: Path) -> None:
    for name, frames, rate, size in (("walkers.avi", 205, 50, (1280, 720)), ("demo.mp4", 5, 5, (960, 540))):
        source = VideoFile(str(shared / "data/real/video" / name))
        count = sum(1 for _ in source)
        assert (count, source.frames, source.rate, source.size) == (frames, frames, rate, size)
