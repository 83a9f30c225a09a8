"""Standard input: one picture, or a stream of JPEGs (plain or multipart) or y4m, told apart by its first bytes.

Frames are cut out of the stream as it comes, with no more held than one frame.
"""

from __future__ import annotations

import logging
import re
import select
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from ltsh_deploy.errors import ImageError, SourceError, UsageError
from ltsh_deploy.frames import Frame, Kind, Source, plausible_rate
from ltsh_deploy.image_headers import recognise_image
from ltsh_deploy.images import MAX_PIXELS, MAX_STREAMED_BYTES, Image, read_image
from ltsh_deploy.jpeg_files import JpegWalk

__all__ = ["StandardInput"]

logger = logging.getLogger("ltsh_deploy")

_CHUNK = 1 << 16
_MAX_GAP = 1 << 24
_MAX_LINE = 1 << 12
_JPEG_START = b"\xff\xd8\xff"
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]*")
_MULTIPART = re.compile(rb"\s*(--|HTTP/1|content-)", re.IGNORECASE)
_CHROMA = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "411": (4, 1), "mono": None}


class StandardInput(Source):
    """Whatever is piped in; it can be iterated once. Its kind is None until the first frame settles it.

    Every frame is given, in order: what writes into the pipe waits for the one who reads.

    Attributes:
        broken: frames of a JPEG stream that could not be decoded and were passed over.
    """

    def __init__(self, file: BinaryIO | None = None) -> None:
        super().__init__(None, "stdin")
        self.broken = 0
        self._file = file
        self._used = False

    def __iter__(self) -> Iterator[Frame]:
        if self._used:
            raise UsageError("standard input can be read only once")
        self._used = True
        file = self._file or _process_stdin()
        if file is None or file.isatty():
            raise SourceError("stdin: nothing is piped in", "pipe a picture or a stream in: cat FILE | ltsh infer -")
        pipe = _Pipe(file)
        pipe.need(256)
        head = bytes(pipe.data[:256])
        if not head:
            raise SourceError("stdin: nothing came", "check the program that writes into the pipe")
        if head.startswith(b"YUV4MPEG2"):
            yield from self._y4m(pipe)
        elif head.startswith(_JPEG_START) or _MULTIPART.match(head):
            yield from self._jpegs(pipe, multipart=not head.startswith(_JPEG_START))
        elif recognise_image(head):
            if pipe.need(MAX_STREAMED_BYTES + 1):
                raise ImageError(f"stdin: the picture has more than {MAX_STREAMED_BYTES} bytes", "give it as a file")
            yield self._picture(bytes(pipe.data))
        else:
            raise SourceError(
                "stdin: this is neither a picture nor a stream of a known kind",
                "pipe in a picture, JPEGs (ffmpeg -i FILE -f mjpeg -) or y4m (ffmpeg -i FILE -pix_fmt yuv420p -f "
                "yuv4mpegpipe -)",
            )

    def _picture(self, data: bytes) -> Frame:
        self.frames = 1
        return self._frame(read_image(data, self.name), "image", 0, None)

    def _frame(self, image: Image, kind: Kind, index: int, time_s: float | None) -> Frame:
        self.kind = kind
        if self.size is None:
            self.size = image.shape[1], image.shape[0]
        return Frame(image, self.name, kind, index, time_s)

    def _jpegs(self, pipe: _Pipe, multipart: bool) -> Iterator[Frame]:
        index = 0
        while pipe.skip_to_jpeg():
            walk = JpegWalk()
            while (end := walk.find_end(pipe.data)) is None:
                if len(pipe.data) > MAX_STREAMED_BYTES:
                    raise SourceError(f"stdin: frame {index} has more than {MAX_STREAMED_BYTES} bytes")
                if not pipe.fill():
                    if index == 0 and not multipart:
                        yield self._picture(bytes(pipe.data))
                        return
                    raise SourceError(f"stdin: the stream ends in the middle of frame {index}")
            data = pipe.take(end)
            if index == 0 and not multipart and (walk.several or not pipe.more_jpegs()):
                yield self._picture(data)
                return
            try:
                yield self._frame(read_image(data, f"stdin: frame {index}"), "video", index, None)
            except ImageError as error:
                self.broken += 1
                logger.warning("%s", error.message)
            index += 1
        if self.broken == index:
            raise SourceError(f"stdin: not one of {index} frames could be decoded")

    def _y4m(self, pipe: _Pipe) -> Iterator[Frame]:
        header = pipe.take_line()
        words = {word[0]: word[1:] for word in header.split()[1:] if word}
        planes = _y4m_planes(header, words)
        full_range = "XCOLORRANGE=FULL" in header.split()
        if rate := re.fullmatch(r"(\d{1,9}):0*([1-9]\d{0,8})", words.get("F", "")):
            self.rate = plausible_rate(int(rate.group(1)) / int(rate.group(2)))
        length = sum(width * height for width, height in planes)
        index = 0
        while pipe.need(1):
            if not pipe.take_line().startswith("FRAME"):
                raise SourceError(f"stdin: the y4m stream is damaged at frame {index}", "write the stream again")
            if not pipe.need(length):
                raise SourceError(f"stdin: the stream ends in the middle of frame {index}")
            image = _y4m_image(np.frombuffer(pipe.take(length), np.uint8), planes, full_range)
            yield self._frame(image, "video", index, index / self.rate if self.rate else None)
            index += 1
        if index == 0:
            raise SourceError("stdin: the y4m stream holds no frame", "check the program that writes into the pipe")


def _process_stdin() -> BinaryIO | None:
    """Standard input without Python's buffer.

    A thread that waits in the buffer's read holds its lock, and an interpreter that ends meanwhile aborts.
    """
    if sys.stdin is None:
        return None
    unbuffered: BinaryIO = getattr(sys.stdin.buffer, "raw", sys.stdin.buffer)
    return unbuffered


class _Pipe:
    """A byte stream, and the part of it that was read but not used yet."""

    def __init__(self, file: BinaryIO) -> None:
        # read1 gives what is there; read would wait until a whole chunk has come.
        self._file, self._read = file, getattr(file, "read1", file.read)
        self.data = bytearray()

    def fill(self) -> bool:
        """Read some more; False at the end."""
        try:
            # A pipe that others made not to wait gives None.
            while (chunk := self._read(_CHUNK)) is None:
                select.select([self._file], [], [])
        except OSError as error:
            raise SourceError(f"stdin: cannot be read: {error.strerror}") from None
        self.data += chunk
        return bool(chunk)

    def need(self, length: int) -> bool:
        """Read until this many bytes are there; False when the stream ends before."""
        while len(self.data) < length:
            if not self.fill():
                return False
        return True

    def take(self, length: int) -> bytes:
        taken = bytes(self.data[:length])
        del self.data[:length]
        return taken

    def take_line(self) -> str:
        """The next line, which must be short; anything else counts as an empty one."""
        while (end := self.data.find(b"\n", 0, _MAX_LINE)) < 0:
            if len(self.data) >= _MAX_LINE or not self.fill():
                return ""
        return self.take(end + 1).decode("ascii", "replace").rstrip()

    def skip_to_jpeg(self) -> bool:
        """Drop what precedes the next JPEG, such as the headers of a multipart stream; False when none follows."""
        skipped, text = 0, True
        while True:
            start = self.data.find(_JPEG_START)
            gap = self.take(start if start >= 0 else max(0, len(self.data) - 2))
            skipped += len(gap)
            text = text and (_TEXT.fullmatch(gap) is not None or not gap.strip(b"\0"))
            if skipped > _MAX_GAP:
                raise SourceError(f"stdin: no JPEG frame in {_MAX_GAP} bytes", "check what writes into the pipe")
            if start >= 0 or not self.fill():
                break
        if not text:
            logger.warning("stdin: %d bytes between frames belong to none", skipped)
        return start >= 0

    def more_jpegs(self) -> bool:
        """Whether the stream goes on like one of JPEGs. What else may follow a picture belongs to the picture."""
        while not (rest := self.data.lstrip(b"\0\t\n\r ")) or len(rest) < 3:
            if len(self.data) > _MAX_GAP or not self.fill():
                return False
        return rest.startswith(_JPEG_START) or _MULTIPART.match(rest) is not None


def _y4m_planes(header: str, words: dict[str, str]) -> list[tuple[int, int]]:
    """(width, height) of the planes: luma, and two of chroma or none."""
    try:
        width, height = int(words["W"]), int(words["H"])
    except (KeyError, ValueError):
        raise SourceError(f"stdin: the y4m header states no size: {header[:80]!r}", "write the stream again") from None
    if not (width > 0 and height > 0 and width * height <= MAX_PIXELS):
        raise SourceError(f"stdin: y4m frames of {width} x {height} pixels cannot be read", "make them smaller")
    layout = re.sub(r"^(420)(jpeg|paldv|mpeg2)$", r"\1", words.get("C", "420"))
    if layout not in _CHROMA:
        raise SourceError(f"stdin: y4m of layout C{layout[:20]} cannot be read", "write it with -pix_fmt yuv420p")
    step = _CHROMA[layout]
    chroma = [] if step is None else [(-(-width // step[0]), -(-height // step[1]))] * 2
    return [(width, height), *chroma]


def _y4m_image(data: npt.NDArray[np.uint8], planes: list[tuple[int, int]], full_range: bool) -> Image:
    """[H, W, 3] RGB of one y4m frame, by ITU-R BT.601 as FFmpeg does where a stream does not say."""
    offsets = np.cumsum([0, *(width * height for width, height in planes)])
    parts = [data[o : o + w * h].reshape(h, w) for o, (w, h) in zip(offsets, planes, strict=False)]
    gain, black = (1.0, 0.0) if full_range else (255 / 219, 16.0)
    if len(parts) == 1:
        grey = np.clip(np.rint(gain * (np.arange(256) - black)), 0, 255).astype(np.uint8)
        return np.repeat(grey[parts[0]][:, :, None], 3, axis=2)
    chroma_gain = 1.0 if full_range else 255 / 224
    weights: npt.NDArray[Any] = np.array([[0, 0, 1.402], [0, -0.344136, -0.714136], [0, 1.772, 0]]) * chroma_gain
    weights[:, 0] = gain
    offset = -weights @ [black, 128, 128]
    luma = parts[0]
    chroma = [cv2.resize(part, planes[0], interpolation=cv2.INTER_LINEAR) for part in parts[1:]]
    image: npt.NDArray[Any] = cv2.transform(cv2.merge([luma, *chroma]), np.column_stack([weights, offset]))
    return image
