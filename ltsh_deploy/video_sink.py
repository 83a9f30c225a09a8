"""Drawn videos: frames in, each shown at its time, a video file out that plays even after Ctrl-C.

Frames are encoded by the ``ffmpeg`` program where there is one (any size), else by OpenCV (even sizes only, see
:mod:`ltsh_deploy.video_encoders`). With the program the source's sound is copied in, bit by bit.
"""

from __future__ import annotations

import logging
import math
import shutil
import subprocess
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from ltsh_deploy.errors import OutputError
from ltsh_deploy.frames import HIGHEST_RATE, LOWEST_RATE, plausible_rate
from ltsh_deploy.images import Image, check_image
from ltsh_deploy.outputs import WRITABLE_VIDEO_SUFFIXES
from ltsh_deploy.video_encoders import QUIETLY, Encoder, VideoForm, open_encoder, why_ffmpeg_failed
from ltsh_deploy.whole_files import WholeFile

__all__ = ["LONGEST_STILL", "VideoSink"]

_log = logging.getLogger(__name__)

#: At most so many frames fill one gap between two frames' times: five minutes at 25 a second.
LONGEST_STILL = 7500
# A frame goes into the next free place while its time is no further than this from the place's, in frames. Half a frame
# would do for exact times; the rest keeps jitter from doubling one frame and dropping its neighbour.
_TOLERANCE = 0.75
_PROBE_TIMEOUT_S = 30


class VideoSink:
    """Writes a video; a context manager.

    The file has its name only after the block ends, by itself or by KeyboardInterrupt: then it holds the frames so far.
    Any other exception leaves an older file untouched. A sink that was given no frame writes no file.

    Args:
        path: where the video shall lie; the suffix chooses the container (one of
            :data:`~ltsh_deploy.outputs.WRITABLE_VIDEO_SUFFIXES`).
        rate: frames a second, which need not be whole: 29.97. The video has this rate throughout.
        sound_from: the video whose sound the new one gets, as much earlier or later than the pictures as it is there.
            Where it has none, is no file or there is no ``ffmpeg`` program, the new one stays silent.
        pixel_aspect: (a, b) when pixels are to be shown a / b times as wide as high; None for square ones. It takes the
            ``ffmpeg`` program.

    Raises:
        OutputError: for another suffix, an impossible rate or a place that cannot be written to.
    """

    def __init__(
        self,
        path: str | Path,
        rate: float,
        sound_from: str | Path | None = None,
        pixel_aspect: tuple[int, int] | None = None,
    ) -> None:
        if Path(path).suffix.lower() not in WRITABLE_VIDEO_SUFFIXES:
            raise OutputError(f"{path}: names no video format", f"Use one of {', '.join(WRITABLE_VIDEO_SUFFIXES)}.")
        if plausible_rate(rate) is None:
            raise OutputError(
                f"{path}: {rate} frames a second is no rate for a video",
                f"Give one from {LOWEST_RATE} to {HIGHEST_RATE}.",
            )
        self._file = WholeFile(path)
        self._rate = rate
        self._pixel_aspect = pixel_aspect
        self._sound = Path(sound_from).absolute() if sound_from is not None and Path(sound_from).is_file() else None
        self._encoder: Encoder | None = None
        self._size = (0, 0)
        self._last: Image | None = None
        self._frames = 0
        self._skipped = 0  # frames that were left out of gaps too long to be filled

    def write(self, image: Image, time_s: float | None = None) -> None:
        """Add a frame.

        Args:
            image: [H, W, 3] RGB. The first one sets the video's size; one of another size (a stream that changed its
                resolution) is scaled into it, its shape kept, on black.
            time_s: when it is to be shown, in seconds from the video's start. The frame before is repeated up to then
                (where there is none, this one), and a frame for whose time the rate has no place left is dropped. Of
                frames that come at the sink's rate, with jitter of up to half a frame, each is written exactly once. A
                gap of more than :data:`LONGEST_STILL` frames is shortened to that, with a warning. Without a time, the
                frame follows the one before.

        Raises:
            OutputError: when encoding or writing fails.
            ImageError: when the image is none.
        """
        image = check_image(image)
        if self._encoder is None:
            self._size = (image.shape[1], image.shape[0])
            self._encoder = open_encoder(self._file, VideoForm(*self._size, self._rate, self._pixel_aspect))
        image = _fit(image, self._size)
        if time_s is not None and math.isfinite(time_s):
            early = time_s * self._rate - self._skipped - self._frames
            if early < -_TOLERANCE:
                return
            for _ in range(self._repeats(early)):
                self._put(image if self._last is None else self._last)
        self._put(image)
        # A copy, since the caller may draw the next frame into the same array.
        self._last = image.copy()

    def _repeats(self, early: float) -> int:
        """How many frames fill the gap before a frame that comes this many frames after the next place."""
        needed = max(0, math.ceil(early - _TOLERANCE))
        if needed > LONGEST_STILL:
            self._skipped += needed - LONGEST_STILL
            gap = needed / self._rate
            _log.warning(
                "%s: %.0f s without a frame are shortened to %.0f s", self._file.path, gap, LONGEST_STILL / self._rate
            )
        return min(needed, LONGEST_STILL)

    def _put(self, image: Image) -> None:
        assert self._encoder is not None
        self._encoder.write(image)
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
        try:
            start = _start_of_pictures(source)
            end = ["-t", f"{start + self._frames / self._rate:.6f}"] if cut else []
            inputs = ["-itsoffset", f"{start:.6f}", "-i", str(silent), "-i", str(source), "-map", "0:v", "-map", "1:a?"]
            done = subprocess.run(
                [program, *QUIETLY, *inputs, "-c", "copy", "-map_metadata", "-1", *end, str(both)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            reason = why_ffmpeg_failed(done.stderr, done.returncode)
            if not reason:
                both.replace(silent)
            else:
                _log.warning("%s: written without sound (%s); .mkv takes any sound", self._file.path, reason)
        except (OSError, KeyboardInterrupt) as error:
            _log.warning("%s: written without sound (%s)", self._file.path, error or "interrupted")
        finally:
            both.unlink(missing_ok=True)


def _start_of_pictures(source: Path) -> float:
    """Seconds by which a video's first picture comes after the start of the file; 0 where nothing tells."""
    program = shutil.which("ffprobe")
    if program is None:
        return 0.0
    wanted = ["-select_streams", "V:0", "-show_entries", "stream=start_time:format=start_time"]
    try:
        told = subprocess.run(
            [program, "-v", "error", *wanted, "-of", "default=noprint_wrappers=1:nokey=1", str(source)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_TIMEOUT_S,
            start_new_session=True,
        )
        pictures, file = map(float, told.stdout.split())
    except (subprocess.TimeoutExpired, ValueError):
        return 0.0
    start = pictures - file
    return start if 0 < start < math.inf else 0.0


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
