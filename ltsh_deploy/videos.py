"""Video files: every frame once, in order, and an error where the file holds fewer than it promises."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2

from ltsh_deploy.errors import SourceError
from ltsh_deploy.frames import Frame, Source, plausible_rate
from ltsh_deploy.images import MAX_PIXELS, Image
from ltsh_deploy.opencv_quirks import hush_opencv, is_safe_name

__all__ = ["VideoFile", "recognise_video"]

# A video may lack this part of what it promises before that is called an error: counts are often estimates.
_TOLERATED = 0.05
_TOLERATED_FRAMES = 2
_OPEN_TIMEOUT_MS = 20_000


class VideoFile(Source):
    """A video file, or a video behind an HTTP address.

    Frames are RGB, turned upright as the file's rotation says, at the size it displays.

    Attributes:
        path: the file; None behind an address.
    """

    def __init__(self, target: str, name: str | None = None) -> None:
        super().__init__("video", name or target)
        self.path = None if "://" in target else Path(target)
        self._target = target

    def __iter__(self) -> Iterator[Frame]:
        hush_opencv()
        is_file = self.path is not None
        if not is_safe_name(self._target):
            raise SourceError(f"{self.name}: OpenCV cannot open a video of this name, which is not UTF-8", "rename it")
        if is_file:
            _check_readable(self._target, self.name)
        capture = _open(self._target, is_file)
        try:
            container = _Container.read(self._target) if is_file else _Container()
            if not capture.isOpened():
                raise self._not_opened(is_file, container.cut)
            self.rate = plausible_rate(capture.get(cv2.CAP_PROP_FPS))
            self.pixel_aspect = _pixel_aspect(capture)
            self.frames = container.frames(capture.get(cv2.CAP_PROP_FRAME_COUNT), self.rate)
            if capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT) > MAX_PIXELS:
                raise SourceError(f"{self.name}: its frames are larger than {MAX_PIXELS} pixels", "make it smaller")
            yield from self._frames(capture, container)
        finally:
            capture.release()

    def _not_opened(self, is_file: bool, cut: bool) -> SourceError:
        if not is_file:
            return SourceError(
                f"{self.name}: nothing answers there, or no video that can be decoded",
                "check address, network, user name and password",
            )
        remedy = "check that it plays; if it does, convert it: ffmpeg -i FILE -pix_fmt yuv420p out.mp4"
        return SourceError(
            f"{self.name}: no video that can be decoded was found in it",
            "the file is cut off: copy or download it again" if cut else remedy,
        )

    def _frames(self, capture: cv2.VideoCapture, container: _Container) -> Iterator[Frame]:
        index, time_s = 0, None
        while True:
            decoded, bgr = capture.read()
            if not decoded:
                break
            time_s = self._time(index, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, time_s)
            image: Image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
            if index == 0:
                self.size = image.shape[1], image.shape[0]
            yield Frame(image, self.name, "video", index, time_s)
            index += 1
        if index == 0:
            raise SourceError(f"{self.name}: not one frame can be decoded", "check that it plays; copy the file again")
        if container.lacks_frames(self.frames, self.rate, index, time_s):
            raise SourceError(
                f"{self.name}: it ends after frame {index - 1}, but should have about {self.frames} frames",
                "the file is cut off or damaged: copy or download it again",
            )

    def _time(self, index: int, position: float, last: float | None) -> float | None:
        """Seconds of frame ``index``, never less than those of the last one.

        Frames may share a time; but raw streams, which have none of their own, report zero throughout.
        """
        before = last or 0.0
        if index == 0 or position > before or position == before > 0:
            return max(0.0, position)
        if self.rate is None:
            return last or None
        return max(before, index / self.rate)


def recognise_video(head: bytes) -> bool:
    """Whether these first bytes (200 or more) are those of a video file, whatever its name."""
    starts = (
        b"\x1a\x45\xdf\xa3",
        b"FLV\x01",
        b"OggS",
        b"\0\0\1\xba",
        b"\0\0\1\xb3",
        b"\x30\x26\xb2\x75",
        b"YUV4MPEG2 ",
    )
    transport_stream = head[:1] == b"G" and head[188:189] == b"G"
    return head.startswith(starts) or head[4:8] == b"ftyp" or head[8:12] == b"AVI " or transport_stream


def _check_readable(path: str, name: str) -> None:
    try:
        with Path(path).open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise SourceError(f"{name}: the file cannot be read: {error.strerror}", "check the path") from None
    if empty:
        raise SourceError(f"{name}: the file is empty", "copy or download it again")


def _open(target: str, is_file: bool) -> cv2.VideoCapture:
    # An absolute path cannot be taken for an address, and with the backend named, '%' not for a numbered sequence.
    location = str(Path(target).absolute()) if is_file else target
    timeouts = [] if is_file else [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_TIMEOUT_MS]
    return cv2.VideoCapture(location, cv2.CAP_FFMPEG, timeouts)


def _pixel_aspect(capture: cv2.VideoCapture) -> tuple[int, int] | None:
    """Width to height of the pixels of upright frames; None for square ones, and for what no screen can show."""
    across, down = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    if not (0 < across < 1 << 16 and 0 < down < 1 << 16 and across != down and 0.01 <= across / down <= 100):
        return None
    turned = capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 == 90
    return (int(down), int(across)) if turned else (int(across), int(down))


@dataclass(frozen=True)
class _Container:
    """What a file's outer structure tells about its length.

    Attributes:
        counts: whether its count of frames is a count and not an estimate.
        cut: whether the file ends before its own headers say.
        seconds: how long it plays; a trimmed video plays shorter than its frames would.
    """

    counts: bool = True
    cut: bool = False
    seconds: float | None = None

    def frames(self, count: float, rate: float | None) -> int | None:
        """How many frames there should be, from the decoder's count, which knows nothing of trimming."""
        if not 0 < count < 1 << 40:
            return None
        return int(count if self.seconds is None or rate is None else min(count, round(self.seconds * rate)))

    def lacks_frames(self, promised: int | None, rate: float | None, got: int, last_s: float | None) -> bool:
        """Whether notably fewer frames came than promised, and the last one, at ``last_s``, notably too early.

        Both must be so: counts can be estimates, audio can outlast a video, a slide can stand for a minute.
        """
        if promised is None or not (self.counts or self.cut):
            return False
        if got >= promised * (1 - _TOLERATED) - _TOLERATED_FRAMES:
            return False
        if rate is None or last_s is None:
            return True
        return last_s + (1 + _TOLERATED_FRAMES) / rate < promised / rate * (1 - _TOLERATED)

    @classmethod
    def read(cls, path: str) -> _Container:
        """What the file's headers say; nothing is promised by headers that cannot be followed."""
        try:
            with Path(path).open("rb") as file:
                head, length = file.read(64), file.seek(0, 2)
                if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
                    return cls._read_boxes(file, length)
                if head[:4] == b"RIFF":
                    return cls(cut=8 + int.from_bytes(head[4:8], "little") > length)
                if head[:4] == b"\x1a\x45\xdf\xa3":
                    return cls(counts=False, cut=_segment_end(head) > length)
        except (OSError, struct.error, IndexError):
            return cls(counts=False)
        return cls(counts=False)

    @classmethod
    def _read_boxes(cls, file: BinaryIO, length: int) -> _Container:
        """MP4 and MOV: boxes of (size, name); the movie header, which has the duration, lies within the movie box."""
        cut, seconds, position, end = False, None, 0, length
        while position + 8 <= end:
            file.seek(position)
            size, name, long_size = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
            size = long_size if size == 1 else size or end - position
            cut |= position + size > length
            if name == b"mvhd":
                file.seek(position + 8)
                body = file.read(32).ljust(32, b"\0")
                # The version, in the first byte, decides between 32-bit and 64-bit times.
                scale, duration = (
                    struct.unpack_from(">IQ", body, 20) if body[0] else struct.unpack_from(">II", body, 12)
                )
                seconds = duration / scale if scale and duration else None
            if size < 8:
                break
            position += 8 if name == b"moov" else size
        return cls(cut=cut, seconds=seconds)


def _segment_end(head: bytes) -> int:
    """Where a Matroska file's segment ends, 0 where it does not say."""

    def number(position: int) -> tuple[int, int]:
        length = 9 - head[position].bit_length()
        value = int.from_bytes(head[position : position + length], "big") & ((1 << 7 * length) - 1)
        return value, position + length

    size, position = number(4)
    position += size
    if head[position : position + 4] != b"\x18\x53\x80\x67":
        return 0
    size, start = number(position + 4)
    return 0 if size == (1 << 7 * (start - position - 4)) - 1 else start + size
