"""The window of ``ltsh infer --show``: drawn frames, with figures in their corner, of one source or of several."""

from __future__ import annotations

from types import TracebackType

from ltsh_deploy.cli.infer_clip import Clip
from ltsh_deploy.display import Display
from ltsh_deploy.frames import Frame, Source
from ltsh_deploy.images import Image
from ltsh_deploy.screen import Tiles, write_corner

__all__ = ["Window"]


class Window:
    """One window; a context manager.

    Raises:
        MissingPartError: when no window can be opened here.
    """

    def __init__(self) -> None:
        self._display = Display("ltsh")
        self._tiles: Tiles | None = None

    def divide(self, sources: int) -> None:
        """Make room for so many sources at the same time."""
        self._tiles = Tiles(sources)

    def show(self, frame: Frame, drawn: Image, clip: Clip | None) -> bool:
        """Show a drawn frame of a video, camera or stream, or a picture; False when the user wants to stop.

        A picture that has the window for itself stays until a key is pressed.
        """
        figures = "" if clip is None else clip.figures()
        if self._tiles is not None:
            # All pictures share one place.
            place = None if clip is None else clip.source
            drawn = self._tiles.put(place, drawn, f"{frame.source}  {figures}".rstrip())
        elif figures:
            drawn = write_corner(drawn, figures)
        going_on = self._display.show(drawn, wait=clip is None and self._tiles is None)
        if clip is not None:
            clip.shown(frame)
        return going_on

    def leave(self, source: Source) -> None:
        """Take a source that has ended out of the window, where there are others."""
        if self._tiles is not None:
            self._tiles.free(source)

    def __enter__(self) -> Window:
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, trace)
