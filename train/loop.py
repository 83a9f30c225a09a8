"""The training loop: windows of steps, each under one choice of the teacher; checkpoints and measurements between."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import distributed

from ltsh_deploy.checkpoints import Provenance, save_checkpoint
from ltsh_deploy.errors import InputError, OutputError, TrainingError, UsageError
from ltsh_deploy.images import Image
from ltsh_deploy.network_base import ImageNetwork, PoseNetwork
from ltsh_deploy.train.batches import Batch, CropMaker, Loader
from ltsh_deploy.train.data import Groups, Pools
from ltsh_deploy.train.interruption import Interruption
from ltsh_deploy.train.meter import Meter
from ltsh_deploy.train.optimisation import learning_rate
from ltsh_deploy.train.processes import num_processes, rank
from ltsh_deploy.train.sampling import Sampler
from ltsh_deploy.train.state import load_state, save_state
from ltsh_deploy.train.student import Student
from ltsh_deploy.train.teacher import Choice, Teacher
from ltsh_deploy.train.validation import validate
from ltsh_deploy.train.windows import WindowRecorder

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig

__all__ = ["BEST", "LAST", "STATE", "Record", "Run"]

_log = logging.getLogger(__name__)

LAST, BEST, STATE, BAD_BATCH = "last.safetensors", "best.safetensors", "state.pt", "bad_batch.pt"


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

    Attributes:
        config: of the run.
        folder: of the run.
        pools: whom it trains on and measures with.
        groups: of the synthetic people.
        device: it trains on.
        step: steps done.
        best: the best PCK so far, None before the first measurement.
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
    ) -> None:
        self._rank, self._processes = rank(), num_processes()
        if config.batch % self._processes:
            raise UsageError(f"batch: {config.batch} crops cannot be shared by {self._processes} processes alike")
        self.config, self.folder, self.pools, self.groups, self.device = config, out, pools, groups, device
        self._report: Callable[[Record], None] = _say_nothing
        self._student = Student(network, config, device)
        self._teacher = teacher
        self._recorder = WindowRecorder(getattr(config.teacher, "inputs", 0), device)
        sampler = Sampler(pools.training, pools.parts, config.batch, config.seed, groups.members)
        self.maker = CropMaker(sampler, config, network.stride)
        self._interruption, self._meter = Interruption(), Meter()
        self._save_due = False
        self.step = 0
        self.best: float | None = None

    def train(self, report: Callable[[Record], None] = _say_nothing) -> None:
        """Train to the last step. An interruption is heeded after the current step, with a checkpoint.

        Args:
            report: is told every record, in the first process alone.

        Raises:
            TrainingError: when the loss or the gradient is no longer a number; the batch is saved.
            InputError: when the data cannot be used.
            OutputError: when a file cannot be written; the checkpoint before is untouched.
            KeyboardInterrupt: after the checkpoint.
        """
        self._report = report if self._rank == 0 else _say_nothing
        slots = range(self._rank, self.config.batch, self._processes)
        loader = Loader(self.maker, slots, self.config.workers, self.config.prefetch)
        with self._interruption.heeded(), loader:
            self._meter.begin(self.step)
            while self.step < self.config.steps:
                self._window(loader)

    def _window(self, loader: Loader) -> None:
        config = self.config
        choice = self._teacher.propose() if self._teacher is not None else None
        length = config.teacher.window if config.teacher is not None else config.steps
        end = min(config.steps, (self.step // length + 1) * length)
        waiting = time.perf_counter()
        for batch in loader.batches(self.step, end, choice):
            self._meter.waited += time.perf_counter() - waiting
            losses, norm, interrupted = self._train_step(batch)
            self._meter.add(losses, norm, config.batch)
            if self.step % config.log_every == 0 or self.step == config.steps:
                rate = learning_rate(config.optimiser.lr, config.schedule, self.step - 1, config.steps)
                self._report(Record("train", self.step, {**self._meter.take(self.step), "lr": rate}))
            if choice is not None and self.step == end:
                self._end_window(choice)
            # Within a window, every process has a part of what the teacher is to see.
            self._keep_records(interrupted, self._teacher is None or self._processes == 1 or self.step == end)
            waiting = time.perf_counter()

    def _train_step(self, batch: Batch) -> tuple[torch.Tensor, float, bool]:
        """Stages' mean losses [S], the gradient's norm, and whether somebody wants the run to stop."""
        losses, images = self._student.forward(batch)
        finite = math.isfinite(float(losses.total.detach()))
        all_finite, interrupted = self._agree(finite, self._interruption.came)
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

    def _agree(self, finite: bool, interrupted: bool) -> tuple[bool, bool]:
        """What holds for all processes: whether every loss is finite, and whether any has been interrupted."""
        if self._processes == 1:
            return finite, interrupted
        flags = torch.tensor([not finite, interrupted], dtype=torch.int32, device=self.device)
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return not bool(flags[0]), bool(flags[1])

    def _give_up(self, batch: Batch, what: str, *, guilty: bool) -> NoReturn:
        """Stop the run; the processes whose batch may be the cause save it first."""
        path = self.folder / (BAD_BATCH if self._rank == 0 else f"bad_batch_{self._rank}.pt")
        kept = ", in another process"
        if guilty:
            people = batch.people
            parts = {"joints": people.joints, "clips": people.clips, "boxes": people.boxes, "ignored": batch.ignored}
            network = self._student.network.state_dict()
            names = list(batch.names)
            state = {"step": self.step, "images": batch.images, "names": names, "network": network, **parts}
            kept = f"; the batch and the weights are in {path}"
            try:
                save_state(path, state)
            except OutputError as error:
                kept = f"; the batch could not be saved: {error.message}"
        raise TrainingError(
            f"step {self.step}: {what} is no longer a number{kept}",
            "Lower optimiser.lr, set optimiser.clip, or use precision bf16 or float32; then --resume goes on from the "
            "last checkpoint.",
        )

    def _end_window(self, choice: Choice) -> None:
        assert self._teacher is not None
        outcome = self._recorder.outcome(choice)
        observed = self._teacher.observe(outcome)
        signals = {"synthetic_signal": outcome.synthetic_signal, "real_signal": outcome.real_signal}
        self._report(Record("window", self.step, {**choice.record(), **signals, **observed}))

    def _keep_records(self, interrupted: bool, may_save: bool) -> None:
        """Measure and save where it is time to."""
        config, last = self.config, self.step == self.config.steps
        if (self.step % config.validation.every == 0 or last) and self.pools.validation is not None:
            self._validate()
        self._save_due |= self.step % config.checkpoint_every == 0 or last or interrupted
        if self._save_due and may_save:
            self.save()
            self._save_due = False
            if interrupted and not last:
                raise KeyboardInterrupt

    def _validate(self) -> None:
        if self._rank != 0 or self.pools.validation is None:
            return
        options, network = self.config.validation, self._student.kept
        modes = [(module, module.training) for module in network.modules()]
        measured = validate(
            ImageNetwork(network).to(self.device).eval(),
            self.pools.validation,
            self.config,
            self.device,
            people=options.people,
            pictures=options.pictures if self.config.tensorboard else 0,
        )
        for module, mode in modes:
            module.training = mode
        self._report(Record("validation", self.step, measured.values, measured.pictures))
        if self.best is None or measured.score.pck > self.best:
            self.best = measured.score.pck
            self._save_weights(BEST)

    def _save_weights(self, name: str) -> None:
        sets = [pool.dataset for pool in self.pools.training]
        best = "" if self.best is None else f", best PCK@0.2 {self.best:.1f}"
        provenance = Provenance(
            training_data=", ".join(dict.fromkeys(data.name for data in sets)),
            licence="; ".join(dict.fromkeys(f"data {data.name}: {data.licence}" for data in sets if data.licence)),
            notes=f"ltsh train, seed {self.config.seed}, step {self.step} of {self.config.steps}{best}",
        )
        save_checkpoint(self.folder / name, self._student.kept, provenance)

    def save(self) -> None:
        """Write ``last.safetensors`` and ``state.pt``.

        Raises:
            OutputError: when one cannot be written.
        """
        if self._rank != 0:
            return
        self._save_weights(LAST)
        state = {
            "step": self.step,
            "best": self.best,
            "best_by": _yardstick(self.config),
            "config": self.config.model_dump(mode="json"),
            "skeleton": self._student.network.skeleton.to_dict(),
            "teacher": self._teacher.state_dict() if self._teacher is not None else None,
            "window": self._recorder.state_dict(),
            **self._student.state_dict(),
        }
        save_state(self.folder / STATE, state)

    def resume(self) -> None:
        """Go on where the folder's ``state.pt`` was written.

        Raises:
            InputError: when it is missing, damaged, or of another network, skeleton or teacher.
        """
        path = self.folder / STATE
        state = load_state(path)
        if state["skeleton"] != self._student.network.skeleton.to_dict():
            raise InputError(
                f"{path}: is of a network with another skeleton", "Resume with the configuration the run began with."
            )
        self._student.load_state_dict(state)
        if self._teacher is not None:
            if state.get("teacher") is None:
                raise InputError(f"{path}: knows of no teacher; the run began without one")
            self._teacher.load_state_dict(state["teacher"])
            self._recorder.load_state_dict(state["window"])
        self.step, self.best = int(state["step"]), state["best"]
        if self.best is not None and state.get("best_by") != _yardstick(self.config):
            _log.warning("the validation is not the one of the run so far: its best PCK no longer counts")
            self.best = None
        if not (self.folder / BEST).exists():
            self.best = None


def _yardstick(config: RunConfig) -> str:
    """What a PCK depends on besides the weights: figures by different ones cannot be compared."""
    options = config.validation
    return f"{config.data.validation} {options.view} {options.people} {list(config.size)}"
