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
from ltsh_deploy.cli.infer_window import Window
from ltsh_deploy.decode_config import DecodeConfig
from ltsh_deploy.draw_targets import DrawTarget
from ltsh_deploy.drawing import draw_poses
from ltsh_deploy.errors import ExitCode, LtshError, UsageError
from ltsh_deploy.estimator import PoseEstimator
from ltsh_deploy.frames import Frame, Source
from ltsh_deploy.images import Image
from ltsh_deploy.inference import infer_batch, infer_frames, read_frames
from ltsh_deploy.outputs import PoseWriter, write_image
from ltsh_deploy.pose_formats import FramePoses
from ltsh_deploy.poses import Poses
from ltsh_deploy.skeletons import COCO17, conversion_matrix, load_skeleton
from ltsh_deploy.sources import open_sources, tell_apart
from ltsh_deploy.tracking import TrackerConfig
from ltsh_deploy.turns import Turns
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
        max_frames: int | None,
    ) -> None:
        self.failures: dict[str, _Failure] = {}
        self.sources: list[Source] = []
        self.endless = False
        self.max_frames = max_frames
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
        live = self.endless
        self.writer = None if json_target is None else PoseWriter(json_target, form, live=live, protected=needed)
        self.skeleton = load_skeleton(skeleton) if skeleton else None
        # The window before the network: it fails sooner.
        self.window = Window() if show else None
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
        tell_apart(self.sources)
        # What comes on stdin may have no end either.
        self.endless = any(source.kind in ("live", None) for source in self.sources)
        for name, failure in self.failures.items():
            self._warn(name, failure.error)

    def _fail(self, name: str, error: LtshError) -> None:
        """Note what is wrong with a source; of a video that fails frame after frame, the first time and the number."""
        if name in self.failures:
            self.failures[name].count += 1
            return
        self.failures[name] = _Failure(error)
        self._warn(name, error)

    def _warn(self, name: str, error: LtshError) -> None:
        """Say at once what is wrong, where there may be no end at which it would be reported."""
        if self.endless:
            _log.warning("%s", _naming(name, error))

    def run(self) -> int:
        """Do it, report every source that could not be used, and return the exit code they deserve."""
        try:
            with ExitStack() as stack:
                stack.enter_context(self.estimator)
                if self.window is not None:
                    stack.enter_context(self.window)
                if self.writer is not None:
                    stack.enter_context(self.writer)
                if self.endless and len(self.sources) > 1:
                    self._run_at_once()
                else:
                    self._run_one_by_one()
                if self.writer is not None:
                    self.writer.may_be_empty = not self.failures
        finally:
            for name, failure in self.failures.items():
                message = _naming(name, failure.error)
                again = f" ({failure.count} times)" if failure.count > 1 else ""
                console.print_error(message + again, failure.error.remedy)
        codes = {failure.error.exit_code for failure in self.failures.values()}
        return codes.pop() if len(codes) == 1 else ExitCode.BAD_INPUT if codes else ExitCode.OK

    def _run_one_by_one(self) -> None:
        """Take one source after the other; pictures are looked at together, whatever files they are."""
        by_kind = groupby(enumerate(self.sources), lambda s: -1 if s[1].kind == "image" else s[0])
        for number, group in by_kind:
            if not self._run_group([source for _, source in group], pictures=number < 0):
                break

    def _run_at_once(self) -> None:
        """Take all sources in turns: one that has no end would keep all others waiting."""
        clips: dict[Source, Clip] = {}
        ends: dict[Source, ExitStack] = {}
        with ExitStack() as stack:
            turns = stack.enter_context(Turns(self.sources, self.max_frames))
            if self.window is not None:
                self.window.divide(turns.at_once)
            advance = stack.enter_context(console.progress(f"{len(self.sources)} sources"))
            while together := turns.take(self.batch):
                owners: dict[Frame, Source] = {}
                for source, frame, error in together:
                    if frame is not None:
                        owners[frame] = source
                        if frame.kind != "image" and source not in clips:
                            ends[source] = stack.enter_context(ExitStack())
                            clips[source] = self._begin(source, ends[source])
                        continue
                    if error is not None:
                        self._fail(source.name, error)
                    if self.window is not None:
                        self.window.leave(source)
                    if clips.pop(source, None) is not None:
                        ends.pop(source).close()
                for frame, poses in infer_batch(self.estimator, list(owners), self._fail):
                    if not self._finish(frame, poses, clips.get(owners[frame])):
                        return
                    advance(1)

    def _begin(self, source: Source, stack: ExitStack) -> Clip:
        """What is kept about a source that moves; the stack's end is its end."""
        clip = Clip(source, self.tracking)
        stack.callback(self._sum_up, clip)
        if self.target is not None:
            stack.enter_context(clip.drawing(self.target, self._fail))
        return clip

    def _run_group(self, sources: list[Source], pictures: bool) -> bool:
        """Take pictures, or one video or stream, from reading to results; False when the user has seen enough."""
        frames = read_frames(sources, self._fail, self.max_frames)
        # Only the first frame tells how many a video has, how fast they come, and what it is that came on stdin.
        first = next(frames, None)
        if first is None:
            return True
        # Of a camera or a pipe, each frame's result is wanted before the next frame is there.
        batch = self.batch if pictures or isinstance(sources[0], VideoFile) else 1
        with ExitStack() as stack:
            clip = None if first.kind == "image" else self._begin(sources[0], stack)
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
        if self.target is None and self.window is None:
            return True
        drawn = draw_poses(frame.image, poses)
        if clip is None:
            # A picture stays in the window until a key is pressed, so its file comes first.
            self._keep(frame, drawn, None)
        going_on = self.window is None or self.window.show(frame, drawn, clip)
        if clip is not None:
            self._keep(frame, drawn, clip)
        return going_on

    def _keep(self, frame: Frame, drawn: Image, clip: Clip | None) -> None:
        """Put a drawn frame into the picture or video that it belongs to, where drawings are wanted."""
        try:
            if clip is not None:
                clip.draw(frame, drawn)
            elif self.target is not None:
                write_image(self.target.path_for(frame.source, moves=False), drawn)
        except LtshError as error:
            # A drawing that cannot be made is no reason to lose the poses, or the other sources.
            self._fail(frame.source, error)

    def _sum_up(self, clip: Clip) -> None:
        self._say(clip.summary())
        for line in clip.live_report():
            _log.info(line)

    def _say(self, line: str) -> None:
        """A result for people: on stdout, unless results for programs go there."""
        # A file's name must not begin a line that looks like another result.
        line = console.printable(line, kept="")
        if self.to_stdout:
            _log.info(line)
        elif not console.is_quiet():
            click.echo(line)


@dataclass
class _Failure:
    """What is wrong with a source, and how often."""

    error: LtshError
    count: int = 1


def _naming(name: str, error: LtshError) -> str:
    """What is wrong, with the name of what it is wrong with."""
    return error.message if name in error.message else f"{name}: {error.message}"


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"
