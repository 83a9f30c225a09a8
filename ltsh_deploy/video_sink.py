"""Drawn videos: frames in, a video file out that plays even after Ctrl-C.

Frames are encoded by the ``ffmpeg`` program where there is one (H.264, any size), else by OpenCV (MPEG-4 or Motion
JPEG, even sizes only). With the program the source's sound is copied in, bit by bit.
"""

from __future__ import annotations

import logging
import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Protocol

import cv2
import numpy as np

from ltsh_deploy.errors import OutputError
from ltsh_deploy.images import Image, check_image
from ltsh_deploy.outputs import VIDEO_SUFFIXES
from ltsh_deploy.whole_files import WholeFile

__all__ = ["VideoSink"]

_log = logging.getLogger(__name__)


class VideoSink:
    """Writes a video; a context manager.

    The file has its name only after the block ends, by itself or by KeyboardInterrupt: then it holds the frames so far.
    Any other exception leaves an older file untouched. A sink that was given no frame writes no file.

    Args:
        path: where the video shall lie; the suffix chooses the container (one of
            :data:`~ltsh_deploy.outputs.VIDEO_SUFFIXES`).
        rate: frames a second, which need not be whole: 29.97.
        sound_from: the video whose sound the new one gets. Where it has none, is no file or there is no ``ffmpeg``
            program, the new one stays silent.

    Raises:
        OutputError: for another suffix, an impossible rate or a place that cannot be written to.
    """

    def __init__(self, path: str | Path, rate: float, sound_from: str | Path | None = None) -> None:
        if Path(path).suffix.lower() not in VIDEO_SUFFIXES:
            raise OutputError(f"{path}: names no video format", f"Use one of {', '.join(VIDEO_SUFFIXES)}.")
        if not (math.isfinite(rate) and 0.01 <= rate <= 1000):
            raise OutputError(f"{path}: {rate} frames a second is no rate for a video", "Give one from 0.01 to 1000.")
        self._file = WholeFile(path)
        self._rate = rate
        self._sound = Path(sound_from).absolute() if sound_from is not None and Path(sound_from).is_file() else None
        self._encoder: _Encoder | None = None
        self._size = (0, 0)
        self._frames = 0

    def write(self, image: Image) -> None:
        """Add a frame.

        Args:
            image: [H, W, 3] RGB. The first one sets the video's size; one of another size (a stream that changed its
                resolution) is scaled into it, its shape kept, on black.

        Raises:
            OutputError: when encoding or writing fails.
            ImageError: when the image is none.
        """
        image = check_image(image)
        if self._encoder is None:
            self._size = (image.shape[1], image.shape[0])
            program = shutil.which("ffmpeg")
            make = _OpenCvEncoder if program is None else _FfmpegEncoder
            self._encoder = make(self._file, self._size, self._rate)
        self._encoder.write(_fit(image, self._size))
        self._frames += 1

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        try:
            if self._encoder is None:
                return
            if kind is not None and not interrupted:
                self._encoder.abort()
                return
            self._encoder.close()
            if self._sound is not None:
                self._add_sound(self._sound, cut=interrupted)
            self._file.commit()
        finally:
            self._file.discard()

    def _add_sound(self, source: Path, cut: bool) -> None:
        """Copy the source's sound in, as it is; ``cut`` ends it with the last frame."""
        program = shutil.which("ffmpeg")
        if program is None:
            _log.warning("%s: written without sound; copying it takes the ffmpeg program", self._file.path)
            return
        silent = self._file.temporary
        both = silent.with_name(f"{silent.stem}.sound{silent.suffix}")
        end = ["-t", f"{self._frames / self._rate:.6f}"] if cut else []
        inputs = ["-i", str(silent), "-i", str(source), "-map", "0:v", "-map", "1:a?"]
        try:
            done = subprocess.run(
                [program, *_QUIETLY, *inputs, "-c", "copy", "-map_metadata", "-1", *end, str(both)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            if done.returncode == 0:
                both.replace(silent)
            else:
                reason = _last_line(done.stderr)
                _log.warning("%s: written without sound (%s); .mkv takes any sound", self._file.path, reason)
        except (OSError, KeyboardInterrupt) as error:
            _log.warning("%s: written without sound (%s)", self._file.path, error or "interrupted")
        finally:
            both.unlink(missing_ok=True)


class _Encoder(Protocol):
    """What makes a video file of frames of one size."""

    def __init__(self, file: WholeFile, size: tuple[int, int], rate: float) -> None: ...

    def write(self, image: Image) -> None: ...

    def close(self) -> None:
        """Finish the file, whatever was written."""

    def abort(self) -> None:
        """Stop; the file is of no use."""


_QUIETLY = ("-hide_banner", "-nostdin", "-loglevel", "error", "-y")


class _FfmpegEncoder:
    """The ``ffmpeg`` program at the other end of a pipe, out of Ctrl-C's reach."""

    def __init__(self, file: WholeFile, size: tuple[int, int], rate: float) -> None:
        self._file = file
        # 29.97 and its like stand for 30000/1001, which a thousandth's denominator still tells from 2997/100.
        exact = Fraction(rate).limit_denominator(1001)
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", f"{size[0]}x{size[1]}", "-framerate", str(exact)]
        program = str(shutil.which("ffmpeg"))
        command = [program, *_QUIETLY, *raw, "-i", "pipe:0", *_codec(program, file.temporary.suffix.lower(), size)]
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close and abort)
        with file.named_errors():
            self._process = subprocess.Popen(
                [*command, str(file.temporary)],
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
            raise self._failure() from None

    def close(self) -> None:
        try:
            self._process.communicate()
        except BaseException:
            self.abort()
            raise
        if self._process.returncode != 0:
            raise self._failure()
        self._complaints.close()

    def abort(self) -> None:
        self._process.kill()
        self._process.wait()
        self._complaints.close()

    def _failure(self) -> OutputError:
        self._complaints.seek(0)
        return OutputError(f"{self._file.path}: could not be written ({_last_line(self._complaints.read())})")


class _OpenCvEncoder:
    """OpenCV's own writer. It cuts odd sizes, so they are padded by a pixel, and it keeps its troubles to itself."""

    def __init__(self, file: WholeFile, size: tuple[int, int], rate: float) -> None:
        self._file = file
        width, height = size
        self._pad = (0, height % 2, 0, width % 2)
        if any(self._pad):
            _log.warning(
                "%s: %d x %d becomes %d x %d; with the ffmpeg program odd sizes are kept",
                *(file.path, width, height, width + width % 2, height + height % 2),
            )
        codec = "MJPG" if file.temporary.suffix.lower() == ".avi" else "mp4v"
        self._writer = cv2.VideoWriter(
            str(file.temporary),
            cv2.CAP_FFMPEG,
            cv2.VideoWriter.fourcc(*codec),
            round(rate, 3 if rate < 65 else 1),  # MPEG-4 holds a rate as a fraction of 16-bit numbers
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


def _codec(program: str, suffix: str, size: tuple[int, int]) -> list[str]:
    """H.264 where the container and the program have it; colours marked as what the conversion from RGB gives."""
    if suffix == ".avi" or not _has_x264(program):
        return ["-c:v", "mpeg4", "-q:v", "3", *(["-vtag", "xvid"] if suffix == ".avi" else [])]
    # Chrominance at half the resolution, which every player shows, exists for even sizes only.
    pixels = "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
    colours = [part for key in ("colorspace", "color_primaries", "color_trc") for part in (f"-{key}", "smpte170m")]
    return ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", pixels, *colours]


@lru_cache(maxsize=4)
def _has_x264(program: str) -> bool:
    listed = subprocess.run([program, "-hide_banner", "-encoders"], capture_output=True, stdin=subprocess.DEVNULL)
    return b" libx264 " in listed.stdout


def _fit(image: Image, size: tuple[int, int]) -> Image:
    """The image; scaled into (width, height) on black where it has another size."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    scale = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    fitted = np.zeros((size[1], size[0], 3), np.uint8)
    x, y = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    fitted[y : y + inner[1], x : x + inner[0]] = scaled
    return fitted


def _last_line(text: bytes) -> str:
    lines: Sequence[str] = text.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "ffmpeg says no more"
