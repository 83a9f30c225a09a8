"""The weights that a training begins with, as a checkpoint: to begin others with, or to average with what they give."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from ltsh_deploy.checkpoints import Provenance, save_checkpoint
from ltsh_deploy.parts import import_part

__all__ = ["write_beginning"]


def write_beginning(recipe: Path, out: Path) -> None:
    """Write the checkpoint that a training would have before its first step.

    Where ``init`` is an ONNX file, the training's own crops give the statistics of the normalisations. Weights that are
    to be averaged need the same ones to begin with.

    Args:
        recipe: configuration of the training.
        out: of the file.

    Raises:
        LtshError: when the training could not begin, or the file cannot be written.
    """
    import_part("torch", "A checkpoint", "train")
    from ltsh_deploy.train.config_file import blame, read_config
    from ltsh_deploy.train.start import prepare

    config = read_config(recipe)
    with TemporaryDirectory() as folder, blame(recipe):
        run = prepare(config, Path(folder))
    save_checkpoint(out, run.network, run.origin or Provenance(), config.size)
