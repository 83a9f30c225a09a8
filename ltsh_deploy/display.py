"""A window that shows drawn pictures."""

from __future__ import annotations

import os
import sys
from types import TracebackType

import cv2

from ltsh_deploy.errors import DeviceError, MissingPartError
from ltsh_deploy.images import Image
from ltsh_deploy.parts import reinstall_line

__all__ = ["Display", "has_display"]

_ESCAPE = 27
# How large a window opens at most; it can be made larger.
_WIDEST, _HIGHEST = 1280, 720


def has_display() -> bool:
    """Whether a window can be opened here, as far as the environment says."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Display:
    """One window; a context manager. Q, Escape or closing the window ends the show.

    Args:
        title: of the window.

    Raises:
        DeviceError: when there is no display.
        MissingPartError: when the OpenCV that is installed has no windows.
    """

    def __init__(self, title: str) -> None:
        if not has_display():
            raise DeviceError(
                "--show: there is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set)",
                "Leave out --show and draw into a file: --draw FILE",
            )
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error:
            raise MissingPartError(
                "--show: the installed OpenCV is built without windows",
                f"Put the one with windows in its place: {reinstall_line({'opencv-python': ''})}",
            ) from None
        self._title = title
        self._sized = False

    def show(self, image: Image, wait: bool) -> bool:
        """Show a picture [H, W, 3] RGB; with ``wait``, until a key is pressed. False when the user wants to stop."""
        if not self._sized:
            # A window that can be resized opens in some size of its own, whatever is shown in it.
            factor = min(1.0, _WIDEST / image.shape[1], _HIGHEST / image.shape[0])
            cv2.resizeWindow(
                self._title, max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor))
            )
            self._sized = True
        cv2.imshow(self._title, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        while True:
            key = cv2.waitKey(100 if wait else 1)
            if key in (_ESCAPE, ord("q"), ord("Q")) or not self._is_open():
                return False
            if not wait or key >= 0:
                return True

    def _is_open(self) -> bool:
        try:
            return bool(cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1)
        except cv2.error:
            return False

    def __enter__(self) -> Display:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_open():
            cv2.destroyWindow(self._title)
