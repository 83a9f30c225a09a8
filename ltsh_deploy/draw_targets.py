"""Which file each source's drawing goes into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from ltsh_deploy.errors import UsageError
from ltsh_deploy.outputs import WRITABLE_PICTURE_SUFFIXES, WRITABLE_VIDEO_SUFFIXES
from ltsh_deploy.pose_formats import source_stem
from ltsh_deploy.result_names import FileSet, UniqueNames, make_folder, means_folder, refuse_overwriting

__all__ = ["DrawTarget"]

_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")


class DrawTarget:
    """Which file each source's drawing goes into.

    Args:
        target: a picture or video file for the one source there is, or a folder: one that exists, or a name
            that ends in ``/`` or has no suffix, which is then made. In a folder a video becomes ``<stem>.mp4``, a JPEG
            ``<stem>.jpg`` and any other picture ``<stem>.png``; where two would have one name, or a drawing would
            replace a source or a protected file, the later gets ``<stem>_2`` and so on.
        sources: every source's name, and whether it moves (a video, a camera, a stream); None where only reading tells.
        protected: more files, beside the sources, that no drawing may replace.

    Raises:
        UsageError: when nothing is named, or a file is named for several sources, for the wrong kind, or is a source or
            protected.
        OutputError: when the folder cannot be made.
    """

    def __init__(
        self,
        target: str | Path,
        sources: Sequence[tuple[str, bool | None]],
        protected: Iterable[str | Path] = (),
    ) -> None:
        if not str(target):
            raise UsageError("no place was named for the drawings", "Name a folder or a file.")
        self._path, suffix = Path(target), Path(target).suffix.lower()
        needed = [*(source for source, _ in sources), *protected]
        originals = FileSet(needed)
        self._names = UniqueNames(taken=lambda name: self._path / name in originals)
        self._is_file = not means_folder(str(target)) and bool(suffix)
        if not self._is_file:
            make_folder(self._path)
        elif suffix not in (*WRITABLE_PICTURE_SUFFIXES, *WRITABLE_VIDEO_SUFFIXES):
            known = ", ".join((*WRITABLE_PICTURE_SUFFIXES, *WRITABLE_VIDEO_SUFFIXES))
            raise UsageError(f"{target}: drawings cannot be {suffix} files", f"Use one of {known}, or a folder.")
        elif len(sources) != 1:
            remedy = f"Name a folder, such as {self._path.stem}/"
            raise UsageError(f"{target}: {len(sources)} drawings do not go into one file", remedy)
        else:
            refuse_overwriting(target, needed)
        for source, moves in sources:
            if moves is not None:
                self.path_for(source, moves)

    def path_for(self, source: str, moves: bool) -> Path:
        """The file of this source's drawing, the same at every call.

        Raises:
            UsageError: when the one file named is a picture and the source moves, or the other way round.
        """
        if not self._is_file:
            jpeg = PurePath(source).suffix.lower() in _JPEG_SUFFIXES
            suffix = ".mp4" if moves else ".jpg" if jpeg else ".png"
            return self._path / self._names.of(f"{source}{suffix}", source_stem(source), suffix)
        if moves != (self._path.suffix.lower() in WRITABLE_VIDEO_SUFFIXES):
            kind, wanted = ("video", WRITABLE_VIDEO_SUFFIXES) if moves else ("picture", WRITABLE_PICTURE_SUFFIXES)
            raise UsageError(f"{self._path}: {source} is a {kind}", f"Name a folder, or a file in {', '.join(wanted)}.")
        return self._path
