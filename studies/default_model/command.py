"""The command line of what the default model is made with."""

from __future__ import annotations

from pathlib import Path

import click

from studies.command_line import run_command, tell

__all__ = ["main"]

_DATA = Path("../shared/data")
_ANNOTATOR = Path("../shared/models/coco_paf_mobilenet_v2_small.onnx")
_path = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """What the default model is made with, besides `ltsh synthesize` and `ltsh train`."""


@cli.command("data")
@click.option("--real", type=_path, default=_DATA / "lspet", show_default=True, help="Folder of LSPET's shards.")
@click.option(
    "--backgrounds", type=_path, default=_DATA / "backgrounds", show_default=True, help="Photographs without people."
)
@click.option(
    "--annotator", type=_path, default=_ANNOTATOR, show_default=True, help="Model of the network that finds people."
)
@click.option(
    "--scenes", type=click.IntRange(1, 1_000_000), default=6000, show_default=True, help="Pictures to set people into."
)
@click.option("--out", type=_path, required=True, help="Folder for the data sets.")
def data(real: Path, backgrounds: Path, annotator: Path, scenes: int, out: Path) -> None:
    """Find the people in LSPET's pictures whom nobody labelled, and set people into other photographs.

    What was found is kept, so that the same command goes on after an interruption; both data sets are then made anew.
    """
    from studies.default_model.making import make_data

    make_data(real, backgrounds, annotator, scenes, out, tell)


@cli.command("average")
@click.argument("checkpoints", type=_path, nargs=-1, required=True)
@click.option("-o", "--out", type=_path, required=True, help="The checkpoint to write.")
@click.option("--training-data", metavar="TEXT", help="What they learned from.  [default: their data sets' names]")
@click.option("--licence", metavar="TEXT", help="Licence of the weights.  [default: the first one's]")
def average(checkpoints: tuple[Path, ...], out: Path, training_data: str | None, licence: str | None) -> None:
    """Average the weights of CHECKPOINTS, which were trained from the same ones."""
    from studies.default_model.averaging import average_checkpoints

    average_checkpoints(checkpoints, out, training_data, licence)


@cli.command("begin")
@click.argument("recipe", type=_path)
@click.option("-o", "--out", type=_path, required=True, help="The checkpoint to write.")
def begin(recipe: Path, out: Path) -> None:
    """Write the weights that `ltsh train RECIPE` begins with, to begin others with and to average them with."""
    from studies.default_model.beginning import write_beginning

    write_beginning(recipe, out)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; errors that a user can cause are told without a traceback. Returns the exit code."""
    interrupted = "nothing is lost: what was found is kept, and files appear when they are whole"
    return run_command(cli, "python -m studies.default_model", interrupted, arguments)
