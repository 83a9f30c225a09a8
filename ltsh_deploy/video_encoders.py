"""What makes a video file of frames: the ``ffmpeg`` program, or OpenCV where there is none."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Protocol

import cv2

from ltsh_deploy.errors import OutputError
from ltsh_deploy.images import Image
from ltsh_deploy.whole_files import WholeFile

__all__ = ["QUIETLY", "Encoder", "VideoForm", "open_encoder", "why_ffmpeg_failed"]

_log = logging.getLogger(__name__)

#: Options that keep the ``ffmpeg`` program from asking and from telling anything but errors.
QUIETLY = ("-hide_banner", "-nostdin", "-loglevel", "error", "-y")

# The longest sides that the codecs can hold.
_H264_SIDE, _MPEG4_SIDE, _JPEG_SIDE = 16384, 8191, 65500
_UNWRITTEN = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EFBIG, errno.EIO))


@dataclass(frozen=True)
class VideoForm:
    """What all frames of a video have in common.

    Attributes:
        width: pixels.
        height: pixels.
        rate: frames a second, which need not be whole.
        pixel_aspect: (a, b) when pixels are shown a / b times as wide as high; None for square ones.
    """

    width: int
    height: int
    rate: float
    pixel_aspect: tuple[int, int] | None = None


class Encoder(Protocol):
    """What makes a video file of frames of one form."""

    def write(self, image: Image) -> None:
        """Add a frame, [H, W, 3] RGB of the form's size."""

    def close(self) -> None:
        """Finish the file, whatever was written."""

    def abort(self) -> None:
        """Stop; the file is of no use."""


def open_encoder(file: WholeFile, form: VideoForm) -> Encoder:
    """The ``ffmpeg`` program where there is one, else OpenCV; it writes to the file's temporary name.

    Raises:
        OutputError: when neither can make such a video.
    """
    program = shutil.which("ffmpeg")
    return _OpenCvEncoder(file, form) if program is None else _FfmpegEncoder(program, file, form)


class _FfmpegEncoder:
    """The ``ffmpeg`` program at the other end of a pipe, out of Ctrl-C's reach."""

    def __init__(self, program: str, file: WholeFile, form: VideoForm) -> None:
        self._file = file
        codec = _codec(program, file, form)
        # 29.97 and its like stand for 30000/1001, which a thousandth's denominator still tells from 2997/100.
        exact = Fraction(form.rate).limit_denominator(1001)
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{form.width}x{form.height}"]
        across, down = form.pixel_aspect or (1, 1)
        shape = ["-vf", f"setsar=sar={across}/{down}:max=65535"]
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close and abort)
        with file.named_errors():
            self._process = subprocess.Popen(
                [
                    *(program, *QUIETLY, *raw, "-framerate", str(exact), "-i", "pipe:0"),
                    *(*shape, *codec, str(file.temporary)),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                start_new_session=True,
            )

    def write(self, image: Image) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(image.data)
        except OSError:
            self._process.wait()
            raise self._error(self._failure() or "ffmpeg ended early") from None

    def close(self) -> None:
        try:
            self._process.communicate()
        except BaseException:
            self.abort()
            raise
        failure = self._failure()
        self._complaints.close()
        if failure:
            raise self._error(failure)

    def abort(self) -> None:
        self._process.kill()
        self._process.wait()
        self._complaints.close()

    def _failure(self) -> str:
        self._complaints.seek(0)
        return why_ffmpeg_failed(self._complaints.read(), self._process.returncode)

    def _error(self, reason: str) -> OutputError:
        return OutputError(f"{self._file.path}: could not be written ({reason})")


class _OpenCvEncoder:
    """OpenCV's own writer. It cuts odd sizes, so they are padded by a pixel, and it keeps its troubles to itself."""

    def __init__(self, file: WholeFile, form: VideoForm) -> None:
        self._file = file
        width, height = form.width, form.height
        self._pad = (0, height % 2, 0, width % 2)
        if any(self._pad):
            _log.warning(
                "%s: %d x %d becomes %d x %d; with the ffmpeg program odd sizes are kept",
                *(file.path, width, height, width + width % 2, height + height % 2),
            )
        if form.pixel_aspect is not None:
            _log.warning("%s: will look squeezed; keeping the shape of pixels takes the ffmpeg program", file.path)
        codec = "MJPG" if file.temporary.suffix.lower() == ".avi" else "mp4v"
        self._writer = cv2.VideoWriter(
            str(file.temporary),
            cv2.CAP_FFMPEG,
            cv2.VideoWriter.fourcc(*codec),
            round(form.rate, 3 if form.rate < 65 else 1),  # MPEG-4 holds a rate as a fraction of 16-bit numbers
            (width + width % 2, height + height % 2),
        )
        if not self._writer.isOpened():
            raise OutputError(
                f"{file.path}: OpenCV cannot make a {width} x {height} video of this kind",
                "Install the ffmpeg program, or name an .avi file.",
            )

    def write(self, image: Image) -> None:
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        self._writer.write(cv2.copyMakeBorder(bgr, *self._pad, cv2.BORDER_REPLICATE) if any(self._pad) else bgr)

    def close(self) -> None:
        self._writer.release()
        reader = cv2.VideoCapture(str(self._file.temporary), cv2.CAP_FFMPEG)
        readable = reader.isOpened()
        reader.release()
        if not readable:
            raise OutputError(f"{self._file.path}: could not be written whole; is the disk full?")

    def abort(self) -> None:
        self._writer.release()


def _codec(program: str, file: WholeFile, form: VideoForm) -> list[str]:
    """H.264 where the container, the program and the size allow it, then MPEG-4, then Motion JPEG."""
    avi = file.temporary.suffix.lower() == ".avi"
    longest = max(form.width, form.height)
    # The matrix that turns RGB into what is written is that of ITU-R BT.601; players must know.
    colours = [part for key in ("colorspace", "color_primaries", "color_trc") for part in (f"-{key}", "smpte170m")]
    if not avi and longest <= _H264_SIDE and _has_x264(program):
        # Chrominance at half the resolution, which every player shows, exists for even sizes only.
        pixels = "yuv444p" if form.width % 2 or form.height % 2 else "yuv420p"
        return ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", pixels, *colours]
    if longest <= _MPEG4_SIDE:
        return ["-c:v", "mpeg4", "-q:v", "3", *(["-vtag", "xvid"] if avi else [])]
    if longest <= _JPEG_SIDE:
        return ["-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"]
    raise OutputError(
        f"{file.path}: {form.width} x {form.height} pixels are too many on one side for a video",
        f"The longest side can have {_JPEG_SIDE}.",
    )


@lru_cache(maxsize=4)
def _has_x264(program: str) -> bool:
    listed = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, stdin=subprocess.DEVNULL)
    return b" libx264 " in listed.stdout


def why_ffmpeg_failed(complaints: bytes, code: int) -> str:
    """Why the ``ffmpeg`` program, which said this and ended with this code, wrote no whole file; "" where it did."""
    lines = complaints.decode("utf-8", "replace").strip().splitlines()
    # FFmpeg 5 ends with 0 when the disk is full only as it closes the file.
    if code == 0 and not any(line.endswith(_UNWRITTEN) for line in lines):
        return ""
    if lines:
        return lines[-1].strip()
    if code < 0:
        # Beyond the limit of a file's size the system stops a program before it can say anything.
        return f"ffmpeg was stopped: {signal.strsignal(-code) or f'signal {-code}'}"
    return f"ffmpeg ended with code {code}; is the disk full?"
