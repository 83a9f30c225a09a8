"""The weights that a run keeps: the last ones, and those that did best on the validation people."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ltsh_deploy.checkpoints import Provenance, save_checkpoint
from ltsh_deploy.errors import InputError
from ltsh_deploy.network_base import ImageNetwork, PoseNetwork
from ltsh_deploy.train.data import Pools
from ltsh_deploy.train.folder import BEST, LAST
from ltsh_deploy.train.processes import is_first
from ltsh_deploy.train.validation import Measurement, validate
from ltsh_deploy.whole_files import write_whole

if TYPE_CHECKING:
    from ltsh_deploy.train.config import RunConfig

__all__ = ["Keeper"]

_log = logging.getLogger(__name__)


class Keeper:
    """Measures weights and writes them into a run's folder, in the first process alone.

    Args:
        config: of the run.
        folder: of the run.
        pools: whom it trains on, which the weights' files name, and whom it measures with.
        device: to measure on.
        origin: where the weights came from that the run began with, None for random ones.

    Attributes:
        best: the best PCK so far, None before the first measurement.
        origin: as given, or as the run began that goes on.
    """

    def __init__(
        self, config: RunConfig, folder: Path, pools: Pools, device: torch.device, origin: Provenance | None = None
    ) -> None:
        self._config, self._folder, self._pools, self._device = config, folder, pools, device
        self.origin = origin
        self.best: float | None = None
        self._best_file: torch.Tensor | None = None

    def measure(self, network: PoseNetwork, step: int) -> Measurement | None:
        """The network on the validation people, kept if it is the best so far. Where there are none, None.

        Raises:
            InputError: when not one person can be measured.
            OutputError: when the weights cannot be written.
        """
        pool, options = self._pools.validation, self._config.validation
        if pool is None:
            return None
        modes = [(module, module.training) for module in network.modules()]
        measured = validate(
            ImageNetwork(network).to(self._device).eval(),
            pool,
            self._config,
            self._device,
            people=options.people,
            pictures=options.pictures if self._config.tensorboard else 0,
        )
        for module, mode in modes:
            module.training = mode
        if self.best is None or measured.score.pck > self.best:
            self.best = float(measured.score.pck)
            self._save(BEST, network, step)
            self._best_file = self._read_best()
        return measured

    @property
    def lacks_best(self) -> bool:
        """Whether there are no best weights, for want of a measurement or of the file."""
        return self._best_file is None

    def save_last(self, network: PoseNetwork, step: int) -> None:
        """Write the weights after the last step so far.

        Raises:
            OutputError: when they cannot be written.
        """
        self._save(LAST, network, step)

    def _save(self, name: str, network: PoseNetwork, step: int) -> None:
        config, sets = self._config, [pool.dataset for pool in self._pools.training]
        best = "" if self.best is None else f", best PCK@0.2 {self.best:.1f}"
        data = ", ".join(dict.fromkeys(each.name for each in sets))
        licence = "; ".join(dict.fromkeys(f"data {each.name}: {each.licence}" for each in sets if each.licence))
        if self.origin is not None:
            data = _after(data, "; before that: ", self.origin.training_data)
            licence = _after(licence, "; the weights it began with: ", self.origin.licence)
        notes = f"ltsh train, seed {config.seed}, step {step} of {config.steps}{best}"
        provenance = Provenance(training_data=data, licence=licence, notes=notes)
        save_checkpoint(self._folder / name, network, provenance, config.size)

    def state_dict(self) -> dict[str, Any]:
        """The best so far, the bytes of its file ([n] uint8, None where there is no such file), and the origin."""
        origin = None if self.origin is None else asdict(self.origin)
        return {"best": self.best, "best_file": self._best_file, "origin": origin}

    def load_state_dict(self, state: Mapping[str, Any], changes: Iterable[str]) -> None:
        """Go on with the best so far, unless it cannot be compared with what is measured from now on.

        ``best.safetensors`` becomes what it was when the state was saved: later steps, which are lost, may have written
        another one.

        Args:
            state: of which this is a part.
            changes: the names of what is set or read otherwise since; see
                :func:`~ltsh_deploy.train.sessions.changes_since`.

        Raises:
            InputError: when the file cannot be read.
            OutputError: when it cannot be written.
        """
        self.best = state["best"]
        # States of the first version do not say where the weights came from.
        origin = state.get("origin", {} if self._config.init is not None else None)
        self.origin = None if origin is None else Provenance(**origin)
        # States of the first version do not hold the file.
        self._best_file = state["best_file"] if "best_file" in state else self._read_best()
        if self._best_file is None:
            self.best = None
        elif is_first():
            self._restore_best(self._best_file)
        if self.best is not None and any(map(self._is_yardstick, changes)):
            _log.warning("the validation is not the one of the run so far: its best PCK no longer counts")
            self.best = None

    def _read_best(self) -> torch.Tensor | None:
        path = self._folder / BEST
        if not path.is_file():
            return None
        try:
            return torch.from_numpy(np.fromfile(path, np.uint8))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None

    def _restore_best(self, kept: torch.Tensor) -> None:
        path, there = self._folder / BEST, self._read_best()
        if there is None or not torch.equal(there, kept):
            write_whole(path, kept.numpy().tobytes())
            if there is not None:
                _log.info("%s: was of steps that are lost; it is again the best up to the checkpoint", path)

    def _is_yardstick(self, name: str) -> bool:
        """Whether a PCK depends on this besides the weights: figures by different ones cannot be compared."""
        config = self._config
        used = {"size", "data.validation", "validation.view", "validation.people"}
        used.add(f"data set {config.data.validation}, validation")
        if config.validation.view == "crop":
            used.add("crop.target_scale")
        return name in used or name.startswith(f"data.sets.{config.data.validation}.")


def _after(now: str, mark: str, before: str) -> str:
    """What holds now and what held before it, each once, however often a network was trained on."""
    known = [text or "not known" for text in (now, *before.split(mark))]
    return mark.join(dict.fromkeys(known))
