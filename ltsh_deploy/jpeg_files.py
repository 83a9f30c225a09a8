"""Where a JPEG ends, how large it is, and how many scans it has, by walking from marker to marker as decoders do."""

from __future__ import annotations

import re

__all__ = ["MAX_PARTS", "JpegWalk", "has_more_scans"]

#: Segments or chunks: a gigabyte of PNG has so many of its usual 8 KiB. A walk over millions of them takes seconds.
MAX_PARTS = 1 << 17
# All but those that stand alone and that decoders pass over: 0x01 and restarts. 0xFF before a marker fills up.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_EDGE = re.compile(rb"\xff[\xd8\xd9]")


class JpegWalk:
    """Finds the end of the JPEG that begins at the start of a buffer which may still be growing.

    Attributes:
        sizes: each (width, height) that was found before the first scan: one, in a file that means well.
        several: whether the file says that more pictures follow this one (a gain map, a second view).
        whole: False when the next picture began before this one had ended, and when it has too many segments.
    """

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []
        self.several = False
        self.whole = True
        self._position = 2
        self._segments = 0
        self._in_scan = False

    def find_end(self, data: bytes | bytearray) -> int | None:
        """The offset behind the picture, or None when ``data`` does not reach that far.

        ``data`` is the buffer of the last call with bytes appended; what was walked is not walked again.
        """
        while not self._in_scan:
            marker = _MARKER.search(data, self._position)
            if marker is None:
                self._position = max(self._position, len(data) - 1)
                return None
            start, code = marker.start(), data[marker.start() + 1]
            if code == 0xD9:
                return start + 2
            self._segments += 1
            if self._segments > MAX_PARTS:
                self.whole = False
                return start
            if code == 0xD8:
                self._position = start + 2
                continue
            segment = data[start + 2 : start + 11]
            if len(segment) < 9:
                self._position = start
                self._segments -= 1
                return None
            if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
                self.sizes.append((int.from_bytes(segment[5:7], "big"), int.from_bytes(segment[3:5], "big")))
            self.several |= code == 0xE2 and segment[2:6] == b"MPF\0"
            self._position = start + 2 + max(2, int.from_bytes(segment[:2], "big"))
            self._in_scan = code == 0xDA
        # Inside a scan 0xFF is followed by 0x00 or a restart marker, so these two cannot be picture data.
        edge = _EDGE.search(data, self._position)
        if edge is None:
            self._position = max(self._position, len(data) - 1)
            return None
        self.whole = data[edge.start() + 1] == 0xD9
        return edge.end() if self.whole else edge.start()


def has_more_scans(data: bytes, most: int) -> bool:
    """Whether a decoder would meet more than ``most`` scans in a JPEG, or more segments than any picture needs.

    What follows the picture in its file, such as the video of a motion photo, is not looked at.
    """
    scans, position = 0, 2
    for _ in range(MAX_PARTS):
        marker = _MARKER.search(data, position)
        if marker is None or data[marker.start() + 1] in (0xD8, 0xD9):
            return False
        start = marker.start()
        scans += data[start + 1] == 0xDA
        if scans > most:
            return True
        position = start + 2 + max(2, int.from_bytes(data[start + 2 : start + 4], "big"))
    return True
