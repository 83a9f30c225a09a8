"""What OpenCV needs to be told or spared."""

from __future__ import annotations

import os
from functools import lru_cache

import cv2

__all__ = ["hush_opencv", "is_safe_name"]


@lru_cache(maxsize=1)
def hush_opencv() -> None:
    """Silence OpenCV and FFmpeg for the rest of this process; the first call counts.

    They write messages of their own to stderr, where the project's errors say the same things better. This is called
    before the first picture or video is read. Who sets OPENCV_LOG_LEVEL or OPENCV_FFMPEG_LOGLEVEL in the environment
    keeps what they set.
    """
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def is_safe_name(name: str) -> bool:
    """Whether a file name or address may be passed to OpenCV.

    OpenCV 5.0 crashes the process on a name with lone surrogates, which is how Python writes bytes that are not UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name
