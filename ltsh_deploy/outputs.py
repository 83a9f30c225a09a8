"""Results into files: poses as text, and drawn pictures.

Nothing half-written is left: a file has its name only when it is whole (:mod:`ltsh_deploy.whole_files`). Drawn videos
are in :mod:`ltsh_deploy.video_sink`, and their names and those of drawn pictures in :mod:`ltsh_deploy.draw_targets`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import cv2

from ltsh_deploy.errors import LtshError, OutputError, UsageError
from ltsh_deploy.images import Image, check_image
from ltsh_deploy.pose_formats import CSV_HEADER, FramePoses, source_stem, to_coco, to_csv_rows, to_openpose, to_record
from ltsh_deploy.result_names import FileSet, UniqueNames, make_folder, means_folder, refuse_overwriting
from ltsh_deploy.whole_files import WholeFile, write_error, write_whole

__all__ = [
    "POSE_FORMATS",
    "WRITABLE_PICTURE_SUFFIXES",
    "WRITABLE_VIDEO_SUFFIXES",
    "PoseWriter",
    "write_image",
]

POSE_FORMATS = ("jsonl", "openpose", "coco", "csv")
WRITABLE_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
WRITABLE_VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi")

_log = logging.getLogger(__name__)


class PoseWriter:
    """Writes the poses of picture after picture, frame after frame; a context manager.

    A file has its name only after the block ends, by itself or, once an image was written, by KeyboardInterrupt or an
    LtshError or BrokenPipeError from elsewhere. It then holds every image handed over before. Any other exception,
    and a failure to write it, leave an older file untouched. The formats, see :mod:`ltsh_deploy.pose_formats`:

    - ``jsonl``: one record a line.
    - ``openpose``: into a folder (one that exists, or a name that ends in ``/``), one ``<stem>_keypoints.json`` a
      picture and ``<stem>_<12 digits>_keypoints.json`` a video frame, as OpenPose does; each appears at once. Into a
      file, one OpenPose object a line, with ``source`` and ``frame`` added.
    - ``coco``: one JSON array of results.
    - ``csv``: a header, then one row a joint.

    Args:
        target: a file, a folder (``openpose`` only), ``-`` for stdout, or a device or pipe, written to directly.
        form: one of :data:`POSE_FORMATS`.
        live: pass each image on as soon as it is written, as is always done for stdout.
        protected: files that the run needs, and that no result may replace.

    Attributes:
        may_be_empty: whether a block that ends by itself without an image gives a file without one; where it is set to
            False, an older file stays as it is instead.

    Raises:
        UsageError: for a format that does not exist, and a target that is empty, protected, or looks like a picture or
            video.
        OutputError: when the target cannot be written. A closed stdout raises BrokenPipeError.
    """

    def __init__(
        self,
        target: str | Path,
        form: str = "jsonl",
        *,
        live: bool = False,
        protected: Iterable[str | Path] = (),
    ) -> None:
        if not str(target):
            raise UsageError("no file was named for the poses", "Name one, or - for standard output.")
        if form not in POSE_FORMATS:
            raise UsageError(f"{form!r} is not a format for poses", f"Use one of {', '.join(POSE_FORMATS)}.")
        self.may_be_empty = True
        self._form, self._live = form, live
        self._target = str(target)
        path = Path(target)
        self._folder = path if self._target != "-" and means_folder(self._target) else None
        if self._folder is not None and form != "openpose":
            raise UsageError(f"{target}: is a folder, and {form} is written into one file")
        if path.suffix.lower() in (*WRITABLE_PICTURE_SUFFIXES, *WRITABLE_VIDEO_SUFFIXES):
            raise UsageError(f"{target}: poses are text and do not go into a {path.suffix} file", "Name another file.")
        protected = list(protected)
        if self._target != "-":
            refuse_overwriting(target, protected)
        self._file: WholeFile | None = None
        self._stream: BinaryIO | None = None
        self._whole = 0  # bytes up to the end of the last complete image
        self._started = False  # whether an image was written
        self._failed = False  # whether writing failed
        needed = FileSet(protected)
        self._pictures = UniqueNames(
            taken=lambda stem: path / f"{stem}_keypoints.json" in needed or _before_number(stem) in self._clip_stems
        )
        self._clips = UniqueNames(taken=lambda stem: stem.casefold() in self._numbered_stems)
        self._clip_stems: set[str] = set()
        self._numbered_stems: set[str | None] = set()  # of pictures that are called as a clip's frames are
        self._image_ids: dict[int | str, str] = {}
        self._said: set[tuple[str, str]] = set()

    def __enter__(self) -> PoseWriter:
        try:
            self._open()
            if self._form == "csv":
                self._put(_csv([CSV_HEADER]))
            elif self._form == "coco":
                self._put("[")
        except BaseException:
            self._discard()
            raise
        return self

    def _open(self) -> None:
        if self._folder is not None:
            make_folder(self._folder)
        elif self._target != "-":
            path = Path(self._target)
            try:
                direct = path.exists() and not path.is_file() and not path.is_dir()
                self._file = None if direct else WholeFile(path)
                self._stream = (path if self._file is None else self._file.temporary).open("wb")
            except OSError as error:
                raise write_error(self._target, error) from None

    def write(self, frame: FramePoses) -> None:
        """Write one image's poses.

        Raises:
            OutputError: when that fails.
            InputError: when a score is NaN or infinite.
        """
        if self._form == "jsonl":
            self._put(_json(to_record(frame)) + "\n")
        elif self._form == "csv":
            self._put(_csv(to_csv_rows(frame)))
        elif self._form == "coco":
            self._put(self._coco_text(frame))
        elif self._folder is None:
            self._put(_json({"source": frame.source, "frame": frame.frame, **to_openpose(frame)}) + "\n")
        else:
            write_whole(self._folder / f"{self._stem(frame)}_keypoints.json", _json(to_openpose(frame)).encode())
        self._started = True

    def _stem(self, frame: FramePoses) -> str:
        """What names an image's own file; no two images get the same."""
        stem = source_stem(frame.source)
        if frame.frame is None:
            stem = self._pictures.of(frame.source, stem)
            self._numbered_stems.add(_before_number(stem))
            return stem
        stem = self._clips.of(frame.source, stem)
        self._clip_stems.add(stem.casefold())
        return f"{stem}_{frame.frame:012d}"

    def _coco_text(self, frame: FramePoses) -> str:
        entries = to_coco(frame)
        if not entries:
            return ""
        name = entries[0]["image_id"]
        other = self._image_ids.setdefault(name, frame.source)
        if other != frame.source and (other, frame.source) not in self._said:
            # Two videos share all their frames' indices; one warning tells it.
            self._said.add((other, frame.source))
            _log.warning("%s and %s have the same image_id in COCO results: %s", other, frame.source, name)
        start = "\n" if self._whole == len("[") else ",\n"
        return start + ",\n".join(map(_json, entries))

    def _put(self, text: str) -> None:
        try:
            if self._stream is None:
                encoding = sys.stdout.encoding or "utf-8"
                sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
                sys.stdout.flush()
            else:
                self._stream.write(text.encode("utf-8", "surrogateescape"))
                if self._live or self._file is None:
                    self._stream.flush()
        except OSError as error:
            self._failed = True
            if isinstance(error, BrokenPipeError):
                raise
            raise write_error(self._target, error) from None
        self._whole += len(text.encode("utf-8", "surrogateescape"))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            usual = kind is None or isinstance(error, KeyboardInterrupt | LtshError | BrokenPipeError)
            wanted = self._started or (kind is None and self.may_be_empty)
            # What is written to directly has no older file that could stay.
            if usual and not self._failed and (wanted or self._file is None):
                self._finish()
        finally:
            self._discard()

    def _discard(self) -> None:
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.close()
        if self._file is not None:
            self._file.discard()

    def _finish(self) -> None:
        try:
            if self._stream is not None and self._file is not None:
                # An interrupt may have come in the middle of an image.
                self._stream.truncate(self._whole)
                self._stream.seek(self._whole)
            if self._form == "coco":
                self._put("\n]\n")
            if self._stream is not None:
                self._stream.close()
        except OSError as error:
            raise write_error(self._target, error) from None
        if self._file is not None:
            self._file.commit()


def write_image(path: str | Path, image: Image) -> None:
    """Write a picture whole or not at all, in the format its suffix names (one of :data:`WRITABLE_PICTURE_SUFFIXES`).

    Args:
        path: an older file of this name is replaced.
        image: [H, W, 3] RGB.

    Raises:
        OutputError: for an unknown suffix, a size the format cannot hold, or a file that cannot be written.
        ImageError: when the image is none.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITABLE_PICTURE_SUFFIXES:
        known = ", ".join(WRITABLE_PICTURE_SUFFIXES)
        raise OutputError(f"{path}: {suffix or 'no suffix'} names no picture format", f"Use one of {known}.")
    quality = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".jpeg": cv2.IMWRITE_JPEG_QUALITY, ".webp": cv2.IMWRITE_WEBP_QUALITY}
    options = [quality[suffix], 95] if suffix in quality else []
    image = check_image(image)
    height, width = image.shape[:2]
    try:
        done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    except cv2.error:
        done = False
    if not done:
        raise OutputError(f"{path}: {suffix} cannot hold {width} x {height} pixels", "Use a .png file.")
    write_whole(path, data.tobytes())


def _before_number(stem: str) -> str | None:
    """What stands before a number such as frames have; None where there is none."""
    match = re.fullmatch("(.*)_[0-9]{12}", stem.casefold(), re.DOTALL)
    return match and match[1]


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(", ", ": "))


def _csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
