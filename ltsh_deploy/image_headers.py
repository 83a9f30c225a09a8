"""What a picture file says about itself before it is decoded: its format, size, orientation, and whether it is whole.

OpenCV's decoders tell their troubles to stderr and not to the caller, and some of them deliver half a picture; so a
file is looked over here first. Every reader takes hostile bytes: a wrong offset or length ends in "not known", never
in an exception or a long loop.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ltsh_deploy.jpeg_files import MAX_PARTS, JpegWalk

__all__ = ["ImageHeader", "is_animated", "read_header", "recognise_image"]

_MAGIC: tuple[tuple[str, bytes], ...] = (
    ("JPEG", rb"\xff\xd8\xff"),
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("WebP", rb"RIFF....WEBP"),
    ("TIFF", rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]"),
    ("BMP", rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
    ("GIF", rb"GIF8[79]a"),
    ("JPEG 2000", rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    ("AVIF", rb"\0\0\0.ftyp(?:avi[fs]|.{4}.{4}(?:.{4}){0,12}avi[fs])"),
    ("HEIC", rb"\0\0\0.ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)"),
    ("PNM", rb"P[1-6][\s#]"),
)
_PATTERNS = tuple((kind, re.compile(pattern, re.DOTALL)) for kind, pattern in _MAGIC)
# Comments end at a carriage return too: so say OpenCV's reader, and Netpbm's.
_PNM_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PNM_SIZE = re.compile(rb"P[1-6]" + _PNM_SPACE + rb"(\d{1,9})" + _PNM_SPACE + rb"(\d{1,9})\s")
_LARGE_TILE = 1 << 24

# EXIF orientation of AVIF's (anticlockwise quarter turns, mirror axis or None).
_AVIF_ORIENTATION = {
    (0, None): 1, (0, 1): 2, (2, None): 3, (0, 0): 4, (1, 0): 5, (3, None): 6,
    (3, 0): 7, (1, None): 8, (1, 1): 7, (3, 1): 5, (2, 0): 2, (2, 1): 4,
}  # fmt: skip


@dataclass(frozen=True)
class ImageHeader:
    """What is known of a picture file from its header.

    Attributes:
        kind: the format's name, as users know it.
        size: (width, height) as stored, before any rotation; None where the header does not say. Where a file says
            several sizes it is the largest, whichever of them a decoder believes.
        orientation: EXIF orientation 1 to 8 that OpenCV leaves to the caller; 1 where it turns the picture itself.
        premultiplied: whether decoded colours have been multiplied by alpha already.
        fault: why the file cannot be decoded whole, or "" when nothing was found wrong.
    """

    kind: str
    size: tuple[int, int] | None = None
    orientation: int = 1
    premultiplied: bool = False
    fault: str = ""


def recognise_image(head: bytes) -> str | None:
    """The name of the picture format that these first bytes (64 or more, or the whole file) belong to, or None."""
    return next((kind for kind, pattern in _PATTERNS if pattern.match(head)), None)


def is_animated(file: BinaryIO) -> bool:
    """Whether the file, read from where it stands, is a GIF or PNG of several frames over time."""
    head = file.read(13)
    if head[:4] == b"GIF8" and len(head) == 13:
        return _has_two_images(file, head[10])
    return head[:4] == b"\x89PNG" and b"acTL" in file.read(1 << 12).partition(b"IDAT")[0]


def _has_two_images(gif: BinaryIO, flags: int) -> bool:
    """Whether a second image follows in a GIF that was read up to its header's end; ``flags`` are the header's."""
    images = 0
    _pass_palette(gif, flags)
    while (kind := gif.read(1)) in (b"\x21", b"\x2c"):
        if kind == b"\x2c":
            images += 1
            descriptor = gif.read(9)
            if images == 2 or len(descriptor) < 9:
                break
            _pass_palette(gif, descriptor[8])
        # An extension's label, or the size of an image's codes, and then blocks that begin with their length.
        gif.read(1)
        while length := gif.read(1):
            if not length[0]:
                break
            gif.seek(length[0], 1)
    return images == 2


def _pass_palette(gif: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        gif.seek(3 << (flags & 7) + 1, 1)


def read_header(data: bytes) -> ImageHeader | None:
    """The header of a whole picture file; None when it is of no known format."""
    kind = recognise_image(data[:256])
    if kind is None:
        return None
    return _READERS[kind](data) if kind in _READERS else ImageHeader(kind)


def _largest(sizes: Iterable[tuple[int, int]]) -> tuple[int, int] | None:
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _fault(sizes: Collection[tuple[int, int]], parts: int = 0) -> str:
    """What is wrong with a file that says so many sizes of itself, and has so many parts."""
    if parts > MAX_PARTS:
        return f"it has more than {MAX_PARTS} parts"
    return "it says two sizes of itself" if len(set(sizes)) > 1 else ""


def _jpeg(data: bytes) -> ImageHeader:
    walk = JpegWalk()
    end = walk.find_end(data)
    fault = "its end is missing" if end is None or not walk.whole else _fault(walk.sizes)
    return ImageHeader("JPEG", _largest(walk.sizes), fault=fault)


def _png(data: bytes) -> ImageHeader:
    sizes, orientation, position, parts = list[tuple[int, int]](), 1, 8, 0
    while True:
        length, name = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        body = memoryview(data)[position + 8 : position + 8 + length]
        check = data[position + 8 + length : position + 12 + length]
        parts += 1
        if name == b"IHDR" and len(body) == 13:
            sizes.append(struct.unpack(">II", body[:8]))
        fault = "its end is missing" if len(check) < 4 else ""
        # Upper case marks the chunks that pixels depend on; damage elsewhere does no harm.
        if not fault and name[:1].isupper() and zlib.crc32(body, zlib.crc32(name)) != int.from_bytes(check, "big"):
            fault = "its data are damaged (a checksum is wrong)"
        if name == b"eXIf":
            orientation = _exif_orientation(bytes(body))
        if fault or name == b"IEND" or parts > MAX_PARTS:
            return ImageHeader("PNG", _largest(sizes), orientation, fault=fault or _fault(sizes, parts))
        position += 12 + length


def _webp(data: bytes) -> ImageHeader:
    orientation, position, sizes, parts = 1, 12, list[tuple[int, int]](), 0
    declared = 8 + int.from_bytes(data[4:8], "little")
    while position + 8 <= min(len(data), declared) and parts <= MAX_PARTS:
        name, length = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        body = data[position + 8 : position + 8 + (length if name == b"EXIF" else 10)]
        parts += 1
        if name == b"VP8X" and len(body) == 10:
            sizes.append((int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1))
        elif name == b"VP8L" and len(body) >= 5:
            bits = int.from_bytes(body[1:5], "little")
            sizes.append(((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
        elif name == b"VP8 " and len(body) == 10:
            sizes.append((int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF))
        elif name == b"EXIF":
            orientation = _exif_orientation(body.removeprefix(b"Exif\0\0"))
        position += 8 + length + length % 2
    fault = "its end is missing" if len(data) < declared else _fault(sizes, parts)
    return ImageHeader("WebP", _largest(sizes), orientation, fault=fault)


def _tiff(data: bytes) -> ImageHeader:
    given = list(_tiff_tags(data))
    tags = dict(given)
    # Of a tag that comes twice libtiff believes the first; and a tile is decoded in one piece, however little of it
    # is in the picture.
    sides = [max((value for each, value in given if each == tag), default=0) for tag in (256, 257, 322, 323)]
    whole, tile = (sides[0], sides[1]), (sides[2], sides[3])
    size = _largest([whole, tile] if tile[0] * tile[1] > _LARGE_TILE else [whole]) if min(whole) > 0 else None
    # libtiff multiplies separate 8-bit alpha into the colours; other colours come as they are stored.
    alpha, bits = tags.get(338), tags.get(258)
    return ImageHeader("TIFF", size, premultiplied=alpha == 1 or (alpha == 2 and bits == 8))


def _tiff_tags(data: bytes) -> Iterator[tuple[int, int]]:
    """(tag, value) of the first directory, for tags of whole numbers; where a tag has several, the first."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"\x2b\0", b"\0\x2b")
    start_form, count_form, entry_form = ("Q", "Q", "HHQ8s") if big else ("I", "H", "HHI4s")
    try:
        (position,) = struct.unpack_from(order + start_form, data, 8 if big else 4)
        (count,) = struct.unpack_from(order + count_form, data, position)
        position += struct.calcsize(order + count_form)
        for _ in range(min(count, 4096)):
            tag, kind, number, value = struct.unpack_from(order + entry_form, data, position)
            position += struct.calcsize(order + entry_form)
            form = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}.get(kind)
            if form is None:
                continue
            if number * struct.calcsize(form) <= len(value):
                yield tag, struct.unpack_from(order + form, value)[0]
            else:
                yield tag, struct.unpack_from(order + form, data, struct.unpack(order + start_form, value)[0])[0]
    except struct.error:
        return


def _exif_orientation(exif: bytes) -> int:
    orientation = dict(_tiff_tags(exif)).get(274, 1)
    return orientation if 1 <= orientation <= 8 else 1


def _avif(data: bytes) -> ImageHeader:
    head = data[: 1 << 20].partition(b"mdat")[0]
    # Boxes come in any order, and these bytes do not come about by chance.
    sizes = [struct.unpack(">II", m.group(1)) for m in re.finditer(rb"ispe\0\0\0\0(.{8})", data, re.DOTALL)]
    turn, mirror = (re.search(rb"\0\0\0\x09" + name + rb"(.)", head, re.DOTALL) for name in (b"irot", b"imir"))
    turns, axis = turn.group(1)[0] & 3 if turn else 0, mirror.group(1)[0] & 1 if mirror else None
    return ImageHeader("AVIF", _largest(sizes), _AVIF_ORIENTATION[turns, axis])


def _bmp(data: bytes) -> ImageHeader:
    form, start = ("<HH", 18) if data[14] == 12 else ("<ii", 18)
    try:
        width, height = struct.unpack_from(form, data, start)
    except struct.error:
        return ImageHeader("BMP", fault="its end is missing")
    return ImageHeader("BMP", (abs(width), abs(height)))


def _gif(data: bytes) -> ImageHeader:
    return ImageHeader("GIF", struct.unpack("<HH", data[6:10]) if len(data) >= 10 else None)


def _jpeg2000(data: bytes) -> ImageHeader:
    # The size in the box around the codestream is a copy, and need not agree; nor is the first codestream the one.
    sizes = []
    for codestream in re.finditer(rb"\xff\x4f\xff\x51.{4}(.{16})", data, re.DOTALL):
        right, bottom, left, top = struct.unpack(">IIII", codestream.group(1))
        sizes.append((max(0, right - left), max(0, bottom - top)))
    return ImageHeader("JPEG 2000", _largest(sizes))


def _pnm(data: bytes) -> ImageHeader:
    match = _PNM_SIZE.match(data[:4096])
    return ImageHeader("PNM", (int(match.group(1)), int(match.group(2))) if match else None)


_READERS: dict[str, Callable[[bytes], ImageHeader]] = {
    "JPEG": _jpeg, "PNG": _png, "WebP": _webp, "TIFF": _tiff, "AVIF": _avif,
    "BMP": _bmp, "GIF": _gif, "JPEG 2000": _jpeg2000, "PNM": _pnm,
}  # fmt: skip
