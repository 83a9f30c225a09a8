"""From frames to poses, in batches, so that one bad frame or file costs only itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from ltsh_deploy.errors import LtshError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.frames import Frame, Source
from ltsh_deploy.poses import Poses

__all__ = ["OnError", "infer_frames", "read_frames"]

OnError = Callable[[str, LtshError], None]


def read_frames(sources: Iterable[Source], on_error: OnError) -> Iterator[Frame]:
    """The frames of one source after the other; a source that cannot be read is reported and the next one follows.

    Args:
        sources: each is closed when its frames have been read.
        on_error: is told the source's name and what is wrong with it.
    """
    for source in sources:
        with source:
            try:
                yield from source
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
        try:
            passes = estimator.run(estimator.prepare([frame.image for frame in together]))
        except LtshError as error:
            if len(together) > 1:
                # One of them is the cause, or all are too much at once; alone, each shows what it is.
                yield from infer_frames(estimator, together, 1, on_error)
            else:
                on_error(together[0].source, error)
            continue
        for i, frame in enumerate(together):
            try:
                poses = estimator.decode(passes[i])
            except LtshError as error:
                on_error(frame.source, error)
            else:
                yield frame, poses
