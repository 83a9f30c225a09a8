"""``ltsh evaluate``: how good a model, or somebody's stored predictions, are on a data set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from ltsh_deploy.cli.options import FiniteRange, parse_scales, parse_size
from ltsh_deploy.evaluation.coco_units import BODY
from ltsh_deploy.evaluation.opening import KINDS
from ltsh_deploy.evaluation.protocols import PROTOCOLS

__all__ = ["command"]


class _Command(click.Command):
    """A command whose --scales takes its numbers with spaces between them, too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _join_scales(ctx, args))


def _join_scales(ctx: click.Context, args: list[str]) -> list[str]:
    """The arguments, with the numbers of ``--scales 0.7 1 1.3`` or ``--scales=0.7 1 1.3`` in one word."""
    words: list[str] = []
    rest = list(args)
    is_given = False
    while rest and rest[0] != "--":
        word = rest.pop(0)
        name, has_value, value = word.partition("=")
        if name == "--scales":
            if is_given:
                raise click.UsageError("--scales is given twice. All scales follow one: --scales 0.7 1 1.3", ctx)
            is_given = True
            numbers = [value] if has_value else []
            while rest and re.fullmatch(r"[0-9.,]+", rest[0]):
                numbers.append(rest.pop(0))
            word = f"{name}={','.join(number.strip(',') for number in numbers)}" if numbers else word
        words.append(word)
    return words + rest


def _scales(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    return None if text is None else parse_scales(ctx, param, text)


def _joints(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise click.BadParameter("joints are names with commas between them, such as left_knee,right_knee", ctx, param)
    return tuple(joint for name in names for joint in (BODY if name == "body" else (name,)))


@click.command("evaluate", cls=_Command, short_help="Measure a model, or stored predictions, on a data set.")
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.option("--dataset", "kind", type=click.Choice(KINDS), required=True, help="Kind of data set.")
@click.option(
    "--annotations", type=click.Path(path_type=Path), required=True, help="Its file of labels, or its folder."
)
@click.option("--groups", type=click.Path(path_type=Path), help="mpii: the file of groups of people.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder of the pictures.  [default: the usual one]")
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="This split alone; test is for mpii.")
@click.option("--only", type=click.Path(path_type=Path), help="mpii: text file with the names of the pictures to take.")
@click.option(
    "--joints",
    metavar="LIST",
    callback=_joints,
    help="coco: measure these joints alone, with commas between them; body is all but the face's.",
)
@click.option(
    "--predictions", type=click.Path(path_type=Path), help="Score these instead of a model: JSON, COCO results or .mat."
)
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    help="How a model looks.  [default: paper for MPII, else fast]",
)
@click.option(
    "--scales",
    metavar="LIST",
    callback=_scales,
    help="Sizes to average.  [default: 0.7 1 1.3 for paper, 1 for fast]",
)
@click.option("--flip", is_flag=True, help="Look at the mirror image too, and average.")
@click.option(
    "--size", metavar="WxH", callback=parse_size, help="fast: box that each image is scaled into: WxH or one number."
)
@click.option(
    "--filter-groups/--no-filter-groups",
    default=None,
    help="Leave out people who cannot belong to the unit's group.  [default: for mpii]",
)
@click.option("--threshold", type=FiniteRange(0, 1), help="Lowest score of a joint.  [default: 0.05]")
@click.option("--device", default="auto", show_default=True, help="Where the network runs: auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1, 256), help="CPU threads of the network.  [default: all cores]")
@click.option(
    "--batch", type=click.IntRange(1, 1024), help="Pictures that run together.  [default: 1 on a CPU, else 8]"
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder for figures and predictions; resumes there.")
@click.option("--restart", is_flag=True, help="Discard the predictions that --out has, and look at all pictures again.")
@click.option("--json", "json_target", metavar="FILE|-", help="Write the figures here as JSON; - is stdout.")
@click.option("--report", type=click.Path(path_type=Path), help="Folder for the analysis: report.html, report.json.")
@click.option(
    "--compare",
    type=click.Path(path_type=Path),
    help="A second model, or its predictions, for the report to compare.",
)
def command(model: Path | None, **given: Any) -> int:
    """Measure MODEL, or stored --predictions, on a data set.

    MODEL is an .onnx, .safetensors or .engine file, by default the package's own.

    mpii is measured by the benchmark's multi-person AP, mpii-json by PCKh, coco by OKS AP, LSP's joints by PCK@0.2. A
    picture that cannot be used counts as one in which nobody was found, and makes the exit code 3.

    With --out, an evaluation that was interrupted goes on where it was.
    """
    from ltsh_deploy.cli.evaluate_job import EvaluateJob

    return EvaluateJob(model, **given).run()
