"""The study's command line."""

from __future__ import annotations

from pathlib import Path

import click

from ltsh_deploy.errors import UsageError
from studies.command_line import run_command, tell
from studies.ltsh.plan import Layout, Study, chosen_rows, load_study

__all__ = ["main"]

_DEFAULT_OUT = Path("runs/study")
_PAGE = Path(__file__).parents[2] / "docs" / "study.md"

_out = click.option(
    "--out", type=click.Path(path_type=Path), default=_DEFAULT_OUT, show_default=True, help="The study's folder."
)
_rows = click.option("--rows", help="Rows such as R,S,teacher-C; all by default.")
_budget = click.option("--budget", default="small", show_default=True, help="How large everything is; see `list`.")
_real = click.option("--real", type=click.Path(path_type=Path), help="Folder of LSPET's shards.")
_backgrounds = click.option("--backgrounds", type=click.Path(path_type=Path), help="Photographs without people.")
_workers = click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes that make pictures."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Does the teacher help? The tables of "Learning to Train with Synthetic Humans", on open data."""


@cli.command("list")
def list_rows() -> None:
    """Show the rows and the budgets."""
    study = load_study()
    for name, row in study.rows.items():
        click.echo(f"{name:16}{row.about}")
    for name, budget in study.budgets.items():
        click.echo(f"--budget {name:7}{budget.about}; {budget.training['steps']} steps, {budget.seeds} seeds")


@cli.command("data")
@_rows
@_budget
@_out
@_real
@_backgrounds
@_workers
def data(rows: str | None, budget: str, out: Path, real: Path | None, backgrounds: Path | None, workers: int) -> None:
    """Make the data sets that the rows need, and train nothing."""
    study = load_study(real=real, backgrounds=backgrounds)
    _make_data(study, chosen_rows(study, rows), budget, Layout(out, budget), workers)


@cli.command("run")
@_rows
@click.option("--seeds", type=click.IntRange(1, 1000), help="Seeds 0 to this number less one; the budget's by default.")
@_budget
@_out
@_real
@_backgrounds
@_workers
def run(
    rows: str | None,
    seeds: int | None,
    budget: str,
    out: Path,
    real: Path | None,
    backgrounds: Path | None,
    workers: int,
) -> None:
    """Train and measure rows, all of them from one seed before the next; what is done is left alone.

    It may be interrupted at any time, and goes on when the same command is given again. Several processes may run
    different rows, or the same: a run that another process is at is passed over.
    """
    from studies.ltsh.running import run_row

    study = load_study(real=real, backgrounds=backgrounds)
    chosen, layout = chosen_rows(study, rows), Layout(out, budget)
    count = seeds or study.budget(budget).seeds
    _make_data(study, chosen, budget, layout, workers)
    for seed in range(count):
        for row in chosen:
            if not run_row(study, budget, row, seed, layout, tell):
                tell(f"{row}, seed {seed}: another process is at it; passed over")


@cli.command("hardness")
@_budget
@_out
@_real
@_backgrounds
def hardness(budget: str, out: Path, real: Path | None, backgrounds: Path | None) -> None:
    """Ask trained students how hard synthetic people are, whom a teacher's groups are made of, for the report.

    All students that rows begin with are asked, and those of R+S of D_S's people, those of uniform-T of the tail's.
    """
    from studies.ltsh.data import data_note
    from studies.ltsh.hardness import SHOWN, measure_hardness, who_is_asked
    from studies.ltsh.results import read_results

    study, layout = load_study(real=real, backgrounds=backgrounds), Layout(out, budget)
    results = read_results(study, layout)
    asked = []
    for shown in (row for row in SHOWN if row in study.rows):
        if all(name == "real" or data_note(layout, name) for name in study.rows[shown].mix):
            asked += [(row, seed, shown) for row, seeds in who_is_asked(results, shown).items() for seed in seeds]
    if not asked:
        raise UsageError(
            f"{out}: holds no trained student of the budget {budget}, or not the synthetic people to show it",
            f"The command `run` trains students and makes people: give it --rows {','.join(SHOWN)}.",
        )
    for row, seed, shown in asked:
        losses = measure_hardness(study, budget, row, seed, layout, shown).losses
        tell(f"{row}, seed {seed}: {len(losses)} synthetic people of {shown} cost {losses.mean():.3f} a joint")


@cli.command("report")
@click.option("--budget", "budgets", multiple=True, help="Budgets to report on; small and full by default.")
@_out
@click.option(
    "--page", type=click.Path(path_type=Path), default=_PAGE, help="The page to write; docs/study.md by default."
)
def report(budgets: tuple[str, ...], out: Path, page: Path) -> None:
    """Write tables and plots of what has been run, with the remarks that were written by hand."""
    from studies.ltsh.report import write_report

    study = load_study()
    chosen = budgets or ("small", "full")
    for name in chosen:
        study.budget(name)
    for line in write_report(study, chosen, out, page):
        click.echo(line)


def _make_data(study: Study, rows: list[str], budget: str, layout: Layout, workers: int) -> None:
    from studies.ltsh.data import make_data, needed_sets

    make_data(study, study.budget(budget), layout, needed_sets(study, rows), workers=workers, tell=tell)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; errors that a user can cause are told without a traceback. Returns the exit code."""
    return run_command(cli, "python -m studies.ltsh", "the same command goes on where it stopped", arguments)
