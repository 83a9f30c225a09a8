"""The weights that a run keeps: the last ones, and those that did best on the validation people."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ltsh_deploy.checkpoints import Provenance, save_checkpoint
from ltsh_deploy.network_base import ImageNetwork, PoseNetwork
from ltsh_deploy.train.data import Pools
from ltsh_deploy.train.folder import BEST, LAST
from ltsh_deploy.train.validation import Measurement, validate

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

    Attributes:
        best: the best PCK so far, None before the first measurement.
    """

    def __init__(self, config: RunConfig, folder: Path, pools: Pools, device: torch.device) -> None:
        self._config, self._folder, self._pools, self._device = config, folder, pools, device
        self.best: float | None = None

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
        return measured

    @property
    def lacks_best(self) -> bool:
        """Whether there are no best weights, for want of a measurement or of the file."""
        return not (self._folder / BEST).exists()

    def save_last(self, network: PoseNetwork, step: int) -> None:
        """Write the weights after the last step so far.

        Raises:
            OutputError: when they cannot be written.
        """
        self._save(LAST, network, step)

    def _save(self, name: str, network: PoseNetwork, step: int) -> None:
        config, sets = self._config, [pool.dataset for pool in self._pools.training]
        best = "" if self.best is None else f", best PCK@0.2 {self.best:.1f}"
        provenance = Provenance(
            training_data=", ".join(dict.fromkeys(data.name for data in sets)),
            licence="; ".join(dict.fromkeys(f"data {data.name}: {data.licence}" for data in sets if data.licence)),
            notes=f"ltsh train, seed {config.seed}, step {step} of {config.steps}{best}",
        )
        save_checkpoint(self._folder / name, network, provenance, config.size)

    def state_dict(self) -> dict[str, Any]:
        """The best so far, and what it was measured by."""
        return {"best": self.best, "best_by": self._yardstick}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the best so far, unless it cannot be compared with what is measured from now on."""
        self.best = state["best"]
        if self.best is not None and state.get("best_by") != self._yardstick:
            _log.warning("the validation is not the one of the run so far: its best PCK no longer counts")
            self.best = None
        if self.lacks_best:
            self.best = None

    @property
    def _yardstick(self) -> str:
        """What a PCK depends on besides the weights: figures by different ones cannot be compared."""
        config, options = self._config, self._config.validation
        return f"{config.data.validation} {options.view} {options.people} {list(config.size)}"
