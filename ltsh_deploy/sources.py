"""What a user named, turned into frames: pictures, videos, folders, patterns, cameras, addresses, stdin."""

from __future__ import annotations

import contextlib
import difflib
import glob
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from ltsh_deploy.errors import SourceError, UsageError
from ltsh_deploy.frames import Frame, Kind, Source
from ltsh_deploy.image_headers import is_animated, recognise_image
from ltsh_deploy.images import read_image
from ltsh_deploy.opencv_quirks import is_safe_name
from ltsh_deploy.piped import StandardInput
from ltsh_deploy.streams import CaptureDevice, LiveSource, Reconnect, open_device, public_address
from ltsh_deploy.videos import VideoFile, recognise_video

__all__ = [
    "READABLE_PICTURE_SUFFIXES",
    "READABLE_VIDEO_SUFFIXES",
    "Frame",
    "ImageAddress",
    "ImageFile",
    "Kind",
    "Source",
    "open_sources",
    "tell_apart",
]

logger = logging.getLogger("ltsh_deploy")

#: File name endings of pictures in folders. HEIC cannot be read, but is named so that it is reported, not passed over.
READABLE_PICTURE_SUFFIXES = frozenset({
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
    ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
})  # fmt: skip
#: File name endings of videos in folders.
READABLE_VIDEO_SUFFIXES = frozenset({
    ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg",
    ".mts", ".ogv", ".ts", ".webm", ".wmv", ".y4m",
})  # fmt: skip
_SCHEMES = ("http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp")
_STILL_OR_MOVING = (".apng", ".gif", ".png")
_HEAD = 1 << 8


class ImageFile(Source):
    """One picture file."""

    def __init__(self, path: Path) -> None:
        super().__init__("image", str(path))
        self._path = path

    def __iter__(self) -> Iterator[Frame]:
        image = read_image(self._path, self.name)
        self.frames, self.size = 1, (image.shape[1], image.shape[0])
        yield Frame(image, self.name, "image")


class ImageAddress(Source):
    """One picture behind an HTTP address, fetched once."""

    def __init__(self, address: str, name: str) -> None:
        super().__init__("image", name)
        self._address = address

    def __iter__(self) -> Iterator[Frame]:
        # Imported here because it takes longer to load than the rest of this module.
        from ltsh_deploy.fetching import fetch

        image = read_image(fetch(self._address, self.name), self.name)
        self.frames, self.size = 1, (image.shape[1], image.shape[0])
        yield Frame(image, self.name, "image")


def open_sources(
    arguments: Sequence[str | os.PathLike[str]],
    *,
    reconnect: Reconnect | None = None,
    device: Callable[[int | str], CaptureDevice] = open_device,
    stdin: BinaryIO | None = None,
) -> list[Source]:
    """One source for each picture, video, camera or stream that the arguments name, in their order.

    An argument is a picture or video file; a folder (its pictures and videos, not those of its subfolders, in natural
    order); a pattern with ``*``, ``?``, ``[...]`` or ``**``; an address (rtsp://, http:// and so on); a camera's number
    (unless a file has that name) or device file; or ``-`` for standard input. Nothing is decoded before its source is
    iterated; only the first bytes are looked at of files that were named themselves, since names can mislead, and of
    GIFs and PNGs, which may move.

    Args:
        arguments: as typed by the user.
        reconnect: how patiently network streams and cameras are opened.
        device: opens a camera or network stream.
        stdin: read for ``-``; the process's own when left out.

    Raises:
        SourceError: when an argument names nothing that exists, or nothing of a known kind.
        UsageError: when there is no argument, an empty one, or ``-`` twice.
    """
    names = [os.fspath(argument) for argument in arguments]
    if not names or not all(names):
        raise UsageError("no source was named", "name a picture, folder, video, camera number, address, or - for stdin")
    if names.count("-") > 1:
        raise UsageError("standard input (-) can be read only once")
    sources: list[Source] = []
    for name in names:
        if name == "-":
            sources.append(StandardInput(stdin))
        elif "://" in name:
            sources.extend(_from_address(name, reconnect, device))
        elif (camera := _camera_number(name)) is not None:
            sources.append(LiveSource(camera, None, reconnect, device))
        else:
            sources.extend(_from_files(name))
    return sources


def tell_apart(sources: Iterable[Source]) -> None:
    """Give videos and live sources of one name different ones: the second becomes ``rtsp://camera/live#2``, and so on.

    Addresses lose their passwords and queries in names, and may differ in nothing else; a file may be named twice. A
    picture's results are the same each time, so pictures keep their names.
    """
    taken: set[str] = set()
    for source in sources:
        if source.kind != "image":
            name, number = source.name, 1
            while source.name in taken:
                number += 1
                source.name = f"{name}#{number}"
            taken.add(source.name)


def _from_address(
    address: str, reconnect: Reconnect | None, device: Callable[[int | str], CaptureDevice]
) -> Sequence[Source]:
    name = public_address(address)
    try:
        parts = urlsplit(address)
        usable = parts.port != 0 and is_safe_name(address) and (parts.hostname or parts.scheme == "file")
    except ValueError:
        usable = None
    if not usable or parts.scheme not in (*_SCHEMES, "file"):
        raise SourceError(
            f"{name}: this is not an address that can be read",
            f"it must begin with one of {', '.join(_SCHEMES)} and ://",
        )
    if parts.scheme == "file":
        return _from_files(unquote(parts.path))
    suffix = Path(parts.path).suffix.lower() if parts.scheme in ("http", "https") else ""
    if suffix in READABLE_PICTURE_SUFFIXES:
        return [ImageAddress(address, name)]
    if suffix in READABLE_VIDEO_SUFFIXES - {".mjpg", ".mjpeg"}:
        return [VideoFile(address, name)]
    return [LiveSource(address, name, reconnect, device)]


def _camera_number(name: str) -> int | None:
    match = re.fullmatch(r"(?:/dev/video)?([0-9]{1,3})", name)
    if match is None or (name.isdigit() and Path(name).exists()):
        return None
    return int(match.group(1))


def _from_files(name: str) -> Sequence[Source]:
    path = Path(name)
    try:
        if path.is_dir():
            return _from_many(path.iterdir(), f"{name}: this folder", "name a folder with pictures or videos in it")
        if path.exists() or path.is_symlink():
            return [_from_file(path)]
        if glob.has_magic(name):
            found = glob.iglob(name, recursive=True)  # noqa: PTH207  (Path.glob takes no absolute pattern)
            return _from_many(map(Path, found), f"{name}: what this pattern matches", "check the pattern")
    except OSError as error:
        raise SourceError(f"{name}: cannot be read: {error.strerror}", "check the path and its permissions") from None
    raise SourceError(f"{name}: there is no such file or folder", _suggestion(path))


def _from_many(paths: Iterable[Path], what: str, remedy: str) -> Sequence[Source]:
    """Pictures and videos among the paths, in natural order; files of other kinds are passed over, and counted."""
    files = [path for path in paths if not path.name.startswith(".") and not _is_special(path)]
    known = [path for path in files if path.suffix.lower() in READABLE_PICTURE_SUFFIXES | READABLE_VIDEO_SUFFIXES]
    if not known:
        raise SourceError(f"{what} holds no picture and no video ({len(files)} other files)", remedy)
    if len(known) < len(files):
        logger.info("%s: %d files are neither pictures nor videos and were passed over", what, len(files) - len(known))
    return [_from_file(path, trust_name=True) for path in sorted(known, key=_natural)]


def _is_special(path: Path) -> bool:
    """Folders, pipes and devices; a link to nothing counts as a file, so that it is reported as unreadable."""
    return path.exists() and not path.is_file()


def _natural(path: Path) -> tuple[list[tuple[str, int]], str]:
    """Orders frame2 before frame10, whatever the case of the letters."""
    words = re.findall(r"([^0-9]*)([0-9]*)", str(path).lower())
    return [(text, int(number or -1)) for text, number in words], str(path)


def _from_file(path: Path, trust_name: bool = False) -> Source:
    """A picture or video, by what the file starts with, and where that says nothing, by its name.

    Where names are trusted, only those that may mean either are looked into: a folder can hold 100,000 files.
    """
    suffix = path.suffix.lower()
    if path.is_fifo():
        raise SourceError(f"{path}: this is a pipe", f"read it as standard input: ltsh infer - < {path}")
    head, animated = b"", False
    if not trust_name or suffix in _STILL_OR_MOVING:
        # An unreadable file is reported when its source is iterated, so that it does not hold up the others.
        with contextlib.suppress(OSError), path.open("rb") as file:
            head = file.read(_HEAD)
            file.seek(0)
            animated = is_animated(file)
    if recognise_image(head):
        return VideoFile(str(path)) if animated else ImageFile(path)
    if suffix in READABLE_VIDEO_SUFFIXES or recognise_video(head):
        return VideoFile(str(path))
    if head.strip(b"\0") and suffix not in READABLE_PICTURE_SUFFIXES:
        raise SourceError(
            f"{path}: this is neither a picture nor a video of a known kind",
            "convert it to JPEG or PNG, or, if it is a video: ffmpeg -i FILE out.mp4",
        )
    return ImageFile(path)


def _suggestion(path: Path) -> str:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return "check the path"
    near = difflib.get_close_matches(path.name, names[:10_000], n=1)
    return f"did you mean {path.parent / near[0]}?" if near else "check the path"
