"""One network out of several that began alike: their weights, averaged.

Networks that were fine-tuned from the same weights lie in one basin of the loss, and their average is often better than
each (Wortsman et al. 2022, "Model soups").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ltsh_deploy.checkpoints import read_checkpoint, save_checkpoint
from ltsh_deploy.errors import UsageError
from ltsh_deploy.parts import import_part

__all__ = ["average_checkpoints"]


def average_checkpoints(
    paths: Sequence[Path], out: Path, training_data: str | None = None, licence: str | None = None
) -> None:
    """Write a checkpoint whose weights, and whose normalisations' statistics, are the means of several ones'.

    Args:
        paths: of one or more checkpoints of the same network and skeleton. The first one's size and notes are kept,
            with the names of all.
        out: of the file.
        training_data: what they learned from, for whoever gets the file; by default the names of their data sets.
        licence: of the weights; by default the first one's.

    Raises:
        UsageError: when they are not of the same network.
        LtshError: when a file cannot be read or written.
    """
    torch = import_part("torch", "Averaging weights", "train")
    checkpoints = [read_checkpoint(path) for path in paths]
    first = checkpoints[0]
    kind = first.network.name, first.network.config, first.network.skeleton
    for path, other in zip(paths, checkpoints, strict=True):
        if (other.network.name, other.network.config, other.network.skeleton) != kind:
            raise UsageError(f"{path}: is another network than {paths[0]}, and they cannot be averaged")
    states = [checkpoint.network.state_dict() for checkpoint in checkpoints]
    mean = {
        key: torch.stack([state[key].double() for state in states]).mean(dim=0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for key, tensor in states[0].items()
    }
    first.network.load_state_dict(mean)
    if training_data is None:
        training_data = "; ".join(dict.fromkeys(checkpoint.provenance.training_data for checkpoint in checkpoints))
    if licence is None:
        licence = first.provenance.licence
    notes = f"the mean of the weights of {', '.join(map(str, paths))}; of the first: {first.provenance.notes}"
    provenance = replace(first.provenance, training_data=training_data, licence=licence, notes=notes)
    save_checkpoint(out, first.network, provenance, first.size)
