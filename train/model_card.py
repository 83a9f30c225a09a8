"""The model card: one Markdown page that says what a model is, what made it, and how to make it again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ltsh_deploy.train.history import Line, distribution, series
from ltsh_deploy.train.sessions import Session

__all__ = ["MODEL_CARD", "DataRecord", "RunRecord", "model_card"]

MODEL_CARD = "model_card.md"

_UNKNOWN = "not known"


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
        sessions: with what code, packages and device it ran, the first one first; at least one.
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
    sessions: Sequence[Session]
    command: str
    seed: int
    steps: int
    group_names: Sequence[str] = ()
    notes: Sequence[str] = ()


def model_card(record: RunRecord) -> str:
    """The page: Markdown, with what is not known said to be so."""
    import yaml

    changes = [_changes(session) for session in record.sessions if session.changes]
    notes = [*record.notes, *changes]
    also = ", and what was changed on the way, by --resume after as many steps" if changes else ""
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
        *(("## Notes", *notes) if notes else ()),
        "## Making it again",
        f"With the configuration below in a file, the seed {record.seed}, the code and packages named above{also}:",
        _code(record.command, "sh"),
        "## Configuration",
        _code(yaml.safe_dump(dict(record.config), sort_keys=False, allow_unicode=True).rstrip(), "yaml"),
    ]
    return "\n\n".join(sections) + "\n"


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    sessions = record.sessions
    return [
        ("Network", record.network),
        ("Skeleton", record.skeleton),
        ("Parameters", f"{record.parameters:,}"),
        ("Steps", f"{record.steps:,}"),
        ("Seed", str(record.seed)),
        ("Code", _one_after_another(sessions, _code_version)),
        ("Packages", _one_after_another(sessions, _packages)),
        ("Device", _one_after_another(sessions, lambda session: session.device or _UNKNOWN)),
    ]


def _one_after_another(sessions: Sequence[Session], say: Callable[[Session], str]) -> str:
    """What the first session had, and from which steps on there was something else."""
    said = [say(sessions[0])]
    parts = list(said)
    for session in sessions[1:]:
        now = say(session)
        if now != said[-1]:
            parts.append(f"from step {session.step:,} on {now}")
            said.append(now)
    return "; ".join(parts)


def _code_version(session: Session) -> str:
    code = session.code
    commit = f"{code.commit}{' with changes that are not committed' if code.changed else ''}"
    return f"ltsh-deploy {code.package}, commit {commit if code.commit else _UNKNOWN}"


def _packages(session: Session) -> str:
    return ", ".join(f"{name} {number}" for name, number in session.packages.items()) or _UNKNOWN


def _changes(session: Session) -> str:
    """A paragraph on what was resumed differently."""
    rows = [(key, _plain(before), _plain(after)) for key, (before, after) in session.changes.items()]
    return f"Resumed at step {session.step:,} with changes:\n\n{_table(('', 'Before', 'From there on'), rows)}"


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


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
