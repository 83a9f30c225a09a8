"""What ``ltsh infer`` keeps about one video, camera or stream while it is looked at."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from ltsh_deploy.draw_targets import DrawTarget
from ltsh_deploy.errors import LtshError
from ltsh_deploy.frames import Frame, Source
from ltsh_deploy.images import Image
from ltsh_deploy.inference import OnError
from ltsh_deploy.poses import Poses
from ltsh_deploy.streams import LatencyMeter, LiveSource
from ltsh_deploy.tracking import Tracker, TrackerConfig
from ltsh_deploy.video_sink import VideoSink
from ltsh_deploy.videos import VideoFile

__all__ = ["Clip"]

# Frames a second of a stream that does not say how many it has.
_USUAL_RATE = 25.0
# Frames over which the figures in the window's corner are taken: enough to be read, few enough to be the present.
_RECENT = 15


class Clip:
    """One source that moves: its people's ids, its drawn video, its counts.

    Args:
        source: of which a frame was read, so that its rate is known.
        tracking: how people are followed; None leaves them without ids.
    """

    def __init__(self, source: Source, tracking: TrackerConfig | None) -> None:
        self.source = source
        self.rate = source.rate or _USUAL_RATE
        self.tracker = None if tracking is None else Tracker(tracking)
        self.video: VideoSink | None = None
        self.latency = LatencyMeter()
        self.display_latency = LatencyMeter()
        self._shown_at: deque[float] = deque(maxlen=_RECENT)
        self.frames = self.people = 0
        self.begin = time.perf_counter()

    @contextmanager
    def drawing(self, target: DrawTarget, fail: OnError) -> Iterator[None]:
        """While this context is entered, frames are drawn into a video, with the sound of a source that is a file.

        What goes wrong with the video itself is told to ``fail``, and the poses go on without it. What ends the run
        elsewhere (poses that cannot be written, a reader of stdout who is gone) leaves a video of the frames so far.
        """
        path = target.path_for(self.source.name, moves=True)
        sound = self.source.path if isinstance(self.source, VideoFile) else None
        try:
            self.video = VideoSink(path, self.rate, sound, self.source.pixel_aspect)
        except LtshError as error:
            fail(self.source.name, error)
        try:
            yield
        except BaseException as error:
            elsewhere = isinstance(error, LtshError | BrokenPipeError)
            self._end_video(KeyboardInterrupt() if elsewhere else error)
            raise
        try:
            self._end_video(None)
        except LtshError as error:
            fail(self.source.name, error)

    def _end_video(self, error: BaseException | None) -> None:
        video, self.video = self.video, None
        if video is not None:
            video.__exit__(None if error is None else type(error), error, None)

    def take(self, frame: Frame, poses: Poses) -> Poses:
        """Count a frame and give its people their ids, where they are tracked."""
        if self.tracker is not None:
            time_s = frame.index / self.rate if frame.time_s is None else frame.time_s
            poses = self.tracker.update(poses, time_s)
        self.latency.add(frame.captured_at)
        self.frames += 1
        self.people += len(poses)
        return poses

    def draw(self, frame: Frame, drawn: Image) -> None:
        """Add a drawn frame to the video; a video that fails is given up, and no more frames go into it."""
        if self.video is None:
            return
        try:
            self.video.write(drawn, frame.time_s)
        except LtshError as error:
            self._end_video(error)
            raise

    def shown(self, frame: Frame) -> None:
        """Note that a frame is in the window now."""
        self._shown_at.append(time.perf_counter())
        self.display_latency.add(frame.captured_at, self._shown_at[-1])

    def figures(self) -> str:
        """How late and how many frames were shown lately, for the window's corner; "" before the second one.

        A file or pipe has no capture that its frames could lag behind.
        """
        if len(self._shown_at) < 2:
            return ""
        rate = (len(self._shown_at) - 1) / max(self._shown_at[-1] - self._shown_at[0], 1e-9)
        late = self.display_latency.recent(_RECENT) if isinstance(self.source, LiveSource) else None
        return f"{rate:.1f} frames/s" if late is None else f"{late:.0f} ms to display, {rate:.1f} frames/s"

    def summary(self) -> str:
        """One line: frames, people, frames a second."""
        seconds = time.perf_counter() - self.begin
        mean = self.people / max(self.frames, 1)
        return (
            f"{self.source.name}: {self.frames} frames, {mean:.1f} people a frame, "
            f"{self.frames / max(seconds, 1e-9):.1f} frames/s"
        )

    def live_report(self) -> list[str]:
        """How far results lag behind a camera or stream, and what was passed over."""
        if not isinstance(self.source, LiveSource):
            return []
        source, lines = self.source, []
        for end, meter in (("result", self.latency), ("display", self.display_latency)):
            if meter.count:
                times = ", ".join(f"{name} {value:.0f} ms" for name, value in meter.percentiles().items())
                lines.append(f"{source.name}: capture to {end} {times}")
        lines.append(f"{source.name}: {source.dropped} frames passed over, {source.reconnects} reconnects")
        return lines
