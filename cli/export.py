"""``ltsh export``: a checkpoint in, a model file to deploy out, with the proof that both say the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ltsh_deploy.cli.export_engine import engine_options
from ltsh_deploy.cli.export_triton import triton_options
from ltsh_deploy.cli.options import parse_pairs, parse_size
from ltsh_deploy.export.kinds import FORMATS, INTEGER_STYLES, PRECISIONS

__all__ = ["command"]


@click.command("export")
@click.argument("source", metavar="[MODEL]", required=False, type=click.Path(path_type=Path))
@click.option("--format", "kind", type=click.Choice(FORMATS), default="onnx", show_default=True, help="What to write.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The file, or folder, to write.")
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    help="What the network computes in.  [default: the model's own; fp32 for a checkpoint]",
)
@click.option("--calibrate", metavar="DIR", help="int8: a folder with pictures to measure the network's values on.")
@click.option(
    "--quantise-for",
    "style",
    type=click.Choice(INTEGER_STYLES),
    help="int8: the program that will run it.  [default: tensorrt for engines, else onnxruntime]",
)
@click.option(
    "--verify",
    metavar="DATA",
    help="Fail if the result finds people less well than MODEL: on pictures (a file or folder), or on labelled data, "
    "KIND:PATH with a KIND of `ltsh evaluate`.",
)
@click.option(
    "--verify-set",
    metavar="KEY=VALUE",
    multiple=True,
    callback=parse_pairs,
    help="--verify: an option of labelled data: images, groups, split, only; may be given several times.",
)
@click.option(
    "--images",
    multiple=True,
    metavar="DIR|FILE",
    help="Pictures to prove parity on; may be given several times. By default this program draws some.",
)
@click.option(
    "--size",
    metavar="WxH",
    callback=parse_size,
    show_default="the model's own",
    help="The box pictures are fitted into where the model is used and nothing else is asked for.",
)
@click.option("--opset", type=int, help="Version of the ONNX operators, 19 or later.  [default: 19]")
@engine_options
@triton_options
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Write the report as JSON.")
def command(source: Path | None, **given: Any) -> None:
    """Turn a MODEL into a file to deploy.

    MODEL is a checkpoint (.safetensors), or an ONNX file that this program wrote; for engines and Triton, any ONNX file
    that is described. By default it is the package's own model. The file is written only if its maps, and the poses
    read from them, are those of MODEL on every picture, as nearly as its precision allows.
    """
    from ltsh_deploy.cli.export_job import ExportJob
    from ltsh_deploy.default_model import default_model

    ExportJob(source or default_model(), **given).run()
