"""``ltsh export``: a checkpoint in, a model file to deploy out, with the proof that both say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from ltsh_deploy.cli import console
from ltsh_deploy.cli.options import parse_size
from ltsh_deploy.errors import UsageError
from ltsh_deploy.export.to_onnx import DEFAULT_OPSET, ExportReport, export_onnx

__all__ = ["command"]

# Upright, lying and square: three shapes show that the file takes any.
_OWN_SIZES = ((432, 288), (240, 368), (320, 320))


@click.command("export")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--format", "kind", type=click.Choice(["onnx"]), default="onnx", show_default=True, help="What to write.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The file to write.")
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
    show_default="the checkpoint's own",
    help="The box pictures are fitted into where the model is used and nothing else is asked for.",
)
@click.option(
    "--opset",
    type=int,
    default=DEFAULT_OPSET,
    show_default=True,
    help=f"Version of the ONNX operators, {DEFAULT_OPSET} or later.",
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Write the report as JSON.")
def command(
    checkpoint: Path,
    kind: str,
    output: Path,
    images: tuple[str, ...],
    size: tuple[int, int] | None,
    opset: int,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Turn a CHECKPOINT (.safetensors) into a model file to deploy.

    The file is written only if its maps, and the poses read from them, are those of the checkpoint on every picture.
    """
    pictures = _read_pictures(images) if images else _own_pictures()
    with console.progress("comparing", len(pictures)) as done:
        report = export_onnx(
            checkpoint, output, images=pictures, size=size, opset=opset, overwrite=overwrite, done=done
        )
    own = not images
    click.echo(json.dumps(_as_dict(report, own), indent=2) if as_json else _as_text(report, checkpoint, own))


def _read_pictures(names: tuple[str, ...]) -> list[npt.NDArray[np.uint8]]:
    """Every picture that is named or lies in a folder that is; videos in folders are passed over."""
    from ltsh_deploy.sources import open_sources

    pictures = []
    for name in names:
        sources = [source for source in open_sources([name]) if source.kind == "image"]
        if not sources:
            raise UsageError(f"{name}: is no picture and no folder with pictures", "--images takes picture files.")
        pictures += [frame.image for source in sources for frame in source]
    return pictures


def _own_pictures() -> list[npt.NDArray[np.uint8]]:
    from ltsh_deploy.demo import draw_scene

    return [draw_scene(seed, size) for seed, size in enumerate(_OWN_SIZES)]


def _as_dict(report: ExportReport, own: bool) -> dict[str, Any]:
    description = report.description
    return {
        "file": str(report.path),
        "bytes": report.size_bytes,
        "opset": report.opset,
        "network": description.network,
        "skeleton": description.skeleton.name,
        "stride": description.stride,
        "size": list(description.size),
        "parity": {"drawn_pictures": own, **report.parity.to_dict()},
    }


def _as_text(report: ExportReport, checkpoint: Path, own: bool) -> str:
    description, parity = report.description, report.parity
    width, height = description.size
    pictures = f"{parity.pictures} picture{'s' * (parity.pictures != 1)}"
    lines = [
        f"{report.path}: {report.size_bytes / 1e6:.1f} MB, opset {report.opset}, network {description.network}, "
        f"skeleton {description.skeleton.name}, stride {description.stride}, size {width}x{height}",
        "",
        f"Parity with {checkpoint} on {pictures}" + (" drawn by this program (--images takes yours)" if own else ""),
        f"{'':10}{'largest value':>15}{'checkpoint':>15}{'exported':>15}{'allowed':>15}",
    ]
    for name, maps in (("heat maps", parity.heatmaps), ("PAFs", parity.pafs)):
        errors = (maps.relative(error) for error in (maps.checkpoint, maps.exported, maps.limit))
        lines.append(f"{name:10}{maps.extent:15.4g}" + "".join(f"{error:15.1e}" for error in errors))
    lines += [
        "Errors are those of the worst cell, against the same weights in float64, as a part of the largest value.",
        f"Poses: {parity.poses} people, the same in both; joints at most {parity.pose_distance:.4f} px apart."
        if parity.poses
        else "Poses: none were compared: nobody in these pictures, for either. The maps alone prove it.",
    ]
    return "\n".join(lines)
