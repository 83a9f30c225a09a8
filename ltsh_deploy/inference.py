"""From frames to poses, in batches, so that one bad frame or file costs only itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from ltsh_deploy.errors import LtshError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.frames import Frame, Source
from ltsh_deploy.poses import Poses

__all__ = ["OnError", "infer_batch", "infer_frames", "read_frames"]

OnError = Callable[[str, LtshError], None]


def read_frames(sources: Iterable[Source], on_error: OnError, max_frames: int | None = None) -> Iterator[Frame]:
    """The frames of one source after the other; a source that cannot be read is reported and the next one follows.

    Args:
        sources: each is closed when its frames have been read.
        on_error: is told the source's name and what is wrong with it.
        max_frames: at most so many frames of each source; None for all.
    """
    for source in sources:
        with source:
            try:
                yield from islice(source, max_frames)
            except LtshError as error:
                on_error(source.name, error)


def infer_frames(
    estimator: PoseEstimator, frames: Iterable[Frame], batch: int, on_error: OnError
) -> Iterator[tuple[Frame, Poses]]:
    """Each frame with its poses, in order.

    Args:
        estimator: finds the people.
        frames: read as they are needed, ``batch`` at a time.
        batch: frames that go through the network together; 1 for a camera, whose frames must not wait.
        on_error: is told the source's name and the error where a frame cannot be used; such a frame is left out.
    """
    waiting = iter(frames)
    while together := list(islice(waiting, batch)):
        yield from infer_batch(estimator, together, on_error)


def infer_batch(estimator: PoseEstimator, frames: Sequence[Frame], on_error: OnError) -> Iterator[tuple[Frame, Poses]]:
    """Each of these frames with its poses, in order; those of one padded size go through the network together.

    Args:
        estimator: finds the people.
        frames: of one source or of several.
        on_error: is told the source's name and the error where a frame cannot be used; such a frame is left out.
    """
    try:
        passes = estimator.run(estimator.prepare([frame.image for frame in frames]))
    except LtshError as error:
        if len(frames) > 1:
            # One of them is the cause, or all are too much at once; alone, each shows what it is.
            for frame in frames:
                yield from infer_batch(estimator, [frame], on_error)
        else:
            on_error(frames[0].source, error)
        return
    for index, frame in enumerate(frames):
        try:
            poses = estimator.decode(passes[index])
        except LtshError as error:
            on_error(frame.source, error)
        else:
            yield frame, poses
