"""The training loop: windows of steps, each under one choice of the teacher; checkpoints and measurements between."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import distributed

from ltsh_deploy.checkpoints import Provenance
from ltsh_deploy.errors import ConfigError, TrainingError
from ltsh_deploy.images import Image
from ltsh_deploy.network_base import PoseNetwork
from ltsh_deploy.train.bad_batch import save_bad_batch
from ltsh_deploy.train.batches import Batch, CropMaker, Loader
from ltsh_deploy.train.data import Pools
from ltsh_deploy.train.folder import BAD_BATCH, STATE
from ltsh_deploy.train.groups import Groups
from ltsh_deploy.train.interruption import Interrupted, Interruption
from ltsh_deploy.train.keeping import Keeper
from ltsh_deploy.train.meter import Meter
from ltsh_deploy.train.optimisation import learning_rate
from ltsh_deploy.train.processes import first_alone, gathered, num_processes, rank, together
from ltsh_deploy.train.sampling import Sampler
from ltsh_deploy.train.sessions import Session, changes_since, data_facts, read_sessions
from ltsh_deploy.train.state import check_goes_on, save_state
from ltsh_deploy.train.student import Student
from ltsh_deploy.train.teacher import Choice, Teacher
from ltsh_deploy.train.windows import WindowRecorder

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig

__all__ = ["Record", "Run"]


@dataclass(frozen=True)
class Record:
    """Something worth writing down.

    Attributes:
        kind: ``train``, ``window``, ``validation`` or, after the last step, ``final``.
        step: steps done.
        values: by name.
        pictures: by name.
    """

    kind: str
    step: int
    values: Mapping[str, Any]
    pictures: Mapping[str, Image] = field(default_factory=dict)


def _say_nothing(record: Record) -> None:
    pass


class Run:
    """A training run in a folder.

    Args:
        config: of the run.
        out: the folder, which exists; only the first process writes to it.
        network: with the weights to begin with.
        pools: whom to train on and measure with.
        groups: of the synthetic people.
        teacher: None where the synthetic people come in turn.
        device: to train on.
        session: the code, the packages and the device of a run that begins.
        origin: where the weights came from, None for random ones.

    Attributes:
        config: of the run.
        folder: of the run.
        pools: whom it trains on and measures with.
        groups: of the synthetic people.
        device: it trains on.
        step: steps done.
        sessions: what it was made with, the first one first.
        skipped: reason to the number of people skipped up to the last checkpoint, in all sessions and processes.
    """

    def __init__(
        self,
        config: RunConfig,
        out: Path,
        network: PoseNetwork,
        pools: Pools,
        groups: Groups,
        teacher: Teacher | None,
        device: torch.device,
        session: Session,
        origin: Provenance | None = None,
    ) -> None:
        self._rank, self._processes = rank(), num_processes()
        if config.batch % self._processes:
            raise ConfigError(f"batch: {config.batch} is no multiple of the {self._processes} processes", key="batch")
        self.config, self.folder, self.pools, self.groups, self.device = config, out, pools, groups, device
        self._report: Callable[[Record], None] = _say_nothing
        self._student, self._teacher = Student(network, config, device), teacher
        self._recorder = WindowRecorder(getattr(config.teacher, "inputs", 0), device)
        sampler = Sampler(pools.training, pools.parts, config.batch, config.seed, groups.members)
        self._maker = CropMaker(sampler, config, network.stride)
        self._interruption, self._meter = Interruption(), Meter()
        self._keeper = Keeper(config, out, pools, device, origin)
        self._data = data_facts(pools, groups)
        self._skipped: Counter[str] = Counter()
        self._skipped_before: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.sessions, self.step = [session], 0

    @property
    def best(self) -> float | None:
        """The best PCK so far, None before the first measurement."""
        return self._keeper.best

    @property
    def origin(self) -> Provenance | None:
        """Where the weights came from that it began with, None for random ones."""
        return self._keeper.origin

    @property
    def network(self) -> PoseNetwork:
        """The one that learns."""
        return self._student.network

    def train(self, report: Callable[[Record], None] = _say_nothing) -> None:
        """Train to the last step. An interruption is heeded after the current step, with a checkpoint.

        Where no step is left, the files that a run ends with are written, as far as they are missing.

        Args:
            report: is told every record, in the first process alone.

        Raises:
            TrainingError: when the loss or the gradient is no longer a number; the batch is saved.
            InputError: when the data cannot be used.
            OutputError: when a file cannot be written; the checkpoint before is untouched.
            Interrupted: which is a KeyboardInterrupt, after the checkpoint.
        """
        self._report = report
        slots = range(self._rank, self.config.batch, self._processes)
        loader = Loader(self._maker, slots, self.config.workers, self.config.prefetch)
        with self._interruption.heeded(), loader:
            self._meter.start()
            if self.step == self.config.steps:
                first_alone(lambda: self._measure() if self._keeper.lacks_best else None)
                self.save()
            while self.step < self.config.steps:
                self._window(loader)
            interrupted = max(gathered(self._interruption.signal))
        if interrupted:
            raise Interrupted(interrupted)

    def _window(self, loader: Loader) -> None:
        """The steps up to the end of the window, or to the run's last one: a longer run then goes on within it."""
        config = self.config
        choice = self._teacher.propose() if self._teacher is not None else None
        length = config.teacher.window if config.teacher is not None else config.steps
        end = (self.step // length + 1) * length
        last = min(end, config.steps)
        batches = loader.batches(self.step, last, choice)
        while self.step < last:
            waiting = time.perf_counter()
            batch = together(lambda: next(batches))
            self._meter.waited += time.perf_counter() - waiting
            self._skipped.update(batch.skipped)
            losses, norm, interrupted = self._train_step(batch)
            self._meter.add(losses, norm, config.batch)
            if self.step % config.log_every == 0 or self.step == config.steps:
                rate = learning_rate(config.optimiser.lr, config.schedule, self.step - 1, config.steps)
                self._tell(Record("train", self.step, {**self._meter.take(), "lr": rate}))
            if choice is not None and self.step == end:
                self._end_window(choice)
            self._keep_records(interrupted)

    def _tell(self, record: Record) -> None:
        first_alone(lambda: self._report(record))

    def _train_step(self, batch: Batch) -> tuple[torch.Tensor, float, int]:
        """Stages' mean losses [S], the gradient's norm, and the signal that asks the run to stop, or 0."""
        losses, images = self._student.forward(batch)
        finite = math.isfinite(float(losses.total.detach()))
        all_finite, interrupted = self._agree(finite, self._interruption.signal)
        if not all_finite:
            self._give_up(batch, "the loss", guilty=not finite)
        norm = self._student.learn(losses, self.step)
        if not math.isfinite(norm) and not self._student.may_overflow:
            # The processes' gradients have been added up, so nobody knows whose it was.
            self._give_up(batch, "the gradient", guilty=True)
        if self._teacher is not None:
            self._recorder.add(images, losses.signal, batch.is_synthetic)
        self.step += 1
        return losses.stages.mean(dim=1), norm, interrupted

    def _agree(self, finite: bool, interrupted: int) -> tuple[bool, int]:
        """What holds for all processes: whether every loss is finite, and the signal that any was interrupted by."""
        if self._processes == 1:
            return finite, interrupted
        flags = torch.tensor([not finite, interrupted], dtype=torch.int32, device=self.device)
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return not bool(flags[0]), int(flags[1])

    def _give_up(self, batch: Batch, what: str, *, guilty: bool) -> NoReturn:
        """Stop the run; the processes whose batch may be the cause save it first."""
        path = self.folder / (BAD_BATCH if self._rank == 0 else f"bad_batch_{self._rank}.pt")
        kept = save_bad_batch(path, self.step, batch, self.network) if guilty else ", in another process"
        again = "--resume goes on from the last checkpoint" if (self.folder / STATE).exists() else "begin again"
        raise TrainingError(
            f"step {self.step}: {what} is no longer a number{kept}",
            f"Lower optimiser.lr, set optimiser.clip, or use precision bf16 or float32; then {again}.",
        )

    def _end_window(self, choice: Choice) -> None:
        assert self._teacher is not None
        outcome = self._recorder.outcome(choice)
        observed = self._teacher.observe(outcome)
        signals = {"synthetic_signal": outcome.synthetic_signal, "real_signal": outcome.real_signal}
        self._tell(Record("window", self.step, {**choice.record(), **signals, **observed}))

    def _keep_records(self, interrupted: int) -> None:
        """Measure and save where it is time to."""
        config, last = self.config, self.step == self.config.steps
        if self.step % config.validation.every == 0 or last:
            first_alone(self._measure)
        if self.step % config.checkpoint_every == 0 or last or interrupted:
            self.save()
        if interrupted:
            raise Interrupted(interrupted)

    def _measure(self) -> None:
        """In the first process alone."""
        measured = self._keeper.measure(self._student.kept, self.step)
        if measured is not None:
            self._report(Record("validation", self.step, measured.values, measured.pictures))

    def save(self) -> None:
        """Write ``last.safetensors`` and ``state.pt``. All processes must call this together.

        Raises:
            OutputError: when one cannot be written.
        """
        window = self._recorder.state_dict()
        self.skipped = sum(map(Counter, gathered(dict(self._skipped))), self._skipped_before)
        first_alone(lambda: self._write(window))

    def _write(self, window: Mapping[str, Any]) -> None:
        self._keeper.save_last(self._student.kept, self.step)
        state = {
            "step": self.step,
            "config": self.config.model_dump(mode="json"),
            "data": self._data,
            "sessions": [session.to_dict() for session in self.sessions],
            "skipped": dict(self.skipped),
            "skeleton": self.network.skeleton.to_dict(),
            "teacher": self._teacher.state_dict() if self._teacher is not None else None,
            "window": window,
            "meter": self._meter.state_dict(),
            **self._keeper.state_dict(),
            **self._student.state_dict(),
        }
        save_state(self.folder / STATE, state)

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on where the state was taken. All processes must call this together.

        Args:
            state: from :func:`~ltsh_deploy.train.state.load_state`.

        Raises:
            InputError: when it is of another network, skeleton or teacher, or of a run with one more or less.
            ConfigError: when it has more steps behind it than the run shall have.
        """
        together(lambda: self._take_up(state))
        if self._teacher is not None:
            self._teacher.load_state_dict(state["teacher"])
            self._recorder.load_state_dict(state["window"])

    def _take_up(self, state: Mapping[str, Any]) -> None:
        """What each process takes up by itself."""
        where, steps = str(self.folder / STATE), self.config.steps
        check_goes_on(state, where, steps, self.network.skeleton, has_teacher=self._teacher is not None)
        self.step = state["step"]
        self._student.load_state_dict(state)
        changes = changes_since(state, self.config, self._data, where)
        sessions = read_sessions(state, where)
        now = replace(self.sessions[0], step=self.step, changes=changes)
        # Where no step is left, nothing is made by other code.
        if now.differs(sessions[-1]) and (changes or self.step < steps):
            sessions.append(now)
        self.sessions = sessions
        self._skipped_before = self.skipped = Counter(state.get("skipped") or {})
        self._keeper.load_state_dict(state, changes)
        self._meter.load_state_dict(state.get("meter") or {})
