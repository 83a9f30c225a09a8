"""The model card: one Markdown page that says what a model is, what made it, and how to make it again."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ltsh_deploy
from ltsh_deploy.train.history import Line, distribution, series

__all__ = ["MODEL_CARD", "CodeVersion", "DataRecord", "RunRecord", "code_version", "model_card", "package_versions"]

MODEL_CARD = "model_card.md"

_UNKNOWN = "not known"
_PACKAGES = ("torch", "numpy", "opencv-python-headless", "opencv-python")


@dataclass(frozen=True)
class DataRecord:
    """A data set that a run used.

    Attributes:
        name: as the configuration calls it.
        licence: of its pictures and labels; empty when not known.
        use: what for, such as "training, half of every batch".
        samples: pictures in use.
        people: people in use.
        skipped: what was left out, and why: reason to count.
    """

    name: str
    licence: str
    use: str
    samples: int
    people: int
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CodeVersion:
    """Which code ran.

    Attributes:
        package: version of ltsh-deploy.
        commit: of the checkout it ran from; None when it was installed from elsewhere.
        changed: whether files differed from that commit.
    """

    package: str
    commit: str | None = None
    changed: bool = False


@dataclass(frozen=True)
class RunRecord:
    """All that a model card says.

    Attributes:
        name: of the model.
        network: its name and, after it, anything short about it.
        skeleton: its name.
        parameters: how many numbers were learned or kept.
        data: what was used.
        config: of the run, whole, in plain numbers, texts, lists and mappings, as YAML has them.
        metrics: of the weights that were kept: name to value, or to a text.
        history: lines of the run's history, for what the teacher did.
        group_names: [G] what the teacher's groups hold.
        code: which ran.
        packages: name to version of what it stood on.
        device: it ran on.
        command: that makes the model again, as typed.
        seed: of the run.
        steps: done.
        notes: further paragraphs of Markdown, such as known weaknesses.
    """

    name: str
    network: str
    skeleton: str
    parameters: int
    data: Sequence[DataRecord]
    config: Mapping[str, Any]
    metrics: Mapping[str, float | str]
    history: Sequence[Line]
    code: CodeVersion
    command: str
    seed: int
    steps: int
    group_names: Sequence[str] = ()
    packages: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    notes: Sequence[str] = ()


def model_card(record: RunRecord) -> str:
    """The page: Markdown, with what is not known said to be so."""
    import yaml

    sections = [
        f"# {_text(record.name)}",
        "A network for multi-person 2D pose estimation, trained with ltsh-deploy.",
        _table(("", ""), _facts(record)),
        "## Training data",
        _data(record.data),
        "## Measured",
        _table(("", ""), [(name, _number(value)) for name, value in record.metrics.items()])
        if record.metrics
        else "Nothing was measured.",
        "## Teacher",
        _teacher(record),
        *(("## Notes", *record.notes) if record.notes else ()),
        "## Making it again",
        f"With the configuration below in a file, the seed {record.seed}, and the code and packages named above:",
        _code(record.command, "sh"),
        "## Configuration",
        _code(yaml.safe_dump(dict(record.config), sort_keys=False, allow_unicode=True).rstrip(), "yaml"),
    ]
    return "\n\n".join(sections) + "\n"


def code_version(folder: str | Path | None = None) -> CodeVersion:
    """The code that is running.

    Args:
        folder: of the checkout; by default the one this file lies in, if it lies in one of this project.
    """
    root = Path(folder) if folder is not None else Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # An installed package may lie inside somebody else's checkout: theirs is not the version of this code.
    top = git("rev-parse", "--show-toplevel") if (root / "setup.cfg").is_file() else None
    if top is None or Path(top).resolve() != root.resolve():
        return CodeVersion(ltsh_deploy.__version__)
    return CodeVersion(
        ltsh_deploy.__version__, git("rev-parse", "HEAD"), changed=bool(git("status", "--porcelain", "--untracked=no"))
    )


def package_versions() -> dict[str, str]:
    """Versions of Python and the packages whose arithmetic a run depends on."""
    versions = {"Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    code = record.code
    commit = f", commit {code.commit}{' with changes that are not committed' if code.changed else ''}"
    return [
        ("Network", record.network),
        ("Skeleton", record.skeleton),
        ("Parameters", f"{record.parameters:,}"),
        ("Steps", f"{record.steps:,}"),
        ("Seed", str(record.seed)),
        ("Code", f"ltsh-deploy {code.package}{commit if code.commit else ', commit ' + _UNKNOWN}"),
        ("Packages", ", ".join(f"{name} {number}" for name, number in record.packages.items()) or _UNKNOWN),
        ("Device", record.device or _UNKNOWN),
    ]


def _data(data: Sequence[DataRecord]) -> str:
    rows = [
        (
            entry.name,
            entry.use,
            f"{entry.samples:,}",
            f"{entry.people:,}",
            "; ".join(f"{count:,} {reason}" for reason, count in entry.skipped.items()) or "none",
            entry.licence or _UNKNOWN,
        )
        for entry in data
    ]
    return _table(("Data set", "Use", "Pictures", "People", "Left out", "Licence"), rows) if rows else "None."


def _teacher(record: RunRecord) -> str:
    """What the teacher was, and what it did, in numbers."""
    config = record.config.get("teacher")
    windows = [line for line in record.history if line["kind"] == "window"]
    if not config:
        return "None: samples were drawn from the data sets alone."
    said = f"`{config.get('kind', config)}`" if isinstance(config, Mapping) else f"`{config}`"
    if not windows:
        return f"{said}; no window of it was completed."
    deltas = series(windows, "window", "delta")[1]
    parts = [f"{said}, {len(windows):,} windows."]
    if (deltas != 0).any():
        parts.append(f"Rewarded in {(deltas > 0).sum():,} of them, penalised in {(deltas < 0).sum():,}.")
    chosen = series(windows, "window", "group")[1].astype(int)
    rows = distribution(windows)[1]
    if not len(rows):
        return " ".join(parts)
    columns = rows.shape[1]
    names = record.group_names if len(record.group_names) == columns else [f"group {g}" for g in range(columns)]
    table = [
        (name, f"{(chosen == g).sum():,}", f"{rows[:, g].mean():.3f}", f"{rows[:, g].max():.3f}", f"{rows[-1, g]:.3f}")
        for g, name in enumerate(names)
    ]
    heads = ("Group", "Windows", "Mean probability", "Largest", "Last")
    return "\n\n".join([" ".join(parts), _table(heads, table)])


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _text(value: str) -> str:
    """A text of others in one line, with nothing in it that Markdown or HTML would read as its own."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(value.split()))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: str, language: str) -> str:
    """A code block, fenced by more backticks than the text has anywhere."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
