"""Standard input: pictures, JPEG streams and y4m are told apart and read frame by frame, whatever the pieces."""

from __future__ import annotations

import io
import logging
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ltsh_deploy import piped
from ltsh_deploy.errors import ImageError, InputError, SourceError, UsageError
from ltsh_deploy.frames import Frame
from ltsh_deploy.piped import StandardInput


def jpeg(level: int, size: tuple[int, int] = (16, 8)) -> bytes:
    return cv2.imencode(".jpg", np.full((size[1], size[0], 3), level, np.uint8))[1].tobytes()


LEVELS = [10, 60, 110, 160, 210]
FRAMES = [jpeg(level) for level in LEVELS]
PART = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
MULTIPART = b"".join(PART % (len(frame), frame) for frame in FRAMES) + b"--frame--\r\n"


class Pieces(io.RawIOBase):
    """A pipe that gives at most ``step`` bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data, self._step = io.BytesIO(data), step
        self.largest = 0

    def readable(self) -> bool:
        return True

    def read1(self, size: int) -> bytes:
        self.largest = max(self.largest, size)
        return self._data.read(min(size, self._step))


def frames_of(data: bytes | BinaryIO) -> list[Frame]:
    return list(StandardInput(io.BytesIO(data) if isinstance(data, bytes) else data))


def levels(frames: list[Frame]) -> list[int]:
    return [round(float(frame.image.mean())) for frame in frames]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
def test_one_picture(kind: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 5, 3), 90, np.uint8)).save(stream, kind)
    source = StandardInput(io.BytesIO(stream.getvalue()))
    assert source.kind is None, "not before something was read"
    (frame,) = source
    assert (frame.kind, frame.source, frame.index, frame.time_s) == ("image", "stdin", 0, None)
    assert (source.kind, source.frames, source.size) == ("image", 1, (5, 4))
    assert np.abs(frame.image.astype(int) - 90).max() <= 2


@pytest.mark.parametrize("trailer", [b"", b"\r\n", bytes(100), b"garbage", b"\0\0\0\x18ftypmp42", b"\xff\xd8"])
def test_what_follows_a_lone_jpeg_does_not_make_a_stream(trailer: bytes) -> None:
    (frame,) = frames_of(FRAMES[2] + trailer)
    assert frame.kind == "image"


def test_pictures_within_a_telephone_photograph_are_not_frames() -> None:
    """Such a file lists, in a multi-picture segment, the gain map that lies behind the photograph."""
    segment = b"\xff\xe2\x00\x10MPF\0" + bytes(10)
    (frame,) = frames_of(FRAMES[4][:2] + segment + FRAMES[4][2:] + FRAMES[0])
    assert frame.kind == "image"
    assert levels([frame]) == [210]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.sampled_from([b"", b"\r\n", b"\0\0"]))
def test_concatenated_jpegs(step: int, gap: bytes) -> None:
    frames = frames_of(Pieces(gap.join(FRAMES) + gap, step))
    assert levels(frames) == LEVELS
    assert [(frame.index, frame.kind) for frame in frames] == [(i, "video") for i in range(5)]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.sampled_from([b"", b"\r\n", b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"]))
def test_multipart_stream(step: int, preamble: bytes) -> None:
    frames = frames_of(Pieces(preamble + MULTIPART, step))
    assert levels(frames) == LEVELS
    assert {frame.kind for frame in frames} == {"video"}


def test_broken_frames_are_passed_over_and_reported(caplog: pytest.LogCaptureFixture) -> None:
    broken = FRAMES[1][:-5] + bytes(50)
    source = StandardInput(io.BytesIO(FRAMES[0] + broken + FRAMES[2] + b"\x93\x94" * 30 + FRAMES[3]))
    with caplog.at_level(logging.WARNING, "ltsh_deploy"):
        frames = list(source)
    assert levels(frames) == [10, 110, 160]
    assert [frame.index for frame in frames] == [0, 2, 3]
    assert source.broken == 1
    assert "frame 1" in caplog.text
    assert "60 bytes between frames" in caplog.text


def test_stream_that_ends_within_a_frame_gives_the_frames_before() -> None:
    for data in (FRAMES[0] + FRAMES[1][:-30], MULTIPART[: len(MULTIPART) // 5 + 250]):
        frames: list[Frame] = []
        with pytest.raises(SourceError, match="middle of frame 1"):
            frames.extend(StandardInput(io.BytesIO(data)))
        assert levels(frames) == [10]


def test_a_frame_is_given_before_the_next_has_come_whole() -> None:
    """A reader that waited for a full buffer would lag behind a slow camera."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb", buffering=0) as writer:
        frames = iter(StandardInput(pipe))
        writer.write(FRAMES[0] + FRAMES[1][:100])
        assert levels([next(frames)]) == [10]
        writer.write(FRAMES[1][100:])
        assert levels([next(frames)]) == [60]


def test_a_pipe_that_does_not_wait_is_waited_for() -> None:
    """Some programs make the pipes they share with others so."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with os.fdopen(reading, "rb", buffering=0) as pipe, os.fdopen(writing, "wb", buffering=0) as writer:
        later = [threading.Timer(0.05 * (i + 1), writer.write, [frame]) for i, frame in enumerate(FRAMES[:2])]
        later.append(threading.Timer(0.2, writer.close))
        for timer in later:
            timer.start()
        assert levels(frames_of(pipe)) == [10, 60]


def test_no_more_than_one_frame_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    fill = piped._Pipe.fill

    def watched(pipe: piped._Pipe) -> bool:
        more = fill(pipe)
        held.append(len(pipe.data))
        return more

    monkeypatch.setattr(piped._Pipe, "fill", watched)
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    frame = cv2.imencode(".jpg", noise)[1].tobytes()
    assert len(frames_of(Pieces(frame * 30, 10_000))) == 30
    assert max(held) < 2 * len(frame)


def test_endless_input_without_frames_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(piped, "_MAX_GAP", 100_000)
    monkeypatch.setattr(piped, "MAX_STREAMED_BYTES", 100_000)

    class Endless(io.RawIOBase):
        def __init__(self, head: bytes, body: bytes) -> None:
            self.head, self.body = head, body

        def read1(self, size: int) -> bytes:
            head, self.head = self.head, b""
            return head or self.body

    for head in (FRAMES[0] + FRAMES[1], b"--frame\r\n", FRAMES[0][:300], b"\x89PNG\r\n\x1a\n" + bytes(300)):
        for body in (b"a" * 1000, bytes(1000), b"\xff" * 1000, b"\xff\xd8\xff\xe0"):
            with pytest.raises(InputError):
                frames_of(Endless(head, body))


def y4m(header: str, frames: list[bytes], parameters: bytes = b"") -> bytes:
    return f"YUV4MPEG2 {header}\n".encode() + b"".join(b"FRAME" + parameters + b"\n" + frame for frame in frames)


@pytest.mark.parametrize(
    ("layout", "chroma"),
    [("C420jpeg ", 3 * 2), ("", 3 * 2), ("C420mpeg2 ", 3 * 2), ("C422 ", 3 * 3), ("C444 ", 5 * 3), ("Cmono ", 0),
     ("C411 ", 2 * 3)],
)  # fmt: skip
def test_y4m_layouts_of_odd_size(layout: str, chroma: int) -> None:
    frames = [bytes([luma]) * 15 + bytes([128]) * (2 * chroma) for luma in (16, 126, 235)]
    source = StandardInput(Pieces(y4m(f"W5 H3 F30000:1001 Ip A1:1 {layout}", frames, b" Ip"), 7))
    result = list(source)
    assert [frame.image.shape for frame in result] == [(3, 5, 3)] * 3
    assert [frame.image.min() for frame in result] == [frame.image.max() for frame in result]
    assert levels(result) == [0, 128, 255]
    assert source.rate == pytest.approx(29.97, abs=0.001)
    assert [frame.time_s for frame in result] == pytest.approx([0, 0.03337, 0.06673], abs=1e-4)


@pytest.mark.parametrize(
    ("yuv", "rgb"), [((81, 90, 240), (255, 0, 0)), ((145, 54, 34), (0, 255, 0)), ((41, 240, 110), (0, 0, 255))]
)
def test_y4m_colours(yuv: tuple[int, int, int], rgb: tuple[int, int, int]) -> None:
    data = b"".join(bytes([value]) * 16 for value in yuv)
    (frame,) = frames_of(y4m("W4 H4 F25:1 C444", [data]))
    assert np.abs(frame.image.astype(int) - rgb).max() <= 2


def test_y4m_full_range() -> None:
    (frame,) = frames_of(y4m("W2 H2 F25:1 C444 XCOLORRANGE=FULL", [bytes([200] * 4 + [128] * 8)]))
    assert (frame.image == 200).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (y4m("W4 H4 C444", [bytes(48), bytes(20)]), "middle of frame 1"),
        (y4m("W4 H4 C444", []), "no frame"),
        (y4m("W4 C444", [bytes(48)]), "no size"),
        (y4m("W4 H-4 C444", [bytes(48)]), "cannot be read"),
        (y4m("W99999999 H99999999", [bytes(48)]), "cannot be read"),
        (y4m("W4 H4 C420p10", [bytes(48)]), "C420p10 cannot be read"),
        (y4m("W4 H4 C444", [bytes(48)]) + b"JUNK" * 20, "damaged at frame 1"),
        (b"YUV4MPEG2 " + b"a" * 100_000, "no size"),
        (b"", "nothing came"),
        (b"hello, world\n", "neither a picture nor a stream"),
        (bytes(10_000), "neither a picture nor a stream"),
        (b"--frame\r\nContent-Type: text/plain\r\n\r\nhello\r\n", "not one of 0 frames"),
        (FRAMES[0][:200], "cut off"),
    ],
)
def test_bad_input_is_an_error(data: bytes, message: str) -> None:
    with pytest.raises((SourceError, ImageError), match=message) as caught:
        frames_of(data)
    assert caught.value.message.startswith("stdin")


def test_y4m_without_a_usable_rate() -> None:
    for rate in ("", "F0:0", "F25:0", "Fnan", "F1:99999999999", "F9" + "9" * 500):
        (frame,) = frames_of(y4m(f"W2 H2 Cmono {rate}", [bytes(4)]))
        assert frame.time_s is None


def test_input_is_read_once() -> None:
    source = StandardInput(io.BytesIO(FRAMES[0]))
    assert len(list(source)) == 1
    with pytest.raises(UsageError):
        list(source)


def test_a_terminal_is_no_input() -> None:
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    with pytest.raises(SourceError, match="nothing is piped in"):
        frames_of(Terminal())


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"".join(FRAMES), MULTIPART, y4m("W4 H4 C420jpeg", [bytes(24)] * 3)]), st.data())
def test_damaged_streams_give_frames_or_an_input_error(stream: bytes, data: st.DataObject) -> None:
    damaged = bytearray(stream)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        frames = frames_of(bytes(damaged))
    except InputError:
        return
    assert 1 <= len(frames) <= 12


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
@pytest.mark.parametrize("form", [["-f", "mjpeg"], ["-f", "mpjpeg"], ["-f", "yuv4mpegpipe"]])
def test_what_ffmpeg_writes(form: list[str], tmp_path: Path) -> None:
    source = ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=d=0.4:r=25:s=62x48"]
    reference = tmp_path / "reference_%d.png"
    subprocess.run([*source, str(reference)], check=True, stdin=subprocess.DEVNULL)
    with subprocess.Popen(
        [*source, "-pix_fmt", "yuv420p" if "yuv" in form[1] else "yuvj444p", "-q:v", "1", *form, "-"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        watchdog = threading.Timer(20, process.kill)
        watchdog.start()
        frames = list(StandardInput(process.stdout))  # type: ignore[arg-type]
        watchdog.cancel()
    assert len(frames) == 10
    for i, frame in enumerate(frames):
        truth = cv2.cvtColor(cv2.imread(str(reference) % (i + 1)), cv2.COLOR_BGR2RGB)
        assert np.median(np.abs(frame.image.astype(int) - truth.astype(int))) <= 3
