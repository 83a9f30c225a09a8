"""docs/study.md: tables and plots of what has been run, and the remarks that were written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ltsh_deploy.errors import InputError, UsageError
from ltsh_deploy.whole_files import write_error, write_whole
from ltsh_deploy.yaml_text import parse_yaml
from studies.ltsh.bootstrap import DRAWS
from studies.ltsh.configs import FIRST, run_config
from studies.ltsh.data import data_note
from studies.ltsh.measuring import MEASURES, other_measuring
from studies.ltsh.night import LOTS
from studies.ltsh.plan import HERE, Layout, Study
from studies.ltsh.plots import plot_bins, plot_rows, plot_teachers
from studies.ltsh.results import Results, read_results
from studies.ltsh.running import other_settings
from studies.ltsh.tables import (
    bin_tables,
    cost_table,
    effect_table,
    hardness_table,
    paper_tables,
    relative,
    row_table,
    teacher_table,
)

__all__ = ["write_report"]

_REMARKS = "remarks.md"
_DATA = ("purely", "tail", "mixed", "stylised", "validation", "mosaics", "night")


def write_report(study: Study, budgets: Sequence[str], out: Path, page: Path, *, texts: Path = HERE) -> list[str]:
    """Write the page, and its plots beside it under ``images``; returns lines on what has been run.

    Args:
        study: says what may have been run.
        budgets: names; a section each.
        out: the study's folder.
        page: the file to write. A plot of which nothing has been run is removed.
        texts: folder of paper.yaml, and of remarks.md, which are put into the page as they are.

    Raises:
        InputError: when a result or a text is damaged or missing; it is named.
        UsageError: when nothing has been run at all, or a run was trained or measured with other settings than the
            study's files have now. The page is then left as it is.
        OutputError: when the page or a plot cannot be written.
    """
    paper = _paper(texts / "paper.yaml")
    remarks = _text(texts / _REMARKS)
    found = {name: read_results(study, Layout(out, name)) for name in budgets}
    if not any(results.everything() for results in found.values()):
        raise UsageError(f"{out}: holds no run of the budgets {', '.join(budgets)}", "The command `run` makes them.")
    for name, results in found.items():
        _check_training(study, name, results)
        _check_measuring(study, name, results)
    try:
        (page.parent / "images").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(page, error) from None
    told, sections = [], []
    for name, results in found.items():
        done = sum(len(run.measured) == len(MEASURES) for run in results.everything())
        rows = sum(bool(runs) for runs in results.runs.values())
        told.append(f"{name}: {done} runs trained and measured, of {rows} of {len(study.rows)} rows")
        if done < len(results.everything()):
            told.append(
                f"{name}: {len(results.everything()) - done} more are trained; `run` takes their other measures"
            )
        sections.append(_section(study, name, results, paper, page))
    body = [_INTRODUCTION, remarks.strip(), *sections, _METHOD]
    write_whole(page, ("\n\n".join(body) + "\n").encode())
    return [*told, f"{page}: written"]


def _check_training(study: Study, budget_name: str, results: Results) -> None:
    """The page says of all runs what the files say now; where the data lie is of no matter."""
    trained = [(FIRST, seed) for seed in results.first] + [(run.row, run.seed) for run in results.everything()]
    for row, seed in trained:
        folder, config = results.layout.run(row, seed), run_config(study, budget_name, row, seed, results.layout)
        differ = [key for key in other_settings(folder, config) if key not in ("data", "init")]
        if differ:
            raise UsageError(
                f"{folder}: was trained with other settings than the study's files have now: {', '.join(differ)}",
                "Put these back, or delete the folder.",
            )


def _check_measuring(study: Study, budget_name: str, results: Results) -> None:
    """Figures stand side by side, and draws are paired: all must be of the same pictures, looked at in one way."""
    units: dict[str, int] = {}
    for run in results.everything():
        for name, measured in run.measured.items():
            differ = other_measuring(study, study.budget(budget_name), measured)
            if units.setdefault(name, measured.note["units"]) != measured.note["units"]:
                differ.append("units")
            if differ:
                raise UsageError(
                    f"{run.folder}: {name} was measured with other settings than the study's files have now, or than "
                    f"other runs: {', '.join(differ)}",
                    "Put these back, or give the command `run` again, which measures it anew.",
                )


def _section(study: Study, budget_name: str, results: Results, paper: Mapping[str, Any], page: Path) -> str:
    budget = study.budget(budget_name)
    title = f"## Budget {budget_name}\n\n{_sentence(budget.about)}"
    plots = {name: page.parent / "images" / f"study_{budget_name}_{name}.png" for name in ("rows", "bins", "teachers")}
    if not results.everything():
        for path in plots.values():
            path.unlink(missing_ok=True)
        return f"{title}\n\nNot run."
    side = budget.pictures.side
    drawn = {
        "rows": plot_rows(study, results, plots["rows"]),
        "bins": plot_bins(study, results, side, plots["bins"]),
        "teachers": plot_teachers(study, results, plots["teachers"]),
    }
    for name, is_there in drawn.items():
        if not is_there:
            plots[name].unlink(missing_ok=True)

    def picture(name: str, words: str) -> list[str]:
        return [f"![{words}]({relative(plots[name], page)})"] if drawn[name] else []

    notes = [(name, note) for name in _DATA if (note := data_note(results.layout, name)) is not None]
    parts = [
        title,
        _size(study, budget_name, results),
        _machines(results),
        "### All rows",
        "Mean over the seeds that the row has, ± their standard deviation (with n - 1).",
        row_table(study, results),
        *picture("rows", "figures of all rows; dots are seeds"),
        "### Beside the paper's tables",
        "The paper's figures are MPII's multi-person AP on 343 groups of photographs; those here, the same metric on "
        "mosaics of LSPET's validation people, mean over each row's seeds. Compare differences between rows, not "
        "figures.",
        paper_tables(results, paper),
        "### Differences",
        "Points gained by the first row over the second, mean over the seeds that both have; then the 95 % interval "
        f"and p of a paired bootstrap over pictures and seeds ({DRAWS} draws, so p is {2 / (DRAWS + 1):.3f} at least); "
        "then, from two seeds on, half the width of Student's 95 % interval over these seeds alone, with the same "
        "middle. With one seed, nothing is known of the chance that lies in training. Of few, the bootstrap knows too "
        "little: it draws no seeds but these, and two rows that differ in nothing but this chance differ in the same "
        "direction in both of two seeds every second time, in all of three every fourth time, and p may then be as "
        "small as it can be. Where Student's interval holds 0, the seeds do not tell the rows apart.",
        effect_table(study, results),
        "### Who is found",
        "mAP on synthetic validation people, mean over each row's seeds, without intervals: of a bin with few people, "
        "it says little. Compare rows, not bins: people who are nobody count against each bin, so against small ones "
        "most. The paper's figure 6 has the last of these on MPII, in the same bins, without numbers: there, what was "
        "trained with the teacher gains most where least is visible.",
        bin_tables(study, results, side),
        *picture("bins", "mAP on synthetic people by pitch, distance and visibility, less that of R+S"),
        "### What the teachers did",
        "Mean over windows of the likeliest group's probability, and of the entropy of all groups' (also of those with "
        "too few people to be chosen) as a part of a uniform distribution's. The paper: \"often assigns high "
        "probability to few groups early in training. In most "
        'cases the teacher converges to a uniform sampling strategy".',
        teacher_table(study, results),
        *picture("teachers", "probabilities of the groups over time"),
        "### What there was for them to find",
        hardness_table(study, budget_name, results),
        "### What it took",
        cost_table(study, results, notes),
    ]
    return "\n\n".join(parts)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _size(study: Study, budget_name: str, results: Results) -> str:
    budget = study.budget(budget_name)
    pictures, measuring, training = budget.pictures, budget.measuring, budget.training
    width, height = training["size"]
    people = "all" if measuring.people is None else str(measuring.people)
    return (
        f"Crops of {width} x {height}, batches of {training['batch']}. For each seed, a student is trained from random "
        f"weights for {budget.first['steps']} steps on real people alone; each row goes on with that one's weights for "
        f"{training['steps']} more. The exception is S, which begins with random weights and has "
        f"{budget.alone['steps']} steps. D_S: {pictures.purely} pictures of {pictures.side} x {pictures.side} with "
        f"{pictures.people:g} people on average; D_M and D_Style: {pictures.mixed} photographs, synthetic people in "
        f"each: {pictures.mixed_people:g} on average; the tail: D_S with one of {LOTS} lots at night. A teacher "
        f"chooses every {budget.teacher['window']} steps. Measured on {people} validation people of LSPET, up to "
        f"{measuring.mosaics} mosaics of four of them, and {pictures.validation} synthetic pictures."
    )


def _machines(results: Results) -> str:
    lines = []
    for run in results.everything():
        machine = run.trained["machine"]
        where = machine.get("gpu") or f"{machine['processor']}, {machine['usable_cores']} cores"
        for session in run.trained["sessions"]:
            code = session["code"]
            commit = (code["commit"] or "no commit known")[:12] + (" with changes" if code["changed"] else "")
            packages = ", ".join(f"{name} {version}" for name, version in session["packages"].items())
            line = f"{where}; ltsh-deploy {code['package']} ({commit}); {packages or 'packages not known'}"
            if line not in lines:
                lines.append(line)
    dates = sorted(run.trained["finished"][:10] for run in results.everything())
    days = f"on {dates[0]}" if dates[0] == dates[-1] else f"from {dates[0]} to {dates[-1]}"
    return f"Trained {days}: " + "; and ".join(lines) + "."


def _paper(path: Path) -> dict[str, Any]:
    try:
        paper = parse_yaml(_text(path))
        columns = paper["columns"]
        lines: Iterable[Any] = [line for table in paper["tables"] for line in table["rows"].values() if line]
        if any(len(line) != len(columns) for line in lines):
            raise ValueError("a line has not as many numbers as there are columns")
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: has not the paper's tables ({error})") from None
    return dict(paper)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "The report needs this file.") from None


_INTRODUCTION = """# The study: does the teacher help?

The tables of "Learning to Train with Synthetic Humans" (Hoffmann, Tzionas, Black and Tang 2019), in their shape, on
data that anybody may have: real people of Leeds Sports Pose Extended (LSPET), synthetic ones of this project's
generator.

    python -m studies.ltsh list                          # rows and budgets
    python -m studies.ltsh run --budget small            # all rows; goes on where it stopped
    python -m studies.ltsh run --rows R,R+S --seeds 1    # a part of it
    python -m studies.ltsh hardness                      # how hard synthetic people are, by groups
    python -m studies.ltsh report                        # this page

The last of these writes the whole page. The remarks that follow are written by hand, in `studies/ltsh/remarks.md`."""

_METHOD = """## How it is measured

Every row trains the same student, from the same seeds, for the same number of steps. As in the paper, it begins with
weights that were trained on real people alone; the row of synthetic people alone begins with random ones, and has the
steps of both. The averaged weights after the last step are measured, once: no run's weights are chosen by what
validation people show. The crops and the learning rate of the budget `small` were, in four trials of 500 steps on real
people alone, measured by PCK of a third of them; the rows were not tuned each for itself.

Where a row mixes two data sets, each makes half of every batch. So R sees twice as many crops of D_R as the others:
these give up the half of them for synthetic people, or for D_M's and D_Style's, which are real people too. The real
half is the same in all those rows, crop by crop. In R+S, everybody of D_S comes once before anybody comes again;
teachers and their controls draw from one group for a whole window, with replacement, and never from groups with fewer
people than a batch has, nor, by distance, those who are alone in their picture.

- **PCK@0.2** on the validation people of LSPET, on whole pictures, as `ltsh evaluate` has it
  ([evaluation.md](evaluation.md)).
- **Mosaics**: four validation people side by side in each picture, everybody in one picture at most, some cut off by
  the edge of their part. MPII's multi-person AP, a head's size being 25 times the person's scale. Where people may be
  whom nobody labelled, nobody is wrong.
- **Synthetic validation people** come from a seed of their own, and are measured by the same AP. In a bin, its people
  alone count as labelled; predictions matched to others are neither right nor wrong, those matched to nobody are wrong
  in each bin that has somebody in the picture. Who is alone in the picture is in no bin by distance.
- **At night**: the same people of LSPET and the same PCK@0.2, each picture with a tenth of its light, and noise.
- **The tail** is D_S, each picture in one of ten lots by the last digit of its number. Nine lots differ in nothing; the
  pictures of the last one are at night. So one group of ten is hard, can be learned, and is like nothing that the
  students have seen; the rest is what teachers have in the other rows. Where a teacher finds that group, PCK at night
  must rise above that of uniform-T; what it costs by day, PCK says. The row fixed-T shows what there is to gain by
  drawing that group in more than half of all windows. Rows on the tail are compared with each other alone: they differ
  from the others in their data, too.
- **Intervals**: each draw takes as many seeds and as many pictures as there are, with replacement, the same for both
  rows. Student's interval takes the differences of the seeds as drawn from a normal distribution, and the pictures as
  they are."""
