"""``ltsh data``: look a data set over before training on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ltsh_deploy.cli import console
from ltsh_deploy.cli.options import FiniteRange
from ltsh_deploy.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from ltsh_deploy.datasets import SampleList

__all__ = ["command", "parse_settings"]

_F = TypeVar("_F", bound=Callable[..., Any])


@click.group("data")
def command() -> None:
    """Check a data set, and show what is in it.

    KIND is mpii, ltsh, coco, lsp or shards, or a function of your own that yields samples: module:function or
    file.py:function. PATH is its file or folder.
    """


def _dataset_options(function: _F) -> _F:
    """The arguments that say which data set is meant."""
    options = (
        click.argument("kind"),
        click.argument("path", type=click.Path(path_type=Path)),
        click.option("--split", type=click.Choice(["train", "val"]), help="Only the samples of this split."),
        click.option(
            "--ignore-outside",
            type=FiniteRange(1),
            metavar="FACTOR",
            help="Ignore what is outside the labelled people's boxes, enlarged so many times.",
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="An option of this kind of data set; may be given several times.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@command.command("check")
@_dataset_options
@click.option("--read", is_flag=True, help="Decode every picture and mask, and look for pictures that are there twice.")
@click.option("--json", "as_json", is_flag=True, help="Write the report as JSON.")
def check(read: bool, as_json: bool, **given: Any) -> int:
    """Count what is in a data set, and find what is wrong with it.

    The exit code is 3 when something is damaged or missing.
    """
    from ltsh_deploy.datasets.checks import check_dataset

    dataset = _open(**given)
    with console.progress("checking", len(dataset)) as done:
        report = check_dataset(dataset, read=read, done=done)
    form = report.to_dict()
    click.echo(json.dumps(form, indent=2) if as_json else _as_text(form))
    return ExitCode.BAD_INPUT if report.is_broken else ExitCode.OK


@command.command("show")
@_dataset_options
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder to write pictures to.")
@click.option("--count", type=click.IntRange(1), default=12, show_default=True, help="Samples to show.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Draws other samples and crops.")
@click.option(
    "--crops",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Augmented crops of each sample, with the maps a network learns.",
)
@click.option(
    "--config", type=click.Path(path_type=Path), help="Make crops and maps as this training configuration says."
)
def show(out: Path, count: int, seed: int, crops: int, config: Path | None, **given: Any) -> int:
    """Draw samples of a data set: people, what is ignored, and crops as a network is trained on them.

    A sample that cannot be shown is reported, and makes the exit code 3; the others are drawn.
    """
    from ltsh_deploy.cli.data_pictures import PictureWriter

    dataset = _open(**given)
    writer = PictureWriter(dataset, out, seed=seed, crops=crops, config=config)
    with console.progress("drawing", min(count, len(dataset))) as done:
        written, failed = writer.write(count, done)
    click.echo(f"{written} pictures in {out}")
    return ExitCode.BAD_INPUT if failed else ExitCode.OK


def _open(
    kind: str, path: Path, split: str | None, ignore_outside: float | None, settings: tuple[str, ...]
) -> SampleList:
    from ltsh_deploy.datasets import open_dataset

    return open_dataset(kind, path, split=split, ignore_outside=ignore_outside, **parse_settings(settings))


def parse_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """The options of a kind of data set: KEY=VALUE with YAML values, as in configurations.

    Raises:
        UsageError: when one cannot be read, or is an option of the command line.
    """
    from ltsh_deploy.yaml_text import parse_yaml

    found = {}
    for setting in settings:
        key, separator, text = setting.partition("=")
        key = key.strip().replace("-", "_")
        if not separator or not key.isidentifier():
            raise UsageError(f"--set {setting}: expected KEY=VALUE")
        try:
            found[key] = parse_yaml(text)
        except ValueError as error:
            raise UsageError(f"--set {setting}: the value {error}", "Put text with special signs in quotes.") from None
    if found.keys() & {"split", "ignore_outside"}:
        raise UsageError("--set: split and ignore_outside have options of their own: --split, --ignore-outside")
    return found


def _as_text(form: Mapping[str, Any]) -> str:
    people, samples, outside, masks = (form[name] for name in ("people", "samples", "outside", "masks"))
    height = form["height_px"]
    lines = [
        f"{form['name']}: skeleton {form['skeleton']}, licence {form['licence'] or 'not given'}",
        f"samples        {samples['train']} for training, {samples['val']} for validation",
        f"people         {people['all']}: {people['real']} real, {people['synthetic']} synthetic; "
        f"{people['trainable']} may be the centre of a crop, {people['without_joints']} have no joints; "
        f"at most {people['most_in_a_picture']} in a picture",
        f"height         {height['least']:g} to {height['most']:g} px; 10 % below {height['tenth']:g}, "
        f"half below {height['median']:g}, 90 % below {height['nine_tenths']:g}",
        f"masks          {masks['ignore']} pictures with an ignore mask, {masks['instances']} with an instance mask; "
        f"{masks['regions']} regions to ignore",
        f"outside        {outside['joints']} joints of {outside['people']} people lie outside their picture"
        + (
            f"; {outside['pictures_of_unknown_size']} pictures of unknown size"
            * bool(outside["pictures_of_unknown_size"])
        ),
        "",
        f"{'joint':18}{'labelled':>10}{'visible':>10}",
    ]
    lines += [f"{name:18}{n['labelled']:10}{n['visible']:10}" for name, n in form["joints"].items()]
    for name, bins in form["characteristics"].items():
        lines += ["", f"{name}: known for {bins['known']} people, unknown for {bins['unknown']}"]
        most = max(bins["counts"], default=0)
        for low, high, n in zip(bins["edges"], bins["edges"][1:], bins["counts"], strict=False):
            lines.append(f"  {low:10.4g} to {high:10.4g}{n:9}  {'#' * round(40 * n / most)}")
    lines.append("")
    for finding in form["findings"]:
        lines.append(f"{'BROKEN' if finding['broken'] else 'note'}: {finding['count']} {finding['what']}")
        lines += [f"  {example}" for example in finding["examples"]]
    lines.append("The data set is broken." if form["broken"] else "Nothing is broken.")
    return "\n".join(lines)
