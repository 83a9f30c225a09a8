"""``ltsh synthesize``: data sets of synthetic people, with everything known about them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ltsh_deploy.cli import console
from ltsh_deploy.cli.data import parse_settings
from ltsh_deploy.cli.options import FiniteRange, parse_size
from ltsh_deploy.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from ltsh_deploy.train.synth_run import Recipe

__all__ = ["command"]

_F = TypeVar("_F", bound=Callable[..., Any])

# Beyond these a picture has no room for people, or time runs out.
_MOST_PEOPLE = 60
_LEAST_SIDE = 64


@click.group("synthesize")
def command() -> None:
    """Make data sets of synthetic people to train on.

    They come with joints in 2D and 3D, what hides each, masks, depth and cameras. A picture depends on the seed and its
    number alone, so a run that was interrupted goes on when the same command is given again, and ranges (--start,
    --count) may be made on several machines.
    """


def _positive_people(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not 0 < value <= _MOST_PEOPLE:
        message = f"{value:g} is not an average number of people above 0 and up to {_MOST_PEOPLE}"
        raise click.BadParameter(message, ctx, param)
    return value


def _pitch_range(ctx: click.Context, param: click.Parameter, value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if not -30 <= low <= high <= 85:
        raise click.BadParameter(f"{low:g} {high:g} are not two angles from -30 to 85, the smaller first", ctx, param)
    return low, high


def _large_size(ctx: click.Context, param: click.Parameter, text: str) -> tuple[int, int]:
    size = parse_size(ctx, param, text)
    if size is None or min(size) < _LEAST_SIDE:
        raise click.BadParameter(f"{text!r} is too small: at least {_LEAST_SIDE} pixels a side", ctx, param)
    return size


def _people_option(default: float) -> Callable[[_F], _F]:
    return click.option(
        "--people",
        type=float,
        default=default,
        show_default=True,
        callback=_positive_people,
        help="Synthetic people in a picture, on average (Poisson).",
    )


_mocap_option = click.option(
    "--mocap", type=click.Path(path_type=Path), help="Folder of BVH motion capture files to take poses from too."
)


def _common_options(function: _F) -> _F:
    """Where the pictures go, which of them to make, and how."""
    options = (
        click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder to write to."),
        click.option(
            "--start", type=click.IntRange(0), default=0, show_default=True, help="Number of the first picture."
        ),
        click.option(
            "--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, other pictures."
        ),
        click.option("--workers", type=click.IntRange(1, 256), help="Processes; by default one for each core."),
        click.option("--shards", type=click.IntRange(1), default=100, show_default=True, help="Pictures in a shard."),
        click.option("--no-ltsh", is_flag=True, help="Write shards only, not the LTSH JSON layout beside them."),
        click.option("--no-sheet", is_flag=True, help="Write no data sheet: for the parts of a job array."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@command.command("purely")
@click.option("--count", type=click.IntRange(1), required=True, help="Pictures to make.")
@_people_option(9)
@click.option(
    "--pitch",
    type=(float, float),
    default=(0, 45),
    show_default=True,
    callback=_pitch_range,
    metavar="LOW HIGH",
    help="Degrees that the camera looks down, drawn evenly.",
)
@click.option(
    "--size", default="640", show_default=True, callback=_large_size, metavar="WxH", help="Size of the pictures."
)
@click.option(
    "--backgrounds",
    type=click.Path(path_type=Path),
    help="Folder of photographs without people; without it, rooms and streets are drawn.",
)
@_mocap_option
@_common_options
def purely(
    count: int,
    people: float,
    pitch: tuple[float, float],
    size: tuple[int, int],
    backgrounds: Path | None,
    mocap: Path | None,
    start: int,
    seed: int,
    out: Path,
    **run: Any,
) -> int:
    """Synthetic people alone (D_S), before photographs or in drawn rooms and streets."""
    from ltsh_deploy.train.synth_compiled import prepare_numba

    prepare_numba()
    from ltsh_deploy.train.synth_scenes import PurelySynthetic

    _keep_apart(out, backgrounds, mocap)
    recipe = PurelySynthetic(seed, people, pitch, size, backgrounds, mocap)
    return _synthesise(recipe, range(start, start + count), out=out, **run)


@command.command("mixed")
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--kind", default="shards", show_default=True, help="Kind of the data set, as `ltsh data check` has it.")
@click.option(
    "--split", type=click.Choice(["train", "val"]), default="train", show_default=True, help="Its part to use."
)
@click.option(
    "--ignore-outside",
    type=FiniteRange(1),
    metavar="FACTOR",
    help="Ignore what is outside the labelled people's boxes, enlarged so many times.",
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="An option of this kind of data set; repeatable."
)
@click.option(
    "--per-image", type=click.IntRange(1), default=5, show_default=True, help="Pictures made of each real one."
)
@click.option("--count", type=click.IntRange(1), help="Pictures to make; by default all.")
@_people_option(4)
@_mocap_option
@_common_options
def mixed(
    dataset: Path,
    kind: str,
    split: str,
    ignore_outside: float | None,
    settings: tuple[str, ...],
    per_image: int,
    count: int | None,
    people: float,
    mocap: Path | None,
    start: int,
    seed: int,
    out: Path,
    **run: Any,
) -> int:
    """Synthetic people among the annotated ones of the data set DATASET (D_M).

    Annotated people stay as they are; their joints that synthetic people cover are marked as hidden. Picture number N
    is made of the data set's picture number N / PER_IMAGE.
    """
    from ltsh_deploy.train.synth_compiled import prepare_numba

    prepare_numba()
    from ltsh_deploy.train.synth_mixed import MixedIn

    _keep_apart(out, dataset, mocap)
    recipe = MixedIn(seed, kind, dataset, split, ignore_outside, _as_json(settings), per_image, people, mocap)
    return _synthesise(recipe, _within(range(recipe.total()), start, count), out=out, **run)


def _as_json(settings: tuple[str, ...]) -> str:
    """The options KEY=VALUE as a JSON object, as which the index keeps them."""
    try:
        return json.dumps(parse_settings(settings), sort_keys=True, default=str, allow_nan=False)
    except (TypeError, ValueError):
        raise UsageError(
            f"--set {' '.join(settings)}: a value cannot be kept in the folder's index",
            "Give text, finite numbers, true or false, lists, and mappings whose keys are text.",
        ) from None


@command.command("stylised")
@click.argument("mixed", type=click.Path(path_type=Path))
@click.option(
    "--strength",
    type=FiniteRange(0, 1),
    default=0.8,
    show_default=True,
    help="How far colours go from the rendered ones (0) to the photograph's (1).",
)
@click.option("--count", type=click.IntRange(1), help="Pictures to make; by default all.")
@_common_options
def stylised(mixed: Path, strength: float, count: int | None, start: int, seed: int, out: Path, **run: Any) -> int:
    """The data set MIXED with its synthetic people in the colours and the grain of their photographs (D_Style).

    MIXED is a folder that `ltsh synthesize mixed` wrote. Labels and masks stay the same.
    """
    from ltsh_deploy.train.synth_stylised import Stylised

    _keep_apart(out, mixed)
    recipe = Stylised(seed, mixed, strength)
    return _synthesise(recipe, _within(recipe.numbers(), start, count), out=out, **run)


def _keep_apart(out: Path, *sources: Path | None) -> None:
    """Refuse to write among what is read: into a folder that is read, or below it, or over its files."""
    from ltsh_deploy.train.synth_folder import LTSH_FOLDER

    # Not Path.resolve, which fails where links lead in circles.
    target = Path(os.path.realpath(out))
    for source in sources:
        if source is None:
            continue
        read = Path(os.path.realpath(os.path.expanduser(source)))  # noqa: PTH111  (raises nothing)
        within = read in (target, *target.parents)
        beside = os.path.isfile(read) and read.parent == target  # noqa: PTH113  (raises nothing)
        if within or beside or target / LTSH_FOLDER in (read, *read.parents):
            raise UsageError(
                f"{out}: the result would be written among what is read, {source}",
                "Name a folder elsewhere with --out.",
            )


def _within(numbers: Sequence[int], start: int, count: int | None) -> list[int]:
    """The numbers from ``start`` on, ``count`` of the range at most."""
    chosen = [n for n in numbers if n >= start and (count is None or n < start + count)]
    if not chosen:
        raise UsageError(
            f"--start {start}: there is no picture of this number or a later one in the range",
            f"The pictures are number {min(numbers, default=0)} to {max(numbers, default=0)}.",
        )
    return chosen


def _synthesise(
    recipe: Recipe,
    wanted: Sequence[int],
    *,
    out: Path,
    workers: int | None,
    shards: int,
    no_ltsh: bool,
    no_sheet: bool,
) -> int:
    """Make the pictures, and say what came of it; returns the exit code."""
    from ltsh_deploy.train.synth_run import make_pictures
    from ltsh_deploy.train.synth_sheet import SHEET, write_sheet
    from ltsh_deploy.train.synth_writers import LARGEST_INDEX

    if wanted[-1] > LARGEST_INDEX:
        raise UsageError(f"pictures are numbered up to {LARGEST_INDEX}, and this run would end at {wanted[-1]}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with console.progress("synthesising", len(wanted)) as done:
        outcome = make_pictures(
            recipe, out, wanted, per_shard=shards, workers=workers or cores, ltsh=not no_ltsh, done=done
        )
    there = len(wanted) - outcome.made - outcome.left_out
    click.echo(f"{outcome.made} pictures made in {out}" + (f", {there} were there" if there else ""))
    if not no_sheet:
        summary = write_sheet(out)
        real = f" and {summary.real} annotated ones" if summary.real else ""
        click.echo(f"in all {summary.pictures} pictures with {summary.labelled} synthetic people{real}: {out / SHEET}")
        reasons = [f"{count} {reason.replace('_', ' ')}" for reason, count in sorted(summary.rejected.items())]
        click.echo(f"{summary.placed} of {summary.asked} people placed; rejected: {', '.join(reasons) or 'nobody'}")
    return ExitCode.BAD_INPUT if outcome.left_out else ExitCode.OK
