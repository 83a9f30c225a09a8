"""The work of ``ltsh infer``, once its options are known."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, groupby

import click

from ltsh_deploy.cli import console
from ltsh_deploy.cli.infer_clip import Clip
from ltsh_deploy.decode_config import DecodeConfig
from ltsh_deploy.display import Display
from ltsh_deploy.drawing import draw_poses
from ltsh_deploy.errors import ExitCode, LtshError, UsageError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.frames import Frame, Source
from ltsh_deploy.inference import infer_frames, read_frames
from ltsh_deploy.outputs import DrawTarget, PoseWriter, write_image
from ltsh_deploy.pose_formats import FramePoses
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO17, conversion_matrix, load_skeleton
from ltsh_deploy.sources import open_sources
from ltsh_deploy.tracking import TrackerConfig
from ltsh_deploy.videos import VideoFile

__all__ = ["InferJob"]

_log = logging.getLogger("ltsh_deploy.infer")


class InferJob:
    """One run over all sources. The arguments are the options of ``ltsh infer``; its --help describes them.

    Raises:
        LtshError: before any source is read, for everything that would stop the whole run.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        model: str,
        device: str,
        threads: int | None,
        batch: int | None,
        size: tuple[int, int] | None,
        scales: tuple[float, ...],
        flip: bool,
        threshold: float,
        skeleton: str | None,
        draw: str | None,
        json_target: str | None,
        form: str,
        show: bool,
        track: bool,
        smooth: bool,
    ) -> None:
        self.failures: dict[str, _Failure] = {}
        self.sources: list[Source] = []
        self._open(names)
        self.tracking = TrackerConfig(smooth=smooth) if track or smooth else None
        if self.tracking and self.sources and all(source.kind == "image" for source in self.sources):
            raise UsageError("--track and --smooth follow people from frame to frame, and there are only pictures")
        if form != "jsonl" and json_target is None:
            raise UsageError(f"--format {form} is the format of --json, which was not given")
        needed = [model, *([skeleton] if skeleton else []), *(source.name for source in self.sources)]
        moving = [(source.name, None if source.kind is None else source.kind != "image") for source in self.sources]
        self.target = None if draw is None else DrawTarget(draw, moving, needed)
        self.to_stdout = json_target == "-"
        live = any(source.kind == "live" for source in self.sources)
        self.writer = None if json_target is None else PoseWriter(json_target, form, live=live, protected=needed)
        self.skeleton = load_skeleton(skeleton) if skeleton else None
        # The window before the network: it fails sooner.
        self.display = Display("ltsh") if show else None
        self.estimator = PoseEstimator.open(
            model,
            device=device,
            threads=threads,
            decode=DecodeConfig(peak_threshold=threshold),
            size=size,
            scales=scales,
            mirror=flip,
        )
        self.batch = batch or (1 if self.estimator.runtime.device == "cpu" else 8)
        self.estimator.batch = self.batch
        # Converted joints that do not exist should stop the run now, not at its first frame.
        given = self.skeleton or self.estimator.skeleton
        conversion_matrix(self.estimator.skeleton, given)
        if form == "coco":
            conversion_matrix(given, COCO17)
        self.crowded: set[str] = set()

    def _open(self, names: Sequence[str]) -> None:
        """The sources of all names; one that does not exist is a failure like one that cannot be read."""
        if names.count("-") > 1:
            raise UsageError("standard input (-) can be read only once")
        for name in names:
            try:
                self.sources += open_sources([name])
            except UsageError:
                raise
            except LtshError as error:
                self._fail(name, error)
        live = [source.name for source in self.sources if source.kind == "live"]
        if live and len(self.sources) > 1:
            raise UsageError(f"{live[0]} has no end, so nothing else would be read", "Name a camera or stream alone.")

    def _fail(self, name: str, error: LtshError) -> None:
        """Note what is wrong with a source; of a video that fails frame after frame, the first time and the number."""
        if name in self.failures:
            self.failures[name].count += 1
            return
        self.failures[name] = _Failure(error)
        if any(source.name == name and source.kind == "live" for source in self.sources):
            # There is no end at which it would be reported.
            _log.warning("%s: %s", name, error.message)

    def run(self) -> int:
        """Do it, report every source that could not be used, and return the exit code they deserve."""
        try:
            with ExitStack() as stack:
                stack.enter_context(self.estimator)
                if self.display is not None:
                    stack.enter_context(self.display)
                if self.writer is not None:
                    stack.enter_context(self.writer)
                # Pictures are looked at together, whatever files they are; everything that moves by itself.
                by_kind = groupby(enumerate(self.sources), lambda s: -1 if s[1].kind == "image" else s[0])
                for number, group in by_kind:
                    if not self._run_group([source for _, source in group], pictures=number < 0):
                        break
        finally:
            for name, failure in self.failures.items():
                message = failure.error.message
                message = message if name in message else f"{name}: {message}"
                again = f" ({failure.count} times)" if failure.count > 1 else ""
                console.print_error(message + again, failure.error.remedy)
        codes = {failure.error.exit_code for failure in self.failures.values()}
        return codes.pop() if len(codes) == 1 else ExitCode.BAD_INPUT if codes else ExitCode.OK

    def _run_group(self, sources: list[Source], pictures: bool) -> bool:
        """Take pictures, or one video or stream, from reading to results; False when the user has seen enough."""
        frames = read_frames(sources, self._fail)
        # Only the first frame tells how many a video has, how fast they come, and what it is that came on stdin.
        first = next(frames, None)
        if first is None:
            return True
        # Of a camera or a pipe, each frame's result is wanted before the next frame is there.
        batch = self.batch if pictures or isinstance(sources[0], VideoFile) else 1
        with ExitStack() as stack:
            clip = None
            if first.kind != "image":
                clip = Clip(sources[0], self.tracking)
                stack.callback(self._sum_up, clip)
                if self.target is not None:
                    stack.enter_context(clip.drawing(self.target, self._fail))
            title, total = ("pictures", len(sources)) if pictures else (sources[0].name, sources[0].frames)
            advance = stack.enter_context(console.progress(title, total))
            for frame, poses in infer_frames(self.estimator, chain([first], frames), batch, self._fail):
                if not self._finish(frame, poses, clip):
                    return False
                advance(1)
        return True

    def _finish(self, frame: Frame, poses: Poses, clip: Clip | None) -> bool:
        """Write, draw and show one frame's poses; False when the user has seen enough."""
        if poses.dropped_peaks and frame.source not in self.crowded:
            # A crowd, or a network that sees joints everywhere: the user should know that not all of it was used.
            self.crowded.add(frame.source)
            limit = self.estimator.decode_config.max_peaks
            _log.warning("%s: a joint has more than %d peaks; the weakest are left out", frame.source, limit)
        if self.skeleton is not None:
            poses = poses.to_skeleton(self.skeleton)
        if clip is not None:
            poses = clip.take(frame, poses)
        if self.writer is not None:
            height, width = frame.image.shape[:2]
            number, time_s = (None, None) if clip is None else (frame.index, frame.time_s)
            self.writer.write(FramePoses(poses, frame.source, width, height, number, time_s))
        if clip is None:
            self._say(f"{frame.source}: {_people(len(poses))}")
        if self.target is None and self.display is None:
            return True
        drawn = draw_poses(frame.image, poses)
        try:
            if clip is not None:
                clip.draw(frame, drawn)
            elif self.target is not None:
                write_image(self.target.path_for(frame.source, moves=False), drawn)
        except LtshError as error:
            # A drawing that cannot be made is no reason to lose the poses, or the other sources.
            self._fail(frame.source, error)
        return self.display is None or self.display.show(drawn, wait=clip is None)

    def _sum_up(self, clip: Clip) -> None:
        self._say(clip.summary())
        for line in clip.live_report():
            _log.info(line)

    def _say(self, line: str) -> None:
        """A result for people: on stdout, unless results for programs go there."""
        if self.to_stdout:
            _log.info(line)
        elif not console.is_quiet():
            click.echo(console.printable(line))


@dataclass
class _Failure:
    """What is wrong with a source, and how often."""

    error: LtshError
    count: int = 1


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"
