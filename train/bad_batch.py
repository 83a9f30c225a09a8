"""What is kept of a run that was stopped since its loss was no longer a number."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ltsh_deploy.errors import OutputError
from ltsh_deploy.train.batches import Batch
from ltsh_deploy.train.state import save_state

__all__ = ["save_bad_batch"]


def save_bad_batch(path: Path, step: int, batch: Batch, network: nn.Module) -> str:
    """Save a batch and the weights that it was too much for.

    Args:
        path: of the file.
        step: before it, steps done.
        batch: which.
        network: with the weights.

    Returns:
        What to tell of it, at the end of a message.
    """
    people = batch.people
    state = {
        "step": step,
        "names": list(batch.names),
        "images": batch.images,
        "joints": people.joints,
        "clips": people.clips,
        "boxes": people.boxes,
        "among_real": people.among_real,
        "ignored": batch.ignored,
        "network": network.state_dict(),
    }
    try:
        save_state(path, state)
    except OutputError as error:
        return f"; the batch could not be saved: {error.message}"
    return f"; the batch and the weights are in {path}"
