"""TensorBoard's files in a run's folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ltsh_deploy.images import Image
from ltsh_deploy.parts import import_part
from ltsh_deploy.whole_files import write_error

__all__ = ["TENSORBOARD", "Board"]

TENSORBOARD = "tensorboard"


class Board:
    """Writes TensorBoard's files.

    Args:
        folder: of the run; the files are in its folder ``tensorboard``.
        step: how many are done; what the files have of later steps is withdrawn.

    Raises:
        MissingPartError: when TensorBoard is not installed.
        OutputError: when the files cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        import_part("tensorboard", "Writing TensorBoard's files", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._folder = folder / TENSORBOARD
        self._hook = threading.excepthook
        threading.excepthook = self._heed
        try:
            with self._named_errors():
                self._writer = SummaryWriter(str(self._folder), purge_step=step + 1)
        except BaseException:
            threading.excepthook = self._hook
            raise

    def _heed(self, arguments: threading.ExceptHookArgs) -> None:
        """Leave out the traceback of TensorBoard's own thread: it hands its error to whoever writes next."""
        if not type(arguments.thread).__module__.startswith("tensorboard."):
            self._hook(arguments)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise write_error(self._folder, error) from None

    def number(self, name: str, step: int, value: float) -> None:
        """Add a number to a curve.

        Raises:
            OutputError: when what came before could not be written.
        """
        with self._named_errors():
            self._writer.add_scalar(name, value, step)

    def picture(self, name: str, step: int, picture: Image) -> None:
        """Add a [H, W, 3] uint8 RGB picture.

        Raises:
            OutputError: when what came before could not be written.
        """
        with self._named_errors():
            self._writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Finish the files.

        Raises:
            OutputError: when they could not be written.
        """
        try:
            with self._named_errors():
                self._writer.close()
        finally:
            threading.excepthook = self._hook
